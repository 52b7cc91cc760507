package history

import (
	"context"
	"fmt"
	"io"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

const (
	wholeBytes = 4 << 20   // up to which size a file is read with one request
	pieceBytes = 512 << 10 // what is asked for at once of a larger one
	pieceCount = 8         // pieces held: one for each column, as rows are read across them, and the footer
)

// object reads a file of the history, a small one whole and a large one piece by piece. It carries the context of the call that opened it,
// which io.ReaderAt has no place for.
type object struct {
	ctx    context.Context
	store  storage.Store
	key    string
	size   int64
	pieces [pieceCount]piece
	oldest int   // the piece that goes next
	err    error // of the store, which readers of Parquet may hide
}

type piece struct {
	at   int64
	data []byte
}

func openObject(ctx context.Context, store storage.Store, key string, size int64) (*object, error) {
	o := &object{ctx: ctx, store: store, key: key, size: size}
	if size > wholeBytes || size == 0 {
		return o, nil
	}
	data, err := store.GetRange(ctx, key, 0, size)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	o.pieces[0] = piece{0, data}
	if int64(len(data)) < size {
		return nil, &FileError{Key: key, Reason: fmt.Sprintf("%d bytes, the manifest says %d", len(data), size)}
	}
	return o, nil
}

// ReadAt implements io.ReaderAt.
func (o *object) ReadAt(b []byte, off int64) (int, error) {
	n := 0
	for n < len(b) {
		at := off + int64(n)
		if at >= o.size {
			return n, io.EOF
		}
		data, err := o.from(at)
		if err != nil {
			return n, err
		}
		n += copy(b[n:], data)
	}
	return n, nil
}

// from is what is held from an offset on, a byte at least.
func (o *object) from(at int64) ([]byte, error) {
	for _, p := range o.pieces {
		if at >= p.at && at < p.at+int64(len(p.data)) {
			return p.data[at-p.at:], nil
		}
	}
	data, err := o.store.GetRange(o.ctx, o.key, at, min(pieceBytes, o.size-at))
	if err == nil && len(data) == 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		o.err = fmt.Errorf("read %s: %w", o.key, err)
		return nil, o.err
	}
	o.pieces[o.oldest] = piece{at, data}
	o.oldest = (o.oldest + 1) % pieceCount
	return data, nil
}

// blame is the error to report when reading gave err: the store's, or that the file is damaged.
func (o *object) blame(key string, err error) error {
	if o.err != nil {
		return o.err
	}
	return &FileError{Key: key, Reason: "read", Err: err}
}
