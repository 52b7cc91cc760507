package basefile

import (
	"fmt"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// fileLayout lays out the columns of a file that anybody may have written.
func fileLayout(root *parquet.Column) (*layout, error) {
	l := &layout{scalar: scalar{kind: kindRecord}}
	for _, c := range root.Columns() {
		child, err := columnLayout(c)
		if err != nil {
			return nil, err
		}
		l.children = append(l.children, child)
	}
	if len(l.children) == 0 {
		return nil, &FileError{Offset: -1, Reason: "no columns"}
	}
	leaves := l.levels(0, 0, 0, "")
	if leaves > maxSchemaLeaves {
		return nil, &FileError{Offset: -1, Reason: fmt.Sprintf("more than %d columns", maxSchemaLeaves)}
	}
	return l, nil
}

func columnLayout(c *parquet.Column) (*layout, error) {
	if c.Repeated() {
		return nil, &FileError{Offset: -1, Reason: fmt.Sprintf("column %s: repeated outside of a list", strings.Join(c.Path(), "."))}
	}
	return contentLayout(c, c.Name(), c.Optional())
}

// contentLayout lays out what a column holds, its own repetition apart.
func contentLayout(c *parquet.Column, name string, optional bool) (*layout, error) {
	l := &layout{name: name, optional: optional}
	if c.Leaf() {
		s, err := columnScalar(c)
		l.scalar = s
		return l, err
	}
	var parts []*parquet.Column
	switch groupKind(c) {
	case kindArray:
		repeated := c.Columns()[0]
		l.kind = kindArray
		item, err := itemLayout(c.Name(), repeated)
		if err != nil {
			return nil, err
		}
		l.children = []*layout{item}
		return l, nil
	case kindMap:
		l.kind = kindMap
		parts = c.Columns()[0].Columns()
	default:
		l.kind = kindRecord
		parts = c.Columns()
	}
	for _, part := range parts {
		child, err := columnLayout(part)
		if err != nil {
			return nil, err
		}
		l.children = append(l.children, child)
	}
	if len(l.children) == 0 {
		return nil, &FileError{Offset: -1, Reason: fmt.Sprintf("column %s: a group of nothing", strings.Join(c.Path(), "."))}
	}
	if l.kind == kindMap {
		l.children[0].name, l.children[1].name = "key", "value"
	}
	return l, nil
}

// groupKind tells lists and maps from records by their annotation and shape.
func groupKind(c *parquet.Column) kind {
	inner := c.Columns()
	if len(inner) != 1 || !inner[0].Repeated() || c.Type().LogicalType() == nil {
		return kindRecord
	}
	switch c.Type().LogicalType().Value.(type) {
	case *format.ListType:
		return kindArray
	case *format.MapType:
		if len(inner[0].Columns()) == 2 {
			return kindMap
		}
	}
	return kindRecord
}

// itemLayout finds a list's item below its repeated field, by the rules for compatibility of parquet-format's LogicalTypes.md:
// Spark's Avro writers make 2-level lists, whose repeated field is the item itself.
func itemLayout(list string, repeated *parquet.Column) (*layout, error) {
	inner := repeated.Columns()
	twoLevels := repeated.Leaf() || len(inner) != 1 || repeated.Name() == "array" || repeated.Name() == list+"_tuple"
	if twoLevels {
		return contentLayout(repeated, "element", false)
	}
	item, err := columnLayout(inner[0])
	if err == nil {
		item.name = "element"
	}
	return item, err
}

// maxDecimalDigits is far above what engines do (38), and keeps damaged annotations from asking for gigabytes of zeros.
const maxDecimalDigits = 1000

// columnScalar is what a leaf holds.
func columnScalar(c *parquet.Column) (scalar, error) {
	t := c.Type()
	var meaning format.LogicalTypeValue
	if l := t.LogicalType(); l != nil {
		meaning = l.Value
	}
	refuse := func() (scalar, error) {
		return scalar{}, &FileError{Offset: -1, Reason: fmt.Sprintf("column %s: type %s", strings.Join(c.Path(), "."), t)}
	}
	s, ok := scalar{}, true
	switch t.Kind() {
	case parquet.Boolean:
		s.kind = kindBoolean
	case parquet.Int32:
		s.kind = kindInt
	case parquet.Int64:
		s.kind = kindLong
	case parquet.Float:
		s.kind = kindFloat
	case parquet.Double:
		s.kind = kindDouble
	case parquet.ByteArray:
		s.kind = kindBytes
	case parquet.FixedLenByteArray:
		s.kind, s.size = kindFixed, t.Length()
	default: // INT96 timestamps: no Hudi writer makes them
		return refuse()
	}
	switch m := meaning.(type) {
	case *format.StringType, *format.EnumType, *format.JsonType:
		s.kind, ok = kindString, s.kind == kindBytes
	case *format.DateType:
		s.logical, ok = date, s.kind == kindInt
	case *format.DecimalType:
		s.logical, s.precision, s.scale = decimal, int(m.Precision), int(m.Scale)
		ok = s.scale >= 0 && s.scale <= s.precision && s.precision <= maxDecimalDigits
	case *format.TimeType:
		s.logical, ok = timeMicros, s.kind == kindLong && isMicros(m.Unit)
		if s.kind == kindInt {
			s.logical, ok = timeMillis, true
		}
	case *format.TimestampType:
		s.logical, ok = timestampMillis, s.kind == kindLong && !isNanos(m.Unit)
		if isMicros(m.Unit) {
			s.logical = timestampMicros
		}
	}
	if !ok {
		return refuse()
	}
	return s, nil
}

func isMicros(u format.TimeUnit) bool {
	_, ok := u.Value.(*format.MicroSeconds)
	return ok
}

func isNanos(u format.TimeUnit) bool {
	_, ok := u.Value.(*format.NanoSeconds)
	return ok
}
