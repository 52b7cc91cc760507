package hudi

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// ErrCompactFirst: the table's schema may not change in this way while there are log files of the older one. Call Writer.Compact and
// repeat the commit. hudi-rs 0.5 refuses a table whose log blocks are of a record with fewer nested fields, or of narrower numbers, than
// the table's.
var ErrCompactFirst = errors.New("log files have to be compacted before the schema changes")

// evolution is how one schema differs from an older one, each kind of change by the dotted path of its first field; "" where there is none.
type evolution struct {
	added    string // a new column
	nested   string // a new field below a column
	promoted string // an int column that became a long
	loosened string // below a column: what a writer's type is sure of and the table's is not, a value
}

// checkEvolution allows next to add nullable fields to old, to the record itself and to those below, and to make longs of int columns. Everything
// else is refused with the field's path: old files are read by name, and nothing but these changes reads the same in every engine. A float
// that became a double does not: engines convert old values by way of text.
func checkEvolution(old, next string) (evolution, error) {
	var e evolution
	if old == next {
		return e, nil
	}
	after, err := parseTableSchema(next)
	if err != nil {
		return e, err
	}
	before, err := parseTableSchema(old)
	if err != nil {
		return e, fmt.Errorf("schema of the newest commit: %w", err)
	}
	return e, e.compare(before, after, "", false)
}

// compare walks two types down. What a change is depends on where it is: path is "" for the table's record, and column is true of the
// types right below it. Numbers below columns stay as they are: Hudi's readers in Spark refuse files in which they are narrower.
func (e *evolution) compare(a, b *schemaType, path string, column bool) error {
	long := column && a.kind == "int" && b.kind == "long" && a.logical == "" && b.logical == ""
	if !long && (a.kind != b.kind || a.logical != b.logical || a.size != b.size || a.prec != b.prec || a.scale != b.scale) {
		return &SchemaError{path, fmt.Sprintf("changed its type from %s to %s", a.describe(), b.describe())}
	}
	if a.nullable != b.nullable {
		return &SchemaError{path, "changed whether it is nullable"}
	}
	if long {
		keepFirst(&e.promoted, path)
	}
	if a.items != nil {
		return e.compare(a.items, b.items, path, false)
	}
	for _, f := range a.fields {
		t := b.field(f.name)
		if t == nil {
			return &SchemaError{below(path, f.name), "is missing"}
		}
		if err := e.compare(f.typ, t, below(path, f.name), path == ""); err != nil {
			return err
		}
	}
	for _, f := range b.fields {
		if a.field(f.name) != nil {
			continue
		}
		at := below(path, f.name)
		if !f.typ.nullable {
			return &SchemaError{at, "is new and not nullable"}
		}
		if err := checkItems(f.typ, at); err != nil {
			return err
		}
		if path == "" {
			keepFirst(&e.added, at)
		} else {
			keepFirst(&e.nested, at)
		}
	}
	return nil
}

func keepFirst(path *string, at string) {
	if *path == "" {
		*path = at
	}
}

// below is the dotted path of a field of the record at path.
func below(path, name string) string { return strings.TrimPrefix(path+"."+name, ".") }

// describe is the type for messages.
func (t *schemaType) describe() string { return strings.TrimSpace(t.kind + " " + t.logical) }

// checkItems refuses arrays whose items may be null, at any depth: Spark's writer fails on such items when it rewrites their file.
func checkItems(t *schemaType, path string) error {
	if t.items != nil {
		if t.kind == "array" && t.items.nullable {
			return &SchemaError{path, "is an array whose items may be null, which Spark cannot write"}
		}
		return checkItems(t.items, path)
	}
	for _, f := range t.fields {
		if err := checkItems(f.typ, below(path, f.name)); err != nil {
			return err
		}
	}
	return nil
}

// checkNewSchema is checkItems of a table that is to be made. Tables that Spark made have such items all over, and hold none that is null.
func checkNewSchema(text string) error {
	t, err := parseTableSchema(text)
	if err != nil {
		return err
	}
	return checkItems(t, "")
}

// rewritten tells for each writer schema whether its records may not stand in log blocks as they are: they have a type that engines read
// differently, or lack what the table's record has got below its columns. They are written as rows of the table instead.
func rewritten(table string, writers []string) ([]bool, error) {
	to, err := parseTableSchema(table)
	if err != nil {
		return nil, fmt.Errorf("schema of the newest commit: %w", err)
	}
	all := make([]bool, len(writers))
	for i, text := range writers {
		from, err := parseRecord(text)
		if err == nil {
			err = checkItems(from, "")
		}
		all[i] = err != nil || !standsInBlocks(from, to)
	}
	return all, nil
}

// standsInBlocks compares a writer's record with the table's as hudi-rs 0.5 does when it merges blocks with base files: a nested field that
// is missing is refused, and when a column is missing as well, a narrower number and a nested field that may not be null where the table's may.
func standsInBlocks(from, to *schemaType) bool {
	var e evolution
	e.lacks(from, to, "")
	return e.nested == "" && (e.added == "" || e.promoted == "" && e.loosened == "")
}

// lacks notes what a writer's type lacks of the table's.
func (e *evolution) lacks(from, to *schemaType, path string) {
	if from.kind == "int" && to.kind == "long" {
		keepFirst(&e.promoted, path)
	}
	if from.items != nil && to.items != nil {
		if to.items.nullable && !from.items.nullable {
			keepFirst(&e.loosened, path)
		}
		e.lacks(from.items, to.items, path)
	}
	for _, f := range to.fields {
		at := below(path, f.name)
		switch t := from.field(f.name); {
		case t != nil:
			if path != "" && f.typ.nullable && !t.nullable {
				keepFirst(&e.loosened, at)
			}
			e.lacks(t, f.typ, at)
		case path == "":
			keepFirst(&e.added, at)
		default:
			keepFirst(&e.nested, at)
		}
	}
}

// checkCompacted refuses a change of the schema that log files of the older one do not allow.
func (w *Writer) checkCompacted(ctx context.Context, e evolution) error {
	field := e.nested
	if field == "" {
		field = e.promoted
	}
	if field == "" || w.table.Type() != MergeOnRead { // hudi-rs reads new columns alone from any mix of files
		return nil
	}
	view, err := w.table.View(ctx, "", nil)
	if err != nil {
		return err
	}
	for _, s := range view.Slices {
		if len(s.Logs) > 0 {
			return fmt.Errorf("field %s changed, %s is of the schema before: %w", field, s.Logs[0].Key(), ErrCompactFirst)
		}
	}
	return nil
}
