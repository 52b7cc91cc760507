package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

func clusterCommand() command {
	return command{
		name: "cluster", args: "PATH", about: "merge small files of an append-only table into fewer, sorted ones", outputs: []string{"text", "json"},
		define: func(flags *flag.FlagSet) func(context.Context, *session) error {
			own := ownershipFlags(flags)
			partitions := flags.String("partition", "", "only partitions that begin so; several with commas between")
			sortBy := flags.String("sort-by", "", "columns that order the rows, with commas between; none: the order of the files")
			var o hudi.ClusterOptions
			flags.Int64Var(&o.SmallFileBytes, "small-file-bytes", hudi.DefaultSmallFileBytes, "rewrite files below this size")
			flags.Int64Var(&o.TargetFileBytes, "target-file-bytes", hudi.DefaultTargetFileBytes, "about how large the new files become")
			flags.Int64Var(&o.MaxGroupBytes, "max-group-bytes", hudi.DefaultGroupBytes, "sort so many bytes of files together at most")
			flags.IntVar(&o.MaxGroups, "max-groups", hudi.DefaultClusterGroups, "rewrite so many groups of files at most")
			return func(ctx context.Context, s *session) error {
				o.Partitions, o.SortBy = listOf(*partitions), listOf(*sortBy)
				return runCluster(ctx, s, own, o)
			}
		},
	}
}

// clusteredGroup are files that become fewer ones.
type clusteredGroup struct {
	Partition string   `json:"partition"`
	FileIDs   []string `json:"file_ids"`
	Bytes     int64    `json:"bytes"`
	Outputs   int      `json:"outputs"`
}

// clustering is the command's JSON. Without anything to rewrite it has no instant and no files.
type clustering struct {
	DryRun  bool             `json:"dry_run,omitempty"`
	Plan    []clusteredGroup `json:"plan"`
	Instant timeline.Instant `json:"instant,omitempty"`
	Files   int              `json:"files"`
	Rows    int64            `json:"rows"`
	Bytes   int64            `json:"bytes"`
}

func runCluster(ctx context.Context, s *session, own ownership, o hudi.ClusterOptions) error {
	_, writer, _, err := own.acquire(ctx, s.args[0])
	if err != nil {
		return err
	}
	groups, err := writer.PlanClustering(ctx, o)
	if err != nil {
		return err
	}
	result := clustering{DryRun: *own.dryRun, Plan: []clusteredGroup{}}
	for _, g := range groups {
		result.Plan = append(result.Plan, clusteredGroup(g))
	}
	if !result.DryRun {
		done, err := writer.Cluster(ctx, o)
		if err != nil {
			return err
		}
		if done != nil {
			result.Instant, result.Files, result.Rows, result.Bytes = done.Instant, done.Files, done.Rows, done.Bytes
		}
	}
	return s.print(result, func(w io.Writer) error {
		for _, g := range result.Plan {
			fmt.Fprintf(w, "%s: %d files of %d bytes become %d\n", g.Partition, len(g.FileIDs), g.Bytes, g.Outputs)
		}
		var err error
		switch {
		case result.DryRun:
			_, err = fmt.Fprintf(w, "%d groups of files to cluster%s\n", len(result.Plan), dryNote(true))
		case result.Instant == "":
			_, err = fmt.Fprintln(w, "nothing to cluster")
		default:
			_, err = fmt.Fprintf(w, "clustering %s: %d files, %d rows, %d bytes\n", result.Instant, result.Files, result.Rows, result.Bytes)
		}
		return err
	})
}
