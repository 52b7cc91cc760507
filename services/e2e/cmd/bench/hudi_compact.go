package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/merge"
)

const compactText = `merging of log records, and of a base file, into a new base file; records of Avro and of Parquet blocks:
             as with Spark: what Hudi 1.2.0 compacted at 26 000 log records a CPU-second (JVM warm, Avro blocks): 8 file groups, 3 logs that
                 replace every row of them and 6 that replace a twentieth, rows of 32 columns, records of about 450 bytes
             updates: one group, 5 logs that replace every row, rows of 16 columns
             new rows: one group, 5 logs of new keys, so that every record becomes a row that has to be written`

// What the workloads are made of.
const (
	compactLogs  = 5 // of updates and new rows, each of as many records as the base file has rows
	sparkGroups  = 8
	sparkLarge   = 3    // logs of all rows
	sparkSmall   = 6    // logs of few
	sparkPart    = 20   // which part of the rows those are
	parquetBlock = 5000 // records of a Parquet block
)

// compaction are file groups to be compacted, and what must come of each.
type compaction struct {
	name     string
	schema   string
	groups   int
	base     []byte // of each group
	logs     [][]byte
	records  int   // of a group's logs
	rows     int64 // of its new file
	inserted int64
	logBytes int
	winners  [][]byte // Avro records that become rows; nil of Parquet blocks
	table    basefile.Config
}

// logContent says what a log of a workload holds: the events of numbers from first on, in a version.
type logContent struct{ first, n, version int }

// compact measures compactions, from file to file in memory, spills to disk.
func (l *library) compact(ctx context.Context) error {
	spark := make([]logContent, 0, sparkLarge+sparkSmall)
	group := max(l.rows/sparkGroups, sparkPart)
	for i := range sparkLarge {
		spark = append(spark, logContent{0, group, i + 1})
	}
	for i := range sparkSmall {
		spark = append(spark, logContent{i * (group / sparkPart), group / sparkPart, sparkLarge + i + 1})
	}
	updates, inserts := []logContent{}, []logContent{}
	for i := range compactLogs {
		updates, inserts = append(updates, logContent{0, l.rows, i + 1}), append(inserts, logContent{(i + 1) * l.rows, l.rows, i + 1})
	}
	l.printf("\ncompact: log records merged in a CPU-second, the new file's writing included   (target 400000)")
	for _, w := range []struct {
		name   string
		wide   bool
		groups int
		rows   int // of a group
		logs   []logContent
	}{
		{"as with Spark", true, sparkGroups, group, spark},
		{"updates", false, 1, l.rows, updates},
		{"new rows", false, 1, l.rows, inserts},
	} {
		for _, format := range []logfile.BlockType{logfile.AvroData, logfile.ParquetData} {
			c, err := newCompaction(w.name, w.wide, w.rows, w.logs, format)
			if err != nil {
				return fmt.Errorf("make up %s: %w", w.name, err)
			}
			c.groups = w.groups
			if err := l.measureCompaction(ctx, c, format); err != nil {
				return fmt.Errorf("compact %s: %w", w.name, err)
			}
		}
	}
	return nil
}

func (l *library) measureCompaction(ctx context.Context, c *compaction, format logfile.BlockType) error {
	out, err := basefile.NewWriter(io.Discard, c.table)
	if err != nil {
		return err
	}
	var whole, file series
	for range l.rounds {
		cost, err := spend(func() error {
			for range c.groups {
				if err := c.run(ctx, out); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		whole.add(cost, c.groups*c.records)
		if c.winners == nil {
			continue
		}
		if cost, err = spend(func() error { return c.writeAlone(out) }); err != nil {
			return err
		}
		file.add(cost, c.records)
	}
	l.printf("%-28s %10.0f   %8.2f allocs a record, %d groups of %d records of %d bytes", c.name+", "+format.String(), 1e9/median(whole.cpu),
		median(whole.allocs), c.groups, c.records, c.logBytes/c.records)
	if c.winners != nil {
		l.printf("%-28s %10.0f   %.0f %% of the time: the rows that come of the records, written without merging", "  the file alone",
			1e9/median(file.cpu), 100*ratio(file.cpu, whole.cpu))
	}
	return nil
}

// newCompaction makes up a group.
func newCompaction(name string, wide bool, rows int, logs []logContent, format logfile.BlockType) (*compaction, error) {
	c := &compaction{name: name, schema: benchSchema}
	event := inventEvent
	if wide {
		c.schema, event = wideSchema, inventWide
	}
	c.table = basefile.Config{
		TableSchema: c.schema, CommitTime: string(benchInstant(90)), PartitionPath: benchPartition,
		FileName: benchFileID + "_0-1-0_" + string(benchInstant(90)) + ".parquet", UniqueColumns: []string{"event_id"},
	}
	withMeta, err := basefile.WithMetaFields(c.schema)
	if err != nil {
		return nil, err
	}
	if c.base, err = c.file(1, rows, func(i int) hudi.Record { return event(i, 0) }); err != nil {
		return nil, err
	}
	last := make(map[int]int) // version by number
	for i, content := range logs {
		instant := benchInstant(10 + i)
		records := make([]hudi.Record, content.n)
		for j := range records {
			records[j] = event(content.first+j, content.version)
			last[content.first+j] = content.version
		}
		var log []byte
		if format == logfile.AvroData {
			log = appendLog(nil, logfile.NewDataBlock(instant, withMeta), instant, records)
		} else {
			for block := range slices.Chunk(records, parquetBlock) {
				file, err := c.file(10+i, len(block), func(i int) hudi.Record { return block[i] })
				if err != nil {
					return nil, err
				}
				log = logfile.AppendBlock(log, logfile.ParquetBlock(instant, withMeta, file))
			}
		}
		c.logs, c.records, c.logBytes = append(c.logs, log), c.records+len(records), c.logBytes+len(log)
	}
	c.rows = int64(rows)
	for number := range last {
		if number >= rows {
			c.inserted++
		}
	}
	c.rows += c.inserted
	if format == logfile.AvroData {
		return c, c.findWinners(logs, last)
	}
	return c, nil
}

// file is a Parquet file of so many records.
func (c *compaction) file(instant, rows int, record func(int) hudi.Record) ([]byte, error) {
	var file bytes.Buffer
	cfg := c.table
	cfg.WriterSchemas, cfg.CommitTime = []string{c.schema}, string(benchInstant(instant))
	w, err := basefile.NewWriter(&file, cfg)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		rec := record(i)
		if err := w.Append(basefile.Record{Key: rec.Key, Payload: rec.Payload}); err != nil {
			return nil, err
		}
	}
	_, err = w.Close()
	return file.Bytes(), err
}

// findWinners looks for the records of the logs that become rows.
func (c *compaction) findWinners(logs []logContent, last map[int]int) error {
	for i, content := range logs {
		n := 0
		for b, err := range logfile.Scan(bytes.NewReader(c.logs[i]), int64(len(c.logs[i])), logfile.ScanOptions{}) {
			if err != nil {
				return err
			}
			for datum, err := range logfile.Records(b) {
				if err != nil {
					return err
				}
				if last[content.first+n] == content.version {
					c.winners = append(c.winners, datum)
				}
				n++
			}
		}
	}
	return nil
}

// run compacts a group and checks the counts, those of the new file too.
func (c *compaction) run(ctx context.Context, out *basefile.Writer) error {
	if err := out.Reset(io.Discard, c.table); err != nil {
		return err
	}
	base, err := basefile.OpenReader(bytes.NewReader(c.base), int64(len(c.base)))
	if err != nil {
		return err
	}
	logs := make([]merge.Source, len(c.logs))
	for i, log := range c.logs {
		logs[i] = merge.Source{Name: fmt.Sprint("log ", i+1), Open: func(context.Context) (io.ReaderAt, int64, error) {
			return bytes.NewReader(log), int64(len(log)), nil
		}}
	}
	stats, err := merge.Compact(ctx, merge.Config{TableSchema: c.schema, Ordering: "event_time"}, base, logs, out)
	if err != nil {
		return err
	}
	footer, err := out.Close()
	if err != nil {
		return err
	}
	if stats.LogRecords != int64(c.records) || stats.Rows != c.rows || footer.Rows != c.rows || stats.Inserted != c.inserted {
		return fmt.Errorf("%+v and a file of %d rows; want %d log records, %d rows, %d of them new", stats, footer.Rows, c.records, c.rows, c.inserted)
	}
	return nil
}

// writeAlone writes a file of the winners, as a compaction does, and nothing else.
func (c *compaction) writeAlone(out *basefile.Writer) error {
	if err := out.Reset(io.Discard, c.table); err != nil {
		return err
	}
	schema, err := out.AddWriterSchema(c.schema)
	if err != nil {
		return err
	}
	for _, datum := range c.winners {
		if err := out.AppendMerged(datum, schema); err != nil {
			return err
		}
	}
	footer, err := out.Close()
	if err == nil && footer.Rows != int64(len(c.winners)) {
		err = fmt.Errorf("a file of %d rows, want %d", footer.Rows, len(c.winners))
	}
	return err
}

// wideColumns are columns beside those of benchSchema, to make 32 of them as in the rows of which Spark's figures are.
const wideColumns = 16

// wideSchema has numbers, flags, and texts that are seldom there.
var wideSchema = func() string {
	var b strings.Builder
	b.WriteString(strings.TrimSuffix(benchSchema, "]}"))
	for i := range wideColumns {
		kind := [...]string{"long", "boolean", "int", "string"}[i%4]
		b.WriteString(`,{"name":"extra_` + strconv.Itoa(i) + `","type":["null","` + kind + `"],"default":null}`)
	}
	return b.String() + "]}"
}()

// inventWide is inventEvent with the columns of wideSchema.
func inventWide(number, version int) hudi.Record {
	rec := inventEvent(number, version)
	for i := range wideColumns {
		v := number*(i+3) + version
		switch i % 4 {
		case 0, 2:
			rec.Payload = binary.AppendVarint(append(rec.Payload, 2), int64(v%5000))
		case 1:
			rec.Payload = append(rec.Payload, 2, byte(v%2))
		default:
			rec.Payload = append(rec.Payload, 0)
			if v%10 == 0 {
				text := "note " + strconv.Itoa(v%300)
				rec.Payload = append(binary.AppendVarint(append(rec.Payload[:len(rec.Payload)-1], 2), int64(len(text))), text...)
			}
		}
	}
	return rec
}
