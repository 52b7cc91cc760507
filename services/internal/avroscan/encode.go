package avroscan

import (
	"encoding/binary"
	"math"
)

// maxVarint is the longest encoding of a 64-bit value.
const maxVarint = 10

// ReadLong reads the int, long, index or length that begins at a place, and returns the place after it, which is negative
// when no complete value is there. Positions come from a Span of a body that Scan took.
func ReadLong(body []byte, at int) (value int64, next int) {
	if uint(at) >= uint(len(body)) {
		return 0, -1
	}
	if b := body[at]; b < 0x80 {
		return int64(b>>1) ^ -int64(b&1), at + 1
	}
	return readLongSlow(body, at)
}

func readLongSlow(body []byte, at int) (int64, int) {
	var v uint64
	for i := range maxVarint {
		if at+i >= len(body) {
			return 0, -1
		}
		b := body[at+i]
		if i == maxVarint-1 && b > 1 {
			return 0, -1 // more than 64 bits
		}
		v |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			return int64(v>>1) ^ -int64(v&1), at + i + 1
		}
	}
	return 0, -1
}

// ReadString reads the string or bytes value that begins at a place. The value is a part of body, not a copy; next is
// negative when no complete value is there.
func ReadString(body []byte, at int) (value []byte, next int) {
	n, at := ReadLong(body, at)
	if at < 0 || n < 0 || n > int64(len(body)-at) {
		return nil, -1
	}
	end := at + int(n)
	return body[at:end:end], end
}

// AppendLong appends an int, a long, an enum or union index, or a block count.
func AppendLong(dst []byte, v int64) []byte {
	return binary.AppendUvarint(dst, uint64(v)<<1^uint64(v>>63))
}

// AppendBytes appends a bytes value, or a string that is held as bytes.
func AppendBytes(dst, v []byte) []byte {
	dst = AppendLong(dst, int64(len(v)))
	return append(dst, v...)
}

// AppendString appends a string.
func AppendString(dst []byte, v string) []byte {
	dst = AppendLong(dst, int64(len(v)))
	return append(dst, v...)
}

// AppendBool appends a boolean.
func AppendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// AppendFloat appends a float.
func AppendFloat(dst []byte, v float32) []byte {
	return binary.LittleEndian.AppendUint32(dst, math.Float32bits(v))
}

// AppendDouble appends a double.
func AppendDouble(dst []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
}
