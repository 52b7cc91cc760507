package merge

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// keyed is an event of a key.
type keyed struct {
	key string
	event
}

// inventBlocks makes up a history: blocks of several records, in which keys come more than once, and blocks of deletions.
func inventBlocks(rng *rand.Rand) [][]keyed {
	blocks := make([][]keyed, 8)
	for i := range blocks {
		for n := range 1 + rng.IntN(8) {
			e := keyed{key: fmt.Sprint("k", rng.IntN(10)), event: put(rng.Int64N(20), fmt.Sprint("v", i, "-", n))}
			switch {
			case i%3 == 2:
				e.event = drop(logfile.LongOrdering(rng.Int64N(20)))
				if rng.IntN(4) == 0 {
					e.event = drop(logfile.IntOrdering(0))
				}
			case rng.IntN(8) == 0:
				e.softly = true
			case rng.IntN(8) == 0:
				e.at = null
			}
			blocks[i] = append(blocks[i], e)
		}
	}
	return blocks
}

// historyLog is a log of the blocks in a format.
func historyLog(t *testing.T, blocks [][]keyed, format logfile.BlockType) []byte {
	t.Helper()
	schema, err := basefile.WithMetaFields(testSchema)
	if err != nil {
		t.Fatal(err)
	}
	var log []byte
	for i, block := range blocks {
		instant := timeline.Instant(fmt.Sprintf("202601010000%05d", i))
		if block[0].deletion != nil {
			var records []logfile.DeleteRecord
			for _, e := range block {
				records = append(records, logfile.DeleteRecord{Key: e.key, Ordering: *e.deletion})
			}
			log = logfile.AppendBlock(log, logfile.DeleteBlock(instant, schema, records))
			continue
		}
		if format == logfile.ParquetData {
			log = logfile.AppendBlock(log, logfile.ParquetBlock(instant, schema, historyFile(t, instant, block)))
			continue
		}
		b := logfile.NewDataBlock(instant, schema)
		for n, e := range block {
			b.Add(logfile.Meta{CommitTime: string(instant), SeqNo: fmt.Sprint(n), Key: e.key, Partition: "p", FileID: "f"}, payload(e.event))
		}
		log = b.AppendTo(log)
	}
	return log
}

func historyFile(t *testing.T, instant timeline.Instant, events []keyed) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := basefile.NewWriter(&out, basefile.Config{TableSchema: testSchema, WriterSchemas: []string{testSchema}, PartitionPath: "p", FileName: "f"})
	if err != nil {
		t.Fatal(err)
	}
	for n, e := range events {
		rec := basefile.KeptRecord{CommitTime: string(instant), SeqNo: fmt.Sprint(n), Key: e.key, Payload: payload(e.event)}
		if err := w.AppendKept(rec); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// mergedBothWays is what a slice says, read and compacted, by key: all columns but the file's name.
func mergedBothWays(t *testing.T, cfg Config, base, log []byte) (read, compacted map[string]string, stats Stats) {
	t.Helper()
	read, compacted = make(map[string]string), make(map[string]string)
	note := func(to map[string]string, row basefile.Row) {
		key := row.Values[2].(string)
		if _, twice := to[key]; twice {
			t.Errorf("key %s is there twice", key)
		}
		row.Values[4] = nil
		to[key] = fmt.Sprint(row.Values)
	}
	for row, err := range Rows(t.Context(), cfg, open(t, base), []Source{source(log)}, nil) {
		if err != nil {
			t.Fatal(err)
		}
		note(read, row)
	}
	var out bytes.Buffer
	w, err := basefile.NewWriter(&out, basefile.Config{TableSchema: testSchema, PartitionPath: "p", FileName: "new"})
	if err != nil {
		t.Fatal(err)
	}
	if stats, err = Compact(t.Context(), cfg, open(t, base), []Source{source(log)}, w); err != nil {
		t.Fatal(err)
	}
	if stats.Rows == 0 {
		return read, compacted, stats
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for row, err := range open(t, out.Bytes()).Rows(nil) {
		if err != nil {
			t.Fatal(err)
		}
		note(compacted, row)
	}
	return read, compacted, stats
}

// TestFormatsAgree: over random histories a slice says the same read and compacted, from Avro and from Parquet blocks, held and spilled,
// and with numbers, with texts and with nothing for an ordering.
func TestFormatsAgree(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 9))
		blocks := inventBlocks(rng)
		var older []keyed
		for i := range 6 {
			older = append(older, keyed{fmt.Sprint("k", i), put(rng.Int64N(20), "old")})
		}
		base := historyFile(t, "20250101000000000", older)
		logs := map[logfile.BlockType][]byte{}
		for _, format := range []logfile.BlockType{logfile.AvroData, logfile.ParquetData} {
			logs[format] = historyLog(t, blocks, format)
		}
		for _, ordering := range []string{"at", "v", ""} {
			var want map[string]string
			var wantStats Stats
			for format, log := range logs {
				for _, memory := range []int64{1, 1500, 1 << 20} {
					cfg := Config{TableSchema: testSchema, Ordering: ordering, MemoryBytes: memory, SpillDir: t.TempDir()}
					read, compacted, stats := mergedBothWays(t, cfg, base, log)
					if want == nil {
						want, wantStats = read, stats
					}
					if !maps.Equal(read, want) || !maps.Equal(compacted, want) || stats != wantStats {
						t.Errorf("seed %d, ordering %q, %s, %d bytes:\nread      %v\ncompacted %v\nwant      %v\n%+v, want %+v",
							seed, ordering, format, memory, read, compacted, want, stats, wantStats)
					}
					empty(t, cfg.SpillDir)
				}
			}
			if len(want) < 3 {
				t.Errorf("seed %d: only %d rows, which prove little", seed, len(want))
			}
		}
	}
}

// TestParquetBlockOfAnotherType: a block whose column is not the table's as it is, is merged all the same, by way of Avro.
func TestParquetBlockOfAnotherType(t *testing.T) {
	t.Parallel()
	const table = `{"type":"record","name":"r","fields":[{"name":"at","type":["null","long"],"default":null},` +
		`{"name":"v","type":["null","string"],"default":null},{"name":"gone","type":["null","string"],"default":null}]}`
	const block = `{"type":"record","name":"r","fields":[{"name":"at","type":["null","int"],"default":null},{"name":"v","type":["null","string"],"default":null}]}`
	schema, err := basefile.WithMetaFields(block)
	if err != nil {
		t.Fatal(err)
	}
	file := parquetOf(t, table, "20260101000000001", []byte{2, 8, 2, 2, 'x', 2, 2, 'y'}) // has a column that the header lacks
	log := logfile.AppendBlock(nil, logfile.ParquetBlock("20260101000000001", schema, file))
	m, err := newMerger(Config{TableSchema: table, Ordering: "at"})
	if err != nil {
		t.Fatal(err)
	}
	err = m.collect(t.Context(), []Source{source(log)})
	if err == nil {
		t.Error("a long that the header calls an int was taken")
	}
	narrow := parquetOf(t, block, "20260101000000001", []byte{2, 8, 2, 2, 'x'})
	log = logfile.AppendBlock(nil, logfile.ParquetBlock("20260101000000001", schema, narrow))
	var out bytes.Buffer
	w, err := basefile.NewWriter(&out, basefile.Config{TableSchema: table, PartitionPath: "p", FileName: "new"})
	if err != nil {
		t.Fatal(err)
	}
	if stats, err := Compact(t.Context(), Config{TableSchema: table, Ordering: "at"}, nil, []Source{source(log)}, w); err != nil || stats.Rows != 1 {
		t.Fatalf("%+v, %v", stats, err)
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for row, err := range open(t, out.Bytes()).Rows([]string{"at", "v", "gone"}) {
		if err != nil || fmt.Sprint(row.Values) != "[4 x <nil>]" {
			t.Errorf("%v, %v", row.Values, err)
		}
	}
}
