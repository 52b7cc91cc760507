package hudi

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storagetest"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// undoAsHudi undoes the commits of a table from one on as another engine does, which knows nothing of HEAD, by a restore or a rollback. It may
// stop half way.
func undoAsHudi(t *testing.T, store storage.Store, from timeline.Instant, action timeline.Action, half bool) {
	t.Helper()
	table, err := Open(t.Context(), store, protoOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	tl, err := table.Timeline(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := table.entry(timeline.Next(protoStart, tl.Last()), action, timeline.Requested)
	version := 1
	plan := meta.RestorePlan{}
	done := meta.RestoreMetadata{StartRestoreTime: string(at.Instant), Version: &version, Rollbacks: map[string][]*meta.RollbackMetadata{}}
	rolled := meta.RollbackMetadata{StartRollbackTime: string(at.Instant), Version: &version, Partitions: map[string]meta.RollbackPartition{}}
	var undone []timeline.Entry
	for _, e := range slices.Backward(tl.Entries()) {
		if e.Action.Writes() && e.Instant >= from {
			undone = append(undone, e)
			info := meta.InstantInfo{CommitTime: string(e.Instant), Action: string(e.Action)}
			plan.InstantsToRollback, done.RestoreInstantInfo = append(plan.InstantsToRollback, info), append(done.RestoreInstantInfo, info)
			done.InstantsToRollback = append(done.InstantsToRollback, info.CommitTime)
			rolled.CommitsRollback, rolled.InstantsRollback = append(rolled.CommitsRollback, info.CommitTime), append(rolled.InstantsRollback, info)
		}
	}
	encode := func(r interface{ Encode() ([]byte, error) }) []byte {
		data, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	if action == timeline.Restore {
		put(t, store, at.Key(), encode(plan))
	} else {
		put(t, store, at.Key(), encode(meta.RollbackPlan{InstantToRollback: &rolled.InstantsRollback[0], Version: &version}))
	}
	put(t, store, at.In(timeline.Inflight).Key(), nil)
	w := &Writer{table: table}
	for _, e := range undone {
		if e.State == timeline.Completed {
			files, err := w.filesOf(t.Context(), e)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.deleteAll(t.Context(), append([]string{e.Key()}, keysOf(files)...)); err != nil {
				t.Fatal(err)
			}
		}
		for _, key := range dataFiles(t, store) {
			if strings.Contains(key, string(e.Instant)) {
				if err := store.Delete(t.Context(), key); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := w.deleteAll(t.Context(), statesOf(e, tl)); err != nil {
			t.Fatal(err)
		}
	}
	switch {
	case half:
	case action == timeline.Restore:
		put(t, store, at.Finished().Key(), encode(done))
	default:
		put(t, store, at.Finished().Key(), encode(rolled))
	}
}

// TestForeignUndo: where another engine undid the last commits, the table goes on from what is left, progress and all, whatever call fails.
func TestForeignUndo(t *testing.T) {
	t.Parallel()
	for kind, cfg := range protoTypes {
		base := storage.NewMem()
		if err := firstCommits(t.Context(), base, cfg, "setup", 0, 12); err != nil {
			t.Fatal(err)
		}
		table, err := Open(t.Context(), base, protoOptions()...)
		if err != nil {
			t.Fatal(err)
		}
		tl, err := table.Timeline(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		commits := tl.Commits() // the creation and three
		for _, undo := range []struct {
			action timeline.Action
			from   int
			left   int64
		}{{timeline.Rollback, 3, 8}, {timeline.Restore, 2, 4}} {
			t.Run(kind+", "+string(undo.action), func(t *testing.T) {
				t.Parallel()
				base := copyOf(t, base)
				undoAsHudi(t, base, commits[undo.from].Instant, undo.action, false)
				for n := 0; ; n += stride(5) {
					mem := copyOf(t, base)
					store := storagetest.FailNth(mem, storagetest.Fault{N: n, After: n%2 == 0, Down: true, Err: storagetest.ErrDown})
					_ = firstCommits(t.Context(), store, cfg, "dies", undo.left, undo.left+4)
					if got := checkState(t, mem); got != undo.left && got != undo.left+4 {
						t.Errorf("ends at %d", got)
					}
					c := undoCase{cfg: cfg}
					w, err := c.acquire(t.Context(), mem, "next")
					if err != nil {
						t.Fatalf("call %d: %v", n, err)
					}
					from := w.Head().Offsets[protoStream][0]
					if got := checkState(t, mem); got != from || from != undo.left && from != undo.left+4 {
						t.Errorf("HEAD ends at %d, the timeline at %d", from, got)
					}
					if err := firstCommits(t.Context(), mem, cfg, "goes on", from, from+8); err != nil || checkState(t, mem) != from+8 {
						t.Errorf("going on: %v", err)
					}
					if t.Failed() {
						t.Fatalf("at call %d", n)
					}
					if !store.Fired() {
						return
					}
				}
			})
		}
	}
}

// TestForeignUndoOfUnshown: another engine's clean took for failed what was decided and not on the timeline yet. The rows come again.
func TestForeignUndoOfUnshown(t *testing.T) {
	t.Parallel()
	store := storage.NewMem()
	if err := firstCommits(t.Context(), store, protoConfig, "setup", 0, 4); err != nil {
		t.Fatal(err)
	}
	w, err := undoCase{}.acquire(t.Context(), &refusesCompleted{store}, "unlucky")
	if err != nil {
		t.Fatal(err)
	}
	result, err := w.Commit(t.Context(), protoRequest(4, 8))
	if err != nil || result.Projected {
		t.Fatalf("%+v, %v", result, err)
	}
	half := copyOf(t, store)
	undoAsHudi(t, half, result.Instant, timeline.Rollback, true)
	var unsupported *UnsupportedError
	if _, err := (undoCase{}).acquire(t.Context(), half, "next"); !errors.As(err, &unsupported) {
		t.Errorf("while the other is at it: %v", err)
	}
	undoAsHudi(t, store, result.Instant, timeline.Rollback, false)
	if err := firstCommits(t.Context(), store, protoConfig, "next", 4, 8); err != nil {
		t.Fatal(err)
	}
	if got := checkState(t, store); got != 8 {
		t.Errorf("ends at %d", got)
	}
	_ = w.Redo(t.Context()) // the commit must not come back by it
	if _, err := w.Commit(t.Context(), protoRequest(8, 12)); !errors.Is(err, ErrFenced) {
		t.Errorf("old owner: %v", err)
	}
	if got := checkState(t, store); got != 8 {
		t.Errorf("in the end at %d", got)
	}
}

// refusesCompleted is a Store that refuses the completed files of commits.
type refusesCompleted struct{ storage.Store }

func (r *refusesCompleted) Put(ctx context.Context, key string, data []byte, cond storage.Condition) (storage.Info, error) {
	if e, ok := timeline.ParseFileName(strings.TrimPrefix(key, timeline.Folder)); ok && e.Action.Writes() && e.State == timeline.Completed {
		return storage.Info{}, storagetest.ErrRetryable
	}
	return r.Store.Put(ctx, key, data, cond)
}
