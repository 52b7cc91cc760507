package model

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

const rowsPerBatch = 4096

// batch is rows of one file or log block, their cells as canonical values.
type batch interface {
	names() []string
	rows() int
	// put appends the value of a column of row i to dst; found is false when there is no such column.
	put(dst []byte, column string, i int) (cell []byte, found bool, err error)
}

// arrowBatch is a batch that arrow-go has read from Parquet.
type arrowBatch struct {
	record  arrow.RecordBatch
	columns map[string]arrow.Array
}

func newArrowBatch(record arrow.RecordBatch) *arrowBatch {
	b := &arrowBatch{record: record, columns: make(map[string]arrow.Array, record.NumCols())}
	for i, field := range record.Schema().Fields() {
		b.columns[field.Name] = record.Column(i)
	}
	return b
}

func (b *arrowBatch) names() []string { return slices.Collect(maps.Keys(b.columns)) }

func (b *arrowBatch) rows() int { return int(b.record.NumRows()) }

func (b *arrowBatch) put(dst []byte, column string, i int) (cell []byte, found bool, err error) {
	cells, ok := b.columns[column]
	if !ok {
		return dst, false, nil
	}
	cell, err = putCell(dst, cells, i)
	return cell, true, err
}

// readParquet calls yield with each batch of a Parquet file.
func readParquet(ctx context.Context, in parquet.ReaderAtSeeker, yield func(batch) error) error {
	parquet, err := file.NewParquetReader(in)
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
	rows := int64(0)
	for records.Next() {
		record := records.RecordBatch()
		rows += record.NumRows()
		if err := yield(newArrowBatch(record)); err != nil {
			return err
		}
	}
	if want := parquet.NumRows(); rows != want {
		return fmt.Errorf("read %d rows (%w), its footer says %d", rows, records.Err(), want)
	}
	return nil
}
