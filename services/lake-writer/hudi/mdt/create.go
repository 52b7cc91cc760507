package mdt

import (
	"context"
	"fmt"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// Start is what a new metadata table begins with.
type Start struct {
	// Files are all data files of the table's completed instants with their size in bytes, by partition and name.
	Files map[string]map[string]int64
	// Completion is now: later than the completion of every instant of the table, earlier than of those to come.
	Completion timeline.Instant
}

// Create builds a metadata table of the one partition "files", on a table of layout 2 that has none and on which nobody writes meanwhile.
// Engines do not read it before the caller has set hoodie.table.metadata.partitions to "files". What an interrupted Create has left has to
// be dropped first.
func Create(ctx context.Context, store storage.Store, s Start) error {
	at, err := s.Completion.Time()
	if err != nil {
		return fmt.Errorf("%w: completion: %w", ErrUpdate, err)
	}
	table, err := readInstants(ctx, store, dataTimeline)
	if err != nil {
		return err
	}
	if table.layout != 2 {
		return fmt.Errorf("%w: a timeline of layout %d", ErrUpdate, table.layout)
	}
	for info, err := range store.List(ctx, Folder) {
		if err != nil {
			return fmt.Errorf("list %s: %w", Folder, err)
		}
		return fmt.Errorf("%w: %s is there", ErrUpdate, info.Key)
	}
	records, err := s.records()
	if err != nil {
		return err
	}
	base, err := encodeBase(records)
	if err != nil {
		return err
	}
	name := baseFileName(initialInstant, initialToken)
	partition, file := filesPartition, filesPartition+"/"+name
	size, count := int64(len(base)), int64(len(records))
	commit, err := commitOf("BULK_INSERT_PREPPED", meta.WriteStat{
		FileID: filesGroup, Path: &file, PartitionPath: &partition, PrevCommit: meta.NoPreviousCommit, NumWrites: count, NumInserts: count,
		TotalWriteBytes: size, FileSizeInBytes: size, RuntimeStats: &meta.RuntimeStats{},
	}).EncodeOCF()
	if err != nil {
		return err
	}
	folder := metadataTimeline + "timeline/"
	w := writer{store: store}
	return w.putAll(ctx, []object{
		{metadataTimeline + "hoodie.properties", properties(table.properties).Encode("Properties saved on", at)},
		{folder + initialInstant + ".deltacommit.requested", nil},
		{folder + initialInstant + ".deltacommit.inflight", nil},
		{filesFolder + ".hoodie_partition_metadata", meta.EncodePartition(at, initialInstant, 1)},
		{filesFolder + logFileName(initialInstant, initialToken), encodeLogOfNothing(initialInstant)},
		{filesFolder + name, base},
		{folder + initialInstant + "_" + string(s.Completion) + ".deltacommit", commit},
	})
}

func (s Start) records() (map[string]record, error) {
	records, err := Update{Instant: s.Completion, Completion: s.Completion, Added: s.Files}.records()
	if err != nil {
		return nil, err
	}
	if _, ok := records[keyPartitions]; !ok { // it is there even when the table is empty
		records[keyPartitions] = record{kind: typePartitions}
	}
	return records, nil
}

// properties are those of a metadata table, as Hudi 1.2 writes them (HoodieBackedTableMetadataWriter.initializeMetaClient). They name no
// database, and so the checksum does not have one.
func properties(table meta.Properties) meta.Properties {
	p := meta.Properties{
		meta.TableName:                    table[meta.TableName] + "_metadata",
		meta.TableType:                    "MERGE_ON_READ",
		meta.TableVersion:                 table[meta.TableVersion],
		"hoodie.table.initial.version":    table[meta.TableVersion],
		meta.TimelineLayout:               "2",
		"hoodie.timeline.path":            "timeline",
		"hoodie.timeline.history.path":    "history",
		meta.ArchiveFolder:                "history",
		meta.RecordKeyFields:              "key",
		meta.KeyGeneratorType:             "HOODIE_TABLE_METADATA",
		meta.BaseFileFormat:               "HFILE",
		meta.PopulateMetaFields:           "false",
		meta.DropPartitionColumns:         "false",
		meta.PayloadClass:                 "org.apache.hudi.metadata.HoodieMetadataPayload",
		meta.MergeMode:                    "CUSTOM",
		"hoodie.record.merge.strategy.id": "00000000-0000-0000-0000-000000000000",
	}
	p[meta.Checksum] = p.TableChecksum()
	return p
}

// Drop deletes the metadata table. Before that, hoodie.table.metadata.partitions has to be empty: engines would look for it.
func Drop(ctx context.Context, store storage.Store) error {
	return deleteUnder(ctx, store, func(string) bool { return true })
}

// Narrow deletes all partitions but "files". Before that, hoodie.table.metadata.partitions has to be "files".
func Narrow(ctx context.Context, store storage.Store) error {
	return deleteUnder(ctx, store, func(key string) bool {
		return !strings.HasPrefix(key, metadataTimeline) && !strings.HasPrefix(key, filesFolder)
	})
}

// deleteUnder deletes objects of the metadata table. The properties go first: without them there is no table, whatever else is left.
func deleteUnder(ctx context.Context, store storage.Store, which func(key string) bool) error {
	properties := metadataTimeline + "hoodie.properties"
	if which(properties) {
		if err := store.Delete(ctx, properties); err != nil {
			return fmt.Errorf("delete %s: %w", properties, err)
		}
	}
	var keys []string
	for info, err := range store.List(ctx, Folder) {
		if err != nil {
			return fmt.Errorf("list %s: %w", Folder, err)
		}
		if which(info.Key) {
			keys = append(keys, info.Key)
		}
	}
	for _, key := range keys {
		if err := store.Delete(ctx, key); err != nil {
			return fmt.Errorf("delete %s: %w", key, err)
		}
	}
	return nil
}
