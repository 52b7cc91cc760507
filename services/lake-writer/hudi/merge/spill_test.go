package merge

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"reflect"
	"runtime"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
)

// empty fails the test when a folder of temporary files is not.
func empty(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%d temporary files are left, %v", len(left), err)
	}
}

// TestSpillBound: records in memory stay under the bound, and what was spilled comes back as it was, Parquet blocks' records too.
func TestSpillBound(t *testing.T) {
	t.Parallel()
	const records = 1000
	log := benchLog(t, 0, records)
	again := benchLog(t, 0, records/2) // every record of it replaces one
	schema, err := basefile.WithMetaFields(benchSchema)
	if err != nil {
		t.Fatal(err)
	}
	parquet := logfile.AppendBlock(nil, logfile.ParquetBlock("20260101000000001", schema, benchFile(t, 0, records)))
	var want []basefile.Row
	for _, limit := range []int64{0, 1, 300 << 10} { // the records are more than a chunk, and less than two
		for _, logs := range [][]Source{{source(log), source(again)}, {source(parquet), source(again)}} {
			cfg := Config{TableSchema: benchSchema, Ordering: "at", MemoryBytes: limit, SpillDir: t.TempDir()}
			m, err := newMerger(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.collect(t.Context(), logs); err != nil {
				t.Fatal(err)
			}
			index := int64(records * (indexBytes + len(benchKey(0))))
			if limit > 0 && m.winners.held > limit+index {
				t.Errorf("limit %d: %d bytes are held, %d of them the index", limit, m.winners.held, index)
			}
			if (m.winners.file != nil) != (limit > 0) {
				t.Errorf("limit %d: spilled %v", limit, m.winners.file != nil)
			}
			if err := m.winners.close(); err != nil {
				t.Fatal(err)
			}
			var rows []basefile.Row
			for row, err := range Rows(t.Context(), cfg, nil, logs, nil) {
				if err != nil {
					t.Fatal(err)
				}
				rows = append(rows, row)
			}
			if want == nil {
				want = rows
			}
			for i := range rows { // the Parquet file's own name is in its records
				rows[i].Values[4] = want[0].Values[4]
			}
			if len(rows) != records || !reflect.DeepEqual(rows, want) {
				t.Errorf("limit %d: %d rows, or others than without a limit", limit, len(rows))
			}
			empty(t, cfg.SpillDir)
		}
	}
}

// TestHeldBytes: what counts as held is what the heap has, so that the bound is one.
func TestHeldBytes(t *testing.T) {
	const records = 20_000
	log := benchLog(t, 0, records)
	heap := func() int64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	before := heap()
	m, err := newMerger(Config{TableSchema: benchSchema, Ordering: "at"})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.collect(t.Context(), []Source{source(log)}); err != nil {
		t.Fatal(err)
	}
	used := heap() - before
	t.Logf("held %d, heap %d", m.winners.held, used)
	if used > m.winners.held*5/4 {
		t.Errorf("%d bytes of heap for %d that count", used, m.winners.held)
	}
	runtime.KeepAlive(m)
	runtime.KeepAlive(log)
}

// TestSpillDamaged: a temporary file that lost bytes is an error that blames no log.
func TestSpillDamaged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m, err := newMerger(Config{TableSchema: benchSchema, Ordering: "at", MemoryBytes: 1, SpillDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if err := m.collect(t.Context(), []Source{source(benchLog(t, i*10, 10))}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(m.winners.out.Flush(), m.winners.file.Truncate(m.winners.end/2)); err != nil {
		t.Fatal(err)
	}
	var failed int
	for i := range m.winners.list {
		if _, err := m.winners.load(&m.winners.list[i]); err != nil {
			if _, ok := errors.AsType[*SpillError](err); !ok {
				t.Errorf("untyped: %v", err)
			}
			failed++
		}
	}
	if failed != 5 {
		t.Errorf("%d blocks of 10 are damaged, want half", failed)
	}
	if err := m.winners.close(); err != nil {
		t.Error(err)
	}
	empty(t, dir)
}

// TestSpillCleaned: however a merge ends, its temporary file goes.
func TestSpillCleaned(t *testing.T) {
	t.Parallel()
	log := benchLog(t, 0, 100)
	cfg := Config{TableSchema: benchSchema, Ordering: "at", MemoryBytes: 1, SpillDir: t.TempDir()}
	for range Rows(t.Context(), cfg, nil, []Source{source(log)}, nil) {
		break
	}
	empty(t, cfg.SpillDir)
	damaged := append(bytes.Clone(log), log[:len(log)/2]...) // its first half is spilled by then
	headless := Source{Name: "x", Open: func(context.Context) (io.ReaderAt, int64, error) { return failingReader{log}, int64(len(log)), nil }}
	for name, logs := range map[string][]Source{"damaged": {source(damaged)}, "unreadable": {source(log), headless}} {
		if _, err := Compact(t.Context(), cfg, nil, logs, benchWriter(t, io.Discard)); err == nil {
			t.Errorf("%s: no error", name)
		}
		empty(t, cfg.SpillDir)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for _, err := range Rows(ctx, cfg, open(t, benchFile(t, 0, 2*checkEvery)), []Source{source(log)}, nil) {
		if n++; n == 10 {
			cancel()
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	if n > checkEvery {
		t.Errorf("%d rows after it was cancelled", n)
	}
	empty(t, cfg.SpillDir)
	cfg.SpillDir += "/none"
	for _, err := range Rows(t.Context(), cfg, nil, []Source{source(log)}, nil) {
		if _, ok := errors.AsType[*SpillError](err); !ok {
			t.Errorf("no folder for temporary files: %v", err)
		}
	}
}

// failingReader fails to read what lies behind the header of a block.
type failingReader struct{ data []byte }

func (f failingReader) ReadAt(b []byte, off int64) (int, error) {
	if len(b) > 1<<14 {
		return 0, errors.New("broken")
	}
	return bytes.NewReader(f.data).ReadAt(b, off)
}
