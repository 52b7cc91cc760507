package merge

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
)

// sortKey is the values of a row's columns as bytes that compare as the values do.
type sortKey []byte

const (
	keyNull    = 0
	keyPresent = 1
	// decimalBytes hold every decimal number that Parquet files of a table have (38 digits).
	decimalBytes = 17
)

// row appends the key of a row.
func (k sortKey) row(row basefile.Row, columns []sortColumn) (sortKey, error) {
	for _, c := range columns {
		v := row.Values[c.at]
		if v == nil {
			k = append(k, keyNull)
			continue
		}
		var ok bool
		if k, ok = append(k, keyPresent).value(v, c.node); !ok {
			return k, &basefile.SchemaError{Path: c.name, Reason: fmt.Sprintf("a %T cannot be sorted", v)}
		}
	}
	return k, nil
}

func (k sortKey) value(v any, n *node) (sortKey, bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return append(k, 1), true
		}
		return append(k, 0), true
	case float32:
		return k.float(float64(v)), true
	case float64:
		return k.float(v), true
	case string:
		return k.text([]byte(v)), true
	case []byte:
		return k.text(v), true
	case json.Number:
		digits, ok := unscaled(v, n)
		if !ok || len(digits) > decimalBytes && n.size == 0 {
			return k, false
		}
		return k.decimal(digits), true
	default:
		i, ok := wholeNumber(v, "")
		return binary.BigEndian.AppendUint64(k, uint64(i)^1<<63), ok
	}
}

// float orders by value, -0 before +0 and NaN behind all, as Java does.
func (k sortKey) float(f float64) sortKey {
	if math.IsNaN(f) {
		f = math.NaN() // of one sign
	}
	bits := math.Float64bits(f)
	if bits>>63 == 1 {
		bits = ^bits
	} else {
		bits |= 1 << 63
	}
	return binary.BigEndian.AppendUint64(k, bits)
}

// text ends with a zero byte and a one; a zero byte of its own is followed by 255. So no text is the beginning of another one.
func (k sortKey) text(b []byte) sortKey {
	for _, c := range b {
		k = append(k, c)
		if c == 0 {
			k = append(k, 0xff)
		}
	}
	return append(k, 0, 1)
}

// decimal widens a two's complement, and turns its sign so that negative ones come first.
func (k sortKey) decimal(digits []byte) sortKey {
	fill := byte(0)
	if len(digits) > 0 && digits[0] >= 0x80 {
		fill = 0xff
	}
	at := len(k)
	for range max(0, decimalBytes-len(digits)) {
		k = append(k, fill)
	}
	k = append(k, digits...)
	k[at] ^= 0x80
	return k
}
