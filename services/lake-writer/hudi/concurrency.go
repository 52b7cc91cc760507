package hudi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/lock"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// SharedTable says how a table is shared with writers of other engines, which run with hoodie.write.concurrency.mode =
// optimistic_concurrency_control and hoodie.clean.failed.writes.policy = LAZY.
type SharedTable struct {
	// Lock is held while a transaction is decided. All writers of the table must use the same one.
	Lock *lock.Lock
	// HeartbeatInterval is how often an attempt gives a sign of life; 0: DefaultHeartbeatInterval.
	HeartbeatInterval time.Duration
	// HeartbeatMisses is after how many intervals without one an attempt is dead; 0: DefaultHeartbeatMisses.
	HeartbeatMisses int
}

// allowed is the time without a sign of life after which an attempt is dead.
func (s SharedTable) allowed() time.Duration {
	return s.HeartbeatInterval * time.Duration(s.HeartbeatMisses)
}

// AcquireOption changes how an owner works.
type AcquireOption func(*Writer)

// WithSharedTable makes an owner a good neighbour of other engines' writers: its attempts have heartbeats, and are decided under the lock after
// a look at what others committed meanwhile. An attempt that meets another's in a file group fails with a *ConflictError. What others have
// pending is left alone. The owner is still the only one of this library: HEAD decides between those.
func WithSharedTable(s SharedTable) AcquireOption {
	if s.HeartbeatInterval == 0 {
		s.HeartbeatInterval = DefaultHeartbeatInterval
	}
	if s.HeartbeatMisses == 0 {
		s.HeartbeatMisses = DefaultHeartbeatMisses
	}
	return func(w *Writer) { w.shared = &s }
}

// ConflictError says that another engine's instant met an attempt. The attempt was rolled back, and its request may be repeated as it is:
// the next one goes on from what the other did.
type ConflictError struct {
	Instant timeline.Instant // of the other
	Action  timeline.Action
	// Partition and FileID name a file group that both write to; FileID is "" when any write is in the way.
	Partition, FileID string
}

func (e *ConflictError) Error() string {
	if e.FileID == "" {
		return fmt.Sprintf("conflict with %s %s of another engine", e.Action, e.Instant)
	}
	return fmt.Sprintf("conflict with %s %s of another engine in file group %s of %s", e.Action, e.Instant, e.FileID, e.Partition)
}

// decide replaces HEAD, on a shared table under the lock and after a look at what others did.
func (a *attempt) decide(ctx context.Context) (*CommitResult, error) {
	shared := a.w.shared
	if shared == nil {
		return a.swap(ctx)
	}
	var result *CommitResult
	begun := false
	err := shared.Lock.Do(ctx, func(ctx context.Context, lease *lock.Lease) error {
		err := a.checkOthers(ctx)
		if err == nil && lease.Remaining() <= 0 {
			err = lock.ErrLost
		}
		if err != nil {
			return err
		}
		begun = true
		result, err = a.swap(ctx)
		return err
	})
	if err != nil && !begun {
		return nil, a.fail(ctx, err)
	}
	return result, err
}

// checkOthers looks at what other engines did since the attempt began; the lock is held.
func (a *attempt) checkOthers(ctx context.Context) error {
	if err := a.heartbeat.check(); err != nil {
		return err
	}
	// The table may have been upgraded meanwhile, or its metadata table switched on, which would not know our files.
	if err := a.w.guardProperties(ctx); err != nil {
		return err
	}
	tl, err := a.w.table.Timeline(ctx)
	if err != nil {
		return err
	}
	for _, e := range tl.Entries() {
		before, there := a.tl.Find(e.Instant, e.Action)
		if there && before.State == timeline.Completed || e.Instant == a.instant {
			continue
		}
		if e.Action == timeline.Rollback || e.Action == timeline.Restore {
			if err := a.checkUndoing(ctx, e); err != nil {
				return err
			}
		}
		if !e.Action.Writes() {
			continue
		}
		if err := a.checkOther(ctx, e, there); err != nil {
			return err
		}
	}
	return nil
}

// checkUndoing looks at a rollback or restore of another engine, which may undo the attempt, or what it goes on from.
func (a *attempt) checkUndoing(ctx context.Context, e timeline.Entry) error {
	undone, err := a.w.undoneBy(ctx, e)
	if errors.Is(err, storage.ErrNotExist) { // a restore took the rollbacks that it consists of off the timeline
		return &ConflictError{Instant: e.Instant, Action: e.Action}
	}
	if err != nil {
		return err
	}
	for _, i := range undone {
		if i == a.instant || a.tl.Committed(i) {
			return &ConflictError{Instant: e.Instant, Action: e.Action}
		}
	}
	return nil
}

// checkOther looks at one instant that has come since the attempt began, or was pending then.
func (a *attempt) checkOther(ctx context.Context, e timeline.Entry, pendingBefore bool) error {
	if a.undo != nil {
		if pendingBefore && e.State != timeline.Completed {
			return nil // before what is undone, or the check had refused it
		}
		return &ConflictError{Instant: e.Instant, Action: e.Action}
	}
	var groups []fileGroup
	var err error
	switch planned := e.Action == timeline.Compaction || e.Action == timeline.Clustering || e.Action == timeline.ReplaceCommit; {
	case e.State == timeline.Completed && pendingBefore && a.tl.Layout() == timeline.Layout1 && a.onto(e.Instant):
		return nil // a compaction whose slice our logs are for
	case e.State == timeline.Completed:
		groups, err = a.w.writtenGroups(ctx, e)
	case a.action == timeline.Compaction && !planned:
		// Its log files may go to slices that we compact, and nobody would read them there.
		alive, err := a.w.alive(ctx, e.Instant)
		if err != nil || !alive {
			return err
		}
		return &ConflictError{Instant: e.Instant, Action: e.Action}
	case planned && !pendingBefore:
		groups, err = a.w.plannedGroups(ctx, e)
	}
	if err != nil {
		return err
	}
	for _, g := range groups {
		if a.touches(g) {
			return &ConflictError{e.Instant, e.Action, g.partition, g.fileID}
		}
	}
	return nil
}

// touches reports whether the attempt writes to a file group, or to one of the same bucket: two new groups of a bucket have different ids. An
// overwrite touches whole partitions, a clustering the groups that it replaces.
func (a *attempt) touches(g fileGroup) bool {
	if a.clusters != nil {
		return slices.Contains(a.replaces[g.partition], g.fileID)
	}
	if _, overwritten := a.replaces[g.partition]; overwritten { // with groups that it does not know
		return true
	}
	bucket, ok := keys.BucketOf(g.fileID)
	return slices.ContainsFunc(a.plans, func(p groupPlan) bool {
		ours, has := keys.BucketOf(p.id)
		return p.partition == g.partition && (p.id == g.fileID || ok && has && ours == bucket)
	})
}

// writtenGroups are the file groups that a completed commit wrote to or took away.
func (w *Writer) writtenGroups(ctx context.Context, e timeline.Entry) ([]fileGroup, error) {
	c, err := w.table.Commit(ctx, e)
	if err != nil {
		return nil, err
	}
	var groups []fileGroup
	for partition, stats := range c.PartitionToWriteStats {
		for _, s := range stats {
			groups = append(groups, fileGroup{partition, s.FileID})
		}
	}
	for partition, ids := range c.PartitionToReplaceFileIDs {
		for _, id := range ids {
			groups = append(groups, fileGroup{partition, id})
		}
	}
	return groups, nil
}

// plannedGroups are the file groups that a pending compaction or clustering is going to rewrite.
func (w *Writer) plannedGroups(ctx context.Context, e timeline.Entry) ([]fileGroup, error) {
	var groups []fileGroup
	if e.Action == timeline.Compaction {
		plan, err := w.table.compactionPlan(ctx, e)
		if errors.Is(err, storage.ErrNotExist) { // just rolled back
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		for _, op := range plan.Operations {
			if op.PartitionPath != nil {
				groups = append(groups, fileGroup{*op.PartitionPath, *op.FileID})
			}
		}
		return groups, nil
	}
	request, err := w.table.requestedReplace(ctx, e)
	if errors.Is(err, storage.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if request.ClusteringPlan == nil {
		return nil, nil
	}
	for _, g := range request.ClusteringPlan.InputGroups {
		for _, s := range g.Slices {
			groups = append(groups, fileGroup{s.PartitionPath, s.FileID})
		}
	}
	return groups, nil
}

// pendingServices are the compactions and clusterings of other engines that are pending, by the file groups which they are going to rewrite.
// The timeline is settled, so none of them is ours.
func (w *Writer) pendingServices(ctx context.Context, tl *timeline.Timeline) (map[fileGroup]timeline.Entry, error) {
	pending := make(map[fileGroup]timeline.Entry)
	for _, e := range tl.Pending() {
		if e.Action != timeline.Compaction && e.Action != timeline.Clustering && e.Action != timeline.ReplaceCommit {
			continue
		}
		groups, err := w.plannedGroups(ctx, e)
		if err != nil {
			return nil, err
		}
		for _, g := range groups {
			pending[g] = e
		}
	}
	return pending, nil
}

// besides makes a plan that gets along with a pending compaction or clustering of its file group. Rows that go to a slice under compaction are
// appended to the slice which that is going to make, as Hudi does: in table version 6 by the name of the log file, later by the time
// of completion. Nothing can be added to a slice that is being clustered.
func (p *groupPlan) besides(service timeline.Entry) error {
	if service.Action == timeline.Compaction && p.kind == appendLog {
		if service.Layout == timeline.Layout1 {
			p.onto = service.Instant
		}
		return nil
	}
	return &ConflictError{service.Instant, service.Action, p.partition, p.id}
}

// onto reports whether log files of the attempt go to slices which a pending compaction is going to make.
func (a *attempt) onto(compaction timeline.Instant) bool {
	return slices.ContainsFunc(a.plans, func(p groupPlan) bool { return p.onto == compaction })
}
