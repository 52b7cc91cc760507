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
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/txn"
)

// attempt is one try to commit a request. Its steps are methods, run in the order of steps.
type attempt struct {
	w             *Writer
	action        timeline.Action
	operation     string // Hudi's name of it
	req           CommitRequest
	requested     []byte // content of the requested file
	id            string // commit id
	base          txn.Stored
	tl            *timeline.Timeline
	schema        string // of the table after the commit
	rewritten     []bool // by writer schema: its records are put into log files as rows of the table
	plans         []groupPlan
	newPartitions []string
	replaces      map[string][]string // file ids by partition that the attempt takes away; nil unless it is a replacecommit
	instant       timeline.Instant
	reserved      bool // the instant is this attempt's, and may be on the timeline
	files         []plannedFile
	next          txn.Head // what replaces base
	result        CommitResult
	clusters      []cluster  // of a clustering, which replaces file groups and not partitions
	heartbeat     *heartbeat // on a shared table
	pace          Pace       // of a compaction; nil: none
	undo          *undo      // of a restore or a rollback of completed commits; nil for what writes
}

// plannedFile is a data file of an attempt, and after it was built what is in it.
type plannedFile struct {
	plan    groupPlan
	base    fileslice.BaseFile // the file, unless it is a log
	log     fileslice.LogFile
	size    int64 // bytes
	written bool
	result  fileResult // without its data
	took    time.Duration
}

// key is the file's storage key.
func (f *plannedFile) key() string {
	if f.plan.kind == appendLog {
		return f.log.Key()
	}
	return f.base.Key()
}

// commit runs an attempt; w.mu is held.
func (w *Writer) commit(ctx context.Context, req CommitRequest) (*CommitResult, error) {
	if w.mu.undecided != nil {
		return nil, fmt.Errorf("an earlier commit is not resolved: %w", ErrUnknownOutcome)
	}
	a, err := w.begin(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	return a.run(ctx)
}

// run takes an attempt through its steps to the decision.
func (a *attempt) run(ctx context.Context) (*CommitResult, error) {
	return a.runSteps(ctx, a.reserve, a.startInstant, a.startPartitions, a.announceFiles, a.writeFiles, a.verifyFiles, a.prepareHead)
}

// runSteps takes an attempt through steps to the decision.
func (a *attempt) runSteps(ctx context.Context, steps ...func(context.Context) error) (*CommitResult, error) {
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return nil, a.fail(ctx, err)
		}
	}
	return a.decide(ctx)
}

// swap replaces HEAD, which decides, and does what follows.
func (a *attempt) swap(ctx context.Context) (*CommitResult, error) {
	w := a.w
	stored, err := txn.CompareAndSwap(ctx, w.table.store, a.base, a.next)
	switch {
	case err == nil:
		return a.finish(ctx, stored), nil
	case errors.Is(err, txn.ErrUnknown):
		w.mu.undecided = a
		a.heartbeat.endIn(heartbeatAfterlife)
		return nil, fmt.Errorf("%s %s: %w: %w", a.verb(), a.instant, ErrUnknownOutcome, err)
	default:
		return nil, a.fail(ctx, err)
	}
}

// resolve settles the undecided attempt; w.mu is held.
func (w *Writer) resolve(ctx context.Context) (*CommitResult, error) {
	a := w.mu.undecided
	if a == nil {
		return nil, nil
	}
	stored, err := txn.Resolve(ctx, w.table.store, a.base, a.next)
	switch {
	case err == nil:
		w.mu.undecided = nil
		return a.finish(ctx, stored), nil
	case errors.Is(err, txn.ErrMoved):
		w.mu.undecided = nil
		return nil, fmt.Errorf("%w: %w", ErrNotCommitted, a.fail(ctx, err))
	default:
		return nil, fmt.Errorf("resolve %s: %w: %w", a.instant, ErrUnknownOutcome, err)
	}
}

// begin checks everything that can be checked before the attempt writes.
func (w *Writer) begin(ctx context.Context, req CommitRequest) (*attempt, error) {
	if err := w.checkRequest(req); err != nil {
		return nil, err
	}
	tl, err := w.ready(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkProgress(w.mu.head.Head, req.Progress); err != nil {
		return nil, err
	}
	a := &attempt{
		w: w, action: w.table.commitAction(), operation: meta.OperationUpsert, req: req, id: w.table.options.newID(), base: w.mu.head, tl: tl,
	}
	if a.schema, err = w.nextSchema(ctx, tl, req); err != nil {
		return nil, err
	}
	if w.table.Type() == MergeOnRead {
		if a.rewritten, err = rewritten(a.schema, req.WriterSchemas); err != nil {
			return nil, err
		}
	}
	switch req.Operation {
	case InsertOverwrite:
		err = a.planOverwrite(ctx)
	case BulkInsert:
		err = a.planBulkInsert(ctx)
	default:
		a.plans, a.newPartitions, err = w.planGroups(ctx, tl, req.Groups)
	}
	if w.appendOnly() {
		a.nameGroups()
	}
	return a, err
}

// ready makes sure that the table is still ours and what it was, and brings its timeline into a state that an attempt may begin from.
func (w *Writer) ready(ctx context.Context) (*timeline.Timeline, error) {
	if err := w.refreshHead(ctx); err != nil {
		return nil, err
	}
	if err := w.guardProperties(ctx); err != nil {
		return nil, err
	}
	tl, err := w.settle(ctx)
	if err != nil {
		return nil, err
	}
	return tl, w.ensureMetadata(ctx, tl)
}

// refreshHead reads HEAD anew and makes sure that it is still ours.
func (w *Writer) refreshHead(ctx context.Context) error {
	stored, err := txn.Load(ctx, w.table.store)
	if err != nil {
		return err
	}
	if stored.Head.Epoch != w.epoch {
		return fmt.Errorf("%w: %s, in epoch %d", ErrFenced, stored.Head.Owner, stored.Head.Epoch)
	}
	w.mu.head = stored
	return nil
}

// nextSchema is the table schema after the commit: that of the newest commit, or the request's if it only adds to it.
func (w *Writer) nextSchema(ctx context.Context, tl *timeline.Timeline, req CommitRequest) (string, error) {
	schema, err := w.table.Schema(ctx, tl)
	if err != nil {
		return "", err
	}
	if req.TableSchema != "" {
		e, err := checkEvolution(schema, req.TableSchema)
		if err != nil {
			return "", err
		}
		if err := w.checkCompacted(ctx, e); err != nil {
			return "", err
		}
		schema = req.TableSchema
	}
	if len(req.WriterSchemas) == 0 {
		return schema, nil
	}
	return schema, w.table.options.writers.checkSchemas(schema, req.WriterSchemas)
}

// reserve takes an instant: first the reservation, by which a successor knows whose the attempt is, then its place on the timeline.
func (a *attempt) reserve(ctx context.Context) error {
	store, last := a.w.table.store, max(a.tl.Last(), a.base.Head.Last())
	data, err := meta.Reservation{CommitID: a.id, Epoch: a.w.epoch, Owner: a.base.Head.Owner}.Encode()
	if err != nil {
		return err
	}
	for range instantAttempts {
		last = timeline.Next(a.w.table.options.now(), last)
		a.instant = last
		claim := meta.MarkerFolder(last) + meta.ReservationName
		_, err := store.Put(ctx, claim, data, storage.Condition{IfAbsent: true})
		if storage.Classify(err) == storage.Precondition {
			continue
		}
		if err != nil {
			return fmt.Errorf("reserve instant %s: %w", last, err)
		}
		a.reserved = true
		taken, err := a.taken(ctx)
		if err != nil {
			return err
		}
		if taken {
			a.reserved = false
			if err := store.Delete(ctx, claim); err != nil {
				return fmt.Errorf("give back instant %s: %w", last, err)
			}
			continue
		}
		if err := a.startHeartbeat(ctx); err != nil {
			return err
		}
		_, err = store.Put(ctx, a.entry(timeline.Requested).Key(), a.requested, storage.Condition{IfAbsent: true})
		if err == nil {
			return nil
		}
		if storage.Classify(err) != storage.Precondition {
			return fmt.Errorf("request instant %s: %w", last, err)
		}
		a.reserved = false
		if err := store.Delete(ctx, claim); err != nil { // another engine's instant
			return fmt.Errorf("give back instant %s: %w", last, err)
		}
	}
	return errNoInstant
}

// taken reports whether the timeline shows the instant already, under another action: a writer that was paused may try an instant which its
// successors used up meanwhile. While the reservation stands, nobody of this library takes it.
func (a *attempt) taken(ctx context.Context) (bool, error) {
	layout := a.w.table.layout()
	for info, err := range a.w.table.store.List(ctx, layout.Folder()+string(a.instant)) {
		if err != nil {
			return false, fmt.Errorf("look for instant %s: %w", a.instant, err)
		}
		if e, ok := layout.ParseFileName(strings.TrimPrefix(info.Key, layout.Folder())); ok && e.Action != a.action {
			return true, nil
		}
	}
	return false, nil
}

// verb is what errors call the attempt.
func (a *attempt) verb() string {
	if a.undo != nil {
		return string(a.action)
	}
	return "commit"
}

func (a *attempt) entry(s timeline.State) timeline.Entry {
	return a.w.table.entry(a.instant, a.action, s)
}

// finish follows the decision that the commit happened. Nothing here can take that back, so what fails is left to the next settle.
func (a *attempt) finish(ctx context.Context, stored txn.Stored) *CommitResult {
	a.w.mu.head = stored
	if a.undo != nil {
		a.heartbeat.end()
		return a.finishUndo(ctx)
	}
	result := a.result
	if stored.Head.Sequence > a.next.Sequence { // whoever went on from it has put it on the timeline before
		a.heartbeat.end()
		result.Projected = true
		return &result
	}
	result.Projected = a.w.project(ctx, a.next, txn.Complete) == nil
	if !result.Projected {
		a.w.mu.unshown = a.heartbeat
		a.heartbeat.endIn(heartbeatAfterlife)
		return &result
	}
	a.heartbeat.end()
	if a.next.Staged != nil {
		_ = a.w.table.store.Delete(ctx, a.next.Staged.Key) // else swept by the next Acquire
	}
	_ = a.w.deleteAttempt(ctx, a.instant) // else swept by the next settle
	return &result
}

// cleanupTimeout bounds the undoing of a failed attempt, which goes on when the caller's context has ended.
const cleanupTimeout = 30 * time.Second

// fail follows an error that leaves the attempt undone: HEAD is fenced, then the attempt is rolled back. What cannot be done now is done
// by the next settle, so only the error itself is returned.
func (a *attempt) fail(ctx context.Context, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	a.heartbeat.end()
	w := a.w
	cause = fmt.Errorf("%s %s: %w", a.verb(), a.instant, cause)
	stored, err := txn.Load(ctx, w.table.store)
	if err == nil && stored.Head.Epoch == w.epoch && stored.ETag == a.base.ETag {
		stored, err = txn.Fence(ctx, w.table.store, stored, w.table.options.newID())
		if storage.Classify(err) == storage.Precondition {
			stored, err = txn.Load(ctx, w.table.store)
		}
	}
	if err != nil || stored.ETag == a.base.ETag {
		return cause // HEAD is not known to have moved: nothing may be deleted
	}
	_, known := stored.Head.Committed(a.id, a.base.Head.Sequence+1)
	forgotten := !known && stored.Head.Sequence > a.base.Head.Sequence // HEAD remembers so many commits, and no more
	if stored.Head.Epoch != w.epoch {
		if a.reserved && !forgotten {
			a.withdraw(ctx)
		}
		return fmt.Errorf("%w: %s, in epoch %d: %w", ErrFenced, stored.Head.Owner, stored.Head.Epoch, cause)
	}
	w.mu.head = stored
	if a.reserved {
		_ = w.rollBack(ctx, a.instant) // else rolled back by the next settle
	}
	return cause
}

// withdraw deletes what a fenced attempt left. The timeline belongs to another, who may have rolled the attempt back already: no rollback
// is put on it, and whatever cannot be deleted here is found by the owner.
func (a *attempt) withdraw(ctx context.Context) {
	var gone []string
	for i := range a.files {
		gone = append(gone, a.files[i].key())
	}
	gone = append(gone, a.entry(timeline.Inflight).Key(), a.entry(timeline.Requested).Key())
	if a.w.deleteAll(ctx, gone) == nil {
		_ = a.w.deleteAttempt(ctx, a.instant)
	}
}
