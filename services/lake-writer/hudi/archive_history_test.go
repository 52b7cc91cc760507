package hudi

import (
	"bytes"
	"context"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/history"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// historyTable is a table of version 9 with some commits, each second one after a compaction if it is merge-on-read, and a clean. It returns
// the instants of all commits.
func historyTable(t *testing.T, cfg TableConfig, commits int64) (*storage.Mem, []timeline.Instant) {
	t.Helper()
	store := storage.NewMem()
	table, err := Create(t.Context(), store, version9(cfg), protoOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	w, err := table.Acquire(t.Context(), "setup")
	if err != nil {
		t.Fatal(err)
	}
	instants := []timeline.Instant{w.Head().Instant}
	for i := range commits {
		if i%2 == 1 && cfg.Type == MergeOnRead {
			result, err := w.Compact(t.Context(), CompactOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if result != nil {
				instants = append(instants, result.Instant)
			}
		}
		req := protoRequest(2*i, 2*i+2)
		if cfg.Type == MergeOnRead {
			req.Operation = Upsert
		}
		result, err := w.Commit(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		instants = append(instants, result.Instant)
	}
	if _, err := w.Clean(t.Context(), CleanOptions{Retain: 2}); err != nil {
		t.Fatal(err)
	}
	return store, instants
}

// historyOf reads the history, each instant as often as it is in a file.
func historyOf(t *testing.T, store storage.Store) (all []history.Instant) {
	t.Helper()
	for in, err := range history.Read(t.Context(), store, history.Folder) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, in)
	}
	return all
}

// writesOf are the instants of the writes on the timeline and in the history, ascending.
func writesOf(t *testing.T, store storage.Store) []timeline.Instant {
	t.Helper()
	all := activeCommits(t, store)
	for _, in := range historyOf(t, store) {
		if in.Action.Writes() {
			all = append(all, in.Instant)
		}
	}
	slices.Sort(all)
	return all
}

var historyTypes = map[string]TableConfig{"copy on write": protoConfig, "merge on read": protoMergeConfig()}

// TestArchiveIntoHistory: the oldest instants of a table of version 9 leave the timeline and are in the history with what their files held.
func TestArchiveIntoHistory(t *testing.T) {
	t.Parallel()
	for name, cfg := range historyTypes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, instants := historyTable(t, cfg, 8)
			rows := rowsAsOf(t, store, "")
			held := make(map[string][]byte)
			for _, key := range keysIn(t, store, timeline.Layout2.Prefix()) {
				data, _, err := store.Get(t.Context(), key)
				if err != nil {
					t.Fatal(err)
				}
				held[path.Base(key)] = data
			}
			w := acquire(t, store, "archiver")
			result, err := w.Archive(t.Context(), ArchiveOptions{KeepMin: 3, KeepMax: 4})
			if err != nil || len(result.Archived) < 5 || len(result.Files) != 1 || !strings.HasPrefix(result.Files[0], history.Folder+string(instants[0])+"_") {
				t.Fatalf("archive: %+v, %v", result, err)
			}
			if got := writesOf(t, store); !slices.Equal(got, instants) {
				t.Errorf("%v are active or archived, want %v", got, instants)
			}
			if got := rowsAsOf(t, store, ""); !slices.Equal(got, rows) {
				t.Errorf("rows %v, were %v", got, rows)
			}
			checkHistory(t, store, held)
			if n := len(archived(t, store)); n < len(result.Archived) {
				t.Errorf("%d states of %d instants", n, len(result.Archived))
			}
			req := protoRequest(16, 18)
			req.Operation = Upsert
			if _, err := w.Commit(t.Context(), req); err != nil {
				t.Errorf("commit after: %v", err)
			}
			if _, err := w.Clean(t.Context(), CleanOptions{Retain: 2}); err != nil {
				t.Errorf("clean after: %v", err)
			}
		})
	}
}

// checkHistory compares archived instants with the files that they had, and that no file of theirs is left.
func checkHistory(t *testing.T, store storage.Store, held map[string][]byte) {
	t.Helper()
	for _, in := range historyOf(t, store) {
		e := historyEntry(in)
		if data, ok := held[e.FileName()]; !ok || !bytes.Equal(data, in.Metadata) {
			t.Errorf("%s is archived with %d bytes, it had %d", e.FileName(), len(in.Metadata), len(data))
		}
		if in.Action.Writes() {
			c, err := meta.ParseCommit(in.Metadata)
			if plan := in.Plan != nil; err != nil || plan != (c.OperationType == meta.OperationCompact) {
				t.Errorf("%s: a plan: %v, of %s, %v", e.FileName(), plan, c.OperationType, err)
			}
		}
		if left := keysIn(t, store, timeline.Layout2.Folder()+string(in.Instant)); len(left) > 0 {
			t.Errorf("%v are left", left)
		}
	}
}

// TestArchiveIntoHistorySweep fails every call of an archive in every way. Instants are never lost, and never twice where they are read.
func TestArchiveIntoHistorySweep(t *testing.T) {
	t.Parallel()
	base, instants := historyTable(t, protoMergeConfig(), 4)
	archive := func(ctx context.Context, w *Writer) error {
		_, err := w.Archive(ctx, ArchiveOptions{KeepMin: 3, KeepMax: 3})
		return err
	}
	sweepService(t, base, instants[len(instants)-1:], archive, func(t *testing.T, store storage.Store) {
		if got := writesOf(t, store); !slices.Equal(got, instants) {
			t.Errorf("%v are active or archived, want %v", got, instants)
		}
		if n := len(activeCommits(t, store)); n > 3 {
			t.Errorf("%d commits are active", n)
		}
	})
}

// TestArchiveIntoHistoryInterrupted: at every moment of an archive each write is on the timeline or in the history, and the rows are the
// same.
func TestArchiveIntoHistoryInterrupted(t *testing.T) {
	t.Parallel()
	base, instants := historyTable(t, protoMergeConfig(), 4)
	rows := rowsAsOf(t, base, "")
	for n := 0; ; n++ {
		store := copyOf(t, base)
		p := newPausing(store, n)
		ended, paused := start(t, p, "a", asService(func(ctx context.Context, w *Writer) error {
			_, err := w.Archive(ctx, ArchiveOptions{KeepMin: 3, KeepMax: 4})
			return err
		}))
		if !paused {
			if err := <-ended; err != nil || n < 10 {
				t.Fatalf("%d calls: %v", n, err)
			}
			return
		}
		if got := slices.Compact(writesOf(t, store)); !slices.Equal(got, instants) {
			t.Errorf("call %d: %v, want %v", n, got, instants)
		}
		if got := rowsAsOf(t, store, ""); !slices.Equal(got, rows) {
			t.Errorf("call %d: rows %v, were %v", n, got, rows)
		}
		close(p.release)
		if err := <-ended; err != nil {
			t.Errorf("call %d: %v", n, err)
		}
		if t.Failed() {
			return
		}
	}
}

// TestHistoryStaysSmall: archiving after every commit merges the history's files.
func TestHistoryStaysSmall(t *testing.T) {
	t.Parallel()
	store, _ := historyTable(t, protoConfig, 8)
	w := acquire(t, store, "a")
	for i := range int64(25) {
		if _, err := w.Commit(t.Context(), protoRequest(2*i+16, 2*i+18)); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Clean(t.Context(), CleanOptions{Retain: 1}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Archive(t.Context(), ArchiveOptions{KeepMin: 2, KeepMax: 2}); err != nil {
			t.Fatal(err)
		}
	}
	if files := keysIn(t, store, history.Folder); len(files) > 40 {
		t.Errorf("%d files: %v", len(files), files)
	}
	if n := len(historyOf(t, store)); n < 20 {
		t.Errorf("%d instants are archived", n)
	}
}
