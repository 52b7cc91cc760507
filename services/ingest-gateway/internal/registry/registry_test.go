package registry

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fake leaves when it is drained, or only when it is cut.
type fake struct {
	r        *Registry[*fake]
	stubborn bool
	checks   atomic.Int32
}

func (f *fake) Check(time.Time) { f.checks.Add(1) }
func (f *fake) Cut()            { go f.r.Remove(f) }
func (f *fake) Drain() {
	if !f.stubborn {
		go f.r.Remove(f)
	}
}

func TestDrain(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ willing, stubborn int }{"nobody": {0, 0}, "willing": {3, 0}, "stubborn": {1, 2}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := New[*fake](time.Second)
				for i := range test.willing + test.stubborn {
					if err := r.Add(&fake{r: r, stubborn: i >= test.willing}); err != nil {
						t.Fatal(err)
					}
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				start := time.Now()
				if cut := r.Drain(ctx); cut != test.stubborn || r.Len() != 0 {
					t.Errorf("%d cut, %d left", cut, r.Len())
				}
				if waited := time.Since(start); (waited == time.Minute) != (test.stubborn > 0) {
					t.Errorf("waited %v", waited)
				}
				if err := r.Add(&fake{r: r}); !errors.Is(err, ErrDraining) || !r.Draining() {
					t.Errorf("add: %v", err)
				}
			})
		})
	}
}

func TestChecksOncePerInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := New[*fake](time.Second)
		c := &fake{r: r}
		if err := r.Add(c); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second+time.Millisecond)
		defer cancel()
		if err := r.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if n := c.checks.Load(); n != 5 {
			t.Errorf("%d checks in five intervals", n)
		}
	})
}
