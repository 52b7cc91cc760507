package logfile

import (
	"encoding/binary"
	"fmt"
)

// avroReader decodes the few Avro types of log blocks; what is wrong first stays and everything after it is zero. Avro's integers are the
// varints of encoding/binary.
type avroReader struct {
	data []byte
	pos  int
	bad  string // what is wrong at pos
}

func (r *avroReader) fail(format string, args ...any) {
	if r.bad == "" {
		r.bad = fmt.Sprintf(format, args...)
	}
}

func (r *avroReader) long() int64 {
	if r.bad != "" {
		return 0
	}
	v, n := binary.Varint(r.data[r.pos:])
	if n <= 0 {
		r.fail("no integer")
		return 0
	}
	r.pos += n
	return v
}

func (r *avroReader) int() int32 {
	v := r.long()
	if v != int64(int32(v)) {
		r.fail("%d is no int", v)
		return 0
	}
	return int32(v)
}

// fixed is n bytes, aliasing the data.
func (r *avroReader) fixed(n int64) []byte {
	if r.bad != "" {
		return nil
	}
	if n < 0 || n > int64(len(r.data)-r.pos) {
		r.fail("%d bytes wanted, %d are left", n, len(r.data)-r.pos)
		return nil
	}
	b := r.data[r.pos:][:n:n]
	r.pos += int(n)
	return b
}

func (r *avroReader) bytes() []byte { return r.fixed(r.long()) }

// nullableBytes is a union of null and string, nil for null.
func (r *avroReader) nullableBytes() []byte {
	switch branch := r.long(); branch {
	case 0:
		return nil
	case 1:
		return r.bytes()
	default:
		r.fail("branch %d of a union of null and string", branch)
		return nil
	}
}

// blocks calls item for each item of an array, which may come in several blocks. An item takes at least one byte, so that a count bounds
// nothing but the loop, which ends with the data.
func (r *avroReader) blocks(item func()) {
	for {
		n := r.long()
		if n < 0 { // a block with its length in bytes
			n = -n
			r.long()
		}
		if n < 0 || n > int64(len(r.data)-r.pos) {
			r.fail("an array of %d items, %d bytes before the end", n, len(r.data)-r.pos)
		}
		if n == 0 || r.bad != "" {
			return
		}
		for range n {
			if item(); r.bad != "" {
				return
			}
		}
	}
}
