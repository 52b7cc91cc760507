package basefile

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/parquet-go/parquet-go"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/columnar"
)

// part makes a column, or a part of one, of the leaves below it: of their levels, where it is null or empty; of their values, what it holds.
type part struct {
	column   *columnar.Column
	from     *layout     // in the file; nil where the file lacks it
	first    *leafReader // below it
	children []*part
	convert  converter // of a leaf; nil: the file's values are the column's
}

// part plans a column of the table's type from one of the file.
func (b *batcher) part(to, from *layout) *part {
	p := &part{from: from, column: columnar.New(columnType(to))}
	if from == nil {
		return p
	}
	if from.leaf() {
		p.first = b.leafReader(from)
		if p.convert = conversion(to.scalar, from.scalar); p.convert == nil {
			p.first.leaf.Values = p.column
		}
		return p
	}
	p.column.Children = p.column.Children[:0]
	for i, c := range to.children {
		old := from.children[min(i, len(from.children)-1)]
		if from.kind == kindRecord {
			old = from.child(c.name)
		}
		child := b.part(c, old)
		p.children = append(p.children, child)
		p.column.Children = append(p.column.Children, child.column)
		if child.first != nil && (p.first == nil || child.first.layout.lo < p.first.layout.lo) {
			p.first = child.first
		}
	}
	return p
}

// columnType is the type of a column of a layout.
func columnType(l *layout) *columnar.Type {
	t := &columnar.Type{Size: l.size}
	switch l.kind {
	case kindRecord:
		t.Kind = columnar.Record
	case kindArray:
		t.Kind = columnar.List
	case kindMap:
		t.Kind = columnar.Map
	case kindBoolean:
		t.Kind = columnar.Bool
	case kindInt:
		t.Kind = columnar.Int32
	case kindLong:
		t.Kind = columnar.Int64
	case kindFloat:
		t.Kind = columnar.Float32
	case kindDouble:
		t.Kind = columnar.Float64
	case kindBytes:
		t.Kind = columnar.Bytes
	case kindFixed:
		t.Kind = columnar.Fixed
	default:
		t.Kind = columnar.String
	}
	t.Meaning = [...]columnar.Meaning{
		plain: columnar.Plain, date: columnar.Date, timeMillis: columnar.TimeMillis, timeMicros: columnar.TimeMicros,
		timestampMillis: columnar.TimestampMillis, timestampMicros: columnar.TimestampMicros, decimal: columnar.Decimal,
	}[l.logical]
	t.Precision, t.Scale = l.precision, l.scale
	for _, c := range l.children {
		t.Fields = append(t.Fields, columnar.Field{Name: c.name, Type: columnType(c)})
	}
	return t
}

// assemble makes the column. Entries of levels below slot are not in it; slots is how many must be.
func (p *part) assemble(slot, slots int) (err error) {
	switch {
	case p.from == nil:
		p.column.Reset()
		p.column.AppendNulls(slots)
		return nil
	case p.from.leaf():
		err = p.leaf(slot)
	case p.from.kind == kindRecord:
		err = p.record(slot)
	default:
		err = p.items(slot)
	}
	if err == nil && p.column.Len != slots {
		err = p.outOfStep()
	}
	return err
}

func (p *part) outOfStep() error {
	return fmt.Errorf("column %s is out of step with its neighbours: %w", p.from.path, parquet.ErrCorrupted)
}

func (p *part) leaf(slot int) error {
	leaf := &p.first.leaf
	if p.convert != nil {
		if err := p.convert(p.column, leaf.Values); err != nil {
			return fmt.Errorf("column %s: %w", p.from.path, err)
		}
	}
	if len(leaf.Def) == 0 {
		p.column.Len = leaf.Entries
		return nil
	}
	if !p.column.Place(leaf.Def, byte(slot), byte(p.from.def)) {
		return p.outOfStep()
	}
	return nil
}

func (p *part) record(slot int) error {
	p.column.Len, p.column.Nulls, p.column.Valid = 0, 0, p.column.Valid[:0]
	leaf := &p.first.leaf
	slots := 0
	for i := range leaf.Entries {
		if (len(leaf.Rep) == 0 || int(leaf.Rep[i]) <= p.from.rep) && (len(leaf.Def) == 0 || int(leaf.Def[i]) >= slot) {
			if len(leaf.Def) > 0 && int(leaf.Def[i]) < p.from.def {
				p.column.ExtendNulls(1)
			} else {
				p.column.Extend(1)
			}
			slots++
		}
	}
	for _, c := range p.children {
		if err := c.assemble(slot, slots); err != nil {
			return err
		}
	}
	return nil
}

// items makes a list or a map.
func (p *part) items(slot int) error {
	c, leaf := p.column, &p.first.leaf
	c.Len, c.Nulls, c.Valid, c.Offsets = 0, 0, c.Valid[:0], c.Offsets[:0]
	count := int32(0)
	for i, rep := range leaf.Rep {
		def := p.first.layout.def
		if len(leaf.Def) > 0 {
			def = int(leaf.Def[i])
		}
		if int(rep) <= p.from.rep && def >= slot {
			c.Offsets = append(c.Offsets, count)
			if def < p.from.def {
				c.ExtendNulls(1)
			} else {
				c.Extend(1)
			}
		}
		if int(rep) <= p.from.rep+1 && def > p.from.def {
			count++
		}
	}
	c.Offsets = append(c.Offsets, count)
	if c.Len == 0 && count > 0 {
		return p.outOfStep()
	}
	for _, child := range p.children {
		if err := child.assemble(p.from.def+1, int(count)); err != nil {
			return err
		}
	}
	return nil
}

// converter makes the present values of a column of those of a file.
type converter func(to, from *columnar.Column) error

// conversion is what makes values of type to; the types were checked before.
func conversion(to, from scalar) converter {
	switch {
	case to.logical == decimal && from.logical == decimal && (to.kind != from.kind || to.size != from.size):
		return convertDecimals
	case to.kind == kindLong && from.kind == kindInt:
		return func(to, from *columnar.Column) error {
			to.Reset()
			for _, v := range from.Int32s {
				to.Int64s = append(to.Int64s, int64(v))
			}
			return nil
		}
	default:
		return nil
	}
}

// convertDecimals makes decimals of the column's size: Spark writes small ones as int32 or int64, whatever the table's Avro type is.
func convertDecimals(to, from *columnar.Column) error {
	to.Reset()
	n := max(len(from.Int32s), len(from.Int64s), len(from.Codes), len(from.Offsets)-1)
	if from.Type.Kind == columnar.Fixed {
		n = len(from.Data) / max(from.Type.Size, 1)
	}
	var number [8]byte
	for i := range n {
		var b []byte
		switch from.Type.Kind {
		case columnar.Int32:
			binary.BigEndian.PutUint64(number[:], uint64(from.Int32s[i]))
			b = number[:]
		case columnar.Int64:
			binary.BigEndian.PutUint64(number[:], uint64(from.Int64s[i]))
			b = number[:]
		default:
			b = from.Bytes(i)
		}
		if err := appendDecimal(to, b); err != nil {
			return err
		}
	}
	return nil
}

// appendDecimal appends a number of two's complement as the column's type has it. It is not counted.
func appendDecimal(to *columnar.Column, b []byte) error {
	size := to.Type.Size
	switch to.Type.Kind {
	case columnar.Bytes:
		to.Data = append(to.Data, b...)
		to.Offsets = append(to.Offsets, int32(len(to.Data)))
		return nil
	case columnar.Int32:
		size = 4
	case columnar.Int64:
		size = 8
	}
	sign := byte(0)
	if len(b) > 0 && b[0] >= 0x80 {
		sign = 0xff
	}
	for len(b) > size {
		if b[0] != sign || len(b) == size+1 && (b[1]^sign) >= 0x80 {
			return fmt.Errorf("a decimal of %d bytes in a column of %d", len(b), size)
		}
		b = b[1:]
	}
	wide := make([]byte, 0, 16)
	wide = append(append(wide, slices.Repeat([]byte{sign}, size-len(b))...), b...)
	switch to.Type.Kind {
	case columnar.Int32:
		to.Int32s = append(to.Int32s, int32(binary.BigEndian.Uint32(wide)))
	case columnar.Int64:
		to.Int64s = append(to.Int64s, int64(binary.BigEndian.Uint64(wide)))
	default:
		to.Data = append(to.Data, wide...)
	}
	return nil
}

// ColumnTypes are the types of a table's columns, the meta columns included, by the names given. The schema is Avro text without meta columns.
func ColumnTypes(schema string, names []string) ([]*columnar.Type, error) {
	root, err := readLayout(schema)
	if err != nil {
		return nil, err
	}
	types := make([]*columnar.Type, len(names))
	for i, name := range names {
		column := root.child(name)
		if column == nil {
			return nil, &SchemaError{name, "the table has no such column"}
		}
		types[i] = columnType(column)
	}
	return types, nil
}
