package avroscan_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/playhead-pipeline/playhead/services/internal/avroscan"
)

func record(fields string) string {
	return `{"type":"record","name":"R","namespace":"n.s","fields":[` + fields + `]}`
}

func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	field := func(typ string) string { return record(`{"name":"f","type":` + typ + `}`) }
	withDefault := func(typ, value string) string {
		return record(`{"name":"f","type":` + typ + `,"default":` + value + `}`)
	}
	inner := `{"type":"record","name":"N","fields":[{"name":"x","type":"int"},{"name":"y","type":"int","default":7}]}`
	tests := map[string]struct {
		schema, path, reason string
	}{
		"not JSON":               {`{`, "", "not JSON"},
		"text after":             {record(`{"name":"f","type":"int"}`) + "1", "", "text after"},
		"member twice":           {`{"type":"record","type":"record","name":"R","fields":[]}`, "", "occurs twice"},
		"deep JSON":              {strings.Repeat("[", 5000), "", "nested deeper"},
		"root is no record":      {`"string"`, "", "not a record"},
		"root is a number":       {`7`, "", "a type is"},
		"no fields":              {record(``), "", "no fields"},
		"field is a text":        {record(`"f"`), "", "a field is an object"},
		"field name":             {record(`{"name":"a-b","type":"int"}`), "", "not a field name"},
		"field twice":            {record(`{"name":"a","type":"int"},{"name":"a","type":"int"}`), "", "occurs twice"},
		"field without type":     {record(`{"name":"a"}`), "", "no type"},
		"type unknown":           {field(`"Foo"`), "f", "not defined"},
		"type without type":      {field(`{"name":"x"}`), "f", "without \"type\""},
		"bare null":              {field(`"null"`), "f", "bare null"},
		"array of null":          {field(`{"type":"array","items":"null"}`), "f[]", "bare null"},
		"array without items":    {field(`{"type":"array"}`), "f", "without \"items\""},
		"nested place":           {field(`{"type":"map","values":{"type":"record","name":"N","fields":[{"name":"g","type":"Q"}]}}`), "f[].g", "not defined"},
		"recursion":              {field(`["null","R"]`), "f", `type "n.s.R" contains itself`},
		"recursion, full name":   {field(`{"type":"array","items":"n.s.R"}`), "f[]", "contains itself"},
		"defined twice":          {field(`{"type":"record","name":"n.s.R","fields":[{"name":"x","type":"int"}]}`), "f", "defined twice"},
		"name of a type":         {field(`{"type":"enum","name":"1x","symbols":["A"]}`), "f", "not a name"},
		"nameless":               {field(`{"type":"enum","symbols":["A"]}`), "f", "without a name"},
		"primitive name":         {`{"type":"record","name":"int","fields":[{"name":"x","type":"int"}]}`, "", "primitive"},
		"enum without symbols":   {field(`{"type":"enum","name":"E","symbols":[]}`), "f", "no symbols"},
		"symbol twice":           {field(`{"type":"enum","name":"E","symbols":["A","A"]}`), "f", "occurs twice"},
		"enum default":           {field(`{"type":"enum","name":"E","symbols":["A"],"default":"B"}`), "f", "not one of"},
		"fixed of 0":             {field(`{"type":"fixed","name":"F","size":0}`), "f", "size"},
		"fixed of text":          {field(`{"type":"fixed","name":"F","size":"4"}`), "f", "size"},
		"fixed of 2 GiB":         {field(`{"type":"fixed","name":"F","size":2147483648}`), "f", "size"},
		"empty union":            {field(`[]`), "f", "without branches"},
		"union of null":          {field(`["null"]`), "f", "null alone"},
		"union in union":         {field(`["null",["int"]]`), "f", "directly in a union"},
		"union with two ints":    {field(`["int","int"]`), "f", "two branches"},
		"union with two arrays":  {field(`[{"type":"array","items":"int"},{"type":"array","items":"long"}]`), "f", "two branches"},
		"default: type":          {withDefault(`"int"`, `"x"`), "f", "default"},
		"default: range":         {withDefault(`"int"`, `2147483648`), "f", "default"},
		"default: fraction":      {withDefault(`"long"`, `1.5`), "f", "default"},
		"default: not first":     {withDefault(`["null","int"]`, `5`), "f", "default"},
		"default: null":          {withDefault(`"string"`, `null`), "f", "default"},
		"default: symbol":        {withDefault(`{"type":"enum","name":"E","symbols":["A"]}`, `"B"`), "f", "default"},
		"default: fixed size":    {withDefault(`{"type":"fixed","name":"F","size":2}`, `"abc"`), "f", "default"},
		"default: beyond byte":   {withDefault(`"bytes"`, `"Ā"`), "f", "default"},
		"default: float too big": {withDefault(`"float"`, `1e39`), "f", "default"},
		"default: record":        {withDefault(inner, `{"y":1}`), "f", "no value for field \"x\""},
		"default: member":        {withDefault(inner, `{"x":1,"z":1}`), "f", "has not"},
		"default: items":         {withDefault(`{"type":"array","items":"int"}`, `[true]`), "f", "default"},
		"default: array":         {withDefault(`{"type":"array","items":"int"}`, `{}`), "f", "default"},
		"default: map":           {withDefault(`{"type":"map","values":"int"}`, `[]`), "f", "default"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := avroscan.Compile([]byte(test.schema), avroscan.Options{})
			var e *avroscan.SchemaError
			if !errors.As(err, &e) || e.Path != test.path || !strings.Contains(e.Reason, test.reason) {
				t.Errorf("got %v, want path %q and a reason with %q", err, test.path, test.reason)
			}
		})
	}
}

// Small texts that would cost much: they must be refused before they do.
func TestCompileBounds(t *testing.T) {
	t.Parallel()
	// levels nests a record type n times, each level using the one below in the given fields.
	levels := func(n int, first, format string) string {
		var b strings.Builder
		b.WriteString(first)
		for i := 1; i < n; i++ {
			b.WriteString(strings.ReplaceAll(strings.ReplaceAll(format, "$i", fmt.Sprint(i)), "$p", fmt.Sprint(i-1)))
		}
		return record(b.String())
	}
	tests := map[string]struct {
		schema, reason string
		limits         avroscan.SchemaLimits
	}{
		"text":   {record(`{"name":"f","type":"int"}`), "bytes, more than 20", avroscan.SchemaLimits{MaxBytes: 20}},
		"fields": {record(`{"name":"f","type":"int"},{"name":"g","type":"int"}`), "more than 1 fields", avroscan.SchemaLimits{MaxFields: 1}},
		"expanded fields": {
			levels(30, `{"name":"l0","type":{"type":"record","name":"L0","fields":[{"name":"x","type":"int"}]}}`,
				`,{"name":"l$i","type":{"type":"record","name":"L$i","fields":[{"name":"x","type":"L$p"},{"name":"y","type":"L$p"}]}}`),
			"more than 2000 fields",
			avroscan.SchemaLimits{},
		},
		"nested by reference": {
			levels(40, `{"name":"l0","type":{"type":"record","name":"L0","fields":[{"name":"x","type":"int"}]}}`,
				`,{"name":"l$i","type":{"type":"record","name":"L$i","fields":[{"name":"x","type":"L$p"}]}}`),
			"nested deeper than 32",
			avroscan.SchemaLimits{},
		},
		"nested arrays": {
			record(`{"name":"f","type":` + strings.Repeat(`{"type":"array","items":`, 32) + `"int"` + strings.Repeat(`}`, 33)),
			"nested deeper than 32",
			avroscan.SchemaLimits{},
		},
		"defaults": {
			record(`{"name":"a","type":{"type":"record","name":"A","fields":[{"name":"x","type":"string","default":"` + strings.Repeat("x", 300_000) + `"}]},"default":{}},` +
				`{"name":"b","type":"A","default":{}},{"name":"c","type":"A","default":{}},{"name":"d","type":"A","default":{}}`),
			"defaults take more",
			avroscan.SchemaLimits{},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := avroscan.Compile([]byte(test.schema), avroscan.Options{SchemaLimits: test.limits})
			var e *avroscan.SchemaError
			if !errors.As(err, &e) || !strings.Contains(e.Reason, test.reason) {
				t.Errorf("got %.300v, want a reason with %q", err, test.reason)
			}
		})
	}
	if _, err := avroscan.Compile([]byte(record(`{"name":"f","type":"int"}`)), avroscan.Options{Limits: avroscan.Limits{MaxDepth: 1}}); err != nil {
		t.Errorf("a flat record within depth 1: %v", err)
	}
}

// Defaults are encoded as hamba encodes a record from which the field is left out.
func TestDefaults(t *testing.T) {
	t.Parallel()
	fields := map[string]string{
		"long":   `{"name":"f","type":"long","default":-9223372036854775808}`,
		"double": `{"name":"f","type":"double","default":1.25e-7}`,
		"float":  `{"name":"f","type":"float","default":3}`,
		"bool":   `{"name":"f","type":"boolean","default":true}`,
		"text":   `{"name":"f","type":"string","default":"naïve"}`,
		"enum":   `{"name":"f","type":{"type":"enum","name":"E","symbols":["A","B"]},"default":"B"}`,
		"null":   `{"name":"f","type":["null","string"],"default":null}`,
		"union":  `{"name":"f","type":["string","null"],"default":"x"}`,
		"array":  `{"name":"f","type":{"type":"array","items":"int"},"default":[1,2,-3]}`,
		"empty":  `{"name":"f","type":{"type":"map","values":"int"},"default":{}}`,
	}
	for name, field := range fields {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := compile(t, record(field))
			want := encode(t, oracleSchema(t, record(field)), map[string]any{})
			s := p.Slots()[0]
			if !s.HasDefault || !bytes.Equal(s.Default, want) {
				t.Errorf("default is %x, want %x", s.Default, want)
			}
			if err := p.Scan(s.Default, make([]avroscan.Span, len(p.Slots()))); err != nil {
				t.Errorf("the encoded default is refused: %v", err)
			}
		})
	}
}

// These hamba gets wrong: it has no value for bytes, writes an empty map, and knows no null inside of a record.
func TestDefaultsByHand(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		field string
		want  []byte
	}{
		"bytes": {`{"name":"f","type":"bytes","default":"\u0000ÿ"}`, []byte{4, 0, 0xff}},
		"fixed": {`{"name":"f","type":{"type":"fixed","name":"F","size":2},"default":"\u0001é"}`, []byte{1, 0xe9}},
		"map":   {`{"name":"f","type":{"type":"map","values":"int"},"default":{"k":1}}`, []byte{2, 2, 'k', 2, 0}},
		"record": {
			`{"name":"f","type":{"type":"record","name":"N","fields":[{"name":"x","type":"int"},{"name":"y","type":["null","int"],"default":null},
			{"name":"z","type":"string","default":"q"}]},"default":{"z":"w","x":4}}`, []byte{8, 0, 2, 'w'},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := compile(t, record(test.field)).Slots()[0].Default; !bytes.Equal(got, test.want) {
				t.Errorf("default is %x, want %x", got, test.want)
			}
		})
	}
}

func TestTypeTree(t *testing.T) {
	t.Parallel()
	p := compile(t, record(`
		{"name":"a","type":{"type":"long","logicalType":"timestamp-micros"},"playhead.role":"event_time","playhead.n":1,"other":"x"},
		{"name":"b","type":["null",{"type":"fixed","name":"D","size":8,"logicalType":"decimal","precision":18,"scale":4}],"default":null},
		{"name":"c","type":{"type":"fixed","name":"o.F","size":8,"logicalType":"decimal","precision":19}},
		{"name":"d","type":{"type":"int","logicalType":"timestamp-micros"}},
		{"name":"e","type":"o.F"},
		{"name":"g","type":{"type":{"type":"enum","name":"E","symbols":["X"]}}},
		{"name":"h","type":"E"}`))
	slots := p.Slots()
	if s := slots[0]; s.Type.Logical != "timestamp-micros" || !maps.Equal(s.Props, map[string]string{"playhead.role": "event_time"}) {
		t.Errorf("slot a is %+v with type %+v", s, s.Type)
	}
	if s := slots[1]; !s.Nullable || s.Type.Logical != "decimal" || s.Type.Precision != 18 || s.Type.Scale != 4 || s.Type.Name != "n.s.D" {
		t.Errorf("slot b is %+v with type %+v", s, s.Type)
	}
	if s := slots[2]; s.Type.Logical != "" {
		t.Errorf("19 digits fit no 8 bytes, but slot c has logical type %q", s.Type.Logical)
	}
	if s := slots[3]; s.Type.Logical != "" {
		t.Errorf("slot d, an int, has logical type %q", s.Type.Logical)
	}
	if slots[4].Type != slots[2].Type || slots[6].Type != slots[5].Type || slots[6].Type.Name != "n.s.E" {
		t.Error("references do not lead to their definitions")
	}
	if p.Root().Name != "n.s.R" || len(p.Root().Fields) != 7 {
		t.Errorf("root is %+v", p.Root())
	}
}
