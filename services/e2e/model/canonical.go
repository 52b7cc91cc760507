package model

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/playhead-pipeline/playhead/services/e2e/load"
)

// A canonical value is a self-delimiting byte string that does not depend on where the value came from: two values are equal if and only if
// their canonical bytes are. Maps are ordered by key.
const (
	kindNull   = 'n'
	kindText   = 's'
	kindInt    = 'i'
	kindDouble = 'd'
	kindBool   = 'b'
	kindList   = '['
	kindMap    = '{'
	kindRecord = '('
)

func putNull(dst []byte) []byte { return append(dst, kindNull) }

func putText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(append(dst, kindText), uint64(len(s))), s...)
}

func putInt(dst []byte, v int64) []byte { return binary.AppendVarint(append(dst, kindInt), v) }

func putInt32(dst []byte, v int32) []byte { return putInt(dst, int64(v)) }

func putDouble(dst []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(append(dst, kindDouble), math.Float64bits(v))
}

func putBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, kindBool, 1)
	}
	return append(dst, kindBool, 0)
}

func putCount(dst []byte, kind byte, n int) []byte {
	return binary.AppendUvarint(append(dst, kind), uint64(n))
}

func putNullable[T any](dst []byte, v load.Nullable[T], put func([]byte, T) []byte) []byte {
	if !v.Valid {
		return putNull(dst)
	}
	return put(dst, v.Value)
}

// putCell appends the canonical value of row i of a column that arrow-go has read.
func putCell(dst []byte, column arrow.Array, i int) ([]byte, error) {
	if column.IsNull(i) {
		return putNull(dst), nil
	}
	switch a := column.(type) {
	case *array.String:
		return putText(dst, a.Value(i)), nil
	case *array.Int32:
		return putInt32(dst, a.Value(i)), nil
	case *array.Int64:
		return putInt(dst, a.Value(i)), nil
	case *array.Timestamp:
		if unit := a.DataType().(*arrow.TimestampType).Unit; unit != arrow.Microsecond {
			return nil, fmt.Errorf("timestamp in %s", unit)
		}
		return putInt(dst, int64(a.Value(i))), nil
	case *array.Float64:
		return putDouble(dst, a.Value(i)), nil
	case *array.Boolean:
		return putBool(dst, a.Value(i)), nil
	case *array.Decimal128:
		unscaled := a.Value(i)
		if wide := int64(unscaled.LowBits()); unscaled.HighBits() != wide>>63 {
			return nil, fmt.Errorf("decimal %s is wider than 64 bits", unscaled.BigInt())
		}
		return putInt(dst, int64(unscaled.LowBits())), nil
	case *array.Struct:
		return putStruct(dst, a, i)
	case *array.Map:
		return putMap(dst, a, i)
	case *array.List:
		start, end := a.ValueOffsets(i)
		dst = putCount(dst, kindList, int(end-start))
		var err error
		for j := start; j < end && err == nil; j++ {
			dst, err = putCell(dst, a.ListValues(), int(j))
		}
		return dst, err
	default:
		return nil, fmt.Errorf("column type %s", column.DataType())
	}
}

func putStruct(dst []byte, a *array.Struct, i int) ([]byte, error) {
	dst = putCount(dst, kindRecord, a.NumField())
	var err error
	for f := range a.NumField() {
		if dst, err = putCell(dst, a.Field(f), i); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

func putMap(dst []byte, a *array.Map, i int) ([]byte, error) {
	start, end := a.ValueOffsets(i)
	keys, ok := a.Keys().(*array.String)
	if !ok {
		return nil, fmt.Errorf("map with keys of type %s", a.Keys().DataType())
	}
	order := make([]int, 0, end-start)
	for j := start; j < end; j++ {
		order = append(order, int(j))
	}
	slices.SortFunc(order, func(x, y int) int { return strings.Compare(keys.Value(x), keys.Value(y)) })
	dst = putCount(dst, kindMap, len(order))
	var err error
	for _, j := range order {
		if dst, err = putCell(putText(dst, keys.Value(j)), a.Items(), j); err != nil {
			return nil, err
		}
	}
	return dst, nil
}
