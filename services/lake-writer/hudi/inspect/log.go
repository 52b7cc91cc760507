package inspect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/merge"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// Block is one block of a log file.
type Block struct {
	Offset  int64             `json:"offset"` // bytes, of the file
	Length  int64             `json:"length"` // bytes
	Type    string            `json:"type"`   // Hudi's name, AVRO_DATA_BLOCK
	Instant timeline.Instant  `json:"instant,omitempty"`
	Records int64             `json:"records"`          // or deletions
	Target  timeline.Instant  `json:"target,omitempty"` // that a command block rolls back
	Header  map[string]string `json:"header"`           // by the names of HeaderMetadataType
}

// Record is one record of a log block: a row with its meta columns, or a deletion.
type Record struct {
	Delete    bool         `json:"delete,omitempty"`
	Key       string       `json:"key"`
	Partition string       `json:"partition,omitempty"` // of a deletion
	Ordering  any          `json:"ordering,omitempty"`  // of a deletion: int64, float64 or text
	Row       basefile.Row `json:"row,omitzero"`
}

// blockNames are those of HoodieLogBlock.HoodieLogBlockType.
var blockNames = map[logfile.BlockType]string{
	logfile.Command: "COMMAND_BLOCK", logfile.Delete: "DELETE_BLOCK", logfile.Corrupt: "CORRUPT_BLOCK", logfile.AvroData: "AVRO_DATA_BLOCK",
	logfile.HFileData: "HFILE_DATA_BLOCK", logfile.ParquetData: "PARQUET_DATA_BLOCK", logfile.CDCData: "CDC_DATA_BLOCK",
}

// headerNames are those of HoodieLogBlock.HeaderMetadataType.
var headerNames = map[logfile.HeaderKey]string{
	logfile.InstantTime: "INSTANT_TIME", logfile.TargetInstantTime: "TARGET_INSTANT_TIME", logfile.Schema: "SCHEMA",
	logfile.CommandBlockType: "COMMAND_BLOCK_TYPE", logfile.CompactedBlockTimes: "COMPACTED_BLOCK_TIMES",
	logfile.RecordPositions: "RECORD_POSITIONS", logfile.BlockIdentifier: "BLOCK_IDENTIFIER", logfile.IsPartial: "IS_PARTIAL",
	logfile.BaseFileInstant: "BASE_FILE_INSTANT_TIME_OF_RECORD_POSITIONS",
}

// ShowLog reads the blocks of a log file. Damaged ones are passed over as Hudi does on a local file system, and come with the type of
// corrupt blocks. show is called for each block; record, when it is not nil, for each of the block's records after it. The first error of
// theirs ends it.
func (t *Table) ShowLog(ctx context.Context, key string, show func(Block) error, record func(Record) error) error {
	info, err := t.store.Stat(ctx, key)
	if err != nil {
		return fmt.Errorf("read log file %s: %w", key, err)
	}
	o := open(ctx, t.store, key, info.Size)
	for b, err := range logfile.Scan(o, info.Size, logfile.ScanOptions{SkipCorrupt: true}) {
		if err == nil {
			err = showBlock(b, show)
		}
		if err == nil && record != nil {
			err = showRecords(ctx, b, record)
		}
		if err != nil {
			return fmt.Errorf("read log file %s: %w", key, errors.Join(err, o.Err()))
		}
	}
	return nil
}

func showBlock(b *logfile.Block, show func(Block) error) error {
	shown := Block{Offset: b.Offset, Length: b.Length, Type: blockNames[b.Type], Instant: b.Instant(), Header: make(map[string]string)}
	for key, value := range b.Header {
		shown.Header[headerNames[key]] = value
	}
	shown.Target, _ = b.RollbackTarget()
	var err error
	if shown.Records, err = countRecords(b); err != nil {
		return fmt.Errorf("block at %d: %w", b.Offset, err)
	}
	return show(shown)
}

// showRecords passes the records of a block on. Rows are decoded by the schema in the block's header.
func showRecords(ctx context.Context, b *logfile.Block, record func(Record) error) error {
	switch b.Type {
	case logfile.Delete:
		deletes, err := logfile.Deletes(b)
		if err != nil {
			return err
		}
		for _, d := range deletes {
			if err := record(Record{Delete: true, Key: d.Key, Partition: d.Partition, Ordering: orderingValue(d.Ordering)}); err != nil {
				return err
			}
		}
		return nil
	case logfile.AvroData:
		return avroRows(ctx, b, record)
	case logfile.ParquetData:
		file, err := basefile.OpenReader(bytes.NewReader(b.Content), int64(len(b.Content)))
		if err != nil {
			return err
		}
		for row, err := range file.Rows(nil) {
			if err == nil {
				err = showRow(row, record)
			}
			if err != nil {
				return err
			}
		}
		return nil
	default:
		return nil
	}
}

// avroRows merges the block alone, by commit time: of records with one key, which no block should have, the last is shown.
func avroRows(ctx context.Context, b *logfile.Block, record func(Record) error) error {
	schema, err := withoutMetaFields(b.Header[logfile.Schema])
	if err != nil {
		return fmt.Errorf("schema of the block at %d: %w", b.Offset, err)
	}
	data := logfile.AppendBlock(nil, logfile.Block{Type: b.Type, Header: b.Header, Content: b.Content})
	source := merge.Source{Name: "block", Open: func(context.Context) (io.ReaderAt, int64, error) {
		return bytes.NewReader(data), int64(len(data)), nil
	}}
	for row, err := range merge.Rows(ctx, merge.Config{TableSchema: schema, Mode: merge.CommitTime}, nil, []merge.Source{source}, nil) {
		if err == nil {
			err = showRow(row, record)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func showRow(row basefile.Row, record func(Record) error) error {
	key, _ := row.Get(basefile.RecordKeyColumn)
	text, _ := key.(string)
	return record(Record{Key: text, Row: row})
}

// withoutMetaFields takes the five meta fields off a record schema.
func withoutMetaFields(schema string) (string, error) {
	var record map[string]json.RawMessage
	var fields []json.RawMessage
	if err := json.Unmarshal([]byte(schema), &record); err != nil {
		return "", err
	}
	if err := json.Unmarshal(record["fields"], &fields); err != nil {
		return "", err
	}
	if n := len(basefile.MetaColumns()); len(fields) >= n {
		fields = fields[n:]
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return "", err
	}
	record["fields"] = text
	text, err = json.Marshal(record)
	return string(text), err
}

// orderingValue is a deletion's ordering value for people: nil for null.
func orderingValue(o logfile.Ordering) any {
	switch o.Kind {
	case logfile.OrderingNone:
		return nil
	case logfile.OrderingFloat, logfile.OrderingDouble:
		return o.Float64()
	case logfile.OrderingString:
		return o.Text()
	case logfile.OrderingBytes, logfile.OrderingDecimal:
		return fmt.Sprintf("%x", o.Text())
	case logfile.OrderingArray:
		items := []any{}
		for _, i := range o.Items() {
			items = append(items, orderingValue(i))
		}
		return items
	default:
		return o.Int64()
	}
}

// countRecords counts the records and deletions of a block whose content is loaded; blocks of other kinds have none.
func countRecords(b *logfile.Block) (n int64, err error) {
	switch b.Type {
	case logfile.AvroData:
		for _, err := range logfile.Records(b) {
			if err != nil {
				return n, err
			}
			n++
		}
		return n, nil
	case logfile.Delete:
		deletes, err := logfile.Deletes(b)
		return int64(len(deletes)), err
	case logfile.ParquetData:
		file, err := basefile.OpenReader(bytes.NewReader(b.Content), int64(len(b.Content)))
		if err != nil {
			return 0, err
		}
		return file.NumRows(), nil
	default:
		return 0, nil
	}
}
