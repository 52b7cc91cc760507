package hudi

import (
	"context"
	"sync"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/txn"
)

// Record is one row to add.
type Record struct {
	Key     string // the record key's text, "session_id:..,event_id:.."
	Payload []byte // Avro binary in the writer schema
	Writer  int    // index into CommitRequest.WriterSchemas
}

// Group are the records of one file group.
type Group struct {
	Partition string // path relative to the table
	Bucket    int
	Records   []Record
}

// Range is what a commit adds of one partition of a stream: from From up to, not including, Next.
type Range struct{ From, Next int64 }

// Progress are ranges by stream and partition. The library knows nothing of what they count.
type Progress map[string]map[int32]Range

// CommitRequest is one transaction: rows and the progress they stand for, both or neither.
type CommitRequest struct {
	Groups        []Group
	WriterSchemas []string // Avro schemas of the payloads
	TableSchema   string   // "" leaves it unchanged; else it may add nullable fields
	Progress      Progress
	Watermark     time.Time // never falls; an earlier one is ignored
	ExtraMetadata map[string]string
}

// CommitResult says what a commit did.
type CommitResult struct {
	Instant    timeline.Instant
	CommitID   string
	Rows       int64 // added
	Duplicates int64 // records left out, since their key was in the group already
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
	mu     struct {
		sync.Mutex
		head      txn.Stored // as last seen
		undecided *attempt   // its commit may or may not have happened
		committed committedFiles
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
	return txn.Project(ctx, w.table.store, w.mu.head.Head)
}

// Commit adds the request's rows and moves the offsets, both or neither. A record whose key is in its group already, or twice in the
// request, is left out and counted: the first one wins. Errors:
//   - ErrFenced: another owner took over; nothing of this commit is or will be visible,
//   - ErrConflict, ErrInvalid, *SchemaError, *UnsupportedError: nothing was written,
//   - *LostFileError: a file of the table is gone; nothing was written, and nothing will be until somebody looks,
//   - ErrUnknownOutcome: see Resolve; until then every Commit answers so,
//   - others: nothing happened, the same request may be repeated.
func (w *Writer) Commit(ctx context.Context, req CommitRequest) (*CommitResult, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.commit(ctx, req)
}
