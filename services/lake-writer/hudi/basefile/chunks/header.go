package chunks

import (
	"encoding/binary"

	"github.com/parquet-go/parquet-go/format"
)

// pageHeader is what decoding needs of a PageHeader (parquet.thrift).
type pageHeader struct {
	kind            format.PageType
	raw, compressed int32 // bytes
	crc             uint32
	hasCRC          bool

	values     int32
	encoding   format.Encoding
	defBytes   int32 // of version 2
	repBytes   int32
	stored     bool            // of version 2: the values are not compressed
	defLevels  format.Encoding // of version 1
	repLevels  format.Encoding
	dictionary bool
}

// Types of Thrift's compact protocol.
const (
	thriftStop   = 0
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftI16    = 4
	thriftI32    = 5
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
)

// maxThriftDepth is far above what page headers have, and keeps damaged ones from exhausting the stack.
const maxThriftDepth = 16

// thriftReader reads Thrift's compact protocol. What is wrong first makes it bad, and everything after it is zero.
type thriftReader struct {
	b   []byte
	pos int
	bad bool
}

func (t *thriftReader) byte() byte {
	if t.pos >= len(t.b) {
		t.bad = true
		return 0
	}
	b := t.b[t.pos]
	t.pos++
	return b
}

func (t *thriftReader) uvarint() uint64 {
	v, n := binary.Uvarint(t.b[t.pos:])
	if n <= 0 {
		t.bad, t.pos = true, len(t.b)
		return 0
	}
	t.pos += n
	return v
}

func (t *thriftReader) i32() int32 {
	v := t.uvarint()
	n := int64(v>>1) ^ -int64(v&1)
	if n != int64(int32(n)) {
		t.bad = true
	}
	return int32(n)
}

func (t *thriftReader) skipBytes(n uint64) {
	if n > uint64(len(t.b)-t.pos) {
		t.bad, t.pos = true, len(t.b)
		return
	}
	t.pos += int(n)
}

// fields calls read for each field of a struct; read returns false for fields that are to be skipped.
func (t *thriftReader) fields(depth int, read func(id int32, kind byte) bool) {
	id := int32(0)
	for !t.bad {
		head := t.byte()
		kind := head & 15
		if kind == thriftStop {
			return
		}
		if d := int32(head >> 4); d > 0 {
			id += d
		} else {
			id = t.i32()
		}
		if read == nil || !read(id, kind) {
			t.skip(kind, depth+1)
		}
	}
}

func (t *thriftReader) skip(kind byte, depth int) {
	if depth > maxThriftDepth {
		t.bad = true
	}
	if t.bad {
		return
	}
	switch kind {
	case thriftTrue, thriftFalse:
	case thriftByte:
		t.skipBytes(1)
	case thriftI16, thriftI32, thriftI64:
		t.uvarint()
	case thriftDouble:
		t.skipBytes(8)
	case thriftBinary:
		t.skipBytes(t.uvarint())
	case thriftList, thriftSet:
		head := t.byte()
		n := uint64(head >> 4)
		if n == 15 {
			n = t.uvarint()
		}
		t.skipItems(n, depth, head&15)
	case thriftMap:
		n := t.uvarint()
		if n == 0 {
			return
		}
		kinds := t.byte()
		t.skipItems(n, depth, kinds>>4, kinds&15)
	case thriftStruct:
		t.fields(depth, nil)
	default:
		t.bad = true
	}
}

// skipItems passes over a container's items. Booleans take a byte there.
func (t *thriftReader) skipItems(n uint64, depth int, kinds ...byte) {
	for range n {
		for _, kind := range kinds {
			if kind == thriftTrue || kind == thriftFalse {
				kind = thriftByte
			}
			t.skip(kind, depth+1)
		}
		if t.bad {
			return
		}
	}
}

// parseHeader reads a page header and says how long it is; ok is false when the bytes hold none, or not all of it.
func parseHeader(b []byte) (h pageHeader, n int, ok bool) {
	t := thriftReader{b: b}
	t.fields(0, func(id int32, kind byte) bool {
		switch {
		case id == 1 && kind == thriftI32:
			h.kind = format.PageType(t.i32())
		case id == 2 && kind == thriftI32:
			h.raw = t.i32()
		case id == 3 && kind == thriftI32:
			h.compressed = t.i32()
		case id == 4 && kind == thriftI32:
			h.crc, h.hasCRC = uint32(t.i32()), true
		case id == 5 && kind == thriftStruct:
			h.v1(&t)
		case id == 7 && kind == thriftStruct:
			h.dict(&t)
		case id == 8 && kind == thriftStruct:
			h.v2(&t)
		default:
			return false
		}
		return true
	})
	return h, t.pos, !t.bad
}

func (h *pageHeader) v1(t *thriftReader) {
	t.fields(1, func(id int32, kind byte) bool {
		if kind != thriftI32 {
			return false
		}
		switch id {
		case 1:
			h.values = t.i32()
		case 2:
			h.encoding = format.Encoding(t.i32())
		case 3:
			h.defLevels = format.Encoding(t.i32())
		case 4:
			h.repLevels = format.Encoding(t.i32())
		default:
			return false
		}
		return true
	})
}

func (h *pageHeader) dict(t *thriftReader) {
	h.dictionary = true
	t.fields(1, func(id int32, kind byte) bool {
		if kind != thriftI32 {
			return false
		}
		switch id {
		case 1:
			h.values = t.i32()
		case 2:
			h.encoding = format.Encoding(t.i32())
		default:
			return false
		}
		return true
	})
}

func (h *pageHeader) v2(t *thriftReader) {
	t.fields(1, func(id int32, kind byte) bool {
		if id == 7 {
			h.stored = kind == thriftFalse
			return kind == thriftTrue || kind == thriftFalse
		}
		if kind != thriftI32 {
			return false
		}
		switch id {
		case 1:
			h.values = t.i32()
		case 4:
			h.encoding = format.Encoding(t.i32())
		case 5:
			h.defBytes = t.i32()
		case 6:
			h.repBytes = t.i32()
		default:
			return false
		}
		return true
	})
}
