// Package budget owns the one account of a process's memory for events: fetch answers under way and
// rows that wait for a commit. It decides who may go on; what is charged is its callers' business.
package budget

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// Budget is an account of bytes. It is safe for concurrent use.
type Budget struct {
	limit int64

	mu struct {
		sync.Mutex
		used    int64
		waiters []*waiter // first come, first served: a large request is not starved by small ones
	}
}

type waiter struct {
	n     int64
	ready chan struct{}
}

// New returns a Budget of limit bytes.
func New(limit int64) *Budget {
	return &Budget{limit: limit}
}

// Limit returns the size of the budget.
func (b *Budget) Limit() int64 { return b.limit }

// Used returns the bytes charged now. Charge may have driven it above the limit.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.used
}

// TryAcquire charges n bytes when they fit and nobody waits.
func (b *Budget) TryAcquire(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.mu.waiters) > 0 || b.mu.used+n > b.limit {
		return false
	}
	b.mu.used += n
	return true
}

// Acquire waits until n bytes fit and charges them. More than the limit is an error at once.
func (b *Budget) Acquire(ctx context.Context, n int64) error {
	if n > b.limit {
		return fmt.Errorf("acquire %d bytes of a budget of %d", n, b.limit)
	}
	if b.TryAcquire(n) {
		return nil
	}
	w := &waiter{n: n, ready: make(chan struct{})}
	b.mu.Lock()
	b.mu.waiters = append(b.mu.waiters, w)
	b.admit()
	b.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.mu.waiters, w); i >= 0 {
		b.mu.waiters = slices.Delete(b.mu.waiters, i, i+1)
	} else {
		b.mu.used -= n // admitted at the same moment
	}
	b.admit()
	return fmt.Errorf("acquire %d bytes: %w", n, ctx.Err())
}

// Charge adds n bytes that are in memory already, also above the limit: those who acquire then wait.
func (b *Budget) Charge(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.used += n
}

// Release gives n bytes back.
func (b *Budget) Release(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.used -= n
	if b.mu.used < 0 {
		panic(fmt.Sprintf("budget: %d bytes more were released than charged", -b.mu.used))
	}
	b.admit()
}

// admit lets waiters go on in their order. The caller holds the lock.
func (b *Budget) admit() {
	for len(b.mu.waiters) > 0 && b.mu.used+b.mu.waiters[0].n <= b.limit {
		w := b.mu.waiters[0]
		b.mu.waiters = b.mu.waiters[1:]
		b.mu.used += w.n
		close(w.ready)
	}
}
