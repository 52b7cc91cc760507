package inspect

import (
	"context"
	"errors"
	"maps"
	"slices"

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
	v.compareHead(stored.Head)
	return nil
}

// compareHead compares HEAD with the newest commit of this library. Another engine may have committed after it; and of a table that was
// adopted, HEAD begins with a commit of that engine.
func (v *verifier) compareHead(h txn.Head) {
	last := len(v.commits) - 1
	for last >= 0 && !v.commits[last].ours {
		last--
	}
	if last < 0 {
		if !v.tl.Committed(h.Instant) {
			v.fault(CodeHeadLast, txn.Key, "last commit is %s, which is not on the timeline", h.Instant)
		}
		return
	}
	newest := v.commits[last]
	switch note := newest.note; {
	case newest.entry.Instant != h.Instant:
		v.fault(CodeHeadLast, txn.Key, "last commit is %s, the timeline's is %s", h.Instant, newest.entry.Instant)
	case note.CommitID != h.CommitID:
		v.fault(CodeHeadNote, txn.Key, "commit id %s, commit %s has %s", h.CommitID, h.Instant, note.CommitID)
	case note.Epoch > h.Epoch:
		v.fault(CodeHeadNote, txn.Key, "epoch %d, commit %s has %d", h.Epoch, h.Instant, note.Epoch)
	case !maps.EqualFunc(note.Offsets, h.Offsets, maps.Equal[map[int32]int64, map[int32]int64]):
		v.fault(CodeHeadNote, txn.Key, "offsets %v, commit %s has %v", h.Offsets, h.Instant, note.Offsets)
	}
}
