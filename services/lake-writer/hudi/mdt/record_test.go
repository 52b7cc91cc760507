package mdt

import (
	"bytes"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/hfile"
)

// goldenRecords are the records of a table's base files with their schema's text, by key.
func goldenRecords(tb testing.TB, table string) (schema string, records map[string][]byte) {
	tb.Helper()
	records = make(map[string][]byte)
	for key, data := range unpack(tb, table) {
		if !strings.HasSuffix(key, ".hfile") {
			continue
		}
		f, err := hfile.OpenReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			tb.Fatal(err)
		}
		text, _ := f.Info("schema")
		schema = string(text)
		for e, err := range f.Entries() {
			if err != nil {
				tb.Fatal(err)
			}
			records[string(e.Key)] = e.Value
		}
	}
	return schema, records
}

// everyType has a type of each kind behind the part that is read, some of them named before.
const everyType = `{"type":"record","name":"R","fields":[
	{"name":"filesystemMetadata","type":["null",{"type":"map","values":{"type":"record","name":"I","fields":[
		{"name":"more","type":["null","string"]},{"name":"isDeleted","type":"boolean"},{"name":"size","type":"long"}]}}]},
	{"name":"type","type":"int"},
	{"name":"a","type":{"type":"array","items":["null","I"]}}, {"name":"b","type":"bytes"}, {"name":"f","type":"float"},
	{"name":"d","type":"double"}, {"name":"x","type":{"type":"fixed","name":"X","size":3}},
	{"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}}, {"name":"m","type":{"type":"map","values":"X"}},
	{"name":"y","type":"X"}]}`

// everyValue is a datum of everyType: two files, and something in each of the other fields.
var everyValue = []byte{
	2, 1, 10, 2, 'f', 0, 0, 20, 2, 2, 'g', 2, 2, 'm', 1, 0, 0, // a block of -1 entries that tells its size, then one that does not
	4,                   // type 2
	4, 0, 2, 0, 1, 6, 0, // a: null, {null true 3}
	4, 1, 2, // b
	1, 2, 3, 4, // f
	1, 2, 3, 4, 5, 6, 7, 8, // d
	9, 9, 9, // x
	2,                     // e
	2, 2, 'k', 7, 7, 7, 0, // m
	8, 8, 8, // y
}

func mustParse(tb testing.TB, text string) *recordSchema {
	tb.Helper()
	s, err := parseRecordSchema(text)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// TestDecodeLikeTheLibrary: golden records are what the Avro library's decoder makes of them.
func TestDecodeLikeTheLibrary(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"v6-cow-015-meta", "v8-mor-102-meta", "v9-mor-12-meta"} {
		text, records := goldenRecords(t, table)
		schema := mustParse(t, text)
		oracle, err := avro.ParseWithCache(text, "", &avro.SchemaCache{})
		if err != nil {
			t.Fatal(err)
		}
		if len(records) != 5 {
			t.Errorf("%s: %d records", table, len(records))
		}
		for key, value := range records {
			var want struct {
				Type  int `avro:"type"`
				Files *map[string]struct {
					Size    int64 `avro:"size"`
					Deleted bool  `avro:"isDeleted"`
				} `avro:"filesystemMetadata"`
			}
			if err := avro.Unmarshal(oracle, value, &want); err != nil {
				t.Fatal(err)
			}
			got, err := schema.decode(value)
			if err != nil || got.kind != int64(want.Type) || len(got.files) != len(*want.Files) {
				t.Fatalf("%s %s: %+v, %v; want %+v", table, key, got, err, want)
			}
			for name, f := range *want.Files {
				if got.files[name] != (fileInfo{f.Size, f.Deleted}) {
					t.Errorf("%s %s: %s is %+v, want %+v", table, key, name, got.files[name], f)
				}
			}
		}
	}
}

func TestDecodeEveryType(t *testing.T) {
	t.Parallel()
	schema := mustParse(t, everyType)
	got, err := schema.decode(everyValue)
	want := map[string]fileInfo{"f": {size: 10}, "g": {size: 0, deleted: true}}
	if err != nil || got.kind != typeFiles || !maps.Equal(got.files, want) {
		t.Fatalf("%+v, %v", got, err)
	}
	for n := range everyValue {
		if r, err := schema.decode(everyValue[:n]); !errors.Is(err, errDatum) {
			t.Errorf("the first %d bytes: %+v, %v", n, r, err)
		}
	}
	if r, err := schema.decode(append(bytes.Clone(everyValue), 0)); !errors.Is(err, errDatum) {
		t.Errorf("a byte more: %+v, %v", r, err)
	}
}

// TestDecodeBounds: schemas and counts that would take for ever, or memory that the datum has no bytes for.
func TestDecodeBounds(t *testing.T) {
	t.Parallel()
	bomb := `"null"`
	for _, name := range strings.Split("abcdefghijklmnopqrstuvwxyz", "") {
		bomb = `{"type":"record","name":"` + name + `","fields":[{"name":"x","type":` + bomb + `},{"name":"y","type":` + previous(name) + `}]}`
	}
	for name, c := range map[string]struct {
		schema string
		datum  []byte
	}{
		"endless record":   {`{"type":"record","name":"R","fields":[{"name":"x","type":"R"}]}`, nil},
		"doubling records": {`{"type":"record","name":"R","fields":[{"name":"r","type":` + bomb + `}]}`, nil},
		"nulls":            {`{"type":"record","name":"R","fields":[{"name":"x","type":{"type":"array","items":"null"}}]}`, []byte{0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0}},
		"least count":      {`{"type":"record","name":"R","fields":[{"name":"x","type":{"type":"array","items":"int"}}]}`, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 0}},
		"long text":        {`{"type":"record","name":"R","fields":[{"name":"x","type":"string"}]}`, []byte{0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0}},
		"other branch":     {`{"type":"record","name":"R","fields":[{"name":"x","type":["null","int"]}]}`, []byte{4}},
		"files as text":    {`{"type":"record","name":"R","fields":[{"name":"filesystemMetadata","type":"string"}]}`, []byte{0}},
		"type as text":     {`{"type":"record","name":"R","fields":[{"name":"type","type":"string"}]}`, []byte{0}},
		"no boolean":       {everyType, append([]byte{2, 2, 2, 'f', 0, 2, 20, 0}, everyValue[17:]...)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if r, err := mustParse(t, c.schema).decode(c.datum); !errors.Is(err, errDatum) && !errors.Is(err, errShape) {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

func previous(name string) string {
	if name == "a" {
		return `"null"`
	}
	return `"` + string(name[0]-1) + `"`
}

// FuzzRecord: nothing panics, errors are of the two kinds, and no more files come out than the datum has bytes for.
func FuzzRecord(f *testing.F) {
	v6, v6Records := goldenRecords(f, "v6-cow-015-meta")
	v9, v9Records := goldenRecords(f, "v9-mor-12-meta")
	schemas := []*recordSchema{mustParse(f, everyType), mustParse(f, v6), mustParse(f, v9)}
	f.Add(uint8(0), everyValue)
	for which, records := range map[uint8]map[string][]byte{1: v6Records, 2: v9Records} {
		for _, datum := range records {
			f.Add(which, datum)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, datum []byte) {
		r, err := schemas[int(which)%len(schemas)].decode(datum)
		if err != nil {
			if !errors.Is(err, errDatum) && !errors.Is(err, errShape) {
				t.Fatal(err)
			}
			return
		}
		if len(r.files) > len(datum)/4 {
			t.Errorf("%d files in %d bytes", len(r.files), len(datum))
		}
	})
}
