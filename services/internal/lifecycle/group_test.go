package lifecycle

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// events records what happened, in order.
type events struct {
	mu  sync.Mutex
	all []string
}

func (e *events) add(event string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, event)
}

func (e *events) index(t *testing.T, event string) int {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	i := slices.Index(e.all, event)
	if i < 0 {
		t.Fatalf("%q did not happen; got %q", event, e.all)
	}
	return i
}

// untilStopped runs until its context ends and takes a while to finish.
func (e *events) untilStopped(name string, finish time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		<-ctx.Done()
		e.add(name + " stopping")
		time.Sleep(finish)
		e.add(name + " stopped")
		return ctx.Err()
	}
}

func testGroup(opts Options) *Group { return New(slog.New(slog.DiscardHandler), opts) }

// whenRunning calls stop after the group's components have all come to rest.
func whenRunning(t *testing.T, stop func()) {
	t.Helper()
	go func() {
		time.Sleep(time.Second) // of the bubble's clock
		stop()
	}()
}

func TestOuterRingOutlivesInnerRing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var e events
		g := testGroup(Options{})
		g.Outer("debug", e.untilStopped("debug", time.Second))
		g.Inner("slow loop", e.untilStopped("slow loop", 5*time.Second))
		g.Inner("quick loop", e.untilStopped("quick loop", 0))
		ctx, cancel := context.WithCancel(t.Context())
		whenRunning(t, cancel)
		if err := g.Run(ctx); err != nil {
			t.Fatalf("a clean stop is no error, got %v", err)
		}
		if e.index(t, "quick loop stopped") > e.index(t, "slow loop stopped") || e.index(t, "slow loop stopped") > e.index(t, "debug stopping") {
			t.Errorf("wrong order: %q", e.all)
		}
	})
}

func TestDrainStops(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]bool{"while running": false, "before Run": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var e events
				g := testGroup(Options{})
				g.Inner("loop", e.untilStopped("loop", 0))
				if before {
					g.Drain()
				} else {
					whenRunning(t, func() { g.Drain(); g.Drain() })
				}
				if err := g.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				e.index(t, "loop stopped")
			})
		})
	}
}

func TestFirstReturnStopsAll(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, result := range map[string]error{"with an error": broken, "without an error": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var e events
				g := testGroup(Options{})
				g.Inner("loop", e.untilStopped("loop", 0))
				g.Outer("watch", func(context.Context) error {
					time.Sleep(time.Minute)
					return result
				})
				// A later error does not hide the first one.
				g.Outer("debug", func(ctx context.Context) error {
					<-ctx.Done()
					if result != nil {
						return errors.New("second")
					}
					return nil
				})
				err := g.Run(t.Context())
				e.index(t, "loop stopped")
				if !errors.Is(err, result) {
					t.Fatalf("got %v, want %v", err, result)
				}
				if result != nil && err.Error() != "watch: broken" {
					t.Errorf("got %q, want the first error with the name of its component", err)
				}
			})
		})
	}
}

// A component that returns context.Canceled before anybody asked it to stop has failed: something else canceled it.
func TestCanceledBeforeStopIsAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := testGroup(Options{})
		g.Inner("loop", func(context.Context) error { return context.Canceled })
		if err := g.Run(t.Context()); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestStragglersAreNamed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var e events
		release := make(chan struct{})
		g := testGroup(Options{DrainTimeout: 3 * time.Second, StopTimeout: 2 * time.Second})
		stuck := func(context.Context) error { <-release; return nil }
		g.Inner("stuck loop", stuck)
		g.Inner("loop", e.untilStopped("loop", 0))
		g.Outer("stuck dependency", stuck)
		g.Outer("debug", e.untilStopped("debug", 0))
		began := time.Now()
		g.Drain()
		err := g.Run(t.Context())
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("took %s, want the sum of both deadlines", took)
		}
		straggler, ok := errors.AsType[*StragglerError](err)
		if !ok || !slices.Equal(straggler.Components, []string{"stuck loop (over 3s)", "stuck dependency (over 2s)"}) {
			t.Errorf("got %v", err)
		}
		e.index(t, "debug stopped") // the outer ring stops although the inner one hangs
		close(release)
	})
}

// A straggler of the inner ring that ends while the outer ring stops is still named: its dependencies were taken away before it was done.
func TestLateInnerComponentIsNamed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var e events
		g := testGroup(Options{DrainTimeout: time.Second, StopTimeout: 10 * time.Second})
		g.Inner("late loop", e.untilStopped("late loop", 2*time.Second))
		g.Outer("debug", e.untilStopped("debug", 5*time.Second))
		g.Drain()
		if err := g.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "late loop (over 1s)") {
			t.Errorf("got %v", err)
		}
	})
}

func TestComponentContextKeepsValues(t *testing.T) {
	t.Parallel()
	type key struct{}
	g := testGroup(Options{})
	g.Inner("loop", func(ctx context.Context) error {
		if ctx.Value(key{}) != "value" {
			return errors.New("value is gone")
		}
		return nil
	})
	if err := g.Run(context.WithValue(t.Context(), key{}, "value")); err != nil {
		t.Error(err)
	}
}

func TestEmptyGroupReturns(t *testing.T) {
	t.Parallel()
	if err := testGroup(Options{}).Run(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestMisusePanics(t *testing.T) {
	t.Parallel()
	used := testGroup(Options{})
	if err := used.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, misuse := range map[string]func(){
		"register after Run": func() { used.Inner("late", func(context.Context) error { return nil }) },
		"Run twice":          func() { _ = used.Run(t.Context()) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			misuse()
		}()
	}
}
