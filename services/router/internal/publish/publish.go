// Package publish writes records to Kafka: idempotent, in order per partition, acknowledged by all in-sync replicas, retried without end.
//
// It owns batches, sequence numbers, connections to leaders and the reading of their answers, on sarama's Broker.AsyncProduce. sarama's
// AsyncProducer is not used: its idempotence ends with its retry budget, and it costs twice the CPU. Which records there are, and what
// becomes of refused ones, is for the callers. Memory is bounded by them too: Append never blocks, and what was appended stays in memory until
// it is acknowledged or refused.
package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/playhead-pipeline/playhead/services/internal/kafkaclient"
	"github.com/playhead-pipeline/playhead/services/router/internal/record"
)

// Check is a condition of readiness.
type Check interface {
	OK()
	Fail(reason string)
}

// Params is what New takes.
type Params struct {
	Config Config
	Kafka  kafkaclient.Config
	// CreateTopics, unless it is zero, is what missing topics are made of.
	CreateTopics TopicsConfig
	// DataTopics and DeadLetterTopics are all topics that will be written to.
	DataTopics, DeadLetterTopics []string
	Logger                       *slog.Logger
	Registerer                   prometheus.Registerer
	// Check follows whether the cluster answers.
	Check Check
}

// Producer writes records. Run must be running for anything to be written.
type Producer struct {
	p       Params
	metrics *metrics
	codec   sarama.CompressionCodec
	level   int
	pool    batchPool
	mail    mailbox
	refresh chan struct{} // to follow: ask who leads

	// topics is set once, before ready is closed.
	topics map[string]*topic
	ready  chan struct{}

	// activated takes partitions that have something to send and are not in the loop's list.
	activated struct {
		sync.Mutex
		list []*partition
	}

	loop loop
}

// topic is a topic whose partitions are known.
type topic struct {
	partitions []*partition
}

// partition gathers records for one lane.
type partition struct {
	mu struct {
		sync.Mutex
		open   *batch   // being filled, or nil
		full   []*batch // closed, not yet in the lane
		active bool     // the loop knows, or has been told
	}

	// Used by the loop only, published through status.
	lane   lane
	leader int32 // broker id, -1 when unknown
	epoch  int32 // leader epoch

	status atomic.Pointer[PartitionStatus]
}

// PartitionStatus is a snapshot of a partition.
type PartitionStatus struct {
	Topic     string
	Partition int32
	// Queued counts batches, the one in flight included.
	Queued int
	// NextOffset is the offset after the last acknowledged record; -1 when there is none yet.
	NextOffset int64
	// Trouble is why the partition does not move; Stalled says that it will not without an operator.
	Trouble string
	Stalled bool
}

// New returns a producer. It connects nothing.
func New(p Params) (*Producer, error) {
	codec, ok := codecs[p.Config.Compression]
	if !ok {
		return nil, fmt.Errorf("set up producer: compression %q is not known", p.Config.Compression)
	}
	m, err := newMetrics(p.Registerer)
	if err != nil {
		return nil, fmt.Errorf("set up producer: %w", err)
	}
	producer := &Producer{
		p:       p,
		metrics: m,
		codec:   codec.codec,
		level:   codec.level,
		refresh: make(chan struct{}, 1),
		ready:   make(chan struct{}),
	}
	producer.mail.notify = make(chan struct{}, 1)
	return producer, nil
}

// Ready is closed when the cluster has answered and all topics are known.
func (p *Producer) Ready() <-chan struct{} { return p.ready }

// Partitions returns the number of partitions of a topic of Params, which stays the same for the life of the process. It must not be called before
// Ready is closed.
func (p *Producer) Partitions(name string) int32 { return int32(len(p.topic(name).partitions)) }

func (p *Producer) topic(name string) *topic {
	t, ok := p.topics[name]
	if !ok {
		panic("publish: topic " + name + " is not one of Params")
	}
	return t
}

// Append takes records of one topic for writing. Records of one partition are written in the order in which they were appended. It must not
// be called before Ready is closed.
func (p *Producer) Append(name string, owner record.Owner, records []record.Record) {
	t := p.topic(name)
	wake := false
	for i := range records {
		if p.appendOne(t.partitions[records[i].Partition], owner, &records[i]) {
			wake = true
		}
	}
	if wake {
		p.mail.wake()
	}
}

// appendOne tells whether the loop has to look: when there is a new batch to wait for, and when one is full.
func (p *Producer) appendOne(part *partition, owner record.Owner, r *record.Record) (wake bool) {
	size := len(r.Key) + len(r.Value) + recordOverhead
	for _, h := range r.Headers {
		size += len(h.Key) + len(h.Value)
	}
	part.mu.Lock()
	defer part.mu.Unlock()
	if open := part.mu.open; open != nil && (open.len() >= p.p.Config.BatchRecords || open.size()+size > int(p.p.Config.BatchBytes)) {
		part.mu.full = append(part.mu.full, open)
		part.mu.open = nil
	}
	if part.mu.open == nil {
		part.mu.open = p.pool.get()
		part.mu.open.opened = time.Now()
		wake = true
	}
	part.mu.open.add(owner, r)
	if !part.mu.active {
		part.mu.active = true
		p.activated.Lock() // nothing is locked inside
		p.activated.list = append(p.activated.list, part)
		p.activated.Unlock()
	}
	return wake
}

// Status returns the partitions that have been written to, in the order of topic and partition.
func (p *Producer) Status() []PartitionStatus {
	select {
	case <-p.ready:
	default:
		return nil
	}
	var all []PartitionStatus
	for _, name := range append(append([]string(nil), p.p.DataTopics...), p.p.DeadLetterTopics...) {
		for _, part := range p.topics[name].partitions {
			if s := part.status.Load(); s != nil {
				all = append(all, *s)
			}
		}
	}
	return all
}

// Run writes until ctx ends, then closes the connections and returns. What is not acknowledged then may or may not be in the log.
func (p *Producer) Run(ctx context.Context) error {
	conf, err := p.clientConfig()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	followed := make(chan error, 1)
	go func() {
		followed <- p.follow(ctx, conf)
		cancel()
	}()
	p.runLoop(ctx, conf)
	cancel()
	if err := <-followed; err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("follow cluster: %w", err)
	}
	return nil
}

// clientConfig returns sarama's settings. The broker gives up on its replicas long before we give up on the broker, else every slow
// replica looks like a dead connection.
func (p *Producer) clientConfig() (*sarama.Config, error) {
	conf, err := kafkaclient.NewConfig(p.p.Kafka)
	if err != nil {
		return nil, fmt.Errorf("set up producer: %w", err)
	}
	conf.Producer.Timeout = 3 * time.Second
	conf.Net.ReadTimeout = 6 * time.Second
	conf.Net.DialTimeout = 3 * time.Second
	conf.Net.MaxOpenRequests = maxOutstanding
	// follow decides when to ask again; a client that tries for long by itself would hold up a stop.
	conf.Metadata.RefreshFrequency = 0
	conf.Metadata.Retry.Max = 1
	conf.Metadata.Retry.Backoff = minRefreshInterval
	return conf, nil
}

// mailbox takes what other goroutines tell the loop. It never blocks them: a callback of sarama that waits would stop its connection. It
// holds at most maxOutstanding answers per connection.
type mailbox struct {
	notify chan struct{} // of capacity 1
	mu     struct {
		sync.Mutex
		answers  []answer
		metadata *metadata
	}
}

func (m *mailbox) wake() {
	select {
	case m.notify <- struct{}{}:
	default:
	}
}

func (m *mailbox) postAnswer(a answer) {
	m.mu.Lock()
	m.mu.answers = append(m.mu.answers, a)
	m.mu.Unlock()
	m.wake()
}

func (m *mailbox) postMetadata(md *metadata) {
	m.mu.Lock()
	m.mu.metadata = md
	m.mu.Unlock()
	m.wake()
}

// take empties the mailbox; the answers are appended to buf.
func (m *mailbox) take(buf []answer) ([]answer, *metadata) {
	m.mu.Lock()
	defer m.mu.Unlock()
	buf = append(buf, m.mu.answers...)
	clear(m.mu.answers)
	m.mu.answers = m.mu.answers[:0]
	md := m.mu.metadata
	m.mu.metadata = nil
	return buf, md
}
