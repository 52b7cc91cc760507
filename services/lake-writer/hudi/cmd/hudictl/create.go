package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

func createCommand() command {
	return command{
		name: "create", args: "PATH", about: "make a table; one that is there already must be the same", outputs: []string{"text", "json"},
		define: func(flags *flag.FlagSet) func(context.Context, *session) error {
			f := createFlags{
				config:     flags.String("config", "", "JSON file of an object with the fields of hudi.TableConfig; other flags go before it"),
				schema:     flags.String("schema", "", "file of the table schema: an Avro record, every field nullable"),
				database:   flags.String("database", "", "name of the database"),
				name:       flags.String("name", "", "name of the table"),
				kind:       flags.String("type", "", "cow (the default) or mor"),
				version:    flags.Int("table-version", 0, "of Hudi's tables: 6 (the default) or 9"),
				keys:       flags.String("record-key", "", "fields of the record key, with commas between"),
				partitions: flags.String("partition-by", "", "partition fields, with commas between"),
				ordering:   flags.String("ordering", "", "field by whose value the newer of two rows is known"),
				hive:       flags.Bool("hive-style", false, "partition paths a=1/b=2, not 1/2"),
				buckets:    flags.Int("buckets", 0, "file groups of a partition; cannot change later"),
				bucket:     flags.String("bucket-field", "", "record key field that decides the bucket"),
				dryRun:     flags.Bool("dry-run", false, "change nothing: say what would be written"),
			}
			return func(ctx context.Context, s *session) error { return runCreate(ctx, s, f) }
		},
	}
}

type createFlags struct {
	config, schema, database, name, kind, keys, partitions, ordering, bucket *string
	hive, dryRun                                                             *bool
	buckets, version                                                         *int
}

// tableConfig is what the file says and the flags replace.
func (f createFlags) tableConfig() (hudi.TableConfig, error) {
	var cfg hudi.TableConfig
	if *f.config != "" {
		data, err := os.ReadFile(*f.config)
		if err != nil {
			return cfg, fmt.Errorf("read table configuration: %w", err)
		}
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&cfg); err != nil {
			return cfg, &usageError{fmt.Sprintf("table configuration %s: %v", *f.config, err)}
		}
	}
	if *f.schema != "" {
		data, err := os.ReadFile(*f.schema)
		if err != nil {
			return cfg, fmt.Errorf("read table schema: %w", err)
		}
		cfg.Schema = string(data)
	}
	for _, text := range []struct {
		from *string
		to   *string
	}{{f.database, &cfg.Database}, {f.name, &cfg.Name}, {f.ordering, &cfg.OrderingField}, {f.bucket, &cfg.BucketField}} {
		if *text.from != "" {
			*text.to = *text.from
		}
	}
	if *f.keys != "" {
		cfg.RecordKeyFields = listOf(*f.keys)
	}
	if *f.partitions != "" {
		cfg.PartitionFields = listOf(*f.partitions)
	}
	if *f.buckets != 0 {
		cfg.Buckets = *f.buckets
	}
	if *f.version != 0 {
		cfg.Version = *f.version
	}
	cfg.HiveStylePartitioning = cfg.HiveStylePartitioning || *f.hive
	switch strings.ToLower(*f.kind) {
	case "":
	case "cow":
		cfg.Type = hudi.CopyOnWrite
	case "mor":
		cfg.Type = hudi.MergeOnRead
	default:
		return cfg, &usageError{fmt.Sprintf("type %q is neither cow nor mor", *f.kind)}
	}
	return cfg, nil
}

// created is the command's JSON.
type created struct {
	Table   string         `json:"table"`
	DryRun  bool           `json:"dry_run,omitempty"`
	Changes []objectChange `json:"changes,omitempty"` // of a dry run
}

func runCreate(ctx context.Context, s *session, f createFlags) error {
	if err := checkPath(s.args[0]); err != nil {
		return err
	}
	cfg, err := f.tableConfig()
	if err != nil {
		return err
	}
	store, dry, err := creationStore(s.args[0], *f.dryRun)
	if err != nil {
		return err
	}
	table, err := hudi.Create(ctx, store, cfg)
	if errors.Is(err, hudi.ErrInvalid) {
		return &usageError{err.Error()}
	}
	if err != nil {
		return err
	}
	result := created{Table: table.Name(), DryRun: *f.dryRun}
	if result.Changes, err = dry.changes(ctx); err != nil {
		return err
	}
	return s.print(result, func(w io.Writer) error {
		writeChanges(w, result.Changes)
		_, err := fmt.Fprintf(w, "table %s%s\n", result.Table, dryNote(result.DryRun))
		return err
	})
}

// creationStore is the folder, which is made unless the run is dry.
func creationStore(path string, dryRun bool) (storage.Store, *dryStore, error) {
	if !dryRun {
		store, err := storage.NewDir(path)
		return store, nil, err
	}
	var base storage.Store = storage.NewMem()
	_, err := os.Stat(filepath.Join(path, ".hoodie"))
	if err == nil {
		base, err = storage.NewDir(path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	dry := newDryStore(base)
	return dry, dry, nil
}

func dryNote(dry bool) string {
	if dry {
		return " (dry run: nothing was changed)"
	}
	return ""
}
