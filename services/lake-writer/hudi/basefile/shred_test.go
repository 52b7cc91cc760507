package basefile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"testing"
)

// One byte above ASCII is seen wherever it is, in texts of any length.
func TestASCII(t *testing.T) {
	t.Parallel()
	for n := range 40 {
		b := bytes.Repeat([]byte{0x7f}, n)
		if !ascii(b) {
			t.Errorf("%d bytes are not ASCII", n)
		}
		for i := range b {
			b[i] = 0x80
			if ascii(b) {
				t.Errorf("byte %d of %d was overlooked", i, n)
			}
			b[i] = 0x7f
		}
	}
}

// Numbers are read as binary.Uvarint does, wherever they end in the bytes.
func TestUvarint(t *testing.T) {
	t.Parallel()
	check := func(b []byte) {
		t.Helper()
		n, size := uvarint(b)
		if wantN, wantSize := binary.Uvarint(b); n != wantN || size != wantSize {
			t.Errorf("%x is %d of %d bytes, want %d of %d", b, n, size, wantN, wantSize)
		}
	}
	for shift := range 64 {
		for _, n := range []uint64{1 << shift, 1<<shift - 1, math.MaxUint64 >> shift, 0x5555555555555555 >> shift} {
			b := binary.AppendUvarint(nil, n)
			for _, behind := range [][]byte{nil, {0}, {0xff, 0xff, 0xff}, bytes.Repeat([]byte{0xff}, 12), bytes.Repeat([]byte{0x01}, 12)} {
				check(append(b[:len(b):len(b)], behind...))
			}
			check(b[:len(b)-1])
		}
	}
	check([]byte{0x80, 0x80, 0x00, 1, 2, 3, 4, 5, 6})
	check(bytes.Repeat([]byte{0x80}, 20))
	check(nil)
}

// Sequence numbers are those that would be printed, over every growth of a digit and after every jump.
func TestSequenceNumbers(t *testing.T) {
	t.Parallel()
	w, err := NewWriter(io.Discard, testConfig("20261122080000000"))
	if err != nil {
		t.Fatal(err)
	}
	rows := []int64{0, 1, 7, 8, 9, 10, 11, 99, 100, 5, 6, 6, 199, 200, 999, 1000, 1001, 99999, 100000, 0}
	for _, row := range rows {
		w.keepSeqno(row)
	}
	for i, v := range w.batch.columns[leafCommitSeqno].Values {
		if got, want := string(w.batch.arena[v>>32:][:uint32(v)]), fmt.Sprintf("20261122080000000_1_%d", rows[i]); got != want {
			t.Errorf("row %d: %s, want %s", i, got, want)
		}
	}
}
