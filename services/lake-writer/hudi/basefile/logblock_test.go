package basefile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// A block of a log has the rows of a file, and none of what only readers of files ask.
func TestLogBlock(t *testing.T) {
	t.Parallel()
	cfg := testConfig("20261122080000000")
	cfg.RowGroupBytes = 30_000
	records := inventRecords(t, 71, 0, 500)
	whole := openBytes(t, writeFile(t, cfg, records))
	var file, out bytes.Buffer
	w, err := NewWriter(&file, cfg) // the columns of files have bounds: Reset has to make them anew
	if err != nil {
		t.Fatal(err)
	}
	cfg.LogBlock = true
	if err := w.Reset(&out, cfg); err != nil {
		t.Fatal(err)
	}
	for i, rec := range records {
		if err := w.AppendNumbered(rec.Record, int64(2*i)); err != nil {
			t.Fatal(err)
		}
	}
	footer, err := w.Close()
	if err != nil || footer.Rows != 500 || footer.MinKey != "" || footer.MaxKey != "" || footer.Bytes != int64(out.Len()) {
		t.Errorf("%+v of %d bytes, %v", footer, out.Len(), err)
	}
	r := openBytes(t, out.Bytes())
	want, got := readRows(t, whole), readRows(t, r)
	if len(got) != len(want) {
		t.Fatalf("%d rows, want %d", len(got), len(want))
	}
	for i := range want {
		want[i].Values[1] = fmt.Sprintf("%s_1_%d", cfg.CommitTime, 2*i)
		if a, b := fmt.Sprint(got[i]), fmt.Sprint(want[i]); a != b {
			t.Fatalf("row %d is\n%s, want\n%s", i, a, b)
		}
	}
	if r.Footer().AvroSchema != whole.Footer().AvroSchema {
		t.Error("no schema of the rows")
	}
	if filter, err := r.Bloom(); err == nil && filter != nil {
		t.Error("has a Bloom filter")
	}
	f, err := parquet.OpenFile(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(f.Metadata().RowGroups); n < 2 {
		t.Errorf("%d row groups", n)
	}
	for _, g := range f.Metadata().RowGroups {
		for _, c := range g.Columns {
			if s := c.MetaData.Statistics; s.MinValue != nil || s.MaxValue != nil || c.ColumnIndexOffset != 0 || c.OffsetIndexOffset != 0 {
				t.Fatalf("column %v has bounds or a page index", c.MetaData.PathInSchema)
			}
		}
	}
}

func TestAppendNumberedRefuses(t *testing.T) {
	t.Parallel()
	w, err := NewWriter(io.Discard, testConfig("20261122080000000"))
	if err != nil {
		t.Fatal(err)
	}
	rec := inventRecords(t, 72, 0, 1)[0]
	if err := w.AppendNumbered(Record{Key: rec.Key, Payload: rec.Payload[:1]}, 7); !isRecordError(err) {
		t.Errorf("cut off payload: %v", err)
	}
	if err := w.AppendNumbered(rec.Record, -1); !isRecordError(err) {
		t.Errorf("row -1: %v", err)
	}
	if _, err := w.Close(); !errors.Is(err, ErrNoRows) {
		t.Errorf("closed with %v", err)
	}
}
