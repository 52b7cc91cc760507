package keys_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
)

func field(name, value string) keys.Field { return keys.Field{Name: name, Value: value} }

// TestGeneratorAgainstSpark compares with the rows of Spark's tables (testdata/README.md).
func TestGeneratorAgainstSpark(t *testing.T) {
	t.Parallel()
	class := func(name string) keys.Kind {
		k, _ := keys.KindOfClass("org.apache.hudi.keygen." + name)
		return k
	}
	tables := map[string]keys.Generator{ // as their hoodie.properties say
		"v6_complexkeygen_hivestyle": {Kind: class("ComplexKeyGenerator"), KeyFields: []string{"id", "name"}, PartitionFields: []string{"byteField", "shortField"}, HiveStyle: true},
		"v6_nonpartitioned":          {Kind: class("NonpartitionedKeyGenerator"), KeyFields: []string{"id"}, HiveStyle: true},
		"v6_trips_8i1u":              {Kind: class("SimpleKeyGenerator"), KeyFields: []string{"uuid"}, PartitionFields: []string{"city"}, HiveStyle: true},
		"v9_txns_simple_meta":        {Kind: "SIMPLE", KeyFields: []string{"txn_id"}, PartitionFields: []string{"region"}, HiveStyle: true},
		"v9_timebasedkeygen_epochmillis": {
			Kind: "TIMESTAMP", KeyFields: []string{"txn_id"}, PartitionFields: []string{"ts_millis"},
			Time: keys.TimeFormat{Unit: "EPOCHMILLISECONDS", Pattern: "yyyy/MM/dd/HH"},
		},
	}
	data, err := os.ReadFile("testdata/spark-keys.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]int)
	for line := range strings.Lines(string(data)) {
		var v struct {
			Table       string
			Keys, Parts map[string]string
			Key, Path   string
		}
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		g := tables[v.Table]
		seen[v.Table]++
		fields := func(names []string, values map[string]string) (fields []keys.Field) {
			for _, name := range names {
				fields = append(fields, field(name, values[name]))
			}
			return fields
		}
		if key, err := g.RecordKey(fields(g.KeyFields, v.Keys)...); err != nil || key != v.Key {
			t.Errorf("key of %s is %q, %v", line, key, err)
		}
		if path, err := g.PartitionPath(fields(g.PartitionFields, v.Parts)...); err != nil || path != v.Path {
			t.Errorf("path of %s is %q, %v", line, path, err)
		}
	}
	for name := range tables {
		if seen[name] < 4 {
			t.Errorf("%d rows of %s", seen[name], name)
		}
	}
}

// TestGenerator: the rules of KeyGenUtils, PartitionPathEncodeUtils and TimestampBasedAvroKeyGenerator.
func TestGenerator(t *testing.T) {
	t.Parallel()
	byTime := func(unit keys.TimeUnit, pattern string) keys.Generator {
		return keys.Generator{Kind: keys.Timestamp, KeyFields: []string{"id"}, PartitionFields: []string{"ts"}, Time: keys.TimeFormat{Unit: unit, Pattern: pattern}}
	}
	simple := keys.Generator{Kind: keys.Simple, KeyFields: []string{"id"}, PartitionFields: []string{"p"}}
	complexOne := keys.Generator{Kind: keys.Complex, KeyFields: []string{"id", "name"}, PartitionFields: []string{"byteField", "shortField"}, HiveStyle: true}
	hourly := byTime(keys.EpochMillis, "yyyy/MM/dd/HH")
	hive := func(g keys.Generator) keys.Generator { g.HiveStyle = true; return g }
	encoded := func(g keys.Generator) keys.Generator { g.URLEncode = true; return g }
	for _, c := range []struct {
		name      string
		g         keys.Generator
		keyFields []keys.Field
		partition []keys.Field
		key, path string
		keyErr    error
		pathErr   error
		depth     int
	}{
		{name: "simple", g: simple, keyFields: []keys.Field{field("id", "a,b")}, partition: []keys.Field{field("p", "x")}, key: "a,b", path: "x", depth: 1},
		{
			name: "null partition", g: hive(simple), keyFields: []keys.Field{field("id", "a")}, partition: []keys.Field{{Name: "p", Null: true}},
			key: "a", path: "p=__HIVE_DEFAULT_PARTITION__", depth: 1,
		},
		{
			name: "empty partition, encoded", g: encoded(simple), keyFields: []keys.Field{field("id", "a")}, partition: []keys.Field{field("p", "")},
			key: "a", path: "__HIVE_DEFAULT_PARTITION__", depth: 1,
		},
		{
			name: "encoded", g: hive(encoded(simple)), keyFields: []keys.Field{field("id", "a")}, partition: []keys.Field{field("p", "a b/c:d=%\x01{é}")},
			key: "a", path: "p=a b%2Fc%3Ad%3D%25%01%7Bé}", depth: 1,
		},
		{name: "slash, not encoded", g: simple, keyFields: []keys.Field{field("id", "a")}, partition: []keys.Field{field("p", "a/b")}, key: "a", pathErr: keys.ErrPartition, depth: 1},
		{name: "empty key", g: simple, keyFields: []keys.Field{field("id", "")}, partition: []keys.Field{field("p", "x")}, keyErr: keys.ErrEmptyKey, path: "x", depth: 1},
		{name: "colon", g: simple, keyFields: []keys.Field{field("id", "a:b")}, partition: []keys.Field{field("p", "x")}, keyErr: keys.ErrColon, path: "x", depth: 1},
		{name: "other field", g: simple, keyFields: []keys.Field{field("di", "a")}, partition: []keys.Field{field("q", "x")}, keyErr: keys.ErrGenerator, pathErr: keys.ErrGenerator, depth: 1},
		{
			name: "too few fields", g: complexOne, keyFields: []keys.Field{field("id", "a")}, partition: []keys.Field{field("byteField", "1")},
			keyErr: keys.ErrGenerator, pathErr: keys.ErrGenerator, depth: 2,
		},
		{name: "not partitioned, one key", g: keys.Generator{Kind: keys.Nonpartitioned, KeyFields: []string{"id"}}, keyFields: []keys.Field{field("id", "1")}, key: "1"},
		{
			name: "not partitioned, two keys", g: keys.Generator{Kind: keys.Nonpartitioned, KeyFields: []string{"a", "b"}},
			keyFields: []keys.Field{field("a", "1"), field("b", "2")}, key: "a:1,b:2",
		},
		{
			name: "micros", g: byTime(keys.EpochMicros, "yyyy-MM-dd"), keyFields: []keys.Field{field("id", "1")}, partition: []keys.Field{field("ts", "1705309200000000")},
			key: "1", path: "2024-01-15", depth: 1,
		},
		{
			name: "hive style time", g: hive(hourly), keyFields: []keys.Field{field("id", "1")}, partition: []keys.Field{field("ts", "-1")},
			key: "1", path: "ts=1969/12/31/23", depth: 4,
		},
		{
			name: "micros before 1970 round up", g: byTime(keys.EpochMicros, "yyyy"), keyFields: []keys.Field{field("id", "1")}, partition: []keys.Field{field("ts", "-1")},
			key: "1", path: "1970", depth: 1,
		},
		{
			name: "encoded time", g: encoded(hourly), keyFields: []keys.Field{field("id", "1")}, partition: []keys.Field{field("ts", "0")},
			key: "1", path: "1970%2F01%2F01%2F00", depth: 1,
		},
		{name: "null time", g: hourly, keyFields: []keys.Field{field("id", "1")}, partition: []keys.Field{{Name: "ts", Null: true}}, key: "1", path: "1970/01/01/00", depth: 4},
		{
			name: "quoted", g: byTime(keys.EpochMillis, "'day='yyyy-MM-dd'T'HH.mm.ss''"), keyFields: []keys.Field{field("id", "1")}, partition: []keys.Field{field("ts", "1000")},
			key: "1", path: "day=1970-01-01T00.00.01'", depth: 1,
		},
		{name: "no time", g: hourly, keyFields: []keys.Field{field("id", "1")}, partition: []keys.Field{field("ts", "x")}, key: "1", pathErr: keys.ErrPartition, depth: 4},
		{name: "far future", g: hourly, keyFields: []keys.Field{field("id", "1")}, partition: []keys.Field{field("ts", "9223372036854775807")}, key: "1", pathErr: keys.ErrPartition, depth: 4},
	} {
		if err := c.g.Check(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if key, err := c.g.RecordKey(c.keyFields...); err == nil && key != c.key || !errors.Is(err, c.keyErr) {
			t.Errorf("%s: key %q, %v; want %q, %v", c.name, key, err, c.key, c.keyErr)
		}
		if path, err := c.g.PartitionPath(c.partition...); err == nil && path != c.path || !errors.Is(err, c.pathErr) {
			t.Errorf("%s: path %q, %v; want %q, %v", c.name, path, err, c.path, c.pathErr)
		}
		if got := c.g.Depth(); got != c.depth {
			t.Errorf("%s: depth %d, want %d", c.name, got, c.depth)
		}
	}
}

func TestGeneratorCheck(t *testing.T) {
	t.Parallel()
	one, two := []string{"a"}, []string{"a", "b"}
	for name, g := range map[string]keys.Generator{
		"unknown":                 {Kind: "CUSTOM", KeyFields: one, PartitionFields: one},
		"no key":                  {Kind: keys.Nonpartitioned},
		"nameless key":            {Kind: keys.Nonpartitioned, KeyFields: []string{""}},
		"partitioned":             {Kind: keys.Nonpartitioned, KeyFields: one, PartitionFields: one},
		"simple of two keys":      {Kind: keys.Simple, KeyFields: two, PartitionFields: one},
		"simple of two levels":    {Kind: keys.Simple, KeyFields: one, PartitionFields: two},
		"complex of one key":      {Kind: keys.Complex, KeyFields: one, PartitionFields: two},
		"complex, no partition":   {Kind: keys.Complex, KeyFields: two},
		"timestamp of two levels": {Kind: keys.Timestamp, KeyFields: one, PartitionFields: two, Time: keys.TimeFormat{Unit: keys.EpochMillis, Pattern: "yyyy"}},
		"unit":                    {Kind: keys.Timestamp, KeyFields: one, PartitionFields: one, Time: keys.TimeFormat{Unit: "DATE_STRING", Pattern: "yyyy"}},
		"no format":               {Kind: keys.Timestamp, KeyFields: one, PartitionFields: one, Time: keys.TimeFormat{Unit: keys.EpochMillis}},
		"week of year":            {Kind: keys.Timestamp, KeyFields: one, PartitionFields: one, Time: keys.TimeFormat{Unit: keys.EpochMillis, Pattern: "yyyy/ww"}},
		"open quote":              {Kind: keys.Timestamp, KeyFields: one, PartitionFields: one, Time: keys.TimeFormat{Unit: keys.EpochMillis, Pattern: "'a"}},
	} {
		if err := g.Check(); !errors.Is(err, keys.ErrGenerator) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, k := range []keys.Kind{keys.Simple, keys.Complex, keys.Nonpartitioned, keys.Timestamp} {
		if got, ok := keys.KindOfClass(k.Class()); !ok || got != k {
			t.Errorf("kind of %s is %s, %v", k.Class(), got, ok)
		}
	}
	if _, ok := keys.KindOfClass("org.apache.hudi.keygen.CustomKeyGenerator"); ok {
		t.Error("a custom generator is known")
	}
}

func TestCheckPath(t *testing.T) {
	t.Parallel()
	g := keys.Generator{Kind: keys.Complex, KeyFields: []string{"k", "l"}, PartitionFields: []string{"a", "b"}, HiveStyle: true, URLEncode: true}
	for path, ok := range map[string]bool{
		"a=1/b=2": true, "a=%3A/b=%25": true, "a=__HIVE_DEFAULT_PARTITION__/b=é": true,
		"": false, "a=1": false, "1/2": false, "b=1/a=2": false, "a=/b=2": false, "a=:/b=2": false, "a=%3a/b=2": false, "a=%41/b=2": false, "a=%2/b=2": false, "a=1/b=%": false,
	} {
		if err := g.CheckPath(path); (err == nil) != ok || err != nil && !errors.Is(err, keys.ErrPartition) {
			t.Errorf("%q: %v", path, err)
		}
	}
}

// FuzzPartitionPath: whatever the value, its path is one of the table's or refused, and never leaves the table.
func FuzzPartitionPath(f *testing.F) {
	for _, v := range []string{"a", "", "../x", "a/b", "%2F", "=", "\x00", "é\xff", "1705309200000"} {
		f.Add(v, true, true)
		f.Add(v, false, false)
	}
	f.Fuzz(func(t *testing.T, value string, hive, encode bool) {
		for _, g := range []keys.Generator{
			{Kind: keys.Simple, KeyFields: []string{"k"}, PartitionFields: []string{"p"}, HiveStyle: hive, URLEncode: encode},
			{
				Kind: keys.Timestamp, KeyFields: []string{"k"}, PartitionFields: []string{"p"}, HiveStyle: hive, URLEncode: encode,
				Time: keys.TimeFormat{Unit: keys.EpochMicros, Pattern: "yyyy/MM/dd"},
			},
		} {
			path, err := g.PartitionPath(field("p", value))
			if err != nil {
				continue
			}
			if err := g.CheckPath(path); err != nil {
				t.Errorf("%q: %q: %v", value, path, err)
			}
			if strings.Count(path, "/") != g.Depth()-1 || strings.HasPrefix(path, ".") {
				t.Errorf("%q: %q", value, path)
			}
		}
	})
}
