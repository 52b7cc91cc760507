package storage_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// TestPieceReader: large objects are read in pieces; the bytes must be the same.
func TestPieceReader(t *testing.T) {
	t.Parallel()
	store := storage.NewMem()
	const testPiece = 1 << 20 // as large as the reader's pieces
	data := make([]byte, 3*testPiece+17)
	for i := range data {
		data[i] = byte(i * i / 257)
	}
	if _, err := store.Put(t.Context(), "big", data, storage.Condition{}); err != nil {
		t.Fatal(err)
	}
	r := storage.NewPieceReader(t.Context(), store, "big", int64(len(data)))
	whole, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	if err != nil || !bytes.Equal(whole, data) {
		t.Fatalf("read %d bytes: %v", len(whole), err)
	}
	for _, at := range []int64{int64(len(data)) - 3, 5, testPiece - 2, 2 * testPiece} {
		var b [8]byte
		n, err := r.ReadAt(b[:], at)
		if !bytes.Equal(b[:n], data[at:at+int64(n)]) || (n < 8) != errors.Is(err, io.EOF) {
			t.Errorf("at %d: %d bytes, %v", at, n, err)
		}
	}
}
