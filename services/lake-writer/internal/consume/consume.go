// Package consume reads every partition of some topics from given offsets on, through sarama's raw
// fetch requests, and delivers gapless chunks of records. It owns leaders, connections, reconnects and
// the proof that no offset is skipped or repeated; it never takes an offset from a consumer group and
// never jumps. What a record means, and where reading starts, belongs to its caller.
package consume

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/record"
)

// Limits of one fetch request. The sizes are the best trade of memory against requests that was
// measured (1 million records in 24 and in 200 partitions).
const (
	maxAnswerBytes    = 16 << 20
	maxPartitionBytes = 1 << 20
	// maxBatchBytes is how far a partition's share may grow when a single batch does not fit.
	maxBatchBytes = 64 << 20
	maxWait       = 500 * time.Millisecond
	fetchVersion  = 12
)

const (
	metadataInterval = 30 * time.Second
	// incompleteInterval is the time between two looks while a topic or an oldest offset is unknown.
	incompleteInterval = time.Second
	minBackOff         = 100 * time.Millisecond
	maxBackOff         = 5 * time.Second
	// undecodableLimit is how often a partition that is fetched alone may answer with bytes that do not
	// decode before it halts: a bit flip on the wire goes away, a broken batch does not.
	undecodableLimit = 3
)

// Gate is the process's byte budget.
type Gate interface {
	// TryAcquire charges n bytes when they fit.
	TryAcquire(n int64) bool
	// Acquire waits until n bytes fit and charges them.
	Acquire(ctx context.Context, n int64) error
	// Release gives n bytes back.
	Release(n int64)
}

// Params is what a Consumer needs.
type Params struct {
	// Connect opens the client for metadata and offsets; its configuration is used for the fetch connections.
	Connect func() (sarama.Client, error)
	// Topics are read in whole: all partitions, also those that are added later.
	Topics []string
	// Start returns the first offset to read; false means the oldest one there is.
	Start func(topic string, partition int32) (int64, bool)
	// Deliver takes a chunk and returns the next offset wanted. With a nil error that is chunk.Next. A
	// *record.HaltError stops the partition for good, any other error makes it try again later; both
	// from the offset returned. Deliver is called by one goroutine at a time per partition, by several
	// for several partitions.
	Deliver func(ctx context.Context, chunk record.Chunk) (int64, error)
	// Blocked is called when a reader begins to wait for the Gate.
	Blocked func()
	Gate    Gate
	Metrics *Metrics
	Logger  *slog.Logger
}

// Status is what is known of one partition.
type Status struct {
	Topic         string
	Partition     int32
	Next          int64
	HighWatermark int64
	// Halted is true when only an operator can make the partition move.
	Halted bool
	// Reason tells why the partition does not move, empty when it does.
	Reason string
}

// Consumer reads partitions. It is made for one Run.
type Consumer struct {
	p             Params
	wake          chan struct{}
	metadataEvery time.Duration

	mu struct {
		sync.Mutex
		partitions map[key]*partition
		orphans    []*partition // wait for a leader
		loops      map[string]*loop
	}
}

type key struct {
	topic string
	id    int32
}

// partition is the reading state of one partition. It is owned by the coordinator or by one loop; the
// fields below mu are for Status and are guarded by the Consumer's mutex.
type partition struct {
	key
	next        int64
	epoch       int32 // highest leader epoch seen in a batch
	leaderEpoch int32 // of the leader now in charge, from metadata
	maxBytes    int32
	failures    int
	undecodable int
	notBefore   time.Time

	seen Status
}

// New returns a Consumer that has not connected yet.
func New(p Params) *Consumer {
	c := &Consumer{p: p, wake: make(chan struct{}, 1), metadataEvery: metadataInterval}
	c.mu.partitions = make(map[key]*partition)
	c.mu.loops = make(map[string]*loop)
	return c
}

// Run reads until ctx ends and returns nil then. No goroutine of its own is left behind.
func (c *Consumer) Run(ctx context.Context) error {
	client := c.connect(ctx)
	if client == nil {
		return nil
	}
	// Closing the client ends calls that wait for a broker.
	stop := context.AfterFunc(ctx, func() { _ = client.Close() })
	defer func() {
		if stop() {
			_ = client.Close()
		}
	}()
	var wg sync.WaitGroup
	defer wg.Wait()
	refreshed := time.Time{}
	for ctx.Err() == nil {
		now := time.Now()
		if now.Sub(refreshed) >= c.metadataEvery || c.hasOrphanDue(now) {
			c.refresh(client)
			refreshed = now
			if !c.adopt(client) {
				refreshed = now.Add(incompleteInterval - c.metadataEvery)
			}
		}
		c.assign(ctx, client, &wg)
		c.sleep(ctx, c.nextLook(refreshed))
	}
	return nil
}

// connect opens the client, for as long as it takes; nil when ctx ended before.
func (c *Consumer) connect(ctx context.Context) sarama.Client {
	for attempt := 0; ctx.Err() == nil; attempt++ {
		client, err := c.p.Connect()
		if err == nil {
			return client
		}
		c.p.Logger.Warn("kafka is not reachable", "error", err, "attempt", attempt+1)
		c.sleep(ctx, time.Now().Add(backOff(attempt)))
	}
	return nil
}

// refresh asks the cluster for partitions and leaders.
func (c *Consumer) refresh(client sarama.Client) {
	if err := client.RefreshMetadata(c.p.Topics...); err != nil {
		c.p.Metrics.fetches.WithLabelValues("metadata_error").Inc()
		c.p.Logger.Debug("refresh metadata", "topics", c.p.Topics, "error", err)
	}
}

// adopt makes states for partitions that are new; false when something could not be learned.
func (c *Consumer) adopt(client sarama.Client) bool {
	complete := true
	for _, topic := range c.p.Topics {
		ids, err := client.Partitions(topic)
		if err != nil {
			complete = false
			continue
		}
		for _, id := range ids {
			k := key{topic, id}
			if c.known(k) {
				continue
			}
			next, ok := c.p.Start(topic, id)
			if !ok {
				if next, err = client.GetOffset(topic, id, sarama.OffsetOldest); err != nil {
					complete = false
					continue
				}
			}
			c.add(&partition{key: k, next: next, epoch: -1, maxBytes: maxPartitionBytes})
		}
	}
	return complete
}

func (c *Consumer) known(k key) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.partitions[k] != nil
}

func (c *Consumer) add(p *partition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.seen = Status{Topic: p.topic, Partition: p.id, Next: p.next}
	c.mu.partitions[p.key] = p
	c.mu.orphans = append(c.mu.orphans, p)
}

// assign gives every orphan that is due to the loop of its leader.
func (c *Consumer) assign(ctx context.Context, client sarama.Client, wg *sync.WaitGroup) {
	c.mu.Lock()
	orphans := c.mu.orphans
	c.mu.orphans = nil
	c.mu.Unlock()
	now := time.Now()
	var later []*partition
	for _, p := range orphans {
		if p.notBefore.After(now) {
			later = append(later, p)
			continue
		}
		leader, epoch, err := client.LeaderAndEpoch(p.topic, p.id)
		if err != nil {
			c.giveBack(p, fmt.Sprintf("no leader: %v", err))
			continue
		}
		p.leaderEpoch = epoch
		c.loopOf(ctx, leader, client.Config(), wg).add(p)
	}
	c.mu.Lock()
	c.mu.orphans = append(c.mu.orphans, later...)
	c.mu.Unlock()
	c.retire()
}

// loopOf returns the fetch loop of a broker and starts it when there is none.
func (c *Consumer) loopOf(ctx context.Context, leader *sarama.Broker, config *sarama.Config, wg *sync.WaitGroup) *loop {
	name := strconv.Itoa(int(leader.ID())) + "@" + leader.Addr()
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.mu.loops[name]; l != nil {
		return l
	}
	loopCtx, cancel := context.WithCancel(ctx)
	l := &loop{c: c, addr: leader.Addr(), config: bound(loopCtx, config), cancel: cancel, wake: make(chan struct{}, 1)}
	c.mu.loops[name] = l
	wg.Go(func() { l.run(loopCtx) })
	return l
}

// retire ends the loops that have no partition, so that brokers that come and go leave nothing behind.
// Only the coordinator adds partitions, so an empty loop stays empty until this returns.
func (c *Consumer) retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, l := range c.mu.loops {
		if l.owned() == 0 {
			l.cancel()
			delete(c.mu.loops, name)
		}
	}
}

// giveBack returns a partition to the coordinator, to look for its leader after a back-off.
func (c *Consumer) giveBack(p *partition, reason string) {
	p.notBefore = time.Now().Add(backOff(p.failures))
	p.failures++
	c.note(p, func(s *Status) { s.Reason = reason })
	c.orphan(p)
}

func (c *Consumer) orphan(p *partition) {
	c.mu.Lock()
	c.mu.orphans = append(c.mu.orphans, p)
	c.mu.Unlock()
	c.kick()
}

// halt takes a partition out of reading for good.
func (c *Consumer) halt(p *partition, reason string) {
	c.note(p, func(s *Status) { s.Halted, s.Reason = true, reason })
	c.p.Metrics.halted.WithLabelValues(p.topic).Inc()
	c.p.Logger.Error("partition halted", "topic", p.topic, "partition", p.id, "offset", p.next, "reason", reason)
}

// note changes what Status tells of p.
func (c *Consumer) note(p *partition, change func(*Status)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&p.seen)
	p.seen.Next = p.next
	lag := max(p.seen.HighWatermark-p.next, 0)
	c.p.Metrics.lag.WithLabelValues(p.topic, strconv.Itoa(int(p.id))).Set(float64(lag))
}

// Status returns all partitions known, in the order of topic and partition.
func (c *Consumer) Status() []Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	waiting := make(map[key]bool)
	for _, l := range c.mu.loops {
		l.addWaiting(waiting)
	}
	all := make([]Status, 0, len(c.mu.partitions))
	for k, p := range c.mu.partitions {
		s := p.seen
		if s.Reason == "" && waiting[k] {
			s.Reason = "paused: the byte budget is used up"
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Status) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return all
}

// Close forgets the gauges of this consumer: another one may read the same partitions next.
func (c *Consumer) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.mu.partitions {
		c.p.Metrics.lag.DeleteLabelValues(p.topic, strconv.Itoa(int(p.id)))
		c.p.Metrics.halted.DeleteLabelValues(p.topic)
	}
}

func (c *Consumer) hasOrphanDue(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.mu.orphans, func(p *partition) bool { return !p.notBefore.After(now) })
}

// nextLook returns when the coordinator has to do something without being woken.
func (c *Consumer) nextLook(refreshed time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := refreshed.Add(c.metadataEvery)
	for _, p := range c.mu.orphans {
		if p.notBefore.Before(at) {
			at = p.notBefore
		}
	}
	return at
}

func (c *Consumer) kick() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// sleep returns at the given time, when woken, or when ctx ends.
func (c *Consumer) sleep(ctx context.Context, until time.Time) {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-c.wake:
	case <-timer.C:
	}
}

// backOff doubles per attempt and is spread, so that many partitions do not come back at once.
func backOff(attempt int) time.Duration {
	d := min(minBackOff<<min(attempt, 10), maxBackOff)
	return d/2 + rand.N(d/2+1)
}

// isHalt returns the reason when err halts a partition.
func isHalt(err error) (string, bool) {
	if h, ok := errors.AsType[*record.HaltError](err); ok {
		return h.Reason, true
	}
	return "", false
}
