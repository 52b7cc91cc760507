// Package kafkatest starts a fake Kafka cluster inside a test: real protocol over loopback, real record storage, scripted faults. It owns
// the cluster's life; what a test does with it goes through a Kafka client or through the fake's own fault functions.
//
// Known differences from a broker: an OffsetFetch for a group that nobody committed to answers GROUP_ID_NOT_FOUND (a broker answers offset
// -1), see CreateGroup; a request with an API key that Kafka does not have kills the process; replicas are labels on one log.
package kafkatest

import (
	"crypto/tls"
	"testing"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"
)

// Options says what the cluster is made of. The zero value is one broker without topics.
type Options struct {
	// Partitions holds the topics to make and their numbers of partitions.
	Partitions map[string]int32
	// Brokers is the number of brokers; zero means 1.
	Brokers int
	// DataDir keeps the logs in files of a folder instead of in memory: a third of the memory's cost from a million records on, and a cluster
	// started on the same folder goes on where the last one stopped. Empty means memory.
	DataDir string
	// TLS, when set, is what the listeners speak.
	TLS *tls.Config
	// Users, when set, are the user names and passwords that may log in with SASL PLAIN; others are refused.
	Users map[string]string
}

// Cluster is a running fake cluster.
type Cluster struct {
	fake *kfake.Cluster
}

// New starts a cluster on loopback ports that the system chooses. It ends with the test.
func New(t testing.TB, o Options) *Cluster {
	t.Helper()
	opts := []kfake.Opt{kfake.NumBrokers(max(1, o.Brokers))}
	for topic, partitions := range o.Partitions {
		opts = append(opts, kfake.SeedTopics(partitions, topic))
	}
	if o.DataDir != "" {
		opts = append(opts, kfake.DataDir(o.DataDir))
	}
	if o.TLS != nil {
		opts = append(opts, kfake.TLS(o.TLS))
	}
	if len(o.Users) > 0 {
		opts = append(opts, kfake.EnableSASL())
	}
	for user, password := range o.Users {
		opts = append(opts, kfake.User("PLAIN", user, password))
	}
	fake, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatalf("start fake Kafka: %v", err)
	}
	t.Cleanup(fake.Close)
	return &Cluster{fake: fake}
}

// Addrs returns the brokers' addresses.
func (c *Cluster) Addrs() []string { return c.fake.ListenAddrs() }

// Fake returns the fake itself, for its faults: Fault, ControlKey, MoveTopicPartition, AddNode, RemoveNode and so on.
func (c *Cluster) Fake() *kfake.Cluster { return c.fake }

// CreateGroup makes a consumer group known by committing offset 0 of one partition, after which OffsetFetch answers as a broker does. Readers
// start there unless they say otherwise.
func (c *Cluster) CreateGroup(t testing.TB, group, topic string) {
	t.Helper()
	cfg := sarama.NewConfig()
	cfg.Version = sarama.V2_8_0_0
	client, err := sarama.NewClient(c.Addrs(), cfg)
	if err != nil {
		t.Fatalf("connect to fake Kafka: %v", err)
	}
	defer func() {
		if err := client.Close(); err != nil {
			t.Errorf("close client: %v", err)
		}
	}()
	coordinator, err := client.Coordinator(group)
	if err != nil {
		t.Fatalf("find coordinator of group %s: %v", group, err)
	}
	// Generation -1 is a commit from outside the group's protocol.
	req := &sarama.OffsetCommitRequest{Version: 2, ConsumerGroup: group, ConsumerGroupGeneration: sarama.GroupGenerationUndefined, RetentionTime: -1}
	req.AddBlock(topic, 0, 0, 0, "")
	resp, err := coordinator.CommitOffset(req)
	if err != nil {
		t.Fatalf("commit to group %s: %v", group, err)
	}
	if code := resp.Errors[topic][0]; code != sarama.ErrNoError {
		t.Fatalf("commit to group %s: %v", group, code)
	}
}
