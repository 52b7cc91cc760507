package configfile

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Report takes the objections of one struct's Validate method.
type Report struct {
	c     *collector
	scope scope
}

// Errorf records an objection to the value of key, a key of the struct or a path below it ("tls.cert_file", "routes[1].topic"). The empty key
// means the struct itself. The line is that of the key, or of the nearest thing around it when the file does not set it. An objection to a
// value that could not be decoded is dropped: the reader has that error already.
func (r *Report) Errorf(key, format string, args ...any) {
	at := r.scope
	for _, step := range steps(key) {
		at = at.child(step)
	}
	if !r.c.undecodable(at.key) {
		r.c.add(at.line(), at.key, format, args...)
	}
}

// Validator is implemented by config structs that check more than types. Parse calls it for every struct of the configuration, nested ones
// first, whether the file sets them or not.
type Validator interface{ Validate(r *Report) }

// scope is a place in the configuration: its path and its node, nil when the file does not set it, with the places around it.
type scope struct {
	key    string
	node   *yaml.Node
	parent *scope
}

// child returns the place of a key ("topic") or an index ("[1]") below s.
func (s scope) child(step string) scope {
	c := scope{key: join(s.key, step), parent: &s}
	if index, ok := indexStep(step); ok {
		c.key = s.key + step
		if s.node != nil && s.node.Kind == yaml.SequenceNode && index < len(s.node.Content) {
			c.node = s.node.Content[index]
		}
		return c
	}
	if s.node != nil && s.node.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(s.node.Content); i += 2 {
			if s.node.Content[i].Value == step {
				c.node = s.node.Content[i+1]
			}
		}
	}
	return c
}

// line returns the line of the place or of the nearest place around it that the file sets; 1 when it sets none.
func (s scope) line() int {
	for at := &s; at != nil; at = at.parent {
		if at.node != nil {
			return at.node.Line
		}
	}
	return 1
}

// steps splits "routes[1].topic" into "routes", "[1]", "topic".
func steps(key string) []string {
	return strings.FieldsFunc(strings.ReplaceAll(key, "[", ".["), func(r rune) bool { return r == '.' })
}

func indexStep(step string) (int, bool) {
	text, ok := strings.CutPrefix(step, "[")
	if !ok {
		return 0, false
	}
	i, err := strconv.Atoi(strings.TrimSuffix(text, "]"))
	return i, err == nil && i >= 0
}

// validate calls the Validate methods of v and of everything below it.
func validate(c *collector, v reflect.Value, at scope) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			validate(c, v.Elem(), at)
		}
	case reflect.Slice:
		for i := range v.Len() {
			validate(c, v.Index(i), at.child(fmt.Sprintf("[%d]", i)))
		}
	case reflect.Map:
		for _, k := range sortedKeys(v) {
			// Elements of a map have no address; a method with a pointer receiver is served by a copy.
			element := reflect.New(v.Type().Elem()).Elem()
			element.Set(v.MapIndex(k))
			validate(c, element, at.child(k.String()))
		}
	case reflect.Struct:
		if !isText(v.Type()) {
			for _, f := range fieldsOf(v.Type()) {
				validate(c, v.Field(f.index), at.child(f.key))
			}
		}
		if validator, ok := v.Addr().Interface().(Validator); ok {
			validator.Validate(&Report{c: c, scope: at})
		}
	}
}

func sortedKeys(m reflect.Value) []reflect.Value {
	keys := m.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	return keys
}
