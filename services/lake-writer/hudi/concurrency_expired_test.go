package hudi

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storagetest"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// foreignAttempt leaves what another engine's writer leaves that died after it wrote a base file and a log file, with markers as objects of their
// own or in a list. It returns its place on the timeline and the data files.
func foreignAttempt(t *testing.T, store storage.Store, w *Writer, at timeline.Instant, direct bool, n int64) (timeline.Entry, []string) {
	t.Helper()
	e := w.table.entry(at, timeline.DeltaCommit, timeline.Inflight)
	put(t, store, e.In(timeline.Requested).Key(), nil)
	put(t, store, e.Key(), nil)
	view, err := w.table.View(t.Context(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	s := view.Slices[0]
	base := fileslice.BaseFile{Partition: s.Partition, FileID: "00000001-aaaa-4aaa-8aaa-aaaaaaaaaaaa-0", Instant: at}
	log := fileslice.LogFile{Partition: s.Partition, FileID: s.FileID, Instant: s.Base.Instant, Version: 9, Token: fileslice.Token{A: 7, B: 7, C: n}}
	kind := meta.MarkerAppend
	if e.Layout == timeline.Layout2 {
		log.Instant, log.Version, kind = at, 1, meta.MarkerCreate
	}
	markers := []meta.Marker{{File: base.Key(), Kind: meta.MarkerCreate}, {File: log.Key(), Kind: kind}}
	if direct {
		for _, m := range markers {
			put(t, store, meta.MarkerFolder(at)+m.File+".marker."+string(m.Kind), nil)
		}
	} else {
		put(t, store, meta.MarkerTypeKey(at), []byte(meta.MarkerType))
		put(t, store, meta.MarkerListKey(at), meta.EncodeMarkers(markers[:1]))
		put(t, store, meta.MarkerFolder(at)+"MARKERS7", meta.EncodeMarkers(markers[1:]))
	}
	data, err := json.Marshal([]protoRow{{"foreign", at}})
	if err != nil {
		t.Fatal(err)
	}
	put(t, store, base.Key(), data)
	put(t, store, log.Key(), data)
	return e, []string{base.Key(), log.Key()}
}

// TestRollBackExpired fails every call of the rollback of a dead attempt of another engine. Readers see the same rows all the time, a live attempt
// is left alone, and in the end nothing of the dead one is there.
func TestRollBackExpired(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		cfg    TableConfig
		direct bool
	}{
		"direct markers": {protoMergeConfig(), true}, "lists of markers": {protoMergeConfig(), false}, "version 9": {version9(protoMergeConfig()), true},
	} {
		for kind, fault := range faults {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				fault.Ops = opsOf(kind)
				for fault.N = 0; sweepExpired(t, tc.cfg, tc.direct, fault); fault.N += stride(5) {
					if t.Failed() {
						t.Fatalf("at call %d", fault.N)
					}
				}
			})
		}
	}
}

func sweepExpired(t *testing.T, cfg TableConfig, direct bool, fault storagetest.Fault) (fired bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		mem := sweepStore(t)
		w := mustAcquireShared(t, mem, cfg)
		commitOf(t, w, request(cfg, 0, 4))
		last := commitOf(t, w, request(cfg, 4, 8))
		time.Sleep(time.Second)
		dead, gone := foreignAttempt(t, mem, w, instantNow(last), direct, 0)
		put(t, mem, heartbeatKey(dead.Instant), nil)
		time.Sleep(time.Minute)
		live, kept := foreignAttempt(t, mem, w, instantNow(dead.Instant), direct, 1)
		time.Sleep(time.Hour)
		put(t, mem, heartbeatKey(live.Instant), nil)
		before := rowsAsOf(t, mem, "")

		store := storagetest.FailNth(mem, fault)
		run := func(store storage.Store, owner string) error {
			w, err := acquireShared(t.Context(), store, cfg, owner)
			if err != nil {
				return err
			}
			_, err = w.RollBackExpired(t.Context())
			return err
		}
		_ = run(store, "a")
		fired = store.Fired()
		if got := rowsAsOf(t, mem, ""); !slices.Equal(got, before) {
			t.Errorf("rows %v, were %v", got, before)
		}
		time.Sleep(20 * time.Second) // the lock of a dead owner ends
		put(t, mem, heartbeatKey(live.Instant), nil)
		if err := run(mem, "b"); err != nil {
			t.Errorf("next run: %v", err)
		}
		if got := rowsAsOf(t, mem, ""); !slices.Equal(got, before) {
			t.Errorf("in the end rows %v, were %v", got, before)
		}
		left := append(keysIn(t, mem, meta.MarkerFolder(dead.Instant)), keysIn(t, mem, heartbeatKey(dead.Instant))...)
		left = append(left, keysIn(t, mem, dead.Layout.Folder()+string(dead.Instant))...)
		for _, key := range append(gone, left...) {
			if _, err := mem.Stat(t.Context(), key); !errors.Is(err, storage.ErrNotExist) {
				t.Errorf("%s is left: %v", key, err)
			}
		}
		for _, key := range append(kept, live.Key(), heartbeatKey(live.Instant)) {
			if _, err := mem.Stat(t.Context(), key); err != nil {
				t.Errorf("of the live attempt: %v", err)
			}
		}
		tl, err := w.table.Timeline(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if p := tl.Pending(); len(p) != 1 || p[0] != live {
			t.Errorf("pending are %v", p)
		}
	})
	return fired
}

// TestRollBackExpiredRefuses: part of a log file cannot be undone, and without an agreement on sharing nothing is.
func TestRollBackExpiredRefuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg, store := protoMergeConfig(), storage.NewMem()
		w := mustAcquireShared(t, store, cfg)
		first := commitOf(t, w, request(cfg, 0, 4))
		time.Sleep(time.Second)
		dead, files := foreignAttempt(t, store, w, instantNow(first), true, 0)
		data, err := json.Marshal([]protoRow{{protoKey(0), first}, {"foreign", dead.Instant}})
		if err != nil {
			t.Fatal(err)
		}
		put(t, store, files[1], data)
		time.Sleep(time.Hour)
		var unsupported *UnsupportedError
		if _, err := w.RollBackExpired(t.Context()); !errors.As(err, &unsupported) || unsupported.Property != files[1] {
			t.Errorf("got %v", err)
		}
		if _, err := store.Stat(t.Context(), dead.Key()); err != nil {
			t.Error(err)
		}
		table, err := Open(t.Context(), store, protoOptions()...)
		if err != nil {
			t.Fatal(err)
		}
		alone, err := table.Acquire(t.Context(), "alone")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := alone.RollBackExpired(t.Context()); !errors.Is(err, ErrInvalid) {
			t.Errorf("got %v", err)
		}
	})
}
