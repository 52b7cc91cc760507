package budget

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
)

func TestWaitersComeInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100)
		if !b.TryAcquire(80) {
			t.Fatal("80 of 100 do not fit")
		}
		order := make(chan int64, 2)
		var wg sync.WaitGroup
		for _, n := range []int64{50, 10} {
			wg.Go(func() {
				if err := b.Acquire(t.Context(), n); err != nil {
					t.Error(err)
				}
				order <- n
			})
			synctest.Wait()
		}
		if b.TryAcquire(5) {
			t.Error("5 bytes overtook the waiters")
		}
		if len(order) != 0 {
			t.Error("somebody did not wait")
		}
		b.Release(80)
		wg.Wait()
		if used := b.Used(); used != 60 {
			t.Errorf("used %d, want 60", used)
		}
	})
}

func TestGivingUpGivesNothingAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100)
		b.Charge(150)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Acquire(ctx, 100) }()
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Acquire: %v", err)
		}
		b.Release(150)
		if !b.TryAcquire(100) {
			t.Error("the budget is not empty after all was released")
		}
	})
}

func TestMoreThanTheLimitIsAnError(t *testing.T) {
	t.Parallel()
	if err := New(10).Acquire(t.Context(), 11); err == nil {
		t.Error("11 of 10 bytes were acquired")
	}
}
