package hudi

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// rollBack undoes a dead attempt: its data files, then the attempt's own files. It can be repeated at any point, by anybody.
func (w *Writer) rollBack(ctx context.Context, instant timeline.Instant) error {
	tl, err := w.table.Timeline(ctx)
	if err != nil {
		return err
	}
	e, onTimeline := w.findAttempt(tl, instant)
	if tl.Committed(instant) || instant == w.mu.head.Head.Instant {
		return w.deleteAttempt(ctx, instant) // it committed, and may be archived by now: only its markers were left
	}
	if isUndo, err := w.dropUndo(ctx, tl, instant); err != nil || isUndo {
		return err
	}
	files, err := w.markedFiles(ctx, instant)
	if err != nil {
		return err
	}
	if onTimeline {
		foreign, err := w.isForeign(ctx, e)
		if err != nil {
			return err
		}
		if foreign {
			return w.deleteAll(ctx, []string{meta.MarkerFolder(instant) + meta.ReservationName})
		}
	}
	if !onTimeline {
		return w.sweepReserved(ctx, instant, files)
	}
	rollback, err := w.requestRollback(ctx, tl, e, files)
	if err != nil {
		return err
	}
	if err := w.deleteAll(ctx, files); err != nil {
		return err
	}
	if err := w.completeRollback(ctx, rollback, e, files); err != nil {
		return err
	}
	// The timeline's files go last but for the reservation, which is what makes an interrupted rollback be found again.
	states := []timeline.State{timeline.Inflight, timeline.Requested}
	if e.Action == timeline.Compaction && e.Layout == timeline.Layout1 {
		taken, err := w.takenUp(ctx, e)
		if err != nil {
			return err
		}
		if taken { // the plan stays, for whoever compacts next
			states = states[:1]
		}
	}
	for _, state := range states {
		if err := w.deleteAll(ctx, []string{e.In(state).Key()}); err != nil {
			return err
		}
	}
	return w.deleteAttempt(ctx, instant)
}

// takenUp reports whether log files were named after a pending compaction: a writer that finds it pending puts its rows on top of the slice
// that the compaction is going to make.
func (w *Writer) takenUp(ctx context.Context, e timeline.Entry) (bool, error) {
	plan, err := w.table.compactionPlan(ctx, e)
	if errors.Is(err, storage.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	listed := make(map[string]bool)
	for _, op := range plan.Operations {
		if op.PartitionPath == nil || listed[*op.PartitionPath] {
			continue
		}
		listed[*op.PartitionPath] = true
		objects, _, err := w.listPartition(ctx, *op.PartitionPath)
		if err != nil {
			return false, err
		}
		for _, o := range objects {
			if l, err := fileslice.ParseLogKey(o.Key); err == nil && l.Instant == e.Instant {
				return true, nil
			}
		}
	}
	return false, nil
}

// reservationLife is how long the reservation of a dead attempt is kept that is not on the timeline. Its owner may be paused just before
// putting it there; without the reservation nobody could tell then whose it is. The instant is taken meanwhile.
const reservationLife = time.Hour

// sweepReserved undoes an attempt that is not on the timeline.
func (w *Writer) sweepReserved(ctx context.Context, instant timeline.Instant, files []string) error {
	gone := append(files, meta.MarkerListKey(instant), meta.MarkerTypeKey(instant))
	if w.shared != nil {
		gone = append(gone, heartbeatKey(instant))
	}
	if at, err := instant.Time(); err != nil || w.table.options.now().Sub(at) > reservationLife {
		gone = append(gone, meta.MarkerFolder(instant)+meta.ReservationName)
	}
	return w.deleteAll(ctx, gone)
}

// markedFiles are the data files that an attempt announced. It announces all before it writes any.
func (w *Writer) markedFiles(ctx context.Context, instant timeline.Instant) ([]string, error) {
	data, _, err := w.table.store.Get(ctx, meta.MarkerListKey(instant))
	if errors.Is(err, storage.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read markers of %s: %w", instant, err)
	}
	markers, err := meta.ParseMarkers(data)
	if err != nil {
		return nil, fmt.Errorf("read markers of %s: %w", instant, err)
	}
	var files []string
	for _, m := range markers {
		// Whatever the list says, nothing but the attempt's own data files is deleted. In layout 1 a log's name does not hold its instant,
		// but is of this attempt alone.
		f, err := fileslice.ParseKey(m.File)
		l, logErr := fileslice.ParseLogKey(m.File)
		ownLog := logErr == nil && (l.Instant == instant || m.Kind == meta.MarkerAppend && w.table.layout() == timeline.Layout1)
		if err == nil && f.Instant == instant || ownLog {
			files = append(files, m.File)
		}
	}
	return files, nil
}

// deleteAttempt deletes an attempt's heartbeat and markers and at the end its reservation.
func (w *Writer) deleteAttempt(ctx context.Context, instant timeline.Instant) error {
	gone := []string{meta.MarkerListKey(instant), meta.MarkerTypeKey(instant), meta.MarkerFolder(instant) + meta.ReservationName}
	if w.shared != nil {
		gone = append([]string{heartbeatKey(instant)}, gone...)
	}
	return w.deleteAll(ctx, gone)
}

// rollbackPlan is the requested file of a rollback.
func (w *Writer) rollbackPlan(failed timeline.Entry, files []string) ([]byte, error) {
	plan := meta.RollbackPlan{InstantToRollback: &meta.InstantInfo{CommitTime: string(failed.Instant), Action: string(failed.Action)}}
	requests, version := []meta.RollbackRequest{}, 1
	for _, f := range files {
		// As in Hudi's plans that are made from markers, the file group stays empty.
		requests = append(requests, meta.RollbackRequest{
			PartitionPath: partitionOf(f), FileID: new(string), LatestBaseInstant: new(string),
			FilesToBeDeleted: []string{w.table.options.baseURI + f}, LogBlocks: &map[string]int64{},
		})
	}
	plan.Requests, plan.Version = &requests, &version
	return plan.Encode()
}

// requestRollback puts the rollback's plan on the timeline, or takes up the one that an interrupted rollback left.
func (w *Writer) requestRollback(ctx context.Context, tl *timeline.Timeline, failed timeline.Entry, files []string) (timeline.Entry, error) {
	data, err := w.rollbackPlan(failed, files)
	if err != nil {
		return timeline.Entry{}, err
	}
	if e, ok, err := w.pendingRollback(ctx, tl, failed.Instant); err != nil {
		return e, err
	} else if ok {
		return e, w.putInflight(ctx, e)
	}
	last := max(tl.Last(), w.mu.head.Head.Last())
	for range instantAttempts {
		last = timeline.Next(w.table.options.now(), last)
		e := w.table.entry(last, timeline.Rollback, timeline.Requested)
		_, err := w.table.store.Put(ctx, e.Key(), data, storage.Condition{IfAbsent: true})
		switch {
		case err == nil:
			return e, w.putInflight(ctx, e)
		case storage.Classify(err) != storage.Precondition:
			return timeline.Entry{}, fmt.Errorf("request rollback of %s: %w", failed.Instant, err)
		}
	}
	return timeline.Entry{}, errNoInstant
}

// pendingRollback finds the rollback that an interrupted one of an instant left.
func (w *Writer) pendingRollback(ctx context.Context, tl *timeline.Timeline, failed timeline.Instant) (e timeline.Entry, ok bool, err error) {
	for _, e := range tl.Pending() {
		if e.Action != timeline.Rollback {
			continue
		}
		target, err := w.rollbackTarget(ctx, e)
		if err != nil || target.Instant == failed {
			return e, err == nil, err
		}
	}
	return timeline.Entry{}, false, nil
}

func partitionOf(file string) string {
	return strings.TrimSuffix(file[:strings.LastIndexByte(file, '/')+1], "/")
}

func (w *Writer) putInflight(ctx context.Context, rollback timeline.Entry) error {
	_, err := w.table.store.Put(ctx, rollback.In(timeline.Inflight).Key(), nil, storage.Condition{IfAbsent: true})
	if err != nil && storage.Classify(err) != storage.Precondition {
		return fmt.Errorf("begin rollback %s: %w", rollback.Instant, err)
	}
	return nil
}

func (w *Writer) completeRollback(ctx context.Context, rollback, failed timeline.Entry, files []string) error {
	version := 1
	info := meta.InstantInfo{CommitTime: string(failed.Instant), Action: string(failed.Action)}
	m := meta.RollbackMetadata{
		StartRollbackTime: string(rollback.Instant), TotalFilesDeleted: len(files), CommitsRollback: []string{string(failed.Instant)},
		Partitions: make(map[string]meta.RollbackPartition), Version: &version, InstantsRollback: []meta.InstantInfo{info},
	}
	for _, f := range files {
		p := m.Partitions[partitionOf(f)]
		p.PartitionPath, p.FailedDeleteFiles = partitionOf(f), []string{}
		p.SuccessDeleteFiles = append(p.SuccessDeleteFiles, w.table.options.baseURI+f)
		p.RollbackLogFiles, p.LogFilesFromFailed = &map[string]int64{}, &map[string]int64{}
		m.Partitions[p.PartitionPath] = p
	}
	data, err := m.Encode()
	if err != nil {
		return err
	}
	_, err = w.table.store.Put(ctx, rollback.Finished().Key(), data, storage.Condition{IfAbsent: true})
	if err != nil && storage.Classify(err) != storage.Precondition {
		return fmt.Errorf("complete rollback %s: %w", rollback.Instant, err)
	}
	return nil
}

// rollbackTarget is the instant, with its action, that a pending rollback undoes.
func (w *Writer) rollbackTarget(ctx context.Context, e timeline.Entry) (timeline.Entry, error) {
	plan, err := w.loadRollback(ctx, e)
	if err != nil {
		return timeline.Entry{}, err
	}
	undone := plan.InstantToRollback
	return w.table.entry(timeline.Instant(undone.CommitTime), timeline.Action(undone.Action), ""), nil
}

// loadRollback reads the plan of a rollback.
func (w *Writer) loadRollback(ctx context.Context, e timeline.Entry) (*meta.RollbackPlan, error) {
	data, _, err := w.table.store.Get(ctx, e.In(timeline.Requested).Key())
	if err != nil {
		return nil, fmt.Errorf("read plan of rollback %s: %w", e.Instant, err)
	}
	plan, err := meta.ParseRollbackPlan(data)
	if err != nil {
		return nil, fmt.Errorf("read plan of rollback %s: %w", e.Instant, err)
	}
	return plan, nil
}

// finishRollbacks completes rollbacks that are pending though what they undo is gone: two writers undid the same attempt, and one died.
func (w *Writer) finishRollbacks(ctx context.Context, tl *timeline.Timeline) (some bool, err error) {
	for _, e := range tl.Pending() {
		if e.Action != timeline.Rollback {
			continue
		}
		now, err := w.table.Timeline(ctx)
		if err != nil {
			return some, err
		}
		if there, ok := now.Find(e.Instant, timeline.Rollback); !ok || there.State == timeline.Completed {
			continue
		}
		target, err := w.rollbackTarget(ctx, e)
		if err != nil {
			return some, err
		}
		if _, there := w.findAttempt(now, target.Instant); there { // another engine's, or of a commit that completed
			continue
		}
		if err := errors.Join(w.putInflight(ctx, e), w.completeRollback(ctx, e, target, nil)); err != nil {
			return some, err
		}
		some = true
	}
	return some, nil
}
