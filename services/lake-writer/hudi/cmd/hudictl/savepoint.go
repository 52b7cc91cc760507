package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// savepoint is a savepoint's JSON.
type savepoint struct {
	DryRun  bool             `json:"dry_run,omitempty"`
	Instant timeline.Instant `json:"instant"` // of the commit
	User    string           `json:"user,omitempty"`
	Comment string           `json:"comment,omitempty"`
	At      string           `json:"at,omitempty"` // RFC 3339
	Files   int              `json:"files"`        // that it keeps
}

func newSavepoint(p *hudi.Savepoint) savepoint {
	s := savepoint{Instant: p.Instant, User: p.SavepointedBy, Comment: p.Comments, At: time.UnixMilli(p.SavepointedMillis).UTC().Format(time.RFC3339)}
	for _, partition := range p.Partitions {
		s.Files += len(partition.Files)
	}
	return s
}

func (p savepoint) write(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%s by %s at %s, %d files: %s%s\n", p.Instant, p.User, p.At, p.Files, p.Comment, dryNote(p.DryRun))
	return err
}

func savepointCreateCommand() command {
	return command{
		name: "savepoint create", args: "PATH INSTANT", about: "keep a commit readable", outputs: []string{"text", "json"},
		define: func(flags *flag.FlagSet) func(context.Context, *session) error {
			own := ownershipFlags(flags)
			user := flags.String("user", "", "who wants it; without it the owner")
			comment := flags.String("comment", "", "what for")
			return func(ctx context.Context, s *session) error {
				if *user == "" {
					*user = *own.owner
				}
				return runSavepointCreate(ctx, s, own, *user, *comment)
			}
		},
	}
}

func runSavepointCreate(ctx context.Context, s *session, own ownership, user, comment string) error {
	instant, err := instantArg(s.args[1])
	if err != nil {
		return err
	}
	_, writer, _, err := own.acquire(ctx, s.args[0])
	if err != nil {
		return err
	}
	point, err := writer.Savepoint(ctx, instant, user, comment)
	if err != nil {
		return err
	}
	result := newSavepoint(point)
	result.DryRun = *own.dryRun
	return s.print(result, result.write)
}

func savepointDeleteCommand() command {
	return command{
		name: "savepoint delete", args: "PATH INSTANT", about: "let cleans delete what only the savepoint kept", outputs: []string{"text", "json"},
		define: func(flags *flag.FlagSet) func(context.Context, *session) error {
			own := ownershipFlags(flags)
			return func(ctx context.Context, s *session) error { return runSavepointDelete(ctx, s, own) }
		},
	}
}

// runSavepointDelete refuses to delete what is not there, as a mistyped instant would be.
func runSavepointDelete(ctx context.Context, s *session, own ownership) error {
	instant, err := instantArg(s.args[1])
	if err != nil {
		return err
	}
	table, writer, _, err := own.acquire(ctx, s.args[0])
	if err != nil {
		return err
	}
	tl, err := table.Timeline(ctx)
	if err != nil {
		return err
	}
	if _, there := tl.Find(instant, timeline.Savepoint); !there {
		return fmt.Errorf("no savepoint %s", instant)
	}
	if err := writer.DeleteSavepoint(ctx, instant); err != nil {
		return err
	}
	result := struct {
		DryRun  bool             `json:"dry_run,omitempty"`
		Deleted timeline.Instant `json:"deleted"`
	}{*own.dryRun, instant}
	return s.print(result, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "savepoint %s deleted%s\n", instant, dryNote(result.DryRun))
		return err
	})
}

func savepointListCommand() command {
	return command{
		name: "savepoint list", args: "PATH", about: "list the savepoints", outputs: []string{"text", "json"},
		define: func(*flag.FlagSet) func(context.Context, *session) error { return runSavepointList },
	}
}

func runSavepointList(ctx context.Context, s *session) error {
	table, err := openTable(ctx, s.args[0])
	if err != nil {
		return err
	}
	points, err := table.Savepoints(ctx)
	if err != nil {
		return err
	}
	list := []savepoint{}
	for i := range points {
		list = append(list, newSavepoint(&points[i]))
	}
	return s.print(list, func(w io.Writer) error {
		for _, p := range list {
			if err := p.write(w); err != nil {
				return err
			}
		}
		return nil
	})
}
