// Package groupoffset publishes committed offsets under a consumer group, where people's tools (lag
// exporters, consoles) look for them. Nothing ever reads them back: it is best effort, the newest
// offsets win, and a cluster that refuses them holds nothing up.
package groupoffset

import (
	"context"
	"fmt"
	"log/slog"
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
	latest    chan map[string]map[int32]int64
	published *prometheus.CounterVec
	logger    *slog.Logger
}

// New returns a Publisher for group; an empty group publishes nothing.
func New(group string, connect func() (sarama.Client, error), reg prometheus.Registerer, logger *slog.Logger) *Publisher {
	p := &Publisher{
		group: group, connect: connect, logger: logger,
		latest: make(chan map[string]map[int32]int64, 1),
		published: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "playhead_lakewriter_group_offset_commits_total", Help: "Attempts to publish committed offsets to the consumer group by outcome.",
		}, []string{"outcome"}),
	}
	reg.MustRegister(p.published)
	return p
}

// Publish hands over the newest next offsets by topic and partition. It never blocks.
func (p *Publisher) Publish(offsets map[string]map[int32]int64) {
	for {
		select {
		case p.latest <- offsets:
			return
		default:
		}
		select { // make room: what waits is older
		case <-p.latest:
		default:
		}
	}
}

// Run publishes until ctx ends and returns nil.
func (p *Publisher) Run(ctx context.Context) error {
	var client sarama.Client
	defer func() {
		if client != nil {
			_ = client.Close()
		}
	}()
	pending := make(map[string]map[int32]int64)
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case offsets := <-p.latest:
			for topic, partitions := range offsets {
				pending[topic] = partitions
			}
		case <-retry.C:
		}
		if len(pending) == 0 || p.group == "" {
			continue
		}
		err := p.commit(ctx, &client, pending)
		if err == nil {
			p.published.WithLabelValues("ok").Inc()
			clear(pending)
			continue
		}
		p.published.WithLabelValues("error").Inc()
		p.logger.Debug("publish offsets to consumer group", "group", p.group, "error", err)
		retry.Reset(retryInterval)
	}
}

// commit sends the offsets as an administrator would: without a member id and with generation -1,
// which a coordinator takes as long as the group has no members.
func (p *Publisher) commit(ctx context.Context, client *sarama.Client, offsets map[string]map[int32]int64) error {
	if *client == nil {
		c, err := p.connect()
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		*client = c
	}
	stop := context.AfterFunc(ctx, func() { _ = (*client).Close() })
	defer stop()
	broker, err := (*client).Coordinator(p.group)
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
		_ = broker.Close()
		_ = (*client).RefreshCoordinator(p.group)
		return fmt.Errorf("commit offsets: %w", err)
	}
	for topic, partitions := range response.Errors {
		for partition, code := range partitions {
			if code != sarama.ErrNoError {
				_ = (*client).RefreshCoordinator(p.group)
				return fmt.Errorf("commit offset of %s/%d: %w", topic, partition, code)
			}
		}
	}
	return nil
}
