package avroscan

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// scanner is the state of one walk. Failures are recorded here, not returned, so that the walk itself moves only a position.
type scanner struct {
	p        *Program
	body     []byte
	spans    []Span
	elements int // that the event may still have

	cause    Cause
	failedPC int   // instruction that refused
	failedAt int   // place in the body
	indexes  []int // of the elements around the refused value, innermost first
}

// Scan walks one body and fills in spans, one per slot. It returns nil or an *Error. len(spans) must be at least
// len(p.Slots()); after an error their content is undefined. It allocates only to report an error.
func (p *Program) Scan(body []byte, spans []Span) error {
	if len(body) > p.limits.MaxEventBytes {
		return &Error{Cause: TooLarge, Offset: p.limits.MaxEventBytes}
	}
	s := scanner{p: p, body: body, spans: spans[:len(p.slots)], elements: p.limits.MaxElements}
	at := s.run(0, len(p.code), 0)
	if at < 0 {
		return s.err()
	}
	if at != len(body) {
		return &Error{Cause: Trailing, Offset: at}
	}
	return nil
}

// run executes code[pc:end] from a place in the body and returns the place after it, or -1 after a failure. Almost every
// index, length and number of an event is one byte, so that case is spelled out where it pays.
func (s *scanner) run(pc, end, at int) int {
	code, body, spans := s.p.code, s.body, s.spans
	short := min(s.p.limits.MaxValueBytes, 63) // the longest value with a length of one byte
	for pc < end {
		in := &code[pc]
		start := at
		if in.nullIndex >= 0 {
			null := false
			if null, at = s.nullable(in, at); at < 0 {
				return s.fail(Malformed, pc, start)
			}
			if null {
				s.setNull(in, start, at)
				pc = int(in.next)
				continue
			}
		}
		value := at
		switch in.op {
		case opString, opBytes:
			if at < len(body) && body[at]&0x81 == 0 && int(body[at]>>1) <= min(short, len(body)-at-1) {
				next := at + 1 + int(body[at]>>1)
				if in.op == opString && !utf8.Valid(body[at+1:next]) {
					return s.fail(InvalidUTF8, pc, at+1)
				}
				at = next
			} else if at = s.text(in.op == opString, pc, at); at < 0 {
				return -1
			}
		case opLong:
			if at = skipLong(body, at); at < 0 {
				return s.fail(Malformed, pc, value)
			}
		case opInt:
			v, next := ReadLong(body, at)
			if next < 0 {
				return s.fail(Malformed, pc, at)
			}
			if v < math.MinInt32 || v > math.MaxInt32 {
				return s.fail(OutOfRange, pc, at)
			}
			at = next
		case opFixed:
			if len(body)-at < int(in.size) {
				return s.fail(Malformed, pc, at)
			}
			at += int(in.size)
		case opBool:
			if at >= len(body) || body[at] > 1 {
				return s.fail(Malformed, pc, at)
			}
			at++
		case opEnum:
			v, next := ReadLong(body, at)
			if next < 0 || v < 0 || v >= int64(in.size) {
				return s.fail(Malformed, pc, at)
			}
			at = next
		case opRecord:
			if in.slot >= 0 {
				spans[in.slot] = Span{Start: start, Value: value}
			}
			pc++
			continue
		case opEnd:
			spans[in.slot].End = at
			pc++
			continue
		case opArray, opMap:
			if at = s.blocks(in, pc, at); at < 0 {
				return -1
			}
		case opUnion:
			if at, value = s.union(in, pc, at); at < 0 {
				return -1
			}
		}
		if in.slot >= 0 {
			spans[in.slot] = Span{Start: start, End: at, Value: value}
		}
		pc = int(in.next)
	}
	return at
}

// nullable reads the index of a nullable union and says whether it is that of null. The place is negative for an index that
// is neither 0 nor 1.
func (s *scanner) nullable(in *instr, at int) (null bool, next int) {
	if at < len(s.body) && s.body[at]&^2 == 0 {
		return s.body[at]>>1 == byte(in.nullIndex), at + 1
	}
	index, next := ReadLong(s.body, at)
	if next >= 0 && index>>1 != 0 {
		return false, -1
	}
	return index == int64(in.nullIndex), next
}

// skipLong returns the place after the varint that begins at a place, negative when none ends in time.
func skipLong(body []byte, at int) int {
	for i := at; i < len(body); i++ {
		if body[i] < 0x80 {
			if i-at >= maxVarint-1 && (i-at >= maxVarint || body[i] > 1) {
				return -1 // more than 64 bits
			}
			return i + 1
		}
		if i-at >= maxVarint {
			return -1
		}
	}
	return -1
}

// setNull records that a nullable field is null, and that everything inside is absent.
func (s *scanner) setNull(in *instr, start, end int) {
	if in.slot < 0 {
		return
	}
	s.spans[in.slot] = Span{Start: start, End: end, Value: -1}
	if in.op != opRecord {
		return
	}
	inside := s.spans[in.slot+1 : in.slotsEnd]
	for i := range inside {
		inside[i] = Span{Start: -1, End: -1, Value: -1}
	}
}

// text walks over a string or bytes value.
func (s *scanner) text(isText bool, pc, at int) int {
	n, next := ReadLong(s.body, at)
	if next < 0 || n < 0 || n > int64(len(s.body)-next) {
		return s.fail(Malformed, pc, at)
	}
	if n > int64(s.p.limits.MaxValueBytes) {
		return s.fail(TooLarge, pc, at)
	}
	end := next + int(n)
	if isText && !utf8.Valid(s.body[next:end]) {
		return s.fail(InvalidUTF8, pc, next)
	}
	return end
}

// union walks over a union other than a nullable one. The value of its null branch is -1.
func (s *scanner) union(in *instr, pc, at int) (end, value int) {
	branches := s.p.unions[in.size]
	index, next := ReadLong(s.body, at)
	if next < 0 || index < 0 || index >= int64(len(branches)) {
		return s.fail(Malformed, pc, at), -1
	}
	b := branches[index]
	value = next
	if s.p.code[b.from].op == opNothing {
		value = -1
	}
	return s.run(int(b.from), int(b.to), next), value
}

// blocks walks over an array or a map: blocks of a count and as many elements, ended by a count of 0. A negative count is
// followed by the size of the block in bytes.
func (s *scanner) blocks(in *instr, pc, at int) int {
	element := 0
	for {
		start := at
		count, next := ReadLong(s.body, at)
		if next < 0 || count == math.MinInt64 {
			return s.fail(Malformed, pc, start)
		}
		at = next
		if count == 0 {
			return at
		}
		blockEnd := -1
		if count < 0 {
			count = -count
			size, next := ReadLong(s.body, at)
			if next < 0 || size < 0 || size > int64(len(s.body)-next) {
				return s.fail(Malformed, pc, start)
			}
			at = next
			blockEnd = at + int(size)
		}
		// No element takes less than one byte, so a count beyond the rest of the body is a lie, not a large event.
		if count > int64(len(s.body)-at) {
			return s.fail(Malformed, pc, start)
		}
		if count > int64(s.elements) {
			return s.fail(TooDeep, pc, start)
		}
		s.elements -= int(count)
		for last := element + int(count); element < last; element++ {
			if at = s.element(in, pc, at); at < 0 {
				s.indexes = append(s.indexes, element)
				return -1
			}
		}
		if blockEnd >= 0 && at != blockEnd {
			return s.fail(Malformed, pc, start)
		}
	}
}

// element walks over one item of an array or entry of a map.
func (s *scanner) element(in *instr, pc, at int) int {
	if in.op == opMap {
		if at = s.text(true, pc, at); at < 0 {
			return -1
		}
	}
	return s.run(pc+1, int(in.next), at)
}

func (s *scanner) fail(cause Cause, pc, at int) int {
	s.cause, s.failedPC, s.failedAt = cause, pc, at
	return -1
}

// err builds the error of a failed walk. The instruction's path has a [] for each container around it; one index more than
// that belongs to a map entry whose key was refused.
func (s *scanner) err() *Error {
	path := s.p.paths[s.failedPC]
	var b strings.Builder
	for level := len(s.indexes) - 1; level >= 0; level-- {
		before, after, _ := strings.Cut(path, "[]")
		b.WriteString(before)
		b.WriteByte('[')
		b.WriteString(strconv.Itoa(s.indexes[level]))
		b.WriteByte(']')
		path = after
	}
	b.WriteString(path)
	return &Error{Cause: s.cause, Path: b.String(), Offset: s.failedAt}
}
