package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

func restoreCommand() command {
	return command{
		name: "restore", args: "PATH INSTANT", about: "make an older commit the last one, and its offsets the table's", outputs: []string{"text", "json"},
		define: func(flags *flag.FlagSet) func(context.Context, *session) error {
			own := ownershipFlags(flags)
			return func(ctx context.Context, s *session) error {
				return runUndo(ctx, s, own, func(w *hudi.Writer, instant timeline.Instant) (*hudi.RestoreResult, error) {
					return w.Restore(ctx, hudi.RestoreOptions{To: instant, DryRun: *own.dryRun})
				})
			}
		},
	}
}

// undone is the JSON of commands that take commits back.
type undone struct {
	DryRun  bool              `json:"dry_run,omitempty"`
	Instant timeline.Instant  `json:"instant,omitempty"` // of the restore or rollback; none when there was nothing to undo
	Last    timeline.Instant  `json:"last"`              // the last commit after it
	Undone  []archivedInstant `json:"undone"`            // the newest first
}

// runUndo takes back what is newer than the instant of the second argument, or the instant itself, as undo has it.
func runUndo(ctx context.Context, s *session, own ownership, undo func(*hudi.Writer, timeline.Instant) (*hudi.RestoreResult, error)) error {
	instant, err := instantArg(s.args[1])
	if err != nil {
		return err
	}
	_, writer, _, err := own.acquire(ctx, s.args[0])
	if err != nil {
		return err
	}
	r, err := undo(writer, instant)
	if err != nil {
		return err
	}
	result := undone{DryRun: *own.dryRun, Instant: r.Instant, Last: r.To, Undone: []archivedInstant{}}
	for _, e := range r.Undone {
		result.Undone = append(result.Undone, archivedInstant{e.Instant, e.Action})
	}
	return s.print(result, func(w io.Writer) error {
		verb := "undid"
		if result.DryRun {
			verb = "would undo"
		}
		for _, i := range result.Undone {
			fmt.Fprintln(w, verb, i.Action, i.Instant)
		}
		_, err := fmt.Fprintf(w, "%d instants undone, the last commit is %s%s\n", len(result.Undone), result.Last, dryNote(result.DryRun))
		return err
	})
}
