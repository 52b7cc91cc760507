package tableadmin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	tablev1 "github.com/playhead-pipeline/playhead/proto/table/v1"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
)

// How many commits ListCommits returns.
const (
	defaultCommits = 20
	maxCommits     = 100
)

// ListCommits implements table/v1.
func (s *Server) ListCommits(ctx context.Context, r *tablev1.ListCommitsRequest) (*tablev1.ListCommitsResponse, error) {
	t, ok := s.tables[r.GetTable()]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "no table %q in the configuration", r.GetTable())
	}
	limit := cmp.Or(r.GetLimit(), defaultCommits)
	if limit < 0 || limit > maxCommits {
		return nil, status.Errorf(codes.InvalidArgument, "limit %d, want up to %d", limit, maxCommits)
	}
	commits, err := newest(ctx, t, int(limit))
	switch {
	case errors.Is(err, hudi.ErrNotFound):
		return nil, status.Errorf(codes.FailedPrecondition, "table %s is not created yet", r.GetTable())
	case err != nil:
		return nil, refusal(ctx, err)
	}
	return &tablev1.ListCommitsResponse{Commits: commits}, nil
}

// newest reads the newest commits of a table.
func newest(ctx context.Context, t Table, limit int) ([]*tablev1.Commit, error) {
	table, err := t.Open(ctx)
	if err != nil {
		return nil, fmt.Errorf("open the table: %w", err)
	}
	tl, err := table.Timeline(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the timeline: %w", err)
	}
	entries := tl.Commits()
	var out []*tablev1.Commit
	for _, e := range slices.Backward(entries[max(0, len(entries)-limit):]) {
		commit, err := table.Commit(ctx, e)
		if err != nil {
			return nil, fmt.Errorf("read commit %s: %w", e.Instant, err)
		}
		c := explain(commit)
		c.Instant, c.Action = string(e.Instant), string(e.Action)
		out = append(out, c)
	}
	return out, nil
}

// explain sums a commit up.
func explain(commit *meta.Commit) *tablev1.Commit {
	c := &tablev1.Commit{Operation: commit.OperationType, Partitions: int32(len(commit.PartitionToWriteStats))}
	for _, stats := range commit.PartitionToWriteStats {
		for _, s := range stats {
			c.Files++
			c.Records += s.NumWrites
			c.Bytes += s.TotalWriteBytes
		}
	}
	note, ours := commit.Note()
	if !ours {
		return c
	}
	c.WatermarkMicros = 1000 * note.WatermarkMillis
	for topic, partitions := range note.Offsets {
		for partition, next := range partitions {
			c.Offsets = append(c.Offsets, &tablev1.Offset{Topic: topic, Partition: partition, Next: next})
		}
	}
	slices.SortFunc(c.Offsets, func(a, b *tablev1.Offset) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return c
}
