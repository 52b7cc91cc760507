package history

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/encoding"
	"github.com/parquet-go/parquet-go/format"
)

// avroSchema is that of HoodieLSMTimelineInstant as Hudi writes it into the files' footers.
const avroSchema = `{"type":"record","name":"HoodieLSMTimelineInstant","namespace":"org.apache.hudi.avro.model","fields":[` +
	`{"name":"instantTime","type":["null",{"type":"string","avro.java.string":"String"}],"default":null},` +
	`{"name":"completionTime","type":["null",{"type":"string","avro.java.string":"String"}],"default":null},` +
	`{"name":"action","type":["null",{"type":"string","avro.java.string":"String"}],"default":null},` +
	`{"name":"metadata","type":["null","bytes"],"default":null},` +
	`{"name":"plan","type":["null","bytes"],"default":null},` +
	`{"name":"version","type":"int","default":1}]}`

const (
	schemaName    = "org.apache.hudi.avro.model.HoodieLSMTimelineInstant"
	rowGroupBytes = 16 << 20 // of instants' content: what is in memory before it is compressed
)

// parquetSchema has the columns in Hudi's order, which parquet.Group, a map, would sort by name.
var parquetSchema = parquet.NewSchema(schemaName, &row{fields: []parquet.Field{
	&column{parquet.Optional(parquet.String()), columns[0]},
	&column{parquet.Optional(parquet.String()), columns[1]},
	&column{parquet.Optional(parquet.String()), columns[2]},
	&column{parquet.Optional(parquet.Leaf(contentType{parquet.ByteArrayType})), columns[3]},
	&column{parquet.Optional(parquet.Leaf(contentType{parquet.ByteArrayType})), columns[4]},
	&column{parquet.Leaf(plainInt{parquet.Int32Type}), columns[5]},
}})

// row is the group of the columns.
type row struct{ fields []parquet.Field }

func (r *row) ID() int                     { return 0 }
func (r *row) String() string              { return schemaName }
func (r *row) Type() parquet.Type          { return parquet.Group{}.Type() }
func (r *row) Optional() bool              { return false }
func (r *row) Repeated() bool              { return false }
func (r *row) Required() bool              { return true }
func (r *row) Leaf() bool                  { return false }
func (r *row) Fields() []parquet.Field     { return r.fields }
func (r *row) Encoding() encoding.Encoding { return nil }
func (r *row) Compression() compress.Codec { return nil }

// GoType serves parquet-go's struct mapping, which is not used here.
func (r *row) GoType() reflect.Type { return reflect.TypeFor[struct{}]() }

type column struct {
	parquet.Node
	name string
}

func (c *column) Name() string { return c.name }

// Value serves parquet-go's struct mapping, which is not used here.
func (c *column) Value(reflect.Value) reflect.Value { return reflect.Value{} }

// plainInt is an INT32 without annotations, as Avro's int is in Hudi's files.
type plainInt struct{ parquet.Type }

func (plainInt) Length() int                      { return 0 }
func (plainInt) LogicalType() *format.LogicalType { return nil }

// contentType is the type of instants' content. parquet-go writes the least and the greatest value of a page four times into its header
// and twice into the footer, and these are whole commits; a few bytes of them are bounds as well.
type contentType struct{ parquet.Type }

func (t contentType) NewColumnBuffer(columnIndex, numValues int) parquet.ColumnBuffer {
	return contentBuffer{t.Type.NewColumnBuffer(columnIndex, numValues)}
}

type contentBuffer struct{ parquet.ColumnBuffer }

func (b contentBuffer) Page() parquet.Page { return contentPage{b.ColumnBuffer.Page()} }

type contentPage struct{ parquet.Page }

func (p contentPage) Bounds() (low, high parquet.Value, ok bool) {
	if low, high, ok = p.Page.Bounds(); !ok {
		return low, high, ok
	}
	const limit = 8 // bytes
	if b := low.ByteArray(); len(b) > limit {
		low = parquet.ByteArrayValue(b[:limit])
	}
	if b := high.ByteArray(); len(b) > limit {
		// The shortest text above all that begin so. There is none above a row of 0xff, with which no content begins.
		cut := slices.Clone(b[:limit])
		for i := limit - 1; i >= 0; i-- {
			if cut[i]++; cut[i] != 0 {
				high = parquet.ByteArrayValue(cut[:i+1])
				break
			}
		}
	}
	return low, high, true
}

// encoder makes a data file in memory. The bytes are the same for the same instants.
type encoder struct {
	file    bytes.Buffer
	parquet *parquet.GenericWriter[any]
	group   int // bytes of content in the open row group
}

func newEncoder() *encoder {
	e := &encoder{}
	e.parquet = parquet.NewGenericWriter[any](&e.file, parquetSchema,
		parquet.Compression(&parquet.Gzip), // Hudi's default, which its readers need no native library for
		parquet.DataPageVersion(1),
		parquet.CreatedBy("playhead", "1", "parquet-go"),
		parquet.KeyValueMetadata("parquet.avro.schema", avroSchema),
		parquet.KeyValueMetadata("writer.model.name", "avro"),
	)
	return e
}

func (e *encoder) add(in Instant) error {
	values := parquet.Row{
		optional([]byte(in.Instant), 0), optional([]byte(in.Completion), 1), optional([]byte(in.Action), 2),
		optional(in.Metadata, 3), optional(in.Plan, 4), parquet.Int32Value(version).Level(0, 0, 5),
	}
	if _, err := e.parquet.WriteRows([]parquet.Row{values}); err != nil {
		return fmt.Errorf("encode instant %s: %w", in.Instant, err)
	}
	if e.group += len(in.Metadata) + len(in.Plan); e.group < rowGroupBytes {
		return nil
	}
	e.group = 0
	if err := e.parquet.Flush(); err != nil {
		return fmt.Errorf("encode instants: %w", err)
	}
	return nil
}

// optional is a value of an optional column; what is empty is null, as in Hudi.
func optional(b []byte, column int) parquet.Value {
	if len(b) == 0 {
		return parquet.NullValue().Level(0, 0, column)
	}
	return parquet.ByteArrayValue(b).Level(0, 1, column)
}

func (e *encoder) bytes() ([]byte, error) {
	if err := e.parquet.Close(); err != nil {
		return nil, fmt.Errorf("encode instants: %w", err)
	}
	return e.file.Bytes(), nil
}
