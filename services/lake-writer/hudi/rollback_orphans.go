package hudi

import (
	"context"
	"fmt"
	"slices"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// sweepOrphans deletes data files whose instant is on the timeline in no state: what a paused writer put after its attempt was rolled
// back. The timeline is listed after the files were, so an attempt that has just begun is not among them.
func (w *Writer) sweepOrphans(ctx context.Context, view fileslice.View) error {
	if len(view.Dangling)+len(view.DanglingLogs) == 0 {
		return nil
	}
	tl, err := w.table.Timeline(ctx)
	if err != nil {
		return err
	}
	known := make(map[timeline.Instant]bool)
	for _, e := range tl.Entries() {
		known[e.Instant] = true
	}
	var orphans []string
	for _, f := range view.Dangling {
		if !known[f.Instant] && !tl.Committed(f.Instant) {
			orphans = append(orphans, f.Key())
		}
	}
	for _, f := range view.DanglingLogs {
		if !known[f.Instant] && !tl.Committed(f.Instant) {
			orphans = append(orphans, f.Key())
		}
	}
	return w.deleteAll(ctx, orphans)
}

// sweepOrphanLogs is sweepOrphans for log files of layout 1, whose names do not tell their instant: those that no active commit names are
// looked into. It returns the slices without what it deleted.
func (w *Writer) sweepOrphanLogs(ctx context.Context, view []fileslice.Slice) ([]fileslice.Slice, error) {
	if w.table.layout() == timeline.Layout2 {
		return view, nil
	}
	type doubt struct {
		slice    int
		log      fileslice.LogFile
		instants []timeline.Instant
	}
	var doubts []doubt
	for i, s := range view {
		for _, l := range s.Logs {
			if w.mu.committed.names(fileGroup{s.Partition, s.FileID}, l.Key()) {
				continue
			}
			instants, err := w.table.options.logInstants(ctx, w.table, l)
			if err != nil {
				return nil, fmt.Errorf("look into %s: %w", l.Key(), err)
			}
			doubts = append(doubts, doubt{i, l, instants})
		}
	}
	if len(doubts) == 0 {
		return view, nil
	}
	tl, err := w.table.Timeline(ctx) // after the files were listed, as for base files
	if err != nil {
		return nil, err
	}
	known := make(map[timeline.Instant]bool)
	for _, e := range tl.Entries() {
		known[e.Instant] = true
	}
	for _, d := range doubts {
		s := &view[d.slice]
		if slices.ContainsFunc(d.instants, func(i timeline.Instant) bool { return known[i] || tl.Committed(i) }) {
			w.mu.committed.trust(fileGroup{s.Partition, s.FileID}, d.log.Key())
			continue
		}
		if err := w.deleteAll(ctx, []string{d.log.Key()}); err != nil {
			return nil, err
		}
		s.Logs = slices.DeleteFunc(slices.Clone(s.Logs), func(l fileslice.LogFile) bool { return l == d.log })
	}
	return view, nil
}
