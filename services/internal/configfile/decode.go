package configfile

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// field is one key of a config struct.
type field struct {
	key, doc string
	index    int
}

// fieldsOf returns the keys of a struct type in their order. It panics on a field without a key, which would silently be unreachable.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		key := f.Tag.Get("yaml")
		if !f.IsExported() || key == "-" {
			continue
		}
		if key == "" || strings.Contains(key, ",") {
			panic(fmt.Sprintf("configfile: field %s.%s needs a tag yaml:\"key\" without options", t, f.Name))
		}
		fields = append(fields, field{key: key, doc: f.Tag.Get("doc"), index: i})
	}
	return fields
}

var (
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	durationType    = reflect.TypeFor[time.Duration]()
)

// isText tells whether values of t read and print themselves.
func isText(t reflect.Type) bool { return reflect.PointerTo(t).Implements(textUnmarshaler) }

// decoder copies YAML nodes into values by reflection and goes on after a problem.
type decoder struct{ c *collector }

// value decodes n into v, which is settable. key is the path of n.
func (d decoder) value(n *yaml.Node, key string, v reflect.Value) {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		d.c.add(n.Line, key, "anchors and aliases are not allowed")
		return
	}
	switch {
	case v.Type() == durationType:
		panic("configfile: " + key + ": use configfile.Duration instead of time.Duration")
	case v.Kind() == reflect.Pointer:
		d.pointer(n, key, v)
	case isText(v.Type()):
		d.text(n, key, v)
	case v.Kind() == reflect.Struct:
		d.structure(n, key, v)
	case v.Kind() == reflect.Slice:
		d.slice(n, key, v)
	case v.Kind() == reflect.Map:
		d.mapping(n, key, v)
	default:
		d.scalar(n, key, v)
	}
}

// pointer sets v to a new value, or to nil for a null.
func (d decoder) pointer(n *yaml.Node, key string, v reflect.Value) {
	if n.Tag == "!!null" {
		v.SetZero()
		return
	}
	target := reflect.New(v.Type().Elem())
	if !v.IsNil() {
		target.Elem().Set(v.Elem()) // keys that the file leaves out keep their defaults
	}
	d.value(n, key, target.Elem())
	v.Set(target)
}

func (d decoder) text(n *yaml.Node, key string, v reflect.Value) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		d.c.add(n.Line, key, "expected %s, found %s", typeName(v.Type()), describe(n))
		return
	}
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.Value)); err != nil {
		d.c.add(n.Line, key, "%v", err)
	}
}

func (d decoder) structure(n *yaml.Node, key string, v reflect.Value) {
	if n.Tag == "!!null" {
		return // "kafka:" with every key below it commented out keeps the defaults
	}
	fields := fieldsOf(v.Type())
	d.pairs(n, key, func(name string, at, value *yaml.Node) {
		i := slices.IndexFunc(fields, func(f field) bool { return f.key == name })
		if i < 0 {
			d.c.add(at.Line, join(key, name), "unknown key%s", suggestion(name, fields))
			return
		}
		d.value(value, join(key, name), v.Field(fields[i].index))
	})
}

func (d decoder) mapping(n *yaml.Node, key string, v reflect.Value) {
	if v.Type().Key().Kind() != reflect.String || isText(v.Type().Key()) {
		panic(fmt.Sprintf("configfile: %s: maps need plain string keys, not %s", key, v.Type().Key()))
	}
	m := reflect.MakeMap(v.Type())
	d.pairs(n, key, func(name string, _, value *yaml.Node) {
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(value, join(key, name), element)
		m.SetMapIndex(reflect.ValueOf(name).Convert(v.Type().Key()), element)
	})
	v.Set(m)
}

// pairs calls fn for each pair of a mapping node whose key is a plain word that has not come before.
func (d decoder) pairs(n *yaml.Node, key string, fn func(name string, at, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.c.add(n.Line, key, "expected a mapping, found %s", describe(n))
		return
	}
	lines := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		at, value := n.Content[i], n.Content[i+1]
		switch first, twice := lines[at.Value]; {
		case at.Kind != yaml.ScalarNode || at.Anchor != "":
			d.c.add(at.Line, key, "expected a plain key, found %s", describe(at))
		case at.Tag == "!!merge":
			d.c.add(at.Line, key, "merge keys (<<) are not allowed")
		case twice:
			d.c.add(at.Line, join(key, at.Value), "duplicate key, first in line %d", first)
		default:
			lines[at.Value] = at.Line
			fn(at.Value, at, value)
		}
	}
}

func (d decoder) slice(n *yaml.Node, key string, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.c.add(n.Line, key, "expected a list, found %s", describe(n))
		return
	}
	s := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		d.value(item, fmt.Sprintf("%s[%d]", key, i), s.Index(i))
	}
	v.Set(s)
}

// scalar decodes booleans, numbers and strings. The YAML tag has to fit: 5 is no text and "5" is no number.
func (d decoder) scalar(n *yaml.Node, key string, v reflect.Value) {
	want := typeName(v.Type())
	var ok bool
	switch v.Kind() {
	case reflect.String:
		if ok = n.Tag == "!!str"; ok {
			v.SetString(n.Value)
		}
	case reflect.Bool:
		var b bool
		if ok = n.Tag == "!!bool" && n.Decode(&b) == nil; ok {
			v.SetBool(b)
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		var i int64
		if ok = n.Tag == "!!int" && n.Decode(&i) == nil && !v.OverflowInt(i); ok {
			v.SetInt(i)
		}
		want += fmt.Sprintf(" of %d bits", v.Type().Bits())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		var u uint64
		if ok = n.Tag == "!!int" && n.Decode(&u) == nil && !v.OverflowUint(u); ok {
			v.SetUint(u)
		}
		want += fmt.Sprintf(" of %d bits", v.Type().Bits())
	case reflect.Float32, reflect.Float64:
		var f float64
		if ok = (n.Tag == "!!float" || n.Tag == "!!int") && n.Decode(&f) == nil && !v.OverflowFloat(f); ok {
			v.SetFloat(f)
		}
	default:
		panic(fmt.Sprintf("configfile: %s: type %s is not supported", key, v.Type()))
	}
	if !ok {
		d.c.add(n.Line, key, "expected %s, found %s", want, describe(n))
	}
}

// describe names what stands in the file. It repeats a value only if it is short.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	kind, known := map[string]string{
		"!!str": "text", "!!int": "number", "!!float": "number", "!!bool": "boolean", "!!timestamp": "date (quote it to make it text)",
	}[n.Tag]
	switch {
	case n.Tag == "!!null":
		return "nothing"
	case !known:
		return "a value with tag " + strconv.Quote(n.Tag)
	case len(n.Value) > 64:
		return kind
	}
	return kind + " " + strconv.Quote(n.Value)
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}
