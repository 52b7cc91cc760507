package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"text/tabwriter"
)

func timelineCommand() command {
	return command{
		name: "timeline", args: "PATH", about: "list the instants, the oldest first", outputs: []string{"text", "json"},
		define: func(flags *flag.FlagSet) func(context.Context, *session) error {
			archived := flags.Bool("archived", false, "the archived ones too")
			return func(ctx context.Context, s *session) error { return runTimeline(ctx, s, *archived) }
		},
	}
}

func runTimeline(ctx context.Context, s *session, archived bool) error {
	table, _, err := look(ctx, s.args[0])
	if err != nil {
		return err
	}
	instants, err := table.Instants(ctx, archived)
	if err != nil {
		return err
	}
	return s.print(instants, func(out io.Writer) error {
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "INSTANT\tACTION\tSTATE\tOPERATION\tFILES\tINSERTS\tUPDATES\tDELETES\tBYTES\tCOMMIT ID")
		for _, i := range instants {
			state := string(i.State)
			if i.Archived {
				state += " (archived)"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\n",
				i.Instant, i.Action, state, i.Operation, i.Files, i.Inserts, i.Updates, i.Deletes, i.Bytes, i.CommitID)
		}
		return w.Flush()
	})
}
