package convert

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/hamba/avro/v2"
)

func record1(fields string) string {
	return `{"type":"record","name":"E","namespace":"n.s","fields":[` + fields + `]}`
}

func TestTableSchema(t *testing.T) {
	t.Parallel()
	event := record1(`
		{"name":"id","type":"string","doc":"text","playhead.role":"event_id"},
		{"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}},
		{"name":"opt","type":["null","int"],"default":null},
		{"name":"back","type":["int","null"],"default":0},
		{"name":"price","type":["null",{"type":"fixed","name":"Money","size":8,"logicalType":"decimal","precision":18,"scale":4}],"default":null},
		{"name":"price2","type":["null","Money"],"default":null},
		{"name":"err","type":["null",{"type":"record","name":"Err","fields":[{"name":"code","type":"string"}]}],"default":null},
		{"name":"tags","type":{"type":"map","values":"string"}},
		{"name":"cells","type":{"type":"array","items":{"type":"record","name":"Cell","fields":[{"name":"n","type":"int"}]}}}`)
	got, err := TableSchema(event, true)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"type":"record","name":"E","namespace":"n.s","fields":[
		{"name":"id","type":["null","string"],"default":null},
		{"name":"at","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null},
		{"name":"opt","type":["null","int"],"default":null},
		{"name":"back","type":["null","int"],"default":null},
		{"name":"price","type":["null",{"type":"fixed","name":"Money","namespace":"n.s","size":8,"logicalType":"decimal","precision":18,"scale":4}],"default":null},
		{"name":"price2","type":["null","n.s.Money"],"default":null},
		{"name":"err","type":["null",{"type":"record","name":"Err","namespace":"n.s","fields":[{"name":"code","type":["null","string"],"default":null}]}],"default":null},
		{"name":"tags","type":["null",{"type":"map","values":"string"}],"default":null},
		{"name":"cells","type":["null",{"type":"array","items":{"type":"record","name":"Cell","namespace":"n.s","fields":[{"name":"n","type":["null","int"],"default":null}]}}],"default":null},
		{"name":"event_date","type":["null","string"],"default":null},
		{"name":"event_hour","type":["null","string"],"default":null},
		{"name":"_hoodie_kafka_source_partition","type":["null","int"],"default":null},
		{"name":"_hoodie_kafka_source_offset","type":["null","long"],"default":null},
		{"name":"_hoodie_kafka_source_timestamp","type":["null","long"],"default":null}]}`
	if canonical(t, got) != canonical(t, want) {
		t.Errorf("table schema is\n%s\nwant\n%s", got, want)
	}
	if _, err := avro.ParseWithCache(got, "", &avro.SchemaCache{}); err != nil {
		t.Errorf("table schema is no Avro: %v", err)
	}
}

func canonical(t *testing.T, text string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestTableSchemaRefuses(t *testing.T) {
	t.Parallel()
	for name, event := range map[string]string{
		"union of several": record1(`{"name":"a","type":["int","string"]}`),
		"always null":      record1(`{"name":"a","type":"null"}`),
		"own column":       record1(`{"name":"event_date","type":"string"}`),
		"enum":             record1(`{"name":"a","type":{"type":"enum","name":"X","symbols":["A"]}}`),
		"holds itself":     record1(`{"name":"a","type":["null","E"]}`),
		"not a record":     `"string"`,
		"not JSON":         `{`,
		"too deep":         record1(`{"name":"a","type":` + strings.Repeat(`{"type":"array","items":`, 100) + `"int"` + strings.Repeat("}", 100) + `}`),
	} {
		if got, err := TableSchema(event, true); err == nil {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	base := `{"name":"a","type":"int"},{"name":"r","type":{"type":"record","name":"R","fields":[{"name":"x","type":"string"}]}}`
	tests := []struct {
		name, next string
		changed    bool
		refused    string
	}{
		{"same", base, false, ""},
		{"nullability only", `{"name":"a","type":["null","int"]},{"name":"r","type":{"type":"record","name":"R","fields":[{"name":"x","type":"string"}]}}`, false, ""},
		{"fewer fields", `{"name":"a","type":"int"}`, false, ""},
		{"new field", base + `,{"name":"b","type":"string"}`, true, ""},
		{"new nested field", `{"name":"r","type":{"type":"record","name":"R","fields":[{"name":"y","type":"long"}]}}`, true, ""},
		{"other type", `{"name":"a","type":"long"}`, false, "field a: type int became long"},
		{"other logical type", `{"name":"a","type":{"type":"int","logicalType":"date"}}`, false, "field a: size, logical type"},
		{"other nested type", `{"name":"r","type":{"type":"record","name":"R","fields":[{"name":"x","type":"long"}]}}`, false, "field r.x: type string became long"},
		{"case", `{"name":"A","type":"int"}`, false, "field A: differs from a column in case only"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			have, err := tableType(record1(base), false)
			if err != nil {
				t.Fatal(err)
			}
			want, err := tableType(record1(tt.next), false)
			if err != nil {
				t.Fatal(err)
			}
			before, _ := have.text()
			merged, changed, err := merge(have, want, nil)
			if tt.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tt.refused) {
					t.Fatalf("merge: %v, want %q", err, tt.refused)
				}
				return
			}
			if err != nil || changed != tt.changed {
				t.Fatalf("merge: changed %v, %v; want %v", changed, err, tt.changed)
			}
			after, _ := have.text()
			if before != after {
				t.Error("merge changed its input")
			}
			// What was merged once is settled: the old version adds nothing to the new table.
			if _, again, err := merge(merged, want, nil); err != nil || again {
				t.Errorf("second merge: changed %v, %v", again, err)
			}
			if _, again, err := merge(merged, have, nil); err != nil || again {
				t.Errorf("merge of the old version: changed %v, %v", again, err)
			}
		})
	}
}

func FuzzTableSchema(f *testing.F) {
	f.Add(record1(`{"name":"a","type":["null","int"]}`))
	f.Add(record1(`{"name":"a","type":{"type":"map","values":{"type":"array","items":"string"}}}`))
	f.Add(`{"type":{"type":"record","name":"x","fields":[]}}`)
	f.Fuzz(func(t *testing.T, event string) {
		table, err := TableSchema(event, true)
		if err != nil {
			return
		}
		// The schema of a table is its own table's schema, but for the columns that are there already.
		parsed, err := parseSchema(table)
		if err != nil {
			t.Fatalf("table schema %s: %v", table, err)
		}
		if again, err := parsed.text(); err != nil || again != table {
			t.Errorf("table schema %s is written again as %s, %v", table, again, err)
		}
	})
}
