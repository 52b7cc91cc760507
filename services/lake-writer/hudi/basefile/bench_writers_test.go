package basefile

import (
	"bytes"
	"io"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	parquetzstd "github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile/bloom"
)

// wideSchema has 27 columns, which the meta columns make 32.
const wideSchema = `{"type":"record","name":"event","fields":[
 {"name":"event_id","type":"string"},{"name":"session_id","type":"string"},{"name":"event_type","type":"string"},
 {"name":"event_time","type":{"type":"long","logicalType":"timestamp-micros"}},
 {"name":"session_start","type":{"type":"long","logicalType":"timestamp-micros"}},
 {"name":"sequence","type":"long"},
 {"name":"tenant","type":["null","string"]},{"name":"source","type":["null","string"]},
 {"name":"received_at","type":["null",{"type":"long","logicalType":"timestamp-micros"}]},
 {"name":"account_id","type":"string"},{"name":"profile_id","type":["null","string"]},{"name":"device_id","type":"string"},
 {"name":"device","type":{"type":"record","name":"device","fields":[{"name":"type","type":"string"},{"name":"model","type":"string"},{"name":"os","type":"string"}]}},
 {"name":"title_id","type":"string"},{"name":"position_ms","type":"long"},{"name":"bitrate_kbps","type":["null","int"]},
 {"name":"buffer_ms","type":["null","int"]},{"name":"cdn","type":["null","string"]},{"name":"country","type":["null","string"]},
 {"name":"app_version","type":"string"},{"name":"ip","type":["null","string"]},
 {"name":"playback_rate","type":["null","double"]},
 {"name":"price","type":["null",{"type":"fixed","name":"money","size":8,"logicalType":"decimal","precision":18,"scale":4}]},
 {"name":"tags","type":{"type":"map","values":"string"}}
]}`

// columnWise writes the same columns by parquet-go's column writers, the fastest way that it has: shredded by the same walk, with
// the same encodings, codec, pages, row groups and footer keys.
type columnWise struct {
	*Writer // shreds; its own columns stay empty
	file    *parquet.GenericWriter[any]
	values  []parquet.Value
	group   int
}

func newColumnWise(tb testing.TB, cfg Config) *columnWise {
	tb.Helper()
	w, err := NewWriter(io.Discard, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return &columnWise{Writer: w, file: parquet.NewGenericWriter[any](io.Discard,
		parquet.NewSchema("hoodie_record", w.layout.parquetNode(cfg.UniqueColumns)),
		parquet.Compression(&parquetzstd.Codec{Level: zstd.SpeedFastest}), parquet.DataPageVersion(2),
		parquet.PageBufferSize(dataPageBytes), parquet.DictionaryMaxBytes(dictionaryBytes))}
}

func (c *columnWise) write(tb testing.TB, out io.Writer, records []Record) {
	tb.Helper()
	c.file.Reset(out)
	if err := c.Writer.Reset(io.Discard, c.cfg); err != nil {
		tb.Fatal(err)
	}
	for _, rec := range records {
		if err := c.appendRow(rec, c.cfg.CommitTime, "", c.appended); err != nil {
			tb.Fatal(err)
		}
		c.appended++
		if c.batch.rows == batchRows {
			c.flush(tb)
		}
	}
	c.flush(tb)
	c.file.SetKeyValueMetadata(bloomTypeKey, bloom.TypeCode)
	c.file.SetKeyValueMetadata(bloomKey, c.keys.bloom(bloomFalsePositives))
	if err := c.file.Close(); err != nil {
		tb.Fatal(err)
	}
}

func (c *columnWise) flush(tb testing.TB) {
	tb.Helper()
	b := &c.batch
	for leaf, column := range c.file.ColumnWriters() {
		var err error
		switch leaf {
		case leafPartitionPath:
			err = c.constant(column, leaf, c.cfg.PartitionPath)
		case leafFileName:
			err = c.constant(column, leaf, c.cfg.FileName)
		default:
			c.convert(leaf)
			_, err = column.WriteRowValues(c.values)
			c.clearColumn(leaf)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	c.group += len(b.arena)
	if c.group >= defaultRowGroupBytes {
		c.group = 0
		if err := c.file.Flush(); err != nil {
			tb.Fatal(err)
		}
	}
	b.rows, b.arena = 0, b.arena[:c.symbols]
}

func (c *columnWise) constant(column *parquet.ColumnWriter, leaf int, value string) error {
	c.values = appendSame(c.values[:0], parquet.ByteArrayValue([]byte(value)).Level(0, 1, leaf), c.batch.rows)
	_, err := column.WriteRowValues(c.values)
	return err
}

// convert makes the batch's column values of parquet-go.
func (c *columnWise) convert(leaf int) {
	b, l, next := &c.batch.columns[leaf], c.leaves[leaf], 0
	n := len(b.Values)
	if l.def > 0 {
		n = len(b.Defs)
	}
	c.values = c.values[:0]
	for i := range n {
		rep, def := 0, 0
		if l.rep > 0 {
			rep = int(b.Reps[i])
		}
		if l.def > 0 {
			def = int(b.Defs[i])
		}
		v := parquet.NullValue()
		if def == l.def {
			v = parquetValue(l, c.batch.arena, b.Values[next])
			next++
		}
		c.values = append(c.values, v.Level(rep, def, leaf))
	}
}

// cpuTime is the process's, garbage collector included: on a shared machine the clock says little.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// benchFileVariable names a file to write, by our encoder, of BenchmarkWriters' rows: scripts/bench.sh gives it to other engines.
const benchFileVariable = "PLAYHEAD_BENCH_FILE"

// BenchmarkWriters writes files of 100,000 events, 32 columns, zstd level 1, from Avro bytes, by our encoder and by parquet-go's
// column writers, both fresh for each file and reused. All of them shred, and build the bloom filter.
func BenchmarkWriters(b *testing.B) {
	records := inventEventsOf(b, wideSchema, benchEvents)
	cfg := eventConfig()
	cfg.TableSchema, cfg.WriterSchemas = wideSchema, []string{wideSchema}
	own := func(w *Writer) {
		for _, rec := range records {
			if err := w.Append(rec); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
	reused, err := NewWriter(io.Discard, cfg)
	if err != nil {
		b.Fatal(err)
	}
	if name := os.Getenv(benchFileVariable); name != "" {
		var file bytes.Buffer
		if err := reused.Reset(&file, cfg); err != nil {
			b.Fatal(err)
		}
		own(reused)
		if err := os.WriteFile(name, file.Bytes(), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	theirs := newColumnWise(b, cfg)
	if n := len(theirs.file.ColumnWriters()); n != 32 {
		b.Fatalf("%d columns", n)
	}
	for _, w := range []struct {
		name  string
		write func(io.Writer)
	}{
		{"own", func(out io.Writer) {
			w, err := NewWriter(out, cfg)
			if err != nil {
				b.Fatal(err)
			}
			own(w)
		}},
		{"parquet-go", func(out io.Writer) { newColumnWise(b, cfg).write(b, out, records) }},
		{"own reused", func(out io.Writer) {
			if err := reused.Reset(out, cfg); err != nil {
				b.Fatal(err)
			}
			own(reused)
		}},
		{"parquet-go reused", func(out io.Writer) { theirs.write(b, out, records) }},
	} {
		b.Run(w.name, func(b *testing.B) { benchWriter(b, w.write) })
	}
	b.Run("bloom alone", func(b *testing.B) {
		used := cpuTime(b)
		for b.Loop() {
			reused.keys.bloom(bloomFalsePositives)
		}
		b.ReportMetric(float64((cpuTime(b)-used).Nanoseconds())/float64(b.N*benchEvents), "cpu-ns/event")
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchEvents), "ns/event")
	})
}

// benchWriter measures the writing of a file, whose rows it counts first.
func benchWriter(b *testing.B, write func(io.Writer)) {
	var file bytes.Buffer
	write(&file)
	if f, err := parquet.OpenFile(bytes.NewReader(file.Bytes()), int64(file.Len())); err != nil || f.NumRows() != benchEvents {
		b.Fatalf("file has not %d rows: %v", benchEvents, err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	out := &countingWriter{to: io.Discard}
	used := cpuTime(b)
	for b.Loop() {
		write(out)
	}
	used = cpuTime(b) - used
	runtime.ReadMemStats(&after)
	events := float64(b.N * benchEvents)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/events, "ns/event")
	b.ReportMetric(float64(used.Nanoseconds())/events, "cpu-ns/event")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/events, "allocs/event")
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/events, "B/event")
	b.ReportMetric(float64(out.n)/events, "fileB/event")
}
