package merge

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"
	"syscall"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
)

// Benchmarks merge benchRecords log records of 27 columns (32 with the meta columns), about 400 bytes each, with a base file of as many
// rows, half of which they replace. One operation is one log record: -benchtime must be a multiple of benchRecords.
const benchRecords = 20_000

var benchSchema = func() string {
	var b strings.Builder
	b.WriteString(`{"type":"record","name":"bench","fields":[{"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}}`)
	for i := range 9 {
		fmt.Fprintf(&b, `,{"name":"s%d","type":["null","string"],"default":null},{"name":"n%d","type":["null","long"],"default":null}`, i, i)
	}
	for i := range 4 {
		fmt.Fprintf(&b, `,{"name":"d%d","type":["null","double"],"default":null},{"name":"i%d","type":["null","int"],"default":null}`, i, i)
	}
	return b.String() + "]}"
}()

func benchPayload(i int) []byte {
	b := binary.AppendVarint(nil, 1_700_000_000_000_000+int64(i)*1000)
	for c := range 9 {
		text := fmt.Sprintf("value-%d-%d", c, i%(50*(c+1)))
		if c == 0 {
			text = fmt.Sprintf("%016x-%016x", uint64(i)*0x9e3779b97f4a7c15, i)
		}
		b = binary.AppendVarint(append(b, 2), int64(len(text)))
		b = append(b, text...)
		b = binary.AppendVarint(append(b, 2), int64(i)*int64(c+1)*7919)
	}
	for c := range 4 {
		b = binary.LittleEndian.AppendUint64(append(b, 2), math.Float64bits(float64(i*(c+1))/7))
		b = binary.AppendVarint(append(b, 2), int64(i%1000))
	}
	return b
}

func benchKey(i int) string { return fmt.Sprintf("session_id:s-%06d,event_id:e-%08d", i/100, i) }

func benchMeta(i int) logfile.Meta {
	const instant = "20260101000000001"
	return logfile.Meta{
		CommitTime: instant, SeqNo: fmt.Sprintf("%s_0_%d", instant, i), Key: benchKey(i),
		Partition: "2026-11-22/08", FileID: "00000001-560e-436a-9ea1-c078b41c73f6-0",
	}
}

// benchLog are records first to first+n in a block.
func benchLog(tb testing.TB, first, n int) []byte {
	tb.Helper()
	schema, err := basefile.WithMetaFields(benchSchema)
	if err != nil {
		tb.Fatal(err)
	}
	d := logfile.NewDataBlock("20260101000000001", schema)
	for i := range n {
		d.Add(benchMeta(first+i), benchPayload(first+i))
	}
	return d.AppendTo(nil)
}

// benchFile are the same records as a Parquet file.
func benchFile(tb testing.TB, first, n int) []byte {
	tb.Helper()
	var out bytes.Buffer
	w := benchWriter(tb, &out)
	for i := range n {
		m := benchMeta(first + i)
		if err := w.AppendKept(basefile.KeptRecord{CommitTime: m.CommitTime, SeqNo: m.SeqNo, Key: m.Key, Payload: benchPayload(first + i)}); err != nil {
			tb.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func benchWriter(tb testing.TB, out io.Writer) *basefile.Writer {
	tb.Helper()
	w, err := basefile.NewWriter(out, basefile.Config{
		TableSchema: benchSchema, WriterSchemas: []string{benchSchema}, CommitTime: "20260101000000000", PartitionPath: "2026-11-22/08", FileName: "new.parquet",
	})
	if err != nil {
		tb.Fatal(err)
	}
	return w
}

// reportCPU reports the CPU time of an operation, garbage collection counted, which a busy machine disturbs less than it does time.
func reportCPU(b *testing.B) func() {
	cpu := func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	before := cpu()
	return func() { b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op") }
}

// BenchmarkCollect takes the log records in and writes nothing.
func BenchmarkCollect(b *testing.B) {
	parquet, err := basefile.WithMetaFields(benchSchema)
	if err != nil {
		b.Fatal(err)
	}
	logs := map[string][]byte{
		"avro":    benchLog(b, 0, benchRecords),
		"parquet": logfile.AppendBlock(nil, logfile.ParquetBlock("20260101000000001", parquet, benchFile(b, 0, benchRecords))),
	}
	for _, format := range []string{"avro", "parquet"} {
		b.Run(format, func(b *testing.B) {
			b.ReportAllocs()
			defer reportCPU(b)()
			for range b.N / benchRecords {
				m, err := newMerger(Config{TableSchema: benchSchema, Ordering: "at"})
				if err == nil {
					err = m.collect(b.Context(), []Source{source(logs[format])})
				}
				if err != nil || m.stats.LogRecords != benchRecords {
					b.Fatal(m.stats, err)
				}
			}
		})
	}
}

func BenchmarkCompact(b *testing.B) {
	log, base := benchLog(b, benchRecords/2, benchRecords), benchFile(b, 0, benchRecords)
	b.SetBytes(int64(len(log) / benchRecords))
	b.ReportAllocs()
	b.ResetTimer()
	defer reportCPU(b)()
	for range b.N / benchRecords {
		w := benchWriter(b, io.Discard)
		stats, err := Compact(b.Context(), Config{TableSchema: benchSchema, Ordering: "at"}, open(b, base), []Source{source(log)}, w)
		if err != nil || stats.Updated != benchRecords/2 || stats.Inserted != benchRecords/2 {
			b.Fatal(stats, err)
		}
		if _, err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
