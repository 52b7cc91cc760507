package merge

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
)

const wideSchema = `{"type":"record","name":"w","fields":[
	{"name":"i","type":["null","int"],"default":null},
	{"name":"l","type":["null","long"],"default":null},
	{"name":"f","type":["null","float"],"default":null},
	{"name":"d","type":["null","double"],"default":null},
	{"name":"b","type":["null","boolean"],"default":null},
	{"name":"s","type":["null","string"],"default":null},
	{"name":"raw","type":["null","bytes"],"default":null},
	{"name":"day","type":["null",{"type":"int","logicalType":"date"}],"default":null},
	{"name":"at","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null},
	{"name":"price","type":["null",{"type":"fixed","name":"price_t","size":9,"logicalType":"decimal","precision":20,"scale":4}],"default":null},
	{"name":"rec","type":["null",{"type":"record","name":"rec_t","fields":[{"name":"x","type":["null","long"],"default":null},{"name":"y","type":"string"}]}],"default":null},
	{"name":"list","type":["null",{"type":"array","items":"string"}],"default":null},
	{"name":"map","type":["null",{"type":"map","values":["null","long"]}],"default":null}]}`

// wideRow is a row of every type; a row of nulls when empty.
func wideRow(price json.Number) []any {
	return []any{
		int64(-7), int64(1) << 60, float32(1.5), -2.25, true, "ä",
		[]byte{0, 255},
		basefile.Date(20000), time.UnixMicro(-1).UTC(), price,
		basefile.Row{Columns: []string{"x", "y"}, Values: []any{nil, "y"}},
		[]any{"one", "two"},
		map[string]any{"a": nil, "b": int64(5)},
	}
}

// TestEncoder: what is encoded decodes to the same values.
func TestEncoder(t *testing.T) {
	t.Parallel()
	m, err := newMerger(Config{TableSchema: wideSchema})
	if err != nil {
		t.Fatal(err)
	}
	rows := [][]any{make([]any, len(m.table.payload.fields))}
	for _, price := range []json.Number{"0.0000", "-0.0001", "1.2800", "-1.2800", "123456789012345.6789", "-3.2768", "0.0127", "0.0128"} {
		rows = append(rows, wideRow(price))
	}
	for _, want := range rows {
		row := basefile.Row{Columns: m.columns(), Values: append([]any{"t", nil, "k", "", "f"}, want...)}
		var e encoder
		if err := e.row(row, m.table.payload); err != nil {
			t.Fatal(err)
		}
		got, err := m.table.decode(e.data, m.table, m.columns())
		if err != nil || !reflect.DeepEqual(got, row) {
			t.Errorf("got %v, %v, want %v", got, err, row)
		}
	}
}

// TestEncoderRefuses: no value is bent into another type.
func TestEncoderRefuses(t *testing.T) {
	t.Parallel()
	decimal := func(kind avro.Type, size int) *node {
		return &node{kind: kind, logical: avro.Decimal, size: size, scale: 2, nullIndex: -1}
	}
	for name, tc := range map[string]struct {
		value any
		to    *node
	}{
		"null":             {nil, &node{kind: avro.Long, nullIndex: -1}},
		"text as a number": {"1", &node{kind: avro.Long, nullIndex: -1}},
		"unknown symbol":   {"c", &node{kind: avro.Enum, symbols: []string{"a", "b"}, nullIndex: -1}},
		"short fixed":      {[]byte{1}, &node{kind: avro.Fixed, size: 2, nullIndex: -1}},
		"wide decimal":     {json.Number("1.28"), decimal(avro.Fixed, 1)}, // 128 has nine bits with its sign
		"scale":            {json.Number("1.281"), decimal(avro.Bytes, 0)},
		"no decimal":       {json.Number("x.yz"), decimal(avro.Bytes, 0)},
		"record as a list": {basefile.Row{}, &node{kind: avro.Array, items: &node{kind: avro.Long}, nullIndex: -1}},
	} {
		var e encoder
		if err := e.value(tc.value, tc.to, "x"); err == nil {
			t.Errorf("%s: encoded as %x", name, e.data)
		} else if s, ok := errors.AsType[*basefile.SchemaError](err); !ok || s.Path != "x" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestParquetBlocksEqualAvroBlocks: the same record of every type gives the same row, read from either.
func TestParquetBlocksEqualAvroBlocks(t *testing.T) {
	t.Parallel()
	cfg := Config{TableSchema: wideSchema}
	m, err := newMerger(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var e encoder
	if err := e.fields(wideRow("-12.3456"), m.table.payload, ""); err != nil {
		t.Fatal(err)
	}
	const instant = "20260101000000001"
	avroBlock := logfile.NewDataBlock(instant, m.table.text)
	avroBlock.Add(logfile.Meta{CommitTime: instant, SeqNo: instant + "_0_0", Key: "k", Partition: "p", FileID: "f"}, e.data)
	parquetBlock := logfile.ParquetBlock(instant, m.table.text, parquetOf(t, wideSchema, instant, e.data))
	var rows []basefile.Row
	for _, log := range [][]byte{avroBlock.AppendTo(nil), logfile.AppendBlock(nil, parquetBlock)} {
		for row, err := range Rows(t.Context(), cfg, nil, []Source{source(log)}, nil) {
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, row)
		}
	}
	if len(rows) != 2 || !reflect.DeepEqual(rows[0], rows[1]) {
		t.Errorf("%d rows:\n%v", len(rows), rows)
	}
	if !reflect.DeepEqual(rows[0].Values[metaFields:], wideRow("-12.3456")) {
		t.Errorf("row %v", rows[0])
	}
}

// TestParquetBlockOfOlderSchema: columns are found by name, those that the block lacks are null, and an int becomes a long.
func TestParquetBlockOfOlderSchema(t *testing.T) {
	t.Parallel()
	const older = `{"type":"record","name":"r","fields":[{"name":"at","type":["null","int"],"default":null},{"name":"gone","type":["null","string"],"default":null}]}`
	schema, err := basefile.WithMetaFields(older)
	if err != nil {
		t.Fatal(err)
	}
	file := parquetOf(t, older, "20260101000000001", []byte{2, 8, 2, 2, 'x'})
	log := logfile.AppendBlock(nil, logfile.ParquetBlock("20260101000000001", schema, file))
	for row, err := range Rows(t.Context(), Config{TableSchema: testSchema, Ordering: "at"}, nil, []Source{source(log)}, []string{"at", "v"}) {
		if err != nil || !reflect.DeepEqual(row.Values, []any{int64(4), nil}) {
			t.Errorf("%v, %v", row, err)
		}
	}
}

// damagedParquetLog holds one Parquet block with other bytes in it.
func damagedParquetLog(tb testing.TB, content []byte) []byte {
	tb.Helper()
	schema, err := basefile.WithMetaFields(testSchema)
	if err != nil {
		tb.Fatal(err)
	}
	return logfile.AppendBlock(nil, logfile.ParquetBlock("20260101000000001", schema, content))
}

// TestDamagedParquetBlock: every truncation is an error that names the log and the block.
func TestDamagedParquetBlock(t *testing.T) {
	t.Parallel()
	whole := parquetOf(t, testSchema, "20260101000000001", payload(put(1, "a")))
	for n := 0; n < len(whole); n += 97 {
		errs := 0
		for _, err := range Rows(t.Context(), Config{TableSchema: testSchema}, nil, []Source{source(damagedParquetLog(t, whole[:n]))}, nil) {
			block, ok := errors.AsType[*BlockError](err)
			if !ok || block.Log != "log" || block.Offset != 0 {
				t.Errorf("%d bytes: %v", n, err)
			}
			if _, ok := errors.AsType[*basefile.FileError](err); !ok {
				t.Errorf("%d bytes: %v", n, err)
			}
			errs++
		}
		if errs != 1 {
			t.Errorf("%d bytes: %d answers", n, errs)
		}
	}
}

// FuzzParquetBlock: whatever a Parquet block holds, reading it ends in rows with keys or in a typed error.
func FuzzParquetBlock(f *testing.F) {
	whole := parquetOf(f, testSchema, "20260101000000001", payload(put(1, "a")))
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add(bytes.Replace(whole, []byte("_hoodie_record_key"), []byte("_hoodie_record_kex"), 1))
	f.Fuzz(func(t *testing.T, content []byte) {
		for row, err := range Rows(t.Context(), Config{TableSchema: testSchema, Ordering: "at"}, nil, []Source{source(damagedParquetLog(t, content))}, nil) {
			if err == nil {
				if key, _ := row.Get(basefile.RecordKeyColumn); key == "" || key == nil {
					t.Error("a row without a key")
				}
			} else if _, ok := errors.AsType[*BlockError](err); !ok {
				t.Errorf("untyped: %v", err)
			}
		}
	})
}
