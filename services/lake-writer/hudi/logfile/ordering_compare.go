package logfile

import (
	"cmp"
	"math"
	"math/big"
)

// Compare orders two values as Java's compareTo does; ok is false when their classes differ, where Hudi lets the delete win, and for null.
func (o Ordering) Compare(other Ordering) (order int, ok bool) {
	if o.Kind != other.Kind {
		return 0, false
	}
	switch o.Kind {
	case OrderingNone:
		return 0, false
	case OrderingFloat, OrderingDouble:
		return compareFloats(o.Float64(), other.Float64()), true
	case OrderingBytes:
		return compareBytes(o.text, other.text), true
	case OrderingString:
		return compareTexts(o.text, other.text), true
	case OrderingDecimal:
		return unscaled(o.text).Cmp(unscaled(other.text)), true
	case OrderingArray:
		return compareArrays(o.items, other.items)
	default:
		return cmp.Compare(o.number, other.number), true
	}
}

// compareArrays orders by the first items that differ; arrays of other classes or lengths are not comparable
// (ArrayComparable.isValueSameClass, compareTo).
func compareArrays(a, b []Ordering) (order int, ok bool) {
	if len(a) != len(b) {
		return 0, false
	}
	for i := range a {
		c, same := a[i].Compare(b[i])
		if !same {
			return 0, false
		}
		order = cmp.Or(order, c)
	}
	return order, true
}

// compareFloats is Double.compare: -0 is before 0, NaN behind everything.
func compareFloats(a, b float64) int {
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return cmp.Compare(floatRank(a), floatRank(b))
}

func floatRank(f float64) int64 {
	if f != f {
		return math.MaxInt64
	}
	return int64(math.Float64bits(f))
}

// compareBytes is ByteBuffer.compareTo, where bytes are signed.
func compareBytes(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return cmp.Compare(int8(a[i]), int8(b[i]))
		}
	}
	return cmp.Compare(len(a), len(b))
}

// compareTexts is String.compareTo, which orders by UTF-16 units: what is outside the BMP is before U+E000 and later.
func compareTexts(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return cmp.Compare(utf16Rank(a[i]), utf16Rank(b[i]))
		}
	}
	return cmp.Compare(len(a), len(b))
}

// utf16Rank moves the first bytes of U+E000 to U+FFFF behind those of the other planes.
func utf16Rank(b byte) int {
	if b == 0xEE || b == 0xEF {
		return 0x100 + int(b)
	}
	return int(b)
}

// unscaled is the number of a big-endian two's complement.
func unscaled(text string) *big.Int {
	n := new(big.Int).SetBytes([]byte(text))
	if text != "" && text[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(text))))
	}
	return n
}
