package meta

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/hamba/avro/v2"
)

// The archive holds in one schema what the files of all actions and of several Hudi releases hold in theirs. So values are carried over
// without Go types for each: as nil, bool, int64, float64, string, []byte, []any and map[string]any, the last for maps and records. A union's
// value is that of its branch.

var errAvro = errors.New("malformed Avro")

// parseSchema parses a schema by itself: the library's parser shares the names of types between schemas otherwise.
func parseSchema(text string) (s avro.Schema, err error) {
	defer recovered(&err)
	s, err = avro.ParseWithCache(text, "", &avro.SchemaCache{})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAvro, err)
	}
	return s, nil
}

// avroBytes reads values off a datum. After an error it gives zero values.
type avroBytes struct {
	rest []byte
	err  error
}

func (b *avroBytes) fail(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf("%w: %s", errAvro, fmt.Sprintf(format, args...))
	}
	b.rest = nil
}

func (b *avroBytes) long() int64 {
	v, n := binary.Varint(b.rest)
	if n <= 0 {
		b.fail("a number without end")
		return 0
	}
	b.rest = b.rest[n:]
	return v
}

func (b *avroBytes) take(n int64) []byte {
	if n < 0 || n > int64(len(b.rest)) {
		b.fail("%d bytes, %d before the end", n, len(b.rest))
		return nil
	}
	taken := b.rest[:n]
	b.rest = b.rest[n:]
	return taken
}

// blocks calls item for each item of an array or map. Every item takes a byte at least in the schemas at hand, which bounds the count.
func (b *avroBytes) blocks(item func()) {
	for b.err == nil {
		n := b.long()
		if n < 0 {
			n = -n
			b.long() // the block's size
		}
		if n == 0 {
			return
		}
		if n < 0 || n > int64(len(b.rest)) {
			b.fail("a block of %d items, %d bytes before the end", n, len(b.rest))
		}
		for i := int64(0); i < n && b.err == nil; i++ {
			item()
		}
	}
}

// value reads a value of a schema.
func (b *avroBytes) value(schema avro.Schema) any {
	switch s := schema.(type) {
	case *avro.RefSchema:
		return b.value(s.Schema())
	case *avro.UnionSchema:
		branch := b.long()
		if branch < 0 || branch >= int64(len(s.Types())) {
			b.fail("branch %d of %d", branch, len(s.Types()))
			return nil
		}
		return b.value(s.Types()[branch])
	case *avro.RecordSchema:
		v := make(map[string]any, len(s.Fields()))
		for _, f := range s.Fields() {
			v[f.Name()] = b.value(f.Type())
		}
		return v
	case *avro.ArraySchema:
		v := []any{}
		b.blocks(func() { v = append(v, b.value(s.Items())) })
		return v
	case *avro.MapSchema:
		v := make(map[string]any)
		b.blocks(func() {
			key := string(b.take(b.long()))
			v[key] = b.value(s.Values())
		})
		return v
	default:
		return b.primitive(schema)
	}
}

func (b *avroBytes) primitive(schema avro.Schema) any {
	switch schema.Type() {
	case avro.Null:
		return nil
	case avro.Boolean:
		v := b.take(1)
		return len(v) == 1 && v[0] != 0
	case avro.Int, avro.Long:
		return b.long()
	case avro.Float:
		v := b.take(4)
		if v == nil {
			return 0.0
		}
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(v)))
	case avro.Double:
		v := b.take(8)
		if v == nil {
			return 0.0
		}
		return math.Float64frombits(binary.LittleEndian.Uint64(v))
	case avro.String:
		return string(b.take(b.long()))
	case avro.Bytes:
		return bytes.Clone(b.take(b.long()))
	default:
		b.fail("type %s", schema.Type())
		return nil
	}
}

// decodeAvro reads a datum that is one value of a schema.
func decodeAvro(schema avro.Schema, datum []byte) (any, error) {
	b := avroBytes{rest: datum}
	v := b.value(schema)
	if b.err == nil && len(b.rest) > 0 {
		b.fail("%d bytes behind the record", len(b.rest))
	}
	return v, b.err
}

// appendAvro appends a value in a schema. Fields that a record lacks are null, or their type's zero where null is not allowed; fields that
// the schema lacks are left out, as when Hudi converts the metadata of a newer release.
func appendAvro(dst []byte, schema avro.Schema, v any) ([]byte, error) {
	switch s := schema.(type) {
	case *avro.RefSchema:
		return appendAvro(dst, s.Schema(), v)
	case *avro.UnionSchema:
		return appendUnion(dst, s, v)
	case *avro.RecordSchema:
		record, ok := v.(map[string]any)
		if !ok && v != nil {
			return nil, fmt.Errorf("%w: %T for record %s", errAvro, v, s.Name())
		}
		var err error
		for _, f := range s.Fields() {
			if dst, err = appendAvro(dst, f.Type(), record[f.Name()]); err != nil {
				return nil, fmt.Errorf("%s: %w", f.Name(), err)
			}
		}
		return dst, nil
	case *avro.ArraySchema:
		items, ok := v.([]any)
		if !ok && v != nil {
			return nil, fmt.Errorf("%w: %T for an array", errAvro, v)
		}
		return appendBlock(dst, items, func(dst []byte, item any) ([]byte, error) { return appendAvro(dst, s.Items(), item) })
	case *avro.MapSchema:
		entries, ok := v.(map[string]any)
		if !ok && v != nil {
			return nil, fmt.Errorf("%w: %T for a map", errAvro, v)
		}
		return appendBlock(dst, slices.Sorted(maps.Keys(entries)), func(dst []byte, key string) ([]byte, error) {
			dst = append(binary.AppendVarint(dst, int64(len(key))), key...)
			return appendAvro(dst, s.Values(), entries[key])
		})
	default:
		return appendPrimitive(dst, schema.Type(), v)
	}
}

// appendUnion appends a nullable value, the only kind of union in the schemas at hand.
func appendUnion(dst []byte, s *avro.UnionSchema, v any) ([]byte, error) {
	for i, branch := range s.Types() {
		if (v == nil) == (branch.Type() == avro.Null) {
			return appendAvro(binary.AppendVarint(dst, int64(i)), branch, v)
		}
	}
	return nil, fmt.Errorf("%w: no branch for %T", errAvro, v)
}

// appendBlock appends items as one block, and the end of blocks.
func appendBlock[T any](dst []byte, items []T, item func([]byte, T) ([]byte, error)) ([]byte, error) {
	if len(items) > 0 {
		dst = binary.AppendVarint(dst, int64(len(items)))
	}
	var err error
	for _, v := range items {
		if dst, err = item(dst, v); err != nil {
			return nil, err
		}
	}
	return append(dst, 0), nil
}

func appendPrimitive(dst []byte, t avro.Type, v any) ([]byte, error) {
	switch x := v.(type) {
	case nil:
		return appendZero(dst, t)
	case bool:
		if t == avro.Boolean {
			if x {
				return append(dst, 1), nil
			}
			return append(dst, 0), nil
		}
	case string:
		if t == avro.String || t == avro.Bytes {
			return append(binary.AppendVarint(dst, int64(len(x))), x...), nil
		}
	case []byte:
		if t == avro.String || t == avro.Bytes {
			return append(binary.AppendVarint(dst, int64(len(x))), x...), nil
		}
	case json.Number:
		if t == avro.Int || t == avro.Long {
			n, err := x.Int64()
			if err != nil {
				return nil, fmt.Errorf("%w: %s for %s", errAvro, x, t)
			}
			return binary.AppendVarint(dst, n), nil
		}
		f, err := x.Float64()
		if err != nil {
			return nil, fmt.Errorf("%w: %s for %s", errAvro, x, t)
		}
		return appendPrimitive(dst, t, f)
	case int:
		return appendPrimitive(dst, t, int64(x))
	case int64:
		if t == avro.Int || t == avro.Long {
			return binary.AppendVarint(dst, x), nil
		}
		return appendPrimitive(dst, t, float64(x))
	case float64:
		if t == avro.Float {
			return binary.LittleEndian.AppendUint32(dst, math.Float32bits(float32(x))), nil
		}
		if t == avro.Double {
			return binary.LittleEndian.AppendUint64(dst, math.Float64bits(x)), nil
		}
	}
	return nil, fmt.Errorf("%w: %T for %s", errAvro, v, t)
}

// appendZero appends the zero of a type.
func appendZero(dst []byte, t avro.Type) ([]byte, error) {
	switch t {
	case avro.Null:
		return dst, nil
	case avro.Boolean, avro.Int, avro.Long, avro.String, avro.Bytes:
		return append(dst, 0), nil
	case avro.Float:
		return append(dst, 0, 0, 0, 0), nil
	case avro.Double:
		return append(dst, 0, 0, 0, 0, 0, 0, 0, 0), nil
	default:
		return nil, fmt.Errorf("%w: no value for %s", errAvro, t)
	}
}
