package meta

import (
	"errors"
	"fmt"
)

// ErrRollback: bytes are no rollback plan or metadata.
var ErrRollback = errors.New("malformed rollback")

// Fields that are nullable in the schemas are pointers.

// RollbackPlan is the content of a requested rollback (HoodieRollbackPlan).
type RollbackPlan struct {
	InstantToRollback *InstantInfo       `avro:"instantToRollback"`
	Requests          *[]RollbackRequest `avro:"RollbackRequests"`
	Version           *int               `avro:"version"`
}

// InstantInfo names an instant (HoodieInstantInfo).
type InstantInfo struct {
	CommitTime string `avro:"commitTime"`
	Action     string `avro:"action"`
}

// RollbackRequest names what to delete in one file group (HoodieRollbackRequest). Paths are absolute.
type RollbackRequest struct {
	PartitionPath     string            `avro:"partitionPath"`
	FileID            *string           `avro:"fileId"`
	LatestBaseInstant *string           `avro:"latestBaseInstant"`
	FilesToBeDeleted  []string          `avro:"filesToBeDeleted"`
	LogBlocks         *map[string]int64 `avro:"logBlocksToBeDeleted"`
}

// RollbackMetadata is the content of a completed rollback (HoodieRollbackMetadata).
type RollbackMetadata struct {
	StartRollbackTime string                       `avro:"startRollbackTime"`
	TimeTakenMillis   int64                        `avro:"timeTakenInMillis"`
	TotalFilesDeleted int                          `avro:"totalFilesDeleted"`
	CommitsRollback   []string                     `avro:"commitsRollback"`
	Partitions        map[string]RollbackPartition `avro:"partitionMetadata"`
	Version           *int                         `avro:"version"`
	InstantsRollback  []InstantInfo                `avro:"instantsRollback"`
}

// RollbackPartition says what was deleted in one partition (HoodieRollbackPartitionMetadata). Paths are absolute.
type RollbackPartition struct {
	PartitionPath      string            `avro:"partitionPath"`
	SuccessDeleteFiles []string          `avro:"successDeleteFiles"`
	FailedDeleteFiles  []string          `avro:"failedDeleteFiles"`
	RollbackLogFiles   *map[string]int64 `avro:"rollbackLogFiles"`
	LogFilesFromFailed *map[string]int64 `avro:"logFilesFromFailedCommit"`
}

// The schemas are Hudi 0.15's, as its own files embed them.
const (
	rollbackPlanSchema     = `{"type":"record","name":"HoodieRollbackPlan","namespace":"org.apache.hudi.avro.model","fields":[{"name":"instantToRollback","type":["null",{"type":"record","name":"HoodieInstantInfo","fields":[{"name":"commitTime","type":{"type":"string","avro.java.string":"String"}},{"name":"action","type":{"type":"string","avro.java.string":"String"}}]}],"doc":"Hoodie instant that needs to be rolled back","default":null},{"name":"RollbackRequests","type":["null",{"type":"array","items":{"type":"record","name":"HoodieRollbackRequest","fields":[{"name":"partitionPath","type":{"type":"string","avro.java.string":"String"}},{"name":"fileId","type":["null",{"type":"string","avro.java.string":"String"}],"default":null},{"name":"latestBaseInstant","type":["null",{"type":"string","avro.java.string":"String"}],"default":null},{"name":"filesToBeDeleted","type":{"type":"array","items":{"type":"string","avro.java.string":"String"},"default":[]},"default":[]},{"name":"logBlocksToBeDeleted","type":["null",{"type":"map","values":"long","avro.java.string":"String"}],"default":null}]}}],"default":null},{"name":"version","type":["int","null"],"default":1}]}`
	rollbackMetadataSchema = `{"type":"record","name":"HoodieRollbackMetadata","namespace":"org.apache.hudi.avro.model","fields":[{"name":"startRollbackTime","type":{"type":"string","avro.java.string":"String"}},{"name":"timeTakenInMillis","type":"long"},{"name":"totalFilesDeleted","type":"int"},{"name":"commitsRollback","type":{"type":"array","items":{"type":"string","avro.java.string":"String"}}},{"name":"partitionMetadata","type":{"type":"map","values":{"type":"record","name":"HoodieRollbackPartitionMetadata","fields":[{"name":"partitionPath","type":{"type":"string","avro.java.string":"String"}},{"name":"successDeleteFiles","type":{"type":"array","items":{"type":"string","avro.java.string":"String"}}},{"name":"failedDeleteFiles","type":{"type":"array","items":{"type":"string","avro.java.string":"String"}}},{"name":"rollbackLogFiles","type":["null",{"type":"map","values":"long","avro.java.string":"String"}],"default":null},{"name":"logFilesFromFailedCommit","type":["null",{"type":"map","values":"long","avro.java.string":"String"}],"default":null}]},"avro.java.string":"String"}},{"name":"version","type":["int","null"],"default":1},{"name":"instantsRollback","type":{"type":"array","items":{"type":"record","name":"HoodieInstantInfo","fields":[{"name":"commitTime","type":{"type":"string","avro.java.string":"String"}},{"name":"action","type":{"type":"string","avro.java.string":"String"}}]},"default":[]},"default":[]}]}`
)

// Encode is the plan's Avro object container file.
func (p RollbackPlan) Encode() ([]byte, error) { return encodeOCF(rollbackPlanSchema, p) }

// Encode is the metadata's Avro object container file.
func (m RollbackMetadata) Encode() ([]byte, error) { return encodeOCF(rollbackMetadataSchema, m) }

// ParseRollbackPlan reads a requested rollback.
func ParseRollbackPlan(data []byte) (*RollbackPlan, error) {
	var p RollbackPlan
	if err := decodeOCF(data, &p); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRollback, err)
	}
	if p.InstantToRollback == nil {
		return nil, fmt.Errorf("plan names no instant: %w", ErrRollback)
	}
	return &p, nil
}

// ParseRollbackMetadata reads a completed rollback.
func ParseRollbackMetadata(data []byte) (*RollbackMetadata, error) {
	var m RollbackMetadata
	if err := decodeOCF(data, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRollback, err)
	}
	return &m, nil
}
