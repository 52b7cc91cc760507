package hudi

import (
	"context"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// limit is the first instant that must stay on the timeline.
type limit struct {
	at     timeline.Instant
	reason string
}

func (l *limit) lower(at timeline.Instant, reason string) {
	if at != "" && (l.at == "" || at < l.at) {
		l.at, l.reason = at, reason
	}
}

// archivable is how many of the first n commits may leave the timeline. It deletes what must not be passed and is nobody's.
func (w *Writer) archivable(ctx context.Context, tl *timeline.Timeline, n int, result *ArchiveResult) (int, error) {
	commits := tl.Commits()
	l := limit{}
	l.lower(w.mu.head.Head.Instant, "it is HEAD's commit")
	if err := w.timelineLimits(ctx, tl, &l); err != nil {
		return 0, err
	}
	wanted := n
	if n = before(commits[:n], l.at); n > 0 {
		if err := w.fileLimits(ctx, tl, &l, result); err != nil {
			return 0, err
		}
	}
	if n = before(commits[:n], l.at); n < wanted {
		result.Held, result.Reason = commits[n].Instant, l.reason
	}
	return n, nil
}

// before is how many entries are before an instant.
func before(entries []timeline.Entry, at timeline.Instant) int {
	for i, e := range entries {
		if e.Instant >= at {
			return i
		}
	}
	return len(entries)
}

// timelineLimits finds what must stay by the timeline and the attempts' folders.
func (w *Writer) timelineLimits(ctx context.Context, tl *timeline.Timeline, l *limit) error {
	for _, e := range tl.Pending() {
		l.lower(e.Instant, "pending "+e.FileName())
	}
	savepoints, err := w.table.savepointed(ctx, tl)
	if err != nil {
		return err
	}
	l.lower(savepoints.first(), "savepoint "+string(savepoints.first()))
	clean, err := w.table.lastClean(ctx, tl)
	if err != nil {
		return err
	}
	if clean != nil {
		l.lower(timeline.Instant(clean.EarliestToRetain), "retained by the last clean")
	}
	// An attempt without a place on the timeline may still put files, or come to be found: settle keeps its folder meanwhile.
	reserved, marked, err := w.reservations(ctx)
	if err != nil {
		return err
	}
	for i := range reserved {
		marked[i] = true
	}
	for i := range marked {
		if !tl.Committed(i) {
			l.lower(i, "an attempt at "+string(i))
		}
	}
	return nil
}

// fileLimits looks at all data files: those of instants that never committed are deleted, and a replacecommit whose replaced files are
// there has to stay, since without it they would count as newest.
func (w *Writer) fileLimits(ctx context.Context, tl *timeline.Timeline, l *limit, result *ArchiveResult) error {
	replaced, err := w.table.replacements(ctx, tl)
	if err != nil {
		return err
	}
	s := orphanSweep{w: w, tl: tl, limit: l, result: result}
	for objects, err := range w.table.partitions(ctx, "") {
		if err != nil {
			return err
		}
		if err := s.bases(ctx, objects); err != nil {
			return err
		}
		if err := s.logs(ctx, objects); err != nil {
			return err
		}
		for _, o := range objects {
			if at := replaced[groupOf(o.Key)]; at != "" {
				l.lower(at, "the replaced file "+o.Key+" is not cleaned")
			}
		}
	}
	return nil
}

// groupOf is the file group of a data file; the zero value for every other object.
func groupOf(key string) fileGroup {
	if l, err := fileslice.ParseLogKey(key); err == nil {
		return fileGroup{l.Partition, l.FileID}
	}
	if f, err := fileslice.ParseKey(key); err == nil {
		return fileGroup{f.Partition, f.FileID}
	}
	return fileGroup{}
}
