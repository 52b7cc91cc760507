package hudi

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
)

// schemaType is an Avro type as far as two table schemas are compared: engines that write a table rename its records and drop properties,
// so names of types, docs and properties count for nothing.
type schemaType struct {
	kind     string // Avro's type name
	logical  string
	size     int // of a fixed; also precision and scale of decimals
	prec     int
	scale    int
	nullable bool
	fields   []schemaField // of a record
	items    *schemaType   // of an array or map
}

type schemaField struct {
	name string
	typ  *schemaType
}

func (t *schemaType) field(name string) *schemaType {
	for _, f := range t.fields {
		if f.name == name {
			return f.typ
		}
	}
	return nil
}

// maxSchemaDepth bounds nesting; schemas come from outside.
const maxSchemaDepth = 32

// parseTableSchema reads the schema of a table: a record of nullable fields, of the types that every engine reads and Spark can rewrite.
func parseTableSchema(text string) (*schemaType, error) {
	t, err := parseRecord(text)
	if err != nil {
		return nil, err
	}
	for _, f := range t.fields {
		if !f.typ.nullable {
			return nil, &SchemaError{f.name, "is not nullable"}
		}
		if slices.Contains(basefile.MetaColumns(), f.name) {
			return nil, &SchemaError{f.name, "is a meta column"}
		}
	}
	return t, nil
}

// parseRecord reads a record's schema.
func parseRecord(text string) (*schemaType, error) {
	var raw any
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return nil, &SchemaError{"", "not JSON: " + err.Error()}
	}
	p := schemaParser{named: make(map[string]*schemaType)}
	t, err := p.parse(raw, "", 0)
	if err != nil {
		return nil, err
	}
	if t.kind != "record" || t.nullable {
		return nil, &SchemaError{"", "not a record"}
	}
	return t, nil
}

// schemaParser keeps named types, which may be referred to again.
type schemaParser struct{ named map[string]*schemaType }

func (p *schemaParser) parse(raw any, path string, depth int) (*schemaType, error) {
	if depth > maxSchemaDepth {
		return nil, &SchemaError{path, "is nested too deeply"}
	}
	switch v := raw.(type) {
	case string:
		return p.parseName(v, path)
	case []any:
		return p.parseUnion(v, path, depth)
	case map[string]any:
		return p.parseObject(v, path, depth)
	default:
		return nil, &SchemaError{path, "has no type"}
	}
}

func (p *schemaParser) parseName(name, path string) (*schemaType, error) {
	switch name {
	case "boolean", "int", "long", "float", "double", "bytes", "string":
		return &schemaType{kind: name}, nil
	}
	t, ok := p.named[name[strings.LastIndexByte(name, '.')+1:]]
	if !ok {
		return nil, &SchemaError{path, fmt.Sprintf("has the unknown type %q", name)}
	}
	if t == nil {
		return nil, &SchemaError{path, "is recursive"}
	}
	c := *t
	return &c, nil
}

func (p *schemaParser) parseUnion(branches []any, path string, depth int) (*schemaType, error) {
	rest := slices.DeleteFunc(slices.Clone(branches), func(b any) bool { return b == "null" })
	if len(branches) != 2 || len(rest) != 1 {
		return nil, &SchemaError{path, "is a union of other than null and one type"}
	}
	t, err := p.parse(rest[0], path, depth+1)
	if err == nil && t.nullable {
		return nil, &SchemaError{path, "is a union in a union"}
	}
	if err != nil {
		return nil, err
	}
	t.nullable = true
	return t, nil
}

func (p *schemaParser) parseObject(v map[string]any, path string, depth int) (*schemaType, error) {
	name, _ := v["name"].(string)
	number := func(key string) int { n, _ := v[key].(float64); return int(n) }
	t := &schemaType{size: number("size"), prec: number("precision"), scale: number("scale")}
	t.kind, _ = v["type"].(string)
	t.logical, _ = v["logicalType"].(string)
	var err error
	switch t.kind {
	case "record":
		p.named[name] = nil // being defined
		t.fields, err = p.parseFields(v["fields"], path, depth)
	case "array":
		t.items, err = p.parse(v["items"], path, depth+1)
	case "map":
		t.items, err = p.parse(v["values"], path, depth+1)
	case "fixed":
	case "enum":
		err = &SchemaError{path, "is an enum, which engines read differently; use a string"}
	default:
		base, err := p.parse(v["type"], path, depth+1)
		if err != nil {
			return nil, err
		}
		base.logical, base.prec, base.scale = t.logical, t.prec, t.scale
		t = base
	}
	if err != nil {
		return nil, err
	}
	if name != "" {
		p.named[name] = t
	}
	return t, checkLogical(t, path)
}

func checkLogical(t *schemaType, path string) error {
	switch t.logical {
	case "timestamp-millis", "local-timestamp-millis", "time-millis":
		return &SchemaError{path, "is in milliseconds, which Hudi 0.15 reads wrongly; use microseconds"}
	case "decimal":
		if t.kind != "fixed" {
			return &SchemaError{path, "is a decimal on " + t.kind + "; use a fixed"}
		}
	}
	return nil
}

func (p *schemaParser) parseFields(raw any, path string, depth int) ([]schemaField, error) {
	list, _ := raw.([]any)
	if len(list) == 0 {
		return nil, &SchemaError{path, "is a record without fields"}
	}
	var fields []schemaField
	seen := make(map[string]bool)
	for _, item := range list {
		f, _ := item.(map[string]any)
		name, _ := f["name"].(string)
		at := strings.TrimPrefix(path+"."+name, ".")
		if name == "" || seen[strings.ToLower(name)] {
			return nil, &SchemaError{at, "has no name of its own; case does not count"}
		}
		seen[strings.ToLower(name)] = true
		t, err := p.parse(f["type"], at, depth+1)
		if err != nil {
			return nil, err
		}
		fields = append(fields, schemaField{name, t})
	}
	return fields, nil
}
