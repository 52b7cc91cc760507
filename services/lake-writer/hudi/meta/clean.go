package meta

import (
	"errors"
	"fmt"
)

// ErrClean: bytes are no clean plan or metadata.
var ErrClean = errors.New("malformed clean")

// Policies of cleaning (HoodieCleaningPolicy).
const (
	CleanByCommits  = "KEEP_LATEST_COMMITS"
	CleanByHours    = "KEEP_LATEST_BY_HOURS"
	CleanByVersions = "KEEP_LATEST_FILE_VERSIONS"
)

// CleanVersion is the version of plans and metadata that this package writes: the plan has absolute paths, the metadata file names.
const CleanVersion = 2

// SavepointsKey is the key of a clean's extra metadata under which the savepoints stand, separated by commas, that it left files for
// (CleanerUtils.SAVEPOINTED_TIMESTAMPS).
const SavepointsKey = "savepointed_timestamps"

// CleanPlan is the content of a requested clean, and in table version 6 of the inflight one (HoodieCleanerPlan).
type CleanPlan struct {
	EarliestInstantToRetain *ActionInstant              `avro:"earliestInstantToRetain"` // nil when the policy names none
	LastCompletedCommit     string                      `avro:"lastCompletedCommitTimestamp"`
	Policy                  string                      `avro:"policy"`
	FilesOld                *map[string][]string        `avro:"filesToBeDeletedPerPartition"` // of version 1; else an empty map
	Version                 *int                        `avro:"version"`
	Files                   *map[string][]CleanFileInfo `avro:"filePathsToBeDeletedPerPartition"`
	Partitions              *[]string                   `avro:"partitionsToBeDeleted"`
	ExtraMetadata           *map[string]string          `avro:"extraMetadata"`
}

// ActionInstant names an instant with its state (HoodieActionInstant).
type ActionInstant struct {
	Timestamp string `avro:"timestamp"`
	Action    string `avro:"action"`
	State     string `avro:"state"` // COMPLETED
}

// CleanFileInfo names a file to delete (HoodieCleanFileInfo). The path is absolute.
type CleanFileInfo struct {
	FilePath            *string `avro:"filePath"`
	IsBootstrapBaseFile *bool   `avro:"isBootstrapBaseFile"`
}

// CleanMetadata is the content of a completed clean (HoodieCleanMetadata).
type CleanMetadata struct {
	StartCleanTime      string                     `avro:"startCleanTime"` // the clean's instant
	TimeTakenMillis     int64                      `avro:"timeTakenInMillis"`
	TotalFilesDeleted   int                        `avro:"totalFilesDeleted"`
	EarliestToRetain    string                     `avro:"earliestCommitToRetain"` // "" when the policy names none
	LastCompletedCommit string                     `avro:"lastCompletedCommitTimestamp"`
	Partitions          map[string]CleanPartition  `avro:"partitionMetadata"`
	Version             *int                       `avro:"version"`
	Bootstrap           *map[string]CleanPartition `avro:"bootstrapPartitionMetadata"`
	ExtraMetadata       *map[string]string         `avro:"extraMetadata"`
}

// CleanPartition says what was deleted in one partition (HoodieCleanPartitionMetadata). Files are names without a path.
type CleanPartition struct {
	PartitionPath      string   `avro:"partitionPath"`
	Policy             string   `avro:"policy"`
	DeletePathPatterns []string `avro:"deletePathPatterns"`
	SuccessDeleteFiles []string `avro:"successDeleteFiles"`
	FailedDeleteFiles  []string `avro:"failedDeleteFiles"`
	IsPartitionDeleted *bool    `avro:"isPartitionDeleted"`
}

// The schemas are Hudi 0.15's, as its own files embed them.
const (
	cleanPlanSchema     = `{"type":"record","name":"HoodieCleanerPlan","namespace":"org.apache.hudi.avro.model","fields":[{"name":"earliestInstantToRetain","type":["null",{"type":"record","name":"HoodieActionInstant","fields":[{"name":"timestamp","type":{"type":"string","avro.java.string":"String"}},{"name":"action","type":{"type":"string","avro.java.string":"String"}},{"name":"state","type":{"type":"string","avro.java.string":"String"}}]}],"default":null},{"name":"lastCompletedCommitTimestamp","type":{"type":"string","avro.java.string":"String"},"default":""},{"name":"policy","type":{"type":"string","avro.java.string":"String"}},{"name":"filesToBeDeletedPerPartition","type":["null",{"type":"map","values":{"type":"array","items":{"type":"string","avro.java.string":"String"}},"avro.java.string":"String"}],"default":null},{"name":"version","type":["int","null"],"default":1},{"name":"filePathsToBeDeletedPerPartition","type":["null",{"type":"map","values":{"type":"array","items":{"type":"record","name":"HoodieCleanFileInfo","fields":[{"name":"filePath","type":["null",{"type":"string","avro.java.string":"String"}],"default":null},{"name":"isBootstrapBaseFile","type":["null","boolean"],"default":null}]}},"avro.java.string":"String"}],"doc":"This field replaces the field filesToBeDeletedPerPartition","default":null},{"name":"partitionsToBeDeleted","type":["null",{"type":"array","items":{"type":"string","avro.java.string":"String"}}],"doc":"partitions to be deleted","default":null},{"name":"extraMetadata","type":["null",{"type":"map","values":{"type":"string","avro.java.string":"String"},"avro.java.string":"String","default":null}],"default":null}]}`
	cleanMetadataSchema = `{"type":"record","name":"HoodieCleanMetadata","namespace":"org.apache.hudi.avro.model","fields":[{"name":"startCleanTime","type":{"type":"string","avro.java.string":"String"}},{"name":"timeTakenInMillis","type":"long"},{"name":"totalFilesDeleted","type":"int"},{"name":"earliestCommitToRetain","type":{"type":"string","avro.java.string":"String"}},{"name":"lastCompletedCommitTimestamp","type":{"type":"string","avro.java.string":"String"},"default":""},{"name":"partitionMetadata","type":{"type":"map","values":{"type":"record","name":"HoodieCleanPartitionMetadata","fields":[{"name":"partitionPath","type":{"type":"string","avro.java.string":"String"}},{"name":"policy","type":{"type":"string","avro.java.string":"String"}},{"name":"deletePathPatterns","type":{"type":"array","items":{"type":"string","avro.java.string":"String"}}},{"name":"successDeleteFiles","type":{"type":"array","items":{"type":"string","avro.java.string":"String"}}},{"name":"failedDeleteFiles","type":{"type":"array","items":{"type":"string","avro.java.string":"String"}}},{"name":"isPartitionDeleted","type":["null","boolean"],"default":null}]},"avro.java.string":"String"}},{"name":"version","type":["int","null"],"default":1},{"name":"bootstrapPartitionMetadata","type":["null",{"type":"map","values":"HoodieCleanPartitionMetadata","avro.java.string":"String","default":null}],"default":null},{"name":"extraMetadata","type":["null",{"type":"map","values":{"type":"string","avro.java.string":"String"},"avro.java.string":"String","default":null}],"default":null}]}`
)

// Encode is the plan's Avro object container file.
func (p CleanPlan) Encode() ([]byte, error) { return encodeOCF(cleanPlanSchema, p) }

// Encode is the metadata's Avro object container file.
func (m CleanMetadata) Encode() ([]byte, error) { return encodeOCF(cleanMetadataSchema, m) }

// ParseCleanPlan reads a requested clean.
func ParseCleanPlan(data []byte) (*CleanPlan, error) {
	var p CleanPlan
	if err := decodeOCF(data, &p); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrClean, err)
	}
	return &p, nil
}

// ParseCleanMetadata reads a completed clean.
func ParseCleanMetadata(data []byte) (*CleanMetadata, error) {
	var m CleanMetadata
	if err := decodeOCF(data, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrClean, err)
	}
	return &m, nil
}
