package s3store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// RefusedError says that a store does not keep a promise on which commits rest.
type RefusedError struct {
	// Check is the name of the promise: "If-None-Match" or "If-Match".
	Check string
	// Detail tells what the store did.
	Detail string
}

// Error names the promise and what happened.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("the object store does not honour %s: %s", e.Check, e.Detail)
}

// probeWriters race for one object.
const probeWriters = 8

// Probe checks that store decides conditional writes: of several writers one wins, and a stale ETag
// fails. It writes a few small objects under "probe/" and deletes them. A *RefusedError is final; any
// other error says that the store could not be asked.
func Probe(ctx context.Context, store storage.Store) error {
	key := "probe/" + rand.Text()
	defer func() { _ = store.Delete(context.WithoutCancel(ctx), key) }() // left behind it harms nobody
	wins, err := race(ctx, store, key, storage.Condition{IfAbsent: true})
	if err != nil {
		return fmt.Errorf("probe If-None-Match: %w", err)
	}
	if wins != 1 {
		return &RefusedError{"If-None-Match", fmt.Sprintf("%d of %d writers of one new object succeeded, not one", wins, probeWriters)}
	}
	_, first, err := store.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("probe If-Match: %w", err)
	}
	if wins, err = race(ctx, store, key, storage.Condition{IfMatch: first.ETag}); err != nil {
		return fmt.Errorf("probe If-Match: %w", err)
	}
	if wins != 1 {
		return &RefusedError{"If-Match", fmt.Sprintf("%d of %d writers with the same ETag succeeded, not one", wins, probeWriters)}
	}
	done, err := attempt(ctx, store, key, "stale", storage.Condition{IfMatch: first.ETag})
	if err != nil {
		return fmt.Errorf("probe If-Match: %w", err)
	}
	if done {
		return &RefusedError{"If-Match", "a write with a stale ETag succeeded"}
	}
	return nil
}

// race lets probeWriters write different bytes at once and counts the winners.
func race(ctx context.Context, store storage.Store, key string, cond storage.Condition) (int, error) {
	var wg sync.WaitGroup
	results := make([]struct {
		won bool
		err error
	}, probeWriters)
	for i := range probeWriters {
		wg.Go(func() {
			results[i].won, results[i].err = attempt(ctx, store, key, fmt.Sprintf("%s %d", cond.IfMatch, i), cond)
		})
	}
	wg.Wait()
	wins := 0
	var errs []error
	for _, r := range results {
		if r.won {
			wins++
		}
		errs = append(errs, r.err)
	}
	return wins, errors.Join(errs...)
}

// attempt tells whether the write was done. Definite refusals are no error; "not now" is asked again a few times.
func attempt(ctx context.Context, store storage.Store, key, text string, cond storage.Condition) (bool, error) {
	var err error
	for range readAttempts {
		_, err = store.Put(ctx, key, []byte(text), cond)
		switch storage.Classify(err) {
		case storage.Precondition:
			return false, nil
		case storage.Retryable:
			continue
		}
		break
	}
	return err == nil, err
}
