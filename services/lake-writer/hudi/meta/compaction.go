package meta

import (
	"errors"
	"fmt"
)

// ErrCompaction: bytes are no compaction plan.
var ErrCompaction = errors.New("malformed compaction plan")

// CompactionVersion is the version of the plans that this package writes: file names are relative to the operation's partition.
const CompactionVersion = 2

// CompactionPlan is the content of a requested compaction or log compaction (HoodieCompactionPlan). Fields that the schema lets be null
// are pointers, or slices whose nil is null.
type CompactionPlan struct {
	Operations                []CompactionOperation `avro:"operations"`
	ExtraMetadata             *map[string]string    `avro:"extraMetadata"`
	Version                   *int                  `avro:"version"`
	Strategy                  *CompactionStrategy   `avro:"strategy"`
	PreserveHoodieMetadata    *bool                 `avro:"preserveHoodieMetadata"`
	MissingSchedulePartitions []string              `avro:"missingSchedulePartitions"` // Hudi 1.1 and later
}

// CompactionOperation is the compaction of one file slice (HoodieCompactionOperation).
type CompactionOperation struct {
	BaseInstantTime   *string             `avro:"baseInstantTime"` // of the slice; without a base file its first log's
	DeltaFilePaths    []string            `avro:"deltaFilePaths"`  // log files
	DataFilePath      *string             `avro:"dataFilePath"`    // nil for a slice without a base file
	FileID            *string             `avro:"fileId"`
	PartitionPath     *string             `avro:"partitionPath"`
	Metrics           *map[string]float64 `avro:"metrics"`
	BootstrapFilePath *string             `avro:"bootstrapFilePath"`
}

// CompactionStrategy names the class that chose the operations (HoodieCompactionStrategy).
type CompactionStrategy struct {
	CompactorClassName *string            `avro:"compactorClassName"`
	StrategyParams     *map[string]string `avro:"strategyParams"`
	Version            *int               `avro:"version"`
}

// Metrics of a compaction operation, as Hudi's strategies name them; sizes are in MiB (CompactionStrategy.captureMetrics).
const (
	MetricLogFiles     = "TOTAL_LOG_FILES"
	MetricIO           = "TOTAL_IO_MB"
	MetricIORead       = "TOTAL_IO_READ_MB"
	MetricLogFilesSize = "TOTAL_LOG_FILES_SIZE"
	MetricIOWrite      = "TOTAL_IO_WRITE_MB"
)

// NewCompactionPlan is a plan of this package's version. Rows keep their meta columns when they are compacted.
func NewCompactionPlan(operations []CompactionOperation) CompactionPlan {
	version, preserve := CompactionVersion, true
	return CompactionPlan{Operations: operations, Version: &version, PreserveHoodieMetadata: &preserve}
}

// NewCompactionOperation plans the compaction of a slice: baseFile is "" when it has none, logFiles are in merge order. All are names
// within the partition.
func NewCompactionOperation(partition, fileID, baseInstant, baseFile string, logFiles []string, metrics map[string]float64) CompactionOperation {
	op := CompactionOperation{
		BaseInstantTime: &baseInstant, DeltaFilePaths: logFiles, FileID: &fileID, PartitionPath: &partition, Metrics: &metrics,
	}
	if baseFile != "" {
		op.DataFilePath = &baseFile
	}
	return op
}

// The schema is that of Hudi 1.1 and later, as its own files embed it. Hudi 0.15 reads it too.
const compactionPlanSchema = `{"type":"record","name":"HoodieCompactionPlan","namespace":"org.apache.hudi.avro.model","fields":[{"name":"operations","type":["null",{"type":"array","items":{"type":"record","name":"HoodieCompactionOperation","fields":[{"name":"baseInstantTime","type":["null",{"type":"string","avro.java.string":"String"}]},{"name":"deltaFilePaths","type":["null",{"type":"array","items":{"type":"string","avro.java.string":"String"}}],"default":null},{"name":"dataFilePath","type":["null",{"type":"string","avro.java.string":"String"}],"default":null},{"name":"fileId","type":["null",{"type":"string","avro.java.string":"String"}]},{"name":"partitionPath","type":["null",{"type":"string","avro.java.string":"String"}],"default":null},{"name":"metrics","type":["null",{"type":"map","values":"double","avro.java.string":"String"}],"default":null},{"name":"bootstrapFilePath","type":["null",{"type":"string","avro.java.string":"String"}],"default":null}]}}],"default":null},{"name":"extraMetadata","type":["null",{"type":"map","values":{"type":"string","avro.java.string":"String"},"avro.java.string":"String"}],"default":null},{"name":"version","type":["int","null"],"default":1},{"name":"strategy","type":["null",{"type":"record","name":"HoodieCompactionStrategy","fields":[{"name":"compactorClassName","type":["null",{"type":"string","avro.java.string":"String"}],"doc":"The class name that is provided here should extend CompactionExecutionStrategy abstract class, idea is that the plan generator will also provide the execution strategy to use.","default":null},{"name":"strategyParams","type":["null",{"type":"map","values":{"type":"string","avro.java.string":"String"},"avro.java.string":"String"}],"doc":"These parameters play a key role in determining which action type it is i.e. compaction or logcompaction and it will also include configs that determine how compaction needs to be executed.","default":null},{"name":"version","type":["int","null"],"default":1}]}],"default":null},{"name":"preserveHoodieMetadata","type":["boolean","null"],"default":false},{"name":"missingSchedulePartitions","type":["null",{"type":"array","items":{"type":"string","avro.java.string":"String"}}],"default":null}]}`

// Encode is the plan's Avro object container file.
func (p CompactionPlan) Encode() ([]byte, error) { return encodeOCF(compactionPlanSchema, p) }

// ParseCompactionPlan reads a requested compaction. An operation without a file id or a base instant is refused: nothing could be
// compacted by it. A plan of version 1, whose paths are absolute, is read as it is.
func ParseCompactionPlan(data []byte) (*CompactionPlan, error) {
	var p CompactionPlan
	if err := decodeOCF(data, &p); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCompaction, err)
	}
	for i, op := range p.Operations {
		if op.FileID == nil || op.BaseInstantTime == nil {
			return nil, fmt.Errorf("operation %d names no file group: %w", i, ErrCompaction)
		}
	}
	return &p, nil
}
