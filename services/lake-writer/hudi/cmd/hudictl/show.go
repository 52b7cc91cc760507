package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/inspect"
)

func showInstantCommand() command {
	return command{
		name: "show instant", args: "PATH INSTANT", about: "decode all files of an instant, archived or not", outputs: []string{"json", "text"},
		define: func(*flag.FlagSet) func(context.Context, *session) error { return runShowInstant },
	}
}

func runShowInstant(ctx context.Context, s *session) error {
	instant, err := instantArg(s.args[1])
	if err != nil {
		return err
	}
	table, _, err := look(ctx, s.args[0])
	if err != nil {
		return err
	}
	shown, err := table.ShowInstant(ctx, instant)
	if err != nil {
		return err
	}
	return s.print(shown, func(w io.Writer) error {
		for _, i := range shown {
			state := string(i.State)
			if i.Completion != "" {
				state += " at " + string(i.Completion)
			}
			if i.Archived {
				state += ", archived"
			}
			fmt.Fprintf(w, "%s %s, %s\n", i.Action, i.Instant, state)
			for _, f := range i.Files {
				fmt.Fprintf(w, "%s: %s (%d bytes)\n", f.State, f.Key, f.Bytes)
				if err := writeTree(w, f.Content, 1); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// writeTree writes decoded content with a line for each scalar.
func writeTree(w io.Writer, value any, depth int) error {
	indent := strings.Repeat("  ", depth)
	inner := func(label string, value any) error {
		switch v := value.(type) {
		case map[string]any:
			if len(v) > 0 {
				fmt.Fprintf(w, "%s%s:\n", indent, label)
				return writeTree(w, v, depth+1)
			}
		case []any:
			if len(v) > 0 {
				fmt.Fprintf(w, "%s%s:\n", indent, label)
				return writeTree(w, v, depth+1)
			}
		}
		text, err := json.Marshal(value)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s%s: %s\n", indent, label, text)
		return err
	}
	switch v := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if err := inner(key, v[key]); err != nil {
				return err
			}
		}
	case []any:
		for i, item := range v {
			if err := inner(fmt.Sprintf("[%d]", i), item); err != nil {
				return err
			}
		}
	}
	return nil
}

func showLogCommand() command {
	return command{
		name: "show log", args: "PATH KEY", about: "list the blocks of a log file, KEY being its path within the table", outputs: []string{"text", "json"},
		define: func(flags *flag.FlagSet) func(context.Context, *session) error {
			records := flags.Bool("records", false, "decode the records of each block")
			return func(ctx context.Context, s *session) error { return runShowLog(ctx, s, *records) }
		},
	}
}

// runShowLog writes as it reads: as JSON, a line for each block and record.
func runShowLog(ctx context.Context, s *session, records bool) error {
	table, _, err := look(ctx, s.args[0])
	if err != nil {
		return err
	}
	enc := json.NewEncoder(s.out)
	enc.SetEscapeHTML(false)
	block := func(b inspect.Block) error {
		if s.output == "json" {
			return enc.Encode(b)
		}
		return writeBlock(s.out, b)
	}
	var record func(inspect.Record) error
	if records {
		record = func(r inspect.Record) error {
			if s.output == "json" {
				return enc.Encode(r)
			}
			return writeRecord(s.out, r)
		}
	}
	return table.ShowLog(ctx, s.args[1], block, record)
}

func writeBlock(w io.Writer, b inspect.Block) error {
	fmt.Fprintf(w, "%s at %d, %d bytes", b.Type, b.Offset, b.Length)
	if b.Instant != "" {
		fmt.Fprintf(w, ", instant %s", b.Instant)
	}
	if b.Target != "" {
		fmt.Fprintf(w, ", rolls back %s", b.Target)
	}
	fmt.Fprintf(w, ", %d records\n", b.Records)
	for _, name := range slices.Sorted(maps.Keys(b.Header)) {
		if _, err := fmt.Fprintf(w, "  %s: %s\n", name, b.Header[name]); err != nil {
			return err
		}
	}
	return nil
}

func writeRecord(w io.Writer, r inspect.Record) error {
	if r.Delete {
		_, err := fmt.Fprintf(w, "  delete %s, ordering %v\n", r.Key, r.Ordering)
		return err
	}
	text, err := r.Row.MarshalJSON()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "  %s\n", text)
	return err
}
