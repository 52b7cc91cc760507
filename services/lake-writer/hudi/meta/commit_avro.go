package meta

import (
	_ "embed"
	"fmt"
	"sync"

	"github.com/hamba/avro/v2"
)

// The schemas that Hudi embeds in the commits of tables of version 8 and 9; releases 1.0 to 1.2 have the same.
var (
	//go:embed commit_schema.avsc
	commitSchemaText string
	//go:embed replace_schema.avsc
	replaceSchemaText string

	commitSchema  = sync.OnceValues(func() (avro.Schema, error) { return parseSchema(commitSchemaText) })
	replaceSchema = sync.OnceValues(func() (avro.Schema, error) { return parseSchema(replaceSchemaText) })
)

// EncodeOCF is the Avro container file that a completed or inflight file of table versions 8 and 9 holds: of a replacecommit's metadata when
// PartitionToReplaceFileIDs is not nil, of a commit's otherwise.
func (c Commit) EncodeOCF() ([]byte, error) {
	text, parsed := commitSchemaText, commitSchema
	if c.PartitionToReplaceFileIDs != nil {
		text, parsed = replaceSchemaText, replaceSchema
	}
	schema, err := parsed()
	if err != nil {
		return nil, fmt.Errorf("encode commit metadata: %w", err)
	}
	record, err := c.record()
	if err != nil {
		return nil, fmt.Errorf("encode commit metadata: %w", err)
	}
	data, err := encodeRecord(text, schema, record)
	if err != nil {
		return nil, fmt.Errorf("encode commit metadata: %w", err)
	}
	return data, nil
}

// record is the commit by Avro's field names. Hudi writes zeros and empty maps where JSON leaves them out.
func (c Commit) record() (map[string]any, error) {
	record, err := generic(c)
	if err != nil {
		return nil, err
	}
	for _, field := range []string{"partitionToWriteStats", "extraMetadata"} {
		if record[field] == nil {
			record[field] = map[string]any{}
		}
	}
	if c.PartitionToReplaceFileIDs != nil && record["partitionToReplaceFileIds"] == nil {
		record["partitionToReplaceFileIds"] = map[string]any{}
	}
	stats, _ := record["partitionToWriteStats"].(map[string]any)
	for partition, list := range stats {
		if list == nil { // of a nil slice
			stats[partition] = []any{}
		}
		items, _ := list.([]any)
		for _, item := range items {
			stat, _ := item.(map[string]any)
			for _, field := range []string{"numUpdates", "totalLogReadTimeMs"} {
				if stat[field] == nil {
					stat[field] = 0
				}
			}
			// In Avro what is not of a log is null, and an append always has a list.
			if _, log := stat["logVersion"]; log && stat["logFiles"] == nil {
				stat["logFiles"] = []any{}
			}
		}
	}
	return record, nil
}
