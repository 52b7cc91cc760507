package groupoffset

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"
)

// The goroutine of go-metrics lives as long as the process.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
}

func TestPublishesTheNewest(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	config := sarama.NewConfig()
	config.Version = sarama.V2_8_0_0
	connect := func() (sarama.Client, error) { return sarama.NewClient(cluster.ListenAddrs(), config) }
	p := New("tools", connect, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	p.Publish(map[string]map[int32]int64{"a": {0: 1, 1: 2}})
	p.Publish(map[string]map[int32]int64{"b": {0: 3}})
	p.Publish(map[string]map[int32]int64{"a": {0: 10, 1: 20}})

	admin, err := sarama.NewClusterAdmin(cluster.ListenAddrs(), config)
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
