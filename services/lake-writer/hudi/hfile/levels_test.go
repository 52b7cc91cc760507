package hfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
)

// layered builds a file as HBase does when the index is large: leaf blocks between the data blocks, intermediate blocks behind them, the
// file's middle key behind the root's entries, and made-up keys in the index that are shorter than any key of their block.
type layered struct {
	t      *testing.T
	out    []byte
	enc    encoder
	levels int
	fanout int
}

func (l *layered) add(magic string, payload []byte) indexEntry {
	l.t.Helper()
	body, err := l.enc.block(magic, payload, -1)
	if err != nil {
		l.t.Fatal(err)
	}
	e := indexEntry{offset: int64(len(l.out)), size: int64(len(body))}
	l.out = append(l.out, body...)
	return e
}

func lowerIndex(entries []indexEntry) []byte {
	out := binary.BigEndian.AppendUint32(nil, uint32(len(entries)))
	var body []byte
	for _, e := range entries {
		out = binary.BigEndian.AppendUint32(out, uint32(len(body)))
		body = binary.BigEndian.AppendUint64(body, uint64(e.offset))
		body = binary.BigEndian.AppendUint32(body, uint32(e.size))
		body = append(body, e.key...)
	}
	out = binary.BigEndian.AppendUint32(out, uint32(len(body)))
	return append(out, body...)
}

// file has keys k0000, k0002 ...: two in a data block. Its index keys are "k<number of the first key minus one>" and so in no block.
func (l *layered) file(blocks int) []byte {
	var index []indexEntry
	var w Writer // for its cells only
	level := func(magic string, under []indexEntry) []indexEntry {
		var above []indexEntry
		for part := range slices.Chunk(under, l.fanout) {
			e := l.add(magic, lowerIndex(part))
			e.key = part[0].key
			above = append(above, e)
		}
		return above
	}
	var last int64
	for b := range blocks {
		w = Writer{options: Options{BlockBytes: 1 << 20}}
		for i := range 2 {
			if err := w.Append(fmt.Appendf(nil, "k%04d", 4*b+2*i), fmt.Appendf(nil, "v%d", 4*b+2*i)); err != nil {
				l.t.Fatal(err)
			}
		}
		e := l.add(magicData, w.data)
		last = e.offset
		e.key = append(appendRow(nil, fmt.Appendf(nil, "k%04d", max(4*b-1, 0))), cellTail...)
		index = append(index, e)
		if b%3 == 1 {
			l.add(magicBloomChunk, []byte("bits"))
			l.add(magicLeafIndex, lowerIndex(nil))
		}
	}
	for n := l.levels; n > 1; n-- {
		magic := magicIntermediate
		if n == l.levels {
			magic = magicLeafIndex
		}
		index = level(magic, index)
	}
	root := appendIndex(nil, index)
	middle := append(root, make([]byte, 16)...)
	open := l.add(magicRootIndex, middle)
	l.add(magicRootIndex, nil)
	info := l.add(magicInfo, NewWriter(nil, Options{}).infoPayload())
	m := appendProtoNumber(nil, 1, uint64(info.offset))
	m = appendProtoNumber(m, 2, uint64(open.offset))
	m = appendProtoNumber(m, 5, uint64(len(index)))
	m = appendProtoNumber(m, 7, uint64(2*blocks))
	m = appendProtoNumber(m, 8, uint64(l.levels))
	m = appendProtoNumber(m, 9, 0)
	m = appendProtoNumber(m, 10, uint64(last))
	m = appendProtoNumber(m, 12, codecIDs[l.enc.codec])
	trailer := append([]byte(magicTrailer), byte(len(m)))
	trailer = append(append(trailer, m...), make([]byte, trailerBytes)...)[:trailerBytes]
	binary.BigEndian.PutUint32(trailer[trailerBytes-4:], 3<<24|3)
	return append(l.out, trailer...)
}

func TestIndexLevels(t *testing.T) {
	t.Parallel()
	for levels := 1; levels <= 4; levels++ {
		t.Run(fmt.Sprint(levels), func(t *testing.T) {
			t.Parallel()
			const blocks = 40
			l := layered{t: t, enc: encoder{sums: true}, levels: levels, fanout: 3}
			data := l.file(blocks)
			r, err := OpenReader(bytes.NewReader(data), int64(len(data)))
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for e, err := range r.Entries() {
				if err != nil {
					t.Fatal(err)
				}
				if want := fmt.Sprintf("k%04d", 2*n); string(e.Key) != want {
					t.Fatalf("entry %d is %s", n, e.Key)
				}
				n++
			}
			if n != 2*blocks {
				t.Errorf("%d entries", n)
			}
			for i := range 4*blocks + 2 {
				v, ok, err := r.Get(fmt.Appendf(nil, "k%04d", i))
				if want := i%2 == 0 && i < 4*blocks; err != nil || ok != want || ok && string(v) != fmt.Sprintf("v%d", i) {
					t.Errorf("Get(k%04d) = %q, %v, %v", i, v, ok, err)
				}
			}
			if _, ok, err := r.Get([]byte("a")); ok || err != nil {
				t.Errorf("before the first: %v, %v", ok, err)
			}
		})
	}
}

func TestVInt(t *testing.T) {
	t.Parallel()
	// Bytes as Hadoop's WritableUtils.writeVInt makes them.
	for v, want := range map[int][]byte{0: {0}, 20: {20}, 127: {127}, 128: {0x8f, 128}, 255: {0x8f, 255}, 256: {0x8e, 1, 0}, 70000: {0x8d, 1, 0x11, 0x70}} {
		got := appendVInt(nil, v)
		if !bytes.Equal(got, want) {
			t.Errorf("%d is % x", v, got)
		}
		if back, n, err := readVInt(append(got, 9)); back != int64(v) || n != len(got) || err != nil {
			t.Errorf("%d is read as %d, %d, %v", v, back, n, err)
		}
		if _, _, err := readVInt(got[:len(got)-1]); err == nil {
			t.Errorf("%d is read without its last byte", v)
		}
	}
	if v, n, err := readVInt([]byte{0x87, 0}); v != -1 || n != 2 || err != nil {
		t.Errorf("negative: %d, %d, %v", v, n, err)
	}
}
