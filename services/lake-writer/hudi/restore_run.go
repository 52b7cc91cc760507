package hudi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// settleUndo executes the undo that HEAD says is decided, from wherever an earlier execution stopped, and takes commits off the timeline again
// that were undone and came back. It reports whether it changed the timeline.
func (w *Writer) settleUndo(ctx context.Context, tl *timeline.Timeline, pace Pace) (changed bool, err error) {
	if undo := w.mu.head.Head.Undo; undo != nil {
		e, there := tl.Find(undo.Instant, undo.Action)
		// Nobody takes the request away before the undo is complete. What is not there was archived.
		if there && e.State != timeline.Completed {
			run := undoRun{w: w, entry: e, pace: pace, started: w.table.options.now()}
			if err := run.execute(ctx); err != nil {
				if fenced := w.refreshHead(ctx); errors.Is(fenced, ErrFenced) { // a successor's execution was in the way
					err = fenced
				}
				return true, fmt.Errorf("finish %s %s: %w", undo.Action, undo.Instant, err)
			}
			changed = true
			if tl, err = w.table.Timeline(ctx); err != nil {
				return true, err
			}
		}
	}
	back, err := w.dropUndone(ctx, tl)
	return changed || back, err
}

// dropUndone deletes undone commits from the timeline that a writer put there late, who was paused between its replacement of HEAD and the
// projection of it. Their data files are gone.
func (w *Writer) dropUndone(ctx context.Context, tl *timeline.Timeline) (some bool, err error) {
	undone := w.mu.head.Head.Undone
	if len(undone) == 0 {
		return false, nil
	}
	for _, e := range tl.Entries() {
		if _, found := slices.BinarySearch(undone, e.Instant); !found || !e.Action.Writes() {
			continue
		}
		if err := w.deleteAll(ctx, statesOf(e, tl)); err != nil {
			return some, fmt.Errorf("take undone %s off the timeline: %w", e.FileName(), err)
		}
		some = true
	}
	return some, nil
}

// statesOf are the keys of the files that an instant which writes can have on a timeline, the completed one first: without it no reader
// counts the rest.
func statesOf(e timeline.Entry, tl *timeline.Timeline) []string {
	keys := []string{e.In(timeline.Completed).Key()}
	if e.State == timeline.Completed {
		keys[0] = e.Key()
	}
	for _, action := range pendingActions(e.Action) {
		if action == timeline.Clustering && tl.Layout() != timeline.Layout2 {
			continue
		}
		e.Action = action
		keys = append(keys, e.In(timeline.Inflight).Key(), e.In(timeline.Requested).Key())
	}
	return keys
}

// pendingActions are the actions that complete as the action does.
func pendingActions(a timeline.Action) []timeline.Action {
	switch a {
	case timeline.Commit, timeline.Compaction:
		return []timeline.Action{timeline.Commit, timeline.Compaction}
	case timeline.DeltaCommit, timeline.LogCompaction:
		return []timeline.Action{timeline.DeltaCommit, timeline.LogCompaction}
	default:
		return []timeline.Action{timeline.ReplaceCommit, timeline.Clustering}
	}
}

// dropUndo deletes the request of a restore or rollback that was not decided, and its reservation. It reports whether the instant is one.
func (w *Writer) dropUndo(ctx context.Context, tl *timeline.Timeline, instant timeline.Instant) (isUndo bool, err error) {
	for _, action := range []timeline.Action{timeline.Restore, timeline.Rollback} {
		e, ok := tl.Find(instant, action)
		if !ok {
			continue
		}
		decided := w.mu.head.Head.Undo
		if e.State != timeline.Completed && (decided == nil || decided.Instant != instant) {
			if err := w.deleteAll(ctx, []string{e.In(timeline.Inflight).Key(), e.In(timeline.Requested).Key()}); err != nil {
				return true, err
			}
		}
		return true, w.deleteAttempt(ctx, instant)
	}
	return false, nil
}

// undoRun executes a decided undo. Each of its steps can be repeated.
type undoRun struct {
	w       *Writer
	entry   timeline.Entry
	pace    Pace
	started time.Time
	named   map[timeline.Instant][]fileslice.Object // data files by the instant in their names
}

func (r *undoRun) execute(ctx context.Context) error {
	// A metadata table that lists the files would send its readers to them. One that is kept is built anew by the next commit.
	if err := r.w.guardProperties(ctx); err != nil {
		return err
	}
	if r.w.keepsMetadata() {
		if err := r.w.dropMetadata(ctx); err != nil {
			return err
		}
	}
	// HEAD names the undo from here on.
	if err := r.w.deleteAttempt(ctx, r.entry.Instant); err != nil {
		return err
	}
	if err := r.w.putInflight(ctx, r.entry); err != nil {
		return err
	}
	if err := r.w.refreshHead(ctx); err != nil { // another owner finishes it
		return err
	}
	r.named = make(map[timeline.Instant][]fileslice.Object)
	for objects, err := range r.w.table.partitions(ctx, "") {
		if err != nil {
			return err
		}
		for _, o := range objects {
			if at := instantOf(o.Key); at > r.w.mu.head.Head.Instant {
				r.named[at] = append(r.named[at], o)
			}
		}
	}
	if r.entry.Action == timeline.Rollback {
		return r.rollback(ctx)
	}
	return r.restore(ctx)
}

// rollback executes the rollback of one commit, whose plan names its files.
func (r *undoRun) rollback(ctx context.Context) error {
	plan, err := r.w.loadRollback(ctx, r.entry)
	if err != nil {
		return err
	}
	tl, err := r.w.table.Timeline(ctx)
	if err != nil {
		return err
	}
	return r.undoCommit(ctx, tl, plan.InstantToRollback, r.entry)
}

// restore undoes the commits of the plan, each by a rollback of its own. As Hudi does, it takes the rollbacks off the timeline at the end:
// the restore's file holds them. A crash just before that leaves them there, where they harm nobody.
func (r *undoRun) restore(ctx context.Context) error {
	w := r.w
	data, _, err := w.table.store.Get(ctx, r.entry.In(timeline.Requested).Key())
	if err != nil {
		return fmt.Errorf("read plan: %w", err)
	}
	plan, err := meta.ParseRestorePlan(data)
	if err != nil {
		return fmt.Errorf("read plan: %w", err)
	}
	for _, info := range plan.InstantsToRollback {
		if err := w.refreshHead(ctx); err != nil { // a successor finishes the rest
			return err
		}
		tl, err := w.table.Timeline(ctx)
		if err != nil {
			return err
		}
		if err := r.undoCommit(ctx, tl, &info, timeline.Entry{}); err != nil {
			return fmt.Errorf("undo %s: %w", info.CommitTime, err)
		}
	}
	rollbacks, done, err := r.rollbacks(ctx, plan)
	if err != nil {
		return err
	}
	if err := r.complete(ctx, plan, done); err != nil {
		return err
	}
	for _, e := range rollbacks {
		keys := []string{e.Key(), e.In(timeline.Inflight).Key(), e.In(timeline.Requested).Key()}
		if err := w.deleteAll(ctx, keys); err != nil {
			return err
		}
	}
	return nil
}

// undoCommit takes one commit back: a rollback with its files is put on the timeline, then readers lose the commit, then its files go, then
// what is left of it on the timeline. rollback is the undo itself, or the zero value for one to be requested.
func (r *undoRun) undoCommit(ctx context.Context, tl *timeline.Timeline, info *meta.InstantInfo, rollback timeline.Entry) error {
	w, instant := r.w, timeline.Instant(info.CommitTime)
	e, there := tl.Find(instant, timeline.Action(info.Action))
	if !there {
		e = w.table.entry(instant, timeline.Action(info.Action), "")
	}
	begin := r.resume
	if there && e.State == timeline.Completed {
		begin = r.begin
	}
	rollback, files, err := begin(ctx, tl, e, rollback)
	if err != nil {
		return err
	}
	doomed := r.doomed(instant, files)
	if err := w.deleteFiles(ctx, doomed, r.pace); err != nil {
		return err
	}
	if rollback != (timeline.Entry{}) {
		if err := w.completeRollback(ctx, rollback, e, keysOf(doomed)); err != nil {
			return err
		}
	}
	if err := w.deleteAll(ctx, statesOf(e, tl)); err != nil {
		return err
	}
	return w.deleteFolder(ctx, meta.MarkerFolder(instant))
}

// begin puts the rollback of a completed commit on the timeline, unless it is given, and takes the commit's completed file away.
func (r *undoRun) begin(ctx context.Context, tl *timeline.Timeline, e, rollback timeline.Entry) (timeline.Entry, []fileslice.Object, error) {
	files, err := r.w.filesOf(ctx, e)
	if err != nil {
		return rollback, nil, err
	}
	if rollback == (timeline.Entry{}) {
		if rollback, err = r.w.requestRollback(ctx, tl, e, keysOf(files)); err != nil {
			return rollback, nil, err
		}
	}
	return rollback, files, r.w.deleteAll(ctx, []string{e.Key()})
}

// resume finds the rollback of a commit that readers have lost already; the zero value when that was complete.
func (r *undoRun) resume(ctx context.Context, tl *timeline.Timeline, e, rollback timeline.Entry) (timeline.Entry, []fileslice.Object, error) {
	if rollback == (timeline.Entry{}) {
		var ok bool
		var err error
		if rollback, ok, err = r.w.pendingRollback(ctx, tl, e.Instant); err != nil || !ok {
			return rollback, nil, err
		}
	}
	files, err := r.w.plannedDeletions(ctx, rollback)
	return rollback, files, err
}

// doomed are the files of an undone commit: those given, and those with its instant in their names.
func (r *undoRun) doomed(instant timeline.Instant, files []fileslice.Object) []fileslice.Object {
	all := make(map[string]fileslice.Object)
	for _, o := range slices.Concat(files, r.named[instant]) {
		all[o.Key] = o
	}
	var doomed []fileslice.Object
	for _, key := range slices.Sorted(maps.Keys(all)) {
		doomed = append(doomed, all[key])
	}
	return doomed
}

func keysOf(objects []fileslice.Object) []string {
	keys := make([]string, len(objects))
	for i, o := range objects {
		keys[i] = o.Key
	}
	return keys
}

// rollbacks are the completed rollbacks of the commits of a plan, and what they did.
func (r *undoRun) rollbacks(ctx context.Context, plan *meta.RestorePlan) ([]timeline.Entry, map[string]*meta.RollbackMetadata, error) {
	tl, err := r.w.table.Timeline(ctx)
	if err != nil {
		return nil, nil, err
	}
	var entries []timeline.Entry
	done := make(map[string]*meta.RollbackMetadata)
	for _, e := range tl.Entries() {
		if e.Action != timeline.Rollback || e.State != timeline.Completed || e.Instant <= r.entry.Instant {
			continue
		}
		data, _, err := r.w.table.store.Get(ctx, e.Key())
		if errors.Is(err, storage.ErrNotExist) { // deleted by another execution of the same plan
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read %s: %w", e.FileName(), err)
		}
		m, err := meta.ParseRollbackMetadata(data)
		if err != nil {
			return nil, nil, fmt.Errorf("read %s: %w", e.FileName(), err)
		}
		for _, info := range plan.InstantsToRollback {
			if slices.Contains(m.CommitsRollback, info.CommitTime) {
				done[info.CommitTime] = m
				entries = append(entries, e)
			}
		}
	}
	return entries, done, nil
}

// complete puts the restore's completed file.
func (r *undoRun) complete(ctx context.Context, plan *meta.RestorePlan, done map[string]*meta.RollbackMetadata) error {
	now, version := r.w.table.options.now(), 1
	m := meta.RestoreMetadata{
		StartRestoreTime: string(r.entry.Instant), TimeTakenMillis: now.Sub(r.started).Milliseconds(), Version: &version,
		Rollbacks: make(map[string][]*meta.RollbackMetadata), RestoreInstantInfo: plan.InstantsToRollback,
	}
	for _, info := range plan.InstantsToRollback {
		m.InstantsToRollback = append(m.InstantsToRollback, info.CommitTime)
		m.Rollbacks[info.CommitTime] = []*meta.RollbackMetadata{}
		if d := done[info.CommitTime]; d != nil {
			m.Rollbacks[info.CommitTime] = append(m.Rollbacks[info.CommitTime], d)
		}
	}
	data, err := m.Encode()
	if err != nil {
		return err
	}
	_, err = r.w.table.store.Put(ctx, r.entry.Finished().Key(), data, storage.Condition{IfAbsent: true})
	if err != nil && storage.Classify(err) != storage.Precondition { // another execution of the same plan may have ended first
		return fmt.Errorf("complete: %w", err)
	}
	return nil
}

// filesOf are the data files that a completed commit says it wrote.
func (w *Writer) filesOf(ctx context.Context, e timeline.Entry) ([]fileslice.Object, error) {
	c, err := w.table.Commit(ctx, e)
	if err != nil {
		return nil, err
	}
	var files []fileslice.Object
	for partition, stats := range c.PartitionToWriteStats {
		for _, s := range stats {
			// Whatever the metadata says, nothing but data files of the partition is deleted.
			if s.Path != nil && groupOf(*s.Path) == (fileGroup{partition, s.FileID}) {
				files = append(files, fileslice.Object{Key: *s.Path, Size: s.FileSizeInBytes})
			}
		}
	}
	slices.SortFunc(files, func(a, b fileslice.Object) int { return strings.Compare(a.Key, b.Key) })
	return files, nil
}

// plannedDeletions are the data files that the plan of a rollback names, without their sizes. Its paths are absolute, so only their last
// elements say anything here.
func (w *Writer) plannedDeletions(ctx context.Context, rollback timeline.Entry) ([]fileslice.Object, error) {
	plan, err := w.loadRollback(ctx, rollback)
	if err != nil || plan.Requests == nil {
		return nil, err
	}
	var files []fileslice.Object
	for _, request := range *plan.Requests {
		for _, f := range request.FilesToBeDeleted {
			if key := path.Join(request.PartitionPath, path.Base(f)); groupOf(key) != (fileGroup{}) {
				files = append(files, fileslice.Object{Key: key})
			}
		}
	}
	return files, nil
}

// instantOf is the instant in a data file's name; "" for every other object.
func instantOf(key string) timeline.Instant {
	if l, err := fileslice.ParseLogKey(key); err == nil {
		return l.Instant
	}
	if f, err := fileslice.ParseKey(key); err == nil {
		return f.Instant
	}
	return ""
}
