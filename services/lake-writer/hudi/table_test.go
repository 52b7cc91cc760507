package hudi

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storagetest"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

func TestCreate(t *testing.T) {
	t.Parallel()
	store := storage.NewMem()
	table, err := Create(t.Context(), store, protoConfig)
	if err != nil {
		t.Fatal(err)
	}
	if table.Name() != "lake.events" {
		t.Errorf("name %s", table.Name())
	}
	tl, err := table.Timeline(t.Context())
	if err != nil || len(tl.Commits()) != 1 || len(tl.Pending()) != 0 {
		t.Errorf("a new table's timeline is %+v, %v", tl.Entries(), err)
	}
	if got, err := table.Schema(t.Context(), tl); err != nil || got != protoSchema {
		t.Errorf("schema %s, %v", got, err)
	}
	before := storagetest.ListKeys(t, store, "")
	grown := protoConfig
	grown.Schema = widerSchema
	if _, err := Create(t.Context(), store, grown); err != nil {
		t.Errorf("create again: %v", err)
	}
	if after := storagetest.ListKeys(t, store, ""); !slices.Equal(after, before) {
		t.Errorf("creating again made %q", after)
	}
	other := protoConfig
	other.Buckets = 4
	var mismatch *MismatchError
	if _, err := Create(t.Context(), store, other); !errors.As(err, &mismatch) || mismatch.Property != "buckets" {
		t.Errorf("other bucket count: %v", err)
	}
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*TableConfig){
		"name":            func(c *TableConfig) { c.Name = "a/b" },
		"no key field":    func(c *TableConfig) { c.RecordKeyFields, c.BucketField = nil, "" },
		"no buckets":      func(c *TableConfig) { c.Buckets = 0 },
		"bucket field":    func(c *TableConfig) { c.BucketField = "day" },
		"field not there": func(c *TableConfig) { c.OrderingField = "none" },
		"schema":          func(c *TableConfig) { c.Schema = `"string"` },
		"required field":  func(c *TableConfig) { c.Schema = eventSchema },
		"milliseconds": func(c *TableConfig) {
			c.Schema = strings.Replace(protoSchema, "timestamp-micros", "timestamp-millis", 1)
		},
		"names by case": func(c *TableConfig) { c.Schema = strings.Replace(protoSchema, `"day"`, `"EVENT_id"`, 1) },
		"a meta column": func(c *TableConfig) { c.Schema = strings.Replace(protoSchema, `"day"`, `"_hoodie_file_name"`, 1) },
		"enum":          func(c *TableConfig) { c.Schema = withField(`["null",{"type":"enum","name":"e","symbols":["A"]}]`) },
		"null in an array": func(c *TableConfig) {
			c.Schema = withField(`["null",{"type":"map","values":{"type":"array","items":["null","int"]}}]`)
		},
		"recursion": func(c *TableConfig) { c.Schema = withField(`["null","event"]`) },
		"decimal on bytes": func(c *TableConfig) {
			c.Schema = withField(`["null",{"type":"bytes","logicalType":"decimal","precision":9}]`)
		},
	} {
		cfg := protoConfig
		change(&cfg)
		store := storage.NewMem()
		var schemaErr *SchemaError
		if _, err := Create(t.Context(), store, cfg); !errors.Is(err, ErrInvalid) && !errors.As(err, &schemaErr) {
			t.Errorf("%s: %v", name, err)
		}
		if left := storagetest.ListKeys(t, store, ""); len(left) > 0 {
			t.Errorf("%s: left %q", name, left)
		}
	}
}

func withField(typ string) string {
	return strings.TrimSuffix(protoSchema, "]}") + `,{"name":"x","type":` + typ + `}]}`
}

// setProperty changes hoodie.properties as another engine would.
func setProperty(t *testing.T, store storage.Store, key, value string) {
	t.Helper()
	data, _, err := store.Get(t.Context(), meta.PropertiesKey)
	if err != nil {
		t.Fatal(err)
	}
	p, err := meta.ParseProperties(data)
	if err != nil {
		t.Fatal(err)
	}
	p[key] = value
	if value == "" {
		delete(p, key)
	}
	putObject(t, store, meta.PropertiesKey, p.Encode("Updated at", protoStart))
}

// TestOpenIsStrict: each property that this package cannot follow is refused by its name, by readers or by writers at least.
func TestOpenIsStrict(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		property, value string
		readable        bool
	}{
		{meta.TableVersion, "10", false},
		{meta.TableVersion, "", false},
		{meta.TimelineLayout, "2", false},
		{meta.TableType, "", false},
		{meta.TableFormat, "iceberg", false},
		{meta.BaseFileFormat, "ORC", false},
		{meta.BootstrapBasePath, "s3://x", false},
		{meta.CDCEnabled, "true", false},
		{meta.PopulateMetaFields, "false", false},
		{meta.DropPartitionColumns, "true", false},
		{meta.MetafileBaseFormat, "true", false},
		{meta.TableType, "MERGE_ON_READ", true},
		{meta.KeyGeneratorClass, "org.apache.hudi.keygen.CustomKeyGenerator", true},
		{meta.KeyGeneratorClass, "", true},
		{meta.URLEncode, "true", true},
		{meta.RecordKeyFields, "session_id", true},
		{meta.TimelineTimezone, "LOCAL", true},
	} {
		t.Run(c.property+"="+c.value, func(t *testing.T) {
			t.Parallel()
			store := storage.NewMem()
			_, w := acquired(t, store)
			setProperty(t, store, c.property, c.value)
			var unsupported *UnsupportedError
			table, err := Open(t.Context(), store)
			if c.readable {
				if err != nil {
					t.Fatalf("open: %v", err)
				}
				_, err = table.Acquire(t.Context(), "x")
			}
			if !errors.As(err, &unsupported) || unsupported.Property != c.property {
				t.Errorf("opened or acquired: %v", err)
			}
			// A writer that has the table must see the change too.
			if _, err := w.Commit(t.Context(), eventRequest(t, 0, "s1", "e1")); !errors.As(err, &unsupported) || unsupported.Property != c.property {
				t.Errorf("committed: %v", err)
			}
		})
	}
}

// TestUpgradeIsNoticed: what Spark does to a table that it upgrades, between our commits.
func TestUpgradeIsNoticed(t *testing.T) {
	t.Parallel()
	store := storage.NewMem()
	table, w := acquired(t, store)
	if _, err := w.Commit(t.Context(), eventRequest(t, 0, "s1", "e1")); err != nil {
		t.Fatal(err)
	}
	p := version9Properties(t, table.props)
	putObject(t, store, meta.PropertiesKey, p.Encode("Updated at", protoStart))
	var mismatch *MismatchError
	if _, err := w.Commit(t.Context(), eventRequest(t, 1, "s1", "e2")); !errors.As(err, &mismatch) || mismatch.Property != meta.TableVersion {
		t.Errorf("commit: %v", err)
	}
	if _, err := table.Acquire(t.Context(), "x"); !errors.As(err, &mismatch) || mismatch.Property != meta.TableVersion {
		t.Errorf("acquire: %v", err)
	}
	tl, err := table.Timeline(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range tl.Entries() { // and then the timeline has moved
		for _, s := range []timeline.State{timeline.Completed, timeline.Inflight, timeline.Requested} {
			if err := store.Delete(t.Context(), e.In(s).Key()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := table.Timeline(t.Context()); !errors.As(err, &mismatch) {
		t.Errorf("a reader of the old timeline sees an empty table: %v", err)
	}
}

// version9Properties are a table's properties after an upgrade.
func version9Properties(t *testing.T, p meta.Properties) meta.Properties {
	t.Helper()
	up := properties(tableNote{
		Name: p[meta.TableName], Database: p[meta.DatabaseName], RecordKeyFields: p.List(meta.RecordKeyFields), PartitionFields: p.List(meta.PartitionFields),
		OrderingField: p[meta.PrecombineField], HiveStyle: true, Schema: p[meta.CreateSchema], Version: Version9,
	})
	up[meta.InitialVersion], up[meta.Checksum] = "6", up.TableChecksum()
	return up
}

func TestOpenWithoutTable(t *testing.T) {
	t.Parallel()
	store := storage.NewMem()
	if _, err := Open(t.Context(), store); !errors.Is(err, ErrNotFound) {
		t.Errorf("open: %v", err)
	}
	acquired(t, store)
	setProperty(t, store, meta.Checksum, "1")
	if _, err := Open(t.Context(), store); !errors.Is(err, meta.ErrChecksum) {
		t.Errorf("half-written properties: %v", err)
	}
	if err := store.Delete(t.Context(), meta.PropertiesKey); err != nil {
		t.Fatal(err)
	}
	putObject(t, store, meta.PropertiesBackupKey, []byte("hoodie.table.name=events\nhoodie.table.version=6\nhoodie.timeline.layout.version=1\nhoodie.table.type=COPY_ON_WRITE\n"))
	if _, err := Open(t.Context(), store); err != nil {
		t.Errorf("with the copy of an interrupted change: %v", err)
	}
}

// TestForeignTable: a table of another engine is read, but not written: its buckets are described nowhere.
func TestForeignTable(t *testing.T) {
	t.Parallel()
	store := goldenTable(t, "v6-cow-015")
	table, err := Open(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	var unsupported *UnsupportedError
	if _, err := table.Acquire(t.Context(), "x"); !errors.As(err, &unsupported) || unsupported.Property != meta.TableNoteKey {
		t.Errorf("acquired: %v", err)
	}
	if _, err := table.Head(t.Context()); !errors.As(err, &unsupported) {
		t.Errorf("HEAD: %v", err)
	}
	if _, err := Create(t.Context(), store, protoConfig); !errors.As(err, &unsupported) {
		t.Errorf("created over it: %v", err)
	}
}

// TestMetadataTableIsDropped: a metadata table that we do not write to would hide our rows from its readers.
func TestMetadataTableIsDropped(t *testing.T) {
	t.Parallel()
	for _, key := range []string{meta.MetadataPartitions, meta.MetadataPartitionsInflight} {
		store := storage.NewMem()
		_, w := acquired(t, store)
		setProperty(t, store, key, "files")
		setProperty(t, store, meta.TimelineTimezone, "") // as SQL of Hudi 0.15 leaves it
		putObject(t, store, ".hoodie/metadata/.hoodie/hoodie.properties", []byte("x"))
		putObject(t, store, ".hoodie/metadata/files/a", []byte("x"))
		mustCommit(t, w, eventRequest(t, 0, "s1", "e1"))
		if left := storagetest.ListKeys(t, store, ".hoodie/metadata/"); len(left) > 0 {
			t.Errorf("%s: left %q", key, left)
		}
		table, err := Open(t.Context(), store)
		if err != nil {
			t.Fatal(err)
		}
		p := table.Properties()
		if _, set := p[key]; set || p[meta.TimelineTimezone] != "UTC" || p[meta.TableName] != "events" {
			t.Errorf("%s: properties %q", key, p)
		}
		if left := storagetest.ListKeys(t, store, meta.PropertiesBackupKey); len(left) > 0 {
			t.Errorf("%s: left %q", key, left)
		}
	}
}

func TestCheckEvolution(t *testing.T) {
	t.Parallel()
	record := func(fields string) string {
		return withField(`["null",{"type":"record","name":"r","fields":[` + fields + `]}]`)
	}
	list := func(items string) string { return withField(`["null",{"type":"array","items":` + items + `}]`) }
	a, b := `{"name":"a","type":"int"}`, `{"name":"b","type":["null","int"]}`
	for _, c := range []struct {
		name, old, next string
		want            evolution
		field           string // refused for; "" when allowed
	}{
		{name: "same", old: protoSchema, next: protoSchema},
		{name: "new column", old: protoSchema, next: widerSchema, want: evolution{added: "cdn"}},
		{
			name: "other names and docs", old: record(a),
			next: strings.NewReplacer(`"name":"r"`, `"name":"q","namespace":"x"`, `"name":"a"`, `"doc":"d","name":"a"`).Replace(record(a)),
		},
		{
			name: "order of a union", old: protoSchema,
			next: strings.ReplaceAll(strings.ReplaceAll(protoSchema, `["null","string"]`, `["string","null"]`), `"default":null`, `"default":""`),
		},
		{name: "int to long", old: withField(`["null","int"]`), next: withField(`["null","long"]`), want: evolution{promoted: "x"}},
		{name: "int to long in items", old: list(`"int"`), next: list(`"long"`), field: "x"},
		{name: "int to long in a record", old: record(a), next: record(`{"name":"a","type":"long"}`), field: "x.a"},
		{name: "field below", old: record(a), next: record(a + "," + b), want: evolution{nested: "x.b"}},
		{
			name: "field below items, and more", old: list(`{"type":"record","name":"i","fields":[` + a + `]}`),
			next: strings.TrimSuffix(list(`{"type":"record","name":"i","fields":[`+b+`,`+a+`]}`), "]}") + `,{"name":"y","type":["null","int"]}]}`,
			want: evolution{added: "y", nested: "x.b"},
		},
		{name: "items that may be null stay", old: list(`["null","int"]`), next: list(`["null","int"]`) + " "},
		{name: "column gone", old: widerSchema, next: protoSchema, field: "cdn"},
		{name: "long to int", old: withField(`["null","long"]`), next: withField(`["null","int"]`), field: "x"},
		{name: "float to double", old: withField(`["null","float"]`), next: withField(`["null","double"]`), field: "x"},
		{name: "int to string", old: withField(`["null","int"]`), next: withField(`["null","string"]`), field: "x"},
		{name: "date to long", old: withField(`["null",{"type":"int","logicalType":"date"}]`), next: withField(`["null","long"]`), field: "x"},
		{name: "int to time", old: withField(`["null","int"]`), next: withField(`["null",{"type":"long","logicalType":"timestamp-micros"}]`), field: "x"},
		{name: "logical type", old: withField(`["null","long"]`), next: withField(`["null",{"type":"long","logicalType":"timestamp-micros"}]`), field: "x"},
		{
			name: "fixed size", old: withField(`["null",{"type":"fixed","name":"f","size":8}]`), next: withField(`["null",{"type":"fixed","name":"f","size":9}]`),
			field: "x",
		},
		{name: "items", old: list(`"int"`), next: list(`"string"`), field: "x"},
		{name: "new items that may be null", old: protoSchema, next: list(`["null","int"]`), field: "x"},
		{name: "nullable items", old: withField(`["null",{"type":"map","values":"int"}]`), next: withField(`["null",{"type":"map","values":["null","int"]}]`), field: "x"},
		{name: "required field below", old: record(a), next: record(a + `,{"name":"b","type":"int"}`), field: "x.b"},
		{name: "field below gone", old: record(a + "," + b), next: record(a), field: "x.b"},
		{name: "required column", old: protoSchema, next: withField(`"int"`), field: "x"},
		{name: "no schema", old: protoSchema, next: ""},
	} {
		got, err := checkEvolution(c.old, c.next)
		var schemaErr *SchemaError
		switch {
		case c.next == "":
			if err == nil {
				t.Errorf("%s: allowed", c.name)
			}
		case c.field == "" && (err != nil || got != c.want), c.field != "" && (!errors.As(err, &schemaErr) || schemaErr.Field != c.field):
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
	deep := strings.Repeat(`{"type":"array","items":`, 40) + `"int"` + strings.Repeat("}", 40)
	if _, err := parseTableSchema(withField(fmt.Sprintf(`["null",%s]`, deep))); err == nil {
		t.Error("40 levels of nesting were taken")
	}
}

// FuzzTableSchema: text from outside is refused or read, never a panic, and what is read may follow itself.
func FuzzTableSchema(f *testing.F) {
	f.Add(protoSchema)
	f.Add(widerSchema)
	f.Add(withField(`["null",{"type":"record","name":"r","fields":[{"name":"a","type":{"type":"map","values":"event"}}]}]`))
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := parseTableSchema(text); err != nil {
			return
		}
		if _, err := checkEvolution(text, text+" "); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	})
}
