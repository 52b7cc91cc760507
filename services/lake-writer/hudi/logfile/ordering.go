package logfile

import (
	"encoding/binary"
	"math"
)

// OrderingKind is the Java class of an ordering value, by its branch in the union of HoodieDeleteRecord.orderingVal.
type OrderingKind uint8

// The kinds. LocalDate is found in arrays only, where it has the branch that Array has outside.
const (
	OrderingNone OrderingKind = iota
	OrderingBool
	OrderingInt
	OrderingLong
	OrderingFloat
	OrderingDouble
	OrderingBytes
	OrderingString
	OrderingDate
	OrderingDecimal
	OrderingTimeMicros
	OrderingTimestampMicros
	OrderingArray
	OrderingLocalDate
)

// localDateBranch is the branch of LocalDateWrapper in ArrayWrapper's items (Hudi 1.1 and later).
const localDateBranch = 12

// Ordering is a delete's ordering value. The zero value is null.
type Ordering struct {
	Kind OrderingKind

	number int64 // Bool, Int, Long, Date, TimeMicros, TimestampMicros, LocalDate; the bits of Float and Double
	text   string
	items  []Ordering
}

// BoolOrdering is a boolean.
func BoolOrdering(v bool) Ordering {
	o := Ordering{Kind: OrderingBool}
	if v {
		o.number = 1
	}
	return o
}

// IntOrdering is an int. 0 means a delete by commit time: it wins over everything before it, whatever the table's ordering is.
func IntOrdering(v int32) Ordering { return Ordering{Kind: OrderingInt, number: int64(v)} }

// LongOrdering is a long. It is also the right kind for a column of timestamp-micros, with the raw value: Hudi 0.15 takes a
// TimestampMicros as unconditional and 1.2 fails on it.
func LongOrdering(v int64) Ordering { return Ordering{Kind: OrderingLong, number: v} }

// FloatOrdering is a float.
func FloatOrdering(v float32) Ordering {
	return Ordering{Kind: OrderingFloat, number: int64(math.Float32bits(v))}
}

// DoubleOrdering is a double.
func DoubleOrdering(v float64) Ordering {
	return Ordering{Kind: OrderingDouble, number: int64(math.Float64bits(v))}
}

// BytesOrdering is a copy of bytes.
func BytesOrdering(v []byte) Ordering { return Ordering{Kind: OrderingBytes, text: string(v)} }

// StringOrdering is a string.
func StringOrdering(v string) Ordering { return Ordering{Kind: OrderingString, text: v} }

// DateOrdering is a date, in days since 1970.
func DateOrdering(days int32) Ordering { return Ordering{Kind: OrderingDate, number: int64(days)} }

// DecimalOrdering is a decimal(30, 15) by its unscaled value, a big-endian two's complement.
func DecimalOrdering(unscaled []byte) Ordering {
	return Ordering{Kind: OrderingDecimal, text: string(unscaled)}
}

// TimeMicrosOrdering is a time of day in microseconds.
func TimeMicrosOrdering(v int64) Ordering { return Ordering{Kind: OrderingTimeMicros, number: v} }

// TimestampMicrosOrdering is a time in microseconds since 1970; see LongOrdering.
func TimestampMicrosOrdering(v int64) Ordering {
	return Ordering{Kind: OrderingTimestampMicros, number: v}
}

// LocalDateOrdering is a date as the item of an array, in days since 1970.
func LocalDateOrdering(days int32) Ordering {
	return Ordering{Kind: OrderingLocalDate, number: int64(days)}
}

// ArrayOrdering is the value of several ordering fields, none of them an array (Hudi 1.1 and later).
func ArrayOrdering(items ...Ordering) Ordering { return Ordering{Kind: OrderingArray, items: items} }

// ByCommitTime reports whether the delete is unconditional: IntOrdering(0) (DeleteRecord, OrderingValues.isDefault), or null.
func (o Ordering) ByCommitTime() bool {
	return o.Kind == OrderingNone || o.Kind == OrderingInt && o.number == 0
}

// Int64 is the value of Bool (0 or 1), Int, Long, Date, TimeMicros, TimestampMicros and LocalDate.
func (o Ordering) Int64() int64 { return o.number }

// Float64 is the value of Float and Double.
func (o Ordering) Float64() float64 {
	if o.Kind == OrderingFloat {
		return float64(math.Float32frombits(uint32(o.number)))
	}
	return math.Float64frombits(uint64(o.number))
}

// Text is the value of String, Bytes and Decimal, the last two as raw bytes.
func (o Ordering) Text() string { return o.text }

// Items are the values of Array; they are not to be changed.
func (o Ordering) Items() []Ordering { return o.items }

// append appends the value as a branch of the union of HoodieDeleteRecord.orderingVal.
func (o Ordering) append(dst []byte) []byte {
	if o.Kind > OrderingArray {
		panic("logfile: write a local date that is in no array")
	}
	return o.appendBranch(dst, byte(o.Kind))
}

// appendItem appends the value as a branch of the union of ArrayWrapper's items.
func (o Ordering) appendItem(dst []byte) []byte {
	switch o.Kind {
	case OrderingArray:
		panic("logfile: write an array of ordering values in an array")
	case OrderingLocalDate:
		return o.appendBranch(dst, localDateBranch)
	default:
		return o.appendBranch(dst, byte(o.Kind))
	}
}

func (o Ordering) appendBranch(dst []byte, branch byte) []byte {
	dst = append(dst, branch*2) // as a varint
	switch o.Kind {
	case OrderingNone:
	case OrderingBool:
		dst = append(dst, byte(o.number))
	case OrderingInt, OrderingLong, OrderingDate, OrderingTimeMicros, OrderingTimestampMicros, OrderingLocalDate:
		dst = binary.AppendVarint(dst, o.number)
	case OrderingFloat:
		dst = binary.LittleEndian.AppendUint32(dst, uint32(o.number))
	case OrderingDouble:
		dst = binary.LittleEndian.AppendUint64(dst, uint64(o.number))
	case OrderingBytes, OrderingString, OrderingDecimal:
		dst = binary.AppendVarint(dst, int64(len(o.text)))
		dst = append(dst, o.text...)
	case OrderingArray:
		dst = append(dst, 2) // ArrayWrapper.wrappedValues is nullable
		if len(o.items) > 0 {
			dst = binary.AppendVarint(dst, int64(len(o.items)))
		}
		for _, item := range o.items {
			dst = item.appendItem(dst)
		}
		dst = append(dst, 0)
	}
	return dst
}

// ordering reads a value of the union of HoodieDeleteRecord.orderingVal.
func (r *avroReader) ordering() Ordering {
	branch := r.long()
	if branch != int64(OrderingArray) {
		return r.scalar(branch)
	}
	o := Ordering{Kind: OrderingArray}
	switch present := r.long(); present {
	case 0:
	case 1:
		r.blocks(func() {
			branch := r.long()
			if branch == localDateBranch {
				o.items = append(o.items, Ordering{Kind: OrderingLocalDate, number: int64(r.int())})
				return
			}
			o.items = append(o.items, r.scalar(branch))
		})
	default:
		r.fail("branch %d of a union of null and array", present)
	}
	return o
}

// scalar reads the value of a branch that is no array.
func (r *avroReader) scalar(branch int64) Ordering {
	if branch < 0 || branch >= int64(OrderingArray) {
		r.fail("branch %d of an ordering value", branch)
		return Ordering{}
	}
	o := Ordering{Kind: OrderingKind(branch)}
	switch o.Kind {
	case OrderingNone, OrderingArray, OrderingLocalDate:
	case OrderingBool:
		if b := r.fixed(1); b != nil {
			if o.number = int64(b[0]); o.number > 1 {
				r.fail("a boolean of %d", o.number)
			}
		}
	case OrderingInt, OrderingDate:
		o.number = int64(r.int())
	case OrderingLong, OrderingTimeMicros, OrderingTimestampMicros:
		o.number = r.long()
	case OrderingFloat:
		if b := r.fixed(4); b != nil {
			o.number = int64(binary.LittleEndian.Uint32(b))
		}
	case OrderingDouble:
		if b := r.fixed(8); b != nil {
			o.number = int64(binary.LittleEndian.Uint64(b))
		}
	case OrderingBytes, OrderingString, OrderingDecimal:
		o.text = string(r.bytes())
	}
	return o
}
