package transcode

import (
	"math"
	"strconv"
	"unsafe"

	"github.com/playhead-pipeline/playhead/services/internal/avroscan"
)

// number is a JSON number, taken apart: its value is the digits times ten to the exponent.
type number struct {
	text     []byte
	negative bool
	// whole and fraction are the digits before and after the point.
	whole, fraction []byte
	// exponent is what stands after the e, held within maxExponent.
	exponent int
}

// maxExponent bounds exponents: no type has values with more digits.
const maxExponent = 1 << 20

// parseNumber reads a number by JSON's grammar and returns the place after it.
func parseNumber(b []byte, at int) (n number, next int, ok bool) {
	start := at
	if at < len(b) && b[at] == '-' {
		n.negative = true
		at++
	}
	end := digitsEnd(b, at)
	n.whole = b[at:end]
	if len(n.whole) == 0 || n.whole[0] == '0' && len(n.whole) > 1 {
		return n, at, false
	}
	at = end
	if at < len(b) && b[at] == '.' {
		end = digitsEnd(b, at+1)
		n.fraction = b[at+1 : end]
		if len(n.fraction) == 0 {
			return n, at, false
		}
		at = end
	}
	if at < len(b) && b[at]|0x20 == 'e' {
		if n.exponent, at, ok = parseExponent(b, at+1); !ok {
			return n, at, false
		}
	}
	n.text = b[start:at]
	return n, at, true
}

func parseExponent(b []byte, at int) (exponent, next int, ok bool) {
	negative := at < len(b) && b[at] == '-'
	if negative || at < len(b) && b[at] == '+' {
		at++
	}
	end := digitsEnd(b, at)
	for _, c := range b[at:end] {
		exponent = min(exponent*10+int(c-'0'), maxExponent)
	}
	if negative {
		exponent = -exponent
	}
	return exponent, end, end > at
}

func digitsEnd(b []byte, at int) int {
	for at < len(b) && b[at]-'0' <= 9 {
		at++
	}
	return at
}

// digit returns a digit by its place in whole and fraction, and 0 beyond them.
func (n *number) digit(i int) byte {
	if i < len(n.whole) {
		return n.whole[i] - '0'
	}
	if i -= len(n.whole); i < len(n.fraction) {
		return n.fraction[i] - '0'
	}
	return 0
}

// scaled says which digits make up the number times ten to the scale: those up to count, starting at the first that is not
// 0. exact is false if digits other than 0 are left over.
func (n *number) scaled(scale int) (first, count int, exact bool) {
	total := len(n.whole) + len(n.fraction)
	for first < total && n.digit(first) == 0 {
		first++
	}
	if first == total {
		return 0, 0, true // zero
	}
	count = len(n.whole) + n.exponent + scale
	for i := max(count, first); i < total; i++ {
		if n.digit(i) != 0 {
			return first, count, false
		}
	}
	return first, count, true
}

// int64 returns the value if it is integral and fits.
func (n *number) int64() (int64, bool) {
	first, count, exact := n.scaled(0)
	if !exact || count-first > 19 {
		return 0, false
	}
	var v uint64
	for i := first; i < count; i++ {
		v = v*10 + uint64(n.digit(i)) // 19 digits fit
	}
	if n.negative {
		return -int64(v), v <= 1<<63
	}
	return int64(v), v <= math.MaxInt64
}

// number reads a number.
func (s *state) number() (number, bool) {
	if c := s.peek(); c != '-' && c-'0' > 9 {
		return number{}, s.mismatch()
	}
	n, next, ok := parseNumber(s.json, s.at)
	if !ok {
		return n, s.fail(MalformedJSON, s.at)
	}
	s.at = next
	return n, true
}

func (s *state) integer(dst []byte, is32 bool) ([]byte, bool) {
	start := s.at
	v, ok := s.shortInteger()
	if !ok {
		n, ok := s.number()
		if !ok {
			return dst, false
		}
		if v, ok = n.int64(); !ok {
			return dst, s.fail(TypeMismatch, start)
		}
	}
	if is32 && (v < math.MinInt32 || v > math.MaxInt32) {
		return dst, s.fail(TypeMismatch, start)
	}
	return avroscan.AppendLong(dst, v), true
}

// shortInteger reads a number of up to 18 plain digits, as almost all are. It reads nothing and is false for others.
func (s *state) shortInteger() (int64, bool) {
	at := s.at
	negative := s.peek() == '-'
	if negative {
		at++
	}
	begin := at
	var v int64
	for at < len(s.json) && s.json[at]-'0' <= 9 && at-begin <= 18 {
		v = v*10 + int64(s.json[at]-'0')
		at++
	}
	digits := at - begin
	if digits == 0 || digits > 18 || digits > 1 && s.json[begin] == '0' {
		return 0, false
	}
	if at < len(s.json) && (s.json[at] == '.' || s.json[at]|0x20 == 'e') {
		return 0, false
	}
	s.at = at
	if negative {
		v = -v
	}
	return v, true
}

func (s *state) float(dst []byte, is32 bool) ([]byte, bool) {
	start := s.at
	n, ok := s.number()
	if !ok {
		return dst, false
	}
	size := 64
	if is32 {
		size = 32
	}
	// ParseFloat keeps no part of its argument, unless in an error, which is dropped here.
	v, err := strconv.ParseFloat(unsafe.String(&n.text[0], len(n.text)), size)
	if err != nil {
		return dst, s.fail(TypeMismatch, start)
	}
	if is32 {
		return avroscan.AppendFloat(dst, float32(v)), true
	}
	return avroscan.AppendDouble(dst, v), true
}
