package hudi

import (
	"bytes"
	"context"
	"io"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// wholeFileBytes is up to which size a file is read with one request, and held in memory.
const wholeFileBytes = 64 << 20

// OpenFile opens a base file of the table. The reader's later calls use the context too.
func (t *Table) OpenFile(ctx context.Context, f fileslice.BaseFile) (*basefile.Reader, error) {
	r, size, err := t.openObject(ctx, f.Key(), f.Size)
	if err != nil {
		return nil, err
	}
	return basefile.OpenReader(r, size)
}

// openObject reads an object, which was listed with so many bytes, whole or piece by piece.
func (t *Table) openObject(ctx context.Context, key string, size int64) (io.ReaderAt, int64, error) {
	if size > wholeFileBytes {
		return &rangeReader{ctx: ctx, store: t.store, key: key, size: size}, size, nil
	}
	data, _, err := t.store.Get(ctx, key)
	if err != nil {
		return nil, 0, err
	}
	return bytes.NewReader(data), int64(len(data)), nil
}

// rangeReader reads a large object piece by piece. It carries the context of the call that opened it, which io.ReaderAt has no
// place for.
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

// ReadAt implements io.ReaderAt.
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
