package hudi

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// CompactOptions choose what a compaction folds in. The zero value is every slice with a log.
type CompactOptions struct {
	Partitions []string // path prefixes; none: all
	MinLogs    int      // only slices with so many log files
	MinRatio   float64  // or with so many log bytes for each byte of the base file; zero: not looked at
	// MaxBytes bounds base files and logs read; at least one slice is taken. Zero: no bound. The slices with the most log bytes go first.
	MaxBytes int64
	Pace     Pace // of the bytes read, file by file; nil: as fast as it goes
}

// CompactionGroup is one slice of a compaction.
type CompactionGroup struct {
	Partition, FileID string
	Logs              int
	LogBytes          int64
	BaseBytes         int64
}

// PlanCompaction says what Compact would do now, and does nothing.
func (w *Writer) PlanCompaction(ctx context.Context, o CompactOptions) ([]CompactionGroup, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	tl, err := w.table.Timeline(ctx)
	if err != nil {
		return nil, err
	}
	plans, err := w.planCompaction(ctx, tl, o)
	if err != nil {
		return nil, fmt.Errorf("plan compaction: %w", err)
	}
	var groups []CompactionGroup
	for _, p := range plans {
		groups = append(groups, CompactionGroup{p.partition, p.id, len(p.slice.Logs), logBytes(p.slice), p.slice.Base.Size})
	}
	return groups, nil
}

// Compact merges log files into new base files, in one transaction like a commit and with the errors of Commit. It returns nil when there is
// nothing to compact. A compaction that another engine has planned and not finished is refused with an *UnsupportedError: only that engine
// knows whether it is under way.
//
// Plan and execution are one step under the writer's lock, so that no commit comes between them: hudi-rs would not see its rows before the
// compaction is done.
func (w *Writer) Compact(ctx context.Context, o CompactOptions) (*CommitResult, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.undecided != nil {
		return nil, fmt.Errorf("an earlier commit is not resolved: %w", ErrUnknownOutcome)
	}
	a, err := w.beginCompaction(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("compact: %w", err)
	}
	if len(a.plans) == 0 {
		return nil, nil
	}
	return a.run(ctx)
}

func (w *Writer) beginCompaction(ctx context.Context, o CompactOptions) (*attempt, error) {
	if w.table.Type() != MergeOnRead {
		return nil, fmt.Errorf("%w: the table is %s, which has no logs to compact", ErrInvalid, w.table.Type())
	}
	tl, err := w.ready(ctx)
	if err != nil {
		return nil, err
	}
	a := &attempt{w: w, action: timeline.Compaction, operation: meta.OperationCompact, pace: o.Pace, id: w.table.options.newID(), base: w.mu.head, tl: tl}
	if a.schema, err = w.table.Schema(ctx, tl); err != nil {
		return nil, err
	}
	if a.plans, err = w.planCompaction(ctx, tl, o); err != nil || len(a.plans) == 0 {
		return a, err
	}
	a.requested, err = a.compactionPlan()
	return a, err
}

// planCompaction finds the slices to compact.
func (w *Writer) planCompaction(ctx context.Context, tl *timeline.Timeline, o CompactOptions) ([]groupPlan, error) {
	if i := slices.IndexFunc(tl.Pending(), func(e timeline.Entry) bool { return e.Action == timeline.Compaction }); i >= 0 {
		e := tl.Pending()[i]
		return nil, &UnsupportedError{e.FileName(), "", "another engine's compaction is pending; let it finish or cancel it there"}
	}
	replaced, err := w.table.Replaced(ctx, tl)
	if err != nil {
		return nil, err
	}
	objects, err := w.table.listData(ctx, o.Partitions)
	if err != nil {
		return nil, err
	}
	if err := w.mu.committed.follow(ctx, w.table, tl); err != nil {
		return nil, err
	}
	present := make(map[string]bool, len(objects))
	for _, obj := range objects {
		present[obj.Key] = true
	}
	placing, err := w.table.placing(ctx, tl, objects)
	if err != nil {
		return nil, err
	}
	var plans []groupPlan
	for _, s := range fileslice.Latest(objects, placing, replaced).Slices {
		if !o.wants(s) {
			continue
		}
		if err := w.mu.committed.check(fileGroup{s.Partition, s.FileID}, present); err != nil {
			return nil, err
		}
		plans = append(plans, groupPlan{kind: compact, partition: s.Partition, id: s.FileID, slice: s})
	}
	return o.limit(plans), nil
}

func (o CompactOptions) wants(s fileslice.Slice) bool {
	if len(s.Logs) == 0 {
		return false
	}
	if o.MinLogs == 0 && o.MinRatio == 0 {
		return true
	}
	return o.MinLogs > 0 && len(s.Logs) >= o.MinLogs || o.MinRatio > 0 && float64(logBytes(s)) >= o.MinRatio*float64(s.Base.Size)
}

// limit keeps the slices with the most log bytes, within the bound, in the order of their names.
func (o CompactOptions) limit(plans []groupPlan) []groupPlan {
	if o.MaxBytes <= 0 {
		return plans
	}
	slices.SortStableFunc(plans, func(a, b groupPlan) int { return int(max(-1, min(1, logBytes(b.slice)-logBytes(a.slice)))) })
	var total int64
	for i, p := range plans {
		total += p.slice.Base.Size + logBytes(p.slice)
		if i > 0 && total > o.MaxBytes {
			plans = plans[:i]
			break
		}
	}
	slices.SortFunc(plans, func(a, b groupPlan) int { return strings.Compare(a.partition+"/"+a.id, b.partition+"/"+b.id) })
	return plans
}

func logBytes(s fileslice.Slice) int64 {
	var n int64
	for _, l := range s.Logs {
		n += l.Size
	}
	return n
}

// compactionPlan is the requested file's content. The note tells a successor whose attempt it is, as an ordinary commit's inflight file does.
func (a *attempt) compactionPlan() ([]byte, error) {
	note, err := meta.CommitNote{CommitID: a.id, PreviousCommitID: a.base.Head.CommitID, Epoch: a.w.epoch}.Encode()
	if err != nil {
		return nil, err
	}
	var operations []meta.CompactionOperation
	for _, p := range a.plans {
		base, baseInstant := "", p.slice.Logs[0].Instant
		if p.slice.HasBase {
			base, baseInstant = p.slice.Base.Name(), p.slice.Base.Instant
		}
		var logs []string
		for _, l := range p.slice.Logs {
			logs = append(logs, l.Name())
		}
		metrics := map[string]float64{meta.MetricLogFiles: float64(len(logs)), meta.MetricLogFilesSize: float64(logBytes(p.slice)) / (1 << 20)}
		operations = append(operations, meta.NewCompactionOperation(p.partition, p.id, string(baseInstant), base, logs, metrics))
	}
	plan := meta.NewCompactionPlan(operations)
	plan.ExtraMetadata = &map[string]string{meta.PlayheadKey: note}
	return plan.Encode()
}
