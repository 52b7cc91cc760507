package hudi

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// Tables of every key generator.

const (
	placedFields = `{"name":"id","type":"string"},{"name":"seq","type":"string"},{"name":"day","type":["null","string"],"default":null},` +
		`{"name":"hour","type":"string"},{"name":"ts","type":"long"},{"name":"ord","type":"long"}`
	placedSchema = `{"type":"record","name":"placed","fields":[` + placedFields + `]}`
)

// placedTable is the table schema of placedSchema: every field is nullable.
var placedTable = strings.NewReplacer(
	`"type":"string"}`, `"type":["null","string"],"default":null}`, `"type":"long"}`, `"type":["null","long"],"default":null}`).Replace(placedSchema)

// placedRow is a row before keys and paths are made of it.
type placedRow struct {
	id, seq, day, hour string // a day of "null" is null
	ts, ord            int64
}

func (r placedRow) field(name string) keys.Field {
	values := map[string]string{"id": r.id, "seq": r.seq, "day": r.day, "hour": r.hour, "ts": fmt.Sprint(r.ts)}
	return keys.Field{Name: name, Value: values[name], Null: name == "day" && r.day == "null"}
}

// placedRequest puts rows where the table's key generator says.
func placedRequest(t *testing.T, table *Table, buckets int, rows ...placedRow) CommitRequest {
	t.Helper()
	g, err := table.KeyGenerator()
	if err != nil {
		t.Fatal(err)
	}
	fields := func(names []string, r placedRow) (fields []keys.Field) {
		for _, name := range names {
			fields = append(fields, r.field(name))
		}
		return fields
	}
	schema := avro.MustParse(placedSchema)
	req := CommitRequest{Operation: Upsert, WriterSchemas: []string{placedSchema}}
	for _, r := range rows {
		key, keyErr := g.RecordKey(fields(g.KeyFields, r)...)
		path, pathErr := g.PartitionPath(fields(g.PartitionFields, r)...)
		value := map[string]any{"id": r.id, "seq": r.seq, "day": map[string]any{"string": r.day}, "hour": r.hour, "ts": r.ts, "ord": r.ord}
		if r.day == "null" {
			value["day"] = nil
		}
		payload, err := avro.Marshal(schema, value)
		if err := errors.Join(keyErr, pathErr, err); err != nil {
			t.Fatal(err)
		}
		bucket := keys.Bucket(buckets, r.id)
		i := slices.IndexFunc(req.Groups, func(g Group) bool { return g.Partition == path && g.Bucket == bucket })
		if i < 0 {
			i = len(req.Groups)
			req.Groups = append(req.Groups, Group{Partition: path, Bucket: bucket})
		}
		req.Groups[i].Records = append(req.Groups[i].Records, Record{Key: key, Payload: payload})
	}
	return req
}

// placedConfigs are tables of each key generator, with the properties that make them so and the path of the first row.
var placedConfigs = map[string]struct {
	change     func(*TableConfig)
	properties meta.Properties
	key, path  string // of the first row
	depth      int
}{
	"simple": {
		func(c *TableConfig) { c.PartitionFields = []string{"day"} },
		meta.Properties{
			meta.KeyGeneratorClass: "org.apache.hudi.keygen.SimpleKeyGenerator", meta.RecordKeyFields: "id", meta.PartitionFields: "day",
			meta.HiveStyle: "false", meta.URLEncode: "false",
		},
		"k1", "2026-11-24", 1,
	},
	"simple, hive style, encoded": {
		func(c *TableConfig) {
			c.PartitionFields, c.HiveStylePartitioning, c.URLEncodePartitions = []string{"hour"}, true, true
		},
		meta.Properties{
			meta.KeyGeneratorClass: "org.apache.hudi.keygen.SimpleKeyGenerator", meta.RecordKeyFields: "id", meta.PartitionFields: "hour",
			meta.HiveStyle: "true", meta.URLEncode: "true",
		},
		"k1", "hour=08%3A00", 1,
	},
	"complex": {
		func(c *TableConfig) {
			c.RecordKeyFields, c.PartitionFields = []string{"id", "seq"}, []string{"day", "hour"}
		},
		meta.Properties{
			meta.KeyGeneratorClass: "org.apache.hudi.keygen.ComplexKeyGenerator", meta.RecordKeyFields: "id,seq", meta.PartitionFields: "day,hour",
			meta.HiveStyle: "false", meta.URLEncode: "false",
		},
		"id:k1,seq:1", "2026-11-24/08:00", 2,
	},
	"not partitioned": {
		func(*TableConfig) {},
		meta.Properties{
			meta.KeyGeneratorClass: "org.apache.hudi.keygen.NonpartitionedKeyGenerator", meta.RecordKeyFields: "id", meta.PartitionFields: "",
		},
		"k1", "", 0,
	},
	"not partitioned, two keys": {
		func(c *TableConfig) { c.RecordKeyFields = []string{"id", "seq"} },
		meta.Properties{
			meta.KeyGeneratorClass: "org.apache.hudi.keygen.NonpartitionedKeyGenerator", meta.RecordKeyFields: "id,seq", meta.PartitionFields: "",
		},
		"id:k1,seq:1", "", 0,
	},
	"by time": {
		func(c *TableConfig) {
			c.PartitionFields, c.PartitionTime = []string{"ts"}, keys.TimeFormat{Unit: keys.EpochMillis, Pattern: "yyyy/MM/dd/HH"}
		},
		meta.Properties{
			meta.KeyGeneratorClass: "org.apache.hudi.keygen.TimestampBasedKeyGenerator", meta.RecordKeyFields: "id", meta.PartitionFields: "ts",
			meta.TimeUnit: "EPOCHMILLISECONDS", meta.TimePattern: "yyyy/MM/dd/HH", meta.TimeZone: "UTC",
		},
		"k1", "2023/11/14/22", 4,
	},
	"by time, hive style": {
		func(c *TableConfig) {
			c.PartitionFields, c.HiveStylePartitioning = []string{"ts"}, true
			c.PartitionTime = keys.TimeFormat{Unit: keys.EpochMicros, Pattern: "yyyy-MM-dd"}
		},
		meta.Properties{
			meta.KeyGeneratorClass: "org.apache.hudi.keygen.TimestampBasedKeyGenerator", meta.RecordKeyFields: "id", meta.PartitionFields: "ts",
			meta.HiveStyle: "true", meta.TimeUnit: "EPOCHMICROSECONDS", meta.TimePattern: "yyyy-MM-dd",
		},
		"k1", "ts=1970-01-20", 1,
	},
}

// TestKeyGenerators: tables of each key generator and type keep what is committed, through upserts, compaction, cleaning and archiving.
func TestKeyGenerators(t *testing.T) {
	t.Parallel()
	for name, c := range placedConfigs {
		for kind, of := range protoTypes {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				cfg := TableConfig{
					Database: "lake", Name: "placed", Type: of.Type, Version: of.Version, RecordKeyFields: []string{"id"}, OrderingField: "ord",
					Buckets: 2, BucketField: "id", Schema: placedTable,
				}
				c.change(&cfg)
				table, err := Create(t.Context(), storage.NewMem(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				for property, want := range c.properties {
					if property == meta.KeyGeneratorClass && of.Version == Version9 { // which names the type
						kind, _ := keys.KindOfClass(want)
						property, want = meta.KeyGeneratorType, string(kind)
					}
					if got := table.Properties()[property]; got != want {
						t.Errorf("%s=%q, want %q", property, got, want)
					}
				}
				live(t, table, c.key, c.path, c.depth)
			})
		}
	}
}

// live lets a table of two buckets live through every operation.
func live(t *testing.T, table *Table, key, path string, depth int) {
	t.Helper()
	w, err := table.Acquire(t.Context(), "writer")
	if err != nil {
		t.Fatal(err)
	}
	first := placedRow{id: "k1", seq: "1", day: "2026-11-24", hour: "08:00", ts: 1_700_000_000_000, ord: 1}
	other := placedRow{id: "k2", seq: "1", day: "null", hour: "", ts: 1_700_090_000_000, ord: 1}
	mustCommit(t, w, placedRequest(t, table, 2, first, other))
	want := map[string]string{key: "1"}
	for range 4 {
		first.ord++
		mustCommit(t, w, placedRequest(t, table, 2, first))
	}
	late := first
	late.ord = 0
	mustCommit(t, w, placedRequest(t, table, 2, late))
	want[key] = fmt.Sprint(first.ord)
	want[strings.ReplaceAll(key, "k1", "k2")] = "1"
	checkPlaced(t, table, key, path, want)
	if table.Type() == MergeOnRead {
		if r, err := w.Compact(t.Context(), CompactOptions{}); err != nil || r.Files != 1 {
			t.Errorf("compact: %+v, %v", r, err)
		}
		mustCommit(t, w, placedRequest(t, table, 2, other)) // on top of a base file: a tie, which the newer wins
	}
	if r, err := w.Clean(t.Context(), CleanOptions{Retain: 1}); err != nil || len(r.Files) == 0 {
		t.Errorf("clean: %+v, %v", r, err)
	}
	if r, err := w.Archive(t.Context(), ArchiveOptions{KeepMin: 2, KeepMax: 2}); err != nil || len(r.Archived) == 0 {
		t.Errorf("archive: %+v, %v", r, err)
	}
	checkPlaced(t, table, key, path, want)
	data, _, err := table.store.Get(t.Context(), partitionPrefix(path)+fileslice.PartitionMetafile)
	if err != nil {
		t.Fatal(err)
	}
	if _, got, err := meta.ParsePartition(data); err != nil || got != depth {
		t.Errorf("partition depth %d, %v; want %d", got, err, depth)
	}
	if _, err := table.Acquire(t.Context(), "next"); err != nil {
		t.Error(err)
	}
}

// checkPlaced compares keys and ordering values, and where the row of a key is.
func checkPlaced(t *testing.T, table *Table, key, path string, want map[string]string) {
	t.Helper()
	got := make(map[string]string)
	for row, err := range table.Scan(t.Context(), Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		at := func(column string) any { v, _ := row.Get(column); return v }
		k := at(basefile.RecordKeyColumn).(string)
		got[k] = fmt.Sprint(at("ord"))
		if p := at(basefile.PartitionPathColumn); k == key && p != path {
			t.Errorf("%s is in %q, want %q", k, p, path)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("rows %v, want %v", got, want)
	}
}

// TestKeyGeneratorRefused: what makes keys or paths that this package does not make, or others than the rows have, is refused by its name.
func TestKeyGeneratorRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ table, property, value string }{
		{"simple", meta.KeyGeneratorClass, "org.apache.hudi.keygen.ComplexKeyGenerator"},
		{"simple", meta.KeyGeneratorClass, "org.apache.hudi.keygen.TimestampBasedKeyGenerator"},
		{"simple", meta.KeyGeneratorType, "CUSTOM"},
		{"simple", meta.KeyGeneratorType, "TIMESTAMP"}, // not the class's
		{"simple", meta.RecordKeyFields, "id,seq"},
		{"simple", meta.RecordKeyFields, "seq"},
		{"simple", meta.RecordKeyFields, ""},
		{"simple", meta.PartitionFields, "day,hour"},
		{"simple", meta.PartitionFields, "hour"},
		{"simple", meta.HiveStyle, "true"},
		{"simple", meta.URLEncode, "true"},
		{"complex", meta.RecordKeyFields, "id"},
		{"complex", meta.PartitionFields, ""},
		{"not partitioned", meta.PartitionFields, "day"},
		{"by time", meta.TimeUnit, "DATE_STRING"},
		{"by time", meta.TimeUnit, "EPOCHMICROSECONDS"},
		{"by time", meta.TimePattern, "yyyy/MM"},
		{"by time", meta.TimePattern, "YYYY"},
		{"by time", meta.TimeZone, "GMT+8:00"},
		{"by time", meta.TimeOutputZone, "America/New_York"},
	} {
		t.Run(c.table+" "+c.property+"="+c.value, func(t *testing.T) {
			t.Parallel()
			cfg := TableConfig{
				Database: "lake", Name: "placed", RecordKeyFields: []string{"id"}, OrderingField: "ord", Buckets: 2, BucketField: "id", Schema: placedTable,
			}
			placedConfigs[c.table].change(&cfg)
			store := storage.NewMem()
			table, err := Create(t.Context(), store, cfg)
			if err != nil {
				t.Fatal(err)
			}
			w, err := table.Acquire(t.Context(), "writer")
			if err != nil {
				t.Fatal(err)
			}
			setProperty(t, store, c.property, c.value)
			var unsupported *UnsupportedError
			_, commitErr := w.Commit(t.Context(), placedRequest(t, table, 2, placedRow{id: "a", hour: "1", ts: time.Now().UnixMilli()}))
			_, acquireErr := table.Acquire(t.Context(), "other")
			for _, err := range []error{commitErr, acquireErr} {
				named := c.property
				if strings.HasSuffix(c.value, "TimestampBasedKeyGenerator") {
					named = meta.TimeUnit // which it lacks
				}
				if strings.HasSuffix(c.value, "ComplexKeyGenerator") {
					named = meta.RecordKeyFields // which are too few
				}
				if !errors.As(err, &unsupported) || unsupported.Property != named {
					t.Errorf("%v", err)
				}
			}
		})
	}
}

// TestGeneratorConfigRefused: fields for which there is no key generator make no table.
func TestGeneratorConfigRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*TableConfig){
		"one key, two levels": func(c *TableConfig) { c.PartitionFields = []string{"day", "hour"} },
		"time and two keys": func(c *TableConfig) {
			c.RecordKeyFields, c.PartitionFields = []string{"id", "seq"}, []string{"ts"}
			c.PartitionTime = keys.TimeFormat{Unit: keys.EpochMillis, Pattern: "yyyy"}
		},
		"time of a string": func(c *TableConfig) {
			c.PartitionFields, c.PartitionTime = []string{"day"}, keys.TimeFormat{Unit: keys.EpochMillis, Pattern: "yyyy"}
		},
		"time without a format": func(c *TableConfig) {
			c.PartitionFields, c.PartitionTime = []string{"ts"}, keys.TimeFormat{Unit: keys.EpochMillis}
		},
		"field that is not there": func(c *TableConfig) { c.PartitionFields = []string{"none"} },
	} {
		cfg := TableConfig{
			Database: "lake", Name: "placed", RecordKeyFields: []string{"id"}, OrderingField: "ord", Buckets: 2, BucketField: "id", Schema: placedTable,
		}
		change(&cfg)
		var schemaErr *SchemaError
		if _, err := Create(t.Context(), storage.NewMem(), cfg); !errors.Is(err, ErrInvalid) && !errors.As(err, &schemaErr) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSimpleKeysRefused: keys that releases of Hudi would look for in different buckets.
func TestSimpleKeysRefused(t *testing.T) {
	t.Parallel()
	cfg := TableConfig{
		Database: "lake", Name: "placed", RecordKeyFields: []string{"id"}, OrderingField: "ord", Buckets: 2, BucketField: "id", Schema: placedTable,
	}
	table, err := Create(t.Context(), storage.NewMem(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	w, err := table.Acquire(t.Context(), "writer")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"", "a:b", "id:a"} {
		req := placedRequest(t, table, 2, placedRow{id: "a"})
		req.Groups[0].Records[0].Key = key
		if _, err := w.Commit(t.Context(), req); !errors.Is(err, ErrInvalid) {
			t.Errorf("key %q: %v", key, err)
		}
	}
	for _, path := range []string{"x", "/", ".hoodie"} {
		req := placedRequest(t, table, 2, placedRow{id: "a"})
		req.Groups[0].Partition = path
		if _, err := w.Commit(t.Context(), req); !errors.Is(err, ErrInvalid) {
			t.Errorf("partition %q: %v", path, err)
		}
	}
}
