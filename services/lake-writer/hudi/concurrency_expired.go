package hudi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/lock"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// RollBackExpired undoes, on a shared table, the ordinary commits that other engines left pending and that gave no sign of life for too long, as
// their own cleaning would (hoodie.clean.failed.writes.policy LAZY). It returns what it undid. Compactions and clusterings stay, which
// somebody may finish, and so does everything that is alive. A log file of table version 6 that holds rows of another commit besides is an
// *UnsupportedError: only Hudi's own rollback can undo part of one.
func (w *Writer) RollBackExpired(ctx context.Context) ([]timeline.Entry, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.shared == nil {
		return nil, fmt.Errorf("roll back expired: %w: the table is not shared", ErrInvalid)
	}
	tl, err := w.enterService(ctx)
	if err != nil {
		return nil, fmt.Errorf("roll back expired: %w", err)
	}
	var undone []timeline.Entry
	for _, e := range tl.Pending() {
		if e.Action != timeline.Commit && e.Action != timeline.DeltaCommit {
			continue
		}
		// Under the lock its owner cannot complete it meanwhile, nor another cleaner undo it.
		err := w.shared.Lock.Do(ctx, func(ctx context.Context, _ *lock.Lease) error {
			dead, err := w.expired(ctx, e)
			if err != nil || !dead {
				return err
			}
			if err := w.rollBackForeign(ctx, e); err != nil {
				return err
			}
			undone = append(undone, e)
			return nil
		})
		if err != nil {
			return undone, fmt.Errorf("roll back expired %s: %w", e.FileName(), err)
		}
	}
	return undone, nil
}

// expired reports whether a pending commit is still pending, and dead: begun long ago, and without a sign of life.
func (w *Writer) expired(ctx context.Context, e timeline.Entry) (bool, error) {
	tl, err := w.table.Timeline(ctx)
	if err != nil {
		return false, err
	}
	if now, ok := tl.Find(e.Instant, e.Action); !ok || now.State == timeline.Completed {
		return false, nil
	}
	// Its owner may not have come to its first sign of life.
	if at, err := e.Instant.Time(); err != nil || w.table.options.now().Sub(at) <= w.shared.allowed() {
		return false, nil
	}
	alive, err := w.alive(ctx, e.Instant)
	return !alive, err
}

// rollBackForeign undoes a dead commit of another engine. Its place on the timeline goes last, so that an interrupted rollback is found again.
func (w *Writer) rollBackForeign(ctx context.Context, e timeline.Entry) error {
	files, err := w.foreignFiles(ctx, e.Instant)
	if err != nil {
		return err
	}
	tl, err := w.table.Timeline(ctx)
	if err != nil {
		return err
	}
	rollback, err := w.requestRollback(ctx, tl, e, files)
	if err != nil {
		return err
	}
	planned, err := w.plannedDeletions(ctx, rollback) // the plan may be an earlier try's, which found more
	if err != nil {
		return err
	}
	files = append(files, keysOf(planned)...)
	slices.Sort(files)
	files = slices.Compact(files)
	if err := w.deleteAll(ctx, files); err != nil {
		return err
	}
	if err := w.completeRollback(ctx, rollback, e, files); err != nil {
		return err
	}
	if err := w.deleteFolder(ctx, meta.MarkerFolder(e.Instant)); err != nil {
		return err
	}
	if err := w.revertMetadata(ctx, e.Instant); err != nil {
		return err
	}
	return w.deleteAll(ctx, []string{heartbeatKey(e.Instant), e.In(timeline.Inflight).Key(), e.In(timeline.Requested).Key()})
}

// foreignFiles are the data files of a pending commit of another engine: in the partitions that its markers name, by their names, and in layout 1
// the log files by what is in them.
func (w *Writer) foreignFiles(ctx context.Context, instant timeline.Instant) ([]string, error) {
	groups, err := w.foreignMarkers(ctx, instant)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, partition := range slices.Sorted(maps.Keys(groups)) {
		objects, _, err := w.listPartition(ctx, partition)
		if err != nil {
			return nil, err
		}
		for _, o := range objects {
			if instantOf(o.Key) == instant {
				files = append(files, o.Key)
				continue
			}
			l, err := fileslice.ParseLogKey(o.Key)
			if err != nil || w.table.layout() == timeline.Layout2 || !groups[partition][l.FileID] {
				continue
			}
			l.Size = o.Size
			own, err := w.ownLog(ctx, l, instant)
			if err != nil {
				return nil, err
			}
			if own {
				files = append(files, o.Key)
			}
		}
	}
	return files, nil
}

// ownLog reports whether a log file is of one commit alone.
func (w *Writer) ownLog(ctx context.Context, l fileslice.LogFile, instant timeline.Instant) (bool, error) {
	instants, err := w.table.options.logInstants(ctx, w.table, l)
	if err != nil {
		return false, fmt.Errorf("look into %s: %w", l.Key(), err)
	}
	if !slices.Contains(instants, instant) {
		return false, nil
	}
	for _, other := range instants {
		if other != instant {
			return false, &UnsupportedError{l.Key(), "", fmt.Sprintf("the log file holds rows of %s and of %s", instant, other)}
		}
	}
	return true, nil
}

// foreignMarkers are the file groups, by partition, that the markers of an instant name: one empty object for each data file, or lists of them.
func (w *Writer) foreignMarkers(ctx context.Context, instant timeline.Instant) (map[string]map[string]bool, error) {
	folder := meta.MarkerFolder(instant)
	var markers []meta.Marker
	for info, err := range w.table.store.List(ctx, folder) {
		if err != nil {
			return nil, fmt.Errorf("list markers of %s: %w", instant, err)
		}
		name := strings.TrimPrefix(info.Key, folder)
		text := []byte(name)
		switch {
		case strings.HasPrefix(name, "MARKERS") && !strings.Contains(name, "/"):
			if info.Key == meta.MarkerTypeKey(instant) {
				continue
			}
			if text, _, err = w.table.store.Get(ctx, info.Key); err != nil {
				if errors.Is(err, storage.ErrNotExist) {
					continue
				}
				return nil, fmt.Errorf("read markers of %s: %w", instant, err)
			}
		case name == meta.ReservationName || strings.HasSuffix(name, "/"): // a folder's own object
			continue
		}
		some, err := meta.ParseMarkers(text)
		if err != nil {
			return nil, fmt.Errorf("read markers of %s: %w", instant, err)
		}
		markers = append(markers, some...)
	}
	groups := make(map[string]map[string]bool)
	for _, m := range markers {
		g := groupOf(m.File)
		if g == (fileGroup{}) {
			return nil, &UnsupportedError{folder, m.File, "the marker names no data file"}
		}
		if groups[g.partition] == nil {
			groups[g.partition] = make(map[string]bool)
		}
		groups[g.partition][g.fileID] = true
	}
	return groups, nil
}
