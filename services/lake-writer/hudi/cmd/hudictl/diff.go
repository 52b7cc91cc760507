package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/inspect"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

func diffCommand() command {
	return command{
		name: "diff", args: "PATH FROM TO", about: "compare the table as of two instants: files, and rows by key", outputs: []string{"text", "json"},
		define: func(flags *flag.FlagSet) func(context.Context, *session) error {
			rows := flags.Bool("rows", false, "the rows too; as JSON a line for each, and the summary as the last line")
			group := flags.String("file-group", "", "only the rows of one file group, PARTITION/ID")
			return func(ctx context.Context, s *session) error {
				if *group != "" {
					return runGroupDiff(ctx, s, *group)
				}
				return runDiff(ctx, s, *rows)
			}
		},
	}
}

func runDiff(ctx context.Context, s *session, rows bool) error {
	from, err := instantArg(s.args[1])
	if err != nil {
		return err
	}
	to, err := instantArg(s.args[2])
	if err != nil {
		return err
	}
	store, err := openStore(s.args[0])
	if err != nil {
		return err
	}
	enc := json.NewEncoder(s.out)
	enc.SetEscapeHTML(false)
	var change func(inspect.Change) error
	if rows {
		change = func(c inspect.Change) error {
			if s.output == "json" {
				return enc.Encode(c)
			}
			return writeChange(s.out, c)
		}
	}
	d, err := inspect.Diff(ctx, store, from, to, change)
	if err != nil {
		return err
	}
	if s.output == "json" {
		return enc.Encode(d)
	}
	return writeDifference(s.out, d)
}

// groupDifference sums up what changed in a file group.
type groupDifference struct {
	From        timeline.Instant `json:"from"`
	To          timeline.Instant `json:"to"`
	RowsAdded   int64            `json:"rows_added"`
	RowsUpdated int64            `json:"rows_updated"`
	RowsDeleted int64            `json:"rows_deleted"`
}

// runGroupDiff writes the changes of one file group as diff --rows does.
func runGroupDiff(ctx context.Context, s *session, group string) error {
	q := hudi.SliceQuery{Partition: strings.TrimSuffix(path.Dir(group), "."), FileID: path.Base(group)}
	var err error
	if q.From, err = instantArg(s.args[1]); err != nil {
		return err
	}
	if q.To, err = instantArg(s.args[2]); err != nil {
		return err
	}
	store, err := openStore(s.args[0])
	if err != nil {
		return err
	}
	table, err := hudi.Open(ctx, store)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(s.out)
	enc.SetEscapeHTML(false)
	d := groupDifference{From: q.From, To: q.To}
	counts := map[hudi.ChangeKind]*int64{hudi.RowAdded: &d.RowsAdded, hudi.RowUpdated: &d.RowsUpdated, hudi.RowDeleted: &d.RowsDeleted}
	for c, err := range table.SliceChanges(ctx, q) {
		if err != nil {
			return err
		}
		*counts[c.Kind]++
		change := inspect.Change{Change: inspect.ChangeKind(c.Kind), Partition: q.Partition, Key: c.Key, Before: c.Before, After: c.After}
		if s.output == "json" {
			err = enc.Encode(change)
		} else {
			err = writeChange(s.out, change)
		}
		if err != nil {
			return err
		}
	}
	if s.output == "json" {
		return enc.Encode(d)
	}
	_, err = fmt.Fprintf(s.out, "%s to %s: %d rows added, %d updated, %d deleted\n", d.From, d.To, d.RowsAdded, d.RowsUpdated, d.RowsDeleted)
	return err
}

func writeChange(w io.Writer, c inspect.Change) error {
	fmt.Fprintf(w, "%s %s\n", c.Change, c.Key)
	for _, side := range []struct {
		sign string
		row  any
		has  bool
	}{{"-", c.Before, c.Before != nil}, {"+", c.After, c.After != nil}} {
		if !side.has {
			continue
		}
		text, err := json.Marshal(side.row)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "  %s %s\n", side.sign, text)
	}
	return nil
}

func writeDifference(w io.Writer, d *inspect.Difference) error {
	for _, f := range d.FilesRemoved {
		fmt.Fprintf(w, "- %10d  %s\n", f.Bytes, f.Key)
	}
	for _, f := range d.FilesAdded {
		fmt.Fprintf(w, "+ %10d  %s\n", f.Bytes, f.Key)
	}
	_, err := fmt.Fprintf(w, "%s to %s: %d files added, %d removed; %d rows added, %d updated, %d deleted\n",
		d.From, d.To, len(d.FilesAdded), len(d.FilesRemoved), d.RowsAdded, d.RowsUpdated, d.RowsDeleted)
	return err
}
