package basefile

import (
	"slices"

	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile/pages"
)

// schemaElements is the layout as a footer has it, parents before their children: 3-level lists and key_value maps, as
// parquet-format's LogicalTypes.md has them. Types are annotated in the old way, too.
func schemaElements(root *layout) []format.SchemaElement {
	all := []format.SchemaElement{group("hoodie_record", len(root.children))}
	for _, c := range root.children {
		all = c.appendElements(all, c.name)
	}
	return all
}

func group(name string, children int) format.SchemaElement {
	return format.SchemaElement{Name: name, NumChildren: thrift.New(int32(children))}
}

func (l *layout) appendElements(all []format.SchemaElement, name string) []format.SchemaElement {
	repetition := format.Required
	if l.optional {
		repetition = format.Optional
	}
	if l.leaf() {
		e := l.leafElement()
		e.Name, e.RepetitionType = name, thrift.New(repetition)
		return append(all, e)
	}
	e := group(name, len(l.children))
	names := make([]string, len(l.children))
	for i, c := range l.children {
		names[i] = c.name
	}
	e.RepetitionType = thrift.New(repetition)
	if l.kind == kindRecord {
		all = append(all, e)
	} else {
		e.NumChildren = thrift.New(int32(1))
		inner := group("list", len(l.children))
		e.LogicalType.Value, e.ConvertedType, names = &format.ListType{}, thrift.New(deprecated.List), []string{"element"}
		if l.kind == kindMap {
			inner.Name, names = "key_value", []string{"key", "value"}
			e.LogicalType.Value, e.ConvertedType = &format.MapType{}, thrift.New(deprecated.Map)
		}
		inner.RepetitionType = thrift.New(format.Repeated)
		all = append(all, e, inner)
	}
	for i, c := range l.children {
		all = c.appendElements(all, names[i])
	}
	return all
}

func (l *layout) leafElement() format.SchemaElement {
	e := format.SchemaElement{Type: thrift.New(l.physical())}
	switch {
	case l.kind == kindString:
		e.LogicalType.Value, e.ConvertedType = &format.StringType{}, thrift.New(deprecated.UTF8)
	case l.logical == date:
		e.LogicalType.Value, e.ConvertedType = &format.DateType{}, thrift.New(deprecated.Date)
	case l.logical == timeMicros:
		e.LogicalType.Value = &format.TimeType{IsAdjustedToUTC: true, Unit: format.TimeUnit{Value: &format.MicroSeconds{}}}
		e.ConvertedType = thrift.New(deprecated.TimeMicros)
	case l.logical == timestampMicros:
		e.LogicalType.Value = &format.TimestampType{IsAdjustedToUTC: true, Unit: format.TimeUnit{Value: &format.MicroSeconds{}}}
		e.ConvertedType = thrift.New(deprecated.TimestampMicros)
	case l.logical == decimal:
		e.LogicalType.Value = &format.DecimalType{Scale: int32(l.scale), Precision: int32(l.precision)}
		e.ConvertedType = thrift.New(deprecated.Decimal)
		e.Scale, e.Precision = thrift.New(int32(l.scale)), thrift.New(int32(l.precision))
	}
	if l.kind == kindFixed {
		e.TypeLength = thrift.New(int32(l.size))
	}
	return e
}

func (l *layout) physical() format.Type {
	switch l.kind {
	case kindBoolean:
		return format.Boolean
	case kindInt:
		return format.Int32
	case kindLong:
		return format.Int64
	case kindFloat:
		return format.Float
	case kindDouble:
		return format.Double
	case kindFixed:
		return format.FixedLenByteArray
	default:
		return format.ByteArray
	}
}

// spec is how the leaf's values are laid down. All of these encodings were read back by Spark's vectorised reader and by hudi-rs.
func (l *layout) spec(unique []string) pages.Spec {
	s := pages.Spec{
		Type: l.physical(), Size: l.size, Signed: l.logical == decimal, Text: l.kind == kindString,
		MaxDef: l.def, MaxRep: l.rep,
	}
	switch {
	case l.path == CommitSeqnoColumn: // rises: neighbours share all but the last digits
		s.Encoding = pages.DeltaStrings
	case l.path == RecordKeyColumn, l.kind == kindBytes, l.kind == kindString && slices.Contains(unique, l.path):
		s.Encoding = pages.DeltaLength
	case l.kind == kindString:
		s.Encoding = pages.Dictionary
	case l.kind == kindInt, l.kind == kindLong:
		s.Encoding = pages.Delta
	}
	return s
}

// columnPath is the names from the file's root to the leaf, as chunks are labelled.
func columnPaths(elements []format.SchemaElement) [][]string {
	var paths [][]string
	at := 1
	var walk func(path []string)
	walk = func(path []string) {
		e := elements[at]
		at++
		path = append(slices.Clone(path), e.Name)
		if e.Type.Valid {
			paths = append(paths, path)
			return
		}
		for range e.NumChildren.V {
			walk(path)
		}
	}
	for range elements[0].NumChildren.V {
		walk(nil)
	}
	return paths
}
