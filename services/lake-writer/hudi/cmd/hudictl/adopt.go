package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

func adoptCommand() command {
	return command{
		name: "adopt", args: "PATH", about: "make another engine's table with a bucket index one that this library writes to", outputs: []string{"text", "json"},
		define: func(flags *flag.FlagSet) func(context.Context, *session) error {
			var index hudi.BucketIndex
			flags.IntVar(&index.Buckets, "buckets", 0, "hoodie.bucket.index.num.buckets")
			flags.StringVar(&index.Field, "bucket-field", "", "hoodie.bucket.index.hash.field; Hudi's default are all record key fields, with commas between")
			dryRun := flags.Bool("dry-run", false, "change nothing: say what would be written")
			return func(ctx context.Context, s *session) error {
				if index.Buckets < 1 || index.Field == "" {
					return &usageError{"--buckets and --bucket-field are needed: the table does not say them"}
				}
				return runAdopt(ctx, s, index, *dryRun)
			}
		},
	}
}

func runAdopt(ctx context.Context, s *session, index hudi.BucketIndex, dryRun bool) error {
	var store storage.Store
	store, err := openStore(s.args[0])
	if err != nil {
		return err
	}
	var dry *dryStore
	if dryRun {
		dry = newDryStore(store)
		store = dry
	}
	table, err := hudi.Adopt(ctx, store, index)
	if err != nil {
		return err
	}
	result := created{Table: table.Name(), DryRun: dryRun}
	if result.Changes, err = dry.changes(ctx); err != nil {
		return err
	}
	return s.print(result, func(w io.Writer) error {
		writeChanges(w, result.Changes)
		_, err := fmt.Fprintf(w, "table %s%s\n", result.Table, dryNote(result.DryRun))
		return err
	})
}
