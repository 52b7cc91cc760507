package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/IBM/sarama"
)

// metadata is what the loop knows of the cluster.
type metadata struct {
	producerID int64
	leaders    map[partitionKey]leader
}

type partitionKey struct {
	topic     string
	partition int32
}

type leader struct {
	broker int32
	addr   string
	epoch  int32
}

const (
	// minRefreshInterval bounds the load on brokers while leaders move.
	minRefreshInterval = 100 * time.Millisecond
	// maxRefreshInterval finds out about a cluster that nobody writes to, for readiness.
	maxRefreshInterval = 10 * time.Second
	connectBackoff     = 500 * time.Millisecond
)

// follow keeps a client for metadata: it finds the topics, gets the producer id, and then reports leaders whenever the loop asks. It returns
// ctx's error, or another one when the topics are not what they must be.
func (p *Producer) follow(ctx context.Context, conf *sarama.Config) error {
	client, err := p.connect(ctx, conf)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }() // nothing is written through it
	id, err := p.producerID(ctx, client)
	if err != nil {
		return err
	}
	close(p.ready)
	ticker := time.NewTicker(maxRefreshInterval)
	defer ticker.Stop()
	for {
		err := p.lookAround(client, id)
		if err != nil {
			p.p.Check.Fail(err.Error())
			p.askRefresh()
		} else {
			p.p.Check.OK()
			p.checkPartitions(client)
		}
		if err := sleep(ctx, minRefreshInterval); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.refresh:
		case <-ticker.C:
		}
	}
}

// lookAround tells the loop who leads. Even when some partitions have no leader, the leaders of the others count.
func (p *Producer) lookAround(client sarama.Client, id int64) error {
	refreshErr := client.RefreshMetadata(p.allTopics()...) // keeps the client's list of brokers and partitions
	md, err := p.leaders(client, id)
	if err != nil {
		return err
	}
	p.mail.postMetadata(md)
	return refreshErr
}

// askRefresh makes follow ask for leaders soon.
func (p *Producer) askRefresh() {
	select {
	case p.refresh <- struct{}{}:
	default:
	}
}

func (p *Producer) allTopics() []string {
	return append(append([]string(nil), p.p.DataTopics...), p.p.DeadLetterTopics...)
}

// connect tries until a client is there and all topics are.
func (p *Producer) connect(ctx context.Context, conf *sarama.Config) (sarama.Client, error) {
	for {
		client, err := p.tryConnect(conf)
		if err == nil {
			return client, nil
		}
		p.p.Check.Fail(err.Error())
		if err := sleep(ctx, connectBackoff); err != nil {
			return nil, err
		}
	}
}

func (p *Producer) tryConnect(conf *sarama.Config) (sarama.Client, error) {
	client, err := sarama.NewClient(p.p.Kafka.Brokers, conf)
	if err != nil {
		return nil, fmt.Errorf("connect to Kafka: %w", err)
	}
	topics, err := p.findTopics(client)
	if err != nil {
		_ = client.Close() // the error is what matters
		return nil, err
	}
	p.topics = topics
	return client, nil
}

// findTopics returns all topics with their partitions, created before if the configuration says so.
func (p *Producer) findTopics(client sarama.Client) (map[string]*topic, error) {
	if p.p.CreateTopics.Partitions > 0 {
		if err := p.createTopics(client); err != nil {
			return nil, err
		}
	}
	topics := make(map[string]*topic)
	for _, name := range p.allTopics() {
		if topics[name] != nil {
			continue
		}
		partitions, err := client.Partitions(name)
		if err != nil {
			return nil, fmt.Errorf("find topic %s: %w", name, err)
		}
		t := &topic{}
		for i := range int32(len(partitions)) {
			t.partitions = append(t.partitions, &partition{lane: lane{topic: name, partition: i, nextOffset: -1}, leader: -1, epoch: -1})
		}
		topics[name] = t
	}
	return topics, nil
}

func (p *Producer) createTopics(client sarama.Client) error {
	// Topics that are not there yet are an error of this call, but it finds the controller.
	_ = client.RefreshMetadata(p.allTopics()...)
	controller, err := client.Controller()
	if err != nil {
		return fmt.Errorf("find controller: %w", err)
	}
	c := p.p.CreateTopics
	details := make(map[string]*sarama.TopicDetail)
	for _, name := range p.p.DeadLetterTopics {
		details[name] = &sarama.TopicDetail{NumPartitions: c.DeadLetterPartitions, ReplicationFactor: c.ReplicationFactor}
	}
	for _, name := range p.p.DataTopics {
		details[name] = &sarama.TopicDetail{NumPartitions: c.Partitions, ReplicationFactor: c.ReplicationFactor}
	}
	// The version follows the configured one: Kafka 4 closes the connection on the oldest, which fakes still take.
	resp, err := controller.CreateTopics(sarama.NewCreateTopicsRequest(client.Config().Version, details, 10*time.Second, false))
	if err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	for name, e := range resp.TopicErrors {
		if e.Err != sarama.ErrNoError && e.Err != sarama.ErrTopicAlreadyExists {
			return fmt.Errorf("create topic %s: %w", name, e)
		}
	}
	return client.RefreshMetadata(p.allTopics()...)
}

// producerID asks until it has one; a broker that has just started answers that it is loading.
func (p *Producer) producerID(ctx context.Context, client sarama.Client) (int64, error) {
	for {
		resp, err := client.InitProducerID()
		if err == nil && resp.Err == sarama.ErrNoError {
			return resp.ProducerID, nil
		}
		if err == nil {
			err = resp.Err
		}
		p.p.Check.Fail(fmt.Sprintf("get producer id: %v", err))
		// The client forgets brokers that did not answer; this finds them again.
		_ = client.RefreshMetadata(p.allTopics()...) // its failure shows in the next attempt
		if err := sleep(ctx, connectBackoff); err != nil {
			return 0, err
		}
	}
}

// leaders asks a broker who leads; the connected ones first, for a broker that is gone costs a time-out. Partitions without a leader are left
// out. The client's own LeaderAndEpoch is not used: for each partition without a leader it asks again and waits, one after the other.
func (p *Producer) leaders(client sarama.Client, id int64) (*metadata, error) {
	brokers := client.Brokers()
	slices.SortStableFunc(brokers, func(a, b *sarama.Broker) int { return cmp.Compare(disconnected(a), disconnected(b)) })
	err := sarama.ErrOutOfBrokers
	for _, broker := range brokers {
		_ = broker.Open(client.Config()) // it may be open; another failure shows in the request
		var resp *sarama.MetadataResponse
		if resp, err = broker.GetMetadata(sarama.NewMetadataRequest(client.Config().Version, p.allTopics())); err != nil {
			_ = broker.Close() // the next request opens it again
			continue
		}
		return readMetadata(resp, id), nil
	}
	return nil, fmt.Errorf("ask who leads: %w", err)
}

func disconnected(b *sarama.Broker) int {
	if connected, err := b.Connected(); connected && err == nil {
		return 0
	}
	return 1
}

func readMetadata(resp *sarama.MetadataResponse, id int64) *metadata {
	md := &metadata{producerID: id, leaders: make(map[partitionKey]leader)}
	addrs := make(map[int32]string)
	for _, b := range resp.Brokers {
		addrs[b.ID()] = b.Addr()
	}
	for _, t := range resp.Topics {
		for _, part := range t.Partitions {
			if addr, ok := addrs[part.Leader]; ok && part.Err == sarama.ErrNoError {
				md.leaders[partitionKey{t.Name, part.ID}] = leader{broker: part.Leader, addr: addr, epoch: part.LeaderEpoch}
			}
		}
	}
	return md
}

// checkPartitions reports a topic whose number of partitions has changed. The number in force stays: another one would move keys to other
// partitions and so break their order, and the tables' buckets.
func (p *Producer) checkPartitions(client sarama.Client) {
	for name, t := range p.topics {
		partitions, err := client.Partitions(name)
		if err != nil && !errors.Is(err, sarama.ErrUnknownTopicOrPartition) {
			continue
		}
		if n := len(partitions); n != len(t.partitions) {
			p.p.Check.Fail(fmt.Sprintf("topic %s has %d partitions, had %d when this process started", name, n, len(t.partitions)))
		}
	}
}

// sleep waits for d or until ctx ends, and returns ctx's error then.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
