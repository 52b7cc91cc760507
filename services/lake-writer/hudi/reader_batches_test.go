package hudi

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// batchesAreRows compares what Batches and Scan give, and says how many rows that is.
func batchesAreRows(t *testing.T, store storage.Store, q Query) int {
	t.Helper()
	want := scanAll(t, store, q)
	table, err := Open(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for b, err := range table.Batches(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		if b.Rows == 0 {
			t.Error("an empty batch")
		}
		for i := range b.Rows {
			row := basefile.BatchRow(b, i)
			if n == len(want) || !slices.Equal(row.Columns, want[n].Columns) {
				t.Fatalf("query %+v: row %d with columns %v of %d rows", q, n, row.Columns, len(want))
			}
			for j, v := range row.Values {
				if !reflect.DeepEqual(v, want[n].Values[j]) {
					t.Fatalf("query %+v, row %d, column %s: have %#v, want %#v", q, n, row.Columns[j], v, want[n].Values[j])
				}
			}
			n++
		}
	}
	if n != len(want) {
		t.Errorf("query %+v: %d rows, want %d", q, n, len(want))
	}
	return n
}

// TestBatchesOfSparkTables: the batches of every kind of query on tables of every type and version that Spark wrote are the rows of Scan.
func TestBatchesOfSparkTables(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"v6-cow-015", "v6-cow-015-bloom-nohive", "v6-mor-015", "v6_complexkeygen_hivestyle", "v6_nonpartitioned",
		"v6_nonpartitioned_mor_parquet", "v6_nonpartitioned_rollback_mor_parquet", "v6_timebasedkeygen_nonhivestyle", "v9-mor-12",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := goldenTable(t, name)
			table, err := Open(t.Context(), store)
			if err != nil {
				t.Fatal(err)
			}
			view, err := table.View(t.Context(), "", nil)
			if err != nil {
				t.Fatal(err)
			}
			columns, err := view.Columns()
			if err != nil {
				t.Fatal(err)
			}
			first := view.Timeline.Commits()[0].Instant
			if batchesAreRows(t, store, Query{}) == 0 {
				t.Error("no rows")
			}
			few := []string{columns[len(columns)-1], basefile.FileNameColumn, columns[6]}
			for _, q := range []Query{
				{Type: ReadOptimized},
				{Type: Incremental, From: first},
				{AsOf: first},
				{Columns: few},
				{Columns: []string{}},
				{Columns: few, Type: Incremental, From: first},
				{Columns: few, Where: []Bounds{{Column: basefile.CommitTimeColumn, Min: string(first), Max: string(first)}}},
				{Where: []Bounds{{Column: basefile.RecordKeyColumn, Min: "4"}}},
			} {
				batchesAreRows(t, store, q)
			}
		})
	}
}

// ranges counts the bytes that a store was asked for in ranges.
type ranges struct {
	storage.Store
	bytes int64
}

func (r *ranges) GetRange(ctx context.Context, key string, off, length int64) ([]byte, error) {
	data, err := r.Store.GetRange(ctx, key, off, length)
	r.bytes += int64(len(data))
	return data, err
}

// TestColumnsAreReadByRanges: of a file only its end and the wanted columns are read.
func TestColumnsAreReadByRanges(t *testing.T) {
	t.Parallel()
	const schema = `{"type":"record","name":"t","fields":[{"name":"n","type":["null","long"]},{"name":"noise","type":["null","string"]}]}`
	var file bytes.Buffer
	w, err := basefile.NewWriter(&file, basefile.Config{
		TableSchema: schema, WriterSchemas: []string{schema}, CommitTime: "20261122080000000", FileName: "f", PartitionPath: "p",
	})
	if err != nil {
		t.Fatal(err)
	}
	rng, sum := rand.New(rand.NewPCG(1, 2)), int64(0)
	for i := range 2000 {
		payload := binary.AppendVarint([]byte{2}, int64(i))
		payload = binary.AppendVarint(append(payload, 2), 1000)
		for range 1000 {
			payload = append(payload, byte(' '+rng.IntN(90)))
		}
		if err := w.Append(basefile.Record{Key: strconv.Itoa(i), Payload: payload}); err != nil {
			t.Fatal(err)
		}
		sum += int64(i)
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	store := &ranges{Store: storage.NewMem()}
	if _, err := store.Put(t.Context(), "f", file.Bytes(), storage.Condition{}); err != nil {
		t.Fatal(err)
	}
	size := int64(file.Len())
	if size <= smallFileBytes {
		t.Fatalf("a file of %d bytes", size)
	}
	r, err := basefile.OpenReader(&rangeReader{ctx: t.Context(), store: store, key: "f", size: size}, size)
	if err != nil {
		t.Fatal(err)
	}
	for b, err := range r.Batches(schema, []string{"n"}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range b.Columns[0].Int64s {
			sum -= v
		}
	}
	if sum != 0 || store.bytes > size/8 {
		t.Errorf("the sum is %d off; %d bytes of %d were read", sum, store.bytes, size)
	}
}
