package basefile

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/columnar"
)

// readBatches are the rows of a file's batches, and how many batches they came in.
func readBatches(tb testing.TB, r *Reader, schema string, columns ...string) (rows []Row, batches int) {
	tb.Helper()
	scratch := Scratch{rows: 100}
	defer scratch.Close()
	for b, err := range scratch.Batches(r, schema, columns) {
		if err != nil {
			tb.Fatal(err)
		}
		batches++
		for i := range b.Rows {
			rows = append(rows, BatchRow(b, i))
		}
	}
	return rows, batches
}

func equalRows(t *testing.T, have, want []Row) {
	t.Helper()
	if len(have) != len(want) {
		t.Fatalf("%d rows, want %d", len(have), len(want))
	}
	for i := range want {
		for j, column := range want[i].Columns {
			if !reflect.DeepEqual(have[i].Values[j], want[i].Values[j]) {
				t.Fatalf("row %d, column %s: have %#v, want %#v", i, column, have[i].Values[j], want[i].Values[j])
			}
		}
	}
}

// TestBatchesAreTheRows: what the own decoder reads is what parquet-go reads, of every type, with nulls at every level.
func TestBatchesAreTheRows(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		with func(*Config)
		n    int
	}{
		"one row":               {func(*Config) {}, 1},
		"more than a batch":     {func(*Config) {}, 430},
		"many row groups":       {func(c *Config) { c.RowGroupBytes = 20_000 }, 1000},
		"snappy, unique column": {func(c *Config) { c.Codec, c.UniqueColumns = Snappy, []string{"s"} }, 300},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig("20261122080000000")
			tc.with(&cfg)
			r := openBytes(t, writeFile(t, cfg, inventRecords(t, uint64(tc.n), 0, tc.n)))
			have, batches := readBatches(t, r, "")
			equalRows(t, have, readRows(t, r))
			if tc.n == 430 && batches != 5 {
				t.Errorf("%d rows in %d batches", tc.n, batches)
			}
			columns := []string{"cells", "ts", "late", "_hoodie_record_key"}
			have, _ = readBatches(t, r, cfg.TableSchema, columns...)
			var want []Row
			for row, err := range r.RowsAs(cfg.TableSchema, columns) {
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, row)
			}
			equalRows(t, have, want)
		})
	}
}

// TestBatchesOfSparkFiles: 2-level lists, maps of records, PLAIN_DICTIONARY and pages of version 1, as parquet-mr writes them.
func TestBatchesOfSparkFiles(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"v6_nonpartitioned"} {
		for _, data := range golden(t, table, ".parquet") {
			r := openBytes(t, data)
			have, _ := readBatches(t, r, "")
			equalRows(t, have, readRows(t, r))
		}
	}
}

// TestBatchesOfAnOlderFile: new columns are null, also inside of records, and ints became longs.
func TestBatchesOfAnOlderFile(t *testing.T) {
	t.Parallel()
	const old = `{"type":"record","name":"t","fields":[{"name":"n","type":["null","int"]},
	 {"name":"r","type":["null",{"type":"record","name":"r","fields":[{"name":"a","type":["null","int"]}]}]},
	 {"name":"l","type":["null",{"type":"array","items":{"type":"record","name":"i","fields":[{"name":"x","type":["null","int"]}]}}]}]}`
	const table = `{"type":"record","name":"t","fields":[{"name":"new","type":["null",{"type":"array","items":"string"}],"default":null},
	 {"name":"n","type":["null","long"]},
	 {"name":"r","type":["null",{"type":"record","name":"r","fields":[{"name":"b","type":["null","string"],"default":null},{"name":"a","type":["null","long"]}]}]},
	 {"name":"l","type":["null",{"type":"array","items":{"type":"record","name":"i","fields":[{"name":"x","type":["null","long"]},{"name":"y","type":["null","double"],"default":null}]}}]}]}`
	cfg := testConfig("20261122080000000")
	cfg.TableSchema, cfg.WriterSchemas = old, []string{old}
	var records []testRecord
	for i, payload := range [][]byte{{2, 3, 2, 2, 5, 2, 4, 2, 9, 0, 0}, {0, 0, 0}, {2, 2, 2, 0, 2, 0}} {
		records = append(records, testRecord{Record: Record{Key: string(rune('a' + i)), Payload: payload}})
	}
	r := openBytes(t, writeFile(t, cfg, records))
	var want []Row
	for row, err := range r.RowsAs(table, nil) {
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, row)
	}
	have, _ := readBatches(t, r, table)
	equalRows(t, have, want)
	if v, _ := have[0].Get("n"); v != int64(-2) {
		t.Errorf("n is %v", v)
	}
	for _, err := range r.Batches(`{"type":"record","name":"t","fields":[{"name":"n","type":["null","string"]}]}`, []string{"n"}) {
		if _, ok := errors.AsType[*SchemaError](err); !ok {
			t.Errorf("another type: %v", err)
		}
	}
}

// TestBatchesFallBack: what only parquet-go decodes comes out the same.
func TestBatchesFallBack(t *testing.T) {
	t.Parallel()
	cfg := testConfig("20261122080000000")
	r := openBytes(t, writeFile(t, cfg, inventRecords(t, 3, 0, 1100)))
	var scratch Scratch
	b, err := scratch.prepare(r, "", r.Columns())
	if err != nil {
		t.Fatal(err)
	}
	var have []Row
	for group := range r.file.RowGroups() {
		b.fallback(group, 10, func(batch *columnar.Batch, err error) bool {
			if err != nil {
				t.Fatal(err)
			}
			for i := range batch.Rows {
				have = append(have, BatchRow(batch, i))
			}
			return true
		})
	}
	equalRows(t, have, readRows(t, r)[10:])
}

// TestBatchesKeep: leaving out rows is the same as not having had them.
func TestBatchesKeep(t *testing.T) {
	t.Parallel()
	r := openBytes(t, writeFile(t, testConfig("20261122080000000"), inventRecords(t, 5, 0, 500)))
	rows := readRows(t, r)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, share := range []float64{0, 0.1, 0.5, 0.9, 1} {
		var keep []int32
		var want []Row
		for i := range rows {
			if rng.Float64() < share {
				keep, want = append(keep, int32(i)), append(want, rows[i])
			}
		}
		for b, err := range r.Batches("", nil) {
			if err != nil || b.Rows != len(rows) {
				t.Fatalf("%v, or not one batch", err)
			}
			b.Keep(keep)
			var have []Row
			for i := range b.Rows {
				have = append(have, BatchRow(b, i))
			}
			equalRows(t, have, want)
		}
	}
}

// TestBatchesOfDamage: a changed byte gives the same rows or an error of the file, a shorter file an error.
func TestBatchesOfDamage(t *testing.T) {
	t.Parallel()
	cfg := testConfig("20261122080000000")
	whole := writeFile(t, cfg, inventRecords(t, 7, 0, 40))
	want := readRows(t, openBytes(t, whole))
	rng := rand.New(rand.NewPCG(3, 4))
	for range 60 {
		data := slices.Clone(whole)
		data[rng.IntN(len(data))] ^= byte(1 + rng.IntN(255))
		tryBatches(t, data, func(rows []Row) {
			if len(rows) != len(want) {
				t.Errorf("%d rows of a damaged file", len(rows))
			}
		})
	}
}

// tryBatches reads a file that may be damaged, and refuses errors that do not say so.
func tryBatches(t *testing.T, data []byte, ok func([]Row)) {
	t.Helper()
	r, err := OpenReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return
	}
	var rows []Row
	for b, err := range r.Batches("", nil) {
		if err != nil {
			if _, is := errors.AsType[*FileError](err); !is {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		for i := range b.Rows {
			rows = append(rows, BatchRow(b, i))
		}
	}
	ok(rows)
}
