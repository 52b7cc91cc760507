package basefile

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"path"
	"slices"
	"strings"
	"testing"
)

// golden reads the files of a zipped table whose names end so.
func golden(tb testing.TB, table, suffix string) map[string][]byte {
	tb.Helper()
	z, err := zip.OpenReader("../testdata/" + table + ".zip")
	if err != nil {
		tb.Fatal(err)
	}
	defer z.Close()
	files := make(map[string][]byte)
	for _, f := range z.File {
		if !strings.HasSuffix(f.Name, suffix) || strings.HasPrefix(f.Name, "__MACOSX") || strings.HasPrefix(path.Base(f.Name), ".") {
			continue
		}
		r, err := f.Open()
		if err != nil {
			tb.Fatal(err)
		}
		if files[path.Base(f.Name)], err = io.ReadAll(r); err != nil {
			tb.Fatal(err)
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

// The text of the rows is what hudi-rs prints for this table (its test suite holds them), lists and maps included.
func TestReadsSparkFile(t *testing.T) {
	t.Parallel()
	files := golden(t, "v6_nonpartitioned", "_20240418173551906.parquet")
	for _, data := range files {
		r := openBytes(t, data)
		rows := readRows(t, r)
		if r.NumRows() != int64(len(rows)) {
			t.Fatalf("%d rows, footer says %d", len(rows), r.NumRows())
		}
		for _, row := range rows {
			b, err := json.Marshal(row)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s", b)
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
