package inspect

import (
	"strings"
	"testing"

	"github.com/hamba/avro/v2"
)

func schemaOf(t *testing.T, fields string) avro.Schema {
	t.Helper()
	s, err := avro.ParseWithCache(`{"type":"record","name":"r","fields":[`+fields+`]}`, "", &avro.SchemaCache{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEvolved(t *testing.T) {
	t.Parallel()
	const (
		decimal = `{"type":"fixed","name":"d","size":8,"logicalType":"decimal","precision":18,"scale":4}`
		inner   = `{"name":"a","type":{"type":"record","name":"i","fields":[{"name":"x","type":"int"}]}}`
	)
	for name, tc := range map[string]struct{ old, next, want string }{
		"same":               {`{"name":"a","type":"int"}`, `{"name":"a","type":"int"}`, ""},
		"added":              {`{"name":"a","type":"int"}`, `{"name":"a","type":"int"},{"name":"b","type":["null","int"],"default":null}`, ""},
		"added, required":    {`{"name":"a","type":"int"}`, `{"name":"a","type":"int"},{"name":"b","type":"int"}`, "column b is new and cannot be null"},
		"gone":               {`{"name":"a","type":"int"},{"name":"b","type":"int"}`, `{"name":"a","type":"int"}`, "column b is gone"},
		"nullable":           {`{"name":"a","type":"int"}`, `{"name":"a","type":["null","int"]}`, ""},
		"not nullable":       {`{"name":"a","type":["null","int"]}`, `{"name":"a","type":"int"}`, "column a cannot be null any more"},
		"promoted":           {`{"name":"a","type":"int"}`, `{"name":"a","type":["null","long"]}`, ""},
		"narrowed":           {`{"name":"a","type":"long"}`, `{"name":"a","type":"int"}`, "column a was long and is int"},
		"float to double":    {`{"name":"a","type":"float"}`, `{"name":"a","type":"double"}`, "column a was float and is double"},
		"enum to string":     {`{"name":"a","type":{"type":"enum","name":"e","symbols":["A"]}}`, `{"name":"a","type":"string"}`, ""},
		"another scale":      {`{"name":"a","type":` + decimal + `}`, `{"name":"a","type":` + strings.Replace(decimal, `"scale":4`, `"scale":2`, 1) + `}`, "decimal(18, 4)"},
		"another unit":       {`{"name":"a","type":{"type":"long","logicalType":"timestamp-millis"}}`, `{"name":"a","type":{"type":"long","logicalType":"timestamp-micros"}}`, "timestamp-millis"},
		"nested, added":      {inner, strings.Replace(inner, `"int"}`, `"int"},{"name":"y","type":["null","int"],"default":null}`, 1), ""},
		"nested, narrowed":   {strings.Replace(inner, `"int"`, `"long"`, 1), inner, "column a.x was long and is int"},
		"items, narrowed":    {`{"name":"a","type":{"type":"array","items":"long"}}`, `{"name":"a","type":{"type":"array","items":"int"}}`, "column a.[] was long"},
		"values, gone":       {`{"name":"a","type":{"type":"map","values":"long"}}`, `{"name":"a","type":{"type":"map","values":"string"}}`, "column a.{} was long"},
		"record to a string": {inner, `{"name":"a","type":"string"}`, "column a was record and is string"},
	} {
		reasons := strings.Join(evolved(schemaOf(t, tc.old), schemaOf(t, tc.next), ""), "; ")
		if (reasons == "") != (tc.want == "") || !strings.Contains(reasons, tc.want) {
			t.Errorf("%s: %q, want %q", name, reasons, tc.want)
		}
	}
}

func TestRiskyTypes(t *testing.T) {
	t.Parallel()
	for fields, want := range map[string]string{
		`{"name":"a","type":["null","string"]}`: "",
		`{"name":"a","type":{"type":"fixed","name":"d","size":8,"logicalType":"decimal","precision":18,"scale":4}}`:                        "",
		`{"name":"a","type":{"type":"bytes","logicalType":"decimal","precision":18,"scale":4}}`:                                            "column a is a decimal",
		`{"name":"a","type":{"type":"array","items":{"type":"enum","name":"e","symbols":["A"]}}}`:                                          "column a.[] is an enum",
		`{"name":"a","type":{"type":"map","values":{"type":"long","logicalType":"timestamp-millis"}}}`:                                     "column a.{} is in milliseconds",
		`{"name":"a","type":{"type":"record","name":"i","fields":[{"name":"t","type":{"type":"long","logicalType":"timestamp-millis"}}]}}`: "column a.t is in milliseconds",
	} {
		reasons := strings.Join(riskyTypes(schemaOf(t, fields), ""), "; ")
		if (reasons == "") != (want == "") || !strings.Contains(reasons, want) {
			t.Errorf("%s: %q, want %q", fields, reasons, want)
		}
	}
}
