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
		return storage.NewPieceReader(ctx, t.store, key, size), size, nil
	}
	data, _, err := t.store.Get(ctx, key)
	if err != nil {
		return nil, 0, err
	}
	return bytes.NewReader(data), int64(len(data)), nil
}
