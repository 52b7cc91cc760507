package keys

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Kind is one of Hudi's key generators, by its name in hoodie.table.keygenerator.type.
type Kind string

// The generators whose texts are the same in every release that can write the table.
const (
	Simple         Kind = "SIMPLE"        // one key field, one partition field
	Complex        Kind = "COMPLEX"       // two key fields or more, one partition field or more
	Nonpartitioned Kind = "NON_PARTITION" // no partition field; one key field as Simple has it, or more as Complex
	Timestamp      Kind = "TIMESTAMP"     // one key field, and one partition field that is a time
)

var generatorClasses = map[Kind]string{
	Simple:         "org.apache.hudi.keygen.SimpleKeyGenerator",
	Complex:        "org.apache.hudi.keygen.ComplexKeyGenerator",
	Nonpartitioned: "org.apache.hudi.keygen.NonpartitionedKeyGenerator",
	Timestamp:      "org.apache.hudi.keygen.TimestampBasedKeyGenerator",
}

// Class is the generator's Java class, the value of hoodie.table.keygenerator.class; "" for an unknown kind.
func (k Kind) Class() string { return generatorClasses[k] }

// KindOfClass is the kind whose Java class has the name.
func KindOfClass(class string) (k Kind, ok bool) {
	for k, c := range generatorClasses {
		if c == class {
			return k, true
		}
	}
	return "", false
}

// Known reports whether the package makes the generator's texts.
func (k Kind) Known() bool { return generatorClasses[k] != "" }

// ErrGenerator: the fields are not those of the key generator.
var ErrGenerator = errors.New("fields do not fit the key generator")

// Generator makes the record keys and partition paths of one table.
type Generator struct {
	Kind            Kind
	KeyFields       []string
	PartitionFields []string
	HiveStyle       bool       // a=1/b=2, else 1/2
	URLEncode       bool       // values in paths are escaped (PartitionPathEncodeUtils), so that they may hold what paths may not
	Time            TimeFormat // of Timestamp
}

// KindFor is the generator that Hudi infers from the fields (KeyGenUtils.inferKeyGeneratorType), and Timestamp where the partition field is
// a time.
func KindFor(keyFields, partitionFields []string, byTime bool) Kind {
	switch {
	case byTime:
		return Timestamp
	case len(partitionFields) == 0:
		return Nonpartitioned
	case len(keyFields) == 1 && len(partitionFields) == 1:
		return Simple
	default:
		return Complex
	}
}

// Check refuses fields for which the generator has no text, or another in each release.
func (g Generator) Check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%s: %s: %w", g.Kind, fmt.Sprintf(format, args...), ErrGenerator)
	}
	nKeys, nPartitions := len(g.KeyFields), len(g.PartitionFields)
	switch {
	case !g.Kind.Known():
		return bad("unknown key generator")
	case nKeys == 0 || slices.Contains(g.KeyFields, "") || slices.Contains(g.PartitionFields, ""):
		return bad("no record key field, or a field without a name")
	case g.Kind == Nonpartitioned && nPartitions != 0:
		return bad("%d partition fields", nPartitions)
	case (g.Kind == Simple || g.Kind == Timestamp) && (nKeys != 1 || nPartitions != 1):
		return bad("%d record key fields and %d partition fields, want one of each", nKeys, nPartitions)
	case g.Kind == Complex && nKeys < 2:
		// The text is "v" in Hudi 0.14.1 to 1.0 and "f:v" before and after: a writer of another release would insert each key again.
		return bad("one record key field, whose text differs by release")
	case g.Kind == Complex && nPartitions == 0:
		return bad("no partition fields")
	case g.Kind == Timestamp:
		_, err := g.Time.compile()
		return err
	}
	return nil
}

// RecordKey is the text of a record's key, of the key fields in the table's order.
func (g Generator) RecordKey(fields ...Field) (string, error) {
	if err := sameFields(g.KeyFields, fields); err != nil {
		return "", fmt.Errorf("record key: %w", err)
	}
	if len(g.KeyFields) == 1 {
		return SimpleKey(fields[0])
	}
	return ComplexKey(fields...)
}

// PartitionPath is the path of a record's partition, of the partition fields in the table's order. The value of a time is its number in
// the table's unit, in decimal.
func (g Generator) PartitionPath(fields ...Field) (string, error) {
	if err := sameFields(g.PartitionFields, fields); err != nil {
		return "", fmt.Errorf("partition path: %w", err)
	}
	parts := make([]string, len(fields))
	for i, f := range fields {
		value := f.Value
		switch {
		case g.Kind == Timestamp:
			var err error
			if value, err = g.Time.path(f); err != nil {
				return "", err
			}
		case f.Null || value == "":
			value = DefaultPartition
		case !g.URLEncode && strings.Contains(value, "/"):
			return "", fmt.Errorf("partition field %s: value %q: %w", f.Name, value, ErrPartition)
		}
		if g.URLEncode {
			value = escape(value)
		}
		if parts[i] = value; g.HiveStyle {
			parts[i] = f.Name + "=" + value
		}
	}
	path := strings.Join(parts, "/")
	return path, g.CheckPath(path)
}

func sameFields(names []string, fields []Field) error {
	for i, f := range fields {
		if i >= len(names) || f.Name != names[i] {
			return fmt.Errorf("field %s: want %q: %w", f.Name, names, ErrGenerator)
		}
	}
	if len(fields) != len(names) {
		return fmt.Errorf("%d fields, want %q: %w", len(fields), names, ErrGenerator)
	}
	return nil
}

// Depth is how many elements a partition path has.
func (g Generator) Depth() int {
	if g.Kind == Timestamp && !g.URLEncode { // an escaped slash is none
		return 1 + g.Time.slashes()
	}
	return len(g.PartitionFields)
}

// CheckPath refuses what is no partition path of the table.
func (g Generator) CheckPath(path string) error {
	if err := CheckPartitionPath(path, g.Depth()); err != nil {
		return err
	}
	if path == "" {
		return nil
	}
	for i, element := range strings.Split(path, "/") {
		if g.HiveStyle && i < len(g.PartitionFields) { // the first of a time's elements, or each of the others
			value, ok := strings.CutPrefix(element, g.PartitionFields[i]+"=")
			if !ok || value == "" {
				return fmt.Errorf("%q is not hive style: %w", path, ErrPartition)
			}
			element = value
		}
		if g.URLEncode && !escaped(element) {
			return fmt.Errorf("%q has a value that is not encoded: %w", path, ErrPartition)
		}
	}
	return nil
}

// mustEscape are the printable characters that PartitionPathEncodeUtils escapes, beside controls.
const mustEscape = "\"#%'*/:=?\\{[]^"

func needsEscape(c byte) bool { return c < 0x20 || c == 0x7f || strings.IndexByte(mustEscape, c) >= 0 }

// escape is PartitionPathEncodeUtils.escapePathName: %XX for what Hive thinks dangerous in a path. Text beyond ASCII stays.
func escape(value string) string {
	var b strings.Builder
	for _, c := range []byte(value) {
		if needsEscape(c) {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// escaped reports whether a text can come from escape.
func escaped(text string) bool {
	const upperHex = "0123456789ABCDEF"
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			if needsEscape(text[i]) {
				return false
			}
			continue
		}
		if i+2 >= len(text) {
			return false
		}
		high, low := strings.IndexByte(upperHex, text[i+1]), strings.IndexByte(upperHex, text[i+2])
		if high < 0 || low < 0 || !needsEscape(byte(high<<4|low)) {
			return false
		}
		i += 2
	}
	return true
}
