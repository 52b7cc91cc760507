package model

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// causeHeader names the dead letter's cause.
const causeHeader = "playhead.cause"

// KafkaDeadLetters returns Inputs.DeadLetters for a topic of a Kafka cluster.
func KafkaDeadLetters(brokers []string, topic string) func(context.Context, func(DeadLetter)) error {
	return func(ctx context.Context, yield func(DeadLetter)) error {
		return readTopic(ctx, brokers, topic, func(record *kgo.Record) { yield(deadLetter(record)) })
	}
}

// KafkaRecords returns Inputs.Records for a topic of a Kafka cluster.
func KafkaRecords(brokers []string, topic string) func(context.Context, func(value []byte, offset int64)) error {
	return func(ctx context.Context, yield func([]byte, int64)) error {
		return readTopic(ctx, brokers, topic, func(record *kgo.Record) { yield(record.Value, record.Offset) })
	}
}

// readTopic calls yield with each record of a topic, from its beginning to where it ended at the call; in order within a partition.
func readTopic(ctx context.Context, brokers []string, topic string, yield func(*kgo.Record)) error {
	starts, err := offsets(ctx, brokers, topic, (*kadm.Client).ListStartOffsets)
	if err != nil {
		return err
	}
	ends, err := EndOffsets(ctx, brokers, topic)
	if err != nil {
		return err
	}
	left, start := make(map[int32]int64), make(map[int32]kgo.Offset)
	for partition, end := range ends {
		if end > starts[partition] {
			left[partition], start[partition] = end, kgo.NewOffset().AtStart()
		}
	}
	if len(left) == 0 {
		return nil
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: start}))
	if err != nil {
		return fmt.Errorf("consume topic %s: %w", topic, err)
	}
	defer client.Close()
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return fmt.Errorf("consume topic %s: %w", topic, err)
		}
		fetches.EachError(func(_ string, partition int32, e error) {
			err = fmt.Errorf("consume partition %d of %s: %w", partition, topic, e)
		})
		if err != nil {
			return err
		}
		fetches.EachRecord(func(record *kgo.Record) {
			if record.Offset >= ends[record.Partition] {
				return
			}
			yield(record)
			if record.Offset+1 >= left[record.Partition] {
				delete(left, record.Partition)
			}
		})
	}
	return nil
}

func deadLetter(record *kgo.Record) DeadLetter {
	letter := DeadLetter{Value: record.Value}
	for _, header := range record.Headers {
		if header.Key == causeHeader {
			letter.Cause = string(header.Value)
		}
	}
	return letter
}

// EndOffsets returns the next offset of each partition of topic; an unknown topic has none.
func EndOffsets(ctx context.Context, brokers []string, topic string) (map[int32]int64, error) {
	return offsets(ctx, brokers, topic, (*kadm.Client).ListEndOffsets)
}

func offsets(ctx context.Context, brokers []string, topic string,
	list func(*kadm.Client, context.Context, ...string) (kadm.ListedOffsets, error),
) (map[int32]int64, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return nil, fmt.Errorf("connect to Kafka: %w", err)
	}
	defer client.Close()
	listed, err := list(kadm.NewClient(client), ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("list offsets of %s: %w", topic, err)
	}
	found := make(map[int32]int64)
	for partition, offset := range listed[topic] {
		if offset.Err != nil {
			return nil, fmt.Errorf("offset of partition %d of %s: %w", partition, topic, offset.Err)
		}
		found[partition] = offset.Offset
	}
	return found, nil
}
