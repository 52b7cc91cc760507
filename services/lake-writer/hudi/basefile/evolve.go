package basefile

import "iter"

// RowsAs yields the rows as a table of the given schema (Avro, without meta columns) shows them: its columns (nil: the meta columns
// and all of the schema), records with the table's fields in the table's order, and null for what this older file lacks. It
// refuses with a *SchemaError what the table's type cannot hold without loss, or would show differently from other engines: a
// column that the table lacks or narrowed, a float that became a double. After an error it yields nothing more.
func (r *Reader) RowsAs(tableSchema string, columns []string) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		v, err := r.viewAs(tableSchema, columns)
		if err != nil {
			yield(Row{}, err)
			return
		}
		for row, err := range r.Rows(v.inFile) {
			if err == nil {
				row = v.show(row)
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// view is what a table shows of an older file.
type view struct {
	columns []string // of the table
	inFile  []string // those of them that the file has
	place   []int    // of a column in inFile, -1 when the file lacks it
	shapes  []*shape // by place; nil where the file's value is the table's
}

// shape says how a value becomes the table's: nil means that it is.
type shape struct {
	columns []string // of a record
	from    []int    // which of the file's values, -1: null
	parts   []*shape // of a record, by columns; of an array, its item; of a map, its value
}

func (r *Reader) viewAs(tableSchema string, columns []string) (*view, error) {
	root, err := readLayout(tableSchema)
	if err != nil {
		return nil, err
	}
	return r.viewOf(root, columns)
}

// viewOf is the view that a table of a layout has of the file.
func (r *Reader) viewOf(root *layout, columns []string) (*view, error) {
	if columns == nil {
		for _, c := range root.children {
			columns = append(columns, c.name)
		}
	}
	v := &view{columns: columns}
	for _, name := range columns {
		to, from := root.child(name), r.layout.child(name)
		if to == nil {
			return nil, &SchemaError{name, "the table has no such column"}
		}
		if from == nil {
			if !to.optional {
				return nil, &SchemaError{name, "is not in the older file, and may not be null"}
			}
			v.place = append(v.place, -1)
			continue
		}
		s, err := shapeOf(to, from)
		if err != nil {
			return nil, err
		}
		v.place, v.inFile, v.shapes = append(v.place, len(v.inFile)), append(v.inFile, name), append(v.shapes, s)
	}
	if v.inFile == nil { // none of the columns: the rows count still
		v.inFile = []string{}
	}
	return v, nil
}

func (v *view) show(row Row) Row {
	out := Row{Columns: v.columns, Values: make([]any, len(v.columns))}
	for i, place := range v.place {
		if place >= 0 {
			out.Values[i] = v.shapes[place].show(row.Values[place])
		}
	}
	return out
}

// shapeOf compares two types. Whether a value may be null is not compared: a reader shows what is there.
func shapeOf(to, from *layout) (*shape, error) {
	if to.leaf() && from.leaf() && sameNumbers(from.scalar, to.scalar) {
		return nil, nil
	}
	if err := checkSame(to, from); err != nil || to.leaf() {
		return nil, err
	}
	if to.kind == kindRecord {
		return recordShape(to, from)
	}
	last := len(to.children) - 1 // an array's item, a map's value; keys are strings on both sides or refused
	if to.kind == kindMap {
		if err := checkSame(to.children[0], from.children[0]); err != nil {
			return nil, err
		}
	}
	part, err := shapeOf(to.children[last], from.children[last])
	if part == nil || err != nil {
		return nil, err
	}
	return &shape{parts: []*shape{part}}, nil
}

// sameNumbers reports whether decimals are shown alike: Spark writes small ones as int32 or int64, whatever the table's Avro type is.
func sameNumbers(from, to scalar) bool {
	return from.logical == decimal && to.logical == decimal && from.scale == to.scale && from.precision <= to.precision
}

func recordShape(to, from *layout) (*shape, error) {
	for _, field := range from.children {
		if to.child(field.name) == nil {
			return nil, &SchemaError{join(to.path, field.name), "is in the older file but not in the table"}
		}
	}
	s := &shape{}
	same := len(to.children) == len(from.children)
	for i, field := range to.children {
		old := -1
		var part *shape
		for j, f := range from.children {
			if f.name != field.name {
				continue
			}
			var err error
			if part, err = shapeOf(field, f); err != nil {
				return nil, err
			}
			old = j
		}
		if old < 0 && !field.optional {
			return nil, &SchemaError{field.path, "is not in the older file, and may not be null"}
		}
		same = same && old == i && part == nil
		s.columns, s.from, s.parts = append(s.columns, field.name), append(s.from, old), append(s.parts, part)
	}
	if same {
		return nil, nil
	}
	return s, nil
}

func (s *shape) show(value any) any {
	if s == nil {
		return value
	}
	switch v := value.(type) {
	case Row:
		out := Row{Columns: s.columns, Values: make([]any, len(s.columns))}
		for i, from := range s.from {
			if from >= 0 {
				out.Values[i] = s.parts[i].show(v.Values[from])
			}
		}
		return out
	case []any:
		for i := range v {
			v[i] = s.parts[0].show(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = s.parts[0].show(v[key])
		}
	}
	return value
}
