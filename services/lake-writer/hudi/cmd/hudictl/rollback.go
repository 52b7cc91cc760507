package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"slices"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

func rollbackCommand() command {
	return command{
		name: "rollback", args: "PATH [INSTANT]", outputs: []string{"text", "json"},
		about: "undo failed attempts of this library, as its next writer would; with INSTANT that commit, the newest, after them",
		define: func(flags *flag.FlagSet) func(context.Context, *session) error {
			own := ownershipFlags(flags)
			return func(ctx context.Context, s *session) error {
				if len(s.args) == 1 {
					return runRollback(ctx, s, own)
				}
				return runUndo(ctx, s, own, func(w *hudi.Writer, newest timeline.Instant) (*hudi.RestoreResult, error) {
					return w.Rollback(ctx, newest)
				})
			}
		},
	}
}

// rolledBack is the command's JSON.
type rolledBack struct {
	DryRun bool `json:"dry_run,omitempty"`
	// Gone are the pending instants that are on the timeline no more, Rollbacks the instants that undid them.
	Gone      []string           `json:"gone"`
	Rollbacks []timeline.Instant `json:"rollbacks"`
	Left      []string           `json:"left"` // instants that are pending still: another engine's
	Changes   []objectChange     `json:"changes,omitempty"`
}

// runRollback takes the table over, which undoes what earlier owners left.
func runRollback(ctx context.Context, s *session, own ownership) error {
	files, _, err := look(ctx, s.args[0])
	if err != nil {
		return err
	}
	before, err := files.Active(ctx)
	if err != nil {
		return err
	}
	table, _, dry, err := own.acquire(ctx, s.args[0])
	if err != nil {
		return err
	}
	after, err := table.Timeline(ctx)
	if err != nil {
		return err
	}
	result := compareTimelines(before, after)
	result.DryRun = *own.dryRun
	if result.Changes, err = dry.changes(ctx); err != nil {
		return err
	}
	return s.print(result, func(w io.Writer) error {
		writeChanges(w, result.Changes)
		for _, name := range result.Gone {
			fmt.Fprintln(w, "rolled back", name)
		}
		for _, name := range result.Left {
			fmt.Fprintln(w, "still pending", name)
		}
		_, err := fmt.Fprintf(w, "%d attempts rolled back, %d instants left pending%s\n", len(result.Gone), len(result.Left), dryNote(result.DryRun))
		return err
	})
}

func compareTimelines(before, after *timeline.Timeline) rolledBack {
	r := rolledBack{Gone: []string{}, Rollbacks: []timeline.Instant{}, Left: []string{}}
	for _, e := range before.Pending() {
		if _, there := after.Find(e.Instant, e.Action); !there {
			r.Gone = append(r.Gone, e.FileName())
		}
	}
	for _, e := range after.Pending() {
		r.Left = append(r.Left, e.FileName())
	}
	old := before.Entries()
	for _, e := range after.Entries() {
		if e.Action == timeline.Rollback && !slices.Contains(old, e) {
			r.Rollbacks = append(r.Rollbacks, e.Instant)
		}
	}
	return r
}
