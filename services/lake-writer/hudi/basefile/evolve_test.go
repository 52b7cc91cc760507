package basefile

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

// widerSchema is the test table's schema after it grew: a nullable field in a record, in a record in a record, in the items of an
// array and in the values of a map; ints that became longs, at the root, in a record and in the items of arrays.
func widerSchema(t *testing.T) string {
	t.Helper()
	return replaceOnce(t, testTableSchema,
		`{"name":"i","type":["null","int"],"default":null}`, `{"name":"i","type":["null","long"],"default":null}`,
		`{"name":"code","type":["null","string"]},`, `{"name":"code","type":["null","string"]},{"name":"new0","type":["null","double"]},`,
		`{"name":"x","type":["null","int"]}`, `{"name":"new1","type":["null","string"]},{"name":"x","type":["null","long"]}`,
		`{"name":"cell","type":["null","int"]}`, `{"name":"cell","type":["null","long"]},{"name":"new2","type":["null",{"type":"array","items":"long"}]}`,
		`{"name":"n","type":["null","long"]}`, `{"name":"new3","type":["null",{"type":"map","values":"int"}]},{"name":"n","type":["null","long"]}`,
		`{"type":"array","items":{"type":"array","items":"int"}}`, `{"type":"array","items":{"type":"array","items":"long"}}`,
		`{"name":"late"`, `{"name":"new4","type":["null",{"type":"record","name":"n4","fields":[{"name":"z","type":["null","int"]}]}]},{"name":"late"`,
	)
}

// An old file, the same rows copied into a file of the new schema, and records of the old schema shredded into one: a table of the
// new schema shows the same.
func TestEvolution(t *testing.T) {
	t.Parallel()
	oldCfg := testConfig("20261122080000000")
	oldCfg.RowGroupBytes = 20_000
	records := inventRecords(t, 41, 0, 600)
	old := openBytes(t, writeFile(t, oldCfg, records))
	newCfg := oldCfg
	newCfg.TableSchema = widerSchema(t)
	for name, r := range map[string]*Reader{
		"old file": old,
		"copied":   openBytes(t, writeFile(t, newCfg, nil, old)),
		"shredded": openBytes(t, writeFile(t, newCfg, records)),
	} {
		var rows []Row
		for row, err := range r.RowsAs(newCfg.TableSchema, nil) {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			rows = append(rows, row)
		}
		sameRows(t, newCfg, records, rows, 0)
	}
}

func TestRowsAsProjects(t *testing.T) {
	t.Parallel()
	cfg := testConfig("20261122080000000")
	records := inventRecords(t, 42, 0, 20)
	r := openBytes(t, writeFile(t, cfg, records))
	schema := widerSchema(t)
	for _, columns := range [][]string{{"new4", "i", RecordKeyColumn}, {"new4"}} {
		n := 0
		for row, err := range r.RowsAs(schema, columns) {
			if err != nil {
				t.Fatal(err)
			}
			if row.Values[0] != nil || len(row.Values) != len(columns) {
				t.Fatalf("row %d is %v", n, row)
			}
			if len(columns) == 3 && (row.Values[1] != records[n].show["i"] || row.Values[2] != records[n].Key) {
				t.Fatalf("row %d is %v", n, row)
			}
			n++
		}
		if n != len(records) {
			t.Errorf("%d rows, want %d", n, len(records))
		}
	}
	for range r.RowsAs(schema, nil) {
		break // yields no more
	}
}

// Schemas that we do not write, of tables of others, are read: null in arrays, enums.
func TestRowsAsOfForeignSchema(t *testing.T) {
	t.Parallel()
	cfg := testConfig("20261122080000000")
	records := inventRecords(t, 44, 0, 50)
	r := openBytes(t, writeFile(t, cfg, records))
	schema := replaceOnce(t, testTableSchema,
		`{"name":"tracks","type":["null",{"type":"array","items":"string"}]`, `{"name":"tracks","type":["null",{"type":"array","items":["null","string"]}]`,
		`{"name":"color","type":["null","string"]`, `{"name":"color","type":["null",{"type":"enum","name":"hue","symbols":["RED","GREEN","BLUE"]}]`,
	)
	var rows []Row
	for row, err := range r.RowsAs(schema, nil) {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	sameRows(t, cfg, records, rows, 0)
	for name, data := range golden(t, "v6-cow-015", ".parquet") {
		r := openBytes(t, data)
		schema := r.Footer().AvroSchema
		for _, column := range MetaColumns() {
			i := strings.Index(schema, `{"name":"`+column)
			schema = schema[:i] + schema[i+strings.Index(schema[i:], "},")+2:]
		}
		var rows []Row
		for row, err := range r.RowsAs(schema, nil) {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			rows = append(rows, row)
		}
		if want := readRows(t, r); !reflect.DeepEqual(rows, want) {
			t.Errorf("%s: have %v, want %v", name, rows, want)
		}
	}
}

func TestRowsAsRefuses(t *testing.T) {
	t.Parallel()
	r := openBytes(t, writeFile(t, testConfig("20261122080000000"), inventRecords(t, 43, 0, 5)))
	for _, tc := range []struct{ name, from, to, path string }{
		{"narrowed column", `{"name":"widened","type":["null","long"]`, `{"name":"widened","type":["null","int"]`, "widened"},
		{"float to double", `{"name":"f","type":["null","float"]`, `{"name":"f","type":["null","double"]`, "f"},
		{"int to double, nested", `{"name":"x","type":["null","int"]}`, `{"name":"x","type":["null","double"]}`, "rec.inner.x"},
		{"dropped field", `{"name":"code","type":["null","string"]},`, ``, "rec.code"},
		{"dropped field of items", `{"name":"cell","type":["null","int"]},`, ``, "cells.element.cell"},
		{"new required field", `{"name":"x","type":["null","int"]}`, `{"name":"x","type":["null","int"]},{"name":"must","type":"int"}`, "rec.inner.must"},
		{"new required column", `{"name":"required"`, `{"name":"must","type":"int"},{"name":"required"`, "must"},
		{"another kind", `{"name":"tracks","type":["null",{"type":"array","items":"string"}]`, `{"name":"tracks","type":["null",{"type":"map","values":"string"}]`, "tracks"},
		{"no schema", testTableSchema, `{`, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for row, err := range r.RowsAs(replaceOnce(t, testTableSchema, tc.from, tc.to), nil) {
				if e, ok := errors.AsType[*SchemaError](err); !ok || e.Path != tc.path {
					t.Errorf("have %v, %v, want a schema error at %q", row, err, tc.path)
				}
			}
		})
	}
	for _, err := range r.RowsAs(testTableSchema, []string{"none"}) {
		if e, ok := errors.AsType[*SchemaError](err); !ok || e.Path != "none" {
			t.Errorf("unknown column: %v", err)
		}
	}
}
