package scan

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// Type is what a query asks for.
type Type int

// The types of queries. On a copy-on-write table the first two give the same rows.
const (
	Snapshot Type = iota
	ReadOptimized
	Incremental
)

// Query selects rows and columns.
type Query struct {
	Type       Type
	AsOf       timeline.Instant // "": now
	From       timeline.Instant // of an incremental query: rows that commits after it wrote, up to and with AsOf
	Columns    []string         // in this order; nil: the meta columns and the table's columns
	Partitions []string         // path prefixes, "event_date=2026-11-22/": only partitions that begin so; nil: all
}

// Rows yields the query's rows, by partition, file group and place in the file. A column that an older file lacks is null. It
// holds one file's pages at a time, and that file whole when it is small. After an error it yields nothing more.
func Rows(ctx context.Context, store storage.Store, q Query) iter.Seq2[basefile.Row, error] {
	return func(yield func(basefile.Row, error) bool) {
		view, err := Load(ctx, store, q.AsOf, q.Partitions)
		if err == nil {
			q.Columns, err = view.choose(q.Columns)
		}
		if err != nil {
			yield(basefile.Row{}, err)
			return
		}
		for _, slice := range view.Slices {
			if q.Type == Incremental && slice.Base.Instant <= q.From { // all its rows are older
				continue
			}
			if err := ctx.Err(); err != nil {
				yield(basefile.Row{}, err)
				return
			}
			if !sliceRows(ctx, store, q, slice, yield) {
				return
			}
		}
	}
}

// Columns are the meta columns and those of the newest schema.
func (v *View) Columns() ([]string, error) {
	var schema struct {
		Fields []struct {
			Name string `json:"name"`
		} `json:"fields"`
	}
	if err := json.Unmarshal([]byte(v.Schema), &schema); err != nil {
		return nil, fmt.Errorf("read the table's schema: %w", err)
	}
	columns := basefile.MetaColumns()
	for _, f := range schema.Fields {
		if !slices.Contains(columns, f.Name) { // some writers record the meta columns too
			columns = append(columns, f.Name)
		}
	}
	return columns, nil
}

// choose checks the names of the columns asked for.
func (v *View) choose(names []string) ([]string, error) {
	columns, err := v.Columns()
	if err != nil || names == nil {
		return columns, err
	}
	for _, name := range names {
		if !slices.Contains(columns, name) {
			return nil, fmt.Errorf("the table has no column %q", name)
		}
	}
	return names, nil
}

// sliceRows yields the rows of one file group, and says whether to go on.
func sliceRows(ctx context.Context, store storage.Store, q Query, slice fileslice.Slice, yield func(basefile.Row, error) bool) bool {
	key := slice.Base.Key()
	fail := func(err error) bool {
		yield(basefile.Row{}, fmt.Errorf("data file %s: %w", key, err))
		return false
	}
	if slice.Logs > 0 && q.Type != ReadOptimized {
		return fail(ErrLogFiles)
	}
	file, err := OpenFile(ctx, store, key, slice.Base.Size)
	if err != nil {
		return fail(err)
	}
	// Only what the file has can be asked of it; the commit time tells what an incremental query wants.
	inFile := file.Columns()
	wanted := slices.DeleteFunc(slices.Clone(q.Columns), func(c string) bool { return !slices.Contains(inFile, c) })
	if q.Type == Incremental && !slices.Contains(wanted, basefile.CommitTimeColumn) {
		wanted = append(wanted, basefile.CommitTimeColumn)
	}
	for row, err := range file.Rows(wanted) {
		if err != nil {
			return fail(err)
		}
		if q.Type == Incremental && !q.covers(row) {
			continue
		}
		out := basefile.Row{Columns: q.Columns, Values: make([]any, len(q.Columns))}
		for i, c := range q.Columns {
			out.Values[i], _ = row.Get(c)
		}
		if !yield(out, nil) {
			return false
		}
	}
	return true
}

// covers reports whether a commit of the incremental query's span wrote the row.
func (q Query) covers(row basefile.Row) bool {
	v, _ := row.Get(basefile.CommitTimeColumn)
	text, _ := v.(string)
	at := timeline.Instant(text)
	return at > q.From && (q.AsOf == "" || at <= q.AsOf)
}

// wholeFileBytes is up to which size a file is read with one request.
const wholeFileBytes = 64 << 20

// OpenFile opens a base file of a store.
func OpenFile(ctx context.Context, store storage.Store, key string, size int64) (*basefile.Reader, error) {
	if size > wholeFileBytes {
		return basefile.OpenReader(&rangeReader{ctx: ctx, store: store, key: key, size: size}, size)
	}
	data, _, err := store.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	return basefile.OpenReader(bytes.NewReader(data), int64(len(data)))
}

// rangeReader reads a large object piece by piece. It carries the context of the call that opened it, which io.ReaderAt cannot.
type rangeReader struct {
	ctx   context.Context
	store storage.Store
	key   string
	size  int64
	piece []byte // the last one read
	at    int64
}

// pieceBytes is how much is asked for at once: a column's pages lie side by side.
const pieceBytes = 1 << 20

func (r *rangeReader) ReadAt(b []byte, off int64) (int, error) {
	n := 0
	for n < len(b) {
		at := off + int64(n)
		if at >= r.size {
			return n, io.EOF
		}
		if at < r.at || at >= r.at+int64(len(r.piece)) {
			piece, err := r.store.GetRange(r.ctx, r.key, at, min(max(pieceBytes, int64(len(b)-n)), r.size-at))
			if err != nil {
				return n, err
			}
			if len(piece) == 0 {
				return n, io.ErrUnexpectedEOF
			}
			r.piece, r.at = piece, at
		}
		n += copy(b[n:], r.piece[at-r.at:])
	}
	return n, nil
}
