package basefile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/columnar"
)

// BatchRow is row i of a batch, as Row documents it.
func BatchRow(b *columnar.Batch, i int) Row {
	row := Row{Columns: b.Names, Values: make([]any, len(b.Columns))}
	for j, c := range b.Columns {
		row.Values[j] = ColumnValue(c, i)
	}
	return row
}

// ColumnValue is value i of a column, as Row documents it. It shares no memory with the column.
func ColumnValue(c *columnar.Column, i int) any {
	if c.IsNull(i) {
		return nil
	}
	switch t := c.Type; t.Kind {
	case columnar.Bool:
		return c.Bools[i]
	case columnar.Int32, columnar.Int64:
		return integerValue(c, i)
	case columnar.Float32:
		return c.Float32s[i]
	case columnar.Float64:
		return c.Float64s[i]
	case columnar.String:
		return string(c.Bytes(i))
	case columnar.Record:
		row := Row{Columns: make([]string, len(c.Children)), Values: make([]any, len(c.Children))}
		for j, child := range c.Children {
			row.Columns[j], row.Values[j] = t.Fields[j].Name, ColumnValue(child, i)
		}
		return row
	case columnar.List:
		from, to := c.Items(i)
		list := make([]any, 0, to-from)
		for j := from; j < to; j++ {
			list = append(list, ColumnValue(c.Children[0], j))
		}
		return list
	case columnar.Map:
		from, to := c.Items(i)
		entries := make(map[string]any, to-from)
		for j := from; j < to; j++ {
			entries[fmt.Sprint(ColumnValue(c.Children[0], j))] = ColumnValue(c.Children[1], j)
		}
		return entries
	default:
		if t.Meaning == columnar.Decimal {
			return decimalText(twosComplement(c.Bytes(i)), t.Scale)
		}
		return bytes.Clone(c.Bytes(i))
	}
}

func integerValue(c *columnar.Column, i int) any {
	var v int64
	if c.Type.Kind == columnar.Int32 {
		v = int64(c.Int32s[i])
	} else {
		v = c.Int64s[i]
	}
	switch c.Type.Meaning {
	case columnar.Date:
		return Date(v)
	case columnar.TimeMillis:
		return time.Duration(v) * time.Millisecond
	case columnar.TimeMicros:
		return time.Duration(v) * time.Microsecond
	case columnar.TimestampMillis:
		return time.UnixMilli(v).UTC()
	case columnar.TimestampMicros:
		return time.UnixMicro(v).UTC()
	case columnar.Decimal:
		return decimalText(big.NewInt(v), c.Type.Scale)
	default:
		return v
	}
}

// twosComplement is the number of its bytes, most significant first.
func twosComplement(b []byte) *big.Int {
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return n
}

// AppendValue appends a value, as Row documents it, to a column of its type.
func AppendValue(c *columnar.Column, value any) error {
	switch v := value.(type) {
	case nil:
		c.AppendNulls(1)
		return nil
	case bool:
		if c.Type.Kind == columnar.Bool {
			c.AppendBool(v)
			return nil
		}
	case int64:
		return appendInteger(c, v, 1)
	case Date:
		return appendInteger(c, int64(v), 1)
	case time.Duration:
		return appendInteger(c, v.Microseconds(), millis(c.Type.Meaning == columnar.TimeMillis))
	case time.Time:
		return appendInteger(c, v.UnixMicro(), millis(c.Type.Meaning == columnar.TimestampMillis))
	case float32:
		if c.Type.Kind == columnar.Float32 {
			c.AppendFloat32(v)
			return nil
		}
	case float64:
		if c.Type.Kind == columnar.Float64 {
			c.AppendFloat64(v)
			return nil
		}
	case string:
		if c.Type.Kind == columnar.String {
			c.AppendBytes([]byte(v))
			return nil
		}
	case []byte:
		if c.Type.Kind == columnar.Bytes || c.Type.Kind == columnar.Fixed && c.Type.Size == len(v) {
			c.AppendBytes(v)
			return nil
		}
	case json.Number:
		return appendNumber(c, v)
	default:
		return appendParts(c, value)
	}
	return wrongValue(c, value)
}

func wrongValue(c *columnar.Column, value any) error {
	return fmt.Errorf("a %T in a column of %s", value, c.Type.Kind)
}

// millis is what microseconds are divided by.
func millis(yes bool) int64 {
	if yes {
		return 1000
	}
	return 1
}

func appendInteger(c *columnar.Column, v, unit int64) error {
	switch c.Type.Kind {
	case columnar.Int32:
		c.AppendInt32(int32(v / unit))
	case columnar.Int64:
		c.AppendInt64(v / unit)
	default:
		return wrongValue(c, v)
	}
	return nil
}

func appendNumber(c *columnar.Column, v json.Number) error {
	r, ok := new(big.Rat).SetString(string(v))
	if !ok || c.Type.Meaning != columnar.Decimal {
		return wrongValue(c, v)
	}
	r.Mul(r, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(c.Type.Scale)), nil)))
	if !r.IsInt() {
		return fmt.Errorf("decimal %s in a column of scale %d", v, c.Type.Scale)
	}
	n := r.Num()
	size := n.BitLen()/8 + 1
	if n.Sign() < 0 {
		n = new(big.Int).Add(n, new(big.Int).Lsh(big.NewInt(1), uint(8*size)))
	}
	if err := appendDecimal(c, n.FillBytes(make([]byte, size))); err != nil {
		return err
	}
	c.Extend(1)
	return nil
}

// appendParts appends a record, an array or a map.
func appendParts(c *columnar.Column, value any) error {
	switch v := value.(type) {
	case Row:
		if c.Type.Kind != columnar.Record {
			break
		}
		for i, child := range c.Children {
			part, _ := v.Get(c.Type.Fields[i].Name)
			if err := AppendValue(child, part); err != nil {
				return err
			}
		}
		c.Extend(1)
		return nil
	case []any:
		if c.Type.Kind != columnar.List {
			break
		}
		for _, item := range v {
			if err := AppendValue(c.Children[0], item); err != nil {
				return err
			}
		}
		c.CloseItems()
		return nil
	case map[string]any:
		if c.Type.Kind != columnar.Map {
			break
		}
		for key, item := range v {
			if err := AppendValue(c.Children[0], key); err != nil {
				return err
			}
			if err := AppendValue(c.Children[1], item); err != nil {
				return err
			}
		}
		c.CloseItems()
		return nil
	}
	return wrongValue(c, value)
}
