package annotation

import "strings"

// resolved is a type with references followed and the null of a nullable one taken off.
type resolved struct {
	name     string
	logical  string
	nullable bool
	def      map[string]any // of everything but plain primitives
}

// logicalTypes are the accepted logical types and the type that each annotates. Times are in microseconds throughout: Spark
// cannot rewrite milliseconds in place, and the engines disagree on the zone of local ones.
var logicalTypes = map[string]string{
	"date": "int", "time-micros": "long", "timestamp-micros": "long", "decimal": "fixed", "uuid": "string",
}

var primitives = map[string]bool{
	"boolean": true, "int": true, "long": true, "float": true, "double": true, "bytes": true, "string": true,
}

// peek resolves a type without a report; the walk reports when it gets there.
func (w *walker) peek(v any, s scope) (resolved, bool) {
	known := len(w.errs)
	t, ok := w.resolve(v, s)
	w.errs = w.errs[:known]
	return t, ok
}

// resolve reads a type. It reports a type that is not accepted.
func (w *walker) resolve(v any, s scope) (resolved, bool) {
	switch v := v.(type) {
	case string:
		return w.reference(v, s)
	case []any:
		return w.nullable(v, s)
	case map[string]any:
		return w.definition(v, s)
	}
	w.errorf(s.path, RuleSchema, "a type is a text, a list or an object")
	return resolved{}, false
}

func (w *walker) reference(name string, s scope) (resolved, bool) {
	if primitives[name] {
		return resolved{name: name}, true
	}
	def, ok := w.named[fullName(name, s.namespace)]
	if !ok {
		def, ok = w.named[name]
	}
	if !ok {
		w.errorf(s.path, RuleType, "type %q is not accepted or not defined before its use", name)
		return resolved{}, false
	}
	return w.definition(def, s)
}

func (w *walker) nullable(branches []any, s scope) (resolved, bool) {
	var value any
	switch {
	case len(branches) == 2 && branches[0] == "null":
		value = branches[1]
	case len(branches) == 2 && branches[1] == "null":
		value = branches[0]
	default:
		w.errorf(s.path, RuleType, "a union is accepted only of null and one other type")
		return resolved{}, false
	}
	if _, again := value.([]any); again || value == "null" {
		w.errorf(s.path, RuleSchema, "a union directly in a union")
		return resolved{}, false
	}
	t, ok := w.resolve(value, s)
	t.nullable = true
	return t, ok
}

func (w *walker) definition(def map[string]any, s scope) (resolved, bool) {
	name, ok := def["type"].(string)
	if !ok {
		inner, ok := def["type"].(map[string]any)
		if !ok {
			w.errorf(s.path, RuleSchema, "a type without \"type\"")
			return resolved{}, false
		}
		return w.definition(inner, s)
	}
	t := resolved{name: name, def: def}
	t.logical, _ = def["logicalType"].(string)
	switch {
	case name == "enum":
		w.errorf(s.path, RuleType, "an enum: engines read it as a string, so declare a string")
		return t, false
	case name == "fixed":
		w.define(def, s.namespace)
	case name == "record" || name == "array" || name == "map" || primitives[name]:
	default:
		return w.reference(name, s)
	}
	if t.logical != "" && logicalTypes[t.logical] != name {
		w.errorf(s.path, RuleType, "logical type %q on %s is not accepted", t.logical, name)
		return t, false
	}
	return t, true
}

// define remembers a named definition and returns the namespace of the names inside it.
func (w *walker) define(def map[string]any, namespace string) string {
	name, _ := def["name"].(string)
	if ns, ok := def["namespace"].(string); ok {
		namespace = ns
	}
	full := fullName(name, namespace)
	if _, ok := w.named[full]; !ok {
		w.named[full] = def
	}
	if i := strings.LastIndexByte(full, '.'); i >= 0 {
		return full[:i]
	}
	return ""
}

func fullName(name, namespace string) string {
	if namespace == "" || strings.Contains(name, ".") {
		return name
	}
	return namespace + "." + name
}
