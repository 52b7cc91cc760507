// Package storagetest owns the conformance suite that every storage.Store passes, and a wrapper that fails one chosen call.
// It is imported by tests only.
package storagetest

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// Op is a method of storage.Store.
type Op int

// The methods.
const (
	Get Op = iota
	GetRange
	Put
	List
	Stat
	Delete
)

// Writes are the methods that change the store.
var Writes = []Op{Put, Delete}

// Fault chooses one call and what becomes of it.
type Fault struct {
	N     int  // which of the counted calls fails, from 0
	Ops   []Op // the methods counted; empty means all
	After bool // let the call have its effect first
	Err   error
	// Down makes every later call fail with ErrDown, as if the process had died at the fault.
	Down bool
}

// ErrDown is what a store answers after a Fault with Down. It is no class that may be retried.
var ErrDown = errors.New("store is down")

// ErrRetryable is a ready Err of the retryable class.
var ErrRetryable = storage.MarkRetryable(errors.New("slow down"))

// Failing is a Store with one Fault. It is made by FailNth.
type Failing struct {
	store storage.Store
	fault Fault
	mu    struct {
		sync.Mutex
		calls int
		fired bool
	}
}

var _ storage.Store = (*Failing)(nil)

// FailNth wraps a store so that it fails the chosen call and passes all others.
func FailNth(store storage.Store, fault Fault) *Failing {
	return &Failing{store: store, fault: fault}
}

// Fired reports whether the fault has happened; a sweep ends when it does not any more.
func (f *Failing) Fired() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.fired
}

// hit counts a call and reports whether it is the chosen one, or an error when the store is down.
func (f *Failing) hit(op Op) (chosen bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.fired && f.fault.Down {
		return false, ErrDown
	}
	if len(f.fault.Ops) > 0 && !slices.Contains(f.fault.Ops, op) {
		return false, nil
	}
	chosen = f.mu.calls == f.fault.N
	f.mu.calls++
	f.mu.fired = f.mu.fired || chosen
	return chosen, nil
}

// do runs call unless the fault forbids it, and returns what the caller is to see.
func (f *Failing) do(op Op, call func() error) error {
	chosen, err := f.hit(op)
	if err != nil {
		return err
	}
	if !chosen {
		return call()
	}
	if f.fault.After {
		if err := call(); err != nil {
			return err
		}
	}
	return f.fault.Err
}

// Get implements storage.Store.
func (f *Failing) Get(ctx context.Context, key string) (data []byte, info storage.Info, err error) {
	if err := f.do(Get, func() error { data, info, err = f.store.Get(ctx, key); return err }); err != nil {
		return nil, storage.Info{}, err
	}
	return data, info, nil
}

// GetRange implements storage.Store.
func (f *Failing) GetRange(ctx context.Context, key string, off, length int64) (data []byte, err error) {
	if err := f.do(GetRange, func() error { data, err = f.store.GetRange(ctx, key, off, length); return err }); err != nil {
		return nil, err
	}
	return data, nil
}

// Put implements storage.Store.
func (f *Failing) Put(ctx context.Context, key string, data []byte, cond storage.Condition) (info storage.Info, err error) {
	if err := f.do(Put, func() error { info, err = f.store.Put(ctx, key, data, cond); return err }); err != nil {
		return storage.Info{}, err
	}
	return info, nil
}

// List implements storage.Store. A fault after the effect comes after the last object.
func (f *Failing) List(ctx context.Context, prefix string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		stopped := false
		err := f.do(List, func() error {
			for info, err := range f.store.List(ctx, prefix) {
				if stopped = !yield(info, err); stopped {
					break
				}
			}
			return nil
		})
		if err != nil && !stopped {
			yield(storage.Info{}, err)
		}
	}
}

// Stat implements storage.Store.
func (f *Failing) Stat(ctx context.Context, key string) (info storage.Info, err error) {
	if err := f.do(Stat, func() error { info, err = f.store.Stat(ctx, key); return err }); err != nil {
		return storage.Info{}, err
	}
	return info, nil
}

// Delete implements storage.Store.
func (f *Failing) Delete(ctx context.Context, key string) error {
	return f.do(Delete, func() error { return f.store.Delete(ctx, key) })
}
