package lock

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storagetest"
)

func newLock(t *testing.T, store Store, owner string) *Lock {
	t.Helper()
	l, err := New(store, Options{Owner: owner, Validity: 10 * time.Second, Renewal: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func take(t *testing.T, l *Lock) *Lease {
	t.Helper()
	lease, err := l.TryAcquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

// stored is the lock file.
func stored(t *testing.T, store Store) State {
	t.Helper()
	data, _, err := store.Get(t.Context(), Key)
	if err != nil {
		t.Fatal(err)
	}
	state, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// TestTwoHolders: one has the lock while it lasts, the other after the release, or after the lease and the drift of clocks.
func TestTwoHolders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := storage.NewMem()
		a, b := newLock(t, store, "a"), newLock(t, store, "b")
		lease := take(t, a)
		if got, want := stored(t, store), (State{false, time.Now().Add(10 * time.Second).UnixMilli(), "a"}); got != want {
			t.Errorf("the file is %+v, want %+v", got, want)
		}
		var held *HeldError
		for _, l := range []*Lock{a, b} {
			if _, err := l.TryAcquire(t.Context()); !errors.As(err, &held) || held.Owner != "a" {
				t.Errorf("second: %v", err)
			}
		}
		if err := lease.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := stored(t, store); !got.Expired || got.Owner != "a" {
			t.Errorf("after the release the file is %+v", got)
		}
		lease = take(t, b)
		time.Sleep(4 * time.Second)
		if err := lease.Renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := lease.Remaining(), 10*time.Second-ClockDrift; got != want {
			t.Errorf("%s remain, want %s", got, want)
		}
		time.Sleep(10*time.Second + ClockDrift)
		if lease.Remaining() > 0 {
			t.Error("the lease lasts longer than it says")
		}
		if _, err := a.TryAcquire(t.Context()); !errors.As(err, &held) {
			t.Errorf("a clock that is behind may still see the lease: %v", err)
		}
		time.Sleep(time.Millisecond)
		take(t, a)
		if err := lease.Renew(t.Context()); !errors.Is(err, ErrLost) {
			t.Errorf("renewal of what ran out: %v", err)
		}
	})
}

// TestLost: who finds another in his place has lost the lock, even if his lease had not ended by his clock.
func TestLost(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Lease, context.Context) error{"renew": (*Lease).Renew, "release": (*Lease).Release} {
		store := storage.NewMem()
		l := newLock(t, store, "a")
		lease := take(t, l)
		other, err := State{ValidUntil: time.Now().Add(time.Minute).UnixMilli(), Owner: "b"}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Put(t.Context(), Key, other, storage.Condition{}); err != nil {
			t.Fatal(err)
		}
		if err := change(lease, t.Context()); !errors.Is(err, ErrLost) {
			t.Errorf("%s: %v", name, err)
		}
		if got := stored(t, store); got.Owner != "b" || got.Expired {
			t.Errorf("%s: the other's lock is %+v", name, got)
		}
		if lease.Remaining() > 0 {
			t.Errorf("%s: the lease lasts", name)
		}
		var held *HeldError
		if _, err := l.TryAcquire(t.Context()); !errors.As(err, &held) || held.Owner != "b" {
			t.Errorf("%s: again: %v", name, err)
		}
	}
}

// TestDo: of many that want the lock one has it at a time, however long it takes, and a loss ends the work.
func TestDo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := storage.NewMem()
		var wg sync.WaitGroup
		inside, most, done := 0, 0, 0
		var mu sync.Mutex
		for i := range 4 {
			l := newLock(t, store, fmt.Sprint("owner-", i))
			wg.Go(func() {
				err := l.Do(t.Context(), func(ctx context.Context, lease *Lease) error {
					mu.Lock()
					inside++
					most = max(most, inside)
					mu.Unlock()
					time.Sleep(35 * time.Second) // more than three leases
					mu.Lock()
					inside--
					done++
					mu.Unlock()
					return context.Cause(ctx)
				})
				if err != nil {
					t.Errorf("owner %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		if most != 1 || done != 4 {
			t.Errorf("%d had the lock at a time, %d in all", most, done)
		}
		// A store that is down for longer than the lease.
		failing := storagetest.FailNth(store, storagetest.Fault{N: 2, Down: true, Err: storagetest.ErrDown})
		started := time.Now()
		err := newLock(t, failing, "last").Do(t.Context(), func(ctx context.Context, _ *Lease) error {
			<-ctx.Done()
			return ctx.Err()
		})
		if !errors.Is(err, ErrLost) || time.Since(started) > 11*time.Second {
			t.Errorf("after %s: %v", time.Since(started), err)
		}
		time.Sleep(2 * time.Second)
		take(t, newLock(t, store, "holder"))
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		var held *HeldError
		if _, err := newLock(t, store, "new").Acquire(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &held) {
			t.Errorf("waiting in vain: %v", err)
		}
	})
}

// TestSweep fails every call of a holder's life in every way. Nobody else gets the lock while the holder may believe in it, and somebody gets it
// in the end.
func TestSweep(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]storagetest.Fault{
		"refused":           {Err: storagetest.ErrRetryable},
		"unknown, not done": {Err: storage.ErrUnknownOutcome, Ops: storagetest.Writes},
		"unknown, done":     {Err: storage.ErrUnknownOutcome, Ops: storagetest.Writes, After: true},
		"died before":       {Err: storagetest.ErrDown, Down: true},
		"died after":        {Err: storagetest.ErrDown, Down: true, After: true},
		"died, unknown":     {Err: storage.ErrUnknownOutcome, Ops: storagetest.Writes, Down: true, After: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for fault.N = 0; sweepHolder(t, fault); fault.N++ {
				if t.Failed() {
					t.Fatalf("at call %d", fault.N)
				}
			}
		})
	}
}

// sweepHolder lets a holder live with a fault, and another try to get the lock all the time; it reports whether the fault came.
func sweepHolder(t *testing.T, fault storagetest.Fault) (fired bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		mem := storage.NewMem()
		store := storagetest.FailNth(mem, fault)
		a, b := newLock(t, store, "a"), newLock(t, mem, "b")
		var lease *Lease
		safe := func() {
			t.Helper()
			other, err := b.TryAcquire(t.Context())
			if err == nil && lease != nil && lease.Remaining() > 0 {
				t.Error("two have the lock")
			}
			if err == nil {
				if err := other.Release(t.Context()); err != nil {
					t.Error(err)
				}
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		var err error
		if lease, err = a.Acquire(ctx); err != nil && !fault.Down {
			t.Errorf("one fault keeps from the lock: %v", err)
		}
		safe()
		for range 3 {
			if lease == nil {
				break
			}
			time.Sleep(time.Second)
			if err := lease.Renew(t.Context()); errors.Is(err, ErrLost) {
				t.Errorf("lost by one fault: %v", err)
			}
			safe()
		}
		if lease != nil {
			_ = lease.Release(t.Context())
			lease = nil
		}
		time.Sleep(10*time.Second + ClockDrift + time.Millisecond)
		if lease, err = b.TryAcquire(t.Context()); err != nil {
			t.Errorf("nobody can have the lock: %v", err)
		}
		fired = store.Fired()
	})
	return fired
}

// TestLateAnswers: requests whose answer was lost and that come in late do not take the lock away from its holder.
func TestLateAnswers(t *testing.T) {
	t.Parallel()
	store := storage.NewMem()
	a := newLock(t, store, "a")
	late, err := State{ValidUntil: time.Now().Add(time.Minute).UnixMilli(), Owner: "a"}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	put := func() {
		if _, err := store.Put(t.Context(), Key, late, storage.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	put() // an acquisition that was given up
	lease := take(t, a)
	put() // a renewal
	if err := lease.Renew(t.Context()); err != nil || lease.Remaining() <= 0 {
		t.Errorf("after a renewal that came late: %v", err)
	}
	put()
	if err := lease.Release(t.Context()); err != nil || !stored(t, store).Expired {
		t.Errorf("release: %v", err)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"no owner": {}, "short": {Owner: "a", Validity: 9 * time.Second, Renewal: time.Millisecond},
		"seldom renewed": {Owner: "a", Validity: time.Minute, Renewal: 7 * time.Second}, "negative": {Owner: "a", Renewal: -1},
	} {
		if _, err := New(storage.NewMem(), o); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
	l, err := New(storage.NewMem(), Options{Owner: "a"})
	if err != nil || l.o.Validity != DefaultValidity || l.o.Renewal != DefaultRenewal {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestState(t *testing.T) {
	t.Parallel()
	// As dumped from a store in an experiment with Hudi's protocol.
	const text = `{"expired":false,"validUntil":1795416429767,"owner":"2865dd4c-82fb-48f3-87d1-109e41f5a972"}`
	state, err := Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if data, err := state.Encode(); err != nil || string(data) != text {
		t.Errorf("became %s, %v", data, err)
	}
	if _, err := Decode([]byte(`{"expired":true,"validUntil":1,"owner":"x","new":[1]}`)); err != nil {
		t.Errorf("a field of a later Hudi: %v", err)
	}
	for _, bad := range []string{"", "null", "{}", `{"expired":true,"validUntil":1}`, `{"expired":true,"validUntil":"1","owner":"x"}`, text[:40]} {
		if _, err := Decode([]byte(bad)); !errors.Is(err, ErrState) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	store := storage.NewMem()
	if _, err := store.Put(t.Context(), Key, []byte("{"), storage.Condition{}); err != nil {
		t.Fatal(err)
	}
	if _, err := newLock(t, store, "a").Acquire(t.Context()); !errors.Is(err, ErrState) {
		t.Errorf("a file that is none: %v", err)
	}
}

// FuzzDecode: what is decoded can be encoded and is the same.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"expired":false,"validUntil":1795416429767,"owner":"2865dd4c"}`))
	f.Add([]byte(`{"expired":true,"validUntil":-1,"owner":"\u00e9","more":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		state, err := Decode(data)
		if err != nil {
			return
		}
		data, err = state.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Decode(data); err != nil || again != state {
			t.Errorf("%+v became %+v, %v", state, again, err)
		}
	})
}
