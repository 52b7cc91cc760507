package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/inspect"
)

func verifyCommand() command {
	return command{
		name: "verify", args: "PATH", about: "check the table; a line for each finding", outputs: []string{"text", "json"},
		define: func(flags *flag.FlagSet) func(context.Context, *session) error {
			buckets := flags.Int("buckets", 0, "buckets of a partition, of a table that another engine made with a bucket index")
			field := flags.String("bucket-field", "", "its hash field, or several with commas between; without it the record key's")
			strict := flags.Bool("strict", false, "warnings make the exit status 1 too")
			return func(ctx context.Context, s *session) error {
				o := inspect.Options{Buckets: *buckets, BucketField: *field, Now: time.Now()}
				return runVerify(ctx, s, o, *strict)
			}
		},
	}
}

func runVerify(ctx context.Context, s *session, o inspect.Options, strict bool) error {
	store, err := openStore(s.args[0])
	if err != nil {
		return err
	}
	report, err := inspect.Verify(ctx, store, o)
	if err != nil {
		return err
	}
	if err := s.print(report, func(w io.Writer) error { return writeReport(w, report) }); err != nil {
		return err
	}
	if report.Errors > 0 || strict && report.Warnings > 0 {
		return errFindings
	}
	return nil
}

func writeReport(w io.Writer, r *inspect.Report) error {
	for _, f := range r.Findings {
		fmt.Fprintln(w, f)
	}
	for _, text := range r.NotChecked {
		fmt.Fprintln(w, "not checked:", text)
	}
	_, err := fmt.Fprintf(w, "%s, version %s: %d rows in %d files and %d logs of %d partitions, %d bytes, last commit %s: %d errors, %d warnings\n",
		r.Table, r.Version, r.Rows, r.Files, r.Logs, r.Partitions, r.Bytes, r.Instant, r.Errors, r.Warnings)
	return err
}
