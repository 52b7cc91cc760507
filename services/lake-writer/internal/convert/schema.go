package convert

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Kinds of Avro types that a table can hold; primitive types are their own kind.
const (
	kindRecord = "record"
	kindArray  = "array"
	kindMap    = "map"
	kindFixed  = "fixed"
	kindUnion  = "union"
	kindNull   = "null"
)

// typ is an Avro type with every named reference replaced by its definition. Only what shapes a column
// is kept: documentation, defaults and custom properties are not part of a table's schema.
type typ struct {
	kind     string
	name     string // full name of a record or fixed
	fields   []field
	inner    *typ   // items of an array, values of a map
	branches []*typ // of a union
	size     int
	logical  string
	prec     int
	scale    int
}

type field struct {
	name string
	typ  *typ
}

// node is an Avro schema object as it is written in JSON.
type node struct {
	Type        any     `json:"type"`
	Name        string  `json:"name,omitempty"`
	Namespace   string  `json:"namespace,omitempty"`
	Fields      []entry `json:"fields,omitempty"`
	Items       any     `json:"items,omitempty"`
	Values      any     `json:"values,omitempty"`
	Size        int     `json:"size,omitempty"`
	LogicalType string  `json:"logicalType,omitempty"`
	Precision   int     `json:"precision,omitempty"`
	Scale       int     `json:"scale,omitempty"`
}

type entry struct {
	Name    string          `json:"name"`
	Type    any             `json:"type"`
	Default json.RawMessage `json:"default,omitempty"`
}

// parser resolves names while it walks a schema; depth bounds hostile nesting.
type parser struct {
	named map[string]*typ
	depth int
}

const maxSchemaDepth = 64

func parseSchema(text string) (*typ, error) {
	p := parser{named: make(map[string]*typ)}
	t, err := p.parse([]byte(text), "")
	if err != nil {
		return nil, err
	}
	if t.kind != kindRecord {
		return nil, fmt.Errorf("the schema is a %s, not a record", t.kind)
	}
	return t, nil
}

func (p *parser) parse(data []byte, namespace string) (*typ, error) {
	if p.depth++; p.depth > maxSchemaDepth {
		return nil, fmt.Errorf("schema nests deeper than %d", maxSchemaDepth)
	}
	defer func() { p.depth-- }()
	data = bytes.TrimSpace(data)
	switch {
	case len(data) == 0:
		return nil, errors.New("schema without a type")
	case data[0] == '"':
		var name string
		if err := json.Unmarshal(data, &name); err != nil {
			return nil, fmt.Errorf("parse type name: %w", err)
		}
		return p.byName(name, namespace)
	case data[0] == '[':
		return p.union(data, namespace)
	default:
		return p.object(data, namespace)
	}
}

func (p *parser) byName(name, namespace string) (*typ, error) {
	switch name {
	case kindNull, "boolean", "int", "long", "float", "double", "bytes", "string":
		return &typ{kind: name}, nil
	}
	if t := p.named[fullName(name, namespace)]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("type %q is not defined", name)
}

func (p *parser) union(data []byte, namespace string) (*typ, error) {
	var branches []json.RawMessage
	if err := json.Unmarshal(data, &branches); err != nil {
		return nil, fmt.Errorf("parse union: %w", err)
	}
	u := &typ{kind: kindUnion}
	for _, b := range branches {
		t, err := p.parse(b, namespace)
		if err != nil {
			return nil, err
		}
		u.branches = append(u.branches, t)
	}
	return u, nil
}

type rawNode struct {
	Type        json.RawMessage `json:"type"`
	Name        string          `json:"name"`
	Namespace   string          `json:"namespace"`
	Fields      []rawField      `json:"fields"`
	Items       json.RawMessage `json:"items"`
	Values      json.RawMessage `json:"values"`
	Size        int             `json:"size"`
	LogicalType string          `json:"logicalType"`
	Precision   int             `json:"precision"`
	Scale       int             `json:"scale"`
}

type rawField struct {
	Name string          `json:"name"`
	Type json.RawMessage `json:"type"`
}

func (p *parser) object(data []byte, namespace string) (*typ, error) {
	var n rawNode
	if err := json.Unmarshal(data, &n); err != nil {
		return nil, fmt.Errorf("parse type: %w", err)
	}
	var kind string
	if json.Unmarshal(n.Type, &kind) != nil {
		return p.parse(n.Type, namespace) // {"type": {...}} around a type
	}
	switch kind {
	case kindRecord:
		return p.record(n, namespace)
	case kindFixed:
		t := &typ{kind: kindFixed, name: definedName(n, namespace), size: n.Size, logical: n.LogicalType, prec: n.Precision, scale: n.Scale}
		p.named[t.name] = t
		return t, nil
	case kindArray:
		return p.container(kindArray, n.Items, namespace)
	case kindMap:
		return p.container(kindMap, n.Values, namespace)
	}
	t, err := p.byName(kind, namespace)
	if err != nil {
		return nil, err
	}
	if t.name == "" {
		t.logical, t.prec, t.scale = n.LogicalType, n.Precision, n.Scale
	}
	return t, nil
}

func (p *parser) record(n rawNode, namespace string) (*typ, error) {
	t := &typ{kind: kindRecord, name: definedName(n, namespace)}
	inner := namespaceOf(t.name)
	for _, f := range n.Fields {
		ft, err := p.parse(f.Type, inner)
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", f.Name, err)
		}
		t.fields = append(t.fields, field{f.Name, ft})
	}
	p.named[t.name] = t // only now: a record that holds itself has no columns and stays undefined
	return t, nil
}

func (p *parser) container(kind string, inner json.RawMessage, namespace string) (*typ, error) {
	t, err := p.parse(inner, namespace)
	if err != nil {
		return nil, err
	}
	return &typ{kind: kind, inner: t}, nil
}

func fullName(name, namespace string) string {
	if strings.Contains(name, ".") || namespace == "" {
		return name
	}
	return namespace + "." + name
}

func definedName(n rawNode, namespace string) string {
	if n.Namespace != "" {
		namespace = n.Namespace
	}
	return fullName(n.Name, namespace)
}

func namespaceOf(name string) string {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		return name[:i]
	}
	return ""
}

// column returns the type as a table holds it: nullable, and so are the fields of records within. The
// elements of arrays and maps stay as they are: engines disagree about null elements.
func (t *typ) column() (*typ, error) {
	inner := t
	if t.kind == kindUnion {
		rest := slices.DeleteFunc(slices.Clone(t.branches), func(b *typ) bool { return b.kind == kindNull })
		if len(rest) != 1 {
			return nil, errors.New("a union of several types has no column type")
		}
		inner = rest[0]
	}
	if inner.kind == kindNull {
		return nil, errors.New("a field that is always null has no column type")
	}
	element, err := inner.element()
	if err != nil {
		return nil, err
	}
	return &typ{kind: kindUnion, branches: []*typ{{kind: kindNull}, element}}, nil
}

// element is column without the union around it.
func (t *typ) element() (*typ, error) {
	out := *t
	switch t.kind {
	case kindUnion:
		return t.column() // a nullable value of a map
	case kindRecord:
		out.fields = nil
		for _, f := range t.fields {
			ft, err := f.typ.column()
			if err != nil {
				return nil, fmt.Errorf("field %s: %w", f.name, err)
			}
			out.fields = append(out.fields, field{f.name, ft})
		}
	case kindArray, kindMap:
		inner, err := t.inner.element()
		if err != nil {
			return nil, err
		}
		out.inner = inner
	}
	return &out, nil
}

// changeError names a field whose change a table in use cannot take.
type changeError struct {
	path   []string
	reason string
}

func (e *changeError) Error() string {
	return fmt.Sprintf("field %s: %s", strings.Join(e.path, "."), e.reason)
}

// merge returns have widened by the fields that only want has, at the end of their record, and whether
// anything was added. Both are column types. Any other difference is a *changeError.
func merge(have, want *typ, path []string) (*typ, bool, error) {
	if have.kind != want.kind {
		return nil, false, &changeError{path, fmt.Sprintf("type %s became %s", have.kind, want.kind)}
	}
	switch have.kind {
	case kindUnion:
		// Both come from column: null and one type.
		inner, added, err := merge(have.branches[1], want.branches[1], path)
		if err != nil || !added {
			return have, false, err
		}
		return &typ{kind: kindUnion, branches: []*typ{have.branches[0], inner}}, true, nil
	case kindArray, kindMap:
		inner, added, err := merge(have.inner, want.inner, path)
		if err != nil || !added {
			return have, false, err
		}
		return &typ{kind: have.kind, inner: inner}, true, nil
	case kindRecord:
		return mergeRecord(have, want, path)
	}
	if have.size != want.size || have.logical != want.logical || have.prec != want.prec || have.scale != want.scale {
		return nil, false, &changeError{path, "size, logical type, precision or scale changed"}
	}
	return have, false, nil
}

func mergeRecord(have, want *typ, path []string) (*typ, bool, error) {
	out := *have
	out.fields = slices.Clone(have.fields)
	changed := false
	for _, w := range want.fields {
		at := append(slices.Clone(path), w.name)
		i := slices.IndexFunc(out.fields, func(f field) bool { return f.name == w.name })
		if i < 0 {
			if slices.ContainsFunc(out.fields, func(f field) bool { return strings.EqualFold(f.name, w.name) }) {
				return nil, false, &changeError{at, "differs from a column in case only"}
			}
			out.fields = append(out.fields, w)
			changed = true
			continue
		}
		merged, added, err := merge(out.fields[i].typ, w.typ, at)
		if err != nil {
			return nil, false, err
		}
		out.fields[i].typ = merged
		changed = changed || added
	}
	return &out, changed, nil
}

// text writes the schema as JSON; a named type is defined where it is used first.
func (t *typ) text() (string, error) {
	data, err := json.Marshal(t.encode("", make(map[string]bool)))
	if err != nil {
		return "", fmt.Errorf("write schema: %w", err)
	}
	return string(data), nil
}

func (t *typ) encode(namespace string, defined map[string]bool) any {
	switch t.kind {
	case kindUnion:
		branches := make([]any, len(t.branches))
		for i, b := range t.branches {
			branches[i] = b.encode(namespace, defined)
		}
		return branches
	case kindArray:
		return node{Type: kindArray, Items: t.inner.encode(namespace, defined)}
	case kindMap:
		return node{Type: kindMap, Values: t.inner.encode(namespace, defined)}
	case kindRecord, kindFixed:
		return t.encodeNamed(defined)
	}
	if t.logical == "" {
		return t.kind
	}
	return node{Type: t.kind, LogicalType: t.logical, Precision: t.prec, Scale: t.scale}
}

func (t *typ) encodeNamed(defined map[string]bool) any {
	if defined[t.name] {
		return t.name
	}
	defined[t.name] = true
	space := namespaceOf(t.name)
	n := node{
		Type: t.kind, Name: strings.TrimPrefix(t.name[len(space):], "."), Namespace: space,
		Size: t.size, LogicalType: t.logical, Precision: t.prec, Scale: t.scale,
	}
	for _, f := range t.fields {
		e := entry{Name: f.name, Type: f.typ.encode(space, defined)}
		if f.typ.kind == kindUnion && f.typ.branches[0].kind == kindNull {
			e.Default = json.RawMessage("null")
		}
		n.Fields = append(n.Fields, e)
	}
	return n
}
