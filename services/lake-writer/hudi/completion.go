package hudi

import (
	"context"
	"fmt"
	"maps"
	"sync"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/history"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// completions remembers when archived writes completed, so that the history is not read at every listing.
type completions struct {
	sync.Mutex
	known map[timeline.Instant]timeline.Instant // "": the history does not say
}

// placing is the timeline by which a listing's log files are put on top of base files. In layout 2 that takes the completion times of their
// instants. Those of archived ones are in the history, which is read only when it makes a difference: a log file whose group has a base file
// with a later instant may have been written while that was compacted. Spark's writers do so when several write to a table.
func (t *Table) placing(ctx context.Context, tl *timeline.Timeline, objects []fileslice.Object) (*timeline.Timeline, error) {
	wanted := archivedLogs(objects, tl)
	if len(wanted) == 0 {
		return tl, nil
	}
	t.completions.Lock()
	defer t.completions.Unlock()
	if t.completions.known == nil {
		t.completions.known = make(map[timeline.Instant]timeline.Instant)
	}
	missing := maps.Clone(wanted)
	maps.DeleteFunc(missing, func(i timeline.Instant, _ bool) bool { _, known := t.completions.known[i]; return known })
	if len(missing) > 0 {
		if err := t.readCompletions(ctx, missing); err != nil {
			return nil, err
		}
	}
	found := make(map[timeline.Instant]timeline.Instant, len(wanted))
	for i := range wanted {
		if at := t.completions.known[i]; at != "" {
			found[i] = at
		}
	}
	return tl.WithArchived(found), nil
}

// readCompletions looks instants up in the history; t.completions is locked.
func (t *Table) readCompletions(ctx context.Context, missing map[timeline.Instant]bool) error {
	for in, err := range history.Read(ctx, t.store, t.historyFolder()) {
		if err != nil {
			return fmt.Errorf("read completion times: %w", err)
		}
		if missing[in.Instant] && in.Action.Writes() {
			t.completions.known[in.Instant] = in.Completion
		}
	}
	for i := range missing {
		if _, found := t.completions.known[i]; !found {
			t.completions.known[i] = ""
		}
	}
	return nil
}

// historyFolder is where the archived timeline of layout 2 lies.
func (t *Table) historyFolder() string {
	folder := t.props[meta.HistoryPath]
	if folder == "" {
		folder = "history"
	}
	return timeline.Layout2.Folder() + folder + "/"
}

// archivedLogs are the instants of committed log files, not on the active timeline, whose group has a later base file.
func archivedLogs(objects []fileslice.Object, tl *timeline.Timeline) map[timeline.Instant]bool {
	if tl.Layout() != timeline.Layout2 {
		return nil
	}
	newest := make(map[fileGroup]timeline.Instant)
	for _, o := range objects {
		if f, err := fileslice.ParseKey(o.Key); err == nil && tl.Committed(f.Instant) {
			g := fileGroup{f.Partition, f.FileID}
			newest[g] = max(newest[g], f.Instant)
		}
	}
	wanted := make(map[timeline.Instant]bool)
	for _, o := range objects {
		l, err := fileslice.ParseLogKey(o.Key)
		if err != nil || !tl.Committed(l.Instant) || newest[fileGroup{l.Partition, l.FileID}] <= l.Instant {
			continue
		}
		if _, active := tl.CompletionOf(l.Instant); !active {
			wanted[l.Instant] = true
		}
	}
	return wanted
}
