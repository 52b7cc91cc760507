package hudi

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/txn"
)

// RestoreOptions say where Restore goes back to.
type RestoreOptions struct {
	// To is the instant of a completed commit that becomes the last one: of a savepoint, or of any that can still be read as of.
	To     timeline.Instant
	DryRun bool // only say what would be undone
	Pace   Pace // nil: no waiting. What an Acquire has to finish waits for nothing
}

// RestoreResult says what a restore or a rollback did.
type RestoreResult struct {
	Instant timeline.Instant // of the restore or rollback; "" when there was nothing to undo, and for a dry run
	To      timeline.Instant // the last commit now
	Undone  []timeline.Entry // newest first
}

// Restore takes the table back to a commit: it undoes the commits after it, the newest first, together with the progress in HEAD, so that the
// caller has to commit again from where Head says. Errors:
//   - ErrTimeTravel: the files of that commit, or what the progress was, are gone,
//   - ErrInvalid: no completed commit, or a savepoint is later; delete that first,
//   - *UnsupportedError: another engine's write is pending, or one of its log files holds rows of commits on both sides,
//   - ErrFenced: another owner took over; where it was decided before, he finishes it,
//   - ErrUnknownOutcome: see Resolve.
//
// The replacement of HEAD decides, so an older owner or an attempt under way loses against it as against a commit. After that nothing
// stops it: an error then comes with a result that has an Instant, and means that the commits are not all gone yet. Readers see the table as of
// one of them. The next call of any method, or the next Acquire, goes on. Restore may be repeated after any error.
func (w *Writer) Restore(ctx context.Context, o RestoreOptions) (*RestoreResult, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	result, err := w.restore(ctx, o)
	if err != nil {
		return result, fmt.Errorf("restore to %s: %w", o.To, err)
	}
	return result, nil
}

func (w *Writer) restore(ctx context.Context, o RestoreOptions) (*RestoreResult, error) {
	tl, err := w.enterUndo(ctx, o.DryRun, o.Pace)
	if err != nil {
		return nil, err
	}
	u := &undo{action: timeline.Restore, pace: o.Pace}
	commits := tl.Commits()
	i := slices.IndexFunc(commits, func(e timeline.Entry) bool { return e.Instant == o.To })
	if i < 0 {
		return nil, noCommit(commits, o.To)
	}
	u.to = commits[i]
	for _, e := range slices.Backward(commits) {
		if follows(e, u.to) {
			u.undone = append(u.undone, e)
		}
	}
	return w.undoCommits(ctx, tl, u, o.DryRun)
}

// noCommit is the error for an instant that is no commit of a timeline.
func noCommit(commits []timeline.Entry, instant timeline.Instant) error {
	if len(commits) > 0 && instant < commits[0].Instant {
		return ErrTimeTravel
	}
	return fmt.Errorf("%w: %q is no completed commit", ErrInvalid, instant)
}

// follows reports whether a reader of an earlier commit does not see e: it began later, or it completed later where that is known.
func follows(e, earlier timeline.Entry) bool {
	return e.Instant > earlier.Instant || e.Completion != "" && earlier.Completion != "" && e.Completion > earlier.Completion
}

// Rollback undoes the newest completed commit, which the caller names so that it is no other. The errors are those of Restore.
func (w *Writer) Rollback(ctx context.Context, newest timeline.Instant) (*RestoreResult, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	result, err := w.rollbackNewest(ctx, newest)
	if err != nil {
		return result, fmt.Errorf("roll back %s: %w", newest, err)
	}
	return result, nil
}

func (w *Writer) rollbackNewest(ctx context.Context, newest timeline.Instant) (*RestoreResult, error) {
	tl, err := w.enterUndo(ctx, false, nil)
	if err != nil {
		return nil, err
	}
	commits := tl.Commits()
	n := len(commits)
	switch i := slices.IndexFunc(commits, func(e timeline.Entry) bool { return e.Instant == newest }); {
	case i < 0 && slices.Contains(w.mu.head.Head.Undone, newest):
		return &RestoreResult{To: w.mu.head.Head.Instant}, nil // by an earlier call
	case i < 0:
		return nil, noCommit(commits, newest)
	case i < n-1:
		return nil, fmt.Errorf("%w: the newest commit is %s", ErrInvalid, commits[n-1].Instant)
	case n == 1:
		return nil, fmt.Errorf("%w: there is no commit before it on the timeline", ErrInvalid)
	}
	u := &undo{action: timeline.Rollback, to: commits[n-2], undone: commits[n-1:]}
	return w.undoCommits(ctx, tl, u, false)
}

// enterUndo does what a restore begins with: what every service does, and the cleans that are on the timeline. A clean would otherwise be
// executed later and delete, as superseded, files that the undo makes the newest again; none can be added once HEAD's epoch is ours.
func (w *Writer) enterUndo(ctx context.Context, dryRun bool, pace Pace) (*timeline.Timeline, error) {
	if dryRun {
		return w.table.Timeline(ctx)
	}
	tl, err := w.enterService(ctx)
	if err != nil {
		return nil, err
	}
	finished, err := w.finishCleans(ctx, tl, pace)
	if err != nil || len(finished) == 0 {
		return tl, err
	}
	return w.table.Timeline(ctx)
}

// undo is a restore, or the rollback of a completed commit, on its way to the decision.
type undo struct {
	action timeline.Action
	to     timeline.Entry
	undone []timeline.Entry // newest first
	pace   Pace
	err    error // of the execution, after the decision
}

// undoCommits decides and executes an undo.
func (w *Writer) undoCommits(ctx context.Context, tl *timeline.Timeline, u *undo, dryRun bool) (*RestoreResult, error) {
	result := &RestoreResult{To: u.to.Instant, Undone: u.undone}
	if len(u.undone) == 0 {
		return result, nil
	}
	check := undoCheck{w: w, tl: tl, u: u}
	if err := check.run(ctx); err != nil {
		return nil, err
	}
	if dryRun {
		return result, nil
	}
	a := &attempt{w: w, action: u.action, id: w.table.options.newID(), base: w.mu.head, tl: tl, undo: u}
	var err error
	if a.requested, err = w.undoPlan(ctx, tl, u); err != nil {
		return nil, err
	}
	decided, err := a.runSteps(ctx, a.reserve, a.prepareUndo)
	if err != nil {
		return nil, err
	}
	result.Instant = decided.Instant
	return result, u.err
}

// undoPlan is the requested file of a restore, or of a rollback.
func (w *Writer) undoPlan(ctx context.Context, tl *timeline.Timeline, u *undo) ([]byte, error) {
	if u.action == timeline.Rollback {
		files, err := w.filesOf(ctx, u.undone[0])
		if err != nil {
			return nil, err
		}
		return w.rollbackPlan(u.undone[0], keysOf(files))
	}
	version, to := meta.RestoreVersion, string(u.to.Instant)
	plan := meta.RestorePlan{Version: &version, To: &to}
	for _, e := range u.undone {
		plan.InstantsToRollback = append(plan.InstantsToRollback, meta.InstantInfo{CommitTime: string(e.Instant), Action: string(e.Action)})
	}
	return plan.Encode()
}

// prepareUndo makes the HEAD that decides the undo.
func (a *attempt) prepareUndo(ctx context.Context) (err error) {
	undone := make([]timeline.Instant, len(a.undo.undone))
	for i, e := range a.undo.undone {
		undone[i] = e.Instant
	}
	a.next, err = a.w.headBack(ctx, a.tl, a.undo.to, txn.Undo{Instant: a.instant, Action: a.action}, undone, a.id)
	a.result = CommitResult{Instant: a.instant, CommitID: a.next.CommitID}
	return err
}

// headBack is the HEAD after an undo. Offsets and watermark are those of the newest commit of this library that stays.
func (w *Writer) headBack(
	ctx context.Context, tl *timeline.Timeline, to timeline.Entry, undo txn.Undo, undone []timeline.Instant, id string,
) (txn.Head, error) {
	head := w.mu.head.Head
	data, _, err := w.table.store.Get(ctx, to.Key())
	if err != nil {
		return head, fmt.Errorf("read instant %s: %w", to.FileName(), err)
	}
	commitID, note, found := id, meta.CommitNote{}, false
	for _, e := range slices.Backward(tl.Commits()) {
		if follows(e, to) {
			continue
		}
		c, err := w.table.Commit(ctx, e)
		if err != nil {
			return head, err
		}
		if note, found = c.Note(); found {
			if e == to {
				commitID = note.CommitID
			}
			break
		}
	}
	if !found && len(head.Offsets) > 0 {
		return head, fmt.Errorf("no active commit up to %s says what the progress was: %w", to.Instant, ErrTimeTravel)
	}
	next := head.Back(to, undo, undone, commitID, id)
	if note.CompletedMillis > 0 {
		next.CompletedAt = time.UnixMilli(note.CompletedMillis).UTC()
	}
	if note.WatermarkMillis > 0 {
		next.Watermark = time.UnixMilli(note.WatermarkMillis).UTC()
	}
	next.Offsets = note.Offsets
	return next, txn.SetCompleted(ctx, w.table.store, &next, data)
}

// finishUndo follows the decision that the undo happens. What fails is left to the next settle.
func (a *attempt) finishUndo(ctx context.Context) *CommitResult {
	result := a.result
	tl, err := a.w.table.Timeline(ctx)
	if err == nil {
		_, err = a.w.settleUndo(ctx, tl, a.undo.pace)
	}
	a.undo.err = err
	result.Projected = err == nil
	return &result
}

// errNoCompletion is the error for a commit that HEAD cannot name.
func errNoCompletion(e timeline.Entry) error {
	return &UnsupportedError{e.FileName(), "", "the commit is from before the table's upgrade and does not say when it completed"}
}

// undoCheck makes sure before the decision that what is to be the last commit can be read, and that nothing stands in the way.
type undoCheck struct {
	w  *Writer
	tl *timeline.Timeline
	u  *undo
}

func (c undoCheck) run(ctx context.Context) error {
	if c.tl.Layout() == timeline.Layout2 && c.u.to.Completion == "" {
		return errNoCompletion(c.u.to)
	}
	saved := false
	for _, e := range c.tl.Entries() {
		switch {
		case e.Action == timeline.Savepoint && e.Instant > c.u.to.Instant:
			return fmt.Errorf("%w: there is a savepoint at %s, delete it first", ErrInvalid, e.Instant)
		case e.Action == timeline.Savepoint && e.Instant == c.u.to.Instant && e.State == timeline.Completed:
			saved = true
		case e.State != timeline.Completed && (e.Action.Writes() || e.Action == timeline.Restore) && e.Instant > c.u.to.Instant:
			return &UnsupportedError{e.FileName(), "", "another engine's instant is pending; let it finish or roll it back there"}
		}
	}
	if !saved {
		if err := c.w.checkSavepoint(ctx, c.tl, c.u.to.Instant); err != nil {
			return err
		}
	}
	return c.files(ctx, saved)
}

// files checks that the slices which become the newest are there: what commits up to the last one named, what a savepoint on it names, and
// something of every group that only the undone commits tell of.
func (c undoCheck) files(ctx context.Context, saved bool) error {
	objects, err := c.w.table.listData(ctx, nil)
	if err != nil {
		return err
	}
	present := make(map[string]bool, len(objects))
	held := make(map[fileGroup]bool) // groups with a file up to the last commit
	for _, o := range objects {
		present[o.Key] = true
		if instantOf(o.Key) <= c.u.to.Instant {
			held[groupOf(o.Key)] = true
		}
	}
	var kept committedFiles
	if err := kept.follow(ctx, c.w.table, c.tl.Until(c.u.to.Instant)); err != nil {
		return err
	}
	for id := range kept.groups {
		if err := kept.check(id, present); err != nil {
			return errors.Join(ErrTimeTravel, err)
		}
	}
	if saved {
		if err := c.savepoint(ctx, present); err != nil {
			return err
		}
	}
	for _, e := range slices.Backward(c.u.undone) {
		if err := c.commit(ctx, e, held); err != nil {
			return err
		}
	}
	return nil
}

// savepoint checks the base files of the savepoint. Its logs are not looked at: those of later commits are among them, and go.
func (c undoCheck) savepoint(ctx context.Context, present map[string]bool) error {
	e, _ := c.tl.Find(c.u.to.Instant, timeline.Savepoint)
	point, err := c.w.table.savepoint(ctx, e)
	if err != nil {
		return err
	}
	for partition, p := range point.Partitions {
		for _, name := range p.Files {
			key := path.Join(partition, name)
			if _, err := fileslice.ParseKey(key); err == nil && !present[key] {
				return fmt.Errorf("data file %s: %w", key, ErrTimeTravel)
			}
		}
	}
	return nil
}

// commit checks what a commit that is to be undone went on from, or took away. It adds to held the groups that the commit began.
func (c undoCheck) commit(ctx context.Context, e timeline.Entry, held map[fileGroup]bool) error {
	commit, err := c.w.table.Commit(ctx, e)
	if err != nil {
		return err
	}
	_, ours := commit.Note()
	for partition, stats := range commit.PartitionToWriteStats {
		for _, s := range stats {
			id := fileGroup{partition, s.FileID}
			before, err := timeline.ParseInstant(s.PrevCommit)
			if err == nil && before <= c.u.to.Instant && !held[id] {
				return fmt.Errorf("file group %s of %s was cleaned since: %w", s.FileID, partition, ErrTimeTravel)
			}
			held[id] = true
			if ours || s.Path == nil {
				continue
			}
			if err := c.foreignLog(ctx, *s.Path); err != nil {
				return err
			}
		}
	}
	for partition, ids := range commit.PartitionToReplaceFileIDs {
		for _, id := range ids {
			if !held[fileGroup{partition, id}] {
				return fmt.Errorf("replaced file group %s of %s was cleaned since: %w", id, partition, ErrTimeTravel)
			}
		}
	}
	return nil
}

// foreignLog refuses a log file of another engine that holds rows of commits which stay: on a file system that can append, Hudi before table
// version 8 goes on with the newest log file. Those of this library have one commit each.
func (c undoCheck) foreignLog(ctx context.Context, key string) error {
	l, err := fileslice.ParseLogKey(key)
	if err != nil {
		return nil
	}
	info, err := c.w.table.store.Stat(ctx, key)
	if errors.Is(err, storage.ErrNotExist) { // cleaned since
		return nil
	}
	var instants []timeline.Instant
	if err == nil {
		l.Size = info.Size
		instants, err = c.w.table.options.logInstants(ctx, c.w.table, l)
	}
	if err != nil {
		return fmt.Errorf("look into %s: %w", key, err)
	}
	for _, i := range instants {
		if i <= c.u.to.Instant && c.tl.Committed(i) {
			return &UnsupportedError{key, "", fmt.Sprintf("the log file holds rows of commit %s as well, which stays", i)}
		}
	}
	return nil
}
