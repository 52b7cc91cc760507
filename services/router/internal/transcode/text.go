package transcode

import (
	"bytes"
	"encoding/base64"
	"slices"
	"time"

	"github.com/playhead-pipeline/playhead/services/internal/avroscan"
)

// decimalBytes bounds decimals to 76 digits, which is more than any engine reads.
const (
	decimalBytes  = 32
	decimalDigits = 76
)

var strict = base64.StdEncoding.Strict()

// base64 reads bytes or a fixed.
func (s *state) base64(dst []byte, n *node) ([]byte, bool) {
	start := s.at
	text, ok := s.string()
	if !ok {
		return dst, false
	}
	size := base64Size(text)
	// The decoder skips line ends, which have no business here.
	if size < 0 || n.kind == avroscan.Fixed && size != n.size || bytes.ContainsAny(text, "\r\n") {
		return dst, s.fail(TypeMismatch, start)
	}
	out := dst
	if n.kind == avroscan.Bytes {
		out = avroscan.AppendLong(out, int64(size))
	}
	at := len(out)
	out = slices.Grow(out, size)[:at+size]
	if decoded, err := strict.Decode(out[at:], text); err != nil || decoded != size {
		return dst, s.fail(TypeMismatch, start)
	}
	return out, true
}

// base64Size returns the number of bytes that a padded text stands for, -1 if it cannot be one.
func base64Size(text []byte) int {
	if len(text)%4 != 0 {
		return -1
	}
	size := len(text) / 4 * 3
	for i := 1; i <= min(2, len(text)) && text[len(text)-i] == '='; i++ {
		size--
	}
	return size
}

// decimalValue reads a decimal, a number or a text that holds one, into the two's complement of its unscaled value.
func (s *state) decimalValue(dst []byte, n *node) ([]byte, bool) {
	start := s.at
	var v number
	var ok bool
	if s.peek() == '"' {
		text, isText := s.string()
		if !isText {
			return dst, false
		}
		var end int
		if v, end, ok = parseNumber(text, 0); !ok || end != len(text) {
			return dst, s.fail(TypeMismatch, start)
		}
	} else if v, ok = s.number(); !ok {
		return dst, false
	}
	first, count, exact := v.scaled(n.scale)
	if !exact || count-first > min(n.precision, decimalDigits) {
		return dst, s.fail(TypeMismatch, start)
	}
	unscaled := s.twosComplement(&v, first, count)
	if n.kind == avroscan.Bytes {
		return avroscan.AppendBytes(dst, unscaled), true
	}
	if len(unscaled) > n.size {
		return dst, s.fail(TypeMismatch, start)
	}
	sign := byte(0)
	if unscaled[0] >= 0x80 {
		sign = 0xff
	}
	for range n.size - len(unscaled) {
		dst = append(dst, sign)
	}
	return append(dst, unscaled...), true
}

// twosComplement returns the shortest form of an integer of up to 76 digits, which lies in s.decimal: 76 digits and the sign
// take 254 bits.
func (s *state) twosComplement(v *number, first, count int) []byte {
	clear(s.decimal[:])
	for i := first; i < count; i++ {
		carry := uint(v.digit(i))
		for j := decimalBytes - 1; j >= 0; j-- {
			carry += uint(s.decimal[j]) * 10
			s.decimal[j] = byte(carry)
			carry >>= 8
		}
	}
	if v.negative {
		carry := uint(1)
		for j := decimalBytes - 1; j >= 0; j-- {
			carry += uint(^s.decimal[j])
			s.decimal[j] = byte(carry)
			carry >>= 8
		}
	}
	// A leading byte can go if it only repeats the sign of the next.
	b := s.decimal[:]
	for len(b) > 1 && (b[0] == 0 && b[1] < 0x80 || b[0] == 0xff && b[1] >= 0x80) {
		b = b[1:]
	}
	return b
}

// timestamp reads an RFC 3339 text.
func (s *state) timestamp(dst []byte, perSecond int64) ([]byte, bool) {
	start := s.at
	text, ok := s.string()
	if !ok {
		return dst, false
	}
	seconds, nanos, ok := parseRFC3339(text)
	// Nanoseconds since 1970 reach from 1677 to 2262 only.
	if !ok || perSecond == 1e9 && (seconds < -9_223_372_036 || seconds >= 9_223_372_036) {
		return dst, s.fail(TypeMismatch, start)
	}
	return avroscan.AppendLong(dst, seconds*perSecond+nanos/(1e9/perSecond)), true
}

// parseRFC3339 parses a date and time with an offset: time.Parse takes more than the standard, and allocates for offsets.
// Leap seconds are refused, since a timestamp has no place for them.
func parseRFC3339(b []byte) (seconds, nanos int64, ok bool) {
	const layout = "0000-00-00T00:00:00"
	if len(b) < len(layout)+1 {
		return 0, 0, false
	}
	for i := range layout {
		fits := b[i] == layout[i]
		switch layout[i] {
		case '0':
			fits = b[i]-'0' <= 9
		case 'T':
			fits = b[i]|0x20 == 't'
		}
		if !fits {
			return 0, 0, false
		}
	}
	year, month, day := digits(b[:4]), digits(b[5:7]), digits(b[8:10])
	hour, minute, second := digits(b[11:13]), digits(b[14:16]), digits(b[17:19])
	if month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 59 {
		return 0, 0, false
	}
	rest := b[len(layout):]
	if rest[0] == '.' {
		end := digitsEnd(rest, 1)
		if end == 1 {
			return 0, 0, false
		}
		for i := 1; i <= 9; i++ {
			nanos *= 10
			if i < end {
				nanos += int64(rest[i] - '0')
			}
		}
		rest = rest[end:]
	}
	offset, ok := parseOffset(rest)
	t := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	return t.Unix() - int64(offset), nanos, ok
}

// parseOffset parses Z or ±hh:mm into seconds east of Greenwich.
func parseOffset(b []byte) (int, bool) {
	if len(b) == 1 {
		return 0, b[0]|0x20 == 'z'
	}
	if len(b) != 6 || b[0] != '+' && b[0] != '-' || b[3] != ':' || digitsEnd(b, 1) != 3 || digitsEnd(b, 4) != 6 {
		return 0, false
	}
	hour, minute := digits(b[1:3]), digits(b[4:6])
	offset := hour*3600 + minute*60
	if b[0] == '-' {
		offset = -offset
	}
	return offset, hour <= 23 && minute <= 59
}

func digits(b []byte) int {
	v := 0
	for _, c := range b {
		v = v*10 + int(c-'0')
	}
	return v
}

func daysIn(year, month int) int {
	// Day 0 of the next month is the last of this one.
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}
