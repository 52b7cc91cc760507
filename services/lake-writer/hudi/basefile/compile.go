package basefile

import (
	"fmt"
)

// step is one node of a compiled program: how to read a writer's value and where its columns are. What each record needs of each
// step stands first, close together.
type step struct {
	kind      kind // of the writer's value
	union     bool // a branch index comes first
	present   byte // the byte that a branch index which is not nullIndex takes
	def, rep  byte // of target
	nullIndex int8
	leaf      int32  // of a scalar
	scale     int64  // factor of a time in milliseconds, else 1
	steps     []step // of a record, in the writer's order; of an array, its item; of a map, key and value
	missing   []leafRange
	target    *layout
	size      int      // bytes of a fixed
	symbols   []string // texts of an enum
	spans     []uint64 // where the writer keeps them, as pages.Batch has texts
}

// leafRange are the leaves of a column that the writer does not have.
type leafRange struct{ lo, hi int }

// compile resolves a writer's schema against the table's columns, by field name. It refuses whatever would lose something.
func compile(writer *avroType, table *layout) (step, error) {
	return compileRecord(writer, table, MetaColumns())
}

func compileValue(t *avroType, l *layout) (step, error) {
	if t.nullable() && !l.optional {
		return step{}, &SchemaError{l.path, "the writer's value may be null, the table's may not"}
	}
	var s step
	var err error
	switch {
	case t.kind == kindRecord && l.kind == kindRecord:
		s, err = compileRecord(t, l, nil)
	case t.kind == kindArray && l.kind == kindArray:
		s, err = compileParts(l, t.items)
	case t.kind == kindMap && l.kind == kindMap:
		s, err = compileParts(l, &avroType{scalar: scalar{kind: kindString}, nullIndex: -1}, t.items)
	default:
		s, err = compileScalar(t, l)
	}
	s.kind, s.size, s.target, s.union, s.nullIndex = t.kind, t.size, l, t.union, int8(t.nullIndex)
	s.leaf, s.def, s.rep = int32(l.lo), byte(l.def), byte(l.rep)
	if t.nullIndex == 0 {
		s.present = 2 // 1, in zigzag
	}
	return s, err
}

// compileRecord pairs fields by name. Those in given are filled by somebody else.
func compileRecord(t *avroType, l *layout, given []string) (step, error) {
	s := step{kind: t.kind, target: l}
	have := make(map[string]bool, len(t.fields)+len(given))
	for _, name := range given {
		have[name] = true
	}
	for _, f := range t.fields {
		path := join(l.path, f.name)
		column := l.child(f.name)
		if column == nil {
			return step{}, &SchemaError{path, "the table has no such column"}
		}
		if have[f.name] {
			return step{}, &SchemaError{path, "is filled by the writer of the file"}
		}
		have[f.name] = true
		field, err := compileValue(f.typ, column)
		if err != nil {
			return step{}, err
		}
		s.steps = append(s.steps, field)
	}
	for _, column := range l.children {
		switch {
		case have[column.name]:
		case !column.optional:
			return step{}, &SchemaError{column.path, "the writer has no such field, and the table's column may not be null"}
		default:
			s.missing = append(s.missing, leafRange{column.lo, column.hi})
		}
	}
	return s, nil
}

func compileParts(l *layout, parts ...*avroType) (step, error) {
	s := step{}
	for i, part := range parts {
		p, err := compileValue(part, l.children[i])
		if err != nil {
			return step{}, err
		}
		s.steps = append(s.steps, p)
	}
	return s, nil
}

// compileScalar allows the conversions that keep every value: int to long, enum to string, milliseconds to microseconds. A float
// is not widened to a double: engines that convert old files' values do it by way of text, and would differ from ours.
func compileScalar(t *avroType, l *layout) (step, error) {
	s := step{scale: 1}
	from, to := t.scalar, l.scalar
	switch {
	case from == to:
	case from.kind == kindInt && from.logical == plain && to.kind == kindLong && to.logical == plain:
	case from.kind == kindEnum && to.kind == kindString:
		s.symbols = t.symbols
	case from.logical == timestampMillis && to.logical == timestampMicros, from.logical == timeMillis && to.logical == timeMicros:
		s.scale = 1000
	case from.kind == kindFixed && to.kind == kindFixed && from.size == to.size && from.logical == decimal && to.logical == decimal &&
		from.scale == to.scale && from.precision < to.precision:
	default:
		return step{}, &SchemaError{l.path, fmt.Sprintf("%s does not become %s without loss", from, to)}
	}
	return s, nil
}
