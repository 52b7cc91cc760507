package tableservice

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
)

// job is one run of a service.
type job struct {
	r      *Runner
	target Target
	asked  bool // somebody asked for it: a pause does not end it
	report Report
	pace   *pace
}

func (j *job) do(ctx context.Context) error {
	switch j.report.Kind {
	case Compaction:
		return j.compact(ctx)
	case Clean:
		return j.clean(ctx)
	default:
		return j.archive(ctx)
	}
}

// compact folds all logs in, partition by partition in pieces, so that a commit never waits for more than one piece.
func (j *job) compact(ctx context.Context) error {
	if j.target.Type != hudi.MergeOnRead {
		return fmt.Errorf("a %s table has no logs", j.target.Type)
	}
	var groups []hudi.CompactionGroup
	if err := j.target.Exclusive(ctx, func() (err error) {
		groups, err = j.target.Writer.PlanCompaction(ctx, hudi.CompactOptions{})
		return err
	}); err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	perPartition := make(map[string][]hudi.CompactionGroup)
	var partitions []string
	for _, g := range groups {
		if perPartition[g.Partition] == nil {
			partitions = append(partitions, g.Partition)
		}
		perPartition[g.Partition] = append(perPartition[g.Partition], g)
	}
	// The oldest first: rows of the current hour still come, and their slices would be due again at once.
	slices.Sort(partitions)
	for _, partition := range partitions {
		for _, step := range steps(perPartition[partition], j.r.p.Policy.Compaction.StepBytes) {
			if j.report.DryRun {
				j.count(step)
				continue
			}
			if err := j.compactStep(ctx, partition, step); err != nil {
				return err
			}
		}
	}
	return nil
}

// step is what one piece of a compaction reads.
type step struct {
	groups, logs int
	bytes        int64
}

// steps cuts groups into pieces as the library does with the same bound. What it takes may differ, since logs are added between two pieces;
// only the number of pieces follows from this.
func steps(groups []hudi.CompactionGroup, bound int64) []step {
	var all []step
	for _, g := range groups {
		bytes := g.BaseBytes + g.LogBytes
		if n := len(all); n > 0 && all[n-1].bytes+bytes <= bound {
			all[n-1] = step{all[n-1].groups + 1, all[n-1].logs + g.Logs, all[n-1].bytes + bytes}
			continue
		}
		all = append(all, step{1, g.Logs, bytes})
	}
	return all
}

func (j *job) count(s step) {
	j.report.Groups += s.groups
	j.report.LogFiles += s.logs
	j.report.Bytes += s.bytes
}

func (j *job) compactStep(ctx context.Context, partition string, s step) error {
	if !j.asked && j.r.paused(Compaction) {
		return errPaused
	}
	o := hudi.CompactOptions{Partitions: []string{partition + "/"}, MaxBytes: max(j.r.p.Policy.Compaction.StepBytes, 1)}
	var result *hudi.CommitResult
	began := time.Now()
	err := j.target.Exclusive(ctx, func() (err error) {
		began = time.Now()
		result, err = j.settled(ctx, func() (*hudi.CommitResult, error) { return j.target.Writer.Compact(ctx, o) })
		return err
	})
	if err != nil {
		return fmt.Errorf("partition %s: %w", partition, err)
	}
	if result == nil {
		return nil // somebody asked for the same at the same time
	}
	j.report.Pieces++
	j.report.Instant = result.Instant
	j.count(s)
	j.r.p.Metrics.piece(j.r.p.Table, j.report.Kind, time.Since(began))
	return j.pace.rest(ctx, time.Since(began), s.bytes)
}

// settled runs a piece that replaces HEAD and does not come back before it is known, and on the timeline, whether it happened.
func (j *job) settled(ctx context.Context, piece func() (*hudi.CommitResult, error)) (*hudi.CommitResult, error) {
	result, err := piece()
	for attempt := 0; errors.Is(err, hudi.ErrUnknownOutcome); attempt++ {
		if pause(ctx, attempt) != nil {
			return nil, err
		}
		result, err = j.target.Writer.Resolve(ctx)
	}
	if err != nil || result == nil {
		return nil, err
	}
	for attempt := 0; !result.Projected; attempt++ {
		if err = j.target.Writer.Redo(ctx); err == nil {
			break
		}
		if pause(ctx, attempt) != nil || errors.Is(err, hudi.ErrFenced) {
			return nil, err
		}
	}
	return result, nil
}

// clean is one piece: deletions are many but small requests, and the library lets no commit come between them.
func (j *job) clean(ctx context.Context) error {
	c := j.r.p.Policy.Clean
	o := hudi.CleanOptions{Policy: hudi.CleanByHours, Retain: c.Hours, DryRun: j.report.DryRun}
	if c.Commits > 0 {
		o.Policy, o.Retain = hudi.CleanByCommits, c.Commits
	}
	return j.target.Exclusive(ctx, func() error {
		result, err := j.target.Writer.Clean(ctx, o)
		if err != nil {
			return err
		}
		j.report.Deleted, j.report.DeletedBytes, j.report.Instant = len(result.Files), result.Bytes, result.Instant
		if result.Instant != "" {
			j.report.Pieces = 1
		}
		return nil
	})
}

func (j *job) archive(ctx context.Context) error {
	if j.report.DryRun {
		return errors.New("an archive has no dry run")
	}
	a := j.r.p.Policy.Archive
	return j.target.Exclusive(ctx, func() error {
		result, err := j.target.Writer.Archive(ctx, hudi.ArchiveOptions{KeepMin: a.KeepMin, KeepMax: a.KeepMax})
		if err != nil {
			return err
		}
		j.report.Archived, j.report.Held = len(result.Archived), result.Reason
		return nil
	})
}
