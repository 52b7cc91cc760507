package hudi

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"syscall"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
)

// logBenchRecords are in one commit's log file; one operation is one of them, so -benchtime must be a multiple.
const logBenchRecords = 20_000

// logBenchJob appends events of 27 columns (32 with the meta columns), about 300 bytes each.
func logBenchJob(parquetFrom int) fileJob {
	var schema strings.Builder
	schema.WriteString(`{"type":"record","name":"bench","fields":[{"name":"at","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null}`)
	for i := range 9 {
		fmt.Fprintf(&schema, `,{"name":"s%d","type":["null","string"],"default":null},{"name":"n%d","type":["null","long"],"default":null}`, i, i)
	}
	for i := range 4 {
		fmt.Fprintf(&schema, `,{"name":"d%d","type":["null","double"],"default":null},{"name":"i%d","type":["null","int"],"default":null}`, i, i)
	}
	schema.WriteString("]}")
	job := fileJob{
		kind: appendLog, instant: "20260101000000001", tableSchema: schema.String(), writerSchemas: []string{schema.String()}, ordering: "at",
		parquetFrom: parquetFrom, writers: new(writerPool), log: fileslice.LogFile{Partition: "2026-11-22/08", FileID: "00000001-560e-436a-9ea1-c078b41c73f6-0"},
	}
	for i := range logBenchRecords {
		b := binary.AppendVarint([]byte{2}, 1_700_000_000_000_000+int64(i)*1000)
		for c := range 9 {
			text := fmt.Sprintf("value-%d-%d", c, i%(50*(c+1)))
			b = binary.AppendVarint(append(b, 2), int64(len(text)))
			b = append(b, text...)
			b = binary.AppendVarint(append(b, 2), int64(i)*int64(c+1)*7919)
		}
		for c := range 4 {
			b = binary.LittleEndian.AppendUint64(append(b, 2), math.Float64bits(float64(i*(c+1))/7))
			b = binary.AppendVarint(append(b, 2), int64(i%1000))
		}
		job.records = append(job.records, Record{Key: fmt.Sprintf("session_id:s-%06d,event_id:e-%08d", i/100, i), Payload: b})
	}
	return job
}

// BenchmarkLogAppend encodes log files. It reports CPU time, which a busy machine disturbs less than time, and the size of an event.
func BenchmarkLogAppend(b *testing.B) {
	cpu := func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	for name, parquetFrom := range map[string]int{"avro": 0, "parquet": 1} {
		b.Run(name, func(b *testing.B) {
			job, size := logBenchJob(parquetFrom), 0
			b.ReportAllocs()
			b.ResetTimer()
			before := cpu()
			for range b.N / logBenchRecords {
				r, err := writeLogFile(job)
				if err != nil || r.added != logBenchRecords {
					b.Fatal(r.added, err)
				}
				size = len(r.data)
			}
			b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op")
			b.ReportMetric(float64(size)/logBenchRecords, "log-B/op")
		})
	}
}
