package meta

import (
	"errors"
	"fmt"
)

// ErrRestore: bytes are no restore plan or metadata.
var ErrRestore = errors.New("malformed restore")

// RestoreVersion is the version of restore plans that name the instant to go back to.
const RestoreVersion = 2

// RestorePlan is the content of a requested restore (HoodieRestorePlan).
type RestorePlan struct {
	InstantsToRollback []InstantInfo `avro:"instantsToRollback"` // newest first
	Version            *int          `avro:"version"`
	To                 *string       `avro:"savepointToRestoreTimestamp"` // since version 2
}

// RestoreMetadata is the content of a completed restore (HoodieRestoreMetadata).
type RestoreMetadata struct {
	StartRestoreTime   string                         `avro:"startRestoreTime"`
	TimeTakenMillis    int64                          `avro:"timeTakenInMillis"`
	InstantsToRollback []string                       `avro:"instantsToRollback"` // newest first
	Rollbacks          map[string][]*RollbackMetadata `avro:"hoodieRestoreMetadata"`
	Version            *int                           `avro:"version"`
	RestoreInstantInfo []InstantInfo                  `avro:"restoreInstantInfo"`
}

// The schemas are those that Hudi 0.15 and 1.2 embed.
const (
	restorePlanSchema     = `{"type":"record","name":"HoodieRestorePlan","namespace":"org.apache.hudi.avro.model","fields":[{"name":"instantsToRollback","type":{"type":"array","items":{"type":"record","name":"HoodieInstantInfo","fields":[{"name":"commitTime","type":{"type":"string","avro.java.string":"String"}},{"name":"action","type":{"type":"string","avro.java.string":"String"}}]},"default":null},"default":[]},{"name":"version","type":["int","null"],"default":2},{"name":"savepointToRestoreTimestamp","type":["null",{"type":"string","avro.java.string":"String"}],"default":null}]}`
	restoreMetadataSchema = `{"type":"record","name":"HoodieRestoreMetadata","namespace":"org.apache.hudi.avro.model","fields":[{"name":"startRestoreTime","type":{"type":"string","avro.java.string":"String"}},{"name":"timeTakenInMillis","type":"long"},{"name":"instantsToRollback","type":{"type":"array","items":{"type":"string","avro.java.string":"String"}}},{"name":"hoodieRestoreMetadata","type":{"type":"map","values":{"type":"array","items":["null",{"type":"record","name":"HoodieRollbackMetadata","fields":[{"name":"startRollbackTime","type":{"type":"string","avro.java.string":"String"}},{"name":"timeTakenInMillis","type":"long"},{"name":"totalFilesDeleted","type":"int"},{"name":"commitsRollback","type":{"type":"array","items":{"type":"string","avro.java.string":"String"}}},{"name":"partitionMetadata","type":{"type":"map","values":{"type":"record","name":"HoodieRollbackPartitionMetadata","fields":[{"name":"partitionPath","type":{"type":"string","avro.java.string":"String"}},{"name":"successDeleteFiles","type":{"type":"array","items":{"type":"string","avro.java.string":"String"}}},{"name":"failedDeleteFiles","type":{"type":"array","items":{"type":"string","avro.java.string":"String"}}},{"name":"rollbackLogFiles","type":["null",{"type":"map","values":"long","avro.java.string":"String"}],"default":null},{"name":"logFilesFromFailedCommit","type":["null",{"type":"map","values":"long","avro.java.string":"String"}],"default":null}]},"avro.java.string":"String"}},{"name":"version","type":["int","null"],"default":1},{"name":"instantsRollback","type":{"type":"array","items":{"type":"record","name":"HoodieInstantInfo","fields":[{"name":"commitTime","type":{"type":"string","avro.java.string":"String"}},{"name":"action","type":{"type":"string","avro.java.string":"String"}}]},"default":[]},"default":[]}]}],"default":null},"avro.java.string":"String"}},{"name":"version","type":["int","null"],"default":1},{"name":"restoreInstantInfo","type":{"type":"array","items":"HoodieInstantInfo","default":null},"default":[]}]}`
)

// Encode is the plan's Avro object container file.
func (p RestorePlan) Encode() ([]byte, error) { return encodeOCF(restorePlanSchema, p) }

// Encode is the metadata's Avro object container file.
func (m RestoreMetadata) Encode() ([]byte, error) { return encodeOCF(restoreMetadataSchema, m) }

// ParseRestorePlan reads a requested restore.
func ParseRestorePlan(data []byte) (*RestorePlan, error) {
	var p RestorePlan
	if err := decodeOCF(data, &p); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRestore, err)
	}
	return &p, nil
}

// ParseRestoreMetadata reads a completed restore.
func ParseRestoreMetadata(data []byte) (*RestoreMetadata, error) {
	var m RestoreMetadata
	if err := decodeOCF(data, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRestore, err)
	}
	return &m, nil
}
