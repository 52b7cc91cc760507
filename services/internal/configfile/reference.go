package configfile

import (
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
)

// Digest identifies an effective configuration: two processes with the same digest run with the same values. It covers the paths of secret
// files, never their contents.
func Digest(cfg any) string {
	h := sha256.New()
	writeCanonical(h, "", addressable(cfg))
	return hex.EncodeToString(h.Sum(nil))
}

// writeCanonical writes a line "path=value" per value, in the order of fields and of sorted map keys.
func writeCanonical(w io.Writer, key string, v reflect.Value) {
	line := func(value string) { fmt.Fprintf(w, "%s=%s\n", key, value) }
	switch {
	case v.Kind() == reflect.Pointer:
		if v.IsNil() {
			line("null")
			return
		}
		writeCanonical(w, key, v.Elem())
	case isText(v.Type()):
		line(strconv.Quote(scalarText(v)))
	case v.Kind() == reflect.Struct:
		for _, f := range fieldsOf(v.Type()) {
			writeCanonical(w, join(key, f.key), v.Field(f.index))
		}
	case v.Kind() == reflect.Slice:
		line("list of " + strconv.Itoa(v.Len()))
		for i := range v.Len() {
			writeCanonical(w, fmt.Sprintf("%s[%d]", key, i), v.Index(i))
		}
	case v.Kind() == reflect.Map:
		line("map of " + strconv.Itoa(v.Len()))
		for _, k := range sortedKeys(v) {
			element := reflect.New(v.Type().Elem()).Elem()
			element.Set(v.MapIndex(k))
			writeCanonical(w, key+"["+strconv.Quote(k.String())+"]", element)
		}
	default:
		line(strconv.Quote(scalarText(v)))
	}
}

// Reference returns a Markdown table of every key of the configuration, with cfg's values as the defaults.
func Reference(cfg any) string {
	var b strings.Builder
	b.WriteString("| Key | Type | Default | Meaning |\n|---|---|---|---|\n")
	writeReference(&b, "", "", addressable(cfg))
	return b.String()
}

// writeReference writes the row of v, or the rows below it when it is a struct.
func writeReference(b *strings.Builder, key, doc string, v reflect.Value) {
	t := v.Type()
	if t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct && !isText(t.Elem()) {
		t = t.Elem()
		v = indirect(v)
	}
	if t.Kind() == reflect.Struct && !isText(t) {
		if key != "" && doc != "" {
			writeRow(b, key, "mapping", "", doc)
		}
		for _, f := range fieldsOf(t) {
			writeReference(b, join(key, f.key), f.doc, v.Field(f.index))
		}
		return
	}
	writeRow(b, key, typeName(t), defaultText(v), doc)
	// Keys of the elements of lists and maps follow with the elements' zero values as defaults.
	if t.Kind() != reflect.Slice && t.Kind() != reflect.Map || isText(t) {
		return
	}
	element := t.Elem()
	if element.Kind() == reflect.Pointer {
		element = element.Elem()
	}
	if element.Kind() == reflect.Struct && !isText(element) {
		suffix := "[]"
		if t.Kind() == reflect.Map {
			suffix = ".NAME"
		}
		writeReference(b, key+suffix, "", reflect.New(element).Elem())
	}
}

func writeRow(b *strings.Builder, key, typ, def, doc string) {
	if def != "" {
		def = "`" + def + "`"
	}
	escape := strings.NewReplacer("|", `\|`, "\n", " ").Replace
	fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", key, typ, escape(def), escape(doc))
}

// addressable returns a copy of cfg, or of what it points to, whose fields have addresses, as methods with pointer receivers need.
func addressable(cfg any) reflect.Value {
	v := indirect(reflect.ValueOf(cfg))
	if v.Kind() != reflect.Struct {
		panic(fmt.Sprintf("configfile: %T is not a config struct", cfg))
	}
	c := reflect.New(v.Type()).Elem()
	c.Set(v)
	return c
}

// indirect follows a pointer; a nil one leads to a zero value.
func indirect(v reflect.Value) reflect.Value {
	if v.Kind() != reflect.Pointer {
		return v
	}
	if v.IsNil() {
		return reflect.New(v.Type().Elem()).Elem()
	}
	return v.Elem()
}

// typeName names a type in words of the file's author.
func typeName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[Duration]():
		return "duration"
	case reflect.TypeFor[Size]():
		return "size"
	case reflect.TypeFor[SecretFile]():
		return "file"
	}
	if isText(t) {
		return "text"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeName(t.Elem())
	case reflect.Struct:
		return "mapping"
	case reflect.Slice:
		return "list of " + typeName(t.Elem())
	case reflect.Map:
		return "mapping of names to " + typeName(t.Elem())
	case reflect.Bool:
		return "boolean"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.String:
		return "text"
	default:
		return "integer"
	}
}

// defaultText prints a default in the syntax of the file, as far as that fits into a cell.
func defaultText(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		v = v.Elem()
	}
	if v.Kind() == reflect.Struct && !isText(v.Type()) {
		return flowMapping(v)
	}
	if isText(v.Type()) || v.Kind() != reflect.Slice && v.Kind() != reflect.Map {
		return scalarText(v)
	}
	if v.Len() == 0 {
		return ""
	}
	if v.Kind() == reflect.Map {
		return fmt.Sprintf("%d entries", v.Len())
	}
	var items []string
	for i := range v.Len() {
		items = append(items, defaultText(v.Index(i)))
	}
	return "[" + strings.Join(items, ", ") + "]"
}

// flowMapping prints the keys of a struct that are not zero.
func flowMapping(v reflect.Value) string {
	var parts []string
	for _, f := range fieldsOf(v.Type()) {
		if fv := v.Field(f.index); !fv.IsZero() {
			parts = append(parts, f.key+": "+defaultText(fv))
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// scalarText prints a value that is neither struct, list, map nor pointer.
func scalarText(v reflect.Value) string {
	if v.CanAddr() {
		if m, ok := v.Addr().Interface().(encoding.TextMarshaler); ok {
			if text, err := m.MarshalText(); err == nil {
				return string(text)
			}
		}
	}
	return fmt.Sprint(v.Interface())
}
