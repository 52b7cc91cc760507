package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

func archiveCommand() command {
	return command{
		name: "archive", args: "PATH", about: "move the oldest commits from the active timeline to the archived one", outputs: []string{"text", "json"},
		define: func(flags *flag.FlagSet) func(context.Context, *session) error {
			own := ownershipFlags(flags)
			least := flags.Int("keep-min", 20, "commits that stay; more than cleaning retains")
			most := flags.Int("keep-max", 30, "nothing is done up to so many commits")
			return func(ctx context.Context, s *session) error {
				if *least < 1 || *most < *least {
					return &usageError{"--keep-min has to be 1 or more, and --keep-max not less"}
				}
				return runArchive(ctx, s, own, hudi.ArchiveOptions{KeepMin: *least, KeepMax: *most})
			}
		},
	}
}

// archived is the command's JSON.
type archived struct {
	DryRun   bool              `json:"dry_run,omitempty"`
	Archived []archivedInstant `json:"archived"`
	Files    []string          `json:"files"` // of the archive
	Swept    []string          `json:"swept"` // orphaned data files that were deleted
	// Held is the first commit that had to stay though it is beyond --keep-min, for the reason.
	Held   timeline.Instant `json:"held,omitempty"`
	Reason string           `json:"reason,omitempty"`
}

type archivedInstant struct {
	Instant timeline.Instant `json:"instant"`
	Action  timeline.Action  `json:"action"`
}

// runArchive does it to the end in a dry run too, in memory.
func runArchive(ctx context.Context, s *session, own ownership, o hudi.ArchiveOptions) error {
	_, writer, _, err := own.acquire(ctx, s.args[0])
	if err != nil {
		return err
	}
	r, err := writer.Archive(ctx, o)
	if err != nil {
		return err
	}
	result := archived{
		DryRun: *own.dryRun, Archived: []archivedInstant{}, Files: append([]string{}, r.Files...), Swept: append([]string{}, r.Swept...),
		Held: r.Held, Reason: r.Reason,
	}
	for _, e := range r.Archived {
		result.Archived = append(result.Archived, archivedInstant{e.Instant, e.Action})
	}
	return s.print(result, func(w io.Writer) error {
		for _, i := range result.Archived {
			fmt.Fprintln(w, i.Instant, i.Action)
		}
		for _, key := range result.Swept {
			fmt.Fprintln(w, "orphan deleted:", key)
		}
		if result.Held != "" {
			fmt.Fprintf(w, "%s stays: %s\n", result.Held, result.Reason)
		}
		_, err := fmt.Fprintf(w, "%d instants archived in %d files%s\n", len(result.Archived), len(result.Files), dryNote(result.DryRun))
		return err
	})
}
