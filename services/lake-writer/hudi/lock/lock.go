// Package lock owns Hudi's storage-based lock on a table (StorageBasedLockProvider of Hudi 1.0.2 and later): one small object that is replaced
// under its ETag, a lease by its content. Whoever holds it and keeps renewing is alone among the writers that use it.
//
// A lease bounds time, not writes: a holder that is paused past its end writes beside the next one. What must not happen twice needs a
// condition of its own, as this library's HEAD has. The package knows nothing of what the lock is for.
package lock

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

const (
	// ClockDrift is how far apart the clocks of writers may be (CLOCK_DRIFT_BUFFER_MS).
	ClockDrift = 500 * time.Millisecond
	// DefaultValidity is how long a lease lasts without renewal (hoodie.write.lock.storage.validity.timeout.secs).
	DefaultValidity = 300 * time.Second
	// DefaultRenewal is how often it is renewed (hoodie.write.lock.storage.renew.interval.secs).
	DefaultRenewal = 30 * time.Second
	// minValidity and validityPerRenewal are Hudi's bounds (StorageBasedLockConfig).
	minValidity        = 10 * time.Second
	validityPerRenewal = 10
)

var (
	// ErrLost: the lock is another's by now, or the lease ran out before it could be renewed. Whatever it guarded must stop at once.
	ErrLost = errors.New("the table's lock was lost")
	// ErrOptions: options that Hudi's writers would refuse too.
	ErrOptions = errors.New("invalid lock options")
)

// HeldError says who holds the lock.
type HeldError struct {
	Owner string
	Until time.Time // when the lease ends, unless it is renewed; by the owner's clock
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("the table's lock is held by %s until %s", e.Owner, e.Until.UTC().Format(time.RFC3339Nano))
}

// Store is the part of storage.Store that the lock needs.
type Store interface {
	Get(ctx context.Context, key string) ([]byte, storage.Info, error)
	Put(ctx context.Context, key string, data []byte, cond storage.Condition) (storage.Info, error)
}

// Options of a Lock. Owner must be unique to each Lock; the zero values of the others are Hudi's defaults.
type Options struct {
	Owner    string
	Validity time.Duration
	Renewal  time.Duration
	Now      func() time.Time // nil: time.Now
}

// Lock is one writer's handle on a table's lock. Its methods may be called concurrently; it gives out one Lease at a time.
type Lock struct {
	store Store
	o     Options
	held  chan struct{} // holds a token while a Lease is out
}

// New makes a handle. It touches no store.
func New(store Store, o Options) (*Lock, error) {
	if o.Validity == 0 {
		o.Validity = DefaultValidity
	}
	if o.Renewal == 0 {
		o.Renewal = DefaultRenewal
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Owner == "" || o.Renewal <= 0 || o.Validity < minValidity || o.Validity < validityPerRenewal*o.Renewal {
		return nil, fmt.Errorf("%w: owner %q, validity %s, renewal %s", ErrOptions, o.Owner, o.Validity, o.Renewal)
	}
	return &Lock{store: store, o: o, held: make(chan struct{}, 1)}, nil
}

// acquirePoll is how often Acquire looks at a lock that another holds.
const acquirePoll = time.Second

// Acquire waits until the lock is ours or ctx ends. The error then says who had it.
func (l *Lock) Acquire(ctx context.Context) (*Lease, error) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last error
	for {
		select {
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), last)
		case <-timer.C:
		}
		lease, err := l.TryAcquire(ctx)
		if err != nil && ctx.Err() != nil {
			return nil, errors.Join(context.Cause(ctx), last)
		}
		var held *HeldError
		if err == nil || !errors.As(err, &held) && storage.Classify(err) != storage.Retryable && storage.Classify(err) != storage.Unknown {
			return lease, err
		}
		last = err
		timer.Reset(acquirePoll)
	}
}

// TryAcquire takes the lock if nobody holds it; else the error is a *HeldError.
func (l *Lock) TryAcquire(ctx context.Context) (*Lease, error) {
	select {
	case l.held <- struct{}{}:
	default:
		return nil, &HeldError{Owner: l.o.Owner, Until: l.o.Now().Add(l.o.Validity)}
	}
	lease, err := l.take(ctx)
	if err != nil {
		<-l.held
		return nil, fmt.Errorf("acquire lock: %w", err)
	}
	return lease, nil
}

func (l *Lock) take(ctx context.Context) (*Lease, error) {
	now := l.o.Now()
	cond := storage.Condition{IfAbsent: true}
	switch state, etag, err := l.read(ctx); {
	case errors.Is(err, storage.ErrNotExist):
	case err != nil:
		return nil, err
	// What is ours already is of a request whose answer was lost and which came late.
	case !state.free(now) && state.Owner != l.o.Owner:
		return nil, &HeldError{state.Owner, state.Until()}
	default:
		cond = storage.Condition{IfMatch: etag}
	}
	// The lease counts from before the request, so that it ends for us no later than for others.
	state := State{ValidUntil: now.Add(l.o.Validity).UnixMilli(), Owner: l.o.Owner}
	etag, err := l.write(ctx, state, cond)
	if err != nil {
		return nil, err
	}
	lease := &Lease{lock: l}
	lease.mu.state, lease.mu.etag = state, etag
	return lease, nil
}

func (l *Lock) read(ctx context.Context) (State, string, error) {
	data, info, err := l.store.Get(ctx, Key)
	if err != nil {
		return State{}, "", err
	}
	state, err := Decode(data)
	return state, info.ETag, err
}

// write replaces the lock file and returns its ETag. A refusal, and an answer that was lost, are checked by reading back: what is there is this
// state, or the write did not happen, or not yet. Then the error is a *HeldError for another's state, and else retryable.
func (l *Lock) write(ctx context.Context, next State, cond storage.Condition) (etag string, err error) {
	data, err := next.Encode()
	if err != nil {
		return "", err
	}
	info, err := l.store.Put(ctx, Key, data, cond)
	if err == nil {
		return info.ETag, nil
	}
	if c := storage.Classify(err); c != storage.Precondition && c != storage.Unknown {
		return "", err
	}
	state, etag, readErr := l.read(ctx)
	switch {
	case readErr != nil:
		return "", storage.MarkRetryable(fmt.Errorf("%v, and reading it back: %v", err, readErr)) // without their classes
	case state == next:
		return etag, nil
	case state.Owner != next.Owner && !state.free(l.o.Now()):
		return "", &HeldError{state.Owner, state.Until()}
	default:
		return "", storage.MarkRetryable(fmt.Errorf("the lock file changed: %v", err))
	}
}

// Lease is the lock while it is held. Its methods may be called concurrently.
type Lease struct {
	lock    *Lock
	changes sync.Mutex // held while the lock file is changed, so that a change that hangs stops no reader of mu
	mu      struct {
		sync.Mutex
		state State
		etag  string
		ended bool // released or lost
	}
}

// Remaining is how long the lease still holds for sure; not positive when it does not.
func (s *Lease) Remaining() time.Duration {
	state, _, ended := s.current()
	if ended {
		return 0
	}
	return state.Until().Add(-ClockDrift).Sub(s.lock.o.Now())
}

func (s *Lease) current() (state State, etag string, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.state, s.mu.etag, s.mu.ended
}

func (s *Lease) set(state State, etag string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.state, s.mu.etag = state, etag
}

// end gives the Lock free for another Lease.
func (s *Lease) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.mu.ended {
		s.mu.ended = true
		<-s.lock.held
	}
}

// Renew makes the lease last for another validity. ErrLost is final; after another error the lease holds for what remains, and Renew may be
// called again.
func (s *Lease) Renew(ctx context.Context) error {
	s.changes.Lock()
	defer s.changes.Unlock()
	if s.Remaining() <= 0 {
		s.end()
		return ErrLost
	}
	err := s.replace(ctx, func(state State) State {
		state.ValidUntil = s.lock.o.Now().Add(s.lock.o.Validity).UnixMilli()
		return state
	})
	if err != nil {
		return fmt.Errorf("renew lock: %w", err)
	}
	return nil
}

// Release gives the lock back. After an error nobody can have it before the lease ends.
func (s *Lease) Release(ctx context.Context) error {
	s.changes.Lock()
	defer s.changes.Unlock()
	if _, _, ended := s.current(); ended {
		return nil
	}
	err := s.replace(ctx, func(state State) State {
		state.Expired = true
		return state
	})
	s.end()
	if err != nil {
		return fmt.Errorf("release lock: %w", err)
	}
	return nil
}

// replaceAttempts bounds how often a replacement is tried again: an earlier renewal of ours, whose answer was lost, may come in between.
const replaceAttempts = 3

// replace puts a changed state in place of ours; s.changes is held.
func (s *Lease) replace(ctx context.Context, change func(State) State) error {
	var err error
	for range replaceAttempts {
		ours, etag, _ := s.current()
		next := change(ours)
		var newTag string
		if newTag, err = s.lock.write(ctx, next, storage.Condition{IfMatch: etag}); err == nil {
			s.set(next, newTag)
			return nil
		}
		there, thereTag, readErr := s.lock.read(ctx)
		switch {
		case errors.Is(readErr, storage.ErrNotExist), readErr == nil && (there.Owner != ours.Owner || there.Expired):
			s.end()
			return fmt.Errorf("%w: %w", ErrLost, err)
		case readErr != nil || thereTag == etag: // nothing of ours came in between
			return err
		}
		s.set(there, thereTag)
	}
	return err
}

// Run renews the lease until ctx ends, which is no error, or the lease is lost, which is ErrLost.
func (s *Lease) Run(ctx context.Context) error {
	ticker := time.NewTicker(s.lock.o.Renewal)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		// A renewal that hangs must not outlast the lease.
		call, cancel := context.WithTimeout(ctx, max(0, s.Remaining()))
		err := s.Renew(call)
		cancel()
		if errors.Is(err, ErrLost) && ctx.Err() == nil {
			return err
		}
	}
}

// Do waits for the lock and runs f while it is held and renewed. The context of f ends, with ErrLost as its cause, when the lock is lost; Do
// returns ErrLost then too. Whatever f did is for it to say: an error of giving the lock back is none of Do's, since the lease ends by itself.
func (l *Lock) Do(ctx context.Context, f func(ctx context.Context, lease *Lease) error) error {
	lease, err := l.Acquire(ctx)
	if err != nil {
		return err
	}
	held, cancel := context.WithCancelCause(ctx)
	renewing, stop := context.WithCancel(held)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := lease.Run(renewing); err != nil {
			cancel(err)
		}
	})
	err = f(held, lease)
	stop()
	wg.Wait()
	if lost := context.Cause(held); err != nil && errors.Is(lost, ErrLost) && !errors.Is(err, ErrLost) {
		err = errors.Join(lost, err)
	}
	cancel(nil)
	release, end := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer end()
	_ = lease.Release(release) // else it ends by itself
	return err
}

// releaseTimeout bounds the giving back, which goes on when the caller's context has ended.
const releaseTimeout = 10 * time.Second
