package basefile

import (
	"bytes"
	"io"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/encoding"
	"github.com/parquet-go/parquet-go/format"
)

// What follows is the layout as parquet-go's own writer has it: the yardstick of the benchmarks, and the oracle of the footer's schema.

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
		if l.logical == decimal {
			return parquet.Decimal(l.scale, l.precision, parquet.FixedLenByteArrayType(l.size))
		}
		return parquet.Leaf(parquet.FixedLenByteArrayType(l.size))
	default:
		return parquet.Leaf(parquet.ByteArrayType)
	}
}

// encoding is the same as in the leaf's spec.
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

// parquetValue is a value of a batch as parquet-go has it.
func parquetValue(l *layout, text []byte, v uint64) parquet.Value {
	switch l.kind {
	case kindBoolean:
		return parquet.BooleanValue(v == 1)
	case kindInt:
		return parquet.Int32Value(int32(v))
	case kindLong:
		return parquet.Int64Value(int64(v))
	case kindFloat:
		return parquet.FloatValue(math.Float32frombits(uint32(v)))
	case kindDouble:
		return parquet.DoubleValue(math.Float64frombits(v))
	}
	t := text[v>>32:][:v&0xffffffff]
	if l.kind == kindFixed {
		return parquet.FixedLenByteArrayValue(t)
	}
	return parquet.ByteArrayValue(t)
}

// The footer's schema, and the labels of the chunks, are what parquet-go would write, two of its habits apart.
func TestSchemaOfFooter(t *testing.T) {
	t.Parallel()
	ours := openBytes(t, writeFile(t, testConfig("20261122080000000"), inventRecords(t, 51, 0, 10)))
	var out bytes.Buffer
	w := parquet.NewGenericWriter[any](&out, parquet.NewSchema("hoodie_record", writerLayout(t).parquetNode(nil)))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	theirs, err := parquet.OpenFile(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil {
		t.Fatal(err)
	}
	have, want := ours.file.Metadata().Schema, theirs.Metadata().Schema
	for i := range want {
		if want[i].Type.V != format.FixedLenByteArray { // parquet-go has the size of every type; the format does not
			want[i].TypeLength.Reset()
		}
		if _, ok := want[i].LogicalType.Value.(*format.IntType); ok { // says no more than the type; parquet-avro leaves it out
			want[i].LogicalType.Value = nil
		}
		if i >= len(have) || !reflect.DeepEqual(have[i], want[i]) {
			t.Errorf("element %d of %d is %+v, want %+v", i, len(have), have[i], want[i])
		}
	}
	columns := theirs.Schema().Columns()
	for i, chunk := range ours.file.Metadata().RowGroups[0].Columns {
		if !slices.Equal(chunk.MetaData.PathInSchema, columns[i]) {
			t.Errorf("chunk %d is of %v, want %v", i, chunk.MetaData.PathInSchema, columns[i])
		}
	}
}

func writerLayout(tb testing.TB) *layout {
	tb.Helper()
	w, err := NewWriter(io.Discard, testConfig("20261122080000000"))
	if err != nil {
		tb.Fatal(err)
	}
	return w.layout
}
