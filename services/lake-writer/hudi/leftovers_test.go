package hudi

import (
	"context"
	"errors"
	"iter"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storagetest"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/txn"
)

// Cases that the sweeps of protocol_test.go reach seldom or never, each set up by hand.

// hooked is a Store that runs hook before the first call of op on a key with the prefix; an error of the hook is the call's.
type hooked struct {
	storage.Store
	op     storagetest.Op
	prefix string
	hook   func() error
}

func (h *hooked) run(op storagetest.Op, key string) error {
	if h.hook == nil || op != h.op || !strings.HasPrefix(key, h.prefix) {
		return nil
	}
	hook := h.hook
	h.hook = nil
	return hook()
}

func (h *hooked) Put(ctx context.Context, key string, data []byte, cond storage.Condition) (storage.Info, error) {
	if err := h.run(storagetest.Put, key); err != nil {
		return storage.Info{}, err
	}
	return h.Store.Put(ctx, key, data, cond)
}

func (h *hooked) List(ctx context.Context, prefix string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		if err := h.run(storagetest.List, prefix); err != nil {
			yield(storage.Info{}, err)
			return
		}
		h.Store.List(ctx, prefix)(yield)
	}
}

func namedOptions(owner string) []Option {
	opts := protoOptions()
	opts[1] = WithIDs(namedIDs(owner))
	return opts
}

// TestStagedSurvivesPausedOwner: an owner is paused before it sweeps staged files; its successor stages a commit, commits and dies before the
// timeline shows it. The first goes on, and the commit must not be lost.
func TestStagedSurvivesPausedOwner(t *testing.T) {
	t.Parallel()
	mem := storage.NewMem()
	if _, err := Create(t.Context(), mem, protoConfig, namedOptions("a")...); err != nil {
		t.Fatal(err)
	}
	paused := &hooked{Store: mem, op: storagetest.List, prefix: txn.StagedFolder, hook: func() error {
		dying := &hooked{Store: mem, op: storagetest.Put, prefix: txn.Key}
		dying.hook = func() error { // Acquire's; the next is the commit's
			dying.hook = func() error { // after it, the store is gone
				dying.op, dying.prefix = storagetest.Put, timeline.Prefix
				dying.hook = func() error { return storagetest.ErrDown }
				return nil
			}
			return nil
		}
		table, err := Open(t.Context(), dying, namedOptions("b")...)
		if err != nil {
			return err
		}
		w, err := table.Acquire(t.Context(), "b")
		if err != nil {
			return err
		}
		req := protoRequest(0, 4)
		req.ExtraMetadata = map[string]string{"large": strings.Repeat("x", txn.InlineLimit)}
		r, err := w.Commit(t.Context(), req)
		if err == nil && r.Projected {
			t.Error("the successor did not die in time")
		}
		return err
	}}
	table, err := Open(t.Context(), paused, namedOptions("a")...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := table.Acquire(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	finishAlone(t, mem)
	checkSettled(t, mem)
}

// TestRefusedReservation: a fenced writer whose claim of an instant failed must not tidy up what is its successor's.
func TestRefusedReservation(t *testing.T) {
	t.Parallel()
	mem := storage.NewMem()
	store := &hooked{Store: mem, op: storagetest.Put, prefix: meta.TempFolder}
	table, err := Create(t.Context(), store, protoConfig, namedOptions("a")...)
	if err != nil {
		t.Fatal(err)
	}
	w, err := table.Acquire(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	store.hook = func() error {
		if err := drive(t.Context(), mem, "b", namedOptions("b")); err != nil {
			t.Error(err)
		}
		return storagetest.ErrRetryable
	}
	if _, err := w.Commit(t.Context(), protoRequest(0, 4)); !errors.Is(err, ErrFenced) {
		t.Errorf("fenced writer: %v", err)
	}
	checkSettled(t, mem)
}

// putAll puts objects by hand.
func putAll(t *testing.T, store storage.Store, objects map[string][]byte) {
	t.Helper()
	for key, data := range objects {
		putObject(t, store, key, data)
	}
}

func reservationOf(t *testing.T, i timeline.Instant, epoch int64) (string, []byte) {
	t.Helper()
	data, err := meta.Reservation{CommitID: "x", Epoch: epoch, Owner: "gone"}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return meta.MarkerFolder(i) + meta.ReservationName, data
}

// TestForeignAttemptIsLeft: an instant under way that is another engine's is not touched, not even when a dead attempt of ours claimed the same.
func TestForeignAttemptIsLeft(t *testing.T) {
	t.Parallel()
	profile, err := os.ReadFile("meta/testdata/v6-cow-015.inflight")
	if err != nil {
		t.Fatal(err)
	}
	mem := storage.NewMem()
	table, err := Create(t.Context(), mem, protoConfig, namedOptions("a")...)
	if err != nil {
		t.Fatal(err)
	}
	const theirs = timeline.Instant("20261124000000900")
	claim, data := reservationOf(t, theirs, 0)
	kept := map[string][]byte{
		".hoodie/" + string(theirs) + ".commit.requested": nil, ".hoodie/" + string(theirs) + ".inflight": profile,
		meta.MarkerFolder(theirs) + "day=0/x_0-1-2_" + string(theirs) + ".parquet.marker.CREATE": nil,
		"day=0/x_0-1-2_" + string(theirs) + ".parquet":                                           []byte("theirs"),
	}
	putAll(t, mem, kept)
	putObject(t, mem, claim, data)
	if _, err := table.Acquire(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	for key := range kept {
		if _, err := mem.Stat(t.Context(), key); err != nil {
			t.Errorf("another engine's object: %v", err)
		}
	}
	if _, err := mem.Stat(t.Context(), claim); !errors.Is(err, storage.ErrNotExist) {
		t.Errorf("our claim: %v", err)
	}
}

// TestLateRequested: an attempt that the timeline did not show yet is remembered, so that a request that comes late is undone.
func TestLateRequested(t *testing.T) {
	t.Parallel()
	mem := storage.NewMem()
	if _, err := Create(t.Context(), mem, protoConfig, protoOptions()...); err != nil {
		t.Fatal(err)
	}
	instant := timeline.At(protoStart.Add(time.Millisecond))
	claim, data := reservationOf(t, instant, 0)
	putObject(t, mem, claim, data)
	acquireAt := func(now time.Time) {
		t.Helper()
		table, err := Open(t.Context(), mem, append(protoOptions(), WithClock(func() time.Time { return now }))...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := table.Acquire(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
	}
	acquireAt(protoStart.Add(time.Minute))
	requested := timeline.Entry{Instant: instant, Action: timeline.Commit, State: timeline.Requested}.Key()
	putObject(t, mem, requested, nil)
	acquireAt(protoStart.Add(time.Minute))
	if _, err := mem.Stat(t.Context(), requested); !errors.Is(err, storage.ErrNotExist) {
		t.Errorf("the late request: %v", err)
	}
	putObject(t, mem, claim, data)
	acquireAt(protoStart.Add(reservationLife))
	acquireAt(protoStart.Add(reservationLife + time.Second))
	if left := storagetest.ListKeys(t, mem, meta.TempFolder); len(left) > 0 {
		t.Errorf("left %q", left)
	}
}

// TestHostileMarkers: whatever a marker list says, only the attempt's own data files are deleted.
func TestHostileMarkers(t *testing.T) {
	t.Parallel()
	mem := storage.NewMem()
	opts := protoOptions()
	if err := drive(t.Context(), mem, "a", opts); err != nil {
		t.Fatal(err)
	}
	before := storagetest.ListKeys(t, mem, "")
	instant := timeline.At(protoStart.Add(time.Minute))
	claim, data := reservationOf(t, instant, 0)
	var list strings.Builder
	for _, key := range append(slices.Clone(before), "../../etc/passwd") {
		list.WriteString(key + ".marker.CREATE\n")
	}
	own := "day=0/00000000-0000-0000-0000-000000000000-0_0-0-0_" + string(instant) + ".parquet"
	list.WriteString(own + ".marker.CREATE\n")
	putAll(t, mem, map[string][]byte{claim: data, meta.MarkerListKey(instant): []byte(list.String()), own: []byte("x")})
	finishAlone(t, mem)
	after := storagetest.ListKeys(t, mem, "")
	for _, key := range before {
		if !slices.Contains(after, key) {
			t.Errorf("%s is gone", key)
		}
	}
	if slices.Contains(after, own) {
		t.Errorf("%s is left", own)
	}
}

// TestVanishedFile: a commit does not go on from an older file when the newest was deleted behind the table's back.
func TestVanishedFile(t *testing.T) {
	t.Parallel()
	store, opts := storage.NewMem(), protoOptions()
	table, err := Create(t.Context(), store, protoConfig, opts...)
	if err != nil {
		t.Fatal(err)
	}
	w, err := table.Acquire(t.Context(), "first")
	if err != nil {
		t.Fatal(err)
	}
	for from := range int64(2) {
		if _, err := w.Commit(t.Context(), protoRequest(4*from, 4*from+4)); err != nil {
			t.Fatal(err)
		}
	}
	var newest string
	for info, err := range store.List(t.Context(), "day=0/") {
		if err != nil {
			t.Fatal(err)
		}
		if f, err := fileslice.ParseKey(info.Key); err == nil && f.Instant == w.Head().Instant {
			newest = info.Key
		}
	}
	if err := store.Delete(t.Context(), newest); err != nil {
		t.Fatal(err)
	}
	successor, err := table.Acquire(t.Context(), "second")
	if err != nil {
		t.Fatal(err)
	}
	_, err = successor.Commit(t.Context(), protoRequest(8, 12))
	if lost, ok := errors.AsType[*LostFileError](err); !ok || lost.Key != newest || lost.Instant != w.Head().Instant {
		t.Errorf("commit on a table without %s: %v", newest, err)
	}
	other := protoRequest(8, 12)
	other.Groups = slices.DeleteFunc(other.Groups, func(g Group) bool { return g.Partition == "day=0" })
	if _, err := successor.Commit(t.Context(), other); err != nil {
		t.Errorf("commit to another partition: %v", err)
	}
}
