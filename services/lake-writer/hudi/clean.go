package hudi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// CleanPolicy decides which file slices a clean leaves.
type CleanPolicy int

// The policies. All leave the newest slice of every file group, and what a savepoint names.
const (
	CleanByCommits  CleanPolicy = iota // everything that reading as of one of the last Retain commits needs
	CleanByHours                       // the same for the commits of the last Retain hours
	CleanByVersions                    // the last Retain slices of each file group; replaced groups go at once
)

// text is Hudi's name of the policy.
func (p CleanPolicy) text() string {
	return [...]string{meta.CleanByCommits, meta.CleanByHours, meta.CleanByVersions}[p]
}

// Pace slows a table service down to what its caller allows it: so many bytes a second, or a share of the time, which is what passes between
// two calls. Wait is called before each file that is deleted or read, with its size, by several goroutines at a time, and its error ends the
// service.
type Pace interface {
	Wait(ctx context.Context, bytes int64) error
}

// CleanOptions say what Clean leaves.
type CleanOptions struct {
	Policy CleanPolicy
	Retain int  // commits, hours or slices, by the policy; at least 1
	DryRun bool // only say what would be deleted; pending cleans stay pending
	// Full looks at every partition. Else a clean by commits or hours looks only at those that commits wrote to since the last clean.
	Full bool
	Pace Pace // nil: no waiting
}

// CleanResult says what a clean did.
type CleanResult struct {
	Instant  timeline.Instant // of the clean; "" when there was nothing to delete, and for a dry run
	Earliest timeline.Instant // the first commit that can still be read as of; "" when the policy names none
	Files    []string         // keys of the deleted files, or with DryRun of those that would be
	Bytes    int64            // their size
	// Finished are cleans, of this library or another engine, that were found pending and were completed first.
	Finished []timeline.Instant
}

// Clean deletes files that no reader of the retained commits needs. First it completes cleans that are pending on the timeline. It may be
// repeated after any error and after a crash at any point. The plan is held in memory.
//
// A clean needs no replacement of HEAD. What it plans to delete was superseded by committed slices, and later commits only supersede more,
// so that a plan stays right however late it is executed. Only a savepoint could make a planned file wanted again: a plan counts after
// it is on the timeline and HEAD was ours still, and Savepoint executes the plans that it finds there before it looks for its files.
func (w *Writer) Clean(ctx context.Context, o CleanOptions) (*CleanResult, error) {
	if o.Policy < CleanByCommits || o.Policy > CleanByVersions || o.Retain < 1 {
		return nil, fmt.Errorf("clean: %w: policy %d, retain %d", ErrInvalid, o.Policy, o.Retain)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	result, err := w.clean(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("clean: %w", err)
	}
	return result, nil
}

func (w *Writer) clean(ctx context.Context, o CleanOptions) (*CleanResult, error) {
	if o.DryRun {
		tl, err := w.table.Timeline(ctx)
		if err != nil {
			return nil, err
		}
		result := &CleanResult{}
		_, err = w.planClean(ctx, tl, o, result)
		return result, err
	}
	tl, err := w.enterService(ctx)
	if err != nil {
		return nil, err
	}
	result := &CleanResult{}
	if result.Finished, err = w.finishCleans(ctx, tl, o.Pace); err != nil {
		return nil, err
	}
	if len(result.Finished) > 0 {
		if tl, err = w.table.Timeline(ctx); err != nil {
			return nil, err
		}
	}
	plan, err := w.planClean(ctx, tl, o, result)
	if err != nil || len(result.Files) == 0 {
		return result, err
	}
	run, err := w.requestClean(ctx, tl, plan)
	if err != nil {
		return nil, err
	}
	result.Instant = run.entry.Instant
	return result, w.runClean(ctx, run, o.Pace)
}

// enterService does what every table service begins with: HEAD is ours, the table is as we know it, no attempt is undecided, and nothing
// dead is pending on the timeline, which it returns. w.mu is held.
func (w *Writer) enterService(ctx context.Context) (*timeline.Timeline, error) {
	if w.mu.undecided != nil {
		return nil, fmt.Errorf("an earlier commit is not resolved: %w", ErrUnknownOutcome)
	}
	if err := w.refreshHead(ctx); err != nil {
		return nil, err
	}
	if err := w.guardProperties(ctx); err != nil {
		return nil, err
	}
	return w.settle(ctx)
}

// requestClean puts a plan on the timeline, and makes sure afterwards that the table is still ours.
func (w *Writer) requestClean(ctx context.Context, tl *timeline.Timeline, plan *meta.CleanPlan) (cleanRun, error) {
	data, err := plan.Encode()
	if err != nil {
		return cleanRun{}, err
	}
	last := max(tl.Last(), w.mu.head.Head.Last())
	for range instantAttempts {
		last = timeline.Next(w.table.options.now(), last)
		e := w.table.entry(last, timeline.Clean, timeline.Requested)
		_, err := w.table.store.Put(ctx, e.Key(), data, storage.Condition{IfAbsent: true})
		if storage.Classify(err) == storage.Precondition {
			continue
		}
		if err != nil {
			return cleanRun{}, fmt.Errorf("request clean %s: %w", last, err)
		}
		// The plan stays when the table is another's by now: its owner executes it, and leaves what a savepoint of his own names.
		return cleanRun{entry: e, plan: plan, data: data}, w.refreshHead(ctx)
	}
	return cleanRun{}, errNoInstant
}

// finishCleans executes the cleans that are pending on the timeline.
func (w *Writer) finishCleans(ctx context.Context, tl *timeline.Timeline, pace Pace) (finished []timeline.Instant, err error) {
	for _, e := range tl.Pending() {
		if e.Action != timeline.Clean {
			continue
		}
		run, empty, err := w.loadClean(ctx, e)
		if err != nil {
			return finished, err
		}
		if empty { // its writer died between making the file and filling it; Hudi deletes such a request too
			err = w.deleteAll(ctx, []string{e.In(timeline.Inflight).Key(), e.In(timeline.Requested).Key()})
		} else if err = w.runClean(ctx, run, pace); err == nil {
			finished = append(finished, e.Instant)
		}
		if err != nil {
			return finished, fmt.Errorf("finish clean %s: %w", e.Instant, err)
		}
	}
	return finished, nil
}

// loadClean reads the plan of a pending clean; empty is true when its file has no content.
func (w *Writer) loadClean(ctx context.Context, e timeline.Entry) (run cleanRun, empty bool, err error) {
	data, _, err := w.table.store.Get(ctx, e.In(timeline.Requested).Key())
	if err != nil {
		return cleanRun{}, false, fmt.Errorf("read plan of clean %s: %w", e.Instant, err)
	}
	if len(data) == 0 {
		return cleanRun{}, true, nil
	}
	plan, err := meta.ParseCleanPlan(data)
	if err != nil {
		return cleanRun{}, false, fmt.Errorf("read plan of clean %s: %w", e.Instant, err)
	}
	return cleanRun{entry: e, plan: plan, data: data}, false, nil
}

// lastClean is the metadata of the newest completed clean of a timeline; nil without one.
func (t *Table) lastClean(ctx context.Context, tl *timeline.Timeline) (*meta.CleanMetadata, error) {
	entries := tl.Entries()
	for _, e := range slices.Backward(entries) {
		if e.Action != timeline.Clean || e.State != timeline.Completed {
			continue
		}
		data, _, err := t.store.Get(ctx, e.Key())
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", e.FileName(), err)
		}
		m, err := meta.ParseCleanMetadata(data)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", e.FileName(), err)
		}
		return m, nil
	}
	return nil, nil
}

// savepointed is what the savepoints of a table keep.
type savepointed struct {
	instants []timeline.Instant         // of the savepoints, ascending
	files    map[string]map[string]bool // names by partition
	// pending is the first savepoint that is under way, whose files nobody knows yet; "" without one.
	pending timeline.Instant
}

// has reports whether a savepoint names a file.
func (s *savepointed) has(partition, name string) bool { return s.files[partition][name] }

// note is what the extra metadata of a clean says of the savepoints.
func (s *savepointed) note() map[string]string {
	if len(s.instants) == 0 {
		return map[string]string{}
	}
	texts := make([]string, len(s.instants))
	for i, instant := range s.instants {
		texts[i] = string(instant)
	}
	return map[string]string{meta.SavepointsKey: strings.Join(texts, ",")}
}

// first is the earliest savepoint, complete or under way.
func (s *savepointed) first() timeline.Instant {
	if len(s.instants) == 0 || s.pending != "" && s.pending < s.instants[0] {
		return s.pending
	}
	return s.instants[0]
}

// savepointed reads the savepoints of a timeline.
func (t *Table) savepointed(ctx context.Context, tl *timeline.Timeline) (*savepointed, error) {
	s := &savepointed{files: make(map[string]map[string]bool)}
	for _, e := range tl.Entries() {
		switch {
		case e.Action != timeline.Savepoint:
			continue
		case e.State != timeline.Completed:
			if s.pending == "" {
				s.pending = e.Instant
			}
			continue
		}
		point, err := t.savepoint(ctx, e)
		if errors.Is(err, storage.ErrNotExist) { // deleted meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		s.instants = append(s.instants, e.Instant)
		for partition, p := range point.Partitions {
			if s.files[partition] == nil {
				s.files[partition] = make(map[string]bool)
			}
			for _, name := range p.Files {
				s.files[partition][name] = true
			}
		}
	}
	return s, nil
}

// savepoint reads a completed savepoint.
func (t *Table) savepoint(ctx context.Context, e timeline.Entry) (*meta.Savepoint, error) {
	data, _, err := t.store.Get(ctx, e.Key())
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", e.FileName(), err)
	}
	point, err := meta.ParseSavepoint(data)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", e.FileName(), err)
	}
	return point, nil
}
