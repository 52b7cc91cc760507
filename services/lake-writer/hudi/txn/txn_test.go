package txn_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storagetest"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/txn"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 123_456_789, time.UTC)

func genesis() txn.Head {
	return txn.Head{
		Format: txn.FormatVersion, WriteID: "w0", CommitID: "c0", History: []string{"c0"}, Instant: timeline.At(now),
		Action: timeline.Commit, Completed: []byte("{}"), CompletedAt: now,
	}
}

// commitOn is the HEAD of a commit on top of h.
func commitOn(h txn.Head, id string) txn.Head {
	next := h.Follow(id, id, now)
	next.Instant = timeline.Next(now, h.Instant)
	next.Completed = []byte(id)
	return next
}

func created(t *testing.T, s txn.Store) txn.Stored {
	t.Helper()
	stored, err := txn.Create(t.Context(), s, genesis())
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

func swap(t *testing.T, s txn.Store, old txn.Stored, next txn.Head) txn.Stored {
	t.Helper()
	stored, err := txn.CompareAndSwap(t.Context(), s, old, next)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

func TestFollow(t *testing.T) {
	t.Parallel()
	h := genesis()
	h.Offsets = map[string]map[int32]int64{"s": {1: 5}}
	for n := range 2 * txn.HistoryLength {
		id := fmt.Sprintf("c%d", n+1)
		next := commitOn(h, id)
		if next.Sequence != h.Sequence+1 || !next.CompletedAt.After(h.CompletedAt.Truncate(time.Millisecond)) || next.Instant <= h.Instant {
			t.Fatalf("%+v follows %+v", next, h)
		}
		next.Offsets["s"][1]++
		if next.Offsets["s"][1] != h.Offsets["s"][1]+1 {
			t.Fatal("the two share their offsets")
		}
		h = next
	}
	if len(h.History) != txn.HistoryLength || h.History[0] != "c64" || h.History[txn.HistoryLength-1] != "c33" {
		t.Errorf("history %q", h.History)
	}
	for _, c := range []struct {
		id         string
		sequence   int64
		yes, known bool
	}{{"c64", 64, true, true}, {"c33", 33, true, true}, {"x", 33, false, true}, {"c32", 32, false, false}, {"c65", 65, false, false}} {
		if yes, known := h.Committed(c.id, c.sequence); yes != c.yes || known != c.known {
			t.Errorf("Committed(%s, %d) = %v, %v", c.id, c.sequence, yes, known)
		}
	}
	data, err := h.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := txn.Decode(data); err != nil || !reflect.DeepEqual(again, h) {
		t.Errorf("round trip: %+v, %v\nwant %+v", again, err, h)
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	var format *txn.FormatError
	if _, err := txn.Decode([]byte(`{"format":2,"epoch":"what it means then"}`)); !errors.As(err, &format) || format.Format != 2 {
		t.Errorf("newer format: %v", err)
	}
	for name, change := range map[string]func(*txn.Head){
		"format":   func(h *txn.Head) { h.Format = 0 },
		"write id": func(h *txn.Head) { h.WriteID = "" },
		"history":  func(h *txn.Head) { h.History = []string{"other"} },
		"long":     func(h *txn.Head) { h.History = []string{"c0", "c-1"} },
		"instant":  func(h *txn.Head) { h.Instant = "19991231235959999" }, // no listing would show it
		"action":   func(h *txn.Head) { h.Action = timeline.Rollback },
		"offset":   func(h *txn.Head) { h.Offsets = map[string]map[int32]int64{"s": {0: -1}} },
		"staged":   func(h *txn.Head) { h.Staged = &txn.Staged{Key: "hoodie.properties"}; h.Completed = nil },
	} {
		h := genesis()
		change(&h)
		if _, err := h.Encode(); !errors.Is(err, txn.ErrHead) {
			t.Errorf("%s: encoded: %v", name, err)
		}
	}
	for _, text := range []string{"", "null", "[]", "{}"} {
		if _, err := txn.Decode([]byte(text)); !errors.Is(err, txn.ErrHead) {
			t.Errorf("decoded %q: %v", text, err)
		}
	}
}

// TestCompareAndSwap: whatever the store answers, the outcome that is told is the one that is stored.
func TestCompareAndSwap(t *testing.T) {
	t.Parallel()
	puts := []storagetest.Op{storagetest.Put}
	for _, c := range []struct {
		name  string
		fault storagetest.Fault
		moved bool // another was faster
		want  error
	}{
		{"done", storagetest.Fault{N: -1}, false, nil},
		{"refused", storagetest.Fault{N: -1}, true, txn.ErrMoved},
		{"answer lost", storagetest.Fault{Ops: puts, After: true, Err: storage.ErrUnknownOutcome}, false, nil},
		{"request lost", storagetest.Fault{Ops: puts, Err: storage.ErrUnknownOutcome}, false, txn.ErrMoved}, // fenced
		{"request lost and moved", storagetest.Fault{Ops: puts, Err: storage.ErrUnknownOutcome}, true, txn.ErrMoved},
		{"repeated by the client", storagetest.Fault{Ops: puts, After: true, Err: storage.ErrPrecondition}, false, nil},
		{"slow down", storagetest.Fault{Ops: puts, Err: storagetest.ErrRetryable}, false, storagetest.ErrRetryable},
		{"answer lost, then down", storagetest.Fault{Ops: puts, After: true, Down: true, Err: storage.ErrUnknownOutcome}, false, txn.ErrUnknown},
		{"request lost, then down", storagetest.Fault{Ops: puts, Down: true, Err: storage.ErrUnknownOutcome}, false, txn.ErrUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			mem := storage.NewMem()
			old := created(t, mem)
			if c.moved {
				swap(t, mem, old, commitOn(old.Head, "other"))
			}
			next := commitOn(old.Head, "c1")
			got, err := txn.CompareAndSwap(t.Context(), storagetest.FailNth(mem, c.fault), old, next)
			if !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Fatalf("outcome %v, want %v", err, c.want)
			}
			stored, loadErr := txn.Load(t.Context(), mem)
			if loadErr != nil {
				t.Fatal(loadErr)
			}
			committed, _ := stored.Head.Committed("c1", 1)
			switch {
			case errors.Is(err, txn.ErrUnknown): // later, when the store answers again
				if _, err := txn.Resolve(t.Context(), mem, old, next); (err == nil) != committed {
					t.Errorf("resolved as %v, committed %v", err, committed)
				}
			case (err == nil) != committed:
				t.Errorf("told %v, committed %v", err, committed)
			case err == nil && got.ETag != stored.ETag:
				t.Errorf("returned %+v, stored %+v", got, stored)
			}
		})
	}
}

// late is a store that loses the answer of a put, which happens only when told to.
type late struct {
	*storage.Mem
	apply func(ctx context.Context) error
}

func (l *late) Put(ctx context.Context, key string, data []byte, cond storage.Condition) (storage.Info, error) {
	if l.apply != nil {
		return l.Mem.Put(ctx, key, data, cond)
	}
	data = bytes.Clone(data)
	l.apply = func(ctx context.Context) error {
		_, err := l.Mem.Put(ctx, key, data, cond)
		return err
	}
	return storage.Info{}, storage.ErrUnknownOutcome
}

// TestLateRequest: once a commit is told not to have happened, its request must fail whenever it arrives.
func TestLateRequest(t *testing.T) {
	t.Parallel()
	s := &late{Mem: storage.NewMem()}
	old := created(t, s.Mem)
	if _, err := txn.CompareAndSwap(t.Context(), s, old, commitOn(old.Head, "c1")); !errors.Is(err, txn.ErrMoved) {
		t.Fatalf("outcome %v", err)
	}
	if err := s.apply(t.Context()); !errors.Is(err, storage.ErrPrecondition) {
		t.Errorf("the request arrived and was taken: %v", err)
	}
}

// TestResolveAfterOthers: the history tells for as many commits as it holds, and after that nobody may claim to know.
func TestResolveAfterOthers(t *testing.T) {
	t.Parallel()
	for _, won := range []bool{true, false} {
		mem := storage.NewMem()
		old := created(t, mem)
		mine := commitOn(old.Head, "mine")
		stored := old
		if won {
			stored = swap(t, mem, old, mine)
		}
		for n := range txn.HistoryLength + 2 {
			now, err := txn.Resolve(t.Context(), mem, old, mine)
			inHistory := stored.Head.Sequence-mine.Sequence < txn.HistoryLength
			switch {
			case !inHistory && !errors.Is(err, txn.ErrUnknown), inHistory && (err == nil) != won:
				t.Fatalf("won %v, %d commits later: %v", won, n, err)
			case !won && n == 0:
				stored = now // fenced
			}
			stored = swap(t, mem, stored, commitOn(stored.Head, fmt.Sprintf("other-%d", n)))
		}
	}
}

func TestProject(t *testing.T) {
	t.Parallel()
	big := bytes.Repeat([]byte("x"), txn.InlineLimit+1)
	for _, data := range [][]byte{[]byte("{}"), big} {
		mem := storage.NewMem()
		old := created(t, mem)
		next := commitOn(old.Head, "c1")
		if err := txn.SetCompleted(t.Context(), mem, &next, data); err != nil {
			t.Fatal(err)
		}
		if (next.Staged != nil) != (len(data) > txn.InlineLimit) {
			t.Errorf("%d bytes staged: %v", len(data), next.Staged)
		}
		stored := swap(t, mem, old, next)
		for range 2 { // a redo
			if err := txn.Project(t.Context(), mem, stored.Head); err != nil {
				t.Fatal(err)
			}
		}
		got, _, err := mem.Get(t.Context(), stored.Head.Entry().Key())
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("projected %d bytes, %v", len(got), err)
		}
		keys := storagetest.ListKeys(t, mem, timeline.Prefix)
		if len(keys) != 3 || !strings.HasSuffix(keys[1], ".commit.requested") || !strings.HasSuffix(keys[2], ".inflight") {
			t.Errorf("timeline %q", keys)
		}
		if next.Staged == nil {
			continue
		}
		if _, err := mem.Put(t.Context(), next.Staged.Key, []byte("other"), storage.Condition{}); err != nil {
			t.Fatal(err)
		}
		if err := txn.Project(t.Context(), mem, stored.Head); !errors.Is(err, txn.ErrHead) {
			t.Errorf("a staged copy that was changed: %v", err)
		}
		if err := mem.Delete(t.Context(), next.Staged.Key); err != nil {
			t.Fatal(err)
		}
		if err := txn.Project(t.Context(), mem, stored.Head); err != nil {
			t.Errorf("redo after the staged copy was swept: %v", err)
		}
		if err := mem.Delete(t.Context(), stored.Head.Entry().Key()); err != nil {
			t.Fatal(err)
		}
		if err := txn.Project(t.Context(), mem, stored.Head); !errors.Is(err, storage.ErrNotExist) {
			t.Errorf("neither the file nor its staged copy: %v", err)
		}
	}
}

// FuzzDecode: what is decoded can be encoded and is the same.
func FuzzDecode(f *testing.F) {
	data, err := genesis().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"format":9}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := txn.Decode(data)
		if err != nil {
			return
		}
		text, err := h.Encode()
		if err != nil {
			t.Fatalf("decoded %+v, but %v", h, err)
		}
		again, err := txn.Decode(text)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := again.Encode(); err != nil || !bytes.Equal(second, text) {
			t.Errorf("%s became %s, %v", text, second, err)
		}
	})
}

// TestBack: an undo takes a place in the sequence, says so until the next commit, and is remembered by what it undid.
func TestBack(t *testing.T) {
	t.Parallel()
	h := commitOn(commitOn(genesis(), "c1"), "c2")
	h.Watermark, h.Offsets = now, map[string]map[int32]int64{"s": {0: 7}}
	first := genesis().Entry()
	undo := txn.Undo{Instant: timeline.Next(h.CompletedAt, h.Instant), Action: timeline.Restore}
	back := h.Back(first, undo, []timeline.Instant{h.Instant}, "back", "write-back")
	back.Completed = []byte("first")
	data, err := back.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err = txn.Decode(data)
	if err != nil || back.Instant != first.Instant || back.Sequence != h.Sequence+1 || *back.Undo != undo || len(back.Offsets) != 0 || !back.Watermark.IsZero() {
		t.Fatalf("%+v, %v", back, err)
	}
	if yes, known := back.Committed(h.CommitID, h.Sequence); !yes || !known {
		t.Errorf("the undone commit is forgotten: %t, %t", yes, known)
	}
	next := back.Follow("after", "write-after", h.CompletedAt.Add(time.Minute))
	if next.Undo != nil || len(next.Undone) != 1 || next.Undone[0] != h.Instant {
		t.Errorf("the commit after: %+v", next)
	}
	many := make([]timeline.Instant, txn.UndoneLength+5)
	for i := range many {
		many[i] = timeline.At(h.CompletedAt.Add(time.Duration(i) * time.Second))
	}
	if got := h.Back(first, undo, many, "b", "w").Undone; len(got) != txn.UndoneLength || got[len(got)-1] != many[len(many)-1] {
		t.Errorf("remembers %d, the last is %s", len(got), got[len(got)-1])
	}
	for name, bad := range map[string]txn.Undo{
		"action": {Instant: undo.Instant, Action: timeline.Clean}, "earlier than what it went back to": {Instant: first.Instant, Action: timeline.Restore},
	} {
		broken := back.Clone()
		broken.Undo = &bad
		if _, err := broken.Encode(); !errors.Is(err, txn.ErrHead) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
