package basefile

import (
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/parquet-go/parquet-go/format"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile/chunks"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/columnar"
)

const (
	// maxBatchRows bounds a batch, so that its columns stay in the processor's caches.
	maxBatchRows = 8192
	// targetBytes is about what the values of a batch may take, by the average of the row group.
	targetBytes = 8 << 20
	// preloadBytes is how much of a row group is read before it is decoded; of larger ones each column is read piece by piece.
	preloadBytes = 64 << 20
	// gapBytes between two columns are read rather than asked for another time.
	gapBytes = 128 << 10
	// maxLevel is what a byte holds: far more than schemas may be deep.
	maxLevel = 255
)

// Batches yields the rows as RowsAs does, by columns; a tableSchema of "" shows them with the file's own types. A batch and what it holds are
// valid until the next one. After an error it yields nothing more. Files with encodings that only parquet-go reads are read with its help.
func (r *Reader) Batches(tableSchema string, columns []string) iter.Seq2[*columnar.Batch, error] {
	return new(Scratch).Batches(r, tableSchema, columns)
}

// Scratch is memory that the readers of one file after the other use again: what a query needs of it for one file serves for all files of the
// same columns. The zero value is ready. It is for one goroutine, and for one iterator at a time. Close it after use.
type Scratch struct {
	codecs  chunks.Codecs
	schema  string
	columns []string
	batcher *batcher // of the last file
	rows    int64    // of a batch, at most; 0: maxBatchRows
}

// Close frees the memory.
func (s *Scratch) Close() {
	s.codecs.Close()
	s.batcher = nil
}

// Batches is Reader.Batches of a file. What it yields is valid until the next batch, of that file or another.
func (s *Scratch) Batches(r *Reader, tableSchema string, columns []string) iter.Seq2[*columnar.Batch, error] {
	return func(yield func(*columnar.Batch, error) bool) {
		b, err := s.prepare(r, tableSchema, columns)
		if err != nil {
			yield(nil, err)
			return
		}
		for group := range r.file.Metadata().RowGroups {
			if !b.group(group, yield) {
				return
			}
		}
	}
}

// prepare plans the reading of a file, or takes the last one's plan.
func (s *Scratch) prepare(r *Reader, tableSchema string, columns []string) (*batcher, error) {
	if b := s.batcher; b != nil && s.schema == tableSchema && columns != nil && slices.Equal(s.columns, columns) && b.r.layout.same(r.layout) {
		b.r = r
		return b, nil
	}
	s.batcher = nil
	to := r.layout
	if tableSchema != "" {
		var err error
		if to, err = readLayout(tableSchema); err != nil {
			return nil, err
		}
	}
	if columns == nil {
		for _, c := range to.children {
			columns = append(columns, c.name)
		}
	}
	b := &batcher{r: r, names: columns, to: to, codecs: &s.codecs, rows: s.rows}
	if b.rows == 0 {
		b.rows = maxBatchRows
	}
	if err := b.plan(); err != nil {
		return nil, err
	}
	s.batcher, s.schema, s.columns = b, tableSchema, columns
	return b, nil
}

// same reports whether the columns of two files are the same ones.
func (l *layout) same(o *layout) bool {
	return l.name == o.name && l.scalar == o.scalar && l.optional == o.optional && l.item == o.item && slices.EqualFunc(l.children, o.children, (*layout).same)
}

// readLayout lays out a table's schema for reading.
func readLayout(schema string) (*layout, error) {
	table, err := parseSchema(schema)
	if err != nil {
		return nil, fmt.Errorf("table schema: %w", err)
	}
	root, err := layouter{reading: true}.table(table)
	if err != nil {
		return nil, fmt.Errorf("table schema: %w", err)
	}
	return root, nil
}

// batcher reads a file's wanted columns into one batch after the other.
type batcher struct {
	r      *Reader
	names  []string
	roots  []*part
	leaves []*leafReader // those that are read
	codecs *chunks.Codecs
	batch  columnar.Batch
	rows   int64 // of a batch, at most

	to    *layout
	spans []window // memory of the preloaded bytes
}

// leafReader is a leaf of the file that is read.
type leafReader struct {
	layout *layout
	reader *chunks.Reader
	leaf   chunks.Leaf
}

// plan checks the wanted columns and makes what reads them.
func (b *batcher) plan() error {
	r := b.r
	var wanted []*layout
	for _, name := range b.names {
		to, from := b.to.child(name), r.layout.child(name)
		switch {
		case to == nil:
			return &SchemaError{name, "the table has no such column"}
		case from != nil:
			if _, err := shapeOf(to, from); err != nil {
				return err
			}
		case !to.optional:
			return &SchemaError{name, "is not in the older file, and may not be null"}
		}
		wanted = append(wanted, from)
	}
	if slices.ContainsFunc(r.leaves, func(l *layout) bool { return l.def > maxLevel }) {
		return &FileError{Offset: -1, Reason: fmt.Sprintf("a column of more than %d levels", maxLevel)}
	}
	for i, name := range b.names {
		b.roots = append(b.roots, b.part(b.to.child(name), wanted[i]))
		b.batch.Columns = append(b.batch.Columns, b.roots[i].column)
	}
	b.batch.Names = b.names
	return nil
}

// leafReader makes the reader of a leaf, once for each place where it is wanted.
func (b *batcher) leafReader(l *layout) *leafReader {
	physical := b.physical(l)
	spec := chunks.Spec{Physical: physical, Size: l.size, MaxDef: byte(l.def), MaxRep: byte(l.rep)}
	leaf := &leafReader{layout: l, reader: chunks.NewReader(spec, b.codecs)}
	leaf.leaf.Values = columnar.New(&columnar.Type{Kind: chunks.Kind(physical), Size: l.size})
	b.leaves = append(b.leaves, leaf)
	return leaf
}

// physical is the type of a leaf's bytes.
func (b *batcher) physical(l *layout) format.Type {
	return [...]format.Type{
		kindBoolean: format.Boolean, kindInt: format.Int32, kindLong: format.Int64, kindFloat: format.Float, kindDouble: format.Double,
		kindBytes: format.ByteArray, kindString: format.ByteArray, kindFixed: format.FixedLenByteArray,
	}[l.kind]
}

// group yields the batches of a row group, and says whether to go on.
func (b *batcher) group(group int, yield func(*columnar.Batch, error) bool) bool {
	meta := &b.r.file.Metadata().RowGroups[group]
	left, bytes := meta.NumRows, int64(0)
	err := b.open(meta)
	for _, l := range b.leaves {
		bytes += meta.Columns[l.layout.lo].MetaData.TotalUncompressedSize
	}
	size := b.rows
	if left > 0 && bytes > 0 {
		size = max(min(size, targetBytes/max(bytes/left, 1)), 64)
	}
	for err == nil && left > 0 {
		n := min(size, left)
		if err = b.fill(int(n)); err == nil {
			left -= n
			if !yield(&b.batch, nil) {
				return false
			}
		}
	}
	for _, l := range b.leaves {
		if err == nil {
			err = l.reader.Finish()
		}
	}
	switch {
	case err == nil:
		return true
	case errors.Is(err, chunks.ErrUnsupported):
		return b.fallback(group, meta.NumRows-left, yield)
	}
	if e, ok := errors.AsType[*chunks.Error](err); ok {
		err = &FileError{Offset: e.Offset, Reason: e.Reason, Err: e.Err}
	}
	yield(nil, b.r.fileError("read columns", err))
	return false
}

// fill reads a batch of n rows.
func (b *batcher) fill(n int) (err error) {
	defer b.r.guard("read columns", &err)
	for _, l := range b.leaves {
		l.leaf.Reset()
		if err := l.reader.Read(&l.leaf, n); err != nil {
			return err
		}
	}
	for _, p := range b.roots {
		if err := p.assemble(0, n); err != nil {
			return err
		}
	}
	b.batch.Rows = n
	return nil
}

// window is a stretch of the file that was read at once.
type window struct {
	from, to int64
	bytes    []byte
}

// open begins a row group: it reads the wanted columns' bytes, neighbours together, and no others.
func (b *batcher) open(meta *format.RowGroup) (err error) {
	defer b.r.guard("read columns", &err)
	type stretch struct{ from, to int64 }
	var want []stretch
	total := int64(0)
	for _, l := range b.leaves {
		from, to, err := chunks.Span(&meta.Columns[l.layout.lo].MetaData, b.r.size)
		if err != nil {
			return err
		}
		want = append(want, stretch{from, to})
		total += to - from
	}
	slices.SortFunc(want, func(x, y stretch) int { return int(min(max(x.from-y.from, -1), 1)) })
	used := 0
	if total <= preloadBytes {
		for i := 0; i < len(want); {
			s := want[i]
			for i++; i < len(want) && want[i].from-s.to <= gapBytes; i++ {
				s.to = max(s.to, want[i].to)
			}
			if used == len(b.spans) {
				b.spans = append(b.spans, window{})
			}
			w := &b.spans[used]
			used++
			w.from, w.to = s.from, s.to
			w.bytes = slices.Grow(w.bytes[:0], int(s.to-s.from))[:s.to-s.from]
			if n, err := b.r.at.ReadAt(w.bytes, s.from); n < len(w.bytes) {
				return b.r.fileError("read columns", err)
			}
		}
	}
	return b.openLeaves(meta, b.spans[:used])
}

func (b *batcher) openLeaves(meta *format.RowGroup, read []window) error {
	for _, l := range b.leaves {
		chunk := &meta.Columns[l.layout.lo].MetaData
		from, _, err := chunks.Span(chunk, b.r.size)
		var in window
		for _, w := range read {
			if err == nil && from >= w.from && from < w.to {
				in = w
			}
		}
		if err == nil && chunk.Type != b.physical(l.layout) {
			err = &FileError{Offset: from, Reason: fmt.Sprintf("column %s: pages of %s, the schema says %s", l.layout.path, chunk.Type, b.physical(l.layout))}
		}
		if err == nil {
			err = l.reader.Open(b.r.at, b.r.size, chunk, in.bytes, in.from)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
