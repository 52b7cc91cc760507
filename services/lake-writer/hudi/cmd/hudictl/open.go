package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/inspect"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// openStore opens a table's folder. Nothing is made: a folder without a table is a mistake.
func openStore(path string) (storage.Store, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(path, ".hoodie")); err != nil {
		return nil, fmt.Errorf("open table: %w", err)
	}
	return storage.NewDir(path)
}

func checkPath(path string) error {
	if path == "" || strings.Contains(path, "://") {
		return &usageError{fmt.Sprintf("path %q: only local folders can be read", path)}
	}
	return nil
}

func openTable(ctx context.Context, path string) (*hudi.Table, error) {
	store, err := openStore(path)
	if err != nil {
		return nil, err
	}
	return hudi.Open(ctx, store)
}

// look opens a table as its files say, whatever package hudi makes of it.
func look(ctx context.Context, path string) (*inspect.Table, storage.Store, error) {
	store, err := openStore(path)
	if err != nil {
		return nil, nil, err
	}
	table, err := inspect.Open(ctx, store)
	return table, store, err
}

// instantOf reads an instant. Zeros stand for "before everything", as in Hudi's own tools.
func instantOf(text string) (timeline.Instant, error) {
	if strings.Trim(text, "0") == "" {
		return "", nil
	}
	i, err := timeline.ParseInstant(text)
	if err != nil {
		return "", &usageError{err.Error()}
	}
	return i, nil
}

// instantArg reads an instant that cannot be left out.
func instantArg(text string) (timeline.Instant, error) {
	i, err := instantOf(text)
	if err == nil && i == "" {
		err = &usageError{fmt.Sprintf("%q is no instant", text)}
	}
	return i, err
}

func listOf(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// ownership are the flags of commands that change a table: they take it over from whoever writes it.
type ownership struct {
	owner  *string
	dryRun *bool
	base   *string
}

func ownershipFlags(flags *flag.FlagSet) ownership {
	return ownership{
		owner:  flags.String("owner", "hudictl", "who the table's new owner is, for people"),
		dryRun: flags.Bool("dry-run", false, "change nothing: say what would be written and deleted"),
		base:   flags.String("base-uri", "", "the table's path as other engines know it, for the plans of rollbacks"),
	}
}

// acquire takes the table over. With --dry-run that happens in memory, and the dry run says what was done.
func (o ownership) acquire(ctx context.Context, path string) (*hudi.Table, *hudi.Writer, *dryStore, error) {
	store, err := openStore(path)
	if err != nil {
		return nil, nil, nil, err
	}
	var dry *dryStore
	if *o.dryRun {
		dry = newDryStore(store)
		store = dry
	}
	var opts []hudi.Option
	if *o.base != "" {
		opts = append(opts, hudi.WithBaseURI(*o.base))
	}
	table, err := hudi.Open(ctx, store, opts...)
	if err != nil {
		return nil, nil, nil, err
	}
	writer, err := table.Acquire(ctx, *o.owner)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("take the table over: %w", err)
	}
	return table, writer, dry, nil
}
