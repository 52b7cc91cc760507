// Package groupoffset publishes committed offsets under a consumer group, where people's tools (lag
// exporters, consoles) look for them. Nothing ever reads them back: it is best effort, the newest
// offsets win, and a cluster that refuses them holds nothing up.
package groupoffset

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/IBM/sarama"
	"github.com/prometheus/client_golang/prometheus"
)

// retryInterval is the time between two attempts to publish the same offsets.
const retryInterval = 5 * time.Second

// Publisher publishes the offsets of one group.
type Publisher struct {
	group     string
	connect   func() (sarama.Client, error)
	wake      chan struct{}
	published *prometheus.CounterVec
	logger    *slog.Logger
	client    sarama.Client // of Run

	mu struct {
		sync.Mutex
		pending map[string]map[int32]int64
	}
}

// New returns a Publisher for group; an empty group publishes nothing.
func New(group string, connect func() (sarama.Client, error), reg prometheus.Registerer, logger *slog.Logger) *Publisher {
	p := &Publisher{
		group: group, connect: connect, logger: logger, wake: make(chan struct{}, 1),
		published: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "playhead_lakewriter_group_offset_commits_total", Help: "Attempts to publish committed offsets to the consumer group by outcome.",
		}, []string{"outcome"}),
	}
	reg.MustRegister(p.published)
	return p
}

// Publish hands over the newest next offsets by topic and partition, which nobody may change any
// more. It never blocks.
func (p *Publisher) Publish(offsets map[string]map[int32]int64) {
	p.mu.Lock()
	for topic, partitions := range offsets {
		if p.mu.pending == nil {
			p.mu.pending = make(map[string]map[int32]int64)
		}
		p.mu.pending[topic] = partitions
	}
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// take returns what waits and leaves nothing.
func (p *Publisher) take() map[string]map[int32]int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	offsets := p.mu.pending
	p.mu.pending = nil
	return offsets
}

// putBack keeps offsets that could not be published, unless there are newer ones of their topic.
func (p *Publisher) putBack(offsets map[string]map[int32]int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.Copy(offsets, p.mu.pending)
	p.mu.pending = offsets
}

// Run publishes until ctx ends, then once more what is left, and returns nil.
func (p *Publisher) Run(ctx context.Context) error {
	defer p.disconnect()
	for ctx.Err() == nil {
		p.wait(ctx, p.wake, 0)
		for !p.publish() && ctx.Err() == nil {
			p.wait(ctx, nil, retryInterval)
		}
	}
	return nil
}

// wait returns when woken, when ctx ends, or after d, where 0 is never.
func (p *Publisher) wait(ctx context.Context, wake <-chan struct{}, d time.Duration) {
	var after <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		after = timer.C
	}
	select {
	case <-ctx.Done():
	case <-wake:
	case <-after:
	}
}

// publish sends what waits and tells whether nothing is left to do.
func (p *Publisher) publish() bool {
	offsets := p.take()
	if len(offsets) == 0 || p.group == "" {
		return true
	}
	err := p.commit(offsets)
	if err == nil {
		p.published.WithLabelValues("ok").Inc()
		return true
	}
	p.published.WithLabelValues("error").Inc()
	p.logger.Debug("publish offsets to consumer group", "group", p.group, "error", err)
	p.putBack(offsets)
	p.disconnect()
	return false
}

func (p *Publisher) disconnect() {
	if p.client != nil {
		_ = p.client.Close()
		p.client = nil
	}
}

// commit sends the offsets as an administrator would: without a member id and with generation -1,
// which a coordinator takes as long as the group has no members.
func (p *Publisher) commit(offsets map[string]map[int32]int64) error {
	if p.client == nil {
		client, err := p.connect()
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		p.client = client
	}
	broker, err := p.client.Coordinator(p.group)
	if err != nil {
		return fmt.Errorf("find coordinator: %w", err)
	}
	request := &sarama.OffsetCommitRequest{
		Version: 2, ConsumerGroup: p.group, ConsumerGroupGeneration: sarama.GroupGenerationUndefined, RetentionTime: -1,
	}
	for topic, partitions := range offsets {
		for partition, next := range partitions {
			request.AddBlock(topic, partition, next, 0, "")
		}
	}
	response, err := broker.CommitOffset(request)
	if err != nil {
		return fmt.Errorf("commit offsets: %w", err)
	}
	for topic, partitions := range response.Errors {
		for partition, code := range partitions {
			if code != sarama.ErrNoError {
				return fmt.Errorf("commit offset of %s/%d: %w", topic, partition, code)
			}
		}
	}
	return nil
}
