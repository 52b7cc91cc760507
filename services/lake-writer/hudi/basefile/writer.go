package basefile

import (
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile/bloom"
)

// Codec compresses pages.
type Codec int

// Codecs that Spark and hudi-rs read. (Brotli is none: Spark 3.5 lacks its class.)
const (
	Zstd Codec = iota
	Snappy
	Uncompressed
)

func (c Codec) compressor() compress.Codec {
	switch c {
	case Snappy:
		return &parquet.Snappy
	case Uncompressed:
		return &parquet.Uncompressed
	default:
		return &parquet.Zstd
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
}

const (
	defaultRowGroupBytes = 64 << 20
	maxRowGroupRows      = 500_000
	dictionaryBytes      = 1 << 20 // a larger dictionary saves nothing: the column goes on plain (parquet-mr's limit)
	batchRows            = 128     // rows shredded before their columns are handed to the Parquet writer
	batchBytes           = 1 << 20
	bloomFalsePositives  = 1e-9 // Hudi's default
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
	Bytes          int64 // of the whole file
	MinKey, MaxKey string
	AvroSchema     string // with meta columns; "" in files that were not written through Avro
}

// Writer writes one base file. It is not safe for concurrent use, and of no use after an error other than *RecordError.
//
// Its memory is the encoded pages of one row group, a page of each column, and the record keys, which the bloom filter needs at
// the end, when it knows how many there are.
type Writer struct {
	cfg        Config
	avroSchema string
	layout     *layout
	programs   []step
	out        *countingWriter
	file       *parquet.GenericWriter[any]
	columns    []*parquet.ColumnWriter
	leaves     []*layout

	batch struct {
		shredder
		rows  int
		arena []byte // payloads, keys and sequence numbers that the values point into
	}
	constant [batchRows]parquet.Value // scratch for the meta columns that are the same in each row

	rows          int64 // in the whole file, the batch not counted
	appended      int64 // rows of our own, the batch counted; gives the sequence number
	groupRows     int64 // since the last row group
	groupBytes    int64
	keys          keyList
	closed, wrong bool
}

// NewWriter compiles the schemas and writes nothing yet. It refuses what cannot be written without loss: *SchemaError.
func NewWriter(out io.Writer, cfg Config) (*Writer, error) {
	if cfg.RowGroupBytes <= 0 {
		cfg.RowGroupBytes = defaultRowGroupBytes
	}
	table, err := parseSchema(cfg.TableSchema)
	if err != nil {
		return nil, fmt.Errorf("table schema: %w", err)
	}
	w := &Writer{cfg: cfg, out: &countingWriter{to: out}}
	if w.layout, err = tableLayout(table); err != nil {
		return nil, fmt.Errorf("table schema: %w", err)
	}
	if w.avroSchema, err = WithMetaFields(cfg.TableSchema); err != nil {
		return nil, fmt.Errorf("table schema: %w", err)
	}
	w.cfg.WriterSchemas = nil
	for i, text := range cfg.WriterSchemas {
		if err := w.addProgram(text, parseSchema); err != nil {
			return nil, fmt.Errorf("writer schema %d: %w", i, err)
		}
	}
	w.leaves = w.layout.leaves()
	w.batch.columns = make([][]parquet.Value, len(w.leaves))
	w.open()
	return w, nil
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
	w.programs = append(w.programs, program)
	w.cfg.WriterSchemas = append(w.cfg.WriterSchemas, text)
	return nil
}

func (w *Writer) open() {
	w.file = parquet.NewGenericWriter[any](w.out,
		parquet.NewSchema("hoodie_record", w.layout.parquetNode(w.cfg.UniqueColumns)),
		parquet.Compression(w.cfg.Codec.compressor()),
		parquet.DataPageVersion(2),
		// Statistics are never skipped: with the column index that parquet-go then leaves behind, filters drop rows.
		parquet.DictionaryMaxBytes(dictionaryBytes),
		parquet.CreatedBy("playhead", "1", "parquet-go"),
		parquet.KeyValueMetadata(avroSchemaKey, w.avroSchema),
		parquet.KeyValueMetadata(writerModelKey, "avro"),
	)
	w.columns = w.file.ColumnWriters()
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
	if err := w.appendRow(rec, w.cfg.CommitTime, ""); err != nil {
		return err
	}
	w.appended++
	return w.flushFull()
}

// appendRow adds a row to the batch. Without a sequence number it gets the next one.
func (w *Writer) appendRow(rec Record, commitTime, seqno string) error {
	if err := w.usable(); err != nil {
		return err
	}
	if rec.Writer < 0 || rec.Writer >= len(w.programs) {
		return &RecordError{Reason: fmt.Sprintf("writer schema %d of %d", rec.Writer, len(w.programs))}
	}
	if rec.Key == "" || !utf8.ValidString(rec.Key) {
		return &RecordError{Path: RecordKeyColumn, Reason: fmt.Sprintf("record key %q", rec.Key)}
	}
	b := &w.batch
	// Values point into the arena. When it has to grow, those of the rows before keep the old one alive.
	payload := w.keep(rec.Payload)
	if err := b.run(&w.programs[rec.Writer], payload); err != nil {
		b.arena = b.arena[:len(b.arena)-len(payload)]
		b.truncate(b.rows)
		return err
	}
	number := w.keep([]byte(seqno))
	if seqno == "" {
		number = w.seqno()
	}
	for leaf, value := range [][]byte{leafCommitTime: w.keep([]byte(commitTime)), leafCommitSeqno: number, leafRecordKey: w.keep([]byte(rec.Key))} {
		b.columns[leaf] = append(b.columns[leaf], text(value, leaf))
	}
	w.keys.add(rec.Key)
	b.rows++
	return nil
}

// flushFull hands the batch on when it is large enough.
func (w *Writer) flushFull() error {
	if w.batch.rows == batchRows || len(w.batch.arena) >= batchBytes {
		return w.flushBatch()
	}
	return nil
}

// keep copies bytes into the batch's arena.
func (w *Writer) keep(b []byte) []byte {
	from := len(w.batch.arena)
	w.batch.arena = append(w.batch.arena, b...)
	return w.batch.arena[from:len(w.batch.arena):len(w.batch.arena)]
}

func (w *Writer) seqno() []byte {
	from := len(w.batch.arena)
	b := append(w.batch.arena, w.cfg.CommitTime...)
	b = append(b, '_')
	b = strconv.AppendInt(b, int64(w.cfg.TaskID), 10)
	b = append(b, '_')
	b = strconv.AppendInt(b, w.appended, 10)
	w.batch.arena = b
	return b[from:len(b):len(b)]
}

// text is a value of a meta column.
func text(b []byte, leaf int) parquet.Value { return parquet.ByteArrayValue(b).Level(0, 1, leaf) }

// flushBatch hands the batch's columns to the Parquet writer.
func (w *Writer) flushBatch() error {
	b := &w.batch
	if b.rows == 0 {
		return nil
	}
	for leaf, values := range b.columns {
		var err error
		switch leaf {
		case leafPartitionPath:
			err = w.writeConstant(leaf, w.cfg.PartitionPath, b.rows)
		case leafFileName:
			err = w.writeConstant(leaf, w.cfg.FileName, b.rows)
		default:
			err = w.writeRows(leaf, values, b.rows)
			b.columns[leaf] = values[:0]
		}
		if err != nil {
			return err
		}
	}
	bytes := int64(len(b.arena))
	rows := b.rows
	b.rows, b.arena = 0, b.arena[:0]
	return w.endRows(int64(rows), bytes)
}

func (w *Writer) writeConstant(leaf int, value string, rows int) error {
	v := text([]byte(value), leaf)
	for rows > 0 {
		n := min(rows, len(w.constant))
		for i := range w.constant[:n] {
			w.constant[i] = v
		}
		if err := w.writeRows(leaf, w.constant[:n], n); err != nil {
			return err
		}
		rows -= n
	}
	return nil
}

// writeRows writes whole rows of one column. The count is checked: a column that is a row short would shift all rows behind it.
func (w *Writer) writeRows(leaf int, values []parquet.Value, rows int) error {
	n, err := w.columns[leaf].WriteRowValues(values)
	if err == nil && n != rows {
		err = fmt.Errorf("%d rows became %d", rows, n)
	}
	if err != nil {
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
	w.groupRows, w.groupBytes = 0, 0
	if err := w.file.Flush(); err != nil {
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
	footer := Footer{Rows: w.rows, AvroSchema: w.avroSchema}
	footer.MinKey, footer.MaxKey = w.keys.bounds()
	w.file.SetKeyValueMetadata(bloomTypeKey, bloom.TypeCode)
	w.file.SetKeyValueMetadata(bloomKey, w.keys.bloom(bloomFalsePositives))
	w.file.SetKeyValueMetadata(minKeyKey, footer.MinKey)
	w.file.SetKeyValueMetadata(maxKeyKey, footer.MaxKey)
	if err := w.file.Close(); err != nil {
		return Footer{}, fmt.Errorf("write footer: %w", err)
	}
	footer.Bytes = w.out.n
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
