package basefile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"unicode/utf8"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile/pages"
)

// maxRecordItems is how many items the arrays and maps of a record may have together. A row of more values in a column could not
// be copied into the next file.
const maxRecordItems = maxRowValues

// shredder walks the Avro bytes of one record at a time and appends each value to the column it belongs to. It believes nothing:
// every length, index and text is checked, and values are places in the bytes, copied by nobody.
type shredder struct {
	columns  []pages.Batch // by leaf; their text is the bytes
	repeated []bool        // by leaf: it has repetition levels
	body     []byte        // the batch so far, the record at its end
	start    int           // of the record
	at       int
	entries  int64 // of arrays and maps in the record, so far
}

// run shreds the record that begins at start and ends with the body. After an error the columns hold parts of it; see truncate.
func (s *shredder) run(program *step, body []byte, start int) error {
	s.body, s.start, s.at, s.entries = body, start, start, 0
	if err := s.record(program, 0); err != nil {
		return err
	}
	if s.at != len(body) {
		return s.errorf(program, "%d bytes behind the record", len(body)-s.at)
	}
	return nil
}

// truncate takes back what a record that failed has left, given how many rows came before it.
func (s *shredder) truncate(rows int, leaves []*layout) {
	for i := range s.columns {
		column, leaf := &s.columns[i], leaves[i]
		if leaf.def == 0 {
			column.Values = column.Values[:min(rows, len(column.Values))]
			continue
		}
		end := min(rows, len(column.Defs))
		if s.repeated[i] {
			end = rowEnd(column.Reps, rows)
			column.Reps = column.Reps[:end]
		}
		column.Defs = column.Defs[:end]
		column.Values = column.Values[:bytes.Count(column.Defs, []byte{byte(leaf.def)})]
	}
}

// rowEnd is where the first rows end in a column of repetition levels.
func rowEnd(reps []byte, rows int) int {
	for i, rep := range reps {
		if rep > 0 {
			continue
		}
		if rows == 0 {
			return i
		}
		rows--
	}
	return len(reps)
}

func (s *shredder) record(st *step, rep int) error {
	for i := range st.steps {
		if err := s.value(&st.steps[i], rep); err != nil {
			return err
		}
	}
	for _, m := range st.missing {
		s.absent(m.lo, m.hi, rep, st.target.def)
	}
	return nil
}

// absent marks leaves as having no value below the definition level def.
func (s *shredder) absent(lo, hi, rep, def int) {
	for leaf := lo; leaf < hi; leaf++ {
		c := &s.columns[leaf]
		c.Defs = append(c.Defs, byte(def))
		if s.repeated[leaf] {
			c.Reps = append(c.Reps, byte(rep))
		}
	}
}

func (s *shredder) value(st *step, rep int) error {
	if st.union {
		if s.at < len(s.body) && s.body[s.at] == st.present { // seldom is it null, or written in more bytes than it takes
			s.at++
		} else if null, err := s.branch(st); err != nil {
			return err
		} else if null {
			if st.target.item {
				return s.errorf(st, "null in an array")
			}
			s.absent(st.target.lo, st.target.hi, rep, st.target.def-1)
			return nil
		}
	}
	var v uint64
	var err error
	switch st.kind {
	case kindString:
		v, err = s.text(st)
	case kindInt, kindLong:
		v, err = s.integer(st)
	case kindRecord:
		return s.record(st, rep)
	case kindArray, kindMap:
		return s.items(st, rep)
	default:
		v, err = s.scalar(st)
	}
	if err != nil {
		return err
	}
	c := &s.columns[st.leaf]
	c.Values = append(c.Values, v)
	if st.def > 0 {
		c.Defs = append(c.Defs, st.def)
	}
	if st.rep > 0 {
		c.Reps = append(c.Reps, byte(rep))
	}
	return nil
}

// branch reads which branch of a union follows.
func (s *shredder) branch(st *step) (null bool, err error) {
	branch, err := s.long(st)
	if err != nil {
		return false, err
	}
	branches := int64(1)
	if st.nullIndex >= 0 {
		branches = 2
	}
	if branch < 0 || branch >= branches {
		return false, s.errorf(st, "branch %d of a union of %d", branch, branches)
	}
	return branch == int64(st.nullIndex), nil
}

// items reads the blocks of an array or a map.
func (s *shredder) items(st *step, rep int) error {
	target := st.target
	first := true
	for {
		count, end, err := s.block(st)
		if err != nil {
			return err
		}
		if count == 0 {
			break
		}
		if s.entries += count; s.entries > maxRecordItems {
			return s.errorf(st, "more than %d items in arrays and maps", maxRecordItems)
		}
		for range count {
			for i := range st.steps {
				if err := s.value(&st.steps[i], rep); err != nil {
					return err
				}
			}
			first, rep = false, target.rep+1
		}
		if end >= 0 && end != s.at {
			return s.errorf(st, "block ends at byte %d, its size says %d", s.at-s.start, end-s.start)
		}
	}
	if first {
		s.absent(target.lo, target.hi, rep, target.def)
	}
	return nil
}

// block reads a block's head: how many items, and where it ends if it says so (else -1).
func (s *shredder) block(st *step) (count int64, end int, err error) {
	count, err = s.long(st)
	if err != nil || count == 0 {
		return 0, -1, err
	}
	end = -1
	if count < 0 {
		if count == math.MinInt64 {
			return 0, 0, s.errorf(st, "block of %d items", count)
		}
		count = -count
		size, err := s.long(st)
		if err != nil {
			return 0, 0, err
		}
		if size < 0 || size > int64(len(s.body)-s.at) {
			return 0, 0, s.errorf(st, "block of %d bytes, %d are left", size, len(s.body)-s.at)
		}
		end = s.at + int(size)
	}
	// Every item has at least a byte (null, empty records and empty fixed do not compile), so a count cannot ask for more.
	if count > int64(len(s.body)-s.at) {
		return 0, 0, s.errorf(st, "block of %d items, %d bytes are left", count, len(s.body)-s.at)
	}
	return count, end, nil
}

// scalar reads a value of the rarer kinds in the form that pages.Batch has.
func (s *shredder) scalar(st *step) (uint64, error) {
	switch st.kind {
	case kindBoolean:
		return s.boolean(st)
	case kindFloat:
		at, err := s.take(st, 4)
		if err != nil {
			return 0, err
		}
		return uint64(binary.LittleEndian.Uint32(s.body[at:])), nil
	case kindDouble:
		at, err := s.take(st, 8)
		if err != nil {
			return 0, err
		}
		return binary.LittleEndian.Uint64(s.body[at:]), nil
	case kindFixed:
		at, err := s.take(st, int64(st.size))
		return pages.Span(at, st.size), err
	case kindEnum:
		i, err := s.long(st)
		if err == nil && (i < 0 || i >= int64(len(st.symbols))) {
			err = s.errorf(st, "symbol %d of an enum of %d", i, len(st.symbols))
		}
		if err != nil {
			return 0, err
		}
		return st.spans[i], nil
	default:
		return s.bytes(st)
	}
}

func (s *shredder) boolean(st *step) (uint64, error) {
	at, err := s.take(st, 1)
	if err != nil {
		return 0, err
	}
	if s.body[at] > 1 {
		return 0, s.errorf(st, "boolean of value %d", s.body[at])
	}
	return uint64(s.body[at]), nil
}

func (s *shredder) integer(st *step) (uint64, error) {
	n, err := s.long(st)
	if err != nil {
		return 0, err
	}
	if st.kind == kindInt && n != int64(int32(n)) {
		return 0, s.errorf(st, "%d does not fit an int", n)
	}
	if st.scale == 1 {
		return uint64(n), nil
	}
	scaled := n * st.scale
	if scaled/st.scale != n {
		return 0, s.errorf(st, "%d milliseconds do not fit in microseconds", n)
	}
	return uint64(scaled), nil
}

// text reads a string.
func (s *shredder) text(st *step) (uint64, error) {
	at, n := s.at+1, 0
	if at <= len(s.body) && s.body[at-1]&0x81 == 0 && int(s.body[at-1]/2) <= len(s.body)-at { // a length of one byte, that fits
		n = int(s.body[at-1] / 2)
		s.at = at + n
	} else {
		span, err := s.bytes(st)
		if err != nil {
			return 0, err
		}
		at, n = int(span>>32), int(uint32(span))
	}
	if t := s.body[at : at+n]; !ascii(t) && !utf8.Valid(t) {
		return 0, s.errorf(st, "text is not UTF-8")
	}
	return pages.Span(at, n), nil
}

// ascii reports whether all bytes are ASCII, eight at a time; the last eight may overlap others. Nearly all texts are, and short, where
// utf8.Valid goes byte by byte.
func ascii(b []byte) bool {
	n := len(b)
	var all uint64
	switch {
	case n >= 8:
		all = binary.LittleEndian.Uint64(b[n-8:])
		for ; len(b) > 8; b = b[8:] {
			all |= binary.LittleEndian.Uint64(b)
		}
	case n >= 4:
		all = uint64(binary.LittleEndian.Uint32(b) | binary.LittleEndian.Uint32(b[n-4:]))
	case n > 0:
		all = uint64(b[0] | b[n/2] | b[n-1])
	}
	return all&0x8080808080808080 == 0
}

func (s *shredder) bytes(st *step) (uint64, error) {
	n, err := s.long(st)
	if err != nil {
		return 0, err
	}
	at, err := s.take(st, n)
	if err != nil {
		return 0, err
	}
	return pages.Span(at, int(n)), nil
}

// take passes n bytes and says where they begin.
func (s *shredder) take(st *step, n int64) (at int, err error) {
	if n < 0 || n > int64(len(s.body)-s.at) {
		return 0, s.errorf(st, "%d bytes wanted, %d are left", n, len(s.body)-s.at)
	}
	at = s.at
	s.at += int(n)
	return at, nil
}

// long reads a zigzag varint of at most 64 bits.
func (s *shredder) long(st *step) (int64, error) {
	if s.at < len(s.body) {
		if b := s.body[s.at]; b < 0x80 { // branch indexes and most lengths
			s.at++
			return int64(b>>1) ^ -int64(b&1), nil
		}
	}
	n, size := uvarint(s.body[s.at:])
	if size <= 0 {
		return 0, s.errorf(st, "number is cut off or too long")
	}
	s.at += size
	return int64(n>>1) ^ -int64(n&1), nil
}

// uvarint is binary.Uvarint, without a loop for up to eight bytes, as times are.
func uvarint(b []byte) (n uint64, size int) {
	if len(b) < 8 {
		return binary.Uvarint(b)
	}
	x := binary.LittleEndian.Uint64(b)
	last := ^x & 0x8080808080808080 // the first byte without the bit is the last of the number
	if last == 0 {
		return binary.Uvarint(b)
	}
	x &= (last ^ (last - 1)) & 0x7f7f7f7f7f7f7f7f
	x = x&0x007f007f007f007f | x&0x7f007f007f007f00>>1 // pairs of seven bits, then of fourteen, then of twenty-eight
	x = x&0x00003fff00003fff | x&0x3fff00003fff0000>>2
	x = x&0x000000000fffffff | x&0x0fffffff00000000>>4
	return x, bits.TrailingZeros64(last)/8 + 1
}

func (s *shredder) errorf(st *step, format string, args ...any) error {
	return &RecordError{Path: st.target.path, Offset: s.at - s.start, Reason: fmt.Sprintf(format, args...)}
}
