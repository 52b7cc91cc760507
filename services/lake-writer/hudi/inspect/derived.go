package inspect

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
)

// derivedFields are the columns of a file from which its rows' keys and its partition were made. A row whose key is not that of its columns is
// not found by an upsert; one in another partition than its columns say is not found by a filter on them. Only texts, integers and booleans
// are compared: what other types look like depends on the release of Hudi.
type derivedFields struct {
	columns []string // each once, though a field can be both in the key and in the partition
	want    []derivedField
	complex bool // the key has the names of its fields
}

// derivedField is a column with the value that a partition path says; ok is false for one of the key.
type derivedField struct {
	name  string
	value string
	ok    bool
	at    int // of its column in derivedFields.columns
}

// derivedFields finds them among a file's columns.
func (v *verifier) derivedFields(partition string, columns []string) derivedFields {
	keyFields, partitionFields := v.props.List(meta.RecordKeyFields), v.props.List(meta.PartitionFields)
	var d derivedFields
	add := func(f derivedField) {
		if !slices.Contains(columns, f.name) {
			return
		}
		if f.at = slices.Index(d.columns, f.name); f.at < 0 {
			f.at = len(d.columns)
			d.columns = append(d.columns, f.name)
		}
		d.want = append(d.want, f)
	}
	d.complex = len(keyFields) > 1
	for _, name := range keyFields {
		add(derivedField{name: name})
	}
	elements := strings.Split(partition, "/")
	generator := strings.ToUpper(v.props.First(meta.KeyGeneratorType, meta.KeyGeneratorClass))
	if len(elements) != len(partitionFields) || strings.Contains(generator, "TIMESTAMP") || strings.Contains(generator, "CUSTOM") {
		return d
	}
	for i, name := range partitionFields {
		value := elements[i]
		if strings.EqualFold(v.props[meta.HiveStyle], "true") {
			value = strings.TrimPrefix(value, name+"=")
		}
		if strings.EqualFold(v.props[meta.URLEncode], "true") {
			if plain, err := url.PathUnescape(value); err == nil {
				value = plain
			}
		}
		add(derivedField{name: name, value: value, ok: true})
	}
	return d
}

// disagree says in what a row's columns differ from its key and partition; "" when they agree.
func (d derivedFields) disagree(recordKey string, values []any) string {
	for _, f := range d.want {
		text, comparable := keyText(values[f.at])
		if !comparable {
			continue
		}
		want := f.value
		switch {
		case f.ok && (text == keys.NullKey || text == keys.EmptyKey):
			text = keys.DefaultPartition
		case !f.ok && d.complex:
			var found bool
			if want, found = keyField(recordKey, f.name); !found || strings.Contains(text, ",") {
				continue // the key is another generator's, or cannot be taken apart
			}
		case !f.ok:
			if want = recordKey; strings.HasPrefix(recordKey, f.name+":") {
				want = strings.TrimPrefix(recordKey, f.name+":") // a complex key of one field
			}
		}
		if text != want {
			return fmt.Sprintf("column %s is %q, not %q", f.name, text, want)
		}
	}
	return ""
}

// keyText is a value's text in keys and paths.
func keyText(value any) (text string, comparable bool) {
	switch v := value.(type) {
	case nil:
		return keys.NullKey, true
	case string:
		if v == "" {
			return keys.EmptyKey, true
		}
		return v, true
	case int64:
		return strconv.FormatInt(v, 10), true
	case bool:
		return strconv.FormatBool(v), true
	default:
		return "", false
	}
}
