package meta

import (
	_ "embed"
	"errors"
	"fmt"
	"sync"

	"github.com/hamba/avro/v2"
)

// ErrRequestedReplace: bytes are no requested replacecommit or clustering.
var ErrRequestedReplace = errors.New("malformed requested replace")

// RequestedReplace is the content of a requested clustering, or in layout 1 replacecommit (HoodieRequestedReplaceMetadata). An insert
// overwrite says nothing in it.
type RequestedReplace struct {
	OperationType  string            `json:"operationType,omitempty"` // OperationCluster, "" for an insert overwrite
	ClusteringPlan *ClusteringPlan   `json:"clusteringPlan,omitempty"`
	ExtraMetadata  map[string]string `json:"extraMetadata,omitzero"`
	Version        int               `json:"version,omitempty"`
}

// ClusteringPlan says which slices become which groups (HoodieClusteringPlan).
type ClusteringPlan struct {
	InputGroups               []ClusteringGroup  `json:"inputGroups"`
	Strategy                  ClusteringStrategy `json:"strategy"`
	ExtraMetadata             map[string]string  `json:"extraMetadata"`
	Version                   int                `json:"version"`
	PreserveHoodieMetadata    bool               `json:"preserveHoodieMetadata"`
	MissingSchedulePartitions []string           `json:"missingSchedulePartitions"`
}

// ClusteringGroup are slices that are rewritten together (HoodieClusteringGroup).
type ClusteringGroup struct {
	Slices              []ClusteringSlice  `json:"slices"`
	Metrics             map[string]float64 `json:"metrics"` // as of a compaction operation
	NumOutputFileGroups int                `json:"numOutputFileGroups"`
	ExtraMetadata       map[string]string  `json:"extraMetadata"`
	Version             int                `json:"version"`
}

// ClusteringSlice is a file slice that is rewritten (HoodieSliceInfo). Paths are absolute, unlike those of a compaction plan.
type ClusteringSlice struct {
	DataFilePath      string   `json:"dataFilePath"` // "" for a slice without a base file
	DeltaFilePaths    []string `json:"deltaFilePaths"`
	FileID            string   `json:"fileId"`
	PartitionPath     string   `json:"partitionPath"`
	BootstrapFilePath string   `json:"bootstrapFilePath"`
	Version           int      `json:"version"`
}

// ClusteringStrategy names the class that rewrites the slices (HoodieClusteringStrategy).
type ClusteringStrategy struct {
	StrategyClassName string            `json:"strategyClassName"`
	StrategyParams    map[string]string `json:"strategyParams"`
	Version           int               `json:"version"`
}

// The schema is that of Hudi 1.1 and later, as its own files embed it. Hudi 0.15, which lacks a field at the end of the plan, reads it too.
var (
	//go:embed requested_replace_schema.avsc
	requestedReplaceText string

	requestedReplaceSchema = sync.OnceValues(func() (avro.Schema, error) { return parseSchema(requestedReplaceText) })
)

// Encode is the request's Avro object container file. The same request has the same bytes.
func (r RequestedReplace) Encode() ([]byte, error) {
	schema, err := requestedReplaceSchema()
	if err != nil {
		return nil, fmt.Errorf("encode requested replace: %w", err)
	}
	record, err := generic(r)
	if err != nil {
		return nil, fmt.Errorf("encode requested replace: %w", err)
	}
	data, err := encodeRecord(requestedReplaceText, schema, record)
	if err != nil {
		return nil, fmt.Errorf("encode requested replace: %w", err)
	}
	return data, nil
}

// ParseRequestedReplace reads a requested clustering or replacecommit. No bytes are a request that says nothing, which some releases write
// for an insert overwrite.
func ParseRequestedReplace(data []byte) (*RequestedReplace, error) {
	var r RequestedReplace
	if len(data) == 0 {
		return &r, nil
	}
	if err := decodeRecord(data, &r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequestedReplace, err)
	}
	if r.OperationType == OperationCluster && r.ClusteringPlan == nil {
		return nil, fmt.Errorf("clustering without a plan: %w", ErrRequestedReplace)
	}
	return &r, nil
}
