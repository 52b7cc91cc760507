package basefile

import (
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go/format"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile/bloom"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile/pages"
)

// Codec compresses pages.
type Codec int

// Codecs that Spark and hudi-rs read. (Brotli is none: Spark 3.5 lacks its class.)
const (
	Zstd Codec = iota
	Snappy
	Uncompressed
)

func (c Codec) format() format.CompressionCodec {
	switch c {
	case Snappy:
		return format.Snappy
	case Uncompressed:
		return format.Uncompressed
	default:
		return format.Zstd
	}
}

// Config describes one base file.
type Config struct {
	TableSchema   string   // Avro record without meta columns
	WriterSchemas []string // Avro records; Record.Writer is an index into them
	CommitTime    string   // instant, goes into every appended row
	PartitionPath string   // relative to the table, "" when it is not partitioned
	FileName      string   // the file's own name, without folder
	TaskID        int      // middle of _hoodie_commit_seqno, which is <CommitTime>_<TaskID>_<row among the appended, from 0>
	Codec         Codec
	UniqueColumns []string // string columns whose values seldom repeat ("a.b"): they get no dictionary
	RowGroupBytes int64    // how much input makes a row group, about; 0 means 64 MiB
	// LogBlock leaves out what readers of a log never ask, since they merge all of it: the Bloom filter and the bounds of keys, the
	// bounds of columns, and the page index. FileName is the file group then.
	LogBlock bool
}

const (
	defaultRowGroupBytes = 64 << 20
	maxRowGroupRows      = 500_000
	dictionaryBytes      = 4 << 20 // holds the sessions of a row group; behind it a column goes on plain (parquet-mr stops at 1 MiB)
	dataPageBytes        = 1 << 20 // parquet-mr's size of a page
	dataPageRows         = 20_000  // and its limit of rows, which makes the column index worth its place
	batchRows            = 128     // rows shredded before their columns are encoded
	batchBytes           = 1 << 20
	maxPayloadBytes      = 64 << 20 // a page that readers would refuse could come of more
	// Hudi's default is 1e-9: 30 hashes and 43 bits a key, in a footer that every reader fetches. A bucket index does not ask the filter,
	// and a writer with a bloom index, which fails on a file without one, looks into one file more for ten thousand new keys.
	bloomFalsePositives = 1e-4
)

// Record is one row to append.
type Record struct {
	Key     string // the record key's text, "session_id:..,event_id:.."
	Writer  int    // index into Config.WriterSchemas
	Payload []byte // Avro binary in that schema; not kept after Append returns
}

// Footer is what a base file says about itself.
type Footer struct {
	Rows           int64
	Bytes          int64  // of the whole file
	MinKey, MaxKey string // none of log blocks
	AvroSchema     string // with meta columns; "" in files that were not written through Avro
}

// Writer writes one base file, and after Reset another one. It is not safe for concurrent use, and of no use after an error other
// than *RecordError until it is reset.
//
// Its memory is the encoded pages of one row group, a page of each column, and the record keys, which the bloom filter needs at
// the end, when it knows how many there are. Reset keeps all of it for the next file.
type Writer struct {
	cfg        Config
	avroSchema string
	layout     *layout
	leaves     []*layout
	elements   []format.SchemaElement
	paths      [][]string // of the leaves
	programs   []step
	symbols    int // bytes at the beginning of the arena: texts of enums
	own        int // programs of Config.WriterSchemas; the others came by AddWriterSchema
	ownSymbols int

	out     *countingWriter
	columns []*pages.Column
	groups  []rowGroup

	batch struct {
		shredder
		rows int

		commitTime string // of the last row, if there is one
		arena      []byte // symbols, then payloads, keys and sequence numbers: what values are places in
	}
	scratch pages.Batch // of values that do not come by the batch
	copying flatBuffers // of columns of older files

	seqno         sequence
	rows          int64 // in the whole file, the batch not counted
	appended      int64 // rows of our own, the batch counted; gives the sequence number
	groupRows     int64 // since the last row group
	groupBytes    int64
	keys          keyList
	closed, wrong bool
}

// NewWriter compiles the schemas and writes nothing yet. It refuses what cannot be written without loss: *SchemaError.
func NewWriter(out io.Writer, cfg Config) (*Writer, error) {
	w := &Writer{}
	if err := w.Reset(out, cfg); err != nil {
		return nil, err
	}
	return w, nil
}

// Reset makes the writer ready for another file, whatever became of the last one, and writes nothing yet. Buffers are used again,
// and so are compiled schemas that are the same: keep a writer for each table. It refuses what NewWriter refuses; after an error
// only another Reset helps.
func (w *Writer) Reset(out io.Writer, cfg Config) error {
	if cfg.RowGroupBytes <= 0 {
		cfg.RowGroupBytes = defaultRowGroupBytes
	}
	old := w.cfg
	w.cfg, w.out, w.wrong = cfg, &countingWriter{to: out}, true
	if w.layout == nil || old.TableSchema != cfg.TableSchema || old.Codec != cfg.Codec || old.LogBlock != cfg.LogBlock ||
		!slices.Equal(old.UniqueColumns, cfg.UniqueColumns) {
		w.layout = nil
		if err := w.openTable(); err != nil {
			return err
		}
		old.WriterSchemas, w.own = nil, -1
	}
	w.batch.rows = 0
	for i := range w.batch.columns {
		w.clearColumn(i)
	}
	if err := w.openSchemas(old.WriterSchemas); err != nil {
		return err
	}
	w.batch.arena = w.batch.arena[:w.symbols]
	for _, c := range w.columns {
		c.Reset()
	}
	w.keys.reset()
	w.seqno.reset()
	w.groups = w.groups[:0]
	w.rows, w.appended, w.groupRows, w.groupBytes = 0, 0, 0, 0
	w.closed, w.wrong = false, false
	return nil
}

// openTable lays out the table's columns.
func (w *Writer) openTable() error {
	table, err := parseSchema(w.cfg.TableSchema)
	if err != nil {
		return fmt.Errorf("table schema: %w", err)
	}
	layout, err := tableLayout(table)
	if err != nil {
		return fmt.Errorf("table schema: %w", err)
	}
	if w.avroSchema, err = WithMetaFields(w.cfg.TableSchema); err != nil {
		return fmt.Errorf("table schema: %w", err)
	}
	compressor, err := pages.NewCompressor(w.cfg.Codec.format())
	if err != nil {
		return err
	}
	w.leaves = layout.leaves()
	w.elements = schemaElements(layout)
	w.paths = columnPaths(w.elements)
	w.columns = make([]*pages.Column, len(w.leaves))
	w.batch.columns, w.batch.repeated = make([]pages.Batch, len(w.leaves)), make([]bool, len(w.leaves))
	options := pages.Options{Compressor: compressor, PageBytes: dataPageBytes, PageRows: dataPageRows, DictionaryBytes: dictionaryBytes, NoBounds: w.cfg.LogBlock}
	for i, leaf := range w.leaves {
		w.batch.repeated[i] = leaf.rep > 0
		if w.columns[i], err = pages.NewColumn(leaf.spec(w.cfg.UniqueColumns), options); err != nil {
			return fmt.Errorf("column %s: %w", leaf.path, err)
		}
	}
	w.layout = layout
	return nil
}

// openSchemas compiles the writer schemas, unless the last file's were the same.
func (w *Writer) openSchemas(last []string) error {
	schemas := w.cfg.WriterSchemas
	if w.own == len(schemas) && len(last) >= w.own && slices.Equal(last[:w.own], schemas) {
		w.programs, w.symbols = w.programs[:w.own], w.ownSymbols
		w.cfg.WriterSchemas = slices.Clone(schemas)
		return nil
	}
	w.cfg.WriterSchemas, w.programs, w.symbols, w.batch.arena = nil, nil, 0, w.batch.arena[:0]
	w.own = -1
	for i, text := range schemas {
		if err := w.addProgram(text, parseOwnSchema); err != nil {
			return fmt.Errorf("writer schema %d: %w", i, err)
		}
	}
	w.own, w.ownSymbols = len(schemas), w.symbols
	return nil
}

// parseOwnSchema reads the schema of records that this library's callers bring, and refuses what a log of them could hold and no base file.
func parseOwnSchema(text string) (*avroType, error) {
	t, err := parseSchema(text)
	if err != nil {
		return nil, err
	}
	return t, refuseNullableItems(t, "")
}

// addProgram compiles a writer schema, so that records may name its index.
func (w *Writer) addProgram(text string, parse func(string) (*avroType, error)) error {
	t, err := parse(text)
	if err != nil {
		return err
	}
	program, err := compile(t, w.layout)
	if err != nil {
		return err
	}
	if err := w.flushBatch(); err != nil { // its values lie where the symbols go
		return err
	}
	w.placeSymbols(&program)
	w.programs = append(w.programs, program)
	w.cfg.WriterSchemas = append(w.cfg.WriterSchemas, text)
	return nil
}

// placeSymbols puts the texts of enums in front of the batches.
func (w *Writer) placeSymbols(s *step) {
	for _, symbol := range s.symbols {
		s.spans = append(s.spans, pages.Span(w.symbols, len(symbol)))
		w.batch.arena = append(w.batch.arena[:w.symbols], symbol...)
		w.symbols += len(symbol)
	}
	for i := range s.steps {
		w.placeSymbols(&s.steps[i])
	}
}

// Leaves of the meta columns, by MetaColumns.
const (
	leafCommitTime = iota
	leafCommitSeqno
	leafRecordKey
	leafPartitionPath
	leafFileName
)

// Append shreds one record into the columns. After a *RecordError nothing of the record is in the file, and the writer goes on.
func (w *Writer) Append(rec Record) error {
	if err := w.appendRow(rec, w.cfg.CommitTime, "", w.appended); err != nil {
		return err
	}
	w.appended++
	return w.flushFull()
}

// AppendNumbered is Append with a number of the caller's choice at the end of _hoodie_commit_seqno, where rows have a place among others
// that are not in the file. It takes no number from those that Append gives.
func (w *Writer) AppendNumbered(rec Record, row int64) error {
	if row < 0 {
		return &RecordError{Path: CommitSeqnoColumn, Reason: fmt.Sprintf("row %d", row)}
	}
	if err := w.appendRow(rec, w.cfg.CommitTime, "", row); err != nil {
		return err
	}
	return w.flushFull()
}

// appendRow adds a row to the batch. Without a sequence number it gets one that ends with the row's number.
func (w *Writer) appendRow(rec Record, commitTime, seqno string, row int64) error {
	if err := w.usable(); err != nil {
		return err
	}
	if rec.Writer < 0 || rec.Writer >= len(w.programs) {
		return &RecordError{Reason: fmt.Sprintf("writer schema %d of %d", rec.Writer, len(w.programs))}
	}
	if rec.Key == "" || !utf8.ValidString(rec.Key) {
		return &RecordError{Path: RecordKeyColumn, Reason: fmt.Sprintf("record key %q", rec.Key)}
	}
	if n := len(rec.Payload) + len(rec.Key); n > maxPayloadBytes {
		return &RecordError{Reason: fmt.Sprintf("record of %d bytes, %d are allowed", n, maxPayloadBytes)}
	}
	b := &w.batch
	start := len(b.arena)
	b.arena = append(b.arena, rec.Payload...)
	if err := b.run(&w.programs[rec.Writer], b.arena, start); err != nil {
		b.arena = b.arena[:start]
		b.truncate(b.rows, w.leaves)
		return err
	}
	w.keep(leafRecordKey, rec.Key)
	w.keepCommitTime(commitTime)
	if seqno == "" {
		w.keepSeqno(row)
	} else {
		w.keep(leafCommitSeqno, seqno)
	}
	if !w.cfg.LogBlock {
		w.keys.add(rec.Key)
	}
	b.rows++
	return nil
}

// flushFull hands the batch on when it is large enough.
func (w *Writer) flushFull() error {
	if w.batch.rows == batchRows || len(w.batch.arena)-w.symbols >= batchBytes {
		return w.flushBatch()
	}
	return nil
}

// keep gives the row a value of a meta column.
func (w *Writer) keep(leaf int, text string) {
	from := len(w.batch.arena)
	w.batch.arena = append(w.batch.arena, text...)
	w.kept(leaf, from)
}

// keepCommitTime is keep of a text that nearly always is the one of the row before.
func (w *Writer) keepCommitTime(text string) {
	c := &w.batch.columns[leafCommitTime]
	if n := len(c.Values); n > 0 && text == w.batch.commitTime {
		c.Values, c.Defs = append(c.Values, c.Values[n-1]), append(c.Defs, 1)
		return
	}
	w.batch.commitTime = text
	w.keep(leafCommitTime, text)
}

func (w *Writer) keepSeqno(row int64) {
	from := len(w.batch.arena)
	w.batch.arena = append(w.batch.arena, w.seqno.of(w.cfg.CommitTime, w.cfg.TaskID, row)...)
	w.kept(leafCommitSeqno, from)
}

// kept makes what the arena has from a place on the row's value of a meta column.
func (w *Writer) kept(leaf, from int) {
	c := &w.batch.columns[leaf]
	c.Values = append(c.Values, pages.Span(from, len(w.batch.arena)-from))
	c.Defs = append(c.Defs, 1)
}

// flushBatch encodes the batch's columns.
func (w *Writer) flushBatch() error {
	b := &w.batch
	if b.rows == 0 {
		return nil
	}
	for leaf := range b.columns {
		var err error
		switch leaf {
		case leafPartitionPath:
			err = w.writeConstant(leaf, w.cfg.PartitionPath, b.rows)
		case leafFileName:
			err = w.writeConstant(leaf, w.cfg.FileName, b.rows)
		default:
			b.columns[leaf].Text = b.arena
			err = w.writeColumn(leaf, &b.columns[leaf], b.rows)
			w.clearColumn(leaf)
		}
		if err != nil {
			return err
		}
	}
	bytes := int64(len(b.arena) - w.symbols)
	rows := b.rows
	b.rows, b.arena = 0, b.arena[:w.symbols]
	return w.endRows(int64(rows), bytes)
}

func (w *Writer) clearColumn(leaf int) {
	c := &w.batch.columns[leaf]
	c.Reps, c.Defs, c.Values, c.Text = c.Reps[:0], c.Defs[:0], c.Values[:0], nil
}

// writeConstant gives so many rows the same value of a meta column.
func (w *Writer) writeConstant(leaf int, value string, rows int) error {
	b := &w.scratch
	b.Text, b.Reps = append(b.Text[:0], value...), b.Reps[:0]
	for ; rows > 0; rows -= batchRows {
		n := min(rows, batchRows)
		b.Defs, b.Values = appendSame(b.Defs[:0], 1, n), appendSame(b.Values[:0], pages.Span(0, len(value)), n)
		if err := w.writeColumn(leaf, b, n); err != nil {
			return err
		}
	}
	return nil
}

func appendSame[T any](to []T, v T, n int) []T {
	for range n {
		to = append(to, v)
	}
	return to
}

func (w *Writer) writeColumn(leaf int, b *pages.Batch, rows int) error {
	if err := w.columns[leaf].Write(b, rows); err != nil {
		w.wrong = true
		return fmt.Errorf("write column %s: %w", w.leaves[leaf].path, err)
	}
	return nil
}

// endRows accounts for rows that every column has got, and ends the row group when it is large enough.
func (w *Writer) endRows(rows, bytes int64) error {
	w.rows += rows
	w.groupRows += rows
	w.groupBytes += bytes
	if w.groupRows < maxRowGroupRows && w.groupBytes < w.cfg.RowGroupBytes {
		return nil
	}
	return w.endGroup()
}

func (w *Writer) endGroup() error {
	if w.groupRows == 0 {
		return nil
	}
	if err := w.writeGroup(); err != nil {
		w.wrong = true
		return fmt.Errorf("write row group: %w", err)
	}
	return nil
}

// Close writes the footer. A file without rows is refused with ErrNoRows. The io.Writer stays open.
func (w *Writer) Close() (Footer, error) {
	if err := w.usable(); err != nil {
		return Footer{}, err
	}
	if err := w.flushBatch(); err != nil {
		return Footer{}, err
	}
	w.closed = true
	if w.rows == 0 {
		return Footer{}, ErrNoRows
	}
	if err := w.endGroup(); err != nil {
		return Footer{}, err
	}
	footer := Footer{Rows: w.rows, AvroSchema: w.avroSchema}
	values := []format.KeyValue{{Key: avroSchemaKey, Value: w.avroSchema}, {Key: writerModelKey, Value: "avro"}}
	if !w.cfg.LogBlock {
		footer.MinKey, footer.MaxKey = w.keys.bounds()
		values = append(values,
			format.KeyValue{Key: bloomTypeKey, Value: bloom.TypeCode},
			format.KeyValue{Key: bloomKey, Value: w.keys.bloom(bloomFalsePositives)},
			format.KeyValue{Key: minKeyKey, Value: footer.MinKey},
			format.KeyValue{Key: maxKeyKey, Value: footer.MaxKey})
	}
	if err := w.writeFooter(values); err != nil {
		return Footer{}, err
	}
	footer.Bytes = w.out.n
	w.out.to = nil // a writer that waits for its next file holds no finished one
	return footer, nil
}

func (w *Writer) usable() error {
	switch {
	case w.closed:
		return fmt.Errorf("base file %s: %w", w.cfg.FileName, io.ErrClosedPipe)
	case w.wrong:
		return fmt.Errorf("base file %s: an earlier write went wrong", w.cfg.FileName)
	default:
		return nil
	}
}

// countingWriter counts what a file is made of.
type countingWriter struct {
	to io.Writer
	n  int64
}

func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.to.Write(b)
	c.n += int64(n)
	return n, err
}
