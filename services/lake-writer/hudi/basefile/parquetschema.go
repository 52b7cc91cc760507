package basefile

import (
	"reflect"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/encoding"
)

// orderedGroup is a group whose fields keep their order. parquet.Group is a map and sorts by name, which would move the meta
// columns behind the user's.
type orderedGroup struct{ fields []parquet.Field }

func (g *orderedGroup) ID() int                     { return 0 }
func (g *orderedGroup) String() string              { return parquet.Group{}.String() }
func (g *orderedGroup) Type() parquet.Type          { return parquet.Group{}.Type() }
func (g *orderedGroup) Optional() bool              { return false }
func (g *orderedGroup) Repeated() bool              { return false }
func (g *orderedGroup) Required() bool              { return true }
func (g *orderedGroup) Leaf() bool                  { return false }
func (g *orderedGroup) Fields() []parquet.Field     { return g.fields }
func (g *orderedGroup) Encoding() encoding.Encoding { return nil }
func (g *orderedGroup) Compression() compress.Codec { return nil }

// GoType serves parquet-go's struct mapping, which this package does not use.
func (g *orderedGroup) GoType() reflect.Type { return reflect.TypeFor[struct{}]() }

type namedField struct {
	parquet.Node
	name string
}

func (f *namedField) Name() string { return f.name }

// Value serves parquet-go's struct mapping, which this package does not use.
func (f *namedField) Value(reflect.Value) reflect.Value { return reflect.Value{} }

// parquetNode is the layout as a Parquet schema: 3-level lists and key_value maps, as the format's specification has them.
func (l *layout) parquetNode(unique []string) parquet.Node {
	var node parquet.Node
	switch l.kind {
	case kindRecord:
		group := &orderedGroup{}
		for _, c := range l.children {
			group.fields = append(group.fields, &namedField{c.parquetNode(unique), c.name})
		}
		node = group
	case kindArray:
		node = parquet.List(l.children[0].parquetNode(unique))
	case kindMap:
		node = parquet.Map(l.children[0].parquetNode(unique), l.children[1].parquetNode(unique))
	default:
		node = parquet.Encoded(l.scalarNode(), l.encoding(unique))
	}
	if l.optional {
		return parquet.Optional(node)
	}
	return node
}

func (l *layout) scalarNode() parquet.Node {
	switch l.kind {
	case kindBoolean:
		return parquet.Leaf(parquet.BooleanType)
	case kindInt:
		if l.logical == date {
			return parquet.Date()
		}
		return parquet.Leaf(parquet.Int32Type)
	case kindLong:
		switch l.logical {
		case timeMicros:
			return parquet.Time(parquet.Microsecond)
		case timestampMicros:
			return parquet.Timestamp(parquet.Microsecond)
		default:
			return parquet.Leaf(parquet.Int64Type)
		}
	case kindFloat:
		return parquet.Leaf(parquet.FloatType)
	case kindDouble:
		return parquet.Leaf(parquet.DoubleType)
	case kindString:
		return parquet.String()
	case kindFixed:
		return parquet.Leaf(fixedType(l.scalar))
	default:
		return parquet.Leaf(bytesType())
	}
}

// encoding is how the leaf's values are laid down. All of these were read back by Spark's vectorised reader and by hudi-rs.
func (l *layout) encoding(unique []string) encoding.Encoding {
	switch {
	case l.path == CommitSeqnoColumn: // rises: neighbours share all but the last digits
		return &parquet.DeltaByteArray
	case l.path == RecordKeyColumn, l.kind == kindBytes, l.kind == kindString && slices.Contains(unique, l.path):
		return &parquet.DeltaLengthByteArray
	case l.kind == kindString:
		return &parquet.RLEDictionary
	case l.kind == kindInt, l.kind == kindLong:
		return &parquet.DeltaBinaryPacked
	default:
		return &parquet.Plain
	}
}
