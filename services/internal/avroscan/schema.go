package avroscan

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// maxDefaultBytes bounds the encoded defaults of one schema together: a default of a record type takes in the defaults of
// the fields below, so that a small text could ask for much.
const maxDefaultBytes = 1 << 20

// propPrefix marks the properties that are kept.
const propPrefix = "playhead."

var primitives = map[string]Kind{
	"null": Null, "boolean": Boolean, "int": Int, "long": Long, "float": Float, "double": Double, "bytes": Bytes, "string": String,
}

// parser builds the type tree of one schema.
type parser struct {
	limits   SchemaLimits
	named    map[string]*Type // complete, or nil while its definition is being read
	path     []string         // of the type being read
	defaults int              // bytes of defaults so far
}

// parseSchema parses a schema's text. All errors are *SchemaError.
func parseSchema(text []byte, o Options) (*Type, error) {
	if len(text) > o.SchemaLimits.MaxBytes {
		return nil, &SchemaError{Reason: fmt.Sprintf("%d bytes, more than %d", len(text), o.SchemaLimits.MaxBytes)}
	}
	v, err := decodeJSON(text)
	if err != nil {
		return nil, &SchemaError{Reason: "not JSON: " + err.Error()}
	}
	p := &parser{limits: o.SchemaLimits, named: map[string]*Type{}}
	p.limits.MaxDepth = min(p.limits.MaxDepth, o.Limits.MaxDepth)
	t, err := p.parse(v, "", 1)
	if err != nil {
		return nil, err
	}
	if t.Kind != Record {
		return nil, &SchemaError{Reason: "the root is a " + t.Kind.String() + ", not a record"}
	}
	return t, nil
}

// errorf reports a fault at the type being read.
func (p *parser) errorf(format string, args ...any) error {
	return &SchemaError{Path: strings.TrimPrefix(strings.Join(p.path, ""), "."), Reason: fmt.Sprintf(format, args...)}
}

// parse reads one type. The namespace is that of the enclosing definition; depth is the nesting the type would have as a
// record, array or map.
func (p *parser) parse(v any, namespace string, depth int) (*Type, error) {
	switch v := v.(type) {
	case string:
		return p.reference(v, namespace, depth)
	case []any:
		return p.union(v, namespace, depth)
	case object:
		return p.definition(v, namespace, depth)
	}
	return nil, p.errorf("a type is a text, a list or an object")
}

func (p *parser) reference(name, namespace string, depth int) (*Type, error) {
	if kind, ok := primitives[name]; ok {
		return &Type{Kind: kind}, nil
	}
	full := name
	t, ok := p.named[fullName(name, namespace)]
	if ok {
		full = fullName(name, namespace)
	} else {
		t, ok = p.named[name]
	}
	if !ok {
		return nil, p.errorf("type %q is not defined before its use", name)
	}
	if t == nil {
		return nil, p.errorf("type %q contains itself", full)
	}
	if err := p.checkSize(t, depth); err != nil {
		return nil, err
	}
	return t, nil
}

// checkSize refuses a type that, used here, is over the limits.
func (p *parser) checkSize(t *Type, depth int) error {
	if t.depth+depth-1 > p.limits.MaxDepth {
		return p.errorf("nested deeper than %d", p.limits.MaxDepth)
	}
	if t.fields > p.limits.MaxFields {
		return p.errorf("more than %d fields", p.limits.MaxFields)
	}
	return nil
}

func (p *parser) union(list []any, namespace string, depth int) (*Type, error) {
	if len(list) == 0 {
		return nil, p.errorf("a union without branches")
	}
	t := &Type{Kind: Union}
	seen := map[string]bool{}
	for _, v := range list {
		b, err := p.parse(v, namespace, depth)
		if err != nil {
			return nil, err
		}
		if b.Kind == Union {
			return nil, p.errorf("a union directly in a union")
		}
		name := b.Kind.String()
		if b.Name != "" {
			name = b.Name
		}
		if seen[name] {
			return nil, p.errorf("a union with two branches %q", name)
		}
		seen[name] = true
		t.Branches = append(t.Branches, b)
		t.fields += b.fields
		t.depth = max(t.depth, b.depth)
		if err := p.checkSize(t, depth); err != nil {
			return nil, err
		}
	}
	if len(t.Branches) == 1 && t.Branches[0].Kind == Null {
		return nil, p.errorf("a union of null alone")
	}
	return t, nil
}

func (p *parser) definition(o object, namespace string, depth int) (*Type, error) {
	inner, ok := o.get("type")
	if !ok {
		return nil, p.errorf("a type without \"type\"")
	}
	name, ok := inner.(string)
	if !ok {
		return p.parse(inner, namespace, depth) // {"type": {...}} is the inner type
	}
	var t *Type
	var err error
	switch name {
	case "record", "error":
		t, err = p.record(o, namespace, depth)
	case "enum":
		t, err = p.enum(o, namespace)
	case "fixed":
		t, err = p.fixed(o, namespace)
	case "array":
		t, err = p.container(o, Array, "items", namespace, depth)
	case "map":
		t, err = p.container(o, Map, "values", namespace, depth)
	default:
		t, err = p.reference(name, namespace, depth)
		if err != nil || t.Name != "" {
			return t, err
		}
	}
	if err != nil {
		return nil, err
	}
	t.Props = props(o)
	setLogical(t, o)
	return t, nil
}

func (p *parser) container(o object, kind Kind, key, namespace string, depth int) (*Type, error) {
	v, ok := o.get(key)
	if !ok {
		return nil, p.errorf("a %s without %q", kind, key)
	}
	if depth > p.limits.MaxDepth {
		return nil, p.errorf("nested deeper than %d", p.limits.MaxDepth)
	}
	p.path = append(p.path, "[]")
	element, err := p.parse(v, namespace, depth+1)
	if err != nil {
		return nil, err
	}
	if element.Kind == Null {
		return nil, p.errorf("a bare null")
	}
	p.path = p.path[:len(p.path)-1]
	t := &Type{Kind: kind, fields: element.fields, depth: element.depth + 1}
	if kind == Array {
		t.Items = element
	} else {
		t.Values = element
	}
	return t, nil
}

// define reads the name of a definition and claims it. The namespace returned is for the names inside.
func (p *parser) define(o object, namespace string) (full, inside string, err error) {
	name, ok := o.text("name")
	if !ok {
		return "", "", p.errorf("a definition without a name")
	}
	if ns, ok := o.text("namespace"); ok {
		namespace = ns
	}
	full = fullName(name, namespace)
	for part := range strings.SplitSeq(full, ".") {
		if !validName(part) {
			return "", "", p.errorf("%q is not a name", full)
		}
	}
	if _, ok := primitives[full]; ok {
		return "", "", p.errorf("%q names a primitive type", full)
	}
	if _, ok := p.named[full]; ok {
		return "", "", p.errorf("type %q is defined twice", full)
	}
	p.named[full] = nil
	if i := strings.LastIndexByte(full, '.'); i >= 0 {
		return full, full[:i], nil
	}
	return full, "", nil
}

func (p *parser) record(o object, namespace string, depth int) (*Type, error) {
	full, inside, err := p.define(o, namespace)
	if err != nil {
		return nil, err
	}
	if depth > p.limits.MaxDepth {
		return nil, p.errorf("nested deeper than %d", p.limits.MaxDepth)
	}
	v, _ := o.get("fields")
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		return nil, p.errorf("record %q has no fields", full)
	}
	t := &Type{Kind: Record, Name: full, depth: 1}
	seen := make(map[string]bool, len(list))
	for _, v := range list {
		f, err := p.field(v, inside, depth, seen)
		if err != nil {
			return nil, err
		}
		t.Fields = append(t.Fields, f)
		t.fields += 1 + f.Type.fields
		t.depth = max(t.depth, f.Type.depth+1)
		if err := p.checkSize(t, depth); err != nil {
			return nil, err
		}
	}
	p.named[full] = t
	return t, nil
}

func (p *parser) field(v any, namespace string, depth int, seen map[string]bool) (Field, error) {
	o, ok := v.(object)
	if !ok {
		return Field{}, p.errorf("a field is an object")
	}
	name, _ := o.text("name")
	if !validName(name) {
		return Field{}, p.errorf("%q is not a field name", name)
	}
	if seen[name] {
		return Field{}, p.errorf("field %q occurs twice", name)
	}
	seen[name] = true
	v, ok = o.get("type")
	if !ok {
		return Field{}, p.errorf("field %q has no type", name)
	}
	p.path = append(p.path, "."+name)
	t, err := p.parse(v, namespace, depth+1)
	if err != nil {
		return Field{}, err
	}
	if t.Kind == Null {
		return Field{}, p.errorf("a bare null")
	}
	f := Field{Name: name, Type: t, Props: props(o)}
	if v, ok := o.get("default"); ok {
		f.HasDefault = true
		if f.Default, err = p.encodeDefault(nil, t, v); err != nil {
			return Field{}, err
		}
		p.defaults += len(f.Default)
	}
	p.path = p.path[:len(p.path)-1]
	return f, nil
}

func (p *parser) enum(o object, namespace string) (*Type, error) {
	full, _, err := p.define(o, namespace)
	if err != nil {
		return nil, err
	}
	v, _ := o.get("symbols")
	list, _ := v.([]any)
	if len(list) == 0 {
		return nil, p.errorf("enum %q has no symbols", full)
	}
	t := &Type{Kind: Enum, Name: full}
	seen := make(map[string]bool, len(list))
	for _, v := range list {
		symbol, _ := v.(string)
		if !validName(symbol) || seen[symbol] {
			return nil, p.errorf("enum %q: symbol %q is no name or occurs twice", full, symbol)
		}
		seen[symbol] = true
		t.Symbols = append(t.Symbols, symbol)
	}
	if v, ok := o.get("default"); ok {
		if symbol, ok := v.(string); !ok || !slices.Contains(t.Symbols, symbol) {
			return nil, p.errorf("enum %q: the default is not one of its symbols", full)
		}
	}
	p.named[full] = t
	return t, nil
}

func (p *parser) fixed(o object, namespace string) (*Type, error) {
	full, _, err := p.define(o, namespace)
	if err != nil {
		return nil, err
	}
	size, ok := integer(o, "size")
	if !ok || size < 1 || size > 1<<20 {
		return nil, p.errorf("fixed %q: the size is not from 1 to 1,048,576", full)
	}
	t := &Type{Kind: Fixed, Name: full, Size: size}
	p.named[full] = t
	return t, nil
}

func fullName(name, namespace string) string {
	if namespace == "" || strings.Contains(name, ".") {
		return name
	}
	return namespace + "." + name
}

func validName(s string) bool {
	for i, c := range []byte(s) {
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

func props(o object) map[string]string {
	var out map[string]string
	for _, m := range o {
		if text, ok := m.value.(string); ok && strings.HasPrefix(m.name, propPrefix) {
			if out == nil {
				out = map[string]string{}
			}
			out[m.name] = text
		}
	}
	return out
}

func integer(o object, name string) (int, bool) {
	v, _ := o.get(name)
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	i, err := n.Int64()
	return int(i), err == nil && int64(int(i)) == i
}
