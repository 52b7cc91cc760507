package inspect

import (
	"context"
	"fmt"
	"strings"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
)

// checkSchemas checks the table schema of every commit, and how it went on from the one before: columns may be added, null may be allowed,
// and an int may become a long (hudi-rs and Spark answer differently after a float became a double).
func (v *verifier) checkSchemas(context.Context) error {
	var last avro.Schema
	var lastText, where string
	if text := v.props[meta.CreateSchema]; text != "" { // it counts until a commit names one, which Spark lets differ
		v.parseSchema(meta.PropertiesKey, text)
	}
	for _, c := range v.commits {
		key := c.entry.Key()
		if c.schema == "" {
			if _, malformed := v.find(CodeCommitEmpty, key); !malformed {
				v.warn(CodeSchemaMissing, key, "the commit names no schema")
			}
			continue
		}
		if c.schema == lastText {
			continue
		}
		schema := v.parseSchema(key, c.schema)
		if schema == nil {
			continue
		}
		if last != nil {
			for _, reason := range evolved(last, schema, "") {
				v.fault(CodeSchemaEvolution, key, "%s", reason)
			}
		}
		last, lastText, where = schema, c.schema, key
	}
	if last != nil {
		for _, reason := range riskyTypes(last, "") {
			v.warn(CodeSchemaType, where, "%s", reason)
		}
	}
	return nil
}

func (f *findings) find(code Code, key string) (Finding, bool) {
	for _, found := range f.list {
		if found.Code == code && found.Key == key {
			return found, true
		}
	}
	return Finding{}, false
}

// parseSchema parses a schema by itself: the library's parser shares the names of types between schemas otherwise. It panics on some
// malformed ones.
func (v *verifier) parseSchema(key, text string) (schema avro.Schema) {
	defer func() {
		if p := recover(); p != nil {
			v.fault(CodeSchemaMalformed, key, "%v", p)
			schema = nil
		}
	}()
	schema, err := avro.ParseWithCache(text, "", &avro.SchemaCache{})
	if err != nil {
		v.fault(CodeSchemaMalformed, key, "%v", err)
		return nil
	}
	if schema.Type() != avro.Record {
		v.fault(CodeSchemaMalformed, key, "the table schema is no record")
		return nil
	}
	return schema
}

// maxSchemaDepth ends the walk in a record that holds itself, which no table has.
const maxSchemaDepth = 32

func tooDeep(path string) bool { return strings.Count(path, ".") > maxSchemaDepth }

// plain is a type without its null, and whether it had one.
func plain(s avro.Schema) (schema avro.Schema, nullable bool) {
	if ref, ok := s.(*avro.RefSchema); ok {
		s = ref.Schema()
	}
	union, ok := s.(*avro.UnionSchema)
	if !ok {
		return s, false
	}
	var rest []avro.Schema
	for _, t := range union.Types() {
		if t.Type() != avro.Null {
			rest = append(rest, t)
		}
	}
	if len(rest) != 1 {
		return s, union.Nullable()
	}
	inner, _ := plain(rest[0])
	return inner, len(union.Types()) > 1
}

// evolved says what a newer schema does to an older one that old files cannot be read by.
func evolved(old, next avro.Schema, path string) []string {
	if tooDeep(path) {
		return nil
	}
	old, wasNullable := plain(old)
	next, nullable := plain(next)
	var reasons []string
	if wasNullable && !nullable {
		reasons = append(reasons, fmt.Sprintf("%s cannot be null any more", name(path)))
	}
	switch o := old.(type) {
	case *avro.RecordSchema:
		if n, ok := next.(*avro.RecordSchema); ok {
			return append(reasons, evolvedFields(o, n, path)...)
		}
	case *avro.ArraySchema:
		if n, ok := next.(*avro.ArraySchema); ok {
			return append(reasons, evolved(o.Items(), n.Items(), path+".[]")...)
		}
	case *avro.MapSchema:
		if n, ok := next.(*avro.MapSchema); ok {
			return append(reasons, evolved(o.Values(), n.Values(), path+".{}")...)
		}
	}
	if from, to := typeName(old), typeName(next); from != to && (from != "int" || to != "long") && (old.Type() != avro.Enum || to != "string") {
		reasons = append(reasons, fmt.Sprintf("%s was %s and is %s", name(path), from, to))
	}
	return reasons
}

func evolvedFields(old, next *avro.RecordSchema, path string) []string {
	fields := make(map[string]*avro.Field, len(next.Fields()))
	for _, f := range next.Fields() {
		fields[f.Name()] = f
	}
	var reasons []string
	for _, f := range old.Fields() {
		n, ok := fields[f.Name()]
		if !ok {
			reasons = append(reasons, fmt.Sprintf("column %s is gone", strings.TrimPrefix(path+"."+f.Name(), ".")))
			continue
		}
		delete(fields, f.Name())
		reasons = append(reasons, evolved(f.Type(), n.Type(), path+"."+f.Name())...)
	}
	for _, f := range next.Fields() {
		if _, added := fields[f.Name()]; !added {
			continue
		}
		if _, nullable := plain(f.Type()); !nullable && !f.HasDefault() {
			reasons = append(reasons, fmt.Sprintf("column %s is new and cannot be null", strings.TrimPrefix(path+"."+f.Name(), ".")))
		}
	}
	return reasons
}

func name(path string) string {
	if path == "" {
		return "the record"
	}
	return "column " + strings.TrimPrefix(path, ".")
}

// typeName names a type by what its values are; names of records do not count, but the size of a fixed does.
func typeName(s avro.Schema) string {
	text := string(s.Type())
	if f, ok := s.(*avro.FixedSchema); ok {
		text += fmt.Sprintf("(%d)", f.Size())
	}
	logical, ok := s.(avro.LogicalTypeSchema)
	if !ok || logical.Logical() == nil {
		return text
	}
	text += " " + string(logical.Logical().Type())
	if d, ok := logical.Logical().(*avro.DecimalLogicalSchema); ok {
		text += fmt.Sprintf("(%d, %d)", d.Precision(), d.Scale())
	}
	return text
}

// riskyTypes names the columns whose types some engines read wrong or refuse to write.
func riskyTypes(s avro.Schema, path string) []string {
	if tooDeep(path) {
		return nil
	}
	s, _ = plain(s)
	var reasons []string
	switch t := s.(type) {
	case *avro.RecordSchema:
		for _, f := range t.Fields() {
			reasons = append(reasons, riskyTypes(f.Type(), path+"."+f.Name())...)
		}
		return reasons
	case *avro.ArraySchema:
		return riskyTypes(t.Items(), path+".[]")
	case *avro.MapSchema:
		return riskyTypes(t.Values(), path+".{}")
	case *avro.EnumSchema:
		return []string{name(path) + " is an enum: Hudi 0.15 refuses upserts, and hudi-rs to merge"}
	}
	switch text := typeName(s); {
	case strings.Contains(text, "timestamp-millis"):
		return []string{name(path) + " is in milliseconds: Hudi 0.15 reads it wrong behind log files"}
	case s.Type() != avro.Fixed && strings.Contains(text, " decimal"):
		return []string{name(path) + " is a decimal that is no fixed: Spark rewrites it with another value"}
	}
	return nil
}
