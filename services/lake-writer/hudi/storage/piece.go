package storage

import (
	"context"
	"errors"
	"io"
)

// pieceBytes is how much of an object is asked for at once: a column's pages lie side by side.
const pieceBytes = 1 << 20

// PieceReader reads a large object piece by piece. It carries the context of the call that opened it, which io.ReaderAt has no place for.
// It is for one goroutine.
type PieceReader struct {
	ctx   context.Context
	store Store
	key   string
	size  int64
	piece []byte // the last one read
	at    int64
	err   error
}

// NewPieceReader opens an object that was listed with so many bytes. It sends no request.
func NewPieceReader(ctx context.Context, s Store, key string, size int64) *PieceReader {
	return &PieceReader{ctx: ctx, store: s, key: key, size: size}
}

// Size is the object's size as it was listed, in bytes.
func (r *PieceReader) Size() int64 { return r.size }

// Err is the last error of the store, so that it is told from damage whatever a format's reader makes of it. An object that is gone, or
// shorter than it was, is none.
func (r *PieceReader) Err() error { return r.err }

// ReadAt implements io.ReaderAt.
func (r *PieceReader) ReadAt(b []byte, off int64) (int, error) {
	n := 0
	for n < len(b) {
		at := off + int64(n)
		if at >= r.size {
			return n, io.EOF
		}
		if at < r.at || at >= r.at+int64(len(r.piece)) {
			piece, err := r.store.GetRange(r.ctx, r.key, at, min(max(pieceBytes, int64(len(b)-n)), r.size-at))
			if err != nil {
				if !errors.Is(err, ErrNotExist) && !errors.Is(err, ErrRange) {
					r.err = err
				}
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
