package meta

import (
	"fmt"
	"strconv"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// EncodePartition is the content of a partition's metafile (HoodiePartitionMetadata): the instant that made the partition and the
// number of its path's elements. Without the file Hudi's readers do not see the partition, and say nothing.
func EncodePartition(at time.Time, instant timeline.Instant, depth int) []byte {
	return fmt.Appendf(nil, "#partition metadata\n#%s\ncommitTime=%s\npartitionDepth=%d\n", javaDate(at), instant, depth)
}

// ParsePartition reads a partition's metafile.
func ParsePartition(data []byte) (instant timeline.Instant, depth int, err error) {
	p, err := ParseProperties(data)
	if err != nil {
		return "", 0, err
	}
	instant, err = timeline.ParseInstant(p["commitTime"])
	if err != nil {
		return "", 0, fmt.Errorf("commitTime of a partition: %w", err)
	}
	depth, err = strconv.Atoi(p["partitionDepth"])
	if err != nil || depth < 0 {
		return "", 0, fmt.Errorf("partitionDepth %q: %w", p["partitionDepth"], ErrProperties)
	}
	return instant, depth, nil
}
