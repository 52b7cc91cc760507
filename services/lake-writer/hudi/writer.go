package hudi

import (
	"context"
	"sync"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/txn"
)

// Record is one row to write, or a key to delete.
type Record struct {
	Key     string // the record key's text, "session_id:..,event_id:.."
	Payload []byte // Avro binary in the writer schema; a commit that appends to a log does not look into it
	Writer  int    // index into CommitRequest.WriterSchemas
	Delete  bool   // take the key's row away, whatever its ordering value; Payload and Writer count for nothing
}

// Operation is what a commit does with records whose key is in their group already.
type Operation int

const (
	// Insert leaves them out and counts them: the first one wins. Only for copy-on-write tables, since it has to know the keys.
	Insert Operation = iota
	// Upsert keeps the one whose ordering field is greater, and of equal ones the newer; deletions come to pass in the order of the records.
	Upsert
	// InsertOverwrite puts the records in place of everything that their partitions hold, merged among themselves as Upsert does. A
	// partition of which the groups have no records loses its rows.
	InsertOverwrite
	// BulkInsert puts the records into file groups of their own, as they are: no key is looked up. It is how rows come into an append-only
	// table, and what fills the buckets of a table that have no rows yet.
	BulkInsert
)

// Group are the records of one file group.
type Group struct {
	Partition string // path relative to the table
	Bucket    int    // in an append-only table any number that tells the groups of the partition apart
	Records   []Record
}

// Range is what a commit adds of one partition of a stream: from From up to, not including, Next.
type Range struct{ From, Next int64 }

// Progress are ranges by stream and partition. The library knows nothing of what they count.
type Progress map[string]map[int32]Range

// CommitRequest is one transaction: rows and the progress they stand for, both or neither.
type CommitRequest struct {
	Operation     Operation
	Groups        []Group
	WriterSchemas []string // Avro schemas of the payloads
	TableSchema   string   // "" leaves it unchanged; else it may add nullable fields and make longs of int columns
	Progress      Progress
	SortByKey     bool      // of a BulkInsert: records go into their files by key, so that filters on the key skip pages
	Watermark     time.Time // never falls; an earlier one is ignored
	ExtraMetadata map[string]string
	LogFormat     LogFormat // of the blocks, where the commit appends to logs
}

// CommitResult says what a commit did.
type CommitResult struct {
	Instant    timeline.Instant
	CommitID   string
	Rows       int64 // added; where a log was appended to, records written: whether they are new is not known then
	Updated    int64 // rows replaced by a rewrite
	Deleted    int64 // rows taken away by a rewrite; where a log was appended to, keys to delete
	Duplicates int64 // records that Insert left out, since their key was in the group already
	Replaced   int   // file groups that InsertOverwrite took away
	Files      int
	Bytes      int64 // of the files
	// Projected is false when the commit happened but its instant is not on the timeline yet, so that readers do not see it. The next
	// Commit, Redo or Acquire puts it there.
	Projected bool
}

// Writer is an owner of a table, made by Table.Acquire. Its methods may be called concurrently; commits run one after the other.
type Writer struct {
	table  *Table
	config tableNote
	epoch  int64
	shared *SharedTable // nil when other engines do not write while we do
	mu     struct {
		sync.Mutex
		head      txn.Stored // as last seen
		undecided *attempt   // its commit may or may not have happened
		committed committedFiles
		attempts  int64      // begun by this writer
		unshown   *heartbeat // of a commit that happened and is not on the timeline yet
		metadata  metadataState
	}
}

// Epoch is the writer's place in the order of owners.
func (w *Writer) Epoch() int64 { return w.epoch }

// Head is the HEAD as this writer last saw it.
func (w *Writer) Head() Head {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.head.Head.Clone()
}

// Resolve settles a Commit that returned ErrUnknownOutcome: its result when it happened, ErrNotCommitted when it did not, or
// ErrUnknownOutcome when that is still not known. Without such a commit it returns nil, nil.
func (w *Writer) Resolve(ctx context.Context) (*CommitResult, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.resolve(ctx)
}

// Redo puts the last commit's instant on the timeline if it is not there.
func (w *Writer) Redo(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	tl, err := w.table.Timeline(ctx)
	if err != nil {
		return err
	}
	_, err = w.showHead(ctx, tl)
	return err
}

// Commit writes the request's records and moves the offsets, both or neither. In a merge-on-read table a file group begins with a base
// file, and later commits append log files to it until Compact. Errors:
//   - ErrFenced: another owner took over; nothing of this commit is or will be visible,
//   - ErrConflict, ErrInvalid, *SchemaError, *UnsupportedError: nothing was written,
//   - ErrCompactFirst: nothing was written; the change of the table's schema waits for Compact,
//   - *LostFileError: a file of the table is gone; nothing was written, and nothing will be until somebody looks,
//   - ErrUnknownOutcome: see Resolve; until then every Commit answers so,
//   - others: nothing happened, the same request may be repeated.
func (w *Writer) Commit(ctx context.Context, req CommitRequest) (*CommitResult, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.commit(ctx, req)
}
