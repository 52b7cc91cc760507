package annotation

import (
	"encoding/json"
	"fmt"
	"strings"
)

const (
	maxDepth  = 32   // nesting of records, arrays and maps
	maxFields = 2000 // fields, with named types expanded at each use
)

// walker goes over a schema's fields and collects what is wrong with them.
type walker struct {
	named    map[string]map[string]any // definitions read so far, by full name
	contract *Contract
	errs     []error
}

// scope is where in the schema the walk is.
type scope struct {
	path      string
	namespace string
	depth     int
	contained bool // inside an array or a map
	dropped   bool // an enclosing field is dropped as a whole
}

func (w *walker) errorf(field string, rule Rule, format string, args ...any) {
	w.errs = append(w.errs, &Error{Field: field, Rule: rule, Reason: fmt.Sprintf(format, args...)})
}

func (w *walker) root(schema []byte) {
	var root map[string]any
	if err := json.Unmarshal(schema, &root); err != nil {
		w.errorf("", RuleSchema, "not a JSON object: %v", err)
		return
	}
	if root["type"] != "record" {
		w.errorf("", RuleSchema, "the schema is not a record")
		return
	}
	w.contract.Domain, _ = root["playhead.domain"].(string)
	w.record(root, scope{})
	for _, role := range []string{RoleEventID, RoleSessionID, RoleEventTime} {
		if _, ok := w.contract.roles[role]; !ok && len(w.errs) == 0 {
			w.errorf("", RuleMissingRole, "no field has the role %q", role)
		}
	}
}

// record walks over the fields of a record that lies at s.
func (w *walker) record(def map[string]any, s scope) {
	s.namespace = w.define(def, s.namespace)
	if s.depth++; s.depth > maxDepth {
		w.errorf(s.path, RuleSchema, "records nested deeper than %d, or one that contains itself", maxDepth)
		return
	}
	fields, ok := def["fields"].([]any)
	if !ok {
		w.errorf(s.path, RuleSchema, "a record without fields")
		return
	}
	lower := make(map[string]string, len(fields))
	for _, v := range fields {
		f, _ := v.(map[string]any)
		name, _ := f["name"].(string)
		if name == "" {
			w.errorf(s.path, RuleSchema, "a field without a name")
			return
		}
		if len(w.contract.Fields) >= maxFields {
			w.errorf(s.path, RuleSchema, "more than %d fields", maxFields)
			return
		}
		path := name
		if s.path != "" {
			path = s.path + "." + name
		}
		if other, ok := lower[strings.ToLower(name)]; ok {
			w.errorf(path, RuleName, "the name differs from %q in case at most", other)
		}
		lower[strings.ToLower(name)] = name
		if strings.HasPrefix(strings.ToLower(name), "_hoodie") {
			w.errorf(path, RuleName, "names that begin with _hoodie belong to the table format")
		}
		fieldScope := s
		fieldScope.path = path
		w.field(f, fieldScope)
	}
}

// field checks one field and walks over what is inside of it.
func (w *walker) field(def map[string]any, s scope) {
	t, ok := w.resolve(def["type"], s)
	if !ok {
		return
	}
	_, hasDefault := def["default"]
	f := Field{
		Path: s.path, Type: t.name, Logical: t.logical, Nullable: t.nullable, HasDefault: hasDefault, Contained: s.contained,
	}
	f.Role, _ = def["playhead.role"].(string)
	if v, ok := def["playhead.pii"]; ok {
		text, isText := v.(string)
		if !isText || text == "" {
			w.errorf(s.path, RulePII, "playhead.pii is not a text")
			return
		}
		f.PII = PII(text)
	}
	w.contract.Fields = append(w.contract.Fields, f)
	w.checkRole(f, def)
	w.checkPII(f, t, s)
	s.dropped = s.dropped || f.PII == Drop
	w.inside(t, s)
}

// inside walks over a record, and over the elements of an array or a map. Elements that are no records have their field's
// class.
func (w *walker) inside(t resolved, s scope) {
	switch t.name {
	case "record":
		w.record(t.def, s)
	case "array", "map":
		s.contained = true
		if s.depth++; s.depth > maxDepth {
			w.errorf(s.path, RuleSchema, "types nested deeper than %d", maxDepth)
			return
		}
		key := "items"
		if t.name == "map" {
			key = "values"
		}
		element, ok := w.resolve(t.def[key], s)
		if !ok {
			return
		}
		if element.nullable && t.name == "array" {
			w.errorf(s.path, RuleType, "null as an item of an array: engines disagree on it")
		}
		w.inside(element, s)
	}
}

// textual says whether a type's values, or those of its elements, are text or bytes.
func (w *walker) textual(t resolved, s scope) bool {
	switch t.name {
	case "string", "bytes":
		return true
	case "fixed":
		return t.logical != "decimal"
	case "map":
		return true // its keys are text
	case "array":
		element, ok := w.peek(t.def["items"], s)
		return ok && element.name != "record" && w.textual(element, s)
	}
	return false
}
