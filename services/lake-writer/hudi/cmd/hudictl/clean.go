package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

var cleanPolicies = map[string]hudi.CleanPolicy{"commits": hudi.CleanByCommits, "hours": hudi.CleanByHours, "versions": hudi.CleanByVersions}

func cleanCommand() command {
	return command{
		name: "clean", args: "PATH", about: "delete files that no reader of the retained commits needs", outputs: []string{"text", "json"},
		define: func(flags *flag.FlagSet) func(context.Context, *session) error {
			own := ownershipFlags(flags)
			policy := flags.String("policy", "commits", "what --retain counts: commits, hours or versions of each file group")
			retain := flags.Int("retain", 0, "how many stay; at least 1")
			full := flags.Bool("full", false, "look at every partition, not only at those written to since the last clean")
			return func(ctx context.Context, s *session) error {
				p, known := cleanPolicies[*policy]
				if !known {
					return &usageError{fmt.Sprintf("no policy %q", *policy)}
				}
				if *retain < 1 {
					return &usageError{"--retain has to be 1 or more"}
				}
				return runClean(ctx, s, own, hudi.CleanOptions{Policy: p, Retain: *retain, Full: *full, DryRun: *own.dryRun})
			}
		},
	}
}

// cleaned is the command's JSON.
type cleaned struct {
	DryRun   bool               `json:"dry_run,omitempty"`
	Instant  timeline.Instant   `json:"instant,omitempty"`  // none when there was nothing to delete
	Earliest timeline.Instant   `json:"earliest,omitempty"` // the first commit that can still be read as of
	Files    []string           `json:"files"`
	Bytes    int64              `json:"bytes"`
	Finished []timeline.Instant `json:"finished"` // cleans that were found pending and completed
}

func runClean(ctx context.Context, s *session, own ownership, o hudi.CleanOptions) error {
	_, writer, _, err := own.acquire(ctx, s.args[0])
	if err != nil {
		return err
	}
	r, err := writer.Clean(ctx, o)
	if err != nil {
		return err
	}
	result := cleaned{o.DryRun, r.Instant, r.Earliest, append([]string{}, r.Files...), r.Bytes, append([]timeline.Instant{}, r.Finished...)}
	return s.print(result, func(w io.Writer) error {
		for _, i := range result.Finished {
			fmt.Fprintln(w, "finished", i)
		}
		verb := "deleted"
		if result.DryRun {
			verb = "would delete"
		}
		for _, key := range result.Files {
			fmt.Fprintln(w, verb, key)
		}
		_, err := fmt.Fprintf(w, "%d files, %d bytes; the first commit to read as of is %s%s\n",
			len(result.Files), result.Bytes, orNone(string(result.Earliest)), dryNote(result.DryRun))
		return err
	})
}

func orNone(text string) string {
	if text == "" {
		return "any"
	}
	return text
}
