package transcode

import (
	"bytes"
	"slices"

	"github.com/playhead-pipeline/playhead/services/internal/avroscan"
)

// state is the reading of one event. All functions that read return false after a failure, which they record here.
type state struct {
	json   []byte
	at     int // place in json
	start  int // of the event in dst
	limits Limits
	left   int // elements that the event may still have

	segments []segment // of the fields of the open records, outermost first
	keys     []key     // of the open maps, outermost first
	text     []byte    // one text without its escapes
	stitched []byte    // one record whose members came in another order
	decimal  [decimalBytes]byte

	cause  Cause
	offset int
	path   []step // innermost first
}

// segment is where in dst the value of a field lies.
type segment struct {
	start, end int
	given      bool // by the event; else the bytes are the field's fallback, or there are none yet
}

// key is where a map's key lies in dst, and where in the text.
type key struct{ start, end, offset int }

// keepBytes bounds the scratch memory that an unusually large event leaves behind.
const keepBytes = 64 << 10

func (s *state) reset(json []byte, start int, l Limits) {
	s.json, s.at, s.start, s.limits, s.left = json, 0, start, l, l.MaxElements
	s.segments, s.keys, s.path = s.segments[:0], s.keys[:0], s.path[:0]
	if cap(s.text) > keepBytes {
		s.text = nil
	}
	if cap(s.stitched) > keepBytes {
		s.stitched = nil
	}
}

func (s *state) fail(cause Cause, offset int) bool {
	s.cause, s.offset = cause, offset
	return false
}

// within adds the enclosing field or element to the path of a failure.
func (s *state) within(p step) bool {
	s.path = append(s.path, p)
	return false
}

// event reads the whole text.
func (s *state) event(dst []byte, r *record) ([]byte, bool) {
	s.space()
	if s.peek() != '{' {
		return dst, s.fail(MalformedJSON, s.at)
	}
	dst, ok := s.record(dst, r)
	if !ok {
		return dst, false
	}
	if s.space(); s.at != len(s.json) {
		return dst, s.fail(MalformedJSON, s.at)
	}
	return dst, s.fits(dst, 0)
}

// fits checks that the event is not too large yet.
func (s *state) fits(dst []byte, offset int) bool {
	return len(dst)-s.start <= s.limits.MaxEventBytes || s.fail(TooLarge, offset)
}

// value reads one value.
func (s *state) value(dst []byte, n *node) ([]byte, bool) {
	if n.nullIndex >= 0 {
		if s.peek() == 'n' {
			return avroscan.AppendLong(dst, int64(n.nullIndex)), s.literal("null")
		}
		dst = avroscan.AppendLong(dst, int64(1-n.nullIndex))
	} else if n.single {
		dst = avroscan.AppendLong(dst, 0)
	}
	if n.decimal {
		return s.decimalValue(dst, n)
	}
	switch n.kind {
	case avroscan.Boolean:
		return s.boolean(dst)
	case avroscan.Int, avroscan.Long:
		if n.perSecond > 0 && s.peek() == '"' {
			return s.timestamp(dst, n.perSecond)
		}
		return s.integer(dst, n.kind == avroscan.Int)
	case avroscan.Float, avroscan.Double:
		return s.float(dst, n.kind == avroscan.Float)
	case avroscan.String:
		text, ok := s.string()
		if !ok {
			return dst, false
		}
		return avroscan.AppendBytes(dst, text), true
	case avroscan.Bytes, avroscan.Fixed:
		return s.base64(dst, n)
	case avroscan.Enum:
		start := s.at
		text, ok := s.string()
		if !ok {
			return dst, false
		}
		index, known := n.symbols[string(text)]
		if !known {
			return dst, s.fail(TypeMismatch, start)
		}
		return avroscan.AppendLong(dst, index), true
	case avroscan.Record:
		return s.record(dst, n.record)
	case avroscan.Array:
		return s.array(dst, n.element)
	case avroscan.Map:
		return s.mapValue(dst, n.element)
	}
	return dst, s.mismatch()
}

// array reads a list into one block.
func (s *state) array(dst []byte, element *node) ([]byte, bool) {
	if s.peek() != '[' {
		return dst, s.mismatch()
	}
	s.at++
	countAt := len(dst)
	dst = append(dst, 0)
	for count := 0; ; count++ {
		more, ok := s.next(']', count)
		if !ok {
			return dst, false
		}
		if !more {
			return endBlock(dst, countAt, count), true
		}
		if !s.takeElement(dst) {
			return dst, s.within(step{index: count})
		}
		if dst, ok = s.value(dst, element); !ok {
			return dst, s.within(step{index: count})
		}
	}
}

// mapValue reads an object into one block.
func (s *state) mapValue(dst []byte, element *node) ([]byte, bool) {
	if s.peek() != '{' {
		return dst, s.mismatch()
	}
	s.at++
	first := len(s.keys)
	countAt := len(dst)
	dst = append(dst, 0)
	for count := 0; ; count++ {
		more, ok := s.next('}', count)
		if !ok {
			return dst, false
		}
		if !more {
			ok = s.distinct(dst, s.keys[first:])
			s.keys = s.keys[:first]
			return endBlock(dst, countAt, count), ok
		}
		if dst, ok = s.entry(dst, element); !ok {
			return dst, s.within(step{index: count})
		}
	}
}

// entry reads one entry of a map.
func (s *state) entry(dst []byte, element *node) ([]byte, bool) {
	if !s.takeElement(dst) {
		return dst, false
	}
	offset := s.at
	name, ok := s.name()
	if !ok {
		return dst, false
	}
	dst = avroscan.AppendBytes(dst, name)
	s.keys = append(s.keys, key{start: len(dst) - len(name), end: len(dst), offset: offset})
	return s.value(dst, element)
}

// takeElement counts an element against the limits.
func (s *state) takeElement(dst []byte) bool {
	if s.left--; s.left < 0 {
		return s.fail(TooDeep, s.at)
	}
	return s.fits(dst, s.at)
}

// distinct checks that no key of a map occurs twice.
func (s *state) distinct(dst []byte, keys []key) bool {
	slices.SortFunc(keys, func(a, b key) int {
		if c := bytes.Compare(dst[a.start:a.end], dst[b.start:b.end]); c != 0 {
			return c
		}
		return a.start - b.start
	})
	for i := 1; i < len(keys); i++ {
		a, b := keys[i-1], keys[i]
		if bytes.Equal(dst[a.start:a.end], dst[b.start:b.end]) {
			return s.fail(DuplicateField, b.offset)
		}
	}
	return true
}

// endBlock puts the count before the elements, for which one byte is reserved, and the end after them.
func endBlock(dst []byte, countAt, count int) []byte {
	if count == 0 {
		return dst // the reserved byte is the end already
	}
	var buf [10]byte
	encoded := avroscan.AppendLong(buf[:0], int64(count))
	if len(encoded) > 1 {
		dst = slices.Insert(dst, countAt+1, encoded[1:]...)
	}
	dst[countAt] = encoded[0]
	return append(dst, 0)
}
