package basefile

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"
)

// FuzzAppend: whatever the bytes are, a record goes in whole or not at all, and the file stays readable.
func FuzzAppend(f *testing.F) {
	for _, rec := range inventRecords(f, 31, 0, 20) {
		f.Add(rec.Payload)
	}
	f.Add([]byte{0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	good := inventRecords(f, 32, 0, 1)[0]
	f.Fuzz(func(t *testing.T, payload []byte) {
		var out bytes.Buffer
		w, err := NewWriter(&out, testConfig("20261122080000000"))
		if err != nil {
			t.Fatal(err)
		}
		want := int64(1)
		if err := w.Append(Record{Key: "fuzzed", Payload: payload}); err == nil {
			want++
		} else if !isRecordError(err) {
			t.Fatalf("untyped error: %v", err)
		}
		if err := w.Append(good.Record); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Close(); err != nil {
			t.Fatal(err)
		}
		n := int64(0)
		for row, err := range openBytes(t, out.Bytes()).Rows(nil) {
			if err != nil {
				t.Fatal(err)
			}
			if _, err := json.Marshal(row); err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != want {
			t.Fatalf("%d rows, want %d", n, want)
		}
	})
}

// FuzzReader: damage to a file gives a typed error or other values, never a panic.
func FuzzReader(f *testing.F) {
	cfg := testConfig("20261122080000000")
	ours := writeFile(f, cfg, inventRecords(f, 33, 0, 30))
	var spark []byte
	for _, data := range golden(f, "v6_nonpartitioned", "_20240418173551906.parquet") {
		spark = data
	}
	f.Add(false, uint32(len(ours)), uint32(0), []byte(nil))
	f.Add(false, uint32(len(ours)), uint32(len(ours)-8), []byte{0xff, 0xff, 0xff, 0x7f})
	f.Add(true, uint32(len(spark)), uint32(100), []byte{1, 2, 3})
	f.Add(true, uint32(len(spark)/2), uint32(5), []byte{0})
	f.Fuzz(func(t *testing.T, fromSpark bool, length, at uint32, damage []byte) {
		whole := ours
		if fromSpark {
			whole = spark
		}
		data := bytes.Clone(whole[:min(int(length), len(whole))])
		if int(at) < len(data) {
			copy(data[at:], damage)
		}
		readAnything(t, data)
	})
}

// readAnything uses every method on a file that may be damaged.
func readAnything(t *testing.T, data []byte) {
	t.Helper()
	r, err := OpenReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		checkFileError(t, err)
		return
	}
	if _, err := r.Keys(); err != nil {
		checkFileError(t, err)
	}
	if _, err := r.Bloom(); err != nil {
		checkFileError(t, err)
	}
	for _, leaf := range r.leaves {
		if _, err := r.Statistics(leaf.path); err != nil {
			checkFileError(t, err)
		}
	}
	for _, err := range r.Rows(nil) {
		if err != nil {
			checkFileError(t, err)
		}
	}
	if _, err := r.KeyRows("l", "flag", func(int64, KeyRow) error { return nil }); err != nil {
		checkFileError(t, err)
	}
	w, err := NewWriter(io.Discard, testConfig("20261122080000000"))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.CopyFrom(t.Context(), r, nil) // must return, no more: schemas need not fit
}

func checkFileError(t *testing.T, err error) {
	t.Helper()
	if !isFileError(err) {
		t.Fatalf("untyped error: %v", err)
	}
}
