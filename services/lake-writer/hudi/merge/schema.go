package merge

import (
	"fmt"
	"slices"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
)

// deletedField marks a record as a delete when it is true (HoodieRecord.HOODIE_IS_DELETED_FIELD).
const deletedField = "_hoodie_is_deleted"

const (
	metaFields     = 5
	maxSchemaDepth = 32
)

// node is a parsed Avro type; the union of null and a type is folded into it.
type node struct {
	kind      avro.Type
	logical   avro.LogicalType
	union     bool
	nullIndex int64 // branch that is null; -1 without one
	size      int   // bytes of a fixed
	scale     int   // of a decimal
	symbols   []string
	fields    []field
	items     *node // of an array or a map
}

type field struct {
	name string
	node *node
	to   int // index of the field of the same name in the table's record; -1 when it has none
}

// String names the type for messages.
func (n *node) String() string {
	if n.logical != "" {
		return fmt.Sprintf("%s %s", n.kind, n.logical)
	}
	return string(n.kind)
}

func (n *node) index(name string) int {
	return slices.IndexFunc(n.fields, func(f field) bool { return f.name == name })
}

func (n *node) field(name string) *node {
	if i := n.index(name); i >= 0 {
		return n.fields[i].node
	}
	return nil
}

// schema is how the records of a block are read.
type schema struct {
	text    string
	payload *node // the record behind the meta fields

	// What merging needs, as indexes of payload's fields; -1 when the field is missing.
	orderingAt, deletedAt int
	last                  int // the greater of both
	ordering              *node
	orderingKind          logfile.OrderingKind
}

// parseSchema reads the text of a record schema that begins with the meta fields.
func parseSchema(text string) (*schema, error) {
	// A cache of its own: the library's default one is global and would mix up schemas of the same name.
	s, err := avro.ParseWithCache(text, "", &avro.SchemaCache{})
	if err != nil {
		return nil, &basefile.SchemaError{Reason: "not an Avro schema: " + err.Error()}
	}
	var p schemaParser
	n, err := p.convert(s, "")
	if err != nil {
		return nil, err
	}
	if n.kind != avro.Record || n.union || len(n.fields) <= metaFields {
		return nil, &basefile.SchemaError{Reason: "not a record with meta fields"}
	}
	for i, name := range basefile.MetaColumns() {
		f := n.fields[i]
		if f.name != name || f.node.kind != avro.String || !f.node.union || f.node.nullIndex != 0 {
			return nil, &basefile.SchemaError{Path: f.name, Reason: fmt.Sprintf("field %d must be %s, a union of null and string", i, name)}
		}
	}
	n.fields = n.fields[metaFields:]
	return &schema{text: text, payload: n}, nil
}

// resolve pairs the schema with the table's and finds the fields that merging needs.
func (s *schema) resolve(table *schema, ordering string, orderingType *node) error {
	if err := pair(s.payload, table.payload, ""); err != nil {
		return err
	}
	s.orderingAt, s.deletedAt = -1, s.payload.index(deletedField)
	if s.deletedAt >= 0 && s.payload.fields[s.deletedAt].node.kind != avro.Boolean {
		s.deletedAt = -1 // a column of the user's that only has the name
	}
	if orderingType != nil {
		s.orderingAt = s.payload.index(ordering)
		s.orderingKind = orderingKind(orderingType)
		s.ordering = orderingType
	}
	s.last = max(s.orderingAt, s.deletedAt)
	return nil
}

type schemaParser struct {
	open []avro.Schema // types being converted, to see recursion
}

func (p *schemaParser) convert(s avro.Schema, path string) (*node, error) {
	if ref, ok := s.(*avro.RefSchema); ok {
		s = ref.Schema()
	}
	if slices.Contains(p.open, s) || len(p.open) > maxSchemaDepth {
		return nil, &basefile.SchemaError{Path: path, Reason: "recursive, or too deep"}
	}
	p.open = append(p.open, s)
	defer func() { p.open = p.open[:len(p.open)-1] }()
	n := &node{kind: s.Type(), nullIndex: -1}
	var err error
	switch s := s.(type) {
	case *avro.UnionSchema:
		return p.convertUnion(s, path)
	case *avro.RecordSchema:
		for _, f := range s.Fields() {
			t, err := p.convert(f.Type(), join(path, f.Name()))
			if err != nil {
				return nil, err
			}
			n.fields = append(n.fields, field{name: f.Name(), node: t, to: -1})
		}
		if len(n.fields) == 0 {
			return nil, &basefile.SchemaError{Path: path, Reason: "record without fields"}
		}
	case *avro.ArraySchema:
		n.items, err = p.convert(s.Items(), path+"[]")
	case *avro.MapSchema:
		n.items, err = p.convert(s.Values(), path+"{}")
	case *avro.FixedSchema:
		if n.size = s.Size(); n.size <= 0 {
			return nil, &basefile.SchemaError{Path: path, Reason: "fixed without bytes"}
		}
	case *avro.EnumSchema:
		n.symbols = s.Symbols()
	case *avro.PrimitiveSchema:
	default:
		return nil, &basefile.SchemaError{Path: path, Reason: fmt.Sprintf("type %s", s.Type())}
	}
	if err != nil {
		return nil, err
	}
	if l, ok := s.(avro.LogicalTypeSchema); ok && l.Logical() != nil {
		if n.logical = l.Logical().Type(); n.logical == avro.UUID {
			n.logical = ""
		}
		if d, ok := l.Logical().(*avro.DecimalLogicalSchema); ok {
			n.scale = d.Scale()
		}
	}
	return n, nil
}

func (p *schemaParser) convertUnion(s *avro.UnionSchema, path string) (*node, error) {
	branches := s.Types()
	null := slices.IndexFunc(branches, func(b avro.Schema) bool { return b.Type() == avro.Null })
	value := slices.IndexFunc(branches, func(b avro.Schema) bool { return b.Type() != avro.Null })
	if value < 0 || null < 0 && len(branches) != 1 || null >= 0 && len(branches) != 2 {
		return nil, &basefile.SchemaError{Path: path, Reason: "a union must be of null and one other type"}
	}
	n, err := p.convert(branches[value], path)
	if err != nil {
		return nil, err
	}
	n.union, n.nullIndex = true, int64(null)
	return n, nil
}

// pair notes for each field of a writer's type where it is in the table's, and refuses what would change values.
func pair(from, to *node, path string) error {
	switch {
	case from.kind == avro.Record && to.kind == avro.Record:
		for i := range from.fields {
			f := &from.fields[i]
			if f.to = to.index(f.name); f.to < 0 {
				continue
			}
			if err := pair(f.node, to.fields[f.to].node, join(path, f.name)); err != nil {
				return err
			}
		}
		return nil
	case from.kind == to.kind && from.items != nil:
		return pair(from.items, to.items, path+"[]")
	case convertible(from, to):
		return nil
	default:
		return &basefile.SchemaError{Path: path, Reason: fmt.Sprintf("%s does not become %s without loss", from, to)}
	}
}

// convertible is true of the conversions that basefile.Writer makes as well, so that reading before and after a compaction agrees.
func convertible(from, to *node) bool {
	switch {
	case from.kind == to.kind && from.logical == to.logical:
		return from.size == to.size && from.scale == to.scale
	case from.kind == avro.Int && to.kind == avro.Long:
		return from.logical == "" && to.logical == "" || from.logical == avro.TimeMillis && to.logical == avro.TimeMicros
	case from.kind == avro.Enum && to.kind == avro.String:
		return true
	default:
		return from.logical == avro.TimestampMillis && to.logical == avro.TimestampMicros
	}
}

// orderingKind is the Java class of a column's ordering values; OrderingNone for types that are no ordering here. Decimals are none:
// deletes have them in another scale than the column.
func orderingKind(n *node) logfile.OrderingKind {
	if n.logical == avro.Decimal {
		return logfile.OrderingNone
	}
	switch n.kind {
	case avro.Boolean:
		return logfile.OrderingBool
	case avro.Int:
		if n.logical == avro.Date {
			return logfile.OrderingDate
		}
		return logfile.OrderingInt
	case avro.Long:
		return logfile.OrderingLong
	case avro.Float:
		return logfile.OrderingFloat
	case avro.Double:
		return logfile.OrderingDouble
	case avro.String:
		return logfile.OrderingString
	case avro.Bytes:
		return logfile.OrderingBytes
	default:
		return logfile.OrderingNone
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
