// Package forward carries events to the router: it gathers them into batches, sends the batches over one gRPC stream within the
// router's credit, keeps every batch until the router has acknowledged it, sends again what a lost stream left unacknowledged, and
// tells each sender the fate of its events. It owns the budget of events in flight of the process. It knows no WebSocket, no client
// protocol, and never blocks a sender other than in Reserve.
package forward

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	ingestv1 "github.com/playhead-pipeline/playhead/proto/ingest/v1"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/handoff"
)

// Config is the limits and intervals.
type Config struct {
	MaxBatchBytes int           // of length-prefixed events; one larger event travels alone
	MaxBatchDelay time.Duration // how long the first event of a batch waits for company
	MaxOpen       int           // batches being filled; beyond that the oldest is sent
	MaxInFlight   int64         // budget of the process
	BackoffBase   time.Duration // before the first reconnect, doubled each time, full jitter
	BackoffMax    time.Duration
	HelloTimeout  time.Duration // for the router's first response on a stream
}

// Params is what a Forwarder needs.
type Params struct {
	Config     Config
	Client     ingestv1.IngestServiceClient
	Gateway    string // name of this instance
	Epoch      uint64 // grows with every start of the process
	Health     Health
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time // nil means time.Now
	Jitter     func() float64   // in [0,1); nil means random
}

// Health is the readiness check that a Forwarder keeps: it passes while a stream to the router is open.
type Health interface {
	OK()
	Fail(reason string)
}

// Status is a snapshot of the Forwarder.
type Status struct {
	Connected      bool
	SentSeq        uint64
	AckedSeq       uint64
	CreditLeft     uint64
	InFlightBytes  int64
	LastError      string
	EventsReceived uint64
	EventsSettled  uint64
	EventsRejected uint64
}

// Forwarder is the way to the router.
type Forwarder struct {
	p       Params
	metrics *metrics
	budget  *semaphore.Weighted
	wake    chan struct{} // something may be sent
	arm     chan struct{} // the first batch has been opened: the delay begins
	idle    chan struct{} // all is acknowledged; only while draining

	mu struct {
		sync.Mutex
		open    map[handoff.Key]*batch // being filled
		order   []*batch               // the same by age
		queue   []*batch               // sealed and not acknowledged, by seq
		next    int                    // index in queue of the first batch not sent on the present stream
		seq     uint64                 // of the newest sealed batch
		acked   uint64                 // of the newest acknowledged batch
		stream  streamState
		lastErr string
		drained bool // Drain was called: nothing waits for company any more
	}
}

// streamState is what is known of the present stream.
type streamState struct {
	live      bool   // the router has answered
	credit    uint64 // granted in all
	sent      uint64 // bytes sent
	settled   uint64 // bytes of sent that are acknowledged
	returned  uint64 // seq of the newest batch whose Send has returned: until then gRPC may still read its bytes
	acked     uint64 // newest seq that the router acknowledged
	firstSent uint64 // seq of the first batch sent, 0 before
}

// New returns a Forwarder that is not connected.
func New(p Params) (*Forwarder, error) {
	if p.Now == nil {
		p.Now = time.Now
	}
	if p.Jitter == nil {
		p.Jitter = rand.Float64
	}
	f := &Forwarder{
		p:      p,
		budget: semaphore.NewWeighted(p.Config.MaxInFlight),
		wake:   make(chan struct{}, 1),
		arm:    make(chan struct{}, 1),
		idle:   make(chan struct{}, 1),
	}
	f.mu.open = make(map[handoff.Key]*batch)
	var err error
	f.metrics, err = newMetrics(p.Registerer, f.connected)
	return f, err
}

// TryReserve takes n bytes of the budget, or says that there is no room now.
func (f *Forwarder) TryReserve(n int64) bool {
	ok := f.budget.TryAcquire(n)
	if ok {
		f.metrics.inFlight.Add(n)
	}
	return ok
}

// Reserve waits for n bytes of the budget, first come first served. Its errors are ctx's, or that n is over the whole budget.
func (f *Forwarder) Reserve(ctx context.Context, n int64) error {
	if n > f.p.Config.MaxInFlight {
		return fmt.Errorf("reserve %d bytes of a budget of %d", n, f.p.Config.MaxInFlight)
	}
	if err := f.budget.Acquire(ctx, n); err != nil {
		return err
	}
	f.metrics.inFlight.Add(n)
	return nil
}

// Submit takes a message whose charge was reserved. It copies the events and returns at once.
func (f *Forwarder) Submit(m handoff.Message) {
	f.metrics.received.Add(uint64(len(m.Events)))
	f.mu.Lock()
	sealed := f.appendLocked(m)
	f.mu.Unlock()
	if sealed {
		signal(f.wake)
	}
}

// appendLocked puts the events into batches and reports whether one became ready to send.
func (f *Forwarder) appendLocked(m handoff.Message) (sealed bool) {
	part := segment{sender: m.Sender, seq: m.Seq}
	b := f.mu.open[m.Key]
	if b != nil {
		part.start = b.count
	}
	for i, span := range m.Events {
		event := span.Bytes(m.Data)
		if b != nil && !b.fits(len(event), f.p.Config.MaxBatchBytes) {
			b.addSegment(part, uint32(i))
			f.sealLocked(b)
			sealed, b = true, nil
		}
		if b == nil {
			if len(f.mu.order) >= f.p.Config.MaxOpen {
				f.sealLocked(f.mu.order[0])
				sealed = true
			}
			b = f.openLocked(m.Key)
			part.start, part.first = 0, uint32(i)
		}
		b.addEvent(event)
	}
	part.charge = m.Charge // the budget is free again when the last part is settled
	b.addSegment(part, uint32(len(m.Events)))
	if f.mu.drained || len(b.events) >= f.p.Config.MaxBatchBytes {
		f.sealLocked(b)
		sealed = true
	}
	return sealed
}

func (f *Forwarder) openLocked(key handoff.Key) *batch {
	b := newBatch(key, f.p.Now())
	f.mu.open[key] = b
	f.mu.order = append(f.mu.order, b)
	if len(f.mu.order) == 1 {
		signal(f.arm)
	}
	return b
}

// sealLocked gives a batch its number and its place in the queue.
func (f *Forwarder) sealLocked(b *batch) {
	delete(f.mu.open, b.key)
	for i, other := range f.mu.order {
		if other == b {
			f.mu.order = append(f.mu.order[:i], f.mu.order[i+1:]...)
			break
		}
	}
	f.mu.seq++
	b.seq = f.mu.seq
	f.mu.queue = append(f.mu.queue, b)
	f.metrics.batchBytes.Observe(float64(len(b.events)))
	f.metrics.batchEvents.Observe(float64(b.count))
}

// sealOlder seals the batches opened at or before limit and returns when the next one is due; ok is false when none is open.
func (f *Forwarder) sealOlder(limit time.Time) (due time.Time, ok bool) {
	f.mu.Lock()
	sealed := false
	for len(f.mu.order) > 0 && (f.mu.drained || !f.mu.order[0].opened.After(limit)) {
		f.sealLocked(f.mu.order[0])
		sealed = true
	}
	if ok = len(f.mu.order) > 0; ok {
		due = f.mu.order[0].opened.Add(f.p.Config.MaxBatchDelay)
	}
	f.mu.Unlock()
	if sealed {
		signal(f.wake)
	}
	return due, ok
}

// runDelays seals batches whose first event has waited long enough.
func (f *Forwarder) runDelays(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.arm:
		case <-timer.C:
		}
		now := f.p.Now()
		if due, ok := f.sealOlder(now.Add(-f.p.Config.MaxBatchDelay)); ok {
			timer.Reset(max(0, due.Sub(now)))
		}
	}
}

// Drain sends what waits for company and returns when the router has acknowledged everything, or ctx ends.
func (f *Forwarder) Drain(ctx context.Context) error {
	f.mu.Lock()
	f.mu.drained = true
	f.mu.Unlock()
	f.sealOlder(f.p.Now())
	for {
		f.mu.Lock()
		left := len(f.mu.queue)
		f.mu.Unlock()
		if left == 0 {
			return nil
		}
		select {
		case <-f.idle:
		case <-ctx.Done():
			return fmt.Errorf("drain %d batches: %w", left, context.Cause(ctx))
		}
	}
}

// Status returns a snapshot.
func (f *Forwarder) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := Status{
		Connected:      f.mu.stream.live,
		AckedSeq:       f.mu.acked,
		SentSeq:        f.mu.acked,
		InFlightBytes:  f.metrics.inFlight.Load(),
		LastError:      f.mu.lastErr,
		EventsReceived: f.metrics.received.Load(),
		EventsSettled:  f.metrics.settled.Load(),
		EventsRejected: f.metrics.rejected.Load(),
	}
	if f.mu.next > 0 {
		s.SentSeq = f.mu.queue[f.mu.next-1].seq
	}
	if f.mu.stream.credit > f.mu.stream.sent {
		s.CreditLeft = f.mu.stream.credit - f.mu.stream.sent
	}
	return s
}

func (f *Forwarder) connected() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.stream.live
}

// signal leaves a token for a goroutine that waits, or will.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// causeName is the name that clients see.
func causeName(c ingestv1.Cause) string { return strings.TrimPrefix(c.String(), "CAUSE_") }
