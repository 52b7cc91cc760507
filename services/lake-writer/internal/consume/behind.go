package consume

import (
	"fmt"

	"github.com/IBM/sarama"
)

// Behind tells whether topic holds records at or above the given next offsets; a partition that is
// missing there counts from its oldest record.
func Behind(client sarama.Client, topic string, next map[int32]int64) (bool, error) {
	if err := client.RefreshMetadata(topic); err != nil {
		return false, fmt.Errorf("refresh metadata of %s: %w", topic, err)
	}
	partitions, err := client.Partitions(topic)
	if err != nil {
		return false, fmt.Errorf("list partitions of %s: %w", topic, err)
	}
	for _, id := range partitions {
		from, ok := next[id]
		if !ok {
			if from, err = client.GetOffset(topic, id, sarama.OffsetOldest); err != nil {
				return false, fmt.Errorf("find oldest offset of %s/%d: %w", topic, id, err)
			}
		}
		newest, err := client.GetOffset(topic, id, sarama.OffsetNewest)
		if err != nil {
			return false, fmt.Errorf("find newest offset of %s/%d: %w", topic, id, err)
		}
		if newest > from {
			return true, nil
		}
	}
	return false, nil
}
