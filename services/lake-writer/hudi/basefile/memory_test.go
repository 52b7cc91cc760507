package basefile

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
)

// A large file costs its keys, a row group and some pages, whether its rows are appended or copied.
func TestMemoryIsBounded(t *testing.T) {
	const (
		rows  = 200_000
		limit = 160 << 20
	)
	events := inventEvents(t, 2000)
	cfg := eventConfig()
	cfg.RowGroupBytes = 16 << 20
	var file bytes.Buffer
	w, err := NewWriter(&file, cfg)
	if err != nil {
		t.Fatal(err)
	}
	before, peak := heapInUse(), uint64(0)
	for i := range rows {
		rec := events[i%len(events)]
		rec.Key = fmt.Sprintf("%s-%d", rec.Key, i)
		if err := w.Append(rec); err != nil {
			t.Fatal(err)
		}
		if i%25_000 == 0 {
			peak = max(peak, heapInUse())
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("append: file of %d MiB, %d MiB of heap", file.Len()>>20, (peak-before)>>20)
	if peak-before > limit {
		t.Errorf("%d MiB of heap to append %d rows", (peak-before)>>20, rows)
	}

	w, err = NewWriter(io.Discard, cfg)
	if err != nil {
		t.Fatal(err)
	}
	before, peak = heapInUse(), 0
	n, err := w.CopyFrom(t.Context(), openBytes(t, file.Bytes()), func(key string) bool {
		if strings.HasSuffix(key, "77777") { // now and then
			peak = max(peak, heapInUse())
		}
		return false
	})
	if err != nil || n != rows {
		t.Fatalf("copied %d rows: %v", n, err)
	}
	peak = max(peak, heapInUse())
	t.Logf("copy: %d MiB of heap", (peak-before)>>20)
	if peak > before+limit {
		t.Errorf("%d MiB of heap to copy %d rows", (peak-before)>>20, rows)
	}
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
