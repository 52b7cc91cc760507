package model

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/playhead-pipeline/playhead/services/e2e/load"
)

// Columns whose values depend on the run and not on the event alone.
const (
	colReceivedAt  = "received_at"
	colSource      = "source"
	colTenant      = "tenant"
	colKafkaPart   = "_hoodie_kafka_source_partition"
	colKafkaOffset = "_hoodie_kafka_source_offset"
	colKafkaTime   = "_hoodie_kafka_source_timestamp"
	colCommitTime  = "_hoodie_commit_time"
	colCommitSeq   = "_hoodie_commit_seqno"
	colFileName    = "_hoodie_file_name"
	rowsPerBatch   = 4096
	clockAllowance = time.Minute
	maxOffset      = 1<<32 - 2
)

// rowChecker compares the rows of base files with the events that they should be.
type rowChecker struct {
	*checker
	want, got []byte
	event     load.Event
}

// batch is a record batch with its columns by name.
type batch struct {
	file    BaseFile
	columns map[string]arrow.Array
}

func (r *rowChecker) file(ctx context.Context, base string, base0 BaseFile) error {
	parquet, err := file.OpenParquetFile(filepath.Join(base, filepath.FromSlash(base0.Path)), false)
	if err != nil {
		return err
	}
	defer parquet.Close()
	reader, err := pqarrow.NewFileReader(parquet, pqarrow.ArrowReadProperties{BatchSize: rowsPerBatch}, memory.DefaultAllocator)
	if err != nil {
		return err
	}
	records, err := reader.GetRecordReader(ctx, nil, nil)
	if err != nil {
		return err
	}
	defer records.Release()
	if err := knownColumns(records.Schema()); err != nil {
		return err
	}
	rows := int64(0)
	for records.Next() {
		record := records.RecordBatch()
		rows += record.NumRows()
		b := batch{file: base0, columns: make(map[string]arrow.Array, record.NumCols())}
		for i, field := range record.Schema().Fields() {
			b.columns[field.Name] = record.Column(i)
		}
		if err := r.batch(&b, int(record.NumRows())); err != nil {
			return err
		}
	}
	if want := parquet.NumRows(); rows != want {
		return fmt.Errorf("read %d rows (%w), its footer says %d", rows, records.Err(), want)
	}
	return nil
}

// knownColumns refuses a file with a column that nothing checks.
func knownColumns(schema *arrow.Schema) error {
	known := map[string]bool{
		colReceivedAt: true, colSource: true, colTenant: true, colKafkaPart: true, colKafkaOffset: true, colKafkaTime: true,
		colCommitTime: true, colCommitSeq: true, colFileName: true,
	}
	for _, c := range expected {
		known[c.name] = true
	}
	for _, field := range schema.Fields() {
		if !known[field.Name] {
			return fmt.Errorf("column %s is not of the schema", field.Name)
		}
	}
	return nil
}

func (r *rowChecker) batch(b *batch, rows int) error {
	ids, ok := b.columns["event_id"].(*array.String)
	if !ok {
		return fmt.Errorf("column event_id is missing or no text")
	}
	r.result.Rows += uint64(rows)
	for i := range rows {
		id, ok := load.ParseID(ids.Value(i))
		if !ok {
			r.result.ForeignRows++
			continue
		}
		if err := r.row(b, i, id); err != nil {
			r.result.Corrupt++
			r.problem("row of %s in %s: %v", id, b.file.Path, err)
		}
	}
	return nil
}

// row books one row and compares all of its columns.
func (r *rowChecker) row(b *batch, i int, id load.ID) error {
	run, state := r.checker.event(id)
	if run == nil {
		r.result.Phantom++
		r.problem("row of %s, which nobody sent", id)
		return nil
	}
	offset, err := number(b, colKafkaOffset, i)
	if err != nil {
		return err
	}
	if !state.rows.Add(id.N) {
		r.result.Duplicate++
		r.problem("row of %s in %s is not the first", id, b.file.Path)
		return nil
	}
	if offset < 0 || offset > maxOffset {
		return fmt.Errorf("offset %d in Kafka", offset)
	}
	if missing := int(id.N) + 1 - len(state.offsets); missing > 0 {
		state.offsets = append(state.offsets, make([]uint32, missing)...)
	}
	state.offsets[id.N] = uint32(offset) + 1
	run.gen.Fill(&r.event, id.Source, id.N)
	r.in.Masking.Apply(&r.event)
	for _, column := range expected {
		if err := r.cell(b, i, column); err != nil {
			return err
		}
	}
	return r.placement(b, i, run)
}

func (r *rowChecker) cell(b *batch, i int, c column) error {
	r.want = c.put(r.want[:0], &r.event)
	cells, ok := b.columns[c.name]
	if !ok {
		if len(r.want) == 1 && r.want[0] == kindNull {
			return nil // a file older than the column
		}
		return fmt.Errorf("column %s is missing", c.name)
	}
	got, err := putCell(r.got[:0], cells, i)
	if err != nil {
		return fmt.Errorf("column %s: %w", c.name, err)
	}
	r.got = got
	if !bytes.Equal(got, r.want) {
		return fmt.Errorf("column %s is %s, want canonical %q", c.name, cells.ValueStr(i), r.want)
	}
	return nil
}

// placement checks the columns that the pipeline fills and whether the row lies where its key belongs.
func (r *rowChecker) placement(b *batch, i int, run *run) error {
	if path := partitionPath(&r.event); path != b.file.Partition {
		return fmt.Errorf("lies in partition %s, want %s", b.file.Partition, path)
	}
	if name := text(b, colFileName, i); !strings.HasSuffix(b.file.Path, "/"+name) {
		return fmt.Errorf("column %s is %q", colFileName, name)
	}
	if commit := text(b, colCommitTime, i); commit == "" || commit > b.file.Instant || !strings.HasPrefix(text(b, colCommitSeq, i), commit) {
		return fmt.Errorf("commit time %q and sequence number %q in a file of %s", commit, text(b, colCommitSeq, i), b.file.Instant)
	}
	partition, err := number(b, colKafkaPart, i)
	if err != nil {
		return err
	}
	if r.in.Partitions > 0 && partition != int64(bucketHash(r.event.SessionID)%uint32(r.in.Partitions)) {
		return fmt.Errorf("comes from Kafka partition %d, where its session does not belong", partition)
	}
	if text(b, colSource, i) == "" || text(b, colTenant, i) != r.in.Masking.Tenant {
		return fmt.Errorf("source %q and tenant %q are not what the gateway says", text(b, colSource, i), text(b, colTenant, i))
	}
	received, err := number(b, colReceivedAt, i)
	if err != nil {
		return err
	}
	kafka, err := number(b, colKafkaTime, i)
	if err != nil {
		return err
	}
	at := time.UnixMicro(received)
	if at.After(r.now.Add(clockAllowance)) || at.Before(time.UnixMicro(run.ledger.Params.BaseMicros).Add(-clockAllowance)) {
		return fmt.Errorf("received at %v, outside the run", at)
	}
	if delta := at.Sub(time.UnixMilli(kafka)); delta.Abs() > clockAllowance {
		return fmt.Errorf("received at %v but has Kafka time %v", at, time.UnixMilli(kafka))
	}
	return nil
}

// text returns a text cell, empty when it is missing or null.
func text(b *batch, name string, i int) string {
	a, ok := b.columns[name].(*array.String)
	if !ok || a.IsNull(i) {
		return ""
	}
	return a.Value(i)
}

func number(b *batch, name string, i int) (int64, error) {
	cells, ok := b.columns[name]
	if !ok || cells.IsNull(i) {
		return 0, fmt.Errorf("column %s is missing or null", name)
	}
	switch a := cells.(type) {
	case *array.Int32:
		return int64(a.Value(i)), nil
	case *array.Int64:
		return a.Value(i), nil
	case *array.Timestamp:
		return int64(a.Value(i)), nil
	}
	return 0, fmt.Errorf("column %s has type %s", name, cells.DataType())
}
