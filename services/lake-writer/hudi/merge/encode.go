package merge

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
)

// encoder writes rows of a Parquet block as the Avro record that the block's schema describes, so that everything behind it knows one
// form of record. Values come as basefile.Row documents them. What does not fit a type is a *basefile.SchemaError.
type encoder struct{ data []byte }

// row appends a record: the meta fields, which come first in the row, and those of the payload.
func (e *encoder) row(row basefile.Row, payload *node) error {
	for i := range metaFields {
		text, ok := row.Values[i].(string)
		if !ok {
			e.long(0)
			continue
		}
		e.long(1)
		e.text(text)
	}
	return e.fields(row.Values[metaFields:], payload, "")
}

func (e *encoder) fields(values []any, n *node, path string) error {
	if len(values) != len(n.fields) {
		return &basefile.SchemaError{Path: path, Reason: fmt.Sprintf("%d values for %d fields", len(values), len(n.fields))}
	}
	for i := range n.fields {
		if err := e.value(values[i], n.fields[i].node, join(path, n.fields[i].name)); err != nil {
			return err
		}
	}
	return nil
}

func (e *encoder) value(v any, n *node, path string) error {
	if v == nil {
		if n.nullIndex < 0 {
			return &basefile.SchemaError{Path: path, Reason: fmt.Sprintf("null for a %s", n)}
		}
		e.long(n.nullIndex)
		return nil
	}
	if n.union {
		branch := int64(0)
		if n.nullIndex == 0 {
			branch = 1
		}
		e.long(branch)
	}
	switch n.kind {
	case avro.Record:
		if r, ok := v.(basefile.Row); ok {
			return e.fields(r.Values, n, path)
		}
	case avro.Array:
		if items, ok := v.([]any); ok {
			return e.array(items, n.items, path)
		}
	case avro.Map:
		if entries, ok := v.(map[string]any); ok {
			return e.entries(entries, n.items, path)
		}
	default:
		if e.scalar(v, n) {
			return nil
		}
	}
	return &basefile.SchemaError{Path: path, Reason: fmt.Sprintf("a %T for a %s", v, n)}
}

// scalar reports whether the value is one of the type's.
func (e *encoder) scalar(v any, n *node) bool {
	switch n.kind {
	case avro.Boolean:
		b, ok := v.(bool)
		bit := byte(0)
		if b {
			bit = 1
		}
		e.data = append(e.data, bit)
		return ok
	case avro.Int, avro.Long:
		i, ok := wholeNumber(v, n.logical)
		e.long(i)
		return ok
	case avro.Float:
		f, ok := v.(float32)
		e.data = binary.LittleEndian.AppendUint32(e.data, math.Float32bits(f))
		return ok
	case avro.Double:
		f, ok := v.(float64)
		e.data = binary.LittleEndian.AppendUint64(e.data, math.Float64bits(f))
		return ok
	case avro.String:
		s, ok := v.(string)
		e.text(s)
		return ok
	case avro.Enum:
		s, ok := v.(string)
		i := slices.Index(n.symbols, s)
		e.long(int64(i))
		return ok && i >= 0
	case avro.Bytes, avro.Fixed:
		return e.binary(v, n)
	default:
		return false
	}
}

// wholeNumber is the integer that Avro has for a value of a logical type.
func wholeNumber(v any, logical avro.LogicalType) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case basefile.Date:
		return int64(v), true
	case time.Time:
		if logical == avro.TimestampMillis {
			return v.UnixMilli(), true
		}
		return v.UnixMicro(), true
	case time.Duration:
		if logical == avro.TimeMillis {
			return v.Milliseconds(), true
		}
		return v.Microseconds(), true
	default:
		return 0, false
	}
}

// binary appends bytes, or the two's complement of a decimal number's digits: as long as a fixed is, else as short as it goes.
func (e *encoder) binary(v any, n *node) bool {
	b, ok := v.([]byte)
	if number, isNumber := v.(json.Number); isNumber {
		b, ok = unscaled(number, n)
	}
	if !ok {
		return false
	}
	if n.kind == avro.Bytes {
		e.long(int64(len(b)))
	} else if len(b) != n.size {
		return false
	}
	e.data = append(e.data, b...)
	return true
}

// unscaled is a decimal number without its point, which has as many digits behind it as the type says, big-endian.
func unscaled(number json.Number, n *node) ([]byte, bool) {
	whole, fraction, _ := strings.Cut(number.String(), ".")
	v, ok := new(big.Int).SetString(whole+fraction, 10)
	if !ok || len(fraction) != max(n.scale, 0) {
		return nil, false
	}
	bits := v.BitLen()
	if v.Sign() < 0 {
		bits = new(big.Int).Not(v).BitLen()
	}
	size := bits/8 + 1
	if n.kind == avro.Fixed {
		if size > n.size {
			return nil, false
		}
		size = n.size
	}
	if v.Sign() < 0 {
		v.Add(v, new(big.Int).Lsh(big.NewInt(1), uint(8*size)))
	}
	return v.FillBytes(make([]byte, size)), true
}

func (e *encoder) array(items []any, n *node, path string) error {
	if len(items) > 0 {
		e.long(int64(len(items)))
	}
	for _, item := range items {
		if err := e.value(item, n, path+"[]"); err != nil {
			return err
		}
	}
	e.long(0)
	return nil
}

// entries go in the order of their keys, so that equal rows are equal bytes.
func (e *encoder) entries(entries map[string]any, n *node, path string) error {
	if len(entries) > 0 {
		e.long(int64(len(entries)))
	}
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		e.text(key)
		if err := e.value(entries[key], n, path+"{}"); err != nil {
			return err
		}
	}
	e.long(0)
	return nil
}

func (e *encoder) long(v int64) { e.data = binary.AppendVarint(e.data, v) }

func (e *encoder) text(s string) {
	e.long(int64(len(s)))
	e.data = append(e.data, s...)
}
