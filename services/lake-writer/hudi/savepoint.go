package hudi

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// Savepoint is a commit that stays readable: no clean deletes what it needs, and no archive passes it.
type Savepoint struct {
	Instant timeline.Instant // of the commit
	meta.Savepoint
}

// Savepoint makes a savepoint on a completed commit and returns it; one that is there already is returned as it is. A commit that cannot be
// read as of any more, since it was cleaned or archived away or is about to be, is ErrTimeTravel. It may be repeated after any error.
func (w *Writer) Savepoint(ctx context.Context, instant timeline.Instant, user, comment string) (*Savepoint, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	point, err := w.savepointAt(ctx, instant, user, comment)
	if err != nil {
		return nil, fmt.Errorf("savepoint %s: %w", instant, err)
	}
	return point, nil
}

func (w *Writer) savepointAt(ctx context.Context, instant timeline.Instant, user, comment string) (*Savepoint, error) {
	tl, err := w.enterService(ctx)
	if err != nil {
		return nil, err
	}
	// What a predecessor planned to delete is deleted before the savepoint's files are looked for; HEAD's epoch keeps him from planning more.
	finished, err := w.finishCleans(ctx, tl, nil)
	if err != nil {
		return nil, err
	}
	if len(finished) > 0 {
		if tl, err = w.table.Timeline(ctx); err != nil {
			return nil, err
		}
	}
	if there, ok := tl.Find(instant, timeline.Savepoint); ok && there.State == timeline.Completed {
		point, err := w.table.savepoint(ctx, there)
		if err != nil {
			return nil, err
		}
		return &Savepoint{instant, *point}, nil
	}
	if err := w.checkSavepoint(ctx, tl, instant); err != nil {
		return nil, err
	}
	point := meta.Savepoint{SavepointedBy: user, SavepointedMillis: w.table.options.now().UnixMilli(), Comments: comment}
	if point.Partitions, err = w.savepointFiles(ctx, tl, instant); err != nil {
		return nil, err
	}
	version := 1
	point.Version = &version
	data, err := point.Encode()
	if err != nil {
		return nil, err
	}
	e := w.table.entry(instant, timeline.Savepoint, timeline.Inflight)
	done := e.At(timeline.Next(w.table.options.now(), max(tl.Last(), w.mu.head.Head.Last())))
	for _, put := range []struct {
		entry timeline.Entry
		data  []byte
	}{{e, nil}, {done, data}} {
		_, err := w.table.store.Put(ctx, put.entry.Key(), put.data, storage.Condition{IfAbsent: true})
		if err != nil && storage.Classify(err) != storage.Precondition {
			return nil, fmt.Errorf("write %s: %w", put.entry.FileName(), err)
		}
	}
	return &Savepoint{instant, point}, nil
}

// checkSavepoint refuses an instant that is no commit of the active timeline, or one that cleans or archives have passed.
func (w *Writer) checkSavepoint(ctx context.Context, tl *timeline.Timeline, instant timeline.Instant) error {
	i := slices.IndexFunc(tl.Commits(), func(e timeline.Entry) bool { return e.Instant == instant })
	if i < 0 {
		if len(tl.Commits()) > 0 && instant < tl.Commits()[0].Instant {
			return ErrTimeTravel
		}
		return fmt.Errorf("%w: no completed commit", ErrInvalid)
	}
	clean, err := w.table.lastClean(ctx, tl)
	if err != nil {
		return err
	}
	if clean != nil && string(instant) < clean.EarliestToRetain {
		return fmt.Errorf("cleaned up to %s: %w", clean.EarliestToRetain, ErrTimeTravel)
	}
	leaving, err := w.table.archivedSince(ctx, instant)
	if err != nil {
		return err
	}
	if leaving[tl.Commits()[i]] { // whoever put it into the archive may be about to take it off the timeline
		return fmt.Errorf("it is in the archive: %w", ErrTimeTravel)
	}
	return nil
}

// savepointFiles are the files that a reader as of an instant needs: base files and all logs of their slices.
func (w *Writer) savepointFiles(ctx context.Context, tl *timeline.Timeline, instant timeline.Instant) (map[string]meta.SavepointPartition, error) {
	view, err := w.table.View(ctx, instant, nil)
	if err != nil {
		return nil, err
	}
	if len(view.Missing) > 0 {
		return nil, fmt.Errorf("data file %s: %w", view.Missing[0], ErrTimeTravel)
	}
	type slice struct {
		group fileGroup
		at    timeline.Instant
	}
	wanted := make(map[slice]bool)
	for _, s := range view.Slices {
		at := s.Base.Instant
		if !s.HasBase {
			at = s.Logs[0].Instant
		}
		wanted[slice{fileGroup{s.Partition, s.FileID}, at}] = true
	}
	partitions := make(map[string]meta.SavepointPartition)
	for objects, err := range w.table.partitions(ctx, "") {
		if err != nil {
			return nil, err
		}
		placing, err := w.table.placing(ctx, tl, objects)
		if err != nil {
			return nil, err
		}
		for id, held := range heldSlices(objects, placing) {
			for _, s := range held {
				if !wanted[slice{id, s.instant}] {
					continue
				}
				p := partitions[id.partition]
				p.PartitionPath = id.partition
				for _, o := range s.files {
					p.Files = append(p.Files, path.Base(o.Key))
				}
				partitions[id.partition] = p
			}
		}
	}
	return partitions, nil
}

// Savepoints are the table's savepoints, ascending.
func (t *Table) Savepoints(ctx context.Context) ([]Savepoint, error) {
	tl, err := t.Timeline(ctx)
	if err != nil {
		return nil, err
	}
	var points []Savepoint
	for _, e := range tl.Entries() {
		if e.Action != timeline.Savepoint || e.State != timeline.Completed {
			continue
		}
		point, err := t.savepoint(ctx, e)
		if errors.Is(err, storage.ErrNotExist) { // deleted meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		points = append(points, Savepoint{e.Instant, *point})
	}
	return points, nil
}

// DeleteSavepoint takes a savepoint away, complete or under way; the next clean deletes what only it kept. No savepoint is no error.
func (w *Writer) DeleteSavepoint(ctx context.Context, instant timeline.Instant) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := w.enterService(ctx); err != nil {
		return fmt.Errorf("delete savepoint %s: %w", instant, err)
	}
	// In layout 2 there may be several completed files: of a request whose answer was lost, and of its repetition.
	inflight, gone := w.table.entry(instant, timeline.Savepoint, timeline.Inflight), []string(nil)
	for info, err := range w.table.store.List(ctx, inflight.Layout.Folder()+string(instant)) {
		if err != nil {
			return fmt.Errorf("delete savepoint %s: %w", instant, err)
		}
		e, ok := inflight.Layout.ParseFileName(strings.TrimPrefix(info.Key, inflight.Layout.Folder()))
		if ok && e.Instant == instant && e.Action == timeline.Savepoint && e.State == timeline.Completed {
			gone = append(gone, info.Key)
		}
	}
	// The completed file first: Hudi's readers of savepoints know nothing of one that is under way.
	if err := w.deleteAll(ctx, append(gone, inflight.Key())); err != nil {
		return fmt.Errorf("delete savepoint %s: %w", instant, err)
	}
	return nil
}
