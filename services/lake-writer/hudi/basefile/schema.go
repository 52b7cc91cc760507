package basefile

import (
	"fmt"
	"slices"

	"github.com/hamba/avro/v2"
)

// kind is how a value looks in Avro binary and in Parquet.
type kind uint8

const (
	kindRecord kind = iota
	kindArray
	kindMap
	kindBoolean
	kindInt
	kindLong
	kindFloat
	kindDouble
	kindBytes
	kindString
	kindFixed
	kindEnum // in writer schemas only; the table has a string
)

func (k kind) String() string {
	return [...]string{"record", "array", "map", "boolean", "int", "long", "float", "double", "bytes", "string", "fixed", "enum"}[k]
}

// logical is what a primitive's value means.
type logical uint8

const (
	plain logical = iota
	date
	timeMillis
	timeMicros
	timestampMillis
	timestampMicros
	decimal
)

func (l logical) String() string {
	return [...]string{"plain", "date", "time-millis", "time-micros", "timestamp-millis", "timestamp-micros", "decimal"}[l]
}

// scalar is a type without parts.
type scalar struct {
	kind             kind
	logical          logical
	size             int // bytes of a fixed
	precision, scale int // of a decimal
}

func (s scalar) String() string {
	switch {
	case s.logical == decimal:
		return fmt.Sprintf("%s(%d) decimal(%d,%d)", s.kind, s.size, s.precision, s.scale)
	case s.logical != plain:
		return fmt.Sprintf("%s %s", s.kind, s.logical)
	case s.kind == kindFixed:
		return fmt.Sprintf("fixed(%d)", s.size)
	default:
		return s.kind.String()
	}
}

// avroType is a parsed Avro type, nullable unions folded into it.
type avroType struct {
	scalar

	union     bool // the bytes begin with a branch index
	nullIndex int  // the branch that is null; -1 when the union has no null
	symbols   []string
	fields    []avroField
	items     *avroType // of an array or a map
}

type avroField struct {
	name string
	typ  *avroType
}

// nullable reports whether the value may be null.
func (t *avroType) nullable() bool { return t.union && t.nullIndex >= 0 }

// Limits of a schema. They are generous: schemas come from a registry whose gatekeepers have stricter ones.
const (
	maxSchemaDepth  = 32
	maxSchemaLeaves = 5000
)

// parseSchema reads the text of a record schema. Only the parser of the Avro library is used: its decoder never sees a byte.
func parseSchema(text string) (*avroType, error) {
	// A cache of its own: the library's default one is global and would mix up schemas of the same name.
	s, err := avro.ParseWithCache(text, "", &avro.SchemaCache{})
	if err != nil {
		return nil, &SchemaError{Reason: "not an Avro schema: " + err.Error()}
	}
	p := schemaParser{}
	t, err := p.convert(s, "")
	if err != nil {
		return nil, err
	}
	if t.kind != kindRecord || t.union {
		return nil, &SchemaError{Reason: "not a record"}
	}
	return t, nil
}

type schemaParser struct {
	open   []avro.Schema // records being converted, to see recursion
	leaves int
}

func (p *schemaParser) convert(s avro.Schema, path string) (*avroType, error) {
	if ref, ok := s.(*avro.RefSchema); ok {
		s = ref.Schema()
	}
	switch s := s.(type) {
	case *avro.UnionSchema:
		return p.convertUnion(s, path)
	case *avro.RecordSchema:
		return p.convertRecord(s, path)
	case *avro.ArraySchema:
		return p.convertItems(kindArray, s.Items(), path+"[]")
	case *avro.MapSchema:
		return p.convertItems(kindMap, s.Values(), path+"{}")
	}
	if p.leaves++; p.leaves > maxSchemaLeaves {
		return nil, &SchemaError{path, fmt.Sprintf("more than %d columns", maxSchemaLeaves)}
	}
	return convertScalar(s, path)
}

// convertUnion folds the union of null and one type. Anything else has no column type that engines agree on.
func (p *schemaParser) convertUnion(s *avro.UnionSchema, path string) (*avroType, error) {
	branches := s.Types()
	nullIndex := slices.IndexFunc(branches, func(b avro.Schema) bool { return b.Type() == avro.Null })
	var value avro.Schema
	for i, b := range branches {
		if i != nullIndex {
			value = b
		}
	}
	if value == nil || nullIndex < 0 && len(branches) != 1 || nullIndex >= 0 && len(branches) != 2 {
		return nil, &SchemaError{path, "a union must be of null and one other type"}
	}
	t, err := p.convert(value, path)
	if err != nil {
		return nil, err
	}
	folded := *t
	folded.union, folded.nullIndex = true, nullIndex
	return &folded, nil
}

func (p *schemaParser) convertRecord(s *avro.RecordSchema, path string) (*avroType, error) {
	if slices.Contains(p.open, avro.Schema(s)) {
		return nil, &SchemaError{path, "recursive record " + s.FullName()}
	}
	if len(p.open) == maxSchemaDepth {
		return nil, &SchemaError{path, fmt.Sprintf("more than %d levels deep", maxSchemaDepth)}
	}
	p.open = append(p.open, s)
	defer func() { p.open = p.open[:len(p.open)-1] }()
	t := &avroType{scalar: scalar{kind: kindRecord}, nullIndex: -1}
	for _, f := range s.Fields() {
		ft, err := p.convert(f.Type(), join(path, f.Name()))
		if err != nil {
			return nil, err
		}
		t.fields = append(t.fields, avroField{f.Name(), ft})
	}
	if len(t.fields) == 0 { // has no columns, and its values no bytes
		return nil, &SchemaError{path, "record without fields"}
	}
	return t, nil
}

func (p *schemaParser) convertItems(k kind, items avro.Schema, path string) (*avroType, error) {
	if len(p.open) == maxSchemaDepth {
		return nil, &SchemaError{path, fmt.Sprintf("more than %d levels deep", maxSchemaDepth)}
	}
	p.open = append(p.open, nil)
	defer func() { p.open = p.open[:len(p.open)-1] }()
	t, err := p.convert(items, path)
	if err != nil {
		return nil, err
	}
	return &avroType{scalar: scalar{kind: k}, nullIndex: -1, items: t}, nil
}

// scalarKinds are the Avro types without parts and what each may mean.
var scalarKinds = map[avro.Type]struct {
	kind    kind
	meaning map[avro.LogicalType]logical
}{
	avro.Boolean: {kindBoolean, nil},
	avro.Int:     {kindInt, map[avro.LogicalType]logical{avro.Date: date, avro.TimeMillis: timeMillis}},
	avro.Long: {kindLong, map[avro.LogicalType]logical{
		avro.TimeMicros: timeMicros, avro.TimestampMillis: timestampMillis, avro.TimestampMicros: timestampMicros,
	}},
	avro.Float:  {kindFloat, nil},
	avro.Double: {kindDouble, nil},
	avro.Bytes:  {kindBytes, map[avro.LogicalType]logical{avro.Decimal: decimal}},
	avro.String: {kindString, map[avro.LogicalType]logical{avro.UUID: plain}},
	avro.Fixed:  {kindFixed, map[avro.LogicalType]logical{avro.Decimal: decimal}},
	avro.Enum:   {kindEnum, nil},
}

func convertScalar(s avro.Schema, path string) (*avroType, error) {
	known, ok := scalarKinds[s.Type()]
	if !ok {
		return nil, &SchemaError{path, fmt.Sprintf("type %s", s.Type())}
	}
	t := &avroType{scalar: scalar{kind: known.kind}, nullIndex: -1}
	if l, ok := s.(avro.LogicalTypeSchema); ok && l.Logical() != nil {
		t.logical, ok = known.meaning[l.Logical().Type()]
		if !ok {
			return nil, &SchemaError{path, fmt.Sprintf("logical type %s of %s", l.Logical().Type(), s.Type())}
		}
		if d, ok := l.Logical().(*avro.DecimalLogicalSchema); ok {
			t.precision, t.scale = d.Precision(), d.Scale()
		}
	}
	switch s := s.(type) {
	case *avro.FixedSchema:
		if t.size = s.Size(); t.size <= 0 { // its values would have no bytes
			return nil, &SchemaError{path, "fixed without bytes"}
		}
	case *avro.EnumSchema:
		t.symbols = s.Symbols()
	}
	return t, nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
