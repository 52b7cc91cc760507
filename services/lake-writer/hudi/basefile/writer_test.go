package basefile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func sameRows(t *testing.T, cfg Config, records []testRecord, rows []Row, skip int) {
	t.Helper()
	table, err := parseSchema(cfg.TableSchema)
	if err != nil {
		t.Fatal(err)
	}
	layout, err := tableLayout(table)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows)-skip != len(records) {
		t.Fatalf("%d rows, want %d and %d older ones", len(rows), len(records), skip)
	}
	for i, rec := range records {
		row := rows[skip+i]
		want := []any{cfg.CommitTime, fmt.Sprintf("%s_%d_%d", cfg.CommitTime, cfg.TaskID, i), rec.Key, cfg.PartitionPath, cfg.FileName}
		for _, c := range layout.children[len(want):] {
			want = append(want, expect(c, rec.show[c.name]))
		}
		for j, column := range row.Columns {
			if !reflect.DeepEqual(row.Values[j], want[j]) {
				t.Fatalf("row %d, column %s: have %#v, want %#v", i, column, row.Values[j], want[j])
			}
		}
	}
}

func TestRoundTripOfEveryType(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		with func(*Config)
		n    int
	}{
		{"one row", func(*Config) {}, 1},
		{"several batches", func(*Config) {}, 1000},
		{"many row groups", func(c *Config) { c.RowGroupBytes = 20_000 }, 2000},
		{"snappy, unique column", func(c *Config) { c.Codec, c.UniqueColumns = Snappy, []string{"s"} }, 300},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig("20261122080000000")
			tc.with(&cfg)
			records := inventRecords(t, uint64(tc.n), 0, tc.n)
			r := openBytes(t, writeFile(t, cfg, records))
			sameRows(t, cfg, records, readRows(t, r), 0)
			if groups := len(r.file.RowGroups()); tc.n == 2000 && groups < 5 {
				t.Errorf("%d row groups", groups)
			}
			if want := slices.Concat(MetaColumns(), []string{"s", "b"}); !slices.Equal(r.Columns()[:7], want) {
				t.Errorf("columns begin with %v", r.Columns()[:7])
			}
			checkFooter(t, r, records)
		})
	}
}

func checkFooter(t *testing.T, r *Reader, records []testRecord) {
	t.Helper()
	keys, err := r.Keys()
	if err != nil {
		t.Fatal(err)
	}
	filter, err := r.Bloom()
	if err != nil || filter == nil {
		t.Fatalf("bloom filter: %v", err)
	}
	for i, rec := range records {
		if keys[i] != rec.Key || !filter.Contains([]byte(rec.Key)) {
			t.Fatalf("key %d is %s, in the filter: %v", i, keys[i], filter.Contains([]byte(rec.Key)))
		}
	}
	f := r.Footer()
	if f.MinKey != slices.Min(keys) || f.MaxKey != slices.Max(keys) || f.Rows != int64(len(records)) {
		t.Errorf("footer is %+v", f)
	}
	var schema struct {
		Name   string
		Fields []struct{ Name string }
	}
	if err := json.Unmarshal([]byte(f.AvroSchema), &schema); err != nil {
		t.Fatal(err)
	}
	if schema.Name != "t" || schema.Fields[0].Name != CommitTimeColumn || schema.Fields[5].Name != "s" || len(schema.Fields) != len(r.Columns()) {
		t.Errorf("footer's schema is %s", f.AvroSchema)
	}
	if model, _ := r.file.Lookup(writerModelKey); model != "avro" {
		t.Errorf("writer model %q", model)
	}
}

func TestProjection(t *testing.T) {
	t.Parallel()
	cfg := testConfig("20261122080000000")
	records := inventRecords(t, 3, 0, 50)
	r := openBytes(t, writeFile(t, cfg, records))
	for i, row := range readRows(t, r, "rec", RecordKeyColumn) {
		if !slices.Equal(row.Columns, []string{"rec", RecordKeyColumn}) || row.Values[1] != records[i].Key {
			t.Fatalf("row %d is %v", i, row)
		}
	}
	for _, err := range r.Rows([]string{"none"}) {
		if _, ok := errors.AsType[*FileError](err); !ok {
			t.Errorf("unknown column: %v", err)
		}
	}
	if _, ok := readRows(t, r, "s")[0].Get("i"); ok {
		t.Error("has a column that was not asked for")
	}
}

func TestNoRowsIsRefused(t *testing.T) {
	t.Parallel()
	w, err := NewWriter(io.Discard, testConfig("20261122080000000"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(); !errors.Is(err, ErrNoRows) {
		t.Errorf("Close without rows: %v", err)
	}
	if err := w.Append(Record{Key: "k"}); err == nil {
		t.Error("Append after Close went well")
	}
}

// A record that fails leaves nothing, wherever in it the failure is.
func TestBadRecordLeavesNothing(t *testing.T) {
	t.Parallel()
	cfg := testConfig("20261122080000000")
	records := inventRecords(t, 5, 0, 40)
	var out bytes.Buffer
	w, err := NewWriter(&out, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range records {
		for cut := range rec.Payload {
			bad := rec.Record
			bad.Payload = rec.Payload[:cut]
			if err := w.Append(bad); !isRecordError(err) {
				t.Fatalf("payload cut to %d of %d bytes: %v", cut, len(rec.Payload), err)
			}
		}
		for _, bad := range []Record{
			{Payload: rec.Payload},
			{Key: "\xff", Payload: rec.Payload},
			{Key: rec.Key, Payload: append(slices.Clone(rec.Payload), 0)},
			{Key: rec.Key, Payload: rec.Payload, Writer: 1},
			{Key: rec.Key, Payload: rec.Payload, Writer: -1},
		} {
			if err := w.Append(bad); !isRecordError(err) {
				t.Fatalf("bad record: %v", err)
			}
		}
		if err := w.Append(rec.Record); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	sameRows(t, cfg, records, readRows(t, openBytes(t, out.Bytes())), 0)
}

func isRecordError(err error) bool {
	_, ok := errors.AsType[*RecordError](err)
	return ok
}

// A writer that fails to write says so, and no later call pretends that it went well.
func TestWriteErrors(t *testing.T) {
	t.Parallel()
	records := inventRecords(t, 6, 0, 500)
	cfg := testConfig("20261122080000000")
	cfg.RowGroupBytes = 10_000
	whole := len(writeFile(t, cfg, records))
	for limit := 0; limit < whole; limit += max(1, whole/50) {
		w, err := NewWriter(&limitedWriter{left: limit}, cfg)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range records {
			if err = w.Append(rec.Record); err != nil {
				break
			}
		}
		if err == nil {
			_, err = w.Close()
		}
		if !errors.Is(err, errFull) {
			t.Fatalf("after %d of %d bytes: %v", limit, whole, err)
		}
		if _, err := w.Close(); err == nil {
			t.Fatal("Close after an error went well")
		}
	}
}

var errFull = errors.New("full")

type limitedWriter struct{ left int }

func (l *limitedWriter) Write(b []byte) (int, error) {
	if l.left -= len(b); l.left < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestSchemasAreRefused(t *testing.T) {
	t.Parallel()
	record := func(fields ...string) string {
		return `{"type":"record","name":"x","fields":[` + strings.Join(fields, ",") + `]}`
	}
	nested := func(fields string) string {
		return record(`{"name":"r","type":["null",{"type":"record","name":"y","fields":[` + fields + `]}]}`)
	}
	const table = `{"name":"a","type":["null","long"]}`
	for _, tc := range []struct{ name, table, writer, path string }{
		{"float to double", record(`{"name":"a","type":["null","double"]}`), record(`{"name":"a","type":"float"}`), "a"},
		{"long to int", record(`{"name":"a","type":["null","int"]}`), record(`{"name":"a","type":"long"}`), "a"},
		{"null into required", record(`{"name":"a","type":"long"}`), record(table), "a"},
		{"missing required", record(`{"name":"a","type":"long"}`, `{"name":"b","type":"int"}`), record(`{"name":"a","type":"long"}`), "b"},
		{"field of no column", record(table), record(table, `{"name":"b","type":"int"}`), "b"},
		{"nested field of no column", nested(table), nested(table + `,{"name":"z","type":"int"}`), "r.z"},
		{"millis as long", record(table), record(`{"name":"a","type":{"type":"long","logicalType":"timestamp-millis"}}`), "a"},
		{"long as micros", record(`{"name":"a","type":["null",{"type":"long","logicalType":"timestamp-micros"}]}`), record(`{"name":"a","type":"long"}`), "a"},
		{"meta column in the writer", record(table), record(table, `{"name":"_hoodie_record_key","type":"string"}`), RecordKeyColumn},
		{"meta column in the table", record(`{"name":"_hoodie_record_key","type":"string"}`), record(table), RecordKeyColumn},
		{"enum column", record(`{"name":"a","type":["null",{"type":"enum","name":"e","symbols":["A"]}]}`), record(table), "a"},
		{"millis column", record(`{"name":"a","type":["null",{"type":"long","logicalType":"timestamp-millis"}]}`), record(table), "a"},
		{"decimal on bytes", record(`{"name":"a","type":["null",{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}]}`), record(table), "a"},
		{"null in arrays", record(`{"name":"a","type":["null",{"type":"array","items":["null","int"]}]}`), record(`{"name":"a","type":["null",{"type":"array","items":["null","int"]}]}`), "a"},
		{"union of two", record(`{"name":"a","type":["null","int","string"]}`), record(table), "a"},
		{"names that differ in case", record(table, `{"name":"A","type":["null","int"]}`), record(table), "A"},
		{"recursion", record(`{"name":"a","type":["null","x"]}`), record(table), "a"},
		{"empty record", record(`{"name":"a","type":["null",{"type":"record","name":"e","fields":[]}]}`), record(table), "a"},
		{"null type", record(`{"name":"a","type":"null"}`), record(table), "a"},
		{"no record", `"string"`, record(table), ""},
		{"no schema", `{`, record(table), ""},
		{"decimal of another scale", record(`{"name":"a","type":["null",{"type":"fixed","name":"f","size":8,"logicalType":"decimal","precision":10,"scale":2}]}`), record(`{"name":"a","type":{"type":"fixed","name":"f","size":8,"logicalType":"decimal","precision":10,"scale":3}}`), "a"},
		{"bytes as string", record(`{"name":"a","type":["null","string"]}`), record(`{"name":"a","type":"bytes"}`), "a"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := NewWriter(io.Discard, Config{TableSchema: tc.table, WriterSchemas: []string{tc.writer}})
			e, ok := errors.AsType[*SchemaError](err)
			if !ok || e.Path != tc.path {
				t.Errorf("have %v, want a schema error at %q", err, tc.path)
			}
		})
	}
}
