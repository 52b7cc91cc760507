package hudi

import (
	"context"
	"io"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

const (
	// smallFileBytes is up to which size a file is read whole though only some of its columns may be wanted: with one request instead of two or more.
	smallFileBytes = 1 << 20
	// tailBytes at a file's end are read at once. They hold most footers.
	tailBytes = 64 << 10
)

// openColumns opens a base file of which the wanted columns' ranges will be read.
func (t *Table) openColumns(ctx context.Context, f fileslice.BaseFile) (*basefile.Reader, error) {
	if f.Size <= smallFileBytes {
		return t.OpenFile(ctx, f)
	}
	return basefile.OpenReader(&rangeReader{ctx: ctx, store: t.store, key: f.Key(), size: f.Size}, f.Size)
}

// rangeReader reads those ranges of an object that it is asked for, and no others. It carries the context of the call that opened it, which
// io.ReaderAt has no place for. It is for one goroutine.
type rangeReader struct {
	ctx   context.Context
	store storage.Store
	key   string
	size  int64
	tail  []byte
}

// ReadAt implements io.ReaderAt.
func (r *rangeReader) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 || off >= r.size {
		return 0, io.EOF
	}
	from := max(r.size-tailBytes, 0)
	if off >= from && r.tail == nil {
		tail, err := r.store.GetRange(r.ctx, r.key, from, r.size-from)
		if err != nil {
			return 0, err
		}
		if int64(len(tail)) != r.size-from { // the object is not what was listed
			return 0, io.ErrUnexpectedEOF
		}
		r.tail = tail
	}
	var part []byte
	if off >= from {
		part = r.tail[off-from:]
	} else {
		var err error
		if part, err = r.store.GetRange(r.ctx, r.key, off, min(int64(len(b)), r.size-off)); err != nil {
			return 0, err
		}
	}
	n := copy(b, part)
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}
