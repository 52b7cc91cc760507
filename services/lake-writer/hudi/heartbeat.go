package hudi

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// heartbeatFolder holds an empty object for each attempt under way, whose modification time is the last sign of life.
const heartbeatFolder = timeline.Folder + ".heartbeat/"

// The defaults of Hudi's writers (hoodie.client.heartbeat.interval_in_ms, hoodie.client.heartbeat.tolerable.misses).
const (
	DefaultHeartbeatInterval = time.Minute
	DefaultHeartbeatMisses   = 2
)

// heartbeatKey is where the heartbeat of an instant lies.
func heartbeatKey(i timeline.Instant) string { return heartbeatFolder + string(i) }

// heartbeat is an attempt's sign of life, without which writers of other engines take the attempt for dead and roll it back.
type heartbeat struct {
	store   storage.Store
	key     string
	allowed time.Duration // without a sign, after which others act
	stop    func()        // ends the goroutine that beats, and waits for it
	mu      struct {
		sync.Mutex
		last time.Time // begin of the last beat that the store took
	}
}

// startHeartbeat gives the attempt's first sign of life, on a shared table. It goes on until the attempt has ended, whatever becomes of ctx.
func (a *attempt) startHeartbeat(ctx context.Context) error {
	s := a.w.shared
	if s == nil {
		return nil
	}
	a.heartbeat.end() // of an instant that another took
	h := &heartbeat{store: a.w.table.store, key: heartbeatKey(a.instant), allowed: s.allowed()}
	if err := h.beat(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(s.HeartbeatInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				_ = h.beat(ctx) // the next may go through; check tells when it was too long
			}
		}
	})
	h.stop = func() {
		cancel()
		wg.Wait()
	}
	a.heartbeat = h
	return nil
}

// heartbeatAfterlife is how long the heartbeat of an attempt goes on which may have been decided, or has been and is not on the timeline yet:
// another's clean would take it for a failed one. Resolve, the next commit and the next Acquire end that much earlier.
const heartbeatAfterlife = time.Hour

// end ends the heartbeat. Its object goes with the attempt's other ones. It may be called again, and on nil.
func (h *heartbeat) end() {
	if h != nil {
		h.stop()
	}
}

// endIn is end after a time.
func (h *heartbeat) endIn(d time.Duration) {
	if h != nil {
		time.AfterFunc(d, h.stop)
	}
}

func (h *heartbeat) beat(ctx context.Context) error {
	began := time.Now()
	if _, err := h.store.Put(ctx, h.key, nil, storage.Condition{}); err != nil {
		return fmt.Errorf("give sign of life: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.last = began
	return nil
}

// check is an error when others may take the attempt for dead by now.
func (h *heartbeat) check() error {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if age := time.Since(h.mu.last); age > h.allowed {
		return storage.MarkRetryable(fmt.Errorf("no sign of life for %s: others may have rolled it back", age.Round(time.Millisecond)))
	}
	return nil
}

// alive reports whether a pending instant has given a sign of life lately. As for Hudi, one without any heartbeat is dead
// (HoodieHeartbeatClient.isHeartbeatExpired).
func (w *Writer) alive(ctx context.Context, instant timeline.Instant) (bool, error) {
	info, err := w.table.store.Stat(ctx, heartbeatKey(instant))
	if errors.Is(err, storage.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for a sign of life of %s: %w", instant, err)
	}
	return w.table.options.now().Sub(info.ModTime) <= w.shared.allowed(), nil
}
