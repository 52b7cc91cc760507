package hudi

import (
	"context"
	"fmt"
	"slices"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/txn"
)

// showHead puts the last commit on a timeline that does not show it, unless another engine took it off. It reports whether the timeline changed.
func (w *Writer) showHead(ctx context.Context, tl *timeline.Timeline) (changed bool, err error) {
	if tl.Committed(w.mu.head.Head.Instant) {
		return false, nil
	}
	if undone, err := w.followUndo(ctx, tl); err != nil || undone {
		return false, err
	}
	return true, w.project(ctx, w.mu.head.Head, txn.Project)
}

// followUndo takes HEAD back where another engine undid its commit: by a restore, by a rollback by hand, or because it took for failed what was
// decided and not on the timeline yet. Its files are gone, so putting it on the timeline again would show rows that nobody can read. The
// progress goes back with it, and the caller commits those rows again. It reports whether HEAD went back.
func (w *Writer) followUndo(ctx context.Context, tl *timeline.Timeline) (bool, error) {
	head := w.mu.head.Head
	for _, e := range slices.Backward(tl.Entries()) {
		if e.Action != timeline.Rollback && e.Action != timeline.Restore || e.Instant <= head.Instant {
			continue
		}
		undone, err := w.undoneBy(ctx, e)
		if err != nil {
			return false, err
		}
		if !slices.Contains(undone, head.Instant) {
			continue
		}
		if e.State != timeline.Completed {
			return false, &UnsupportedError{e.FileName(), "", "another engine is undoing the table's last commit; let it finish"}
		}
		commits := slices.DeleteFunc(tl.Commits(), func(c timeline.Entry) bool { return c.Instant >= e.Instant })
		if len(commits) == 0 {
			return false, fmt.Errorf("%s undid every commit of the timeline: %w", e.FileName(), ErrTimeTravel)
		}
		to := commits[len(commits)-1]
		if tl.Layout() == timeline.Layout2 && to.Completion == "" {
			return false, errNoCompletion(to)
		}
		next, err := w.headBack(ctx, tl, to, txn.Undo{Instant: e.Instant, Action: e.Action}, undone, w.table.options.newID())
		if err != nil {
			return false, err
		}
		stored, err := txn.CompareAndSwap(ctx, w.table.store, w.mu.head, next)
		if err != nil {
			return false, fmt.Errorf("follow %s: %w", e.FileName(), err)
		}
		w.mu.head = stored
		return true, nil
	}
	return false, nil
}

// undoneBy are the instants that a rollback or restore undoes.
func (w *Writer) undoneBy(ctx context.Context, e timeline.Entry) ([]timeline.Instant, error) {
	if e.Action == timeline.Rollback && e.State != timeline.Completed {
		target, err := w.rollbackTarget(ctx, e)
		return []timeline.Instant{target.Instant}, err
	}
	key := e.Key()
	if e.State != timeline.Completed {
		key = e.In(timeline.Requested).Key()
	}
	data, _, err := w.table.store.Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", e.FileName(), err)
	}
	var texts []string
	switch {
	case e.Action == timeline.Rollback:
		var m *meta.RollbackMetadata
		if m, err = meta.ParseRollbackMetadata(data); err == nil {
			texts = m.CommitsRollback
		}
	case e.State == timeline.Completed:
		var m *meta.RestoreMetadata
		if m, err = meta.ParseRestoreMetadata(data); err == nil {
			texts = m.InstantsToRollback
		}
	default:
		var p *meta.RestorePlan
		if p, err = meta.ParseRestorePlan(data); err == nil {
			for _, info := range p.InstantsToRollback {
				texts = append(texts, info.CommitTime)
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", e.FileName(), err)
	}
	instants := make([]timeline.Instant, len(texts))
	for i, text := range texts {
		instants[i] = timeline.Instant(text)
	}
	return instants, nil
}
