package basefile

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"testing"
	"time"
)

// TestKeyRows: it says of each row what Rows says, whatever the type of the number, and over several row groups.
func TestKeyRows(t *testing.T) {
	t.Parallel()
	cfg := testConfig("20261122080000000")
	cfg.RowGroupBytes = 60_000
	r := openBytes(t, writeFile(t, cfg, inventRecords(t, 41, 0, 900)))
	if r.file.Metadata().RowGroups[0].NumRows == 900 {
		t.Fatal("one row group")
	}
	for _, number := range []string{"", "i", "l", "widened", "day", "tod", "ts", "not there"} {
		var want, have []string
		for row, err := range r.Rows(nil) {
			if err != nil {
				t.Fatal(err)
			}
			key, _ := row.Get(RecordKeyColumn)
			v, _ := row.Get(number)
			flag, _ := row.Get("flag")
			n, ordered := int64(0), true
			switch v := v.(type) {
			case int64:
				n = v
			case Date:
				n = int64(v)
			case time.Time:
				n = v.UnixMicro()
			case time.Duration:
				n = v.Microseconds()
			default:
				ordered = false
			}
			want = append(want, fmt.Sprint(len(want), key, n, ordered, flag == true))
		}
		ok, err := r.KeyRows(number, "flag", func(row int64, k KeyRow) error {
			have = append(have, fmt.Sprint(row, string(k.Key), k.Number, k.Ordered, k.Flag))
			return nil
		})
		if !ok || err != nil || !slices.Equal(have, want) {
			t.Errorf("%s: %d rows, want %d; %v", number, len(have), len(want), err)
		}
	}
	for _, other := range [][2]string{{"d", ""}, {"s", ""}, {"price", ""}, {"rec", ""}, {"", "i"}, {"", "tracks"}} {
		ok, err := r.KeyRows(other[0], other[1], func(int64, KeyRow) error { return errors.New("called") })
		if ok || err != nil {
			t.Errorf("%v: %v, %v", other, ok, err)
		}
	}
	enough := errors.New("enough")
	if _, err := r.KeyRows("", "", func(int64, KeyRow) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("the caller's error: %v", err)
	}
}

// TestCopyRows: rows are chosen by number and key, over row groups, and read as before.
func TestCopyRows(t *testing.T) {
	t.Parallel()
	cfg := testConfig("20261122080000000")
	cfg.RowGroupBytes = 60_000
	old := openBytes(t, writeFile(t, cfg, inventRecords(t, 42, 0, 900)))
	all := readRows(t, old)
	for name, stays := range map[string]func(row int64) bool{
		"every third":        func(row int64) bool { return row%3 == 0 },
		"a run":              func(row int64) bool { return row >= 200 && row < 700 },
		"of one group alone": func(row int64) bool { return row == 899 },
	} {
		var out bytes.Buffer
		w, err := NewWriter(&out, cfg)
		if err != nil {
			t.Fatal(err)
		}
		var want []Row
		n, err := w.CopyRows(t.Context(), old, func(row int64, key []byte) bool {
			if have, _ := all[row].Get(RecordKeyColumn); have != string(key) {
				t.Fatalf("%s: row %d has key %s, want %s", name, row, key, have)
			}
			if stays(row) {
				want = append(want, all[row])
			}
			return stays(row)
		})
		if err != nil || n != int64(len(want)) {
			t.Fatalf("%s: %d rows, want %d; %v", name, n, len(want), err)
		}
		if _, err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if have := readRows(t, openBytes(t, out.Bytes())); !reflect.DeepEqual(have, want) {
			t.Errorf("%s: rows differ", name)
		}
	}
}

// TestTableTakes: the answer is the one that CopyRows gives.
func TestTableTakes(t *testing.T) {
	t.Parallel()
	cfg := testConfig("20261122080000000")
	old := openBytes(t, writeFile(t, cfg, inventRecords(t, 43, 0, 5)))
	narrow := replaceOnce(t, cfg.TableSchema, `{"name":"i","type":["null","int"],"default":null},`, ``)
	for _, schema := range []string{cfg.TableSchema, narrow} {
		table, err := ParseTable(schema)
		if err != nil {
			t.Fatal(err)
		}
		w, err := NewWriter(io.Discard, Config{TableSchema: schema, FileName: "f"})
		if err != nil {
			t.Fatal(err)
		}
		_, want := w.CopyRows(context.Background(), old, nil)
		if have := table.Takes(old); fmt.Sprint(have) != fmt.Sprint(want) || (want != nil) != (schema == narrow) {
			t.Errorf("have %v, want %v", have, want)
		}
	}
}

// mergedDatum is a record as a log has it; an absent field is null.
func mergedDatum(payload []byte, fields ...string) []byte {
	var b []byte
	for _, f := range fields {
		if f == "" {
			b = append(b, 0)
			continue
		}
		b = append(binary.AppendVarint(append(b, 2), int64(len(f))), f...)
	}
	return append(b, payload...)
}

// TestAppendMerged: a file of merged records is, byte for byte, the one of the same kept records.
func TestAppendMerged(t *testing.T) {
	t.Parallel()
	cfg := testConfig("20261122080000000")
	records := inventRecords(t, 44, 0, 300)
	var merged, kept bytes.Buffer
	for out, add := range map[*bytes.Buffer]func(w *Writer, i int, rec Record) error{
		&merged: func(w *Writer, i int, rec Record) error {
			return w.AppendMerged(mergedDatum(rec.Payload, fmt.Sprint("2026", i), fmt.Sprint("n", i), rec.Key, "", "a file"), 0)
		},
		&kept: func(w *Writer, i int, rec Record) error {
			return w.AppendKept(KeptRecord{CommitTime: fmt.Sprint("2026", i), SeqNo: fmt.Sprint("n", i), Key: rec.Key, Payload: rec.Payload})
		},
	} {
		w, err := NewWriter(out, cfg)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range records {
			if err := add(w, i, r.Record); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(merged.Bytes(), kept.Bytes()) {
		t.Errorf("files of %d and %d bytes differ", merged.Len(), kept.Len())
	}
}

// TestAppendMergedRefuses: what is wrong is named, leaves nothing behind, and the writer goes on.
func TestAppendMergedRefuses(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w, err := NewWriter(&out, testConfig("20261122080000000"))
	if err != nil {
		t.Fatal(err)
	}
	rec := inventRecords(t, 45, 0, 1)[0]
	whole := mergedDatum(rec.Payload, "t", "n", rec.Key, "p", "f")
	for name, bad := range map[string][]byte{
		"no commit time":  mergedDatum(rec.Payload, "", "n", rec.Key, "p", "f"),
		"no number":       mergedDatum(rec.Payload, "t", "", rec.Key, "p", "f"),
		"no key":          mergedDatum(rec.Payload, "t", "n", "", "p", "f"),
		"key of no text":  mergedDatum(rec.Payload, "t", "n", "\xff", "p", "f"),
		"branch":          append([]byte{4}, whole[1:]...),
		"length":          append([]byte{2, 1}, whole[2:]...),
		"long length":     append([]byte{2, 0xff, 0xff, 0xff, 0xff, 0x0f}, whole[2:]...),
		"cut off payload": whole[:len(whole)-1],
		"cut off fields":  whole[:4],
		"nothing":         nil,
		"longer":          append(slices.Clone(whole), 0),
	} {
		if err := w.AppendMerged(bad, 0); !isRecordError(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := w.AppendMerged(whole, 1); !isRecordError(err) {
		t.Errorf("unknown writer: %v", err)
	}
	if err := w.AppendMerged(whole, 0); err != nil {
		t.Fatal(err)
	}
	if footer, err := w.Close(); err != nil || footer.Rows != 1 {
		t.Errorf("%+v, %v", footer, err)
	}
	if rows := readRows(t, openBytes(t, out.Bytes())); rows[0].Values[2] != rec.Key {
		t.Errorf("row %v", rows[0].Values)
	}
}
