package transcode_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/services/internal/avroscan"
)

// wide has every type that the transcoder reads. Its maps stay at one entry in generated events, since hamba writes the
// entries of a map in any order.
const wide = `{"type":"record","name":"R","fields":[
	{"name":"b","type":"boolean"},
	{"name":"i","type":"int"},
	{"name":"l","type":["null","long"],"default":null},
	{"name":"f","type":"float"},
	{"name":"d","type":["double","null"],"default":1.5},
	{"name":"s","type":"string"},
	{"name":"by","type":"bytes"},
	{"name":"fx","type":{"type":"fixed","name":"FX","size":5}},
	{"name":"e","type":{"type":"enum","name":"E","symbols":["A","B","C"]},"default":"B"},
	{"name":"t","type":{"type":"long","logicalType":"timestamp-micros"}},
	{"name":"dec","type":["null",{"type":"fixed","name":"DEC","size":8,"logicalType":"decimal","precision":18,"scale":4}],"default":null},
	{"name":"deb","type":{"type":"bytes","logicalType":"decimal","precision":40,"scale":6}},
	{"name":"r","type":["null",{"type":"record","name":"N","fields":[
		{"name":"x","type":"string"},{"name":"y","type":["null","int"],"default":null},{"name":"z","type":"long","default":7}]}],"default":null},
	{"name":"a","type":{"type":"array","items":["null","N"]},"default":[]},
	{"name":"m","type":{"type":"map","values":{"type":"array","items":"string"}},"default":{}},
	{"name":"one","type":["int"],"default":3}]}`

var oracle = avro.Config{BlockLength: 1 << 20, DisableBlockSizeHeader: true}.Freeze()

func compile(t testing.TB, schema string) *avroscan.Program {
	t.Helper()
	p, err := avroscan.Compile([]byte(schema), avroscan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func oracleSchema(t testing.TB, schema string) avro.Schema {
	t.Helper()
	s, err := avro.ParseWithCache(strings.ReplaceAll(schema, `"logicalType"`, `"notLogicalType"`), "", &avro.SchemaCache{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// viaMaps is the slow way: encoding/json into maps, then hamba. The event is one that the transcoder takes.
func viaMaps(t testing.TB, root *avroscan.Type, schema avro.Schema, event []byte) []byte {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(event))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("encoding/json refuses %s: %v", event, err)
	}
	body, err := oracle.Marshal(schema, native(t, root, v))
	if err != nil {
		t.Fatalf("hamba refuses %s: %v", event, err)
	}
	return body
}

// native turns a JSON value into what hamba wants for a type.
func native(t testing.TB, typ *avroscan.Type, v any) any {
	t.Helper()
	if value, nullIndex := typ.Optional(); nullIndex >= 0 {
		if v == nil {
			return nil
		}
		return map[string]any{branchName(value): native(t, value, v)}
	}
	if typ.Kind == avroscan.Union {
		return map[string]any{branchName(typ.Branches[0]): native(t, typ.Branches[0], v)}
	}
	if typ.Logical == "decimal" {
		return nativeDecimal(t, typ, fmt.Sprint(v))
	}
	switch typ.Kind {
	case avroscan.Int:
		return int(nativeLong(t, v))
	case avroscan.Long:
		return nativeLong(t, v)
	case avroscan.Float:
		f, err := v.(json.Number).Float64()
		if err != nil {
			t.Fatal(err)
		}
		return float32(f)
	case avroscan.Double:
		f, err := v.(json.Number).Float64()
		if err != nil {
			t.Fatal(err)
		}
		return f
	case avroscan.Bytes, avroscan.Fixed:
		b, err := base64.StdEncoding.DecodeString(v.(string))
		if err != nil {
			t.Fatal(err)
		}
		if typ.Kind == avroscan.Bytes {
			return b
		}
		return fixed(b)
	case avroscan.Record:
		out := map[string]any{}
		for _, f := range typ.Fields {
			member, given := v.(map[string]any)[f.Name]
			switch {
			case given:
				out[f.Name] = native(t, f.Type, member)
			case f.Type.Kind == avroscan.Map:
				out[f.Name] = map[string]any{} // hamba writes no default of a map
			case f.Type.Kind == avroscan.Union && f.Type.Branches[0].Kind == avroscan.Null:
				out[f.Name] = nil
			}
		}
		return out
	case avroscan.Array:
		out := []any{}
		for _, item := range v.([]any) {
			out = append(out, native(t, typ.Items, item))
		}
		return out
	case avroscan.Map:
		out := map[string]any{}
		for k, value := range v.(map[string]any) {
			out[k] = native(t, typ.Values, value)
		}
		return out
	}
	return v
}

func branchName(t *avroscan.Type) string {
	if t.Name != "" {
		return t.Name
	}
	return t.Kind.String()
}

func fixed(b []byte) any {
	switch len(b) {
	case 5:
		return [5]byte(b)
	case 8:
		return [8]byte(b)
	}
	panic("the test schemas have no fixed of this size")
}

func nativeLong(t testing.TB, v any) int64 {
	t.Helper()
	if text, ok := v.(string); ok {
		at, err := time.Parse(time.RFC3339, strings.ToUpper(text))
		if err != nil {
			t.Fatal(err)
		}
		return at.UnixMicro()
	}
	r, ok := new(big.Rat).SetString(string(v.(json.Number)))
	if !ok || !r.IsInt() || !r.Num().IsInt64() {
		t.Fatalf("%v is no long", v)
	}
	return r.Num().Int64()
}

func nativeDecimal(t testing.TB, typ *avroscan.Type, text string) any {
	t.Helper()
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		t.Fatalf("%q is no number", text)
	}
	r.Mul(r, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(typ.Scale)), nil)))
	if !r.IsInt() {
		t.Fatalf("%q is not exact", text)
	}
	if typ.Kind == avroscan.Fixed {
		b := make([]byte, 8)
		v := r.Num().Int64()
		for i := range b {
			b[7-i] = byte(v >> (8 * i))
		}
		return fixed(b)
	}
	// The shortest two's complement, by trying sizes.
	for size := uint(1); ; size++ {
		limit := new(big.Int).Lsh(big.NewInt(1), 8*size-1)
		if r.Num().Cmp(limit) < 0 && r.Num().Cmp(new(big.Int).Neg(limit)) >= 0 {
			v := new(big.Int).Set(r.Num())
			if v.Sign() < 0 {
				v.Add(v, new(big.Int).Lsh(big.NewInt(1), 8*size))
			}
			return v.FillBytes(make([]byte, size))
		}
	}
}

// generator writes events of a schema in all their forms.
type generator struct{ *rand.Rand }

func (g generator) one(choices ...string) string { return choices[g.IntN(len(choices))] }

// space is what may stand between tokens.
func (g generator) space() string { return g.one("", "", "", " ", "\n\t", "\r") }

func (g generator) text() string {
	return g.one(`""`, `"a"`, `"session 12"`, `"näive 日本語 🎬"`, `"a\"b\\c\/\b\f\n\r\t"`, `"\u00e9\uD83C\uDFAC\u0000"`,
		`"0123456789abcdef0123456789abcdef\n0123456789abcdef"`, `"1234567"`, `"12345678"`, `"123456é"`)
}

func (g generator) integer() string {
	return g.one("0", "-0", "7", "-1", "64", "-65", "2147483647", "-2147483648", "1e3", "1.50e2", "120e-1", "0.0", "0e400", "1E+2", "-3.000")
}

func (g generator) value(t *avroscan.Type) string {
	value, nullIndex := t.Optional()
	if nullIndex >= 0 && g.IntN(3) == 0 {
		return "null"
	}
	if value.Kind == avroscan.Union {
		value = value.Branches[0]
	}
	if value.Logical == "decimal" {
		n := g.one("0", "-0.0001", "12.5", "99999999999999.9999", "-99999999999999.9999", "1e-4", "1.25E3", "0.00320", "-128e-4", "127e-4", "128e-4", "-129e-4")
		return g.one(n, `"`+n+`"`)
	}
	switch value.Kind {
	case avroscan.Boolean:
		return g.one("true", "false")
	case avroscan.Int:
		return g.integer()
	case avroscan.Long:
		if value.Logical != "" && g.IntN(2) == 0 {
			return g.one(`"2026-11-22T08:15:00Z"`, `"1969-12-31T23:59:59.999999Z"`, `"2024-02-29t12:00:00.5+02:00"`, `"0001-01-01T00:00:00.123456789-23:59"`, `"2026-11-22T08:15:00.1z"`)
		}
		return g.one(g.integer(), "9223372036854775807", "-9223372036854775808", "123456789012345678", "1234567890123456789", "9.223372036854775807e18")
	case avroscan.Float:
		return g.one("0", "1.5", "-2e-3", "3.4028234e38", "16777217", "1e-50")
	case avroscan.Double:
		return g.one("0", "-0", "0.1", "1.7976931348623157e308", "5e-324", "123456789.123456789")
	case avroscan.String:
		return g.text()
	case avroscan.Enum:
		return `"` + value.Symbols[g.IntN(len(value.Symbols))] + `"`
	case avroscan.Bytes:
		return g.one(`""`, `"AA=="`, `"/+8="`, `"aGVsbG8gd29ybGQ\u003d"`)
	case avroscan.Fixed:
		return g.one(`"AAECAwQ="`, `"\/\/\/\/\/\/8="`)
	case avroscan.Record:
		return g.record(value)
	case avroscan.Array:
		return g.list(value)
	case avroscan.Map:
		if g.IntN(2) == 0 {
			return "{" + g.space() + "}"
		}
		return "{" + g.text() + g.space() + ":" + g.value(value.Values) + "}"
	}
	return "null"
}

func (g generator) list(t *avroscan.Type) string {
	items := make([]string, []int{0, 1, 2, 63, 64, 65}[g.IntN(6)])
	for i := range items {
		items[i] = g.space() + g.value(t.Items) + g.space()
	}
	return "[" + strings.Join(items, ",") + "]"
}

// record writes all members in the schema's order, or some of them in any order.
func (g generator) record(t *avroscan.Type) string {
	shuffle := g.IntN(2) == 0
	var members []string
	for _, f := range t.Fields {
		if f.HasDefault && g.IntN(4) == 0 {
			continue
		}
		name := `"` + f.Name + `"`
		if g.IntN(10) == 0 {
			name = fmt.Sprintf(`"\u%04x%s"`, f.Name[0], f.Name[1:])
		}
		members = append(members, g.space()+name+g.space()+":"+g.space()+g.value(f.Type)+g.space())
	}
	if shuffle {
		g.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	}
	return "{" + g.space() + strings.Join(members, ",") + "}"
}
