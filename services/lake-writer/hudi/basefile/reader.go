package basefile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync/atomic"

	"github.com/parquet-go/parquet-go"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile/bloom"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile/pages"
)

const magic = "PAR1"

// Reader reads one base file. Its methods may be called one after the other, as often as wanted; not concurrently.
type Reader struct {
	at     *trackingReader
	size   int64
	file   *parquet.File
	layout *layout
	leaves []*layout
}

// OpenReader reads the footer. Whatever is wrong with the bytes, here or later, becomes a *FileError.
func OpenReader(r io.ReaderAt, size int64) (_ *Reader, err error) {
	f := &Reader{at: &trackingReader{from: r}, size: size}
	defer f.guard("open", &err)
	if err := f.checkFooterLength(); err != nil {
		return nil, err
	}
	// The page index is not read: parquet-go panics on files in which some columns have none, as parquet-mr writes them.
	if f.file, err = parquet.OpenFile(f.at, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true)); err != nil {
		return nil, f.fileError("open", err)
	}
	if f.layout, err = fileLayout(f.file.Root()); err != nil {
		return nil, err
	}
	f.leaves = f.layout.leaves()
	return f, f.checkRowGroups()
}

// checkFooterLength keeps parquet-go from allocating what four damaged bytes ask for.
func (r *Reader) checkFooterLength() error {
	const tail = 8 // length and magic
	if r.size < int64(len(magic))+tail {
		return &FileError{Offset: -1, Reason: fmt.Sprintf("%d bytes are no Parquet file", r.size)}
	}
	var b [tail]byte
	if _, err := r.at.ReadAt(b[:], r.size-tail); err != nil && !errors.Is(err, io.EOF) {
		return r.fileError("read footer length", err)
	}
	if n := int64(binary.LittleEndian.Uint32(b[:])); string(b[4:]) != magic || n > r.size-int64(len(magic))-tail {
		return &FileError{Offset: r.size - tail, Reason: fmt.Sprintf("footer of %d bytes in a file of %d", n, r.size)}
	}
	return nil
}

// checkRowGroups makes sure that the footer is about the columns of its schema, and that its counts add up.
func (r *Reader) checkRowGroups() error {
	rows := int64(0)
	for i, g := range r.file.Metadata().RowGroups {
		if len(g.Columns) != len(r.leaves) || g.NumRows < 0 {
			return &FileError{Offset: -1, Reason: fmt.Sprintf("row group %d: %d rows of %d columns, want %d columns", i, g.NumRows, len(g.Columns), len(r.leaves))}
		}
		rows += g.NumRows
	}
	if rows != r.file.NumRows() {
		return &FileError{Offset: -1, Reason: fmt.Sprintf("row groups of %d rows, the footer says %d", rows, r.file.NumRows())}
	}
	return nil
}

// guard turns a panic of the Parquet library into an error. Damaged files make it index outside of its slices.
func (r *Reader) guard(doing string, err *error) {
	if p := recover(); p != nil {
		*err = r.fileError(doing, fmt.Errorf("panic: %v", p))
	}
}

func (r *Reader) fileError(doing string, err error) error {
	if e, ok := errors.AsType[*FileError](err); ok {
		return e
	}
	return &FileError{Offset: r.at.last.Load(), Reason: doing, Err: err}
}

// NumRows is the footer's row count.
func (r *Reader) NumRows() int64 { return r.file.NumRows() }

// Footer is what the file says about itself.
func (r *Reader) Footer() Footer {
	f := Footer{Rows: r.NumRows(), Bytes: r.size}
	f.MinKey, _ = r.file.Lookup(minKeyKey)
	f.MaxKey, _ = r.file.Lookup(maxKeyKey)
	f.AvroSchema, _ = r.file.Lookup(avroSchemaKey)
	return f
}

// Bloom is the footer's filter of record keys, nil when the file has none.
func (r *Reader) Bloom() (*bloom.Filter, error) {
	text, ok := r.file.Lookup(bloomKey)
	if !ok {
		return nil, nil
	}
	if code, ok := r.file.Lookup(bloomTypeKey); !ok || code != bloom.TypeCode {
		return nil, &FileError{Offset: -1, Reason: fmt.Sprintf("bloom filter of type %q", code)}
	}
	f, err := bloom.Parse(text)
	if err != nil {
		return nil, &FileError{Offset: -1, Reason: "bloom filter", Err: err}
	}
	return f, nil
}

// Columns are the names of the file's columns, in its order.
func (r *Reader) Columns() []string {
	names := make([]string, len(r.layout.children))
	for i, c := range r.layout.children {
		names[i] = c.name
	}
	return names
}

// Keys reads the record keys of all rows, in the order of the rows.
func (r *Reader) Keys() (keys []string, err error) {
	defer r.guard("read record keys", &err)
	column := r.layout.child(RecordKeyColumn)
	if column == nil || !column.leaf() || column.kind != kindString || column.rep > 0 {
		return nil, &FileError{Offset: -1, Reason: "no column " + RecordKeyColumn}
	}
	for group := range r.file.RowGroups() {
		cursor, err := r.cursor(group, column.lo)
		if err != nil {
			return nil, err
		}
		for {
			v, ok, err := cursor.next()
			if err != nil {
				return nil, errors.Join(r.fileError("read record keys", err), cursor.close())
			}
			if !ok {
				break
			}
			keys = append(keys, string(v.ByteArray()))
		}
		if err := cursor.close(); err != nil {
			return nil, r.fileError("read record keys", err)
		}
	}
	if int64(len(keys)) != r.NumRows() {
		return nil, &FileError{Offset: -1, Reason: fmt.Sprintf("%d record keys in %d rows", len(keys), r.NumRows())}
	}
	return keys, nil
}

// cursor reads the values of one leaf in one row group.
func (r *Reader) cursor(group, leaf int) (*cursor, error) {
	chunk := &r.file.Metadata().RowGroups[group].Columns[leaf].MetaData
	if err := checkPages(r.at, r.size, chunk); err != nil {
		return nil, err
	}
	return &cursor{
		pages: r.file.RowGroups()[group].ColumnChunks()[leaf].Pages(),
		leaf:  leaf, left: chunk.NumValues,
	}, nil
}

// Rows yields the rows with the named columns (nil: all), in the order of the names. After an error it yields nothing more.
func (r *Reader) Rows(columns []string) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		if columns == nil {
			columns = r.Columns()
		}
		chosen := make([]*layout, len(columns))
		for i, name := range columns {
			if chosen[i] = r.layout.child(name); chosen[i] == nil {
				yield(Row{}, &FileError{Offset: -1, Reason: "no column " + name})
				return
			}
		}
		for group := range r.file.RowGroups() {
			if !r.groupRows(group, columns, chosen, yield) {
				return
			}
		}
	}
}

// groupRows yields the rows of a row group, and says whether to go on.
func (r *Reader) groupRows(group int, names []string, columns []*layout, yield func(Row, error) bool) bool {
	a, err := r.assembler(group, columns)
	if err != nil {
		yield(Row{}, err)
		return false
	}
	defer a.close()
	for range r.file.Metadata().RowGroups[group].NumRows {
		row, err := r.assembleRow(a, names, columns)
		if !yield(row, err) || err != nil {
			return false
		}
	}
	if err := a.finish(); err != nil {
		yield(Row{}, r.fileError("read rows", err))
		return false
	}
	return true
}

func (r *Reader) assembleRow(a *assembler, names []string, columns []*layout) (row Row, err error) {
	defer r.guard("read rows", &err)
	row = Row{Columns: names, Values: make([]any, len(columns))}
	for i, c := range columns {
		if row.Values[i], err = a.column(c); err != nil {
			return Row{}, r.fileError("read column "+c.name, err)
		}
	}
	return row, nil
}

// Statistics are what the footer says about a column of scalars: the least and the greatest value over all row groups, and how
// many are null. Known is false when a row group says nothing.
type Statistics struct {
	Min, Max any
	Nulls    int64
	Known    bool
}

// Statistics are those of the column "a" or, in a record, "a.b".
func (r *Reader) Statistics(path string) (stats Statistics, err error) {
	defer r.guard("read statistics", &err)
	for _, leaf := range r.leaves {
		if leaf.path == path {
			return r.leafStatistics(leaf), nil
		}
	}
	return Statistics{}, &FileError{Offset: -1, Reason: "no column " + path}
}

func (r *Reader) leafStatistics(leaf *layout) Statistics {
	stats := Statistics{Known: len(r.file.RowGroups()) > 0}
	var low, high parquet.Value
	for i, g := range r.file.Metadata().RowGroups {
		chunk := &g.Columns[leaf.lo].MetaData
		stats.Nulls += chunk.Statistics.NullCount
		if chunk.Statistics.NullCount == chunk.NumValues { // nothing but nulls
			continue
		}
		if chunk.Statistics.MinValue == nil || chunk.Statistics.MaxValue == nil {
			return Statistics{}
		}
		t := r.file.RowGroups()[i].ColumnChunks()[leaf.lo].Type()
		l, h := t.Kind().Value(chunk.Statistics.MinValue), t.Kind().Value(chunk.Statistics.MaxValue)
		compare := t.Compare
		if leaf.logical == decimal && leaf.kind == kindFixed {
			compare = func(a, b parquet.Value) int { return pages.CompareSigned(a.ByteArray(), b.ByteArray()) }
		}
		if low.IsNull() || compare(l, low) < 0 {
			low = l
		}
		if high.IsNull() || compare(h, high) > 0 {
			high = h
		}
	}
	if !low.IsNull() {
		stats.Min, stats.Max = goValue(leaf.scalar, low), goValue(leaf.scalar, high)
	}
	return stats
}

// trackingReader remembers where reading was, for errors.
type trackingReader struct {
	from io.ReaderAt
	last atomic.Int64
}

func (t *trackingReader) ReadAt(b []byte, off int64) (int, error) {
	t.last.Store(off)
	return t.from.ReadAt(b, off)
}
