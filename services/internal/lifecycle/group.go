// Package lifecycle runs the components of a process in two rings and turns signals and errors into an orderly stop and an exit code.
//
// The inner ring holds servers and loops; the outer ring holds what they depend on. The inner ring stops first, so that a loop
// finishing its accepted work still finds its dependencies alive. What a component does between the end of its context and its return
// (commit, hand back, close) is the component's own business; this package only bounds how long it may take.
package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Deadlines of a Group whose Options are zero.
const (
	DefaultDrainTimeout = 30 * time.Second
	DefaultStopTimeout  = 10 * time.Second
)

// Options bounds the two phases of a stop.
type Options struct {
	// DrainTimeout is how long the inner ring may take from the end of its contexts to its last return. Zero means DefaultDrainTimeout.
	DrainTimeout time.Duration
	// StopTimeout is the same for the outer ring, counted from the end of its contexts. Zero means DefaultStopTimeout.
	StopTimeout time.Duration
}

// Group is a set of components that start and stop together. Register with Inner and Outer, then call Run once.
type Group struct {
	logger *slog.Logger
	opts   Options

	drain     chan struct{}
	drainOnce sync.Once

	mu struct {
		sync.Mutex
		started    bool
		components []component
	}
}

type ring int

const (
	inner ring = iota
	outer
)

type component struct {
	name string
	ring ring
	run  func(context.Context) error
}

// result is the end of one component, by its place in Group.mu.components.
type result struct {
	index int
	err   error
}

// New returns an empty group.
func New(logger *slog.Logger, opts Options) *Group {
	opts.DrainTimeout = cmp.Or(opts.DrainTimeout, DefaultDrainTimeout)
	opts.StopTimeout = cmp.Or(opts.StopTimeout, DefaultStopTimeout)
	return &Group{logger: logger, opts: opts, drain: make(chan struct{})}
}

// Inner registers a component that stops first. The name appears in errors and logs.
func (g *Group) Inner(name string, run func(context.Context) error) {
	g.add(component{name: name, ring: inner, run: run})
}

// Outer registers a component that stops when the inner ring is gone.
func (g *Group) Outer(name string, run func(context.Context) error) {
	g.add(component{name: name, ring: outer, run: run})
}

func (g *Group) add(c component) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.started {
		panic("lifecycle: component " + c.name + " registered after Run")
	}
	g.mu.components = append(g.mu.components, c)
}

// Drain starts an orderly stop, as the end of Run's context does. It returns at once and may be called at any time, more than once.
func (g *Group) Drain() { g.drainOnce.Do(func() { close(g.drain) }) }

// Run starts all components and blocks until all have returned or outlived their deadlines. The stop begins when ctx ends, when Drain
// is called, or when any component returns, with or without an error.
//
// It returns the first component error, joined with the names of the components that did not return in time; those keep running,
// so the caller should end the process. A component that returns its context's error while stopping has not failed.
func (g *Group) Run(ctx context.Context) error {
	components := g.start()
	// Neither ring may inherit the end of ctx: the outer one has to outlive the inner one, and the inner one is stopped below for
	// whichever reason comes first.
	base := context.WithoutCancel(ctx)
	var contexts [2]context.Context
	var cancel [2]context.CancelFunc
	for r := range contexts {
		contexts[r], cancel[r] = context.WithCancel(base)
		defer cancel[r]()
	}
	w := &waiter{components: components, results: make(chan result, len(components)), running: make(map[int]bool)}
	for i, c := range components {
		w.running[i] = true
		go func() { w.results <- result{index: i, err: c.run(contexts[c.ring])} }()
	}

	if len(components) > 0 {
		g.logger.Info("stopping", "cause", w.first(ctx, g.drain))
	}
	w.stopping = true
	cancel[inner]()
	w.wait(inner, g.opts.DrainTimeout)
	cancel[outer]()
	w.wait(outer, g.opts.StopTimeout)
	return errors.Join(w.err, w.stragglers())
}

// start closes the group for registrations and returns its components.
func (g *Group) start() []component {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.started {
		panic("lifecycle: Run called twice")
	}
	g.mu.started = true
	return g.mu.components
}

// waiter collects the ends of components. It is used by the goroutine of Run only.
type waiter struct {
	components []component
	results    chan result
	running    map[int]bool
	stopping   bool
	late       []string
	err        error
}

// first blocks until there is a reason to stop and returns it in words.
func (w *waiter) first(ctx context.Context, drain <-chan struct{}) string {
	select {
	case <-ctx.Done():
		return context.Cause(ctx).Error()
	case <-drain:
		return "drain requested"
	case r := <-w.results:
		w.done(r)
		return "component " + w.components[r.index].name + " returned"
	}
}

func (w *waiter) done(r result) {
	delete(w.running, r.index)
	if r.err == nil || w.stopping && errors.Is(r.err, context.Canceled) || w.err != nil {
		return
	}
	w.err = fmt.Errorf("%s: %w", w.components[r.index].name, r.err)
}

// wait collects results until no component of the ring runs or the timeout is over. Results of the other ring that come meanwhile count too.
func (w *waiter) wait(which ring, timeout time.Duration) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for w.runs(which) {
		select {
		case r := <-w.results:
			w.done(r)
		case <-timer.C:
			for i, c := range w.components {
				if c.ring == which && w.running[i] {
					w.late = append(w.late, fmt.Sprintf("%s (over %s)", c.name, timeout))
				}
			}
			return
		}
	}
}

func (w *waiter) runs(which ring) bool {
	for i := range w.running {
		if w.components[i].ring == which {
			return true
		}
	}
	return false
}

// stragglers names what outlived its deadline, even if it returned while the outer ring stopped: accepted work may have been cut off from its dependencies.
func (w *waiter) stragglers() error {
	if len(w.late) == 0 {
		return nil
	}
	return &StragglerError{Components: w.late}
}

// StragglerError names the components that did not return in time.
type StragglerError struct {
	// Components holds, per component, its name and the deadline that it outlived.
	Components []string
}

func (e *StragglerError) Error() string {
	return "did not stop in time: " + strings.Join(e.Components, ", ")
}
