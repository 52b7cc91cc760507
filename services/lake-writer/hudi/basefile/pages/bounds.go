package pages

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go/format"
)

// Limits of bounds. Parquet-mr leaves statistics away whose two bounds together are longer than the first, and cuts bounds in the
// column index to the second.
const (
	maxStatisticsBytes = 4096
	indexBoundLimit    = 64
)

// CompareSigned orders big-endian two's complement numbers of equal length.
func CompareSigned(a, b []byte) int {
	if len(a) > 0 && len(b) > 0 && a[0]&0x80 != b[0]&0x80 {
		return int(b[0]&0x80) - int(a[0]&0x80) // the one with the sign bit is less
	}
	return bytes.Compare(a, b)
}

// bounds are the least and the greatest value of a page or a chunk, none when both are nil. Numbers are in the little-endian bytes
// that Parquet's statistics have.
type bounds struct {
	low, high []byte
	known     bool
	unordered bool // a NaN was seen: no bounds hold it, for engines count it as the greatest

	// Of both bounds as texts: how many bytes they share at the beginning, and the eight bytes behind as numbers. Both are 0 when one of
	// them is shorter.
	shared          int
	lowWord, hiWord uint64
}

// holds reports whether a text is certainly between the bounds in the order of its bytes; most are, and need no more than a look at
// the bytes in which the bounds differ.
func (b *bounds) holds(v []byte) bool {
	if len(v) < b.shared+8 {
		return false
	}
	word := binary.BigEndian.Uint64(v[b.shared:])
	return b.lowWord < word && word < b.hiWord && string(v[:b.shared]) == string(b.low[:b.shared])
}

// widenText is widen of a text, in the order of its bytes. Of one page's bounds either all texts come by it or none.
func (b *bounds) widenText(v []byte) {
	if b.known && (b.holds(v) || bytes.Compare(b.low, v) <= 0 && bytes.Compare(v, b.high) <= 0) {
		return
	}
	b.widen(v, bytes.Compare)
	n := 0
	for n < min(len(b.low), len(b.high)) && b.low[n] == b.high[n] {
		n++
	}
	if b.shared, b.lowWord, b.hiWord = n, 0, 0; n+8 <= min(len(b.low), len(b.high)) {
		b.lowWord, b.hiWord = binary.BigEndian.Uint64(b.low[n:]), binary.BigEndian.Uint64(b.high[n:])
	}
}

// widen makes room for a value.
func (b *bounds) widen(v []byte, compare func(a, b []byte) int) {
	switch {
	case !b.known:
		b.low, b.high, b.known = append(b.low[:0], v...), append(b.high[:0], v...), true
	case compare(v, b.low) < 0:
		b.low = append(b.low[:0], v...)
	case compare(v, b.high) > 0:
		b.high = append(b.high[:0], v...)
	}
}

func (b *bounds) merge(other *bounds, compare func(a, b []byte) int) {
	b.unordered = b.unordered || other.unordered
	switch {
	case !other.known:
	case !b.known:
		b.low, b.high, b.known = append(b.low[:0], other.low...), append(b.high[:0], other.high...), true
	default: // low and high apart: of the zeros of floats, each has its own
		if compare(other.low, b.low) < 0 {
			b.low = append(b.low[:0], other.low...)
		}
		if compare(other.high, b.high) > 0 {
			b.high = append(b.high[:0], other.high...)
		}
	}
}

func (b *bounds) reset() { *b = bounds{low: b.low[:0], high: b.high[:0]} }

// order is how a column's bounds compare.
func (s *Spec) order() func(a, b []byte) int {
	switch s.Type {
	case format.Int32:
		return func(a, b []byte) int {
			return compare(int32(binary.LittleEndian.Uint32(a)), int32(binary.LittleEndian.Uint32(b)))
		}
	case format.Int64:
		return func(a, b []byte) int {
			return compare(int64(binary.LittleEndian.Uint64(a)), int64(binary.LittleEndian.Uint64(b)))
		}
	case format.Float:
		return func(a, b []byte) int {
			return compare(math.Float32frombits(binary.LittleEndian.Uint32(a)), math.Float32frombits(binary.LittleEndian.Uint32(b)))
		}
	case format.Double:
		return func(a, b []byte) int {
			return compare(math.Float64frombits(binary.LittleEndian.Uint64(a)), math.Float64frombits(binary.LittleEndian.Uint64(b)))
		}
	default:
		if s.Signed {
			return CompareSigned
		}
		return bytes.Compare
	}
}

// compare is cmp.Compare without its order of NaN, which never comes here.
func compare[T int32 | int64 | float32 | float64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}

// floatBounds finds the bounds of a page of floats. Zeros become the sign that holds both: readers may or may not tell them apart.
func floatBounds[F float32 | float64](b *bounds, values []F, encode func([]byte, F) []byte) {
	if len(values) == 0 {
		return
	}
	low, high := F(math.Inf(1)), F(math.Inf(-1))
	for _, v := range values {
		if v != v {
			b.unordered = true
			return
		}
		low, high = min(low, v), max(high, v)
	}
	if low == 0 {
		low = F(math.Copysign(0, -1))
	}
	if high == 0 {
		high = 0
	}
	b.low, b.high, b.known = encode(b.low[:0], low), encode(b.high[:0], high), true
}

// pageIndex gathers the column index and the offset index of a chunk.
type pageIndex struct {
	format.ColumnIndex
	pages []format.PageLocation
}

func (p *pageIndex) reset() { *p = pageIndex{} } // what it had belongs to the caller

func (p *pageIndex) add(b *bounds, nulls int, spec *Spec) {
	p.NullPages = append(p.NullPages, !b.known && !b.unordered)
	p.NullCounts = append(p.NullCounts, int64(nulls))
	low, high := []byte{}, []byte{} // of a page of nulls they are empty by the specification
	if b.known {
		low, high = spec.cut(b.low, b.high)
	}
	p.MinValues, p.MaxValues = append(p.MinValues, low), append(p.MaxValues, high)
}

// order says whether the bounds of the pages that have some rise or fall.
func (p *pageIndex) order(compare func(a, b []byte) int) format.BoundaryOrder {
	rises, falls := true, true
	last := -1
	for page := range p.MinValues {
		if p.NullPages[page] {
			continue
		}
		if last >= 0 {
			low, high := compare(p.MinValues[last], p.MinValues[page]), compare(p.MaxValues[last], p.MaxValues[page])
			rises = rises && low <= 0 && high <= 0
			falls = falls && low >= 0 && high >= 0
		}
		last = page
	}
	switch {
	case rises:
		return format.Ascending
	case falls:
		return format.Descending
	default:
		return format.Unordered
	}
}

// cut shortens bounds of byte arrays, and copies all.
func (s *Spec) cut(low, high []byte) (cutLow, cutHigh []byte) {
	switch {
	case s.Type != format.ByteArray:
		return slices.Clone(low), slices.Clone(high)
	case s.Text:
		return lowText(low, indexBoundLimit), highText(high, indexBoundLimit)
	default:
		return lowBytes(low, indexBoundLimit), highBytes(high, indexBoundLimit)
	}
}

// lowBytes shortens a lower bound: a prefix is not above the whole.
func lowBytes(b []byte, limit int) []byte { return append([]byte{}, b[:min(len(b), limit)]...) }

// highBytes shortens an upper bound to a prefix that is above the whole, if there is one.
func highBytes(b []byte, limit int) []byte {
	if len(b) <= limit {
		return append([]byte{}, b...)
	}
	cut := slices.Clone(b[:limit])
	for i := len(cut) - 1; i >= 0; i-- {
		if cut[i]++; cut[i] != 0 {
			return cut[:i+1]
		}
	}
	return slices.Clone(b)
}

// lowText is lowBytes that keeps text valid: bounds must be values of the column's type.
func lowText(b []byte, limit int) []byte { return append([]byte{}, b[:wholeRunes(b, limit)]...) }

// highText is highBytes for text: the last character that has a successor becomes it. Bytes order text as code points do.
func highText(b []byte, limit int) []byte {
	if len(b) <= limit {
		return append([]byte{}, b...)
	}
	cut := b[:wholeRunes(b, limit)]
	for len(cut) > 0 {
		r, size := utf8.DecodeLastRune(cut)
		cut = cut[:len(cut)-size]
		if r++; r == surrogates {
			r = afterSurrogates
		}
		if r <= utf8.MaxRune {
			return utf8.AppendRune(slices.Clone(cut), r)
		}
	}
	return slices.Clone(b)
}

// Code points that are no characters.
const (
	surrogates      = 0xd800
	afterSurrogates = 0xe000
)

// wholeRunes is the length of the longest prefix of whole characters within the limit.
func wholeRunes(b []byte, limit int) int {
	n := min(len(b), limit)
	for n > 0 && n < len(b) && !utf8.RuneStart(b[n]) {
		n--
	}
	return n
}
