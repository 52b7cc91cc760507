package hudi

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storagetest"
)

// The columns of a table before and after it grew: a nested field, one in the items of an array, a number, a column.
const (
	smallColumns = `{"name":"n","type":["null","int"],"default":null},` +
		`{"name":"player","type":["null",{"type":"record","name":"p","fields":[{"name":"os","type":["null","string"],"default":null}]}],"default":null},` +
		`{"name":"ads","type":["null",{"type":"array","items":{"type":"record","name":"ad","fields":[{"name":"ms","type":"int"}]}}],"default":null}`
	grownColumns = `{"name":"n","type":["null","long"],"default":null},` +
		`{"name":"player","type":["null",{"type":"record","name":"p","fields":[{"name":"os","type":["null","string"],"default":null},` +
		`{"name":"model","type":["null","string"],"default":null}]}],"default":null},` +
		`{"name":"ads","type":["null",{"type":"array","items":{"type":"record","name":"ad","fields":[{"name":"ms","type":"int"},` +
		`{"name":"skipped","type":["null","boolean"],"default":null}]}}],"default":null},` +
		`{"name":"late","type":["null","string"],"default":null}`
)

func withColumns(columns string) string {
	return strings.TrimSuffix(protoSchema, "]}") + "," + columns + "]}"
}

var smallSchema, grownSchema = withColumns(smallColumns), withColumns(grownColumns)

// grownRequest is one row of a session, as a writer of the schema knows it.
func grownRequest(t *testing.T, schema, session string, n int64) CommitRequest {
	t.Helper()
	opt := func(branch string, v any) map[string]any { return map[string]any{branch: v} }
	value := map[string]any{
		"session_id": opt("string", session), "event_id": opt("string", "e"), "day": opt("string", "1"),
		"event_time": opt("long.timestamp-micros", time.UnixMicro(1_700_000_000_000_000+n)),
	}
	if schema == smallSchema {
		value["n"] = opt("int", int(n))
		value["player"] = opt("p", map[string]any{"os": opt("string", "linux")})
		value["ads"] = opt("array", []any{map[string]any{"ms": int(n)}})
	} else {
		value["n"] = opt("long", n)
		value["player"] = opt("p", map[string]any{"os": opt("string", "linux"), "model": opt("string", "m")})
		value["ads"] = opt("array", []any{map[string]any{"ms": int(n % 1000), "skipped": opt("boolean", true)}})
		value["late"] = opt("string", "l")
	}
	parsed, err := avro.ParseWithCache(schema, "", &avro.SchemaCache{})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := avro.Marshal(parsed, value)
	if err != nil {
		t.Fatal(err)
	}
	req := eventRequest(t, 0, session, "e")
	req.Operation, req.Progress, req.WriterSchemas = Upsert, nil, []string{schema}
	req.Groups[0].Records[0].Payload = payload
	return req
}

// grownRows are the evolved columns of a table's rows as text, by session.
func grownRows(t *testing.T, table *Table) map[string]string {
	t.Helper()
	rows := make(map[string]string)
	q := Query{Columns: []string{"session_id", "n", "player", "ads", "late"}}
	batchesAreRows(t, table.store, q)
	for row, err := range table.Scan(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		rows[row.Values[0].(string)] = plain(row.Values[1:])
	}
	return rows
}

// plain writes a value with the names of nested fields.
func plain(v any) string {
	switch v := v.(type) {
	case basefile.Row:
		var parts []string
		for i, c := range v.Columns {
			parts = append(parts, c+"="+plain(v.Values[i]))
		}
		return "{" + strings.Join(parts, " ") + "}"
	case []any:
		var parts []string
		for _, item := range v {
			parts = append(parts, plain(item))
		}
		return "[" + strings.Join(parts, " ") + "]"
	default:
		return fmt.Sprint(v)
	}
}

// TestEvolve: nested fields, items, numbers and columns are added to a table of each type; old files and new show the same.
func TestEvolve(t *testing.T) {
	t.Parallel()
	for kind, cfg := range protoTypes {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			cfg.Schema = smallSchema
			table, err := Create(t.Context(), storage.NewMem(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			w, err := table.Acquire(t.Context(), "writer")
			if err != nil {
				t.Fatal(err)
			}
			mustCommit(t, w, grownRequest(t, smallSchema, "s1", 1))
			mustCommit(t, w, grownRequest(t, smallSchema, "s2", 2))
			mustCommit(t, w, grownRequest(t, smallSchema, "s1", 3))
			grow := grownRequest(t, grownSchema, "s3", 1<<40)
			grow.TableSchema = grownSchema
			if cfg.Type == MergeOnRead {
				refuseBefore(t, table, w, grow)
			}
			mustCommit(t, w, grow)
			mustCommit(t, w, grownRequest(t, grownSchema, "s5", 1<<41))
			old := "[%d {os=linux model=<nil>} [{ms=%d skipped=<nil>}] <nil>]"
			fresh := "[%d {os=linux model=m} [{ms=%d skipped=true}] l]"
			want := map[string]string{
				"s1": fmt.Sprintf(old, 3, 3), "s2": fmt.Sprintf(old, 2, 2), "s3": fmt.Sprintf(fresh, 1<<40, 1<<40%1000), "s5": fmt.Sprintf(fresh, 1<<41, 1<<41%1000),
			}
			check := func() {
				t.Helper()
				if got := grownRows(t, table); fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("rows\n%v, want\n%v", got, want)
				}
			}
			check()
			if cfg.Type == MergeOnRead {
				if _, err := w.Compact(t.Context(), CompactOptions{}); err != nil {
					t.Fatal(err)
				}
				check()
			}
			if _, err := w.Commit(t.Context(), CommitRequest{Operation: Upsert, TableSchema: smallSchema}); err == nil {
				t.Error("the table shrank")
			}
		})
	}
}

// refuseBefore: log files of the older schema hold the change up until they are compacted, and nothing is written.
func refuseBefore(t *testing.T, table *Table, w *Writer, grow CommitRequest) {
	t.Helper()
	before := storagetest.ListKeys(t, table.store, "")
	if _, err := w.Commit(t.Context(), grow); !errors.Is(err, ErrCompactFirst) || !strings.Contains(err.Error(), "player.model") {
		t.Errorf("logs of the older schema: %v", err)
	}
	if after := storagetest.ListKeys(t, table.store, ""); !slices.Equal(after, before) {
		t.Errorf("a refused change left %q", after)
	}
	if _, err := w.Compact(t.Context(), CompactOptions{}); err != nil {
		t.Fatal(err)
	}
}

// TestColumnsNeedNoCompaction: new columns alone come to a table with log files at once.
func TestColumnsNeedNoCompaction(t *testing.T) {
	t.Parallel()
	table, w := acquiredOf(t, protoMergeConfig())
	for from := range int64(2) {
		req := eventRequest(t, from, "s1", fmt.Sprint("e", from))
		req.Operation = Upsert
		mustCommit(t, w, req)
	}
	mustCommit(t, w, CommitRequest{Operation: Upsert, TableSchema: widerSchema})
	if got := rowsByKey(t, table); len(got) != 2 {
		t.Errorf("rows %v", got)
	}
}

func acquiredOf(t *testing.T, cfg TableConfig) (*Table, *Writer) {
	t.Helper()
	table, err := Create(t.Context(), storage.NewMem(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	w, err := table.Acquire(t.Context(), "writer")
	if err != nil {
		t.Fatal(err)
	}
	return table, w
}

// TestRecordsOfOtherTypesInLogs: records whose types engines would read differently from Avro blocks, or that lack nested fields, come to a
// log as rows of the table, as they come to a base file.
func TestRecordsOfOtherTypesInLogs(t *testing.T) {
	t.Parallel()
	record := func(fields string) string { return `{"type":"record","name":"r","fields":[` + fields + `]}` }
	for name, c := range map[string]struct {
		table, writer string
		value         []byte // in the writer's type
		want          string
		block         logfile.BlockType
	}{
		"same":              {`["null","string"]`, `"string"`, []byte("\x02A"), "A", logfile.AvroData},
		"enum":              {`["null","string"]`, `{"type":"enum","name":"e","symbols":["A"]}`, []byte{0}, "A", logfile.ParquetData},
		"nested field":      {`["null",` + record(`{"name":"a","type":["null","int"]},{"name":"b","type":["null","int"]}`) + `]`, record(`{"name":"a","type":"int"}`), []byte{6}, "{a=3 b=<nil>}", logfile.ParquetData},
		"number":            {`["null","long"]`, `"int"`, []byte{6}, "3", logfile.AvroData},
		"sure nested field": {`["null",` + record(`{"name":"a","type":["null","int"]}`) + `]`, record(`{"name":"a","type":"int"}`), []byte{6}, "{a=3}", logfile.AvroData},
		"sure nested field and column": {
			`["null",` + record(`{"name":"a","type":["null","int"]}`) + `]},{"name":"y","type":["null","int"]`, record(`{"name":"a","type":"int"}`), []byte{6}, "{a=3}", logfile.ParquetData,
		},
		"number and column": {
			`["null","long"]},{"name":"y","type":["null","int"]`, `"int"`, []byte{6}, "3", logfile.ParquetData,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, kind := range []TableType{CopyOnWrite, MergeOnRead} {
				cfg := protoConfig
				cfg.Type, cfg.Schema = kind, withField(c.table)
				table, w := acquiredOf(t, cfg)
				writer := strings.TrimSuffix(eventSchema, "]}") + `,{"name":"x","type":` + c.writer + `}]}`
				for from := range int64(2) { // a base file, then a log
					req := eventRequest(t, from, "s1", fmt.Sprint("e", from))
					req.Operation, req.WriterSchemas, req.LogFormat = Upsert, []string{writer}, LogFormatAvro
					for i := range req.Groups[0].Records {
						r := &req.Groups[0].Records[i]
						r.Payload = append(r.Payload, c.value...)
					}
					mustCommit(t, w, req)
				}
				if got := plainColumn(t, table, "x"); fmt.Sprint(got) != fmt.Sprint([]string{c.want, c.want}) {
					t.Errorf("%s: rows have x %q, want %q twice", kind, got, c.want)
				}
				if kind == MergeOnRead {
					if got := blockTypes(t, table.store); len(got) != 1 || got[c.block] != 1 {
						t.Errorf("log blocks %v, want one %v", got, c.block)
					}
				}
			}
		})
	}
}

// plainColumn is a column of all rows as text.
func plainColumn(t *testing.T, table *Table, column string) (values []string) {
	t.Helper()
	for row, err := range table.Scan(t.Context(), Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		v, _ := row.Get(column)
		values = append(values, plain(v))
	}
	return values
}
