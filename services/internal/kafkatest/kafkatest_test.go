package kafkatest_test

import (
	"slices"
	"testing"

	"github.com/IBM/sarama"

	"github.com/playhead-pipeline/playhead/services/internal/kafkaclient"
	"github.com/playhead-pipeline/playhead/services/internal/kafkatest"
)

func client(t *testing.T, c *kafkatest.Cluster) sarama.Client {
	t.Helper()
	client, err := kafkaclient.NewClient(kafkaclient.Config{Brokers: c.Addrs()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}

// produce writes one record to partition 0 of a topic and returns its offset.
func produce(t *testing.T, client sarama.Client, topic, value string) int64 {
	t.Helper()
	p, err := sarama.NewSyncProducerFromClient(client)
	if err != nil {
		t.Fatal(err)
	}
	_, offset, err := p.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(value)})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	return offset
}

func TestTopicsHaveTheirPartitions(t *testing.T) {
	t.Parallel()
	c := kafkatest.New(t, kafkatest.Options{Partitions: map[string]int32{"a": 1, "b": 24}, Brokers: 3})
	if len(c.Addrs()) != 3 {
		t.Errorf("got brokers %v", c.Addrs())
	}
	k := client(t, c)
	for topic, want := range map[string]int{"a": 1, "b": 24} {
		if got, err := k.Partitions(topic); err != nil || len(got) != want {
			t.Errorf("topic %s: got %v, %v", topic, got, err)
		}
	}
	if _, err := k.Partitions("unknown"); err == nil {
		t.Error("a topic was made by asking for it")
	}
}

func TestCreateGroup(t *testing.T) {
	t.Parallel()
	c := kafkatest.New(t, kafkatest.Options{Partitions: map[string]int32{"a": 1}})
	c.CreateGroup(t, "readers", "a")
	manager, err := sarama.NewOffsetManagerFromClient("readers", client(t, c))
	if err != nil {
		t.Fatal(err)
	}
	partition, err := manager.ManagePartition("a", 0)
	if err != nil {
		t.Fatal(err)
	}
	if next, _ := partition.NextOffset(); next != 0 {
		t.Errorf("got offset %d", next)
	}
	// Close of the partition would wait for a commit tick, which there is none of without automatic commits.
	partition.AsyncClose()
	if err := manager.Close(); err != nil {
		t.Error(err)
	}
}

// A cluster on the folder of another goes on where that one stopped.
func TestDataDirSurvivesTheCluster(t *testing.T) {
	t.Parallel()
	options := kafkatest.Options{Partitions: map[string]int32{"a": 1}, DataDir: t.TempDir()}
	var offsets []int64
	for _, value := range []string{"first", "second"} {
		// The cluster of a subtest ends with it.
		t.Run(value, func(t *testing.T) {
			offsets = append(offsets, produce(t, client(t, kafkatest.New(t, options)), "a", value))
		})
	}
	if !slices.Equal(offsets, []int64{0, 1}) {
		t.Errorf("got offsets %v", offsets)
	}
}
