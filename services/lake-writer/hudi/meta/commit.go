package meta

import (
	"encoding/json"
	"errors"
	"fmt"
)

// ErrCommit: bytes are no commit metadata.
var ErrCommit = errors.New("malformed commit metadata")

// NoPreviousCommit is what prevCommit holds for a new file group: the text, since Hudi dereferences the field.
const NoPreviousCommit = "null"

// Keys of a commit's extra metadata.
const (
	SchemaKey     = "schema"                       // the full table schema, without meta columns
	CheckpointKey = "deltastreamer.checkpoint.key" // Hudi Streamer's checkpoint of a Kafka source: topic,0:123,1:456
	PlayheadKey   = "playhead.commit"              // JSON of CommitNote
)

// Commit is the metadata of a commit (HoodieCommitMetadata and, with PartitionToReplaceFileIDs, HoodieReplaceCommitMetadata), in the order
// in which Hudi 0.15 writes the fields. Table version 6 holds it as JSON, 8 and 9 as Avro.
type Commit struct {
	PartitionToWriteStats     map[string][]WriteStat `json:"partitionToWriteStats"`
	Compacted                 bool                   `json:"compacted"`
	ExtraMetadata             map[string]string      `json:"extraMetadata"`
	OperationType             string                 `json:"operationType,omitempty"` // an empty text would be fatal for Hudi
	PartitionToReplaceFileIDs map[string][]string    `json:"partitionToReplaceFileIds,omitempty"`
}

// Operations that this library writes or decides by (WriteOperationType).
const (
	OperationUpsert          = "UPSERT"           // every commit and log append of this library: records go to their groups by key
	OperationInsertOverwrite = "INSERT_OVERWRITE" // of a replacecommit: partitions with new rows in place of all that they had
	OperationDeletePartition = "DELETE_PARTITION" // of a replacecommit: partitions without rows
	OperationBulkInsert      = "BULK_INSERT"      // rows in file groups of their own, whether their keys are in the table or not
	OperationCompact         = "COMPACT"          // of a completed compaction, whose commit is also Compacted
	OperationCluster         = "CLUSTER"          // of a completed clustering
)

// WriteStat says what a commit did to one file group (HoodieWriteStat). Path is relative to the table's base path.
// In the workload profile of an inflight file Path and PartitionPath are null.
type WriteStat struct {
	FileID                       string           `json:"fileId"`
	Path                         *string          `json:"path"`
	CDCStats                     map[string]int64 `json:"cdcStats"`
	PrevCommit                   string           `json:"prevCommit"`
	NumWrites                    int64            `json:"numWrites"` // all rows of the file
	NumDeletes                   int64            `json:"numDeletes"`
	NumUpdateWrites              int64            `json:"numUpdateWrites"`
	NumInserts                   int64            `json:"numInserts"`
	TotalWriteBytes              int64            `json:"totalWriteBytes"`
	TotalWriteErrors             int64            `json:"totalWriteErrors"`
	TempPath                     *string          `json:"tempPath"`
	PartitionPath                *string          `json:"partitionPath"`
	TotalLogRecords              int64            `json:"totalLogRecords"`
	TotalLogFilesCompacted       int64            `json:"totalLogFilesCompacted"`
	TotalLogSizeCompacted        int64            `json:"totalLogSizeCompacted"`
	TotalUpdatedRecordsCompacted int64            `json:"totalUpdatedRecordsCompacted"`
	TotalLogBlocks               int64            `json:"totalLogBlocks"`
	TotalCorruptLogBlock         int64            `json:"totalCorruptLogBlock"`
	TotalRollbackBlocks          int64            `json:"totalRollbackBlocks"`
	FileSizeInBytes              int64            `json:"fileSizeInBytes"` // the object's true size: Hudi's metadata table believes it
	MinEventTime                 *int64           `json:"minEventTime"`
	MaxEventTime                 *int64           `json:"maxEventTime"`
	PrevBaseFile                 *string          `json:"prevBaseFile,omitempty"`       // Hudi 1.x: name of the base file that was rewritten
	NumUpdates                   int64            `json:"numUpdates,omitempty"`         // Hudi 1.x
	TotalLogReadTimeMs           int64            `json:"totalLogReadTimeMs,omitempty"` // Hudi 1.x
	RuntimeStats                 *RuntimeStats    `json:"runtimeStats"`
	*LogStat                                      // of a log append; nil for a base file
}

// LogStat is what a log append adds to its WriteStat (HoodieDeltaWriteStat), whose Path then names the log file.
type LogStat struct {
	LogVersion   int          `json:"logVersion"` // of the file's name
	LogOffset    int64        `json:"logOffset"`  // at which the append began; 0 for a new file
	BaseFile     string       `json:"baseFile"`   // name in the partition; "" for a slice without a base file
	LogFiles     []string     `json:"logFiles"`   // names of the slice's log files up to and including this one
	RecordsStats RecordsStats `json:"recordsStats"`
}

// RecordsStats is Hudi 0.15's place for column statistics of a log, which it leaves empty unless its metadata table indexes them.
type RecordsStats struct {
	Val json.RawMessage `json:"val"`
}

// RuntimeStats are durations in milliseconds.
type RuntimeStats struct {
	TotalScanTime   int64 `json:"totalScanTime"`
	TotalUpsertTime int64 `json:"totalUpsertTime"`
	TotalCreateTime int64 `json:"totalCreateTime"`
}

// Encode is the JSON that a completed or inflight file of table version 6 holds.
func (c Commit) Encode() ([]byte, error) {
	if c.PartitionToWriteStats == nil {
		c.PartitionToWriteStats = map[string][]WriteStat{}
	}
	if c.ExtraMetadata == nil {
		c.ExtraMetadata = map[string]string{}
	}
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode commit metadata: %w", err)
	}
	return data, nil
}

// ParseCommit reads commit metadata, as JSON or, by its magic, as an Avro container file. Unknown fields are ignored, and no bytes are no
// stats: Hudi reads both so.
func ParseCommit(data []byte) (*Commit, error) {
	var c Commit
	if len(data) == 0 {
		return &c, nil
	}
	decode := json.Unmarshal
	if isContainer(data) {
		decode = decodeRecord
	}
	if err := decode(data, &c); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCommit, err)
	}
	return &c, nil
}

// CommitNote is the library's own part of a commit's extra metadata, under PlayheadKey.
type CommitNote struct {
	CommitID         string                     `json:"commit_id"`
	PreviousCommitID string                     `json:"previous_commit_id,omitempty"`
	Epoch            int64                      `json:"epoch"`
	Offsets          map[string]map[int32]int64 `json:"offsets,omitempty"`         // stream and partition: next offset
	WatermarkMillis  int64                      `json:"watermark_ms,omitempty"`    // Unix time
	CompletedMillis  int64                      `json:"completed_at_ms,omitempty"` // Unix time
}

// Encode is the note's JSON text.
func (n CommitNote) Encode() (string, error) {
	data, err := json.Marshal(n)
	if err != nil {
		return "", fmt.Errorf("encode commit note: %w", err)
	}
	return string(data), nil
}

// Note is the commit's note; ok is false for commits of other writers.
func (c *Commit) Note() (n CommitNote, ok bool) {
	text, ok := c.ExtraMetadata[PlayheadKey]
	if !ok || json.Unmarshal([]byte(text), &n) != nil || n.CommitID == "" {
		return CommitNote{}, false
	}
	return n, true
}
