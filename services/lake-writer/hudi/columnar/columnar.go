// Package columnar owns how many rows are held together: a batch of typed columns in the layout of Apache Arrow, so that a reader's loop
// runs over plain slices of Go and an exporter to Arrow copies nothing but validity where none is null. Differences from Arrow: booleans are
// one byte each, decimals are two's complement with the most significant byte first, as Avro and Parquet have them.
//
// It knows nothing of files and tables. Who makes a batch says how long it is valid.
package columnar

import "fmt"

// Kind is how a column's values are held.
type Kind uint8

// The kinds, each with the slice of Column that holds the values.
const (
	Bool    Kind = iota // Bools
	Int32               // Int32s
	Int64               // Int64s
	Float32             // Float32s
	Float64             // Float64s
	String              // UTF-8: Codes and Dict where Dict is not nil, else Offsets and Data
	Bytes               // the same
	Fixed               // Data, Type.Size bytes each
	Record              // Children, one a field, each as long as the column
	List                // Offsets into Children[0]
	Map                 // Offsets into Children[0], the keys, and Children[1], the values
)

// String is the kind's name.
func (k Kind) String() string {
	names := [...]string{"bool", "int32", "int64", "float32", "float64", "string", "bytes", "fixed", "record", "list", "map"}
	if int(k) >= len(names) {
		return fmt.Sprintf("kind %d", uint8(k))
	}
	return names[k]
}

// Meaning is what values stand for.
type Meaning uint8

// The meanings, each with the kinds that have it.
const (
	Plain           Meaning = iota
	Date                    // Int32: days since 1970-01-01
	TimeMillis              // Int32: milliseconds since midnight
	TimeMicros              // Int64: microseconds since midnight
	TimestampMillis         // Int64: milliseconds since 1970-01-01T00:00:00Z
	TimestampMicros         // Int64: microseconds since then
	Decimal                 // Int32, Int64, Fixed or Bytes: the unscaled number, two's complement, most significant byte first
)

// Type is a column's type.
type Type struct {
	Kind             Kind
	Meaning          Meaning
	Size             int     // bytes of a Fixed
	Precision, Scale int     // of a Decimal
	Fields           []Field // of a Record; of a List its item, of a Map its key and value
}

// Field is a named part of a type.
type Field struct {
	Name string
	Type *Type
}

// Dictionary holds texts that codes stand for.
type Dictionary struct {
	Offsets []int32 // one more than texts
	Data    []byte
}

// Len is the number of texts.
func (d *Dictionary) Len() int { return max(len(d.Offsets)-1, 0) }

// At is a text. It is not to be changed.
func (d *Dictionary) At(code int32) []byte {
	return d.Data[d.Offsets[code]:d.Offsets[code+1]:d.Offsets[code+1]]
}

// Column holds the values of one column. A null has a place among the values, whose content means nothing; a null list is empty.
type Column struct {
	Type  *Type
	Len   int
	Nulls int    // how many of Len are null
	Valid []byte // when Nulls > 0: bit i%8 of byte i/8 is set where value i is not null

	Bools    []bool
	Int32s   []int32
	Int64s   []int64
	Float32s []float32
	Float64s []float64
	Codes    []int32 // into Dict; of a null 0, even where Dict is empty
	Dict     *Dictionary
	Offsets  []int32 // Len+1, ascending from 0, unless Dict is used
	Data     []byte
	Children []*Column
}

// Batch is a number of rows.
type Batch struct {
	Names   []string
	Columns []*Column
	Rows    int
}

// Column is the column of a name, nil when the batch has none.
func (b *Batch) Column(name string) *Column {
	for i, n := range b.Names {
		if n == name {
			return b.Columns[i]
		}
	}
	return nil
}

// Keep leaves the rows of the given numbers, which ascend.
func (b *Batch) Keep(rows []int32) {
	if len(rows) == b.Rows {
		return
	}
	for _, c := range b.Columns {
		c.Keep(rows)
	}
	b.Rows = len(rows)
}

// New makes an empty column.
func New(t *Type) *Column {
	c := &Column{Type: t}
	for _, f := range t.Fields {
		c.Children = append(c.Children, New(f.Type))
	}
	c.Reset()
	return c
}

// Reset empties the column and keeps its memory.
func (c *Column) Reset() {
	c.Len, c.Nulls, c.Valid, c.Dict = 0, 0, c.Valid[:0], nil
	c.Bools, c.Int32s, c.Int64s = c.Bools[:0], c.Int32s[:0], c.Int64s[:0]
	c.Float32s, c.Float64s, c.Codes = c.Float32s[:0], c.Float64s[:0], c.Codes[:0]
	c.Offsets, c.Data = c.Offsets[:0], c.Data[:0]
	if c.offsets() {
		c.Offsets = append(c.Offsets, 0)
	}
	for _, child := range c.Children {
		child.Reset()
	}
}

// offsets reports whether the kind has offsets.
func (c *Column) offsets() bool {
	switch c.Type.Kind {
	case String, Bytes, List, Map:
		return true
	default:
		return false
	}
}

// IsNull reports whether value i is null.
func (c *Column) IsNull(i int) bool { return c.Nulls > 0 && c.Valid[i>>3]>>(i&7)&1 == 0 }

// Bytes is value i of a String, Bytes or Fixed. It is not to be changed.
func (c *Column) Bytes(i int) []byte {
	switch {
	case c.Type.Kind == Fixed:
		return c.Data[i*c.Type.Size:][:c.Type.Size:c.Type.Size]
	case c.Dict != nil:
		return c.Dict.At(c.Codes[i])
	default:
		return c.Data[c.Offsets[i]:c.Offsets[i+1]:c.Offsets[i+1]]
	}
}

// Items are where the items of list or map i begin and end in the children.
func (c *Column) Items(i int) (from, to int) { return int(c.Offsets[i]), int(c.Offsets[i+1]) }
