package hudi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
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
	req           CommitRequest
	id            string // commit id
	base          txn.Stored
	tl            *timeline.Timeline
	schema        string // of the table after the commit
	plans         []groupPlan
	newPartitions []string
	instant       timeline.Instant
	reserved      bool // the instant is this attempt's, and may be on the timeline
	files         []plannedFile
	next          txn.Head // what replaces base
	result        CommitResult
}

// plannedFile is a data file of an attempt, and after it was built what is in it.
type plannedFile struct {
	plan    groupPlan
	file    fileslice.BaseFile
	written bool
	result  fileResult // without its data
	took    time.Duration
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
	for _, step := range []func(context.Context) error{
		a.reserve, a.startInstant, a.startPartitions, a.announceFiles, a.writeFiles, a.verifyFiles, a.prepareHead,
	} {
		if err := step(ctx); err != nil {
			return nil, a.fail(ctx, err)
		}
	}
	stored, err := txn.CompareAndSwap(ctx, w.table.store, a.base, a.next)
	switch {
	case err == nil:
		return a.finish(ctx, stored), nil
	case errors.Is(err, txn.ErrUnknown):
		w.mu.undecided = a
		return nil, fmt.Errorf("commit %s: %w: %w", a.instant, ErrUnknownOutcome, err)
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
	if err := w.refreshHead(ctx); err != nil {
		return nil, err
	}
	if err := checkProgress(w.mu.head.Head, req.Progress); err != nil {
		return nil, err
	}
	if err := w.guardProperties(ctx); err != nil {
		return nil, err
	}
	tl, err := w.settle(ctx)
	if err != nil {
		return nil, err
	}
	a := &attempt{w: w, req: req, id: w.table.options.newID(), base: w.mu.head, tl: tl}
	if a.schema, err = w.nextSchema(ctx, tl, req); err != nil {
		return nil, err
	}
	a.plans, a.newPartitions, err = w.planGroups(ctx, tl, req.Groups)
	return a, err
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
		if err := checkEvolution(schema, req.TableSchema); err != nil {
			return "", err
		}
		schema = req.TableSchema
	}
	if len(req.WriterSchemas) == 0 {
		return schema, nil
	}
	return schema, checkWriterSchemas(schema, req.WriterSchemas)
}

// reserve takes an instant: first the reservation, by which a successor knows whose the attempt is, then its place on the timeline.
func (a *attempt) reserve(ctx context.Context) error {
	store, last := a.w.table.store, max(a.tl.Last(), a.base.Head.Instant)
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
		_, err = store.Put(ctx, a.entry(timeline.Requested).Key(), nil, storage.Condition{IfAbsent: true})
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

func (a *attempt) entry(s timeline.State) timeline.Entry {
	return timeline.Entry{Instant: a.instant, Action: timeline.Commit, State: s}
}

// startInstant names the files and puts the workload profile on the timeline. The profile carries the epoch as the reservation does.
func (a *attempt) startInstant(ctx context.Context) error {
	for i, plan := range a.plans {
		a.files = append(a.files, plannedFile{plan: plan, file: fileslice.BaseFile{
			Partition: plan.group.Partition, FileID: plan.id, Instant: a.instant,
			Token: fileslice.Token{A: int64(i), B: a.w.epoch, C: 0},
		}})
	}
	note, err := meta.CommitNote{CommitID: a.id, PreviousCommitID: a.base.Head.CommitID, Epoch: a.w.epoch}.Encode()
	if err != nil {
		return err
	}
	profile := meta.Commit{
		PartitionToWriteStats: make(map[string][]meta.WriteStat), OperationType: meta.OperationUpsert,
		ExtraMetadata: map[string]string{meta.PlayheadKey: note},
	}
	for _, f := range a.files {
		stat := meta.WriteStat{FileID: f.plan.id, PrevCommit: f.plan.previous(), NumInserts: int64(len(f.plan.group.Records))}
		profile.PartitionToWriteStats[f.file.Partition] = append(profile.PartitionToWriteStats[f.file.Partition], stat)
	}
	data, err := profile.Encode()
	if err != nil {
		return err
	}
	_, err = a.w.table.store.Put(ctx, a.entry(timeline.Inflight).Key(), data, storage.Condition{IfAbsent: true})
	if err != nil && storage.Classify(err) != storage.Precondition { // the instant is ours, so what is there is this
		return fmt.Errorf("start instant %s: %w", a.instant, err)
	}
	return nil
}

// previous is the instant of the file that is rewritten.
func (p groupPlan) previous() string {
	if p.old == nil {
		return meta.NoPreviousCommit
	}
	return string(p.old.Instant)
}

// startPartitions puts the metafiles of new partitions, without which readers do not see them.
func (a *attempt) startPartitions(ctx context.Context) error {
	now := a.w.table.options.now()
	for _, partition := range a.newPartitions {
		data := meta.EncodePartition(now, a.instant, len(a.w.config.PartitionFields))
		key := partition + "/" + fileslice.PartitionMetafile
		_, err := a.w.table.store.Put(ctx, key, data, storage.Condition{IfAbsent: true})
		if err != nil && storage.Classify(err) != storage.Precondition {
			return fmt.Errorf("start partition %s: %w", partition, err)
		}
	}
	return nil
}

// announceFiles puts the markers of all files before any of the files, so that whoever undoes the attempt knows them.
func (a *attempt) announceFiles(ctx context.Context) error {
	if len(a.files) == 0 {
		return nil
	}
	var markers []meta.Marker
	for _, f := range a.files {
		kind := meta.MarkerMerge
		if f.plan.old == nil {
			kind = meta.MarkerCreate
		}
		markers = append(markers, meta.Marker{File: f.file.Key(), Kind: kind})
	}
	store := a.w.table.store
	if _, err := store.Put(ctx, meta.MarkerTypeKey(a.instant), []byte(meta.MarkerType), storage.Condition{}); err != nil {
		return fmt.Errorf("announce files of %s: %w", a.instant, err)
	}
	if _, err := store.Put(ctx, meta.MarkerListKey(a.instant), meta.EncodeMarkers(markers), storage.Condition{}); err != nil {
		return fmt.Errorf("announce files of %s: %w", a.instant, err)
	}
	return nil
}

// writeFiles builds and puts the data files, some at a time. The first error ends the others.
func (a *attempt) writeFiles(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots := make(chan struct{}, a.w.table.options.parallelism)
	var wg sync.WaitGroup
	for i := range a.files {
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := a.writeFile(ctx, i); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

func (a *attempt) writeFile(ctx context.Context, i int) error {
	f, opts := &a.files[i], a.w.table.options
	started := opts.now()
	result, err := opts.writeFile(ctx, a.w.table.store, fileJob{
		file: f.file, old: f.plan.old, taskID: i, tableSchema: a.schema, writerSchemas: a.req.WriterSchemas, records: f.plan.group.Records,
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", f.file.Key(), err)
	}
	f.file.Size = int64(len(result.data))
	f.written = f.file.Size > 0
	if f.written {
		if _, err := a.w.table.store.Put(ctx, f.file.Key(), result.data, storage.Condition{}); err != nil {
			return fmt.Errorf("write %s: %w", f.file.Key(), err)
		}
	}
	result.data = nil
	f.result, f.took = result, opts.now().Sub(started)
	return nil
}

// verifyFiles asks the store what it holds: an upload that was cut must never be committed.
func (a *attempt) verifyFiles(ctx context.Context) error {
	for _, f := range a.files {
		if !f.written {
			continue
		}
		info, err := a.w.table.store.Stat(ctx, f.file.Key())
		if err != nil {
			return fmt.Errorf("verify file: %w", err)
		}
		if info.Size != f.file.Size {
			return storage.MarkRetryable(fmt.Errorf("verify %s: the store has %d bytes, not %d", f.file.Key(), info.Size, f.file.Size))
		}
	}
	return nil
}

// prepareHead makes the HEAD that commits the attempt, with the completed file in it.
func (a *attempt) prepareHead(ctx context.Context) error {
	a.next = a.base.Head.Follow(a.id, a.id, a.w.table.options.now())
	a.next.Instant, a.next.Action = a.instant, timeline.Commit
	advance(&a.next, a.req.Progress)
	if a.req.Watermark.After(a.next.Watermark) {
		a.next.Watermark = a.req.Watermark.UTC()
	}
	data, err := a.completedFile()
	if err != nil {
		return err
	}
	return txn.SetCompleted(ctx, a.w.table.store, &a.next, data)
}

// completedFile is the commit's metadata; it also sums up the result.
func (a *attempt) completedFile() ([]byte, error) {
	note := meta.CommitNote{
		CommitID: a.id, PreviousCommitID: a.base.Head.CommitID, Epoch: a.w.epoch, Offsets: a.next.Offsets,
		CompletedMillis: a.next.CompletedAt.UnixMilli(),
	}
	if !a.next.Watermark.IsZero() {
		note.WatermarkMillis = a.next.Watermark.UnixMilli()
	}
	text, err := note.Encode()
	if err != nil {
		return nil, err
	}
	c := meta.Commit{PartitionToWriteStats: make(map[string][]meta.WriteStat), ExtraMetadata: make(map[string]string), OperationType: meta.OperationUpsert}
	maps.Copy(c.ExtraMetadata, a.req.ExtraMetadata)
	c.ExtraMetadata[meta.SchemaKey], c.ExtraMetadata[meta.PlayheadKey] = a.schema, text
	if cp, ok := checkpoint(a.next.Offsets); ok {
		c.ExtraMetadata[meta.CheckpointKey] = cp
	}
	a.result = CommitResult{Instant: a.instant, CommitID: a.id}
	for _, f := range a.files {
		a.result.Duplicates += f.result.duplicates
		if !f.written {
			continue
		}
		a.result.Rows += f.result.added
		a.result.Files++
		a.result.Bytes += f.file.Size
		c.PartitionToWriteStats[f.file.Partition] = append(c.PartitionToWriteStats[f.file.Partition], f.stat())
	}
	return c.Encode()
}

func (f plannedFile) stat() meta.WriteStat {
	key, partition := f.file.Key(), f.file.Partition
	s := meta.WriteStat{
		FileID: f.file.FileID, Path: &key, PrevCommit: f.plan.previous(), NumWrites: f.result.rows, NumInserts: f.result.added,
		TotalWriteBytes: f.file.Size, PartitionPath: &partition, FileSizeInBytes: f.file.Size, RuntimeStats: &meta.RuntimeStats{},
	}
	if f.plan.old == nil {
		s.RuntimeStats.TotalCreateTime = f.took.Milliseconds()
	} else {
		s.RuntimeStats.TotalUpsertTime = f.took.Milliseconds()
	}
	return s
}

// finish follows the decision that the commit happened. Nothing here can take that back, so what fails is left to the next settle.
func (a *attempt) finish(ctx context.Context, stored txn.Stored) *CommitResult {
	a.w.mu.head = stored
	result := a.result
	if stored.Head.Sequence > a.next.Sequence { // whoever went on from it has put it on the timeline before
		result.Projected = true
		return &result
	}
	result.Projected = txn.Complete(ctx, a.w.table.store, a.next) == nil
	if result.Projected {
		if a.next.Staged != nil {
			_ = a.w.table.store.Delete(ctx, a.next.Staged.Key) // else swept by the next Acquire
		}
		_ = a.w.deleteAttempt(ctx, a.instant) // else swept by the next settle
	}
	return &result
}

// cleanupTimeout bounds the undoing of a failed attempt, which goes on when the caller's context has ended.
const cleanupTimeout = 30 * time.Second

// fail follows an error that leaves the attempt undone: HEAD is fenced, then the attempt is rolled back. What cannot be done now is done
// by the next settle, so only the error itself is returned.
func (a *attempt) fail(ctx context.Context, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	w := a.w
	cause = fmt.Errorf("commit %s: %w", a.instant, cause)
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
	for _, f := range a.files {
		gone = append(gone, f.file.Key())
	}
	gone = append(gone, a.entry(timeline.Inflight).Key(), a.entry(timeline.Requested).Key())
	if a.w.deleteAll(ctx, gone) == nil {
		_ = a.w.deleteAttempt(ctx, a.instant)
	}
}
