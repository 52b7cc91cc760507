package hudi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/merge"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// mergeMemory is how many bytes of log records one merge holds before it spills.
const mergeMemory = 128 << 20

// writeLogFile builds a log file of the job's records.
func writeLogFile(job fileJob) (fileResult, error) {
	var result fileResult
	for _, r := range job.records {
		if r.Delete {
			result.deleted++
		} else {
			result.added++
		}
	}
	data, err := job.encodeLog(job.log.FileID)
	if err != nil {
		return fileResult{}, err
	}
	result.data, result.rows = data, result.added
	return result, nil
}

// encodeLog writes the records as blocks: each run of records that names no key twice as a data block for each schema and a block of
// deletions, so that what happens to a key happens in the order of the records.
func (job fileJob) encodeLog(fileID string) ([]byte, error) {
	e := logEncoder{job: job, fileID: fileID, keys: make(map[string]struct{}), blocks: make([]*logfile.DataBlock, len(job.writerSchemas))}
	for i, schema := range job.writerSchemas {
		full, err := basefile.WithMetaFields(schema)
		if err != nil {
			return nil, fmt.Errorf("schema of log blocks: %w", err)
		}
		e.blocks[i] = logfile.NewDataBlock(job.instant, full)
	}
	table, err := basefile.WithMetaFields(job.tableSchema)
	if err != nil {
		return nil, fmt.Errorf("schema of log blocks: %w", err)
	}
	e.tableSchema = table
	for _, r := range job.records {
		e.add(r)
	}
	e.flush()
	return e.out, nil
}

// maxBlockBytes bounds a data block: readers hold a block at a time.
const maxBlockBytes = 32 << 20

type logEncoder struct {
	job         fileJob
	fileID      string
	tableSchema string
	keys        map[string]struct{} // of the run
	blocks      []*logfile.DataBlock
	deletes     []logfile.DeleteRecord
	rows        int64
	seqNo       []byte
	out         []byte
}

func (e *logEncoder) add(r Record) {
	if _, again := e.keys[r.Key]; again {
		e.flush()
	}
	e.keys[r.Key] = struct{}{}
	if r.Delete {
		// Integer zero is Hudi's deletion of whatever is there.
		e.deletes = append(e.deletes, logfile.DeleteRecord{Key: r.Key, Partition: e.job.log.Partition, Ordering: logfile.IntOrdering(0)})
		return
	}
	b := e.blocks[r.Writer]
	if b.Len() > 0 && b.Size()+len(r.Payload) > maxBlockBytes {
		e.out = b.AppendTo(e.out)
		b.Reset()
	}
	b.Add(logfile.Meta{
		CommitTime: string(e.job.instant), SeqNo: e.nextSeqNo(), Key: r.Key, Partition: e.job.log.Partition, FileID: e.fileID,
	}, r.Payload)
}

// nextSeqNo is <instant>_<task>_<row> (HoodieRecord.generateSequenceId).
func (e *logEncoder) nextSeqNo() string {
	e.seqNo = append(e.seqNo[:0], e.job.instant...)
	e.seqNo = strconv.AppendInt(append(e.seqNo, '_'), int64(e.job.taskID), 10)
	e.seqNo = strconv.AppendInt(append(e.seqNo, '_'), e.rows, 10)
	e.rows++
	return string(e.seqNo)
}

// flush ends the run.
func (e *logEncoder) flush() {
	for _, b := range e.blocks {
		if b.Len() > 0 {
			e.out = b.AppendTo(e.out)
			b.Reset()
		}
	}
	if len(e.deletes) > 0 {
		e.out = logfile.AppendBlock(e.out, logfile.DeleteBlock(e.job.instant, e.tableSchema, e.deletes))
		e.deletes = e.deletes[:0]
	}
	clear(e.keys)
}

// writeUpsertedFile merges the job's records with the group's base file, as a compaction would merge a log that held them: there is one
// meaning of an upsert, wherever it happens.
func writeUpsertedFile(ctx context.Context, t *Table, job fileJob) (fileResult, error) {
	job.log = fileslice.LogFile{Partition: job.file.Partition}
	data, err := job.encodeLog(job.file.FileID)
	if err != nil {
		return fileResult{}, err
	}
	logs := []merge.Source{{Name: "records of the request", Open: func(context.Context) (io.ReaderAt, int64, error) {
		return bytes.NewReader(data), int64(len(data)), nil
	}}}
	return t.mergeInto(ctx, job, logs, func(timeline.Instant) bool { return true })
}

// writeCompactedFile merges the slice's logs with its base file.
func writeCompactedFile(ctx context.Context, t *Table, job fileJob) (fileResult, error) {
	return t.mergeInto(ctx, job, t.logSources(job.slice.Logs), job.timeline.Committed)
}

// mergeInto builds the job's base file from its slice's base file and logs.
func (t *Table) mergeInto(ctx context.Context, job fileJob, logs []merge.Source, accept func(timeline.Instant) bool) (fileResult, error) {
	var base *basefile.Reader
	if job.slice.HasBase {
		var err error
		if base, err = t.OpenFile(ctx, job.slice.Base); err != nil {
			return fileResult{}, fmt.Errorf("open base file %s: %w", job.slice.Base.Key(), err)
		}
	}
	job.writerSchemas = nil // the blocks bring theirs
	var out bytes.Buffer
	w, err := job.newWriter(&out)
	if err != nil {
		return fileResult{}, err
	}
	stats, err := merge.Compact(ctx, t.mergeConfig(job.tableSchema, job.ordering, accept), base, logs, w)
	if err != nil {
		return fileResult{}, err
	}
	result := fileResult{
		rows: stats.Rows, added: stats.Inserted, updated: stats.Updated, deleted: stats.Deleted,
		logRecords: stats.LogRecords, logBlocks: stats.LogBlocks, corrupt: stats.Corrupt, rollbacks: stats.Rollbacks,
	}
	if job.kind == rewrite && result.added+result.updated+result.deleted == 0 {
		return result, nil // nothing that the older file does not say already
	}
	if _, err := w.Close(); err != nil {
		return fileResult{}, fmt.Errorf("end base file: %w", err)
	}
	result.data = out.Bytes()
	return result, nil
}

func (t *Table) mergeConfig(schema, ordering string, accept func(timeline.Instant) bool) merge.Config {
	return merge.Config{TableSchema: schema, Ordering: ordering, Mode: merge.EventTime, Accept: accept, MemoryBytes: mergeMemory}
}

// logSources opens log files for a merge.
func (t *Table) logSources(logs []fileslice.LogFile) []merge.Source {
	var sources []merge.Source
	for _, l := range logs {
		sources = append(sources, merge.Source{Name: l.Key(), Open: func(ctx context.Context) (io.ReaderAt, int64, error) {
			return t.openObject(ctx, l.Key(), l.Size)
		}})
	}
	return sources
}
