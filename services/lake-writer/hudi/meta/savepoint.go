package meta

import (
	"errors"
	"fmt"
)

// ErrSavepoint: bytes are no savepoint.
var ErrSavepoint = errors.New("malformed savepoint")

// Savepoint is the content of a completed savepoint (HoodieSavepointMetadata).
type Savepoint struct {
	SavepointedBy     string                        `avro:"savepointedBy"`
	SavepointedMillis int64                         `avro:"savepointedAt"` // Unix time
	Comments          string                        `avro:"comments"`
	Partitions        map[string]SavepointPartition `avro:"partitionMetadata"`
	Version           *int                          `avro:"version"`
}

// SavepointPartition names the files of one partition that the savepoint keeps (HoodieSavepointPartitionMetadata), without a path.
type SavepointPartition struct {
	PartitionPath string   `avro:"partitionPath"`
	Files         []string `avro:"savepointDataFile"`
}

// The schema is Hudi 0.15's, as its archived timeline embeds it.
const savepointSchema = `{"type":"record","name":"HoodieSavepointMetadata","namespace":"org.apache.hudi.avro.model","fields":[{"name":"savepointedBy","type":{"type":"string","avro.java.string":"String"}},{"name":"savepointedAt","type":"long"},{"name":"comments","type":{"type":"string","avro.java.string":"String"}},{"name":"partitionMetadata","type":{"type":"map","values":{"type":"record","name":"HoodieSavepointPartitionMetadata","fields":[{"name":"partitionPath","type":{"type":"string","avro.java.string":"String"}},{"name":"savepointDataFile","type":{"type":"array","items":{"type":"string","avro.java.string":"String"}}}]},"avro.java.string":"String"}},{"name":"version","type":["int","null"],"default":1}]}`

// Encode is the savepoint's Avro object container file.
func (s Savepoint) Encode() ([]byte, error) { return encodeOCF(savepointSchema, s) }

// ParseSavepoint reads a completed savepoint.
func ParseSavepoint(data []byte) (*Savepoint, error) {
	var s Savepoint
	if err := decodeOCF(data, &s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSavepoint, err)
	}
	return &s, nil
}
