package merge

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
)

// walker reads one datum; what is wrong first stays, and everything after it is zero.
type walker struct {
	data []byte
	pos  int
	err  *DatumError
}

func (w *walker) fail(format string, args ...any) {
	if w.err == nil {
		w.err = &DatumError{Offset: w.pos, Reason: fmt.Sprintf(format, args...)}
		w.data = w.data[:w.pos]
	}
}

func (w *walker) failure() error {
	if w.err == nil {
		return nil
	}
	return w.err
}

func (w *walker) long() int64 {
	if w.pos < len(w.data) {
		if b := w.data[w.pos]; b < 0x80 { // branches and most lengths
			w.pos++
			return int64(b>>1) ^ -int64(b&1)
		}
	}
	v, n := binary.Varint(w.data[w.pos:])
	if n <= 0 {
		w.fail("no integer")
		return 0
	}
	w.pos += n
	return v
}

// bytes is the next n bytes, aliasing the datum.
func (w *walker) bytes(n int64) []byte {
	if n < 0 || n > int64(len(w.data)-w.pos) {
		w.fail("%d bytes wanted, %d are left", n, len(w.data)-w.pos)
		return nil
	}
	b := w.data[w.pos:][:n:n]
	w.pos += int(n)
	return b
}

// present reads the branch of a union; false is null.
func (w *walker) present(n *node) bool {
	if !n.union {
		return true
	}
	branch := w.long()
	if branch == n.nullIndex {
		return false
	}
	if branch < 0 || branch > 1 || n.nullIndex < 0 && branch != 0 {
		w.fail("branch %d of a union", branch)
	}
	return w.err == nil
}

// blocks calls item for each item of an array or map. An item that has no bytes cannot be, so a count is bounded by the bytes left.
func (w *walker) blocks(item func()) {
	for w.err == nil {
		n := w.long()
		if n < 0 {
			n = -n
			w.long()
		}
		if n == 0 {
			return
		}
		if n < 0 || n > int64(len(w.data)-w.pos) {
			w.fail("%d items, %d bytes before the end", n, len(w.data)-w.pos)
			return
		}
		for range n {
			if item(); w.err != nil {
				return
			}
		}
	}
}

func (w *walker) skip(n *node) {
	if !w.present(n) {
		return
	}
	switch n.kind {
	case avro.Boolean:
		w.bytes(1)
	case avro.Int, avro.Long, avro.Enum:
		w.long()
	case avro.Float:
		w.bytes(4)
	case avro.Double:
		w.bytes(8)
	case avro.Bytes, avro.String:
		w.bytes(w.long())
	case avro.Fixed:
		w.bytes(int64(n.size))
	case avro.Record:
		for i := range n.fields {
			w.skip(n.fields[i].node)
		}
	case avro.Array:
		w.blocks(func() { w.skip(n.items) })
	case avro.Map:
		w.blocks(func() {
			w.bytes(w.long())
			w.skip(n.items)
		})
	}
}

// meta reads the five meta fields; nil is null.
func (w *walker) meta() (values [metaFields][]byte) {
	for i := range values {
		switch branch := w.long(); branch {
		case 0:
		case 1:
			if values[i] = w.bytes(w.long()); values[i] == nil {
				values[i] = []byte{}
			}
		default:
			w.fail("branch %d of a meta field", branch)
		}
	}
	return values
}

// merged is what merging needs of a record.
type merged struct {
	key      []byte // aliases the datum
	ordering logfile.Ordering
	deleted  bool
}

// scan takes out of a datum what merging needs, and decodes nothing else.
func (s *schema) scan(datum []byte) (merged, error) {
	w := walker{data: datum}
	var m merged
	if m.key = w.meta()[2]; len(m.key) == 0 {
		w.fail("no record key")
	}
	for i := 0; i <= s.last; i++ {
		n := s.payload.fields[i].node
		switch i {
		case s.orderingAt:
			m.ordering = w.ordering(n, s.ordering)
		case s.deletedAt:
			if w.present(n) {
				b := w.bytes(1)
				m.deleted = b != nil && b[0] != 0
			}
		default:
			w.skip(n)
		}
	}
	return m, w.failure()
}

// ordering reads an ordering value of a writer's type as the table's type has it; the zero value is null.
func (w *walker) ordering(from, to *node) logfile.Ordering {
	if !w.present(from) {
		return logfile.Ordering{}
	}
	switch from.kind {
	case avro.Boolean:
		b := w.bytes(1)
		return logfile.BoolOrdering(b != nil && b[0] != 0)
	case avro.Int, avro.Long:
		v := w.long()
		if from.logical != to.logical { // milliseconds to microseconds
			v *= 1000
		}
		switch orderingKind(to) {
		case logfile.OrderingInt:
			return logfile.IntOrdering(int32(v))
		case logfile.OrderingDate:
			return logfile.DateOrdering(int32(v))
		}
		return logfile.LongOrdering(v)
	case avro.Float:
		if b := w.bytes(4); b != nil {
			return logfile.FloatOrdering(math.Float32frombits(binary.LittleEndian.Uint32(b)))
		}
	case avro.Double:
		if b := w.bytes(8); b != nil {
			return logfile.DoubleOrdering(math.Float64frombits(binary.LittleEndian.Uint64(b)))
		}
	case avro.Enum:
		i := w.long()
		if i < 0 || i >= int64(len(from.symbols)) {
			w.fail("symbol %d of an enum", i)
			return logfile.Ordering{}
		}
		return logfile.StringOrdering(from.symbols[i])
	case avro.String:
		return logfile.StringOrdering(string(w.bytes(w.long())))
	case avro.Bytes:
		return logfile.BytesOrdering(w.bytes(w.long()))
	}
	return logfile.Ordering{}
}
