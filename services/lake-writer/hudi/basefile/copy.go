package basefile

import (
	"context"
	"fmt"
	"math"

	"github.com/parquet-go/parquet-go"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile/pages"
)

// CopyFrom takes over the rows of an older file, with all their meta columns but the file name, which becomes this file's, as
// Hudi's merge does (HoodieMergeHandle.writeToFile). Columns that the older file lacks are null. Rows whose key skip (may be nil)
// wants away are left out. It works column by column and holds a page of one of them, beside what the writer holds.
func (w *Writer) CopyFrom(ctx context.Context, old *Reader, skip func(key string) bool) (rows int64, err error) {
	if skip == nil {
		return w.CopyRows(ctx, old, nil)
	}
	return w.CopyRows(ctx, old, func(_ int64, key []byte) bool { return !skip(string(key)) })
}

// CopyRows is CopyFrom of the rows that stay (nil: all do), by their numbers in the file, from 0, and their keys, which are good during
// the call.
func (w *Writer) CopyRows(ctx context.Context, old *Reader, stays func(row int64, key []byte) bool) (rows int64, err error) {
	if err := w.usable(); err != nil {
		return 0, err
	}
	if err := w.flushBatch(); err != nil {
		return 0, err
	}
	sources, err := pairFiles(w.layout, old)
	if err != nil {
		return 0, err
	}
	first := int64(0)
	for group := range old.file.RowGroups() {
		n, err := w.copyGroup(ctx, old, group, sources, first, stays)
		if err != nil {
			w.wrong = true // columns may differ in length
			return 0, err
		}
		rows += n
		first += old.file.Metadata().RowGroups[group].NumRows
	}
	return rows, nil
}

// Table is a table's columns, for questions about many files.
type Table struct{ layout *layout }

// ParseTable lays out the columns of a table by its schema, an Avro record without meta columns.
func ParseTable(schema string) (*Table, error) {
	t, err := parseSchema(schema)
	if err != nil {
		return nil, fmt.Errorf("table schema: %w", err)
	}
	layout, err := layouter{reading: true}.table(t)
	if err != nil {
		return nil, fmt.Errorf("table schema: %w", err)
	}
	return &Table{layout}, nil
}

// Takes returns the error that CopyRows of the file would end with before it reads a row, nil when there is none.
func (t *Table) Takes(file *Reader) error {
	_, err := pairFiles(t.layout, file)
	return err
}

// source says where a column's values come from.
type source struct {
	leaf   int   // of the old file; a neighbour's, for its levels, when the column is missing there; -1: each row is null
	levels []int // new definition level by old one; notNull where the new column may not be null
	absent bool  // take levels only
	maxRep int   // values of deeper repetition, which a neighbour may have, are left out
	widen  bool  // int to long
}

const notNull = -1

// pairFiles pairs the new file's leaves with the old one's.
func pairFiles(table *layout, old *Reader) ([]source, error) {
	sources := make([]source, table.hi)
	p := pairing{sources: sources}
	if err := p.pairFields(table, old.layout, []int{}, 0); err != nil {
		return nil, err
	}
	for i, name := range MetaColumns() {
		if sources[i].leaf < 0 {
			return nil, &FileError{Offset: -1, Reason: "no column " + name}
		}
	}
	return sources, nil
}

// pairing walks both layouts together. levels[d] is the new definition level for the old level d, for as far as the walk is down.
type pairing struct{ sources []source }

func (p *pairing) pair(to, from *layout, levels []int, def int) error {
	switch {
	case to.optional && from.optional:
		levels, def = add(levels, def), def+1
	case to.optional:
		def++
	case from.optional:
		levels = add(levels, notNull)
	}
	if err := checkSame(to, from); err != nil {
		return err
	}
	if to.leaf() {
		p.sources[to.lo] = source{leaf: from.lo, levels: add(levels, def), widen: widens(from.scalar, to.scalar), maxRep: to.rep}
		return nil
	}
	if to.kind == kindRecord {
		return p.pairFields(to, from, levels, def)
	}
	levels, def = add(levels, def), def+1
	for i := range to.children {
		if err := p.pair(to.children[i], from.children[i], levels, def); err != nil {
			return err
		}
	}
	return nil
}

// checkSame refuses two nodes, of the table and of an older file, whose values are not of the same kind. An int may have become a
// long; a float no double, see compileScalar.
func checkSame(to, from *layout) error {
	if from.leaf() == to.leaf() && (widens(from.scalar, to.scalar) || sameValues(from.scalar, to.scalar)) {
		return nil
	}
	return &SchemaError{to.path, fmt.Sprintf("the older file has a %s, the table a %s", from.scalar, to.scalar)}
}

func widens(from, to scalar) bool {
	return from == scalar{kind: kindInt} && to == scalar{kind: kindLong}
}

// sameValues reports whether values of both types have the same bytes and meaning.
func sameValues(from, to scalar) bool {
	if from.logical == decimal && to.logical == decimal && from.precision <= to.precision {
		from.precision = to.precision
	}
	return from == to
}

func (p *pairing) pairFields(to, from *layout, levels []int, def int) error {
	for _, column := range from.children {
		if to.child(column.name) == nil {
			return &SchemaError{column.path, "is in the older file but not in the table"}
		}
	}
	for _, column := range to.children {
		if old := from.child(column.name); old != nil {
			if err := p.pair(column, old, levels, def); err != nil {
				return err
			}
			continue
		}
		if !column.optional {
			return &SchemaError{column.path, "is not in the older file, and may not be null"}
		}
		// The levels of any leaf below the same parent tell where the parent is missing; below it, all is null.
		s := source{leaf: from.lo, levels: add(levels, def), absent: true, maxRep: to.rep}
		if to.kind == kindRecord && to.name == "" {
			s.leaf = -1 // a column of the table: one null a row
		}
		for leaf := column.lo; leaf < column.hi; leaf++ {
			p.sources[leaf] = s
		}
	}
	return nil
}

// add appends to a copy: siblings share what they were given.
func add(levels []int, level int) []int {
	return append(levels[:len(levels):len(levels)], level)
}

// copyGroup copies a row group, one column after the other. first is the number of its first row.
func (w *Writer) copyGroup(
	ctx context.Context, old *Reader, group int, sources []source, first int64, stays func(int64, []byte) bool,
) (rows int64, err error) {
	defer old.guard("copy rows", &err)
	if !sources[leafRecordKey].flat(old) {
		return 0, &FileError{Offset: -1, Reason: "record keys in an array"}
	}
	keep, rows, err := w.copyKeys(old, group, sources[leafRecordKey], first, stays)
	if err != nil || rows == 0 { // columns of rows that all go are not read
		return 0, err
	}
	for leaf, s := range sources {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		switch {
		case leaf == leafRecordKey:
		case leaf == leafFileName:
			err = w.writeConstant(leaf, w.cfg.FileName, int(rows))
		case s.leaf < 0:
			err = w.writeNulls(leaf, int(rows))
		case s.flat(old):
			err = w.copyFlat(old, group, leaf, s, keep, rows)
		default:
			err = w.copyLeaf(old, group, leaf, s, keep, rows)
		}
		if err != nil {
			return 0, err
		}
	}
	return rows, w.endRows(rows, old.file.Metadata().RowGroups[group].TotalByteSize)
}

// copyLeaf copies a column of an array or a map, or one whose levels alone are taken.
func (w *Writer) copyLeaf(old *Reader, group, leaf int, s source, keep []bool, want int64) error {
	c := copier{w: w, leaf: leaf, source: s}
	if keep != nil {
		c.each = func(parquet.Value) (bool, error) {
			if c.seen >= int64(len(keep)) {
				return false, &FileError{Offset: -1, Reason: "column has more rows than keys"}
			}
			return keep[c.seen], nil
		}
	}
	rows, err := c.run(old, group)
	if err == nil && rows != want {
		err = &FileError{Offset: -1, Reason: fmt.Sprintf("column %s has %d rows, want %d", w.leaves[leaf].path, rows, want)}
	}
	return err
}

// writeNulls makes a column of the table null in so many rows.
func (w *Writer) writeNulls(leaf, rows int) error {
	b := &w.scratch
	b.Text, b.Values = b.Text[:0], b.Values[:0]
	for ; rows > 0; rows -= batchRows {
		n := min(rows, batchRows)
		b.Defs, b.Reps = appendSame(b.Defs[:0], 0, n), b.Reps[:0]
		if w.batch.repeated[leaf] {
			b.Reps = appendSame(b.Reps, 0, n)
		}
		if err := w.writeColumn(leaf, b, n); err != nil {
			return err
		}
	}
	return nil
}

// writeValues writes whole rows of one column, as a reader has them.
func (w *Writer) writeValues(leaf int, values []parquet.Value, rows int) error {
	b, l := &w.scratch, w.leaves[leaf]
	b.Text, b.Values, b.Defs, b.Reps = b.Text[:0], b.Values[:0], b.Defs[:0], b.Reps[:0]
	for _, v := range values {
		if l.rep > 0 {
			b.Reps = append(b.Reps, byte(v.RepetitionLevel()))
		}
		if l.def > 0 {
			b.Defs = append(b.Defs, byte(v.DefinitionLevel()))
		}
		if v.DefinitionLevel() < l.def {
			continue
		}
		if v.IsNull() || len(b.Text) > maxPageBytes {
			return &FileError{Offset: -1, Reason: fmt.Sprintf("column %s: a row with null where a value should be, or too long", l.path)}
		}
		b.Values = append(b.Values, bitsOf(b, v))
	}
	return w.writeColumn(leaf, b, rows)
}

// bitsOf is a value as pages.Batch has it.
func bitsOf(b *pages.Batch, v parquet.Value) uint64 {
	switch v.Kind() {
	case parquet.Boolean:
		if v.Boolean() {
			return 1
		}
		return 0
	case parquet.Int32:
		return uint64(v.Int32())
	case parquet.Int64:
		return uint64(v.Int64())
	case parquet.Float:
		return uint64(math.Float32bits(v.Float()))
	case parquet.Double:
		return math.Float64bits(v.Double())
	default:
		t := v.ByteArray()
		b.Text = append(b.Text, t...)
		return pages.Span(len(b.Text)-len(t), len(t))
	}
}
