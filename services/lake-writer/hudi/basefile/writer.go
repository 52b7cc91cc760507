package basefile

import (
	"context"
	"errors"
	"io"
)

// Codec compresses pages.
type Codec int

// The codecs that every engine reads.
const (
	Zstd Codec = iota
	Snappy
	Uncompressed
)

// Config describes one base file.
type Config struct {
	TableSchema   string   // Avro record without meta columns
	WriterSchemas []string // Avro records; Record.Writer is an index into them
	CommitTime    string   // instant, goes into every appended row
	PartitionPath string   // relative to the table, "" when it is not partitioned
	FileName      string   // the file's own name, without folder
	TaskID        int      // middle of _hoodie_commit_seqno, which is <CommitTime>_<TaskID>_<row of this file's appended rows, from 0>
	Codec         Codec
	RowGroupBytes int64 // roughly how much input makes a row group; 0 means 64 MiB
}

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

// Writer writes one base file. It is not safe for concurrent use.
type Writer struct{}

// NewWriter compiles the schemas. It refuses what cannot be written without loss: *SchemaError.
func NewWriter(out io.Writer, cfg Config) (*Writer, error) { return nil, errors.ErrUnsupported }

// Append shreds one record into the columns. After a *RecordError nothing of the record is in the file, and the writer goes on.
func (w *Writer) Append(rec Record) error { return errors.ErrUnsupported }

// CopyFrom takes over the rows of an older file, with all their meta columns but the file name, which becomes this file's.
// Columns that the older file lacks are null. Rows whose key skip (may be nil) wants away are left out.
func (w *Writer) CopyFrom(ctx context.Context, old *Reader, skip func(key string) bool) (rows int64, err error) {
	return 0, errors.ErrUnsupported
}

// Close writes the footer. A file without rows is refused with ErrNoRows.
func (w *Writer) Close() (Footer, error) { return Footer{}, errors.ErrUnsupported }
