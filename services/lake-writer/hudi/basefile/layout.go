package basefile

import (
	"fmt"
	"strings"
)

// layout is the tree of a file's columns as Parquet sees it, with the repetition and definition levels that tell where a value
// is missing (the Dremel encoding). The same tree describes files to be written and files that others wrote.
type layout struct {
	name     string
	scalar             // of a leaf; kind alone of a record, array or map
	optional bool      // may be null
	item     bool      // of an array
	def      int       // definition level from which on the node is present
	rep      int       // repetition level of the node
	lo, hi   int       // its leaves
	children []*layout // fields of a record; the item of an array; key and value of a map
	path     string
}

func (l *layout) leaf() bool { return len(l.children) == 0 }

// levels counts levels and leaves from here down, as parquet-mr does: an optional node adds a definition level, the repeated group
// of an array or a map adds both.
func (l *layout) levels(def, rep, leaf int, path string) (next int) {
	l.path = path
	l.lo, l.rep = leaf, rep
	if l.optional {
		def++
	}
	l.def = def
	if l.leaf() {
		l.hi = leaf + 1
		return l.hi
	}
	if l.kind != kindRecord {
		def, rep = def+1, rep+1
	}
	for _, c := range l.children {
		leaf = c.levels(def, rep, leaf, join(path, c.name))
	}
	l.hi = leaf
	return leaf
}

// leaves lists the leaves in the order of the file's columns.
func (l *layout) leaves() []*layout {
	if l.leaf() {
		return []*layout{l}
	}
	all := make([]*layout, 0, l.hi-l.lo)
	for _, c := range l.children {
		all = append(all, c.leaves()...)
	}
	return all
}

func (l *layout) child(name string) *layout {
	for _, c := range l.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

// layouter lays out schemas.
type layouter struct {
	reading bool // of a table that others write, too: whatever can be read goes
}

// tableLayout lays out the meta columns and the fields of the table schema, and refuses what we do not write.
func tableLayout(table *avroType) (*layout, error) { return layouter{}.table(table) }

func (o layouter) table(table *avroType) (*layout, error) {
	root := &layout{scalar: scalar{kind: kindRecord}}
	for _, name := range MetaColumns() {
		root.children = append(root.children, &layout{name: name, scalar: scalar{kind: kindString}, optional: true})
	}
	folded := make(map[string]string)
	for _, f := range table.fields {
		name := strings.ToLower(f.name)
		if other, taken := folded[name]; taken {
			return nil, &SchemaError{f.name, fmt.Sprintf("differs from field %s in case only, and engines fold case", other)}
		}
		folded[name] = f.name
		if root.child(name) != nil { // a meta column
			return nil, &SchemaError{f.name, "is the name of a meta column"}
		}
		child, err := o.layout(f.name, f.typ, f.name)
		if err != nil {
			return nil, err
		}
		root.children = append(root.children, child)
	}
	root.levels(0, 0, 0, "")
	return root, nil
}

func (o layouter) layout(name string, t *avroType, path string) (*layout, error) {
	l := &layout{name: name, scalar: t.scalar, optional: t.nullable()}
	var parts []avroField
	switch t.kind {
	case kindRecord:
		parts = t.fields
	case kindArray:
		parts = []avroField{{"element", t.items}}
	case kindMap:
		parts = []avroField{{"key", &avroType{scalar: scalar{kind: kindString}, nullIndex: -1}}, {"value", t.items}}
	default:
		if !o.reading {
			return l, checkColumn(t.scalar, path)
		}
		if l.kind == kindEnum {
			l.kind = kindString
		}
		return l, nil
	}
	for _, p := range parts {
		child, err := o.layout(p.name, p.typ, join(path, p.name))
		if err != nil {
			return nil, err
		}
		child.item = t.kind == kindArray
		l.children = append(l.children, child)
	}
	return l, nil
}

// refuseNullableItems refuses a schema by which an array could hold a null. Spark's writers refuse such arrays when they rewrite a file
// (write-old-list-structure), so no row may ever hold one. A table's schema says it all the same once Spark has written to the table, as
// Spark declares every item nullable; there the rows are looked at.
func refuseNullableItems(t *avroType, path string) error {
	switch t.kind {
	case kindArray, kindMap:
		if t.kind == kindArray && t.items.nullable() {
			return &SchemaError{path, "array of nullable items"}
		}
		return refuseNullableItems(t.items, path)
	case kindRecord:
		for _, f := range t.fields {
			if err := refuseNullableItems(f.typ, join(path, f.name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkColumn refuses the column types on which engines disagree; what each does with them was tried with Spark 3.5 (Hudi 0.15 to
// 1.2) and hudi-rs.
func checkColumn(s scalar, path string) error {
	switch {
	case s.kind == kindEnum:
		return &SchemaError{path, "enum column: Hudi 0.15 refuses to upsert into it; use a string"}
	case s.logical == timestampMillis || s.logical == timeMillis:
		return &SchemaError{path, s.logical.String() + " column: Hudi 0.15 multiplies its values by 1000; use micros"}
	case s.logical == decimal && s.kind != kindFixed:
		return &SchemaError{path, "decimal on " + s.kind.String() + ": use a fixed"}
	case s.logical == decimal && (s.precision < 1 || s.scale < 0 || s.scale > s.precision || s.precision > maxPrecision(s.size)):
		return &SchemaError{path, s.String() + ": precision and scale do not fit"}
	default:
		return nil
	}
}

// maxPrecision is how many decimal digits n bytes of two's complement always hold: floor(log10(2^(8n-1) - 1)).
func maxPrecision(n int) int { return int(float64(8*n-1) * 0.30102999566398119521) }
