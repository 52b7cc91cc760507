package avroscan_test

import (
	"bytes"
	"testing"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/services/internal/avroscan"
)

const fuzzSchema = `{"type":"record","name":"R","fields":[
	{"name":"i","type":"int"},{"name":"l","type":["long","null"]},{"name":"s","type":["null","string"]},{"name":"b","type":"bytes"},
	{"name":"e","type":{"type":"enum","name":"E","symbols":["A","B","C"]}},{"name":"x","type":{"type":"fixed","name":"X","size":3}},
	{"name":"u","type":["null","int",{"type":"array","items":"boolean"},"E"]},
	{"name":"r","type":["null",{"type":"record","name":"N","fields":[{"name":"d","type":"double"},{"name":"m","type":{"type":"map","values":"string"}}]}]},
	{"name":"a","type":{"type":"array","items":{"type":"map","values":["null","N"]}}}]}`

// FuzzScan holds what Scan takes against hamba:
//   - hamba decodes it too,
//   - and encodes it again to a body that Scan takes, that is no longer, and that decodes and encodes to the same length;
//     it is of the same length when the body has single blocks without sizes and no overlong varints, as the seeds have.
//
// And on its own: each slot lies inside its parent and after the slot before it.
func FuzzScan(f *testing.F) {
	schema := oracleSchema(f, fuzzSchema)
	p := compile(f, fuzzSchema)
	nested := map[string]any{"d": 1.5, "m": map[string]any{"k": "v"}}
	seeds := []map[string]any{
		{"i": 1, "l": nil, "s": nil, "b": []byte{}, "e": "A", "x": [3]byte{1}, "u": nil, "r": nil, "a": []any{}},
		{
			"i": -70_000, "l": union("long", int64(1<<60)), "s": union("string", "é"), "b": []byte{0xff}, "e": "C", "x": [3]byte{1}, "u": union("int", 4),
			"r": union("N", nested), "a": []any{map[string]any{"q": union("N", nested)}, map[string]any{"z": nil}},
		},
		{
			"i": 0, "l": union("long", int64(-1)), "s": union("string", ""), "b": []byte("abc"), "e": "B", "x": [3]byte{1},
			"u": union("array", []any{true, false}), "r": nil, "a": []any{map[string]any{}},
		},
	}
	for _, seed := range seeds {
		body := encode(f, schema, seed)
		f.Add(body)
		if again := reencode(f, schema, body); len(again) != len(body) {
			f.Fatalf("%x encodes again to %x", body, again)
		}
	}
	f.Add([]byte{0x82, 0x80, 0, 2, 0, 0, 0, 1, 2, 3, 0, 0, 3, 2, 0, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		spans := make([]avroscan.Span, len(p.Slots()))
		if p.Scan(body, spans) != nil {
			return
		}
		checkOrder(t, p, spans, len(body))
		again := reencode(t, schema, body)
		if len(again) > len(body) {
			t.Fatalf("%x encodes again to %x, which is longer", body, again)
		}
		if err := p.Scan(again, spans); err != nil {
			t.Fatalf("%x, encoded again from %x: %v", again, body, err)
		}
		if third := reencode(t, schema, again); len(third) != len(again) {
			t.Fatalf("%x encodes again to %x", again, third)
		}
	})
}

func reencode(t testing.TB, schema avro.Schema, body []byte) []byte {
	t.Helper()
	var v any
	if err := oracle.Unmarshal(schema, body, &v); err != nil {
		t.Fatalf("hamba refuses %x: %v", body, err)
	}
	return encode(t, schema, v)
}

func checkOrder(t *testing.T, p *avroscan.Program, spans []avroscan.Span, size int) {
	t.Helper()
	at := map[int]int{} // by parent: where the next field must begin
	for i, s := range p.Slots() {
		span := spans[i]
		if s.Parent >= 0 && spans[s.Parent].Value < 0 {
			if span != (avroscan.Span{Start: -1, End: -1, Value: -1}) {
				t.Fatalf("%s is %+v inside of an absent record", s.Path, span)
			}
			continue
		}
		begin, seen := at[s.Parent]
		if !seen && s.Parent >= 0 {
			begin = spans[s.Parent].Value
		}
		if span.Start != begin || span.End <= span.Start || span.End > size || span.Value >= span.End {
			t.Fatalf("%s is %+v, want it to begin at %d", s.Path, span, begin)
		}
		at[s.Parent] = span.End
	}
	if at[-1] != size {
		t.Fatalf("the last field ends at %d of %d", at[-1], size)
	}
}

// FuzzCompile wants no panic on any text, nor on a body that is scanned by what came out.
func FuzzCompile(f *testing.F) {
	f.Add(eventSchema(f))
	f.Add([]byte(fuzzSchema))
	f.Add([]byte(`{"type":"error","name":"a.B","fields":[{"name":"f","type":{"type":"bytes","logicalType":"decimal","precision":4},"default":"\u00ff"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := avroscan.Compile(text, avroscan.Options{SchemaLimits: avroscan.SchemaLimits{MaxBytes: 8 << 10, MaxFields: 200}})
		if err != nil {
			return
		}
		spans := make([]avroscan.Span, len(p.Slots()))
		_ = p.Scan(bytes.Repeat([]byte{2}, 100), spans)
		_ = p.Scan(make([]byte, 100), spans)
	})
}
