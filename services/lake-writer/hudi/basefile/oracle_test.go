package basefile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hamba/avro/v2"
)

// The oracle of these tests is the Avro library's generic codec: it encodes what the tests make up, and its decoder, which the
// package never uses, says what a payload holds.

const testTableSchema = `{"type":"record","name":"t","fields":[
 {"name":"s","type":["null","string"],"default":null},
 {"name":"b","type":["null","bytes"],"default":null},
 {"name":"flag","type":["null","boolean"],"default":null},
 {"name":"i","type":["null","int"],"default":null},
 {"name":"l","type":["null","long"],"default":null},
 {"name":"widened","type":["null","long"],"default":null},
 {"name":"f","type":["null","float"],"default":null},
 {"name":"d","type":["null","double"],"default":null},
 {"name":"day","type":["null",{"type":"int","logicalType":"date"}],"default":null},
 {"name":"tod","type":["null",{"type":"long","logicalType":"time-micros"}],"default":null},
 {"name":"ts","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null},
 {"name":"ms","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null},
 {"name":"price","type":["null",{"type":"fixed","name":"fx8","size":8,"logicalType":"decimal","precision":18,"scale":4}],"default":null},
 {"name":"big","type":["null",{"type":"fixed","name":"fx16","size":16,"logicalType":"decimal","precision":38,"scale":10}],"default":null},
 {"name":"raw","type":["null",{"type":"fixed","name":"fx3","size":3}],"default":null},
 {"name":"color","type":["null","string"],"default":null},
 {"name":"rec","type":["null",{"type":"record","name":"r","fields":[
   {"name":"code","type":["null","string"]},
   {"name":"message","type":["null","string"]},
   {"name":"inner","type":["null",{"type":"record","name":"r2","fields":[{"name":"x","type":["null","int"]},{"name":"y","type":["null",{"type":"array","items":"long"}]}]}]}
 ]}],"default":null},
 {"name":"tags","type":["null",{"type":"map","values":["null","string"]}],"default":null},
 {"name":"tracks","type":["null",{"type":"array","items":"string"}],"default":null},
 {"name":"cells","type":["null",{"type":"array","items":{"type":"record","name":"cell","fields":[{"name":"name","type":["null","string"]},{"name":"cell","type":["null","int"]},{"name":"subs","type":["null",{"type":"array","items":"string"}]}]}}],"default":null},
 {"name":"matrix","type":["null",{"type":"array","items":{"type":"array","items":"int"}}],"default":null},
 {"name":"deep","type":["null",{"type":"map","values":{"type":"record","name":"dv","fields":[{"name":"n","type":["null","long"]}]}}],"default":null},
 {"name":"required","type":"string"},
 {"name":"late","type":["null","string"],"default":null}
]}`

// testWriterSchema has another order, other union orders, required fields, an enum, milliseconds, an int where the table has a
// long, and lacks the field "late", "rec.message" and "cells.subs".
const testWriterSchema = `{"type":"record","name":"w","fields":[
 {"name":"required","type":"string"},
 {"name":"i","type":"int"},
 {"name":"s","type":["string","null"]},
 {"name":"b","type":["null","bytes"]},
 {"name":"flag","type":["boolean","null"]},
 {"name":"l","type":["null","long"]},
 {"name":"widened","type":["null","int"]},
 {"name":"f","type":"float"},
 {"name":"d","type":["null","double"]},
 {"name":"day","type":["null",{"type":"int","logicalType":"date"}]},
 {"name":"tod","type":{"type":"long","logicalType":"time-micros"}},
 {"name":"ts","type":{"type":"long","logicalType":"timestamp-micros"}},
 {"name":"ms","type":["null",{"type":"long","logicalType":"timestamp-millis"}]},
 {"name":"price","type":["null",{"type":"fixed","name":"g8","size":8,"logicalType":"decimal","precision":18,"scale":4}]},
 {"name":"big","type":["null",{"type":"fixed","name":"g16","size":16,"logicalType":"decimal","precision":38,"scale":10}]},
 {"name":"raw","type":["null",{"type":"fixed","name":"g3","size":3}]},
 {"name":"color","type":["null",{"type":"enum","name":"c","symbols":["RED","GREEN","BLUE"]}]},
 {"name":"rec","type":["null",{"type":"record","name":"r","fields":[
   {"name":"inner","type":["null",{"type":"record","name":"r2","fields":[{"name":"y","type":["null",{"type":"array","items":"long"}]},{"name":"x","type":["int","null"]}]}]},
   {"name":"code","type":"string"}
 ]}]},
 {"name":"tags","type":{"type":"map","values":["null","string"]}},
 {"name":"tracks","type":["null",{"type":"array","items":"string"}]},
 {"name":"cells","type":["null",{"type":"array","items":{"type":"record","name":"cell","fields":[{"name":"cell","type":"int"},{"name":"name","type":["null","string"]}]}}]},
 {"name":"matrix","type":["null",{"type":"array","items":{"type":"array","items":"int"}}]},
 {"name":"deep","type":["null",{"type":"map","values":{"type":"record","name":"dv","fields":[{"name":"n","type":["null","long"]}]}}]}
]}`

// made is a value made up for a schema, as the generic encoder wants it, and as a Row of the table should show it.
type made struct{ encode, show any }

// invent makes up a value of a type of the writer's schema.
func invent(rng *rand.Rand, s avro.Schema) made {
	if ref, ok := s.(*avro.RefSchema); ok {
		s = ref.Schema()
	}
	switch s := s.(type) {
	case *avro.UnionSchema:
		return inventUnion(rng, s)
	case *avro.RecordSchema:
		encode, show := map[string]any{}, map[string]any{}
		for _, f := range s.Fields() {
			m := invent(rng, f.Type())
			encode[f.Name()], show[f.Name()] = m.encode, m.show
		}
		return made{encode, show}
	case *avro.ArraySchema:
		encode, show := []any{}, []any{}
		for range rng.IntN(4) {
			m := invent(rng, s.Items())
			encode, show = append(encode, m.encode), append(show, m.show)
		}
		return made{encode, show}
	case *avro.MapSchema:
		encode, show := map[string]any{}, map[string]any{}
		for range rng.IntN(4) {
			key, m := inventText(rng), invent(rng, s.Values())
			encode[key], show[key] = m.encode, m.show
		}
		return made{encode, show}
	case *avro.EnumSchema:
		symbol := s.Symbols()[rng.IntN(len(s.Symbols()))]
		return made{symbol, symbol}
	case *avro.FixedSchema:
		return inventFixed(rng, s)
	}
	return inventPrimitive(rng, s)
}

func inventUnion(rng *rand.Rand, s *avro.UnionSchema) made {
	if rng.IntN(3) == 0 {
		return made{nil, nil}
	}
	for _, branch := range s.Types() {
		if branch.Type() == avro.Null {
			continue
		}
		m := invent(rng, branch)
		name := string(branch.Type())
		if named, ok := branch.(avro.NamedSchema); ok {
			name = named.FullName()
		} else if l, ok := branch.(avro.LogicalTypeSchema); ok && l.Logical() != nil {
			name += "." + string(l.Logical().Type())
		}
		return made{map[string]any{name: m.encode}, m.show}
	}
	panic("union of nothing")
}

func inventText(rng *rand.Rand) string {
	texts := []string{"", "a", "köln-日本", "\U0001D11E clef", "tab\tnul\x00", "the quick brown fox jumps over the lazy dog", "🙂🙂🙂🙂🙂🙂🙂🙂"}
	return fmt.Sprintf("%s%d", texts[rng.IntN(len(texts))], rng.IntN(50))
}

func inventFixed(rng *rand.Rand, s *avro.FixedSchema) made {
	d, ok := s.Logical().(*avro.DecimalLogicalSchema)
	if !ok {
		b := [3]byte{byte(rng.IntN(256)), byte(rng.IntN(256)), byte(rng.IntN(256))}
		return made{b, b[:]}
	}
	unscaled := big.NewInt(rng.Int64N(2e12) - 1e12)
	if s.Size() == 16 {
		unscaled.Mul(unscaled, big.NewInt(rng.Int64N(1e15)))
	}
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(d.Scale())), nil)
	rat := new(big.Rat).SetFrac(unscaled, scale)
	return made{rat, json.Number(rat.FloatString(d.Scale()))}
}

func inventPrimitive(rng *rand.Rand, s avro.Schema) made {
	logical := avro.LogicalType("")
	if l, ok := s.(avro.LogicalTypeSchema); ok && l.Logical() != nil {
		logical = l.Logical().Type()
	}
	switch logical {
	case avro.Date:
		day := int32(rng.IntN(60000) - 20000)
		return made{time.Unix(int64(day)*86400, 0).UTC(), Date(day)}
	case avro.TimeMicros:
		d := time.Duration(rng.Int64N(86400e6)) * time.Microsecond
		return made{d, d}
	case avro.TimestampMicros:
		at := time.UnixMicro(rng.Int64N(4e15) - 1e15).UTC()
		return made{at, at}
	case avro.TimestampMillis:
		at := time.UnixMilli(rng.Int64N(4e12) - 1e12).UTC()
		return made{at, at}
	}
	switch s.Type() {
	case avro.String:
		text := inventText(rng)
		return made{text, text}
	case avro.Bytes:
		b := []byte{0xff, byte(rng.IntN(256)), 0}[:rng.IntN(4)]
		return made{b, b}
	case avro.Boolean:
		v := rng.IntN(2) == 0
		return made{v, v}
	case avro.Int:
		v := int32(rng.Uint32())
		return made{v, int64(v)}
	case avro.Long:
		v := []int64{math.MinInt64, math.MaxInt64, 0, -1, rng.Int64()}[rng.IntN(5)]
		return made{v, v}
	case avro.Float:
		v := []float32{0, -1.5, math.MaxFloat32, rng.Float32()}[rng.IntN(4)]
		return made{v, v}
	case avro.Double:
		v := []float64{math.Inf(1), -1e300, 0, rng.Float64()}[rng.IntN(4)]
		return made{v, v}
	}
	panic("type " + s.Type())
}

// expect fits a shown value into the table's shape: fields in the table's order, missing ones null.
func expect(l *layout, show any) any {
	switch {
	case show == nil:
		return nil
	case l.leaf():
		return show
	case l.kind == kindRecord:
		row := Row{}
		for _, c := range l.children {
			row.Columns = append(row.Columns, c.name)
			row.Values = append(row.Values, expect(c, show.(map[string]any)[c.name]))
		}
		return row
	case l.kind == kindMap:
		m := map[string]any{}
		for key, value := range show.(map[string]any) {
			m[key] = expect(l.children[1], value)
		}
		return m
	default:
		list := []any{}
		for _, item := range show.([]any) {
			list = append(list, expect(l.children[0], item))
		}
		return list
	}
}

// testRecord is one made-up record of the test writer's schema.
type testRecord struct {
	Record
	show map[string]any
}

func inventRecords(tb testing.TB, seed uint64, from, n int) []testRecord {
	tb.Helper()
	schema, err := avro.ParseWithCache(testWriterSchema, "", &avro.SchemaCache{})
	if err != nil {
		tb.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	records := make([]testRecord, n)
	for i := range records {
		m := invent(rng, schema)
		payload, err := avro.Marshal(schema, m.encode)
		if err != nil {
			tb.Fatal(err)
		}
		records[i] = testRecord{
			Record{Key: fmt.Sprintf("session_id:s-%d,event_id:e-%d", i%7, from+i), Payload: payload},
			m.show.(map[string]any),
		}
	}
	return records
}

func testConfig(instant string) Config {
	return Config{
		TableSchema: testTableSchema, WriterSchemas: []string{testWriterSchema},
		CommitTime: instant, PartitionPath: "event_date=2026-11-22/event_hour=08",
		FileName: "00000001-4366-4566-846a-d3f9e8d81519-0_1-0-0_" + instant + ".parquet", TaskID: 1,
	}
}

// writeFile writes records to a file, after the rows of older ones.
func writeFile(tb testing.TB, cfg Config, records []testRecord, olds ...*Reader) []byte {
	tb.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	for _, old := range olds {
		if _, err := w.CopyFrom(tb.Context(), old, nil); err != nil {
			tb.Fatal(err)
		}
	}
	for _, r := range records {
		if err := w.Append(r.Record); err != nil {
			tb.Fatal(err)
		}
	}
	footer, err := w.Close()
	if err != nil {
		tb.Fatal(err)
	}
	if footer.Bytes != int64(out.Len()) {
		tb.Errorf("footer says %d bytes, wrote %d", footer.Bytes, out.Len())
	}
	return out.Bytes()
}
