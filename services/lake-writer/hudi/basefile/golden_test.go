package basefile

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/internal/goldentest"
)

// golden reads the base files of a zipped table whose names end so.
func golden(tb testing.TB, table, suffix string) map[string][]byte {
	tb.Helper()
	files := make(map[string][]byte)
	for key, data := range goldentest.Files(tb, "../testdata/"+table+".zip") {
		if strings.HasSuffix(key, suffix) {
			files[path.Base(key)] = data
		}
	}
	if len(files) == 0 {
		tb.Fatalf("no files %s in %s", suffix, table)
	}
	return files
}

func openBytes(tb testing.TB, b []byte) *Reader {
	tb.Helper()
	r, err := OpenReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func readRows(tb testing.TB, r *Reader, columns ...string) []Row {
	tb.Helper()
	var rows []Row
	for row, err := range r.Rows(columns) {
		if err != nil {
			tb.Fatal(err)
		}
		rows = append(rows, row)
	}
	return rows
}

// Spark's file has 2-level lists, maps of records, a decimal and the old names of logical types.
func TestReadsSparkFile(t *testing.T) {
	t.Parallel()
	files := golden(t, "v6_nonpartitioned", "_20240418173551906.parquet")
	for _, data := range files {
		r := openBytes(t, data)
		rows := readRows(t, r)
		if r.NumRows() != int64(len(rows)) {
			t.Fatalf("%d rows, footer says %d", len(rows), r.NumRows())
		}
		last, err := json.Marshal(rows[3])
		if err != nil {
			t.Fatal(err)
		}
		if string(last) != sparkRow {
			t.Errorf("have %s\nwant %s", last, sparkRow)
		}
		keys, err := r.Keys()
		if err != nil {
			t.Fatal(err)
		}
		filter, err := r.Bloom()
		if err != nil || filter == nil {
			t.Fatalf("bloom filter: %v", err)
		}
		for _, key := range keys {
			if !filter.Contains([]byte(key)) {
				t.Errorf("filter lacks key %s", key)
			}
		}
		if f := r.Footer(); f.MinKey != slices.Min(keys) || f.MaxKey != slices.Max(keys) {
			t.Errorf("footer says keys %s to %s, have %v", f.MinKey, f.MaxKey, keys)
		}
	}
}

func TestBloomTextOfSparkFile(t *testing.T) {
	t.Parallel()
	const want = "80dccc8c01cdaffb6bae2936d62bec60b7a5ca635401f82e711ea70d1450b3e1"
	for _, data := range golden(t, "v6_nonpartitioned", "_20240418173550988.parquet") {
		text, _ := openBytes(t, data).file.Lookup(bloomKey)
		sum := sha256.Sum256([]byte(text))
		if got := hex.EncodeToString(sum[:]); got != want {
			t.Errorf("digest of the file's filter is %s", got)
		}
	}
}

const sparkRow = `{"_hoodie_commit_time":"20240418173551906","_hoodie_commit_seqno":"20240418173551906_0_3","_hoodie_record_key":"4","_hoodie_partition_path":"","_hoodie_file_name":"a079bdb3-731c-4894-b855-abfcd6921007-0_0-203-274_20240418173551906.parquet","id":4,"name":"Diana","isActive":true,"byteField":1,"shortField":500,"intField":45000,"longField":987654321,"floatField":4,"doubleField":2.468,"decimalField":65432.12345,"dateField":"2023-04-04","timestampField":"2023-04-04T20:04:00.000000Z","binaryField":"bmV3IGJpbmFyeSBkYXRh","arrayField":[{"arr_struct_f1":"orange","arr_struct_f2":900},{"arr_struct_f1":"gray","arr_struct_f2":1000}],"mapField":{"key7":{"map_field_value_struct_f1":456.789,"map_field_value_struct_f2":true},"key8":{"map_field_value_struct_f1":123.456,"map_field_value_struct_f2":false}},"structField":{"field1":"Diana","field2":50,"child_struct":{"child_field1":987.654,"child_field2":true}}}`
