package hudi

import (
	"fmt"
	"slices"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
)

// KeyGenerator makes the record keys and partition paths of the table's rows, by its properties. A generator whose texts this package does
// not make is refused with an *UnsupportedError.
func (t *Table) KeyGenerator() (keys.Generator, error) { return readGenerator(t.props) }

// generatorOf is the key generator of a table that this library makes or made.
func generatorOf(n tableNote) keys.Generator {
	time := keys.TimeFormat{Unit: keys.TimeUnit(n.PartitionTimeUnit), Pattern: n.PartitionTimeFormat}
	return keys.Generator{
		Kind:      keys.KindFor(n.RecordKeyFields, n.PartitionFields, time != keys.TimeFormat{}),
		KeyFields: n.RecordKeyFields, PartitionFields: n.PartitionFields, HiveStyle: n.HiveStyle, URLEncode: n.URLEncode, Time: time,
	}
}

// addKeyGenerator adds the properties that tell others how keys and partition paths are made. Up to table version 6 the generator is
// named by its class, later by its type.
func addKeyGenerator(p meta.Properties, n tableNote) {
	g := generatorOf(n)
	if p[meta.TableVersion] == "6" {
		p[meta.KeyGeneratorClass] = g.Kind.Class()
	} else {
		p[meta.KeyGeneratorType] = string(g.Kind)
	}
	p[meta.RecordKeyFields] = strings.Join(g.KeyFields, ",")
	if p[meta.PartitionFields] = strings.Join(g.PartitionFields, ","); len(g.PartitionFields) == 0 {
		delete(p, meta.PartitionFields)
	}
	p[meta.HiveStyle], p[meta.URLEncode] = fmt.Sprint(g.HiveStyle), fmt.Sprint(g.URLEncode)
	if g.Kind == keys.Timestamp {
		p[meta.TimeUnit], p[meta.TimePattern], p[meta.TimeZone] = string(g.Time.Unit), g.Time.Pattern, "UTC"
	}
}

// readGenerator is the key generator that the properties name.
func readGenerator(p meta.Properties) (keys.Generator, error) {
	unsupported := func(property, reason string) (keys.Generator, error) {
		return keys.Generator{}, &UnsupportedError{property, p[property], reason}
	}
	g := keys.Generator{
		Kind: keys.Kind(strings.ToUpper(p[meta.KeyGeneratorType])), KeyFields: p.List(meta.RecordKeyFields), PartitionFields: p.List(meta.PartitionFields),
		HiveStyle: strings.EqualFold(p[meta.HiveStyle], "true"), URLEncode: strings.EqualFold(p[meta.URLEncode], "true"),
	}
	kind, known := keys.KindOfClass(p[meta.KeyGeneratorClass])
	switch {
	case p[meta.KeyGeneratorClass] == "" && g.Kind == "":
		return unsupported(meta.KeyGeneratorClass, "the key generator is not named")
	case p[meta.KeyGeneratorClass] != "" && !known:
		return unsupported(meta.KeyGeneratorClass, "the key generator is not supported")
	case g.Kind == "":
		g.Kind = kind
	case !g.Kind.Known():
		return unsupported(meta.KeyGeneratorType, "the key generator is not supported")
	case known && kind != g.Kind:
		return unsupported(meta.KeyGeneratorType, "the key generator's class is "+p[meta.KeyGeneratorClass])
	}
	nKeys, nPartitions := len(g.KeyFields), len(g.PartitionFields)
	one := g.Kind == keys.Simple || g.Kind == keys.Timestamp
	switch {
	case g.Kind == keys.Complex && nKeys < 2:
		return unsupported(meta.RecordKeyFields, "the complex key generator needs two fields or more: with one its text differs by release")
	case nKeys == 0 || one && nKeys != 1:
		return unsupported(meta.RecordKeyFields, "not the fields of a "+string(g.Kind)+" key generator")
	case one && nPartitions != 1, g.Kind == keys.Nonpartitioned && nPartitions > 0, g.Kind == keys.Complex && nPartitions == 0:
		return unsupported(meta.PartitionFields, "not the fields of a "+string(g.Kind)+" key generator")
	case g.Kind != keys.Timestamp:
		return g, nil
	}
	for _, zone := range []string{meta.TimeZone, meta.TimeOutputZone} {
		if v := p[zone]; v != "" && v != "UTC" && v != "GMT" {
			return unsupported(zone, "only partition paths in UTC are supported")
		}
	}
	g.Time = keys.TimeFormat{Unit: keys.TimeUnit(p[meta.TimeUnit]), Pattern: p[meta.TimePattern]}
	if err := g.Check(); err != nil {
		property := meta.TimePattern
		if g.Time.Unit != keys.EpochMillis && g.Time.Unit != keys.EpochMicros {
			property = meta.TimeUnit
		}
		return unsupported(property, err.Error())
	}
	return g, nil
}

// checkGenerator refuses a table whose properties name other keys or paths than those that its rows have.
func checkGenerator(p meta.Properties, n tableNote) error {
	have, err := readGenerator(p)
	if err != nil {
		return err
	}
	want := meta.Properties{meta.TableVersion: p[meta.TableVersion]}
	addKeyGenerator(want, n)
	named := meta.KeyGeneratorClass
	if p[named] == "" {
		named = meta.KeyGeneratorType
	}
	for _, c := range []struct {
		property string
		same     bool
	}{
		{named, have.Kind == generatorOf(n).Kind},
		{meta.RecordKeyFields, slices.Equal(have.KeyFields, n.RecordKeyFields)},
		{meta.PartitionFields, slices.Equal(have.PartitionFields, n.PartitionFields)},
		{meta.HiveStyle, have.HiveStyle == n.HiveStyle},
		{meta.URLEncode, have.URLEncode == n.URLEncode},
		{meta.TimeUnit, string(have.Time.Unit) == n.PartitionTimeUnit},
		{meta.TimePattern, have.Time.Pattern == n.PartitionTimeFormat},
	} {
		if !c.same {
			return &UnsupportedError{c.property, p[c.property], fmt.Sprintf("the table was created with %q", want[c.property])}
		}
	}
	return nil
}

// checkPartition refuses what is no partition path of the table.
func (w *Writer) checkPartition(path string) error {
	if err := generatorOf(w.config).CheckPath(path); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

// checkKey refuses what is no record key's text.
func (w *Writer) checkKey(key string) error {
	single := len(w.config.RecordKeyFields) == 1
	switch {
	case key == "":
		return fmt.Errorf("%w: %w", ErrInvalid, keys.ErrEmptyKey)
	case single && strings.Contains(key, ":"):
		return fmt.Errorf("%w: key %q: %w", ErrInvalid, key, keys.ErrColon)
	default:
		return nil
	}
}

// partitionPrefix is what the keys of a partition's objects begin with. Those of a table without partitions begin with nothing.
func partitionPrefix(partition string) string {
	if partition == "" {
		return ""
	}
	return partition + "/"
}

// checkGenerator refuses fields of which no keys and partition paths can be made that are the same in every release of Hudi.
func (c TableConfig) checkGenerator(schema *schemaType) error {
	g := keys.Generator{
		Kind: keys.KindFor(c.RecordKeyFields, c.PartitionFields, c.PartitionTime != keys.TimeFormat{}), KeyFields: c.RecordKeyFields,
		PartitionFields: c.PartitionFields, Time: c.PartitionTime,
	}
	if err := g.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if g.Kind != keys.Timestamp {
		return nil
	}
	// Of a column with a logical type Spark's rows do not have the number any more.
	if f := schema.field(c.PartitionFields[0]); f.kind != "long" || f.logical != "" {
		return &SchemaError{c.PartitionFields[0], fmt.Sprintf("is %s %s; a partition path is made from the number of a plain long", f.kind, f.logical)}
	}
	return nil
}
