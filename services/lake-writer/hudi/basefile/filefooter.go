package basefile

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile/pages"
)

// createdBy is in the form that parquet-mr's VersionParser reads.
const createdBy = "playhead version 1(build playhead)"

// rowGroup is what a written row group leaves for the end of the file.
type rowGroup struct {
	offset int64
	rows   int64
	chunks []pages.Chunk
}

// writeGroup ends the columns' chunks. They must be of one length: a column that is a row short would shift all rows behind it.
func (w *Writer) writeGroup() error {
	if w.out.n == 0 {
		if _, err := w.out.Write([]byte(magic)); err != nil {
			return fmt.Errorf("write head: %w", err)
		}
	}
	g := rowGroup{offset: w.out.n, rows: w.groupRows, chunks: make([]pages.Chunk, 0, len(w.columns))}
	for leaf, column := range w.columns {
		if n := column.Rows(); n != w.groupRows {
			return fmt.Errorf("write column %s: %d rows of %d", w.leaves[leaf].path, n, w.groupRows)
		}
		chunk, err := column.Finish(w.out, w.out.n)
		if err != nil {
			return fmt.Errorf("write column %s: %w", w.leaves[leaf].path, err)
		}
		chunk.Meta.PathInSchema = w.paths[leaf]
		g.chunks = append(g.chunks, chunk)
	}
	w.groups = append(w.groups, g)
	w.groupRows, w.groupBytes = 0, 0
	return nil
}

// writeFooter writes the page indexes of all row groups, and the file's metadata.
func (w *Writer) writeFooter(keyValues []format.KeyValue) error {
	meta := format.FileMetaData{
		Version: 1, Schema: w.elements, NumRows: w.rows, KeyValueMetadata: keyValues, CreatedBy: createdBy,
		RowGroups: make([]format.RowGroup, len(w.groups)), ColumnOrders: make([]format.ColumnOrder, len(w.columns)),
	}
	for i := range meta.ColumnOrders {
		meta.ColumnOrders[i].Value = &format.TypeDefinedOrder{}
	}
	for i, g := range w.groups {
		row := &meta.RowGroups[i]
		row.NumRows, row.FileOffset, row.Ordinal = g.rows, g.offset, int16(i)
		for _, chunk := range g.chunks {
			row.TotalByteSize += chunk.Meta.TotalUncompressedSize
			row.TotalCompressedSize += chunk.Meta.TotalCompressedSize
			row.Columns = append(row.Columns, format.ColumnChunk{FileOffset: chunk.Meta.DataPageOffset, MetaData: chunk.Meta})
		}
	}
	if !w.cfg.LogBlock {
		if err := w.writeIndexes(meta.RowGroups); err != nil {
			return err
		}
	}
	size, err := w.writeThrift(&meta)
	if err != nil {
		return fmt.Errorf("write footer: %w", err)
	}
	if _, err := w.out.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(size)), magic...)); err != nil {
		return fmt.Errorf("write footer: %w", err)
	}
	return nil
}

// writeIndexes writes all column indexes, then all offset indexes, as parquet-format's PageIndex.md has it.
func (w *Writer) writeIndexes(groups []format.RowGroup) error {
	for i, g := range w.groups {
		for leaf, chunk := range g.chunks {
			if chunk.Index == nil {
				continue
			}
			column := &groups[i].Columns[leaf]
			column.ColumnIndexOffset = w.out.n
			size, err := w.writeThrift(chunk.Index)
			if err != nil {
				return fmt.Errorf("write column index: %w", err)
			}
			column.ColumnIndexLength = int32(size)
		}
	}
	for i, g := range w.groups {
		for leaf, chunk := range g.chunks {
			column := &groups[i].Columns[leaf]
			column.OffsetIndexOffset = w.out.n
			size, err := w.writeThrift(&chunk.Offsets)
			if err != nil {
				return fmt.Errorf("write offset index: %w", err)
			}
			column.OffsetIndexLength = int32(size)
		}
	}
	return nil
}

func (w *Writer) writeThrift(v any) (size int, err error) {
	var b bytes.Buffer
	if err := thrift.NewEncoder(new(thrift.CompactProtocol).NewWriter(&b)).Encode(v); err != nil {
		return 0, err
	}
	return w.out.Write(b.Bytes())
}
