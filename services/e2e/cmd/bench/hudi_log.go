package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

const (
	benchFileID = "00000000-560e-436a-9ea1-c078b41c73f6-0"
	blockBytes  = 8 << 20
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
