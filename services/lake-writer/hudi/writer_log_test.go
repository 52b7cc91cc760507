package hudi

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// TestScanParquetLogs reads Spark's own Parquet blocks, which have decimals as INT64 and lists of three levels, and in the second table
// a block that a rollback took back. The names are those that hudi-rs gives for its test data.
func TestScanParquetLogs(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]map[string]string{
		"v6_nonpartitioned_mor_parquet":          {"1": "Alice false", "2": "Bob false", "3": "Carol true", "4": "Diana true"},
		"v6_nonpartitioned_rollback_mor_parquet": {"1": "Alice true", "2": "Bob true", "3": "Carol true"},
	} {
		got := make(map[string]string)
		for _, row := range scanAll(t, goldenTable(t, name), Query{}) {
			id, _ := row.Get("id")
			name, _ := row.Get("name")
			active, _ := row.Get("isActive")
			got[fmt.Sprint(id)] = fmt.Sprint(name, " ", active)
			if number, _ := row.Get("decimalField"); number == nil {
				t.Errorf("%v has no decimal", id)
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// logOptions make two tables with the same history equal, commit times and file ids too.
func logOptions() []Option {
	var ids atomic.Int64
	return []Option{
		WithClock(func() time.Time { return protoStart }),
		WithIDs(func() string { return fmt.Sprintf("00000000-0000-0000-0000-%012d", ids.Add(1)) }),
	}
}

// blockTypes counts the blocks of a table's log files by type.
func blockTypes(t *testing.T, store storage.Store) map[logfile.BlockType]int {
	t.Helper()
	types := make(map[logfile.BlockType]int)
	for _, key := range dataFiles(t, store) {
		if !strings.Contains(key, ".log.") {
			continue
		}
		data, _, err := store.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		for b, err := range logfile.Scan(bytes.NewReader(data), int64(len(data)), logfile.ScanOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			types[b.Type]++
		}
	}
	return types
}

// logHistory makes a table whose logs get a large block, a small one, and a run that names a key twice; then it deletes and compacts. It
// returns the blocks' types, and all columns of the rows before and after the compaction.
func logHistory(t *testing.T, format LogFormat, opts ...Option) (types map[logfile.BlockType]int, before, after []string) {
	t.Helper()
	config := protoConfig
	config.Type = MergeOnRead
	store := storage.NewMem()
	table, err := Create(t.Context(), store, config, append(logOptions(), opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	w, err := table.Acquire(t.Context(), "writer")
	if err != nil {
		t.Fatal(err)
	}
	var events []string
	for i := range 120 {
		events = append(events, fmt.Sprint("e", i))
	}
	from := int64(0)
	for _, batch := range [][]string{{"e0", "e500"}, events, {"e1", "e2"}, {"e7", "e8", "e7", "-e9", "e600", "-e600"}} {
		req := eventRequest(t, from, "s1", batch...)
		from += int64(len(batch))
		req.Operation, req.LogFormat = Upsert, format
		req.WriterSchemas = append(req.WriterSchemas, strings.Replace(eventSchema, `"name":"event"`, `"name":"other"`, 1))
		for i := range batch {
			req.Groups[0].Records[i].Writer = i % 2 // a block for each schema as Avro, one for both as Parquet
		}
		for i, event := range batch {
			if name, deletes := strings.CutPrefix(event, "-"); deletes {
				req.Groups[0].Records[i] = Record{Key: eventRecord(t, "s1", name).Key, Delete: true}
			}
		}
		mustCommit(t, w, req)
	}
	rows := func() []string {
		batchesAreRows(t, store, Query{})
		var texts []string
		for row, err := range table.Scan(t.Context(), Query{}) {
			if err != nil {
				t.Fatal(err)
			}
			text, err := row.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, string(text))
		}
		slices.Sort(texts)
		return texts
	}
	types, before = blockTypes(t, store), rows()
	if _, err := w.Compact(t.Context(), CompactOptions{}); err != nil {
		t.Fatal(err)
	}
	return types, before, rows()
}

// TestLogFormats: the format of the blocks is the caller's choice or goes by their records, and changes no column of any row.
func TestLogFormats(t *testing.T) {
	t.Parallel()
	const avro, parquet, del = logfile.AvroData, logfile.ParquetData, logfile.Delete
	_, wantBefore, wantAfter := logHistory(t, LogFormatAvro)
	if len(wantBefore) != 120 || len(wantAfter) != 120 {
		t.Fatalf("%d rows, compacted %d, want 120", len(wantBefore), len(wantAfter))
	}
	for name, tc := range map[string]struct {
		format LogFormat
		opts   []Option
		types  map[logfile.BlockType]int
	}{
		"default":                 {LogFormatByCount, nil, map[logfile.BlockType]int{avro: 7, del: 2}},
		"Avro in spite of counts": {LogFormatAvro, []Option{WithParquetLogBlocks(1)}, map[logfile.BlockType]int{avro: 7, del: 2}},
		"Parquet":                 {LogFormatParquet, nil, map[logfile.BlockType]int{parquet: 4, del: 2}},
		"from 120 records on":     {LogFormatByCount, []Option{WithParquetLogBlocks(120)}, map[logfile.BlockType]int{parquet: 1, avro: 5, del: 2}},
		"from 121 records on":     {LogFormatByCount, []Option{WithParquetLogBlocks(121)}, map[logfile.BlockType]int{avro: 7, del: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			types, before, after := logHistory(t, tc.format, tc.opts...)
			if !maps.Equal(types, tc.types) {
				t.Errorf("blocks %v, want %v", types, tc.types)
			}
			if !slices.Equal(before, wantBefore) {
				t.Errorf("%d rows, or other values than Avro blocks give", len(before))
			}
			if !slices.Equal(after, wantAfter) {
				t.Errorf("compacted: %d rows, or other values than Avro blocks give", len(after))
			}
		})
	}
}

// TestParquetLogRefusesBadPayload: what no engine could read is the caller's error, and nothing is committed.
func TestParquetLogRefusesBadPayload(t *testing.T) {
	t.Parallel()
	config := protoConfig
	config.Type = MergeOnRead
	table, err := Create(t.Context(), storage.NewMem(), config, logOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	w, err := table.Acquire(t.Context(), "writer")
	if err != nil {
		t.Fatal(err)
	}
	first := eventRequest(t, 0, "s1", "e1")
	first.Operation = Upsert
	mustCommit(t, w, first)
	bad := eventRequest(t, 1, "s1", "e2")
	bad.Operation, bad.LogFormat = Upsert, LogFormatParquet
	bad.Groups[0].Records[0].Payload = []byte{255}
	if _, err := w.Commit(t.Context(), bad); !errors.Is(err, ErrInvalid) {
		t.Errorf("bad payload: %v", err)
	}
	if rows := rowsByKey(t, table); len(rows) != 1 {
		t.Errorf("rows %v", rows)
	}
	for i := range int64(2) { // by the writers that are kept
		good := eventRequest(t, 1+2*i, "s1", fmt.Sprint("e", 2+i), fmt.Sprint("f", 2+i))
		good.Operation, good.LogFormat = Upsert, LogFormatParquet
		mustCommit(t, w, good)
	}
	if rows := rowsByKey(t, table); len(rows) != 5 {
		t.Errorf("rows %v", rows)
	}
}
