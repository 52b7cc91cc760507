package model

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hamba/avro/v2"
)

func newAvroReader(data []byte) *avro.Reader { return avro.NewReader(nil, 0).Reset(data) }

// ended says what was wrong with what in has read, bytes that are left included.
func ended(in *avro.Reader) error {
	if in.Error != nil {
		return in.Error
	}
	if in.Peek(); in.Error == nil {
		return errors.New("bytes are left over")
	}
	return nil
}

// putAvro reads a value of a schema and appends its canonical form.
func putAvro(dst []byte, in *avro.Reader, schema avro.Schema) ([]byte, error) {
	if in.Error != nil {
		return nil, in.Error // in containers of a damaged block, whose counts may be anything
	}
	switch s := schema.(type) {
	case *avro.RefSchema:
		return putAvro(dst, in, s.Schema())
	case *avro.NullSchema:
		return putNull(dst), nil
	case *avro.PrimitiveSchema:
		return putPrimitive(dst, in, s)
	case *avro.FixedSchema:
		raw := make([]byte, s.Size())
		in.Read(raw)
		return putUnscaled(dst, raw, s.Logical())
	case *avro.EnumSchema:
		at := in.ReadInt()
		if at < 0 || int(at) >= len(s.Symbols()) {
			return nil, fmt.Errorf("symbol %d of enum %s", at, s.Name())
		}
		return putText(dst, s.Symbols()[at]), in.Error
	case *avro.UnionSchema:
		at := in.ReadLong()
		if at < 0 || at >= int64(len(s.Types())) {
			return nil, fmt.Errorf("branch %d of a union", at)
		}
		return putAvro(dst, in, s.Types()[at])
	case *avro.RecordSchema:
		dst = putCount(dst, kindRecord, len(s.Fields()))
		var err error
		for _, field := range s.Fields() {
			if dst, err = putAvro(dst, in, field.Type()); err != nil {
				return nil, fmt.Errorf("%s: %w", field.Name(), err)
			}
		}
		return dst, nil
	case *avro.ArraySchema:
		return putArray(dst, in, s)
	case *avro.MapSchema:
		return putAvroMap(dst, in, s)
	}
	return nil, fmt.Errorf("type %s", schema.Type())
}

func putPrimitive(dst []byte, in *avro.Reader, s *avro.PrimitiveSchema) ([]byte, error) {
	switch s.Type() {
	case avro.String:
		dst = putText(dst, in.ReadString())
	case avro.Bytes:
		return putUnscaled(dst, in.ReadBytes(), s.Logical())
	case avro.Int:
		dst = putInt32(dst, in.ReadInt())
	case avro.Long:
		if l := s.Logical(); l != nil && l.Type() != avro.TimestampMicros {
			return nil, fmt.Errorf("long of logical type %s", l.Type())
		}
		dst = putInt(dst, in.ReadLong())
	case avro.Double:
		dst = putDouble(dst, in.ReadDouble())
	case avro.Boolean:
		dst = putBool(dst, in.ReadBool())
	default:
		return nil, fmt.Errorf("type %s", s.Type())
	}
	return dst, in.Error
}

// putUnscaled appends a decimal's unscaled value, which is a big-endian integer; other bytes have no place in the table.
func putUnscaled(dst, raw []byte, logical avro.LogicalSchema) ([]byte, error) {
	if logical == nil || logical.Type() != avro.Decimal {
		return nil, errors.New("bytes that are no decimal")
	}
	if len(raw) == 0 {
		return nil, errors.New("empty decimal")
	}
	sign := byte(int8(raw[0]) >> 7)
	for len(raw) > 8 {
		if raw[0] != sign || (raw[1]^sign)&0x80 != 0 {
			return nil, fmt.Errorf("decimal %x is wider than 64 bits", raw)
		}
		raw = raw[1:]
	}
	wide := slices.Concat(slices.Repeat([]byte{sign}, 8-len(raw)), raw)
	return putInt(dst, int64(binary.BigEndian.Uint64(wide))), nil
}

// items calls read for each item of an array or map, which come in blocks.
func items(in *avro.Reader, read func() error) (n int, err error) {
	for {
		count, _ := in.ReadBlockHeader()
		if in.Error != nil || count == 0 {
			return n, in.Error
		}
		for range count {
			if err := read(); err != nil {
				return n, err
			}
			if n++; n > maxItems {
				return n, fmt.Errorf("more than %d items", maxItems)
			}
		}
	}
}

// maxItems bounds what a damaged block can make of an array of nothing.
const maxItems = 1 << 20

func putArray(dst []byte, in *avro.Reader, s *avro.ArraySchema) ([]byte, error) {
	var values []byte
	n, err := items(in, func() (err error) {
		values, err = putAvro(values, in, s.Items())
		return err
	})
	if err != nil {
		return nil, err
	}
	return append(putCount(dst, kindList, n), values...), nil
}

func putAvroMap(dst []byte, in *avro.Reader, s *avro.MapSchema) ([]byte, error) {
	type entry struct {
		key   string
		value []byte
	}
	var entries []entry
	_, err := items(in, func() error {
		key := in.ReadString()
		value, err := putAvro(nil, in, s.Values())
		entries = append(entries, entry{key, value})
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	dst = putCount(dst, kindMap, len(entries))
	for _, e := range entries {
		dst = append(putText(dst, e.key), e.value...)
	}
	return dst, nil
}

// deletedKey is one item of a delete block.
type deletedKey struct {
	key      string
	ordering int64 // deleteWinsOverride: whatever the row's
}

// readDeleteBlock decodes a delete block: version, length, and one datum of Hudi's HoodieDeleteRecordList.
func readDeleteBlock(b *logBlock) ([]deletedKey, error) {
	c := &cursor{data: b.content}
	if version := c.int32(); version != contentVersion {
		return nil, fmt.Errorf("content version %d of delete block", version)
	}
	data := c.take(int64(c.int32()))
	if c.bad || len(c.data) > 0 {
		return nil, fmt.Errorf("delete block: %w", io.ErrUnexpectedEOF)
	}
	in := newAvroReader(data)
	var keys []deletedKey
	_, err := items(in, func() error {
		var k deletedKey
		for i, branch := range []string{"key", "partition"} {
			switch at := in.ReadLong(); {
			case at == 1 && i == 0:
				k.key = in.ReadString()
			case at == 1:
				in.SkipString()
			default:
				return fmt.Errorf("delete without %s", branch)
			}
		}
		switch wrapper := in.ReadLong(); wrapper {
		case 2: // IntWrapper
			k.ordering = int64(in.ReadInt())
		case 3, 11: // LongWrapper, TimestampMicrosWrapper
			k.ordering = in.ReadLong()
		default:
			return fmt.Errorf("delete with ordering value of branch %d", wrapper)
		}
		keys = append(keys, k)
		return in.Error
	})
	if err != nil {
		return nil, fmt.Errorf("read delete block: %w", err)
	}
	return keys, ended(in)
}
