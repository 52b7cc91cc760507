package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/inspect"
)

func slicesCommand() command {
	return command{
		name: "slices", args: "PATH [PARTITION]", about: "list file groups with their base and log files; without PARTITION all", outputs: []string{"text", "json"},
		define: func(flags *flag.FlagSet) func(context.Context, *session) error {
			asOf := flags.String("as-of", "", "what readers of this instant take")
			history := flags.Bool("history", false, "older slices too")
			return func(ctx context.Context, s *session) error {
				at, err := instantOf(*asOf)
				if err != nil {
					return err
				}
				q := inspect.SliceQuery{Partition: strings.Trim(s.arg(1), "/"), All: len(s.args) == 1, AsOf: at, History: *history}
				return runSlices(ctx, s, q)
			}
		},
	}
}

func runSlices(ctx context.Context, s *session, q inspect.SliceQuery) error {
	table, _, err := look(ctx, s.args[0])
	if err != nil {
		return err
	}
	found, err := table.Slices(ctx, q)
	if err != nil {
		return err
	}
	return s.print(found, func(w io.Writer) error {
		group := ""
		for _, f := range found {
			if id := f.Partition + "/" + f.FileID; id != group {
				group = id
				fmt.Fprintln(w, strings.TrimPrefix(id, "/"))
			}
			state := "older"
			if f.Latest {
				state = "latest"
			}
			fmt.Fprintf(w, "  %s (%s)\n", f.Instant, state)
			if f.Base != nil {
				fmt.Fprintf(w, "    base %10d  %s\n", f.Base.Bytes, f.Base.Name)
			}
			for _, l := range f.Logs {
				fmt.Fprintf(w, "    log  %10d  %s\n", l.Bytes, l.Name)
			}
		}
		return nil
	})
}
