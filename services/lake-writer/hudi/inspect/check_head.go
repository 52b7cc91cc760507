package inspect

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/txn"
)

// checkHead checks HEAD, the commit point of tables of this library, against the timeline. It comes last, and looks at the timeline again:
// when that is not what it was, HEAD need not be either.
func (v *verifier) checkHead(ctx context.Context) error {
	stored, err := txn.Load(ctx, v.store)
	names, listErr := v.timelineNames(ctx)
	if listErr != nil {
		return listErr
	}
	if !slices.Equal(names, v.names) {
		v.report.NotChecked = append(v.report.NotChecked, "HEAD: the table was written to meanwhile, and what was found may have been under way")
		return nil
	}
	if errors.Is(err, storage.ErrNotExist) {
		return nil // another writer's table
	}
	if err != nil {
		if storage.Classify(err) == storage.Retryable || ctx.Err() != nil {
			return err
		}
		v.fault(CodeHead, txn.Key, "%v", err)
		return nil
	}
	h := stored.Head
	if h.Instant != v.report.Instant {
		v.fault(CodeHeadLast, txn.Key, "last commit is %s, the timeline's is %q", h.Instant, v.report.Instant)
		return nil
	}
	newest := v.commits[len(v.commits)-1]
	switch {
	case !newest.ours:
		v.fault(CodeHeadNote, txn.Key, "commit %s has no %s", h.Instant, meta.PlayheadKey)
	case newest.note.CommitID != h.CommitID:
		v.fault(CodeHeadNote, txn.Key, "commit id %s, commit %s has %s", h.CommitID, h.Instant, newest.note.CommitID)
	case newest.note.Epoch > h.Epoch:
		v.fault(CodeHeadNote, txn.Key, "epoch %d, commit %s has %d", h.Epoch, h.Instant, newest.note.Epoch)
	case !maps.EqualFunc(newest.note.Offsets, h.Offsets, maps.Equal[map[int32]int64, map[int32]int64]):
		v.fault(CodeHeadNote, txn.Key, "offsets %v, commit %s has %v", h.Offsets, h.Instant, newest.note.Offsets)
	}
	return nil
}
