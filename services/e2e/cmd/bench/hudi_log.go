package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/merge"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

const (
	benchFileID = "00000000-560e-436a-9ea1-c078b41c73f6-0"
	blockBytes  = 8 << 20
	compactLogs = 5    // log files of a compaction
	parquetRows = 5000 // records of a Parquet block, as many as a commit of the service has for a file group
)

func benchInstant(n int) timeline.Instant { return timeline.Instant(fmt.Sprintf("20261122%09d", n)) }

// appendLog writes records as the blocks of a log file.
func appendLog(file []byte, block *logfile.DataBlock, instant timeline.Instant, records []hudi.Record) []byte {
	meta := logfile.Meta{CommitTime: string(instant), SeqNo: string(instant) + "_0_", Partition: benchPartition, FileID: benchFileID}
	for i, rec := range records {
		meta.Key = rec.Key
		if block.AddNumbered(meta, int64(i), rec.Payload); block.Size() >= blockBytes {
			file = block.AppendTo(file)
			block.Reset()
		}
	}
	file = block.AppendTo(file)
	block.Reset()
	return file
}

// parquetLog writes Parquet blocks.
type parquetLog struct {
	schema  string // with meta fields
	config  basefile.Config
	writer  *basefile.Writer
	content bytes.Buffer
}

func newParquetLog(schema string, instant timeline.Instant) (*parquetLog, error) {
	p := &parquetLog{schema: schema, config: basefile.Config{
		TableSchema: benchSchema, WriterSchemas: []string{benchSchema}, CommitTime: string(instant), PartitionPath: benchPartition,
		FileName: benchFileID, LogBlock: true,
	}}
	var err error
	p.writer, err = basefile.NewWriter(&p.content, p.config)
	return p, err
}

// append writes records as the blocks of a log file.
func (p *parquetLog) append(file []byte, records []hudi.Record) ([]byte, error) {
	for block := range slices.Chunk(records, parquetRows) {
		p.content.Reset()
		if err := p.writer.Reset(&p.content, p.config); err != nil {
			return nil, err
		}
		for _, rec := range block {
			if err := p.writer.Append(basefile.Record{Key: rec.Key, Payload: rec.Payload}); err != nil {
				return nil, err
			}
		}
		if _, err := p.writer.Close(); err != nil {
			return nil, err
		}
		file = logfile.AppendBlock(file, logfile.ParquetBlock(timeline.Instant(p.config.CommitTime), p.schema, p.content.Bytes()))
	}
	return file, nil
}

// log measures the building of a log file in either format, buffers warm, as a commit does it for a group that has a base file.
func (l *library) log(context.Context) error {
	records := make([]hudi.Record, l.rows)
	for i := range records {
		records[i] = inventEvent(i, 0)
	}
	schema, err := basefile.WithMetaFields(benchSchema)
	if err != nil {
		return err
	}
	block := logfile.NewDataBlock(benchInstant(1), schema)
	parquet, err := newParquetLog(schema, benchInstant(1))
	if err != nil {
		return err
	}
	formats := []struct {
		name   string
		append func(file []byte) ([]byte, error)
		target int // ns
		file   []byte
		series
	}{
		{name: "Avro blocks", append: func(file []byte) ([]byte, error) { return appendLog(file, block, benchInstant(1), records), nil }, target: 500},
		{name: "Parquet blocks", append: func(file []byte) ([]byte, error) { return parquet.append(file, records) }, target: 2000},
	}
	for i := range formats {
		f := &formats[i]
		if f.file, err = f.append(nil); err != nil {
			return err
		}
		if n, err := countLog(f.file); err != nil || n != len(records) {
			return fmt.Errorf("log of %s has %d records, want %d: %w", f.name, n, len(records), err)
		}
	}
	for range l.rounds {
		for i := range formats {
			f := &formats[i]
			c, err := spend(func() (err error) {
				f.file, err = f.append(f.file[:0])
				return err
			})
			if err != nil {
				return err
			}
			f.add(c, len(records))
		}
	}
	l.printf("\nlog: %d records, in Parquet blocks of %d; per record", len(records), parquetRows)
	for _, f := range formats {
		l.printf("%-28s %10.0f cpu ns %10.4f allocs %10.1f file B   (target %d ns)", f.name, median(f.cpu), median(f.allocs),
			float64(len(f.file))/float64(len(records)), f.target)
	}
	return nil
}

func countLog(file []byte) (records int, err error) {
	for block, err := range logfile.Scan(bytes.NewReader(file), int64(len(file)), logfile.ScanOptions{}) {
		if err != nil {
			return 0, err
		}
		if block.Type == logfile.ParquetData {
			r, err := basefile.OpenReader(bytes.NewReader(block.Content), int64(len(block.Content)))
			if err != nil {
				return 0, err
			}
			records += int(r.NumRows())
			continue
		}
		for _, err := range logfile.Records(block) {
			if err != nil {
				return 0, err
			}
			records++
		}
	}
	return records, nil
}

// compaction is a slice to be compacted, and what must come of it.
type compaction struct {
	name     string
	base     []byte
	logs     [][]byte
	records  int // of the logs
	rows     int64
	inserted int64
}

// compact measures the merging of a slice, file to file in memory, spills to disk: once with logs that replace every row of the base
// file several times, once with logs of new rows.
func (l *library) compact(ctx context.Context) error {
	slices := make([]*compaction, 0, 2)
	updates, inserts := &compaction{name: "updates of rows"}, &compaction{name: "new rows"}
	schema, err := basefile.WithMetaFields(benchSchema)
	if err != nil {
		return err
	}
	for i, s := range []*compaction{updates, inserts} {
		records := make([]hudi.Record, l.rows)
		for log := range compactLogs {
			for j := range records {
				records[j] = inventEvent(j+i*(log+1)*l.rows, log+1)
			}
			instant := benchInstant(10 + log)
			s.logs = append(s.logs, appendLog(nil, logfile.NewDataBlock(instant, schema), instant, records))
			s.records += len(records)
		}
		if s.base, err = l.baseFile(); err != nil {
			return err
		}
		s.rows = int64(l.rows) * int64(1+i*compactLogs)
		s.inserted = s.rows - int64(l.rows)
		slices = append(slices, s)
	}
	l.printf("\ncompact: a base file of %d rows and %d logs of as many records each", l.rows, compactLogs)
	out, err := basefile.NewWriter(io.Discard, l.outConfig())
	if err != nil {
		return err
	}
	for _, s := range slices {
		var cpu series
		for range l.rounds {
			c, err := spend(func() error { return s.run(ctx, out, l.outConfig()) })
			if err != nil {
				return fmt.Errorf("compact %s: %w", s.name, err)
			}
			cpu.add(c, s.records)
		}
		size := 0
		for _, log := range s.logs {
			size += len(log)
		}
		l.printf("%-28s %10.0f log records a CPU-second %8.2f allocs a record, records of %d bytes   (target 400000)", s.name,
			1e9/median(cpu.cpu), median(cpu.allocs), size/s.records)
	}
	return nil
}

func (l *library) outConfig() basefile.Config {
	return basefile.Config{
		TableSchema: benchSchema, CommitTime: string(benchInstant(90)), PartitionPath: benchPartition,
		FileName: benchFileID + "_0-1-0_" + string(benchInstant(90)) + ".parquet", UniqueColumns: []string{"event_id"},
	}
}

func (l *library) baseFile() ([]byte, error) {
	var file bytes.Buffer
	cfg := l.outConfig()
	cfg.WriterSchemas, cfg.CommitTime = []string{benchSchema}, string(benchInstant(1))
	w, err := basefile.NewWriter(&file, cfg)
	if err != nil {
		return nil, err
	}
	for i := range l.rows {
		rec := inventEvent(i, 0)
		if err := w.Append(basefile.Record{Key: rec.Key, Payload: rec.Payload}); err != nil {
			return nil, err
		}
	}
	_, err = w.Close()
	return file.Bytes(), err
}

// run compacts once and checks the counts, those of the new file too.
func (s *compaction) run(ctx context.Context, out *basefile.Writer, cfg basefile.Config) error {
	if err := out.Reset(io.Discard, cfg); err != nil {
		return err
	}
	base, err := basefile.OpenReader(bytes.NewReader(s.base), int64(len(s.base)))
	if err != nil {
		return err
	}
	logs := make([]merge.Source, len(s.logs))
	for i, log := range s.logs {
		logs[i] = merge.Source{Name: fmt.Sprint("log ", i+1), Open: func(context.Context) (io.ReaderAt, int64, error) {
			return bytes.NewReader(log), int64(len(log)), nil
		}}
	}
	stats, err := merge.Compact(ctx, merge.Config{TableSchema: benchSchema, Ordering: "event_time"}, base, logs, out)
	if err != nil {
		return err
	}
	footer, err := out.Close()
	if err != nil {
		return err
	}
	if stats.LogRecords != int64(s.records) || stats.Rows != s.rows || footer.Rows != s.rows || stats.Inserted != s.inserted {
		return fmt.Errorf("%+v and a file of %d rows; want %d log records, %d rows, %d of them new", stats, footer.Rows, s.records, s.rows, s.inserted)
	}
	return nil
}
