package interop

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
)

// The schema of the matrix's tables: what engines go wrong on is there, plain, nested, null and empty. Records and decimals below the root
// are named as Spark names them (a record as its field, in a namespace made of those of the records around it; a decimal "fixed", in such a
// namespace with the field at its end), and the root has a namespace: Hudi 0.15 compares these names and refuses to write to the table when
// they are others (MISSING_UNION_BRANCH).
const (
	matrixFields = `{"name":"session_id","type":["null","string"],"default":null},{"name":"event_id","type":["null","string"],"default":null},` +
		`{"name":"event_time","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null},` +
		`{"name":"day","type":["null","string"],"default":null},{"name":"amount","type":["null","long"],"default":null},` +
		`{"name":"ratio","type":["null","double"],"default":null},{"name":"flag","type":["null","boolean"],"default":null},` +
		`{"name":"price","type":["null",{"type":"fixed","name":"fixed","namespace":"hoodie.matrix.matrix_record.price","size":8,"logicalType":"decimal","precision":18,"scale":4}],"default":null},` +
		`{"name":"number","type":["null","int"],"default":null},{"name":"score","type":["null","float"],"default":null},` +
		`{"name":"payload","type":["null","bytes"],"default":null},{"name":"born","type":["null",{"type":"int","logicalType":"date"}],"default":null},` +
		`{"name":"seen","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null},` +
		`{"name":"device","type":["null",{"type":"record","name":"device","namespace":"hoodie.matrix.matrix_record","fields":[` +
		`{"name":"kind","type":["null","string"],"default":null},{"name":"cores","type":["null","int"],"default":null}]}],"default":null},` +
		`{"name":"tracks","type":["null",{"type":"array","items":"string"}],"default":null},` +
		`{"name":"cells","type":["null",{"type":"array","items":{"type":"record","name":"cells","namespace":"hoodie.matrix.matrix_record","fields":[` +
		`{"name":"name","type":["null","string"],"default":null},{"name":"share","type":["null","double"],"default":null}]}}],"default":null},` +
		`{"name":"tags","type":["null",{"type":"map","values":"string"}],"default":null},` +
		`{"name":"counts","type":["null",{"type":"map","values":["null","long"]}],"default":null}`
	matrixSchema  = `{"type":"record","name":"matrix_record","namespace":"hoodie.matrix","fields":[` + matrixFields + `]}`
	evolvedSchema = `{"type":"record","name":"matrix_record","namespace":"hoodie.matrix","fields":[` + matrixFields + `,{"name":"note","type":["null","string"],"default":null}]}`

	// matrixDDL is matrixSchema for Spark.
	matrixDDL = "session_id string, event_id string, event_time timestamp, day string, amount bigint, ratio double, flag boolean, " +
		"price decimal(18,4), number int, score float, payload binary, born date, seen timestamp, device struct<kind:string,cores:int>, " +
		"tracks array<string>, cells array<struct<name:string,share:double>>, tags map<string,string>, counts map<string,bigint>"
)

// epoch is the smallest event time, in microseconds.
const epoch = 1_795_000_000_000_000

// columns is a row without the meta columns, in the form of engines/canonical.py.
type columns map[string]any

func (c columns) text(name string) string { s, _ := c[name].(string); return s }
func (c columns) eventTime() int64        { return c["event_time"].(int64) }

// drawColumns draws row n of a table. Every nullable column is null in some rows, apart from those that decide where a row goes.
func drawColumns(random *rand.Rand, n int64, evolved bool) columns {
	c := columns{
		"session_id": fmt.Sprintf("s-%03d", random.IntN(40)), "event_id": fmt.Sprintf("e-%05d", n),
		"event_time": epoch + random.Int64N(1e9), "day": fmt.Sprintf("2026-11-%02d", 20+random.IntN(2)),
	}
	maybe := func(name string, value any) {
		c[name] = nil
		if random.IntN(4) > 0 {
			c[name] = value
		}
	}
	maybe("amount", random.Int64N(2e10)-1e10)
	maybe("ratio", random.NormFloat64())
	maybe("flag", n%2 == 0)
	maybe("price", decimal(random.Int64N(2e6)-1e6))
	maybe("number", int64(int32(random.Uint32())))
	maybe("score", float64(float32(random.NormFloat64())))
	maybe("payload", "b64:"+base64.StdEncoding.EncodeToString([]byte{byte(n), 0, 0xff}))
	maybe("born", random.Int64N(30_000)-5_000)
	maybe("seen", epoch-random.Int64N(1e15))
	maybe("device", map[string]any{"kind": []any{nil, "tv", "phöne"}[n%3], "cores": []any{int64(8), nil}[n%2]})
	tracks, cells := []any{}, []any{}
	tags, counts := map[string]any{}, map[string]any{}
	for i := range n % 3 {
		tracks = append(tracks, fmt.Sprintf("track-%d", i))
		cells = append(cells, map[string]any{"name": fmt.Sprintf("cell-%d", i), "share": []any{nil, float64(n) / 4}[i]})
		tags[fmt.Sprintf("t%d", i)] = "wörth"
		counts[fmt.Sprintf("c%d", i)] = []any{n * 1e9, nil}[i]
	}
	maybe("tracks", tracks)
	maybe("cells", cells)
	maybe("tags", tags)
	maybe("counts", counts)
	if evolved {
		c["note"] = fmt.Sprintf("ünote %d", n)
	}
	return c
}

// appendAvro encodes a canonical value as Avro.
func appendAvro(t *testing.T, b []byte, schema avro.Schema, v any) []byte {
	t.Helper()
	switch s := schema.(type) {
	case *avro.UnionSchema: // all here are null and one type
		if v == nil {
			return append(b, 0)
		}
		return appendAvro(t, append(b, 2), s.Types()[1], v)
	case *avro.RecordSchema:
		fields := map[string]any(nil)
		switch r := v.(type) {
		case columns:
			fields = r
		case map[string]any:
			fields = r
		}
		for _, f := range s.Fields() {
			b = appendAvro(t, b, f.Type(), fields[f.Name()])
		}
		return b
	case *avro.ArraySchema:
		for _, item := range v.([]any) {
			b = appendAvro(t, binary.AppendVarint(b, 1), s.Items(), item)
		}
		return append(b, 0)
	case *avro.MapSchema:
		entries := v.(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(entries)) {
			b = appendText(binary.AppendVarint(b, 1), key)
			b = appendAvro(t, b, s.Values(), entries[key])
		}
		return append(b, 0)
	case *avro.FixedSchema:
		unscaled, err := strconv.ParseInt(strings.Replace(v.(string), ".", "", 1), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return binary.BigEndian.AppendUint64(b, uint64(unscaled))
	default:
		return appendPrimitive(t, b, schema.Type(), v)
	}
}

func appendPrimitive(t *testing.T, b []byte, kind avro.Type, v any) []byte {
	t.Helper()
	switch kind {
	case avro.String:
		return appendText(b, v.(string))
	case avro.Bytes:
		data, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(v.(string), "b64:"))
		if err != nil {
			t.Fatal(err)
		}
		return appendText(b, string(data))
	case avro.Int, avro.Long:
		return binary.AppendVarint(b, v.(int64))
	case avro.Float:
		return binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(v.(float64))))
	case avro.Double:
		return binary.LittleEndian.AppendUint64(b, math.Float64bits(v.(float64)))
	case avro.Boolean:
		if v.(bool) {
			return append(b, 1)
		}
		return append(b, 0)
	}
	t.Fatalf("no encoding of %s", kind)
	return nil
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendVarint(b, int64(len(s))), s...)
}

// canonical is the canonical form of a value that the table library read.
func canonical(v any) any {
	switch v := v.(type) {
	case basefile.Row:
		out := map[string]any{}
		for i, name := range v.Columns {
			out[name] = canonical(v.Values[i])
		}
		return out
	case []any:
		out := make([]any, 0, len(v))
		for _, item := range v {
			out = append(out, canonical(item))
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			out[key] = canonical(value)
		}
		return out
	case int64:
		return json.Number(strconv.FormatInt(v, 10))
	case float32:
		return json.Number(strconv.FormatFloat(float64(v), 'g', -1, 64))
	case float64:
		return json.Number(strconv.FormatFloat(v, 'g', -1, 64))
	case json.Number: // a decimal
		return v.String()
	case []byte:
		return "b64:" + base64.StdEncoding.EncodeToString(v)
	case time.Time:
		return json.Number(strconv.FormatInt(v.UnixMicro(), 10))
	case basefile.Date:
		return json.Number(strconv.FormatInt(int64(v), 10))
	default: // null, boolean, string
		return v
	}
}

// filter is a condition in SQL and what it means, of one column of a row.
type rowFilter struct {
	id, where string
	holds     func(c columns) bool
}

// rowFilters cover what pruning by statistics, partition and index goes wrong on.
var rowFilters = []rowFilter{
	{"key", "event_id = 'e-00007'", func(c columns) bool { return c["event_id"] == "e-00007" }},
	{"long-range", "amount BETWEEN -1000000000 AND 2000000000", func(c columns) bool {
		n, ok := c["amount"].(int64)
		return ok && n >= -1e9 && n <= 2e9
	}},
	{"partition-in", "day IN ('2026-11-20', '2026-11-29')", func(c columns) bool { return c["day"] == "2026-11-20" }},
	{"prefix", "session_id LIKE 's-01%'", func(c columns) bool { return strings.HasPrefix(c.text("session_id"), "s-01") }},
	{"null", "amount IS NULL", func(c columns) bool { return c["amount"] == nil }},
	{
		"time-range", "event_time >= timestamp_micros(1795000000000000) AND event_time < timestamp_micros(1795000500000000)",
		func(c columns) bool { return c.eventTime() < epoch+5e8 },
	},
	{"decimal", "price < -10.5", func(c columns) bool {
		f, err := strconv.ParseFloat(c.text("price"), 64)
		return err == nil && f < -10.5
	}},
	{"boolean", "flag = true", func(c columns) bool { return c["flag"] == true }},
	{"nested", "device.kind = 'tv'", func(c columns) bool {
		device, _ := c["device"].(map[string]any)
		return device["kind"] == "tv"
	}},
}
