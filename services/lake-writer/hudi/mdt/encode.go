package mdt

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile/bloom"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/hfile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
)

// writtenSchema is HoodieMetadataRecord with the meta fields, as Hudi 1.2 writes it into blocks and base files of tables of version 9. Its
// commits have it without those.
//
//go:embed record_schema.avsc
var writtenSchema string

// commitSchema is the schema in the extra metadata of a commit.
func commitSchema() string {
	before, fields, _ := strings.Cut(writtenSchema, `{"name":"_hoodie_commit_time"`)
	return before + fields[strings.Index(fields, `{"name":"key"`):]
}

const (
	leadingFields  = 5 // meta fields before the key, all null
	trailingFields = 4 // indexes of other partitions behind filesystemMetadata, all null
)

// encodeRecord is a record's datum in writtenSchema.
func encodeRecord(r record) []byte {
	b := make([]byte, leadingFields+1, 64*(len(r.files)+1)) // the key is empty, it is outside
	b = binary.AppendVarint(b, r.kind)
	b = binary.AppendVarint(b, 1) // branch of filesystemMetadata
	if len(r.files) > 0 {
		b = binary.AppendVarint(b, int64(len(r.files)))
		for _, name := range slices.Sorted(maps.Keys(r.files)) {
			info := r.files[name]
			b = append(binary.AppendVarint(b, int64(len(name))), name...)
			b = binary.AppendVarint(b, info.size)
			deleted := byte(0)
			if info.deleted {
				deleted = 1
			}
			b = append(b, deleted)
		}
	}
	return append(b, make([]byte, 1+trailingFields)...)
}

// encodeHFile is an HFile of records by their keys. The bytes are the same for the same records.
func encodeHFile(records map[string]record, addInfo func(w *hfile.Writer, keys []string)) ([]byte, error) {
	var out bytes.Buffer
	w := hfile.NewWriter(&out, hfile.Options{Dialect: hfile.Native})
	w.AddInfo(schemaInfo, []byte(writtenSchema))
	keys := slices.Sorted(maps.Keys(records))
	for _, key := range keys {
		if err := w.Append([]byte(key), encodeRecord(records[key])); err != nil {
			return nil, fmt.Errorf("encode metadata records: %w", err)
		}
	}
	if addInfo != nil {
		addInfo(w, keys)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encode metadata records: %w", err)
	}
	return out.Bytes(), nil
}

// encodeLog is a log file of one block.
func encodeLog(instant string, records map[string]record) ([]byte, error) {
	content, err := encodeHFile(records, nil)
	if err != nil {
		return nil, err
	}
	return logfile.AppendBlock(nil, logfile.Block{
		Type:    logfile.HFileData,
		Header:  map[logfile.HeaderKey]string{logfile.InstantTime: instant, logfile.Schema: writtenSchema},
		Content: content,
	}), nil
}

// bloomFalsePositives is Hudi's default.
const bloomFalsePositives = 1e-9

// encodeBase is a base file: with the range of its keys and a filter of them (HoodieHFileWriter).
func encodeBase(records map[string]record) ([]byte, error) {
	return encodeHFile(records, func(w *hfile.Writer, keys []string) {
		filter := bloom.New(max(len(keys), 1), bloomFalsePositives)
		for _, key := range keys {
			filter.Add([]byte(key))
		}
		w.AddInfo("bloomFilterTypeCode", []byte(bloom.TypeCode))
		w.AddMeta("bloomFilter", []byte(filter.Marshal()))
		if len(keys) > 0 {
			w.AddInfo("minRecordKey", []byte(keys[0]))
			w.AddInfo("maxRecordKey", []byte(keys[len(keys)-1]))
		}
	})
}

// encodeLogOfNothing is the log file that begins a file group: a delete block of nothing (HoodieBackedTableMetadataWriter.
// initializeFileGroups).
func encodeLogOfNothing(instant string) []byte {
	content := binary.BigEndian.AppendUint32(nil, 3)    // version of delete blocks
	content = binary.BigEndian.AppendUint32(content, 1) // bytes of the list
	content = append(content, 0)
	return logfile.AppendBlock(nil, logfile.Block{
		Type: logfile.Delete, Header: map[logfile.HeaderKey]string{logfile.InstantTime: instant}, Content: content,
	})
}

// recordKey is the key of a partition's record, which is also the partition's name in the list of partitions.
func recordKey(partition string) string {
	if partition == "" {
		return notPartitioned
	}
	return partition
}
