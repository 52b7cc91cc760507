package basefile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"slices"
	"time"

	"github.com/parquet-go/parquet-go"
)

// Row is one row, or a record inside of one. Values are, by column type:
// nil, bool, int64 (int, long), float32, float64, string, []byte (bytes, fixed), json.Number (decimal), time.Time in UTC (timestamp),
// Date, time.Duration since midnight (time), Row (record), []any (array) and map[string]any (map).
type Row struct {
	Columns []string
	Values  []any
}

// Get is the value of a column; ok is false when the row has none of that name.
func (r Row) Get(column string) (value any, ok bool) {
	i := slices.Index(r.Columns, column)
	if i < 0 {
		return nil, false
	}
	return r.Values[i], true
}

// Date is a day of the calendar, counted from 1970-01-01.
type Date int32

// String is the day as 2006-01-02.
func (d Date) String() string { return time.Unix(int64(d)*24*60*60, 0).UTC().Format(time.DateOnly) }

// MarshalText is String.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// MarshalJSON writes an object with the columns in their order. Times are RFC 3339 in microseconds, times of day 15:04:05.000000,
// bytes base64; numbers that JSON lacks are the strings "NaN", "Infinity" and "-Infinity".
func (r Row) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, column := range r.Columns {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := writeJSON(&b, column); err != nil {
			return nil, err
		}
		b.WriteByte(':')
		if err := writeJSON(&b, r.Values[i]); err != nil {
			return nil, fmt.Errorf("column %s: %w", column, err)
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func writeJSON(b *bytes.Buffer, value any) error {
	switch v := value.(type) {
	case []any:
		b.WriteByte('[')
		for i, item := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := writeJSON(b, item); err != nil {
				return err
			}
		}
		b.WriteByte(']')
		return nil
	case map[string]any:
		keys := make([]string, 0, len(v))
		for key := range v {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		row := Row{Columns: keys}
		for _, key := range keys {
			row.Values = append(row.Values, v[key])
		}
		value = row
	case float32:
		value = jsonFloat(float64(v), v)
	case float64:
		value = jsonFloat(v, v)
	case time.Time:
		value = v.Format("2006-01-02T15:04:05.000000Z07:00")
	case time.Duration:
		value = time.Time{}.Add(v).Format("15:04:05.000000")
	}
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1) // the encoder's newline
	return nil
}

func jsonFloat(f float64, finite any) any {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	default:
		return finite
	}
}

// goValue is a present value as Row documents it. It copies what belongs to a page.
func goValue(s scalar, v parquet.Value) any {
	switch s.logical {
	case decimal:
		return decimalNumber(s, v)
	case date:
		return Date(v.Int32())
	case timeMillis:
		return time.Duration(v.Int32()) * time.Millisecond
	case timeMicros:
		return time.Duration(v.Int64()) * time.Microsecond
	case timestampMillis:
		return time.UnixMilli(v.Int64()).UTC()
	case timestampMicros:
		return time.UnixMicro(v.Int64()).UTC()
	}
	switch s.kind {
	case kindBoolean:
		return v.Boolean()
	case kindInt:
		return int64(v.Int32())
	case kindLong:
		return v.Int64()
	case kindFloat:
		return v.Float()
	case kindDouble:
		return v.Double()
	case kindString:
		return string(v.ByteArray())
	default:
		return bytes.Clone(v.ByteArray())
	}
}

// decimalNumber writes a decimal with all digits of its scale.
func decimalNumber(s scalar, v parquet.Value) json.Number {
	switch s.kind {
	case kindInt:
		return decimalText(big.NewInt(int64(v.Int32())), s.scale)
	case kindLong:
		return decimalText(big.NewInt(v.Int64()), s.scale)
	default:
		return decimalText(twosComplement(v.ByteArray()), s.scale)
	}
}

func decimalText(unscaled *big.Int, scale int) json.Number {
	digits := new(big.Int).Abs(unscaled).String()
	if scale > 0 {
		for len(digits) <= scale {
			digits = "0" + digits
		}
		digits = digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
	}
	if unscaled.Sign() < 0 {
		digits = "-" + digits
	}
	return json.Number(digits)
}
