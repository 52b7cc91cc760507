package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

func compactCommand() command {
	return command{
		name: "compact", args: "PATH", about: "merge log files into new base files", outputs: []string{"text", "json"},
		define: func(flags *flag.FlagSet) func(context.Context, *session) error {
			own := ownershipFlags(flags)
			partitions := flags.String("partition", "", "only partitions that begin so; several with commas between")
			var o hudi.CompactOptions
			flags.IntVar(&o.MinLogs, "min-logs", 0, "only slices with so many log files")
			flags.Float64Var(&o.MinRatio, "min-ratio", 0, "or with so many log bytes for each byte of the base file")
			flags.Int64Var(&o.MaxBytes, "max-bytes", 0, "read so many bytes at most, those with the most log bytes first")
			return func(ctx context.Context, s *session) error {
				o.Partitions = listOf(*partitions)
				return runCompact(ctx, s, own, o)
			}
		},
	}
}

// compactedGroup is one slice that a dry run would compact.
type compactedGroup struct {
	Partition string `json:"partition"`
	FileID    string `json:"file_id"`
	Logs      int    `json:"logs"`
	LogBytes  int64  `json:"log_bytes"`
	BaseBytes int64  `json:"base_bytes"`
}

// compaction is the command's JSON. Without anything to compact it has no instant and no files.
type compaction struct {
	DryRun  bool             `json:"dry_run,omitempty"`
	Plan    []compactedGroup `json:"plan"`
	Instant timeline.Instant `json:"instant,omitempty"`
	Files   int              `json:"files"`
	Bytes   int64            `json:"bytes"`
}

func runCompact(ctx context.Context, s *session, own ownership, o hudi.CompactOptions) error {
	_, writer, _, err := own.acquire(ctx, s.args[0])
	if err != nil {
		return err
	}
	groups, err := writer.PlanCompaction(ctx, o)
	if err != nil {
		return err
	}
	result := compaction{DryRun: *own.dryRun, Plan: []compactedGroup{}}
	for _, g := range groups {
		result.Plan = append(result.Plan, compactedGroup{g.Partition, g.FileID, g.Logs, g.LogBytes, g.BaseBytes})
	}
	if !result.DryRun {
		done, err := writer.Compact(ctx, o)
		if err != nil {
			return err
		}
		if done != nil {
			result.Instant, result.Files, result.Bytes = done.Instant, done.Files, done.Bytes
		}
	}
	return s.print(result, func(w io.Writer) error {
		for _, g := range result.Plan {
			fmt.Fprintf(w, "%s/%s: %d logs, %d bytes, on %d\n", g.Partition, g.FileID, g.Logs, g.LogBytes, g.BaseBytes)
		}
		var err error
		switch {
		case result.DryRun:
			_, err = fmt.Fprintf(w, "%d file groups to compact%s\n", len(result.Plan), dryNote(true))
		case result.Instant == "":
			_, err = fmt.Fprintln(w, "nothing to compact")
		default:
			_, err = fmt.Fprintf(w, "compaction %s: %d files, %d bytes\n", result.Instant, result.Files, result.Bytes)
		}
		return err
	})
}
