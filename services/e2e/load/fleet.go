package load

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Fleet is the clients of one run.
type Fleet struct {
	clients []*client
	counts  []*Counts
	latency *Latency
	params  Params
	stop    chan struct{}
	once    sync.Once
}

// NewFleet returns the clients of a run against the gateway at url (ws://host:port/v1/events). pace is of the whole fleet; its Batch and
// Window of each client. Nothing is sent before Run.
func NewFleet(url string, params Params, pace Pace) (*Fleet, error) {
	if err := params.Validate(); err != nil {
		return nil, err
	}
	if pace.Batch < 1 || pace.Window < 1 {
		return nil, errors.New("batch and window must be at least 1")
	}
	f := &Fleet{latency: new(Latency), params: params, stop: make(chan struct{})}
	each := pace
	each.Rate = pace.Rate / float64(params.Sources)
	for source := range params.Sources {
		if pace.Events > 0 {
			n := uint64(params.Sources)
			each.Events = (pace.Events + n - 1 - uint64(source)) / n
			if each.Events == 0 {
				continue
			}
		}
		counts := new(Counts)
		f.counts = append(f.counts, counts)
		f.clients = append(f.clients, newClient(url, source, params, each, counts, f.latency, new(SourceLedger), f.stop))
	}
	return f, nil
}

// Run sends until the pace's end or Stop, and returns when everything is acked or ctx ends. The first client that the gateway refuses ends
// the run.
func (f *Fleet) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, c := range f.clients {
		wg.Go(func() {
			if err := c.run(ctx); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// Stop ends the sending of new events. Run goes on until the sent ones are acked.
func (f *Fleet) Stop() { f.once.Do(func() { close(f.stop) }) }

// Totals are the fleet's counters.
type Totals struct {
	Sent        uint64 `json:"sent"`
	Acked       uint64 `json:"acked"`
	Rejected    uint64 `json:"rejected"`
	Resent      uint64 `json:"resent"`
	Duplicates  uint64 `json:"duplicates"`
	Connections uint64 `json:"connections"`
}

// Totals adds up the clients' live counters.
func (f *Fleet) Totals() Totals {
	var t Totals
	for _, c := range f.counts {
		t.Sent += c.Sent.Load()
		t.Acked += c.Acked.Load()
		t.Rejected += c.Rejected.Load()
		t.Resent += c.Resent.Load()
		t.Duplicates += c.Duplicates.Load()
		t.Connections += c.Connections.Load()
	}
	return t
}

// Latency returns the distribution of the time from sending a message to its ack, resends included.
func (f *Fleet) Latency() *Latency { return f.latency }

// Ledger returns what the clients have seen so far. complete says that Run has returned.
func (f *Fleet) Ledger(complete bool) *Ledger {
	ledger := NewLedger(f.params)
	ledger.Complete = complete
	for _, c := range f.clients {
		ledger.Sources[c.source] = c.snapshot()
	}
	return ledger
}

// Latency counts durations in buckets of about 12 % width. It is safe for concurrent use.
type Latency struct {
	mu      sync.Mutex
	buckets [256]uint64
	count   uint64
}

// bucketOf maps microseconds to 8 buckets per power of two.
func bucketOf(d time.Duration) int {
	us := uint64(max(d.Microseconds(), 1))
	exp := 0
	for v := us; v > 1; v >>= 1 {
		exp++
	}
	fraction := int((us << 3 >> exp) & 7)
	return min(exp<<3|fraction, len(Latency{}.buckets)-1)
}

// Add counts one duration.
func (l *Latency) Add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buckets[bucketOf(d)]++
	l.count++
}

// Quantile returns the upper edge of the bucket that holds the q-quantile, 0 when nothing was counted.
func (l *Latency) Quantile(q float64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	rank := uint64(q * float64(l.count))
	var seen uint64
	for i, n := range l.buckets {
		seen += n
		if n > 0 && seen > rank || l.count > 0 && seen == l.count {
			exp, fraction := i>>3, uint64(i&7)
			return time.Duration((8+fraction+1)<<exp>>3) * time.Microsecond
		}
	}
	return 0
}
