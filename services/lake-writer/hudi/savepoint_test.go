package hudi

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// TestSavepoint: its commit stays readable through cleans and archives, until it is deleted.
func TestSavepoint(t *testing.T) {
	t.Parallel()
	store, instants := servicesTable(t, 8)
	w := acquire(t, store, "a")
	rows := rowsAsOf(t, store, instants[3])
	point, err := w.Savepoint(t.Context(), instants[3], "ops", "before the backfill")
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for partition, p := range point.Partitions {
		for _, name := range p.Files {
			named = append(named, path.Join(partition, name))
		}
	}
	slices.Sort(named)
	var want []string
	for _, key := range dataFiles(t, store) {
		if strings.Contains(key, string(instants[3])) || strings.Contains(key, string(instants[2])) {
			want = append(want, key)
		}
	}
	if slices.Sort(want); !slices.Equal(named, want) {
		t.Errorf("names %v, want %v", named, want)
	}
	if info, err := store.Stat(t.Context(), timeline.Folder+string(instants[3])+".savepoint.inflight"); err != nil || info.Size != 0 {
		t.Errorf("inflight file: %+v, %v", info, err)
	}
	again, err := w.Savepoint(t.Context(), instants[3], "else", "")
	if err != nil || again.SavepointedBy != "ops" {
		t.Errorf("again: %+v, %v", again, err)
	}
	for _, o := range []CleanOptions{{Retain: 1}, {Policy: CleanByVersions, Retain: 1}} {
		if _, err := w.Clean(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if got := rowsAsOf(t, store, instants[3]); !slices.Equal(got, rows) {
			t.Errorf("rows of the savepoint %v, were %v", got, rows)
		}
	}
	result, err := w.Archive(t.Context(), ArchiveOptions{KeepMin: 1, KeepMax: 1})
	if err != nil || result.Held != instants[3] {
		t.Errorf("archive: %+v, %v", result, err)
	}
	if points, err := w.table.Savepoints(t.Context()); err != nil || len(points) != 1 || points[0].Instant != instants[3] {
		t.Errorf("savepoints %+v, %v", points, err)
	}
	if _, err := w.Savepoint(t.Context(), instants[4], "ops", ""); !errors.Is(err, ErrTimeTravel) {
		t.Errorf("a savepoint on what was cleaned: %v", err)
	}
	if _, err := w.Savepoint(t.Context(), instants[1], "ops", ""); !errors.Is(err, ErrTimeTravel) {
		t.Errorf("a savepoint on what was archived: %v", err)
	}
	if _, err := w.Savepoint(t.Context(), instants[8]+"9", "ops", ""); !errors.Is(err, ErrInvalid) {
		t.Errorf("a savepoint on nothing: %v", err)
	}
	for range 2 {
		if err := w.DeleteSavepoint(t.Context(), instants[3]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Clean(t.Context(), CleanOptions{Policy: CleanByVersions, Retain: 1}); err != nil {
		t.Fatal(err)
	}
	for _, key := range dataFiles(t, store) {
		if slices.Contains(named, key) {
			t.Errorf("%s is left without its savepoint", key)
		}
	}
}

// TestSavepointSweep fails every call of a savepoint and of its deletion in every way.
func TestSavepointSweep(t *testing.T) {
	t.Parallel()
	base, instants := servicesTable(t, 4)
	states := func(want ...string) func(*testing.T, storage.Store) {
		return func(t *testing.T, store storage.Store) {
			var got []string
			for _, key := range keysIn(t, store, timeline.Prefix) {
				if name, found := strings.CutPrefix(key, timeline.Folder+string(instants[2])+".savepoint"); found {
					got = append(got, name)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("savepoint in states %q, want %q", got, want)
			}
		}
	}
	save := func(ctx context.Context, w *Writer) error {
		_, err := w.Savepoint(ctx, instants[2], "ops", "")
		return err
	}
	t.Run("make", func(t *testing.T) {
		t.Parallel()
		sweepService(t, base, instants[1:], save, states("", ".inflight"))
	})
	saved := copyOf(t, base)
	if err := save(t.Context(), acquire(t, saved, "setup")); err != nil {
		t.Fatal(err)
	}
	t.Run("delete", func(t *testing.T) {
		t.Parallel()
		sweepService(t, saved, instants[1:], func(ctx context.Context, w *Writer) error { return w.DeleteSavepoint(ctx, instants[2]) }, states())
	})
}

// TestSavepointOverClean pauses a cleaner before each of its calls while a successor makes a savepoint on a commit that the clean does not
// retain. Where it succeeds, its rows stay.
func TestSavepointOverClean(t *testing.T) {
	t.Parallel()
	base, instants := servicesTable(t, 8)
	made := 0
	for n := 0; ; n++ {
		store := copyOf(t, base)
		p := newPausing(store, n)
		ended, paused := start(t, p, "old", asService(func(ctx context.Context, w *Writer) error {
			_, err := w.Clean(ctx, CleanOptions{Retain: 2})
			return err
		}))
		if !paused {
			err := <-ended
			if err != nil || made == 0 {
				t.Fatalf("%d savepoints were made, %v", made, err)
			}
			return
		}
		w := acquire(t, store, "new")
		_, pointErr := w.Savepoint(t.Context(), instants[3], "ops", "")
		if pointErr != nil && !errors.Is(pointErr, ErrTimeTravel) {
			t.Errorf("call %d: savepoint: %v", n, pointErr)
		}
		close(p.release)
		if err := <-ended; err != nil && !errors.Is(err, ErrFenced) && storage.Classify(err) == storage.Permanent {
			t.Errorf("call %d: old owner: %v", n, err)
		}
		// Another owner finds what the old one requested.
		if _, err := acquire(t, store, "third").Clean(t.Context(), CleanOptions{Retain: 2}); err != nil {
			t.Errorf("call %d: clean: %v", n, err)
		}
		if pointErr == nil {
			made++
			if got, want := rowsAsOf(t, store, instants[3]), rowsAsOf(t, base, instants[3]); !slices.Equal(got, want) {
				t.Errorf("call %d: rows of the savepoint %v, were %v", n, got, want)
			}
		}
		if t.Failed() {
			return
		}
	}
}
