package transcode

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// peek returns the byte at the place, 0 at the end. No token begins with 0.
func (s *state) peek() byte {
	if s.at < len(s.json) {
		return s.json[s.at]
	}
	return 0
}

func (s *state) space() {
	for s.at < len(s.json) {
		switch s.json[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// next goes to the next element of a list or an object, of which count have been read; it says whether there is one, or
// reads the end.
func (s *state) next(end byte, count int) (more, ok bool) {
	s.space()
	c := s.peek()
	if c == end {
		s.at++
		return false, true
	}
	if count > 0 {
		if c != ',' {
			return false, s.fail(MalformedJSON, s.at)
		}
		s.at++
		s.space()
	}
	return true, true
}

// colon reads what stands between a member's name and its value.
func (s *state) colon() bool {
	s.space()
	if s.peek() != ':' {
		return s.fail(MalformedJSON, s.at)
	}
	s.at++
	s.space()
	return true
}

// name reads a member's name and the colon. The name lies in the text or in s.text.
func (s *state) name() ([]byte, bool) {
	if s.peek() != '"' {
		return nil, s.fail(MalformedJSON, s.at)
	}
	name, ok := s.string()
	return name, ok && s.colon()
}

// mismatch reports a value of the wrong type, or no value at all.
func (s *state) mismatch() bool {
	switch c := s.peek(); c {
	case '"', '{', '[', '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return s.fail(TypeMismatch, s.at)
	case 't', 'f', 'n':
		offset := s.at
		for _, word := range []string{"true", "false", "null"} {
			if word[0] == c && s.literal(word) {
				return s.fail(TypeMismatch, offset)
			}
		}
		return false
	}
	return s.fail(MalformedJSON, s.at)
}

// literal reads one of JSON's three words.
func (s *state) literal(word string) bool {
	end := s.at + len(word)
	if end > len(s.json) || string(s.json[s.at:end]) != word {
		return s.fail(MalformedJSON, s.at)
	}
	s.at = end
	return true
}

func (s *state) boolean(dst []byte) ([]byte, bool) {
	switch s.peek() {
	case 't':
		return append(dst, 1), s.literal("true")
	case 'f':
		return append(dst, 0), s.literal("false")
	}
	return dst, s.mismatch()
}

// string reads a text. The result lies in the event, or in s.text if there were escapes; it is valid until the next text.
func (s *state) string() ([]byte, bool) {
	if s.peek() != '"' {
		return nil, s.mismatch()
	}
	start := s.at + 1
	end, ascii := plainEnd(s.json, start)
	if end == len(s.json) {
		return nil, s.fail(MalformedJSON, s.at)
	}
	text := s.json[start:end]
	if s.json[end] != '"' {
		var ok bool
		if text, ok = s.escaped(start, end); !ok {
			return nil, false
		}
		ascii = false
	} else {
		s.at = end + 1
	}
	if !ascii && !utf8.Valid(text) {
		return nil, s.fail(InvalidUTF8, start)
	}
	if len(text) > s.limits.MaxValueBytes {
		return nil, s.fail(TooLarge, start-1)
	}
	return text, true
}

// plainEnd finds the first quote, backslash or control character, eight bytes at a time, and says whether everything before
// it is surely ASCII.
func plainEnd(b []byte, at int) (end int, ascii bool) {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	var high uint64
	for ; at+8 <= len(b); at += 8 {
		x := binary.LittleEndian.Uint64(b[at:])
		quote, backslash := x^(ones*'"'), x^(ones*'\\')
		// Each term flags the bytes that are 0, or below 0x20; a borrow can flag only bytes after a true hit.
		hits := ((quote-ones)&^quote | (backslash-ones)&^backslash | (x-ones*0x20)&^x) & tops
		if hits != 0 {
			n := bits.TrailingZeros64(hits) >> 3
			high |= x & (1<<(8*n) - 1)
			return at + n, high&tops == 0
		}
		high |= x
	}
	ascii = high&tops == 0
	for ; at < len(b); at++ {
		c := b[at]
		if c == '"' || c == '\\' || c < 0x20 {
			break
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	return at, ascii
}

// escaped reads the rest of a text from its first special character on.
func (s *state) escaped(start, at int) ([]byte, bool) {
	s.text = append(s.text[:0], s.json[start:at]...)
	for at < len(s.json) {
		switch c := s.json[at]; {
		case c == '"':
			s.at = at + 1
			return s.text, true
		case c == '\\':
			var ok bool
			if at, ok = s.escape(at + 1); !ok {
				return nil, false
			}
		case c < 0x20:
			return nil, s.fail(MalformedJSON, at)
		default:
			end, _ := plainEnd(s.json, at)
			s.text = append(s.text, s.json[at:end]...)
			at = end
		}
	}
	return nil, s.fail(MalformedJSON, start-1)
}

// escapes are the characters that may follow a backslash, and what they stand for.
var escapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escape appends the character whose escape continues after the backslash, and returns the place after it.
func (s *state) escape(at int) (int, bool) {
	if at >= len(s.json) {
		return at, s.fail(MalformedJSON, at-1)
	}
	c := s.json[at]
	if escapes[c] != 0 {
		s.text = append(s.text, escapes[c])
		return at + 1, true
	}
	r, ok := hex4(s.json, at)
	if !ok {
		return at, s.fail(MalformedJSON, at-1)
	}
	at += 5
	if utf16.IsSurrogate(r) {
		if at >= len(s.json) || s.json[at] != '\\' {
			return at, s.fail(InvalidUTF8, at-6)
		}
		low, ok := hex4(s.json, at+1)
		if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
			return at, s.fail(InvalidUTF8, at-6)
		}
		at += 6
	}
	s.text = utf8.AppendRune(s.text, r)
	return at, true
}

// hex4 reads the u and four digits of an escape.
func hex4(b []byte, at int) (rune, bool) {
	if at+5 > len(b) || b[at] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range b[at+1 : at+5] {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}
