package hudi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// settle brings the timeline into the state that a commit may follow: the last commit is on it, and nothing dead is pending on it. It
// returns the timeline as it is then. The caller holds w.mu and has no attempt under way.
func (w *Writer) settle(ctx context.Context) (*timeline.Timeline, error) {
	tl, err := w.table.Timeline(ctx)
	if err != nil {
		return nil, err
	}
	changed, err := w.showHead(ctx, tl)
	if err != nil {
		return nil, err
	}
	w.mu.unshown.end()
	undone, err := w.settleUndo(ctx, tl, nil)
	if err != nil {
		return nil, err
	}
	if undone {
		if tl, err = w.table.Timeline(ctx); err != nil {
			return nil, err
		}
	}
	dead, err := w.deadAttempts(ctx, tl)
	if err != nil {
		return nil, err
	}
	for _, instant := range dead {
		if err := w.rollBack(ctx, instant); err != nil {
			return nil, err
		}
		changed = true
	}
	finished, err := w.finishRollbacks(ctx, tl)
	if err != nil || !changed && !finished {
		return tl, err
	}
	return w.table.Timeline(ctx)
}

// deadAttempts finds the attempts of this library that can never commit: their epoch is below ours, so their HEAD replacement must fail, or
// it is ours and the attempt has failed. Attempts of other engines are theirs to judge. An attempt of a later epoch means that we are the
// past ourselves: it may be alive, and nothing of it may be touched.
func (w *Writer) deadAttempts(ctx context.Context, tl *timeline.Timeline) ([]timeline.Instant, error) {
	epochs, unreserved, err := w.reservations(ctx)
	if err != nil {
		return nil, err
	}
	// A paused writer may bring an instant back after its reservation was swept; its inflight file names the epoch too.
	for _, e := range tl.Pending() {
		if _, known := epochs[e.Instant]; known {
			continue
		}
		note, ours, err := w.pendingNote(ctx, e)
		if err != nil {
			return nil, err
		}
		if ours {
			epochs[e.Instant] = note.Epoch
		}
	}
	var dead []timeline.Instant
	for _, instant := range slices.Sorted(maps.Keys(epochs)) {
		if epochs[instant] > w.epoch {
			return nil, fmt.Errorf("instant %s is of epoch %d, ours is %d: %w", instant, epochs[instant], w.epoch, ErrFenced)
		}
		dead = append(dead, instant)
	}
	lost, err := w.lostMarkers(ctx, unreserved, epochs)
	return append(dead, lost...), err
}

// reservations lists the attempts' folders: the epochs of those that are reserved, and the others.
func (w *Writer) reservations(ctx context.Context) (epochs map[timeline.Instant]int64, unreserved map[timeline.Instant]bool, err error) {
	epochs, unreserved = make(map[timeline.Instant]int64), make(map[timeline.Instant]bool)
	for info, err := range w.table.store.List(ctx, meta.TempFolder) {
		if err != nil {
			return nil, nil, fmt.Errorf("list attempts: %w", err)
		}
		folder, name, _ := strings.Cut(strings.TrimPrefix(info.Key, meta.TempFolder), "/")
		instant, err := timeline.ParseInstant(folder)
		if err != nil {
			continue
		}
		if name != meta.ReservationName {
			unreserved[instant] = true
			continue
		}
		data, _, err := w.table.store.Get(ctx, info.Key)
		if errors.Is(err, storage.ErrNotExist) { // its owner has just ended it
			continue
		}
		var r meta.Reservation
		if err == nil {
			r, err = meta.ParseReservation(data)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read reservation of %s: %w", instant, err)
		}
		epochs[instant] = r.Epoch
	}
	return epochs, unreserved, nil
}

// lostMarkers are the folders without a reservation whose instant is on the timeline in no state: a paused writer put markers after its
// attempt was rolled back. Every engine puts an instant on the timeline before its markers, so none of these is alive.
func (w *Writer) lostMarkers(ctx context.Context, unreserved map[timeline.Instant]bool, epochs map[timeline.Instant]int64) ([]timeline.Instant, error) {
	maps.DeleteFunc(unreserved, func(i timeline.Instant, _ bool) bool { _, reserved := epochs[i]; return reserved })
	if len(unreserved) == 0 {
		return nil, nil
	}
	tl, err := w.table.Timeline(ctx)
	if err != nil {
		return nil, err
	}
	for _, e := range tl.Entries() {
		delete(unreserved, e.Instant)
	}
	return slices.Sorted(maps.Keys(unreserved)), nil
}

// findAttempt finds an instant that an attempt of this library can be: an ordinary commit, a replacecommit or a compaction.
func (w *Writer) findAttempt(tl *timeline.Timeline, instant timeline.Instant) (e timeline.Entry, ok bool) {
	for _, action := range []timeline.Action{w.table.commitAction(), timeline.ReplaceCommit, timeline.Compaction} {
		if e, ok = tl.Find(instant, action); ok {
			break
		}
	}
	return e, ok
}

// pendingNote is the note that an attempt of this library leaves on the timeline while it is pending: a commit in its inflight file, a
// compaction and a clustering in their plans.
func (w *Writer) pendingNote(ctx context.Context, e timeline.Entry) (note meta.CommitNote, ours bool, err error) {
	var c *meta.Commit
	clustering, planned, err := w.pendingClustering(ctx, e)
	switch {
	case err != nil:
	case clustering != nil:
		c = &meta.Commit{ExtraMetadata: clustering.ExtraMetadata}
	case !planned:
		return note, true, nil // nobody can complete it either, as below
	case (e.Action == w.table.commitAction() || e.Action == timeline.ReplaceCommit) && e.State == timeline.Inflight:
		c, err = w.table.Commit(ctx, e)
	case e.Action == timeline.Compaction:
		var plan *meta.CompactionPlan
		if plan, err = w.table.compactionPlan(ctx, e); err == nil {
			c = &meta.Commit{}
			if plan.ExtraMetadata != nil {
				c.ExtraMetadata = *plan.ExtraMetadata
			}
		}
		if errors.Is(err, storage.ErrNotExist) && e.State == timeline.Inflight {
			// Without a plan nobody can complete it: a paused writer of ours began it after it was rolled back.
			return note, true, nil
		}
	default:
		return note, false, nil
	}
	if errors.Is(err, storage.ErrNotExist) || errors.Is(err, meta.ErrCommit) || errors.Is(err, meta.ErrCompaction) ||
		errors.Is(err, meta.ErrRequestedReplace) {
		return note, false, nil
	}
	if err != nil {
		return note, false, err
	}
	note, ours = c.Note()
	return note, ours, nil
}

// isForeign reports whether a pending instant is another engine's, which took it between our reservation and our request.
func (w *Writer) isForeign(ctx context.Context, e timeline.Entry) (bool, error) {
	if e.Action != timeline.Compaction && e.State != timeline.Inflight {
		if clustering, _, err := w.pendingClustering(ctx, e); err != nil || clustering == nil {
			return false, err
		}
	}
	_, ours, err := w.pendingNote(ctx, e)
	if err != nil || ours {
		return false, err
	}
	_, _, err = w.table.store.Get(ctx, e.Key())
	if errors.Is(err, storage.ErrNotExist) { // just rolled back by another
		return false, nil
	}
	return err == nil, err
}
