// Package registry knows the live connections: it lets their clocks be watched by one goroutine instead of one each, and takes them
// out of service in order. It owns no connection.
package registry

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

// ErrDraining refuses a connection because the process is being taken out of service.
var ErrDraining = errors.New("draining")

// Connection is a live connection. No method may block.
type Connection interface {
	comparable
	// Check looks at the connection's clocks: idle, slow, overdue.
	Check(now time.Time)
	// Drain asks for an orderly end: take in nothing more, wait for what is unacknowledged, close.
	Drain()
	// Cut closes at once, for the end of the drain's patience.
	Cut()
}

// Registry is the set of live connections.
type Registry[C Connection] struct {
	interval time.Duration

	mu struct {
		sync.Mutex
		live     map[C]struct{}
		draining bool
		empty    chan struct{} // closed when the last one has gone while draining
	}
}

// New returns an empty Registry that checks every connection once an interval.
func New[C Connection](interval time.Duration) *Registry[C] {
	r := &Registry[C]{interval: interval}
	r.mu.live = make(map[C]struct{})
	r.mu.empty = make(chan struct{})
	return r
}

// Add puts a connection in. ErrDraining is its only error.
func (r *Registry[C]) Add(c C) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.draining {
		return ErrDraining
	}
	r.mu.live[c] = struct{}{}
	return nil
}

// Remove takes a connection out when nothing of it is left.
func (r *Registry[C]) Remove(c C) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.mu.live, c)
	r.checkEmptyLocked()
}

func (r *Registry[C]) checkEmptyLocked() {
	if r.mu.draining && len(r.mu.live) == 0 {
		select {
		case <-r.mu.empty:
		default:
			close(r.mu.empty)
		}
	}
}

// Len returns the number of live connections.
func (r *Registry[C]) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.mu.live)
}

// Draining says whether new connections are refused.
func (r *Registry[C]) Draining() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.draining
}

// Run checks the connections until ctx ends.
func (r *Registry[C]) Run(ctx context.Context) error {
	ticker := time.NewTicker(r.interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			for _, c := range r.connections() {
				c.Check(now)
			}
		}
	}
}

func (r *Registry[C]) connections() []C {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.mu.live))
}

// Refuse lets no new connection in from now on.
func (r *Registry[C]) Refuse() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.draining = true
	r.checkEmptyLocked()
}

// Drain ends all connections and returns when they are gone. When ctx ends first, what is left is cut. It returns how many were cut.
func (r *Registry[C]) Drain(ctx context.Context) (cut int) {
	r.Refuse()
	for _, c := range r.connections() {
		c.Drain()
	}
	select {
	case <-r.mu.empty:
		return 0
	case <-ctx.Done():
	}
	left := r.connections()
	for _, c := range left {
		c.Cut()
	}
	<-r.mu.empty // a cut connection closes its socket after a short grace, whatever the client does
	return len(left)
}
