package inspect

import (
	"context"
	"errors"
	"io"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// pieceBytes is how much of an object is asked for at once.
const pieceBytes = 1 << 20

// object reads a stored object piece by piece. It carries the context of the check that opened it, which io.ReaderAt has no place for.
type object struct {
	ctx   context.Context
	store storage.Store
	key   string
	size  int64
	piece []byte // the last one read
	at    int64
	err   error // of the store, so that it is told from damage whatever a format's reader makes of it
}

func open(ctx context.Context, store storage.Store, key string, size int64) *object {
	return &object{ctx: ctx, store: store, key: key, size: size}
}

// ReadAt implements io.ReaderAt.
func (o *object) ReadAt(b []byte, off int64) (int, error) {
	n := 0
	for n < len(b) {
		at := off + int64(n)
		if at >= o.size {
			return n, io.EOF
		}
		if at < o.at || at >= o.at+int64(len(o.piece)) {
			piece, err := o.store.GetRange(o.ctx, o.key, at, min(max(pieceBytes, int64(len(b)-n)), o.size-at))
			if err != nil {
				if !errors.Is(err, storage.ErrNotExist) && !errors.Is(err, storage.ErrRange) {
					o.err = err
				}
				return n, err
			}
			if len(piece) == 0 {
				return n, io.ErrUnexpectedEOF
			}
			o.piece, o.at = piece, at
		}
		n += copy(b[n:], o.piece[at-o.at:])
	}
	return n, nil
}
