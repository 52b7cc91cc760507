package frame

import (
	"encoding/binary"
	"math/bits"
)

// maxDepth is the deepest nesting that the scanner follows, the same as encoding/json's. It is far beyond what the router accepts: a
// deeper event than the router's limit has to be found whole here, so that the router can name it.
const maxDepth = 10_000

// containers remembers for each open container whether it is an object: one bit a level, so that nesting costs no recursion.
type containers struct {
	object [maxDepth/64 + 1]uint64
}

func (c *containers) push(depth int, object bool) {
	bit := uint64(1) << (depth & 63)
	if object {
		c.object[depth>>6] |= bit
	} else {
		c.object[depth>>6] &^= bit
	}
}

func (c *containers) isObject(depth int) bool { return c.object[depth>>6]>>(depth&63)&1 == 1 }

// value scans one JSON value (RFC 8259) that begins exactly at b[i]. It returns the offset after it, or the offset of the first byte
// that cannot be and false. UTF-8 inside strings is not checked.
func (c *containers) value(b []byte, i int) (int, bool) {
	depth := 0
	var ok bool
	for {
		if i >= len(b) {
			return i, false
		}
		switch b[i] {
		case '{':
			if depth == maxDepth {
				return i, false
			}
			c.push(depth, true)
			depth++
			if i = skipSpace(b, i+1); i < len(b) && b[i] == '}' {
				depth--
				i++
				break
			}
			if i, ok = memberName(b, i); !ok {
				return i, false
			}
			continue
		case '[':
			if depth == maxDepth {
				return i, false
			}
			c.push(depth, false)
			depth++
			if i = skipSpace(b, i+1); i < len(b) && b[i] == ']' {
				depth--
				i++
				break
			}
			continue
		default:
			if i, ok = scalar(b, i); !ok {
				return i, false
			}
		}
		if i, depth, ok = c.closeOrNext(b, i, depth); !ok {
			return i, false
		}
		if depth == 0 {
			return i, true
		}
	}
}

// closeOrNext goes from the end of a value to the start of the next one, closing containers on the way. It returns depth 0 when
// the outermost value is complete.
func (c *containers) closeOrNext(b []byte, i, depth int) (int, int, bool) {
	for depth > 0 {
		if i = skipSpace(b, i); i >= len(b) {
			return i, depth, false
		}
		object := c.isObject(depth - 1)
		switch {
		case b[i] == ',' && object:
			i, ok := memberName(b, skipSpace(b, i+1))
			return i, depth, ok
		case b[i] == ',':
			return skipSpace(b, i+1), depth, true
		case b[i] == '}' && object, b[i] == ']' && !object:
			depth--
			i++
		default:
			return i, depth, false
		}
	}
	return i, 0, true
}

// memberName scans `"name" :` and the space after it.
func memberName(b []byte, i int) (int, bool) {
	i, ok := text(b, i)
	if !ok {
		return i, false
	}
	if i = skipSpace(b, i); i >= len(b) || b[i] != ':' {
		return i, false
	}
	return skipSpace(b, i+1), true
}

// scalar scans a string, number or literal at b[i].
func scalar(b []byte, i int) (int, bool) {
	switch b[i] {
	case '"':
		return text(b, i)
	case 't':
		return literal(b, i, "true")
	case 'f':
		return literal(b, i, "false")
	case 'n':
		return literal(b, i, "null")
	default:
		return number(b, i)
	}
}

func literal(b []byte, i int, word string) (int, bool) {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return i, false
	}
	return i + len(word), true
}

func number(b []byte, i int) (int, bool) {
	if i < len(b) && b[i] == '-' {
		i++
	}
	whole := digits(b, i)
	if whole == i || b[i] == '0' && whole > i+1 {
		return i, false
	}
	i = whole
	if i < len(b) && b[i] == '.' {
		end := digits(b, i+1)
		if end == i+1 {
			return end, false
		}
		i = end
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		end := digits(b, i)
		if end == i {
			return end, false
		}
		i = end
	}
	return i, true
}

func digits(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// text scans a string at b[i] and returns the offset after the closing quote.
func text(b []byte, i int) (int, bool) {
	if i >= len(b) || b[i] != '"' {
		return i, false
	}
	i++
	for {
		i = plain(b, i)
		if i >= len(b) {
			return i, false
		}
		switch b[i] {
		case '"':
			return i + 1, true
		case '\\':
			n := escapeLength(b[i:])
			if n == 0 {
				return i, false
			}
			i += n
		default: // a control character
			return i, false
		}
	}
}

// plain returns the offset of the next quote, backslash or control character, or len(b). Eight bytes at a time: strings are most of
// an event, and this loop is most of the gateway's work on it (bit tricks of Hacker's Delight, chapter 6).
func plain(b []byte, i int) int {
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	for ; len(b)-i >= 8; i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		quote := w ^ ones*'"'
		slash := w ^ ones*'\\'
		// A byte under 0x20, or equal to a quote or backslash, raises its high bit. A borrow can raise bits only above the first hit.
		hit := ((w - ones*0x20) &^ w) | ((quote - ones) &^ quote) | ((slash - ones) &^ slash)
		if hit &= highs; hit != 0 {
			return i + bits.TrailingZeros64(hit)/8
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c == '"' || c == '\\' || c < 0x20 {
			return i
		}
	}
	return i
}

// escapeLength returns the length of the escape sequence at the start of b, or 0.
func escapeLength(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) < 6 {
			return 0
		}
		for _, c := range b[2:6] {
			if c-'0' > 9 && c|0x20-'a' > 5 {
				return 0
			}
		}
		return 6
	default:
		return 0
	}
}
