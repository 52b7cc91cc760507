package basefile

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
)

// shredder walks the Avro bytes of one record at a time and appends each value to the column it belongs to. It believes nothing:
// every length, index and text is checked, and values are slices of the bytes, copied by nobody.
type shredder struct {
	columns [][]parquet.Value // by leaf
	body    []byte
	at      int
}

// run shreds one record. After an error the columns hold parts of it; see truncate.
func (s *shredder) run(program *step, body []byte) error {
	s.body, s.at = body, 0
	if err := s.record(program, 0); err != nil {
		return err
	}
	if s.at != len(body) {
		return s.errorf(program, "%d bytes behind the record", len(body)-s.at)
	}
	return nil
}

// truncate takes back what a record that failed has left, given how many rows came before it.
func (s *shredder) truncate(rows int) {
	for i, column := range s.columns {
		n := 0
		for j, v := range column {
			if v.RepetitionLevel() > 0 {
				continue
			}
			if n++; n > rows {
				s.columns[i] = column[:j]
				break
			}
		}
	}
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
		s.columns[leaf] = append(s.columns[leaf], parquet.NullValue().Level(rep, def, leaf))
	}
}

func (s *shredder) value(st *step, rep int) error {
	if st.union {
		branch, err := s.long(st)
		if err != nil {
			return err
		}
		branches := int64(1)
		if st.nullIndex >= 0 {
			branches = 2
		}
		if branch < 0 || branch >= branches {
			return s.errorf(st, "branch %d of a union of %d", branch, branches)
		}
		if branch == int64(st.nullIndex) {
			s.absent(st.target.lo, st.target.hi, rep, st.target.def-1)
			return nil
		}
	}
	switch st.source.kind {
	case kindRecord:
		return s.record(st, rep)
	case kindArray, kindMap:
		return s.items(st, rep)
	default:
		v, err := s.scalar(st)
		if err != nil {
			return err
		}
		leaf := st.target.lo
		s.columns[leaf] = append(s.columns[leaf], v.Level(rep, st.target.def, leaf))
		return nil
	}
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
		for range count {
			for i := range st.steps {
				if err := s.value(&st.steps[i], rep); err != nil {
					return err
				}
			}
			first, rep = false, target.rep+1
		}
		if end >= 0 && end != s.at {
			return s.errorf(st, "block ends at byte %d, its size says %d", s.at, end)
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

func (s *shredder) scalar(st *step) (parquet.Value, error) {
	switch st.source.kind {
	case kindBoolean:
		return s.boolean(st)
	case kindInt, kindLong:
		return s.integer(st)
	case kindFloat:
		b, err := s.take(st, 4)
		if err != nil {
			return parquet.Value{}, err
		}
		return parquet.FloatValue(math.Float32frombits(binary.LittleEndian.Uint32(b))), nil
	case kindDouble:
		b, err := s.take(st, 8)
		if err != nil {
			return parquet.Value{}, err
		}
		return parquet.DoubleValue(math.Float64frombits(binary.LittleEndian.Uint64(b))), nil
	case kindFixed:
		b, err := s.take(st, int64(st.source.size))
		return parquet.FixedLenByteArrayValue(b), err
	case kindEnum:
		i, err := s.long(st)
		if err == nil && (i < 0 || i >= int64(len(st.symbols))) {
			err = s.errorf(st, "symbol %d of an enum of %d", i, len(st.symbols))
		}
		if err != nil {
			return parquet.Value{}, err
		}
		return parquet.ByteArrayValue(st.symbols[i]), nil
	default:
		return s.bytes(st)
	}
}

func (s *shredder) boolean(st *step) (parquet.Value, error) {
	b, err := s.take(st, 1)
	if err != nil {
		return parquet.Value{}, err
	}
	if b[0] > 1 {
		return parquet.Value{}, s.errorf(st, "boolean of value %d", b[0])
	}
	return parquet.BooleanValue(b[0] == 1), nil
}

func (s *shredder) integer(st *step) (parquet.Value, error) {
	n, err := s.long(st)
	if err != nil {
		return parquet.Value{}, err
	}
	if st.source.kind == kindInt && n != int64(int32(n)) {
		return parquet.Value{}, s.errorf(st, "%d does not fit an int", n)
	}
	if st.target.kind == kindInt {
		return parquet.Int32Value(int32(n)), nil
	}
	scaled := n * st.scale
	if st.scale != 1 && scaled/st.scale != n {
		return parquet.Value{}, s.errorf(st, "%d milliseconds do not fit in microseconds", n)
	}
	return parquet.Int64Value(scaled), nil
}

func (s *shredder) bytes(st *step) (parquet.Value, error) {
	n, err := s.long(st)
	if err != nil {
		return parquet.Value{}, err
	}
	b, err := s.take(st, n)
	if err != nil {
		return parquet.Value{}, err
	}
	if st.source.kind == kindString && !utf8.Valid(b) {
		return parquet.Value{}, s.errorf(st, "text is not UTF-8")
	}
	return parquet.ByteArrayValue(b), nil
}

func (s *shredder) take(st *step, n int64) ([]byte, error) {
	if n < 0 || n > int64(len(s.body)-s.at) {
		return nil, s.errorf(st, "%d bytes wanted, %d are left", n, len(s.body)-s.at)
	}
	b := s.body[s.at : s.at+int(n) : s.at+int(n)]
	s.at += int(n)
	return b, nil
}

// long reads a zigzag varint of at most 64 bits.
func (s *shredder) long(st *step) (int64, error) {
	if s.at < len(s.body) {
		if b := s.body[s.at]; b < 0x80 { // branch indexes and most lengths
			s.at++
			return int64(b>>1) ^ -int64(b&1), nil
		}
	}
	n, size := binary.Uvarint(s.body[s.at:])
	if size <= 0 {
		return 0, s.errorf(st, "number is cut off or too long")
	}
	s.at += size
	return int64(n>>1) ^ -int64(n&1), nil
}

func (s *shredder) errorf(st *step, format string, args ...any) error {
	return &RecordError{Path: st.target.path, Offset: s.at, Reason: fmt.Sprintf(format, args...)}
}
