package groupoffset

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/playhead-pipeline/playhead/services/internal/kafkaclient"
	"github.com/playhead-pipeline/playhead/services/internal/kafkatest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPublishesTheNewest(t *testing.T) {
	t.Parallel()
	cluster := kafkatest.New(t, kafkatest.Options{Partitions: map[string]int32{"a": 2, "b": 2}})
	config := kafkaclient.Config{Brokers: cluster.Addrs()}
	connect := func() (sarama.Client, error) { return kafkaclient.NewClient(config) }
	p := New("tools", connect, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	p.Publish(map[string]map[int32]int64{"a": {0: 1, 1: 2}})
	p.Publish(map[string]map[int32]int64{"b": {0: 3}})
	p.Publish(map[string]map[int32]int64{"a": {0: 10, 1: 20}})

	full, err := kafkaclient.NewConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	full.Metadata.Full = true // the admin client has no topics of its own
	admin, err := sarama.NewClusterAdmin(cluster.Addrs(), full)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	deadline := time.Now().Add(10 * time.Second)
	for {
		got, err := admin.ListConsumerGroupOffsets("tools", map[string][]int32{"a": {0, 1}, "b": {0}})
		if err == nil && offset(got, "a", 0) == 10 && offset(got, "a", 1) == 20 && offset(got, "b", 0) == 3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("offsets of the group: %+v, %v", got, err)
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func offset(r *sarama.OffsetFetchResponse, topic string, partition int32) int64 {
	if b := r.GetBlock(topic, partition); b != nil {
		return b.Offset
	}
	return -1
}

// TestFailureKeepsTheNewest: what could not be published waits, and newer offsets of its topic replace it.
func TestFailureKeepsTheNewest(t *testing.T) {
	t.Parallel()
	p := New("tools", func() (sarama.Client, error) { return nil, errors.New("no route") }, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	p.Publish(map[string]map[int32]int64{"a": {0: 1}, "b": {0: 1}})
	old := p.take()
	p.Publish(map[string]map[int32]int64{"a": {0: 2}})
	p.putBack(old)
	if p.publish() {
		t.Error("publishing without a cluster worked")
	}
	got := p.take()
	if got["a"][0] != 2 || got["b"][0] != 1 {
		t.Errorf("what waits is %v", got)
	}
}
