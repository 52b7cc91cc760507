package hudi

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
)

// recordingPace notes the bytes that it was asked for, and refuses after some calls.
type recordingPace struct {
	asked []int64
	left  int
}

func (p *recordingPace) Wait(_ context.Context, bytes int64) error {
	if p.left--; p.left < 0 {
		return errPace
	}
	p.asked = append(p.asked, bytes)
	return nil
}

// TestCompactionPace: a compaction asks before each file that it reads, and its caller's error ends it with the table as it was; the next
// one does all of it.
func TestCompactionPace(t *testing.T) {
	t.Parallel()
	cfg := protoConfig
	cfg.Type = MergeOnRead
	table, w := acquiredOf(t, cfg)
	for i, events := range [][]string{{"e1", "e2"}, {"e2", "e3"}, {"e1", "e4"}} {
		req := eventRequest(t, int64(2*i), "s1", events...)
		req.Operation = Upsert
		mustCommit(t, w, req)
	}
	plan, err := w.PlanCompaction(t.Context(), CompactOptions{})
	if err != nil || len(plan) != 1 || plan[0].Logs != 2 || plan[0].BaseBytes == 0 {
		t.Fatalf("%+v, %v", plan, err)
	}
	before := rowsByKey(t, table)
	for calls := range 3 {
		result, err := w.Compact(t.Context(), CompactOptions{Pace: &recordingPace{left: calls}})
		if !errors.Is(err, errPace) || result != nil {
			t.Errorf("after %d files: %+v, %v", calls, result, err)
		}
		if have := rowsByKey(t, table); !maps.Equal(have, before) {
			t.Errorf("after %d files: rows %v, want %v", calls, have, before)
		}
	}
	pace := &recordingPace{left: 3}
	if result, err := w.Compact(t.Context(), CompactOptions{Pace: pace}); err != nil || result.Files != 1 {
		t.Fatalf("%+v, %v", result, err)
	}
	total := int64(0)
	for _, n := range pace.asked {
		total += n
	}
	if len(pace.asked) != 3 || slices.Contains(pace.asked, 0) || total != plan[0].BaseBytes+plan[0].LogBytes {
		t.Errorf("asked for %v bytes, want %d and %d", pace.asked, plan[0].BaseBytes, plan[0].LogBytes)
	}
	if have := rowsByKey(t, table); !maps.Equal(have, before) {
		t.Errorf("rows %v, want %v", have, before)
	}
}
