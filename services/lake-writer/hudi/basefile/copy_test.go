package basefile

import (
	"bytes"
	"context"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestCopyKeepsRowsAndRenamesTheFile(t *testing.T) {
	t.Parallel()
	oldCfg, newCfg := testConfig("20261122080000000"), testConfig("20261122080100000")
	oldCfg.RowGroupBytes = 30_000
	oldRecords, newRecords := inventRecords(t, 11, 0, 700), inventRecords(t, 12, 700, 300)
	old := openBytes(t, writeFile(t, oldCfg, oldRecords))
	r := openBytes(t, writeFile(t, newCfg, newRecords, old))
	rows := readRows(t, r)
	sameRows(t, newCfg, newRecords, rows, len(oldRecords))
	oldCfg.FileName = newCfg.FileName // all else of the old rows stays, their sequence numbers included
	sameRows(t, oldCfg, oldRecords, rows[:len(oldRecords)], 0)
	checkFooter(t, r, append(oldRecords, newRecords...))
}

func TestCopySkips(t *testing.T) {
	t.Parallel()
	cfg := testConfig("20261122080000000")
	records := inventRecords(t, 13, 0, 500)
	old := openBytes(t, writeFile(t, cfg, records))
	var out bytes.Buffer
	w, err := NewWriter(&out, cfg)
	if err != nil {
		t.Fatal(err)
	}
	stays := func(key string) bool { return !strings.HasSuffix(key, "3") }
	n, err := w.CopyFrom(t.Context(), old, func(key string) bool { return !stays(key) })
	if err != nil || n != 450 {
		t.Fatalf("copied %d rows: %v", n, err)
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var want []Row
	for _, row := range readRows(t, old) {
		if key, _ := row.Get(RecordKeyColumn); stays(key.(string)) {
			want = append(want, row)
		}
	}
	if have := readRows(t, openBytes(t, out.Bytes())); !reflect.DeepEqual(have, want) {
		t.Errorf("rows differ: %d, want %d", len(have), len(want))
	}
}

func TestCopyNothingIsNoFile(t *testing.T) {
	t.Parallel()
	cfg := testConfig("20261122080000000")
	old := openBytes(t, writeFile(t, cfg, inventRecords(t, 14, 0, 5)))
	w, err := NewWriter(io.Discard, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := w.CopyFrom(t.Context(), old, func(string) bool { return true }); n != 0 || err != nil {
		t.Fatalf("copied %d rows: %v", n, err)
	}
	if _, err := w.Close(); !errors.Is(err, ErrNoRows) {
		t.Errorf("Close: %v", err)
	}
}

// New columns, also inside of records and of arrays, are null where their parent is present and absent where it is not.
func TestCopyIntoWiderSchema(t *testing.T) {
	t.Parallel()
	oldCfg := testConfig("20261122080000000")
	records := inventRecords(t, 15, 0, 400)
	old := openBytes(t, writeFile(t, oldCfg, records))
	newCfg := oldCfg
	newCfg.WriterSchemas = nil
	newCfg.TableSchema = replaceOnce(t, newCfg.TableSchema,
		`{"name":"i","type":["null","int"],"default":null}`, `{"name":"i","type":["null","long"],"default":null}`,
		`{"name":"x","type":["null","int"]}`, `{"name":"x","type":["null","int"]},{"name":"new1","type":["null","string"]}`,
		`{"name":"name","type":["null","string"]},`, `{"name":"name","type":["null","string"]},{"name":"new2","type":["null",{"type":"array","items":"long"}]},`,
		`{"name":"n","type":["null","long"]}`, `{"name":"new3","type":["null",{"type":"map","values":"int"}]},{"name":"n","type":["null","long"]}`,
		`{"name":"required"`, `{"name":"new4","type":["null",{"type":"record","name":"n4","fields":[{"name":"z","type":["null","int"]}]}]},{"name":"required"`,
	)
	rows := readRows(t, openBytes(t, writeFile(t, newCfg, nil, old)))
	sameRows(t, newCfg, records, rows, 0)
}

func replaceOnce(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for pair := range slices.Chunk(pairs, 2) {
		if strings.Count(text, pair[0]) != 1 {
			t.Fatalf("%q is there %d times", pair[0], strings.Count(text, pair[0]))
		}
		text = strings.Replace(text, pair[0], pair[1], 1)
	}
	return text
}

// Spark's files have 2-level lists, and maps with another name inside; both become ours.
func TestCopyFromSparkFile(t *testing.T) {
	t.Parallel()
	for name, data := range golden(t, "v6-cow-015", ".parquet") {
		old := openBytes(t, data)
		if old.NumRows() == 0 {
			continue
		}
		cfg := Config{TableSchema: sparkTableSchema(t, old), FileName: name}
		rows := readRows(t, openBytes(t, writeFile(t, cfg, nil, old)))
		if want := readRows(t, old); !reflect.DeepEqual(rows, want) {
			t.Errorf("%s: have %v, want %v", name, rows, want)
		}
	}
}

// sparkTableSchema is the file's schema without meta columns, and without null in arrays, which our tables refuse.
func sparkTableSchema(t *testing.T, r *Reader) string {
	t.Helper()
	schema := r.Footer().AvroSchema
	for _, column := range MetaColumns() {
		i := strings.Index(schema, `{"name":"`+column)
		if i < 0 {
			t.Fatalf("no %s in %s", column, schema)
		}
		end := i + strings.Index(schema[i:], "},") + 2
		schema = schema[:i] + schema[end:]
	}
	return strings.NewReplacer(`"items":["null","string"]`, `"items":"string"`, `"items":["null","int"]`, `"items":"int"`, `"items":["null","long"]`, `"items":"long"`).Replace(schema)
}

func TestCopyRefuses(t *testing.T) {
	t.Parallel()
	cfg := testConfig("20261122080000000")
	old := openBytes(t, writeFile(t, cfg, inventRecords(t, 16, 0, 20)))
	for _, tc := range []struct{ name, from, to, path string }{
		{"dropped column", `{"name":"i","type":["null","int"],"default":null},`, ``, "i"},
		{"narrowed column", `{"name":"widened","type":["null","long"]`, `{"name":"widened","type":["null","int"]`, "widened"},
		{"float to double", `{"name":"f","type":["null","float"]`, `{"name":"f","type":["null","double"]`, "f"},
		{"text to bytes", `{"name":"s","type":["null","string"]`, `{"name":"s","type":["null","bytes"]`, "s"},
		{"scalar to array", `{"name":"s","type":["null","string"]`, `{"name":"s","type":["null",{"type":"array","items":"string"}]`, "s"},
		{"new required column", `{"name":"i","type":["null","int"],"default":null}`, `{"name":"i","type":["null","int"],"default":null},{"name":"must","type":"int"}`, "must"},
		{"null in a column that becomes required", `{"name":"s","type":["null","string"],"default":null}`, `{"name":"s","type":"string"}`, "s"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			cfg := cfg
			cfg.WriterSchemas = nil
			cfg.TableSchema = replaceOnce(t, cfg.TableSchema, tc.from, tc.to)
			w, err := NewWriter(io.Discard, cfg)
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.CopyFrom(t.Context(), old, nil)
			if e, ok := errors.AsType[*SchemaError](err); !ok || e.Path != tc.path {
				t.Errorf("have %v, want a schema error at %q", err, tc.path)
			}
		})
	}
}

func TestCopyEndsWithItsContext(t *testing.T) {
	t.Parallel()
	cfg := testConfig("20261122080000000")
	old := openBytes(t, writeFile(t, cfg, inventRecords(t, 17, 0, 20)))
	w, err := NewWriter(io.Discard, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.CopyFrom(ctx, old, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("CopyFrom: %v", err)
	}
	if _, err := w.Close(); err == nil {
		t.Error("a file with half of its columns was closed")
	}
}
