package inspect

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
)

// Decimals in byte arrays are two's complement numbers, and a writer that takes their bounds as unsigned bytes makes a negative number the
// greatest: engines then pass over files and pages that hold what a filter asks for. So their bounds are compared with the values. Decimals
// within lists and maps, by which no engine filters, are left out.

// checkDecimals checks the bounds of a file's decimals, those of its row groups and those of its pages.
func (v *verifier) checkDecimals(o *object, key string, rows *basefile.Reader) (err error) {
	defer func() { // the Parquet library indexes outside of its slices on damaged footers
		if p := recover(); p != nil {
			err = fmt.Errorf("read decimals: %v", p)
		}
	}()
	file, err := parquet.OpenFile(o, o.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return err
	}
	for _, leaf := range decimalLeaves(file.Metadata().Schema) {
		if leaf.number {
			v.warn(CodeDecimalStorage, key, "column %s is a decimal in %s: Spark rewrites it with another value", leaf, leaf.kind)
			continue
		}
		c := decimalCheck{v: v, key: key, leaf: leaf}
		for i := range file.Metadata().RowGroups {
			chunk := &file.Metadata().RowGroups[i].Columns[leaf.column]
			if err := c.bounds(o, i, file.Metadata().RowGroups[i].NumRows, chunk); err != nil {
				return err
			}
		}
		if err := c.values(rows); err != nil {
			return err
		}
	}
	return nil
}

// decimalLeaf is a column of decimals, reached through records alone.
type decimalLeaf struct {
	path   []string
	column int  // among the leaves
	number bool // in an INT32 or INT64
	kind   string
}

func (l decimalLeaf) String() string { return strings.Join(l.path, ".") }

// decimalLeaves finds them in a schema, which is a tree in the order of depth.
func decimalLeaves(schema []format.SchemaElement) []decimalLeaf {
	var leaves []decimalLeaf
	column, at := 0, 0
	var walk func(path []string, repeated bool)
	walk = func(path []string, repeated bool) {
		e := schema[at]
		at++
		if n := e.NumChildren.V; n > 0 {
			for range n {
				child := schema[at]
				walk(append(path[:len(path):len(path)], child.Name), repeated || child.RepetitionType.V == format.Repeated)
			}
			return
		}
		if isDecimal(e) && !repeated {
			kind := e.Type.V
			leaves = append(leaves, decimalLeaf{path, column, kind == format.Int32 || kind == format.Int64, kind.String()})
		}
		column++
	}
	if len(schema) > 0 {
		walk(nil, false)
	}
	return leaves
}

func isDecimal(e format.SchemaElement) bool {
	if _, ok := e.LogicalType.Value.(*format.DecimalType); ok {
		return true
	}
	return e.ConvertedType.Valid && e.ConvertedType.V == deprecated.Decimal
}

// decimalCheck checks the bounds of one column.
type decimalCheck struct {
	v    *verifier
	key  string
	leaf decimalLeaf
	runs []decimalRun // in the order of the rows
}

// decimalRun are rows that share bounds: a page, or a row group without pages' bounds. The group's bounds hold for all of its runs.
type decimalRun struct {
	what        string
	rows        int64
	bounds      [2]decimalBounds // the run's and the group's
	firstFault  bool
	onlyNulls   bool
	outsideSeen [2]bool
}

type decimalBounds struct{ low, high *big.Int }

// bounds reads what a chunk and its pages say. A range whose ends are in the wrong order is a fault by itself.
func (c *decimalCheck) bounds(o *object, group int, rows int64, chunk *format.ColumnChunk) error {
	stats := &chunk.MetaData.Statistics
	whole := c.range2(fmt.Sprintf("row group %d", group), stats.MinValue, stats.MaxValue)
	index, offsets, err := pageIndex(o, chunk)
	if err != nil {
		return err
	}
	if index == nil || offsets == nil || len(offsets.PageLocations) != len(index.NullPages) {
		c.runs = append(c.runs, decimalRun{what: fmt.Sprintf("row group %d", group), rows: rows, bounds: [2]decimalBounds{{}, whole}})
		return nil
	}
	for i, page := range offsets.PageLocations {
		end := rows
		if i+1 < len(offsets.PageLocations) {
			end = offsets.PageLocations[i+1].FirstRowIndex
		}
		run := decimalRun{what: fmt.Sprintf("page %d of row group %d", i, group), rows: end - page.FirstRowIndex, onlyNulls: index.NullPages[i]}
		if !run.onlyNulls && i < len(index.MinValues) && i < len(index.MaxValues) {
			run.bounds[0] = c.range2(run.what, index.MinValues[i], index.MaxValues[i])
		}
		run.bounds[1] = whole
		c.runs = append(c.runs, run)
	}
	return nil
}

func (c *decimalCheck) range2(what string, low, high []byte) decimalBounds {
	if len(low) == 0 || len(high) == 0 {
		return decimalBounds{}
	}
	b := decimalBounds{unscaled(low), unscaled(high)}
	if b.low.Cmp(b.high) > 0 {
		c.v.fault(CodeDecimalStatistics, c.key, "column %s, %s: least value %s, greatest %s", c.leaf, what, b.low, b.high)
	}
	return b
}

// unscaled is a decimal's number from its bytes.
func unscaled(b []byte) *big.Int {
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return n
}

// maxIndexBytes bounds what a damaged footer can make this read of a page index.
const maxIndexBytes = 64 << 20

// pageIndex reads a chunk's two indexes; nil when it has none.
func pageIndex(o *object, chunk *format.ColumnChunk) (*format.ColumnIndex, *format.OffsetIndex, error) {
	if chunk.ColumnIndexOffset <= 0 || chunk.OffsetIndexOffset <= 0 {
		return nil, nil, nil
	}
	var index format.ColumnIndex
	var offsets format.OffsetIndex
	for _, part := range []struct {
		at, length int64
		into       any
	}{
		{chunk.ColumnIndexOffset, int64(chunk.ColumnIndexLength), &index},
		{chunk.OffsetIndexOffset, int64(chunk.OffsetIndexLength), &offsets},
	} {
		if part.length < 0 || part.length > maxIndexBytes || part.at+part.length > o.Size() {
			return nil, nil, fmt.Errorf("page index of %d bytes at %d", part.length, part.at)
		}
		data := make([]byte, part.length)
		if _, err := o.ReadAt(data, part.at); err != nil && !errors.Is(err, io.EOF) {
			return nil, nil, err
		}
		if err := thrift.Unmarshal(new(thrift.CompactProtocol), data, part.into); err != nil {
			return nil, nil, fmt.Errorf("page index at %d: %w", part.at, err)
		}
	}
	return &index, &offsets, nil
}

// values compares the rows with the bounds of their runs.
func (c *decimalCheck) values(rows *basefile.Reader) error {
	left := int64(0)
	at := -1
	for row, err := range rows.Rows(c.leaf.path[:1]) {
		if err != nil {
			return err
		}
		for left == 0 && at+1 < len(c.runs) {
			at++
			left = c.runs[at].rows
		}
		if at < 0 || left == 0 {
			return fmt.Errorf("page index of column %s is of fewer rows than there are", c.leaf)
		}
		left--
		if n, ok := c.leaf.value(row); ok {
			c.value(&c.runs[at], n)
		}
	}
	return nil
}

// value is the leaf's number in a row.
func (l decimalLeaf) value(row basefile.Row) (*big.Int, bool) {
	value := row.Values[0]
	for _, name := range l.path[1:] {
		inner, ok := value.(basefile.Row)
		if !ok {
			return nil, false
		}
		value, _ = inner.Get(name)
	}
	text, ok := value.(json.Number)
	if !ok {
		return nil, false
	}
	return new(big.Int).SetString(strings.Replace(string(text), ".", "", 1), 10) // it has all digits of its scale
}

// value checks one number, and reports the first of a run that is outside of each of its bounds.
func (c *decimalCheck) value(run *decimalRun, n *big.Int) {
	if run.onlyNulls && !run.firstFault {
		run.firstFault = true
		c.v.fault(CodeDecimalStatistics, c.key, "column %s, %s: %s in a page of nulls alone", c.leaf, run.what, n)
	}
	for i, b := range run.bounds {
		if b.low == nil || run.outsideSeen[i] || b.low.Cmp(n) <= 0 && n.Cmp(b.high) <= 0 {
			continue
		}
		run.outsideSeen[i] = true
		c.v.fault(CodeDecimalStatistics, c.key, "column %s, %s: %s is outside of %s to %s", c.leaf, run.what, n, b.low, b.high)
	}
}
