package hudi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// settle brings the timeline into the state that a commit may follow: the last commit is on it, and nothing dead is pending on it. It
// returns the timeline as it is then. The caller holds w.mu and has no attempt under way.
func (w *Writer) settle(ctx context.Context) (*timeline.Timeline, error) {
	tl, err := w.table.Timeline(ctx)
	if err != nil {
		return nil, err
	}
	changed, err := w.showHead(ctx, tl)
	if err != nil {
		return nil, err
	}
	w.mu.unshown.end()
	undone, err := w.settleUndo(ctx, tl, nil)
	if err != nil {
		return nil, err
	}
	if undone {
		if tl, err = w.table.Timeline(ctx); err != nil {
			return nil, err
		}
	}
	dead, err := w.deadAttempts(ctx, tl)
	if err != nil {
		return nil, err
	}
	for _, instant := range dead {
		if err := w.rollBack(ctx, instant); err != nil {
			return nil, err
		}
		changed = true
	}
	finished, err := w.finishRollbacks(ctx, tl)
	if err != nil || !changed && !finished {
		return tl, err
	}
	return w.table.Timeline(ctx)
}

// deadAttempts finds the attempts of this library that can never commit: their epoch is below ours, so their HEAD replacement must fail, or
// it is ours and the attempt has failed. Attempts of other engines are theirs to judge. An attempt of a later epoch means that we are the
// past ourselves: it may be alive, and nothing of it may be touched.
func (w *Writer) deadAttempts(ctx context.Context, tl *timeline.Timeline) ([]timeline.Instant, error) {
	epochs, unreserved, err := w.reservations(ctx)
	if err != nil {
		return nil, err
	}
	// A paused writer may bring an instant back after its reservation was swept; its inflight file names the epoch too.
	for _, e := range tl.Pending() {
		if _, known := epochs[e.Instant]; known {
			continue
		}
		note, ours, err := w.pendingNote(ctx, e)
		if err != nil {
			return nil, err
		}
		if ours {
			epochs[e.Instant] = note.Epoch
		}
	}
	var dead []timeline.Instant
	for _, instant := range slices.Sorted(maps.Keys(epochs)) {
		if epochs[instant] > w.epoch {
			return nil, fmt.Errorf("instant %s is of epoch %d, ours is %d: %w", instant, epochs[instant], w.epoch, ErrFenced)
		}
		dead = append(dead, instant)
	}
	lost, err := w.lostMarkers(ctx, unreserved, epochs)
	return append(dead, lost...), err
}

// reservations lists the attempts' folders: the epochs of those that are reserved, and the others.
func (w *Writer) reservations(ctx context.Context) (epochs map[timeline.Instant]int64, unreserved map[timeline.Instant]bool, err error) {
	epochs, unreserved = make(map[timeline.Instant]int64), make(map[timeline.Instant]bool)
	for info, err := range w.table.store.List(ctx, meta.TempFolder) {
		if err != nil {
			return nil, nil, fmt.Errorf("list attempts: %w", err)
		}
		folder, name, _ := strings.Cut(strings.TrimPrefix(info.Key, meta.TempFolder), "/")
		instant, err := timeline.ParseInstant(folder)
		if err != nil {
			continue
		}
		if name != meta.ReservationName {
			unreserved[instant] = true
			continue
		}
		data, _, err := w.table.store.Get(ctx, info.Key)
		if errors.Is(err, storage.ErrNotExist) { // its owner has just ended it
			continue
		}
		var r meta.Reservation
		if err == nil {
			r, err = meta.ParseReservation(data)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read reservation of %s: %w", instant, err)
		}
		epochs[instant] = r.Epoch
	}
	return epochs, unreserved, nil
}

// lostMarkers are the folders without a reservation whose instant is on the timeline in no state: a paused writer put markers after its
// attempt was rolled back. Every engine puts an instant on the timeline before its markers, so none of these is alive.
func (w *Writer) lostMarkers(ctx context.Context, unreserved map[timeline.Instant]bool, epochs map[timeline.Instant]int64) ([]timeline.Instant, error) {
	maps.DeleteFunc(unreserved, func(i timeline.Instant, _ bool) bool { _, reserved := epochs[i]; return reserved })
	if len(unreserved) == 0 {
		return nil, nil
	}
	tl, err := w.table.Timeline(ctx)
	if err != nil {
		return nil, err
	}
	for _, e := range tl.Entries() {
		delete(unreserved, e.Instant)
	}
	return slices.Sorted(maps.Keys(unreserved)), nil
}

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

// findAttempt finds an instant that an attempt of this library can be: an ordinary commit, a replacecommit or a compaction.
func (w *Writer) findAttempt(tl *timeline.Timeline, instant timeline.Instant) (e timeline.Entry, ok bool) {
	for _, action := range []timeline.Action{w.table.commitAction(), timeline.ReplaceCommit, timeline.Compaction} {
		if e, ok = tl.Find(instant, action); ok {
			break
		}
	}
	return e, ok
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

// pendingNote is the note that an attempt of this library leaves on the timeline while it is pending: a commit in its inflight file, a
// compaction and a clustering in their plans.
func (w *Writer) pendingNote(ctx context.Context, e timeline.Entry) (note meta.CommitNote, ours bool, err error) {
	var c *meta.Commit
	clustering, planned, err := w.pendingClustering(ctx, e)
	switch {
	case err != nil:
	case clustering != nil:
		c = &meta.Commit{ExtraMetadata: clustering.ExtraMetadata}
	case !planned:
		return note, true, nil // nobody can complete it either, as below
	case (e.Action == w.table.commitAction() || e.Action == timeline.ReplaceCommit) && e.State == timeline.Inflight:
		c, err = w.table.Commit(ctx, e)
	case e.Action == timeline.Compaction:
		var plan *meta.CompactionPlan
		if plan, err = w.table.compactionPlan(ctx, e); err == nil {
			c = &meta.Commit{}
			if plan.ExtraMetadata != nil {
				c.ExtraMetadata = *plan.ExtraMetadata
			}
		}
		if errors.Is(err, storage.ErrNotExist) && e.State == timeline.Inflight {
			// Without a plan nobody can complete it: a paused writer of ours began it after it was rolled back.
			return note, true, nil
		}
	default:
		return note, false, nil
	}
	if errors.Is(err, storage.ErrNotExist) || errors.Is(err, meta.ErrCommit) || errors.Is(err, meta.ErrCompaction) ||
		errors.Is(err, meta.ErrRequestedReplace) {
		return note, false, nil
	}
	if err != nil {
		return note, false, err
	}
	note, ours = c.Note()
	return note, ours, nil
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

// isForeign reports whether a pending instant is another engine's, which took it between our reservation and our request.
func (w *Writer) isForeign(ctx context.Context, e timeline.Entry) (bool, error) {
	if e.Action != timeline.Compaction && e.State != timeline.Inflight {
		if clustering, _, err := w.pendingClustering(ctx, e); err != nil || clustering == nil {
			return false, err
		}
	}
	_, ours, err := w.pendingNote(ctx, e)
	if err != nil || ours {
		return false, err
	}
	_, _, err = w.table.store.Get(ctx, e.Key())
	if errors.Is(err, storage.ErrNotExist) { // just rolled back by another
		return false, nil
	}
	return err == nil, err
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
