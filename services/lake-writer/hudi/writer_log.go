package hudi

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
)

// LogFormat is what the data blocks of log files hold. Every engine reads both, mixed in one file too.
type LogFormat int

// The formats.
const (
	// LogFormatByCount leaves the choice to WithParquetLogBlocks; without that option blocks are Avro.
	LogFormatByCount LogFormat = iota
	// LogFormatAvro takes over the payloads as they are: the least work for the writer. Records that engines could not read from such a
	// block, since their schema lacks nested fields of the table or has types that engines take for different things, become Parquet.
	LogFormatAvro
	// LogFormatParquet makes a block many times smaller from some hundred records on, for several times the work. A commit looks into
	// the payloads then, and refuses those that are no record of their schema.
	LogFormatParquet
)

// WithParquetLogBlocks lets commits that leave the format open (LogFormatByCount) write those blocks as Parquet that hold at least so
// many records; the default, 0, is never. Below about 100 records the Parquet footer outweighs what the columns save.
func WithParquetLogBlocks(records int) Option {
	return func(o *options) { o.parquetFrom = max(0, records) }
}

// parquetFrom is from how many records on a block is Parquet, 0: never; byCount is the table's option.
func (f LogFormat) parquetFrom(byCount int) int {
	switch f {
	case LogFormatAvro:
		return 0
	case LogFormatParquet:
		return 1
	default:
		return byCount
	}
}

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

// maxBlockBytes bounds the records of a data block: readers hold a block at a time.
const maxBlockBytes = 32 << 20

// encodeLog writes the records as blocks: each run of records that names no key twice as data blocks and a block of deletions, so that
// what happens to a key happens in the order of the records.
func (job fileJob) encodeLog(fileID string) ([]byte, error) {
	e := logEncoder{job: job, fileID: fileID, schemas: make([]string, len(job.writerSchemas))}
	e.seqNo = string(job.instant) + "_" + strconv.Itoa(job.taskID) + "_"
	var err error
	for i, schema := range job.writerSchemas {
		if e.schemas[i], err = basefile.WithMetaFields(schema); err != nil {
			return nil, fmt.Errorf("schema of log blocks: %w", err)
		}
	}
	if e.tableSchema, err = basefile.WithMetaFields(job.tableSchema); err != nil {
		return nil, fmt.Errorf("schema of log blocks: %w", err)
	}
	keys := make(map[string]struct{}, len(job.records))
	begin := 0
	for i, r := range job.records {
		if _, again := keys[r.Key]; again {
			if err := e.run(job.records[begin:i]); err != nil {
				return nil, err
			}
			clear(keys)
			begin = i
		}
		keys[r.Key] = struct{}{}
	}
	if err := e.run(job.records[begin:]); err != nil {
		return nil, err
	}
	return e.out, nil
}

// recordFrameBytes is about what an Avro record has beside its payload, key, partition and file id.
const recordFrameBytes = 64

type logEncoder struct {
	job         fileJob
	fileID      string
	tableSchema string   // with meta fields
	schemas     []string // the writers', with meta fields
	before      int64    // records of earlier runs
	// seqNo is <instant>_<task>_, behind which the row's number makes the sequence number (HoodieRecord.generateSequenceId). Rows are
	// numbered in the order of the records, whatever blocks they are in.
	seqNo string
	out   []byte
}

// run writes records that name no key twice.
func (e *logEncoder) run(records []Record) error {
	var deletes []logfile.DeleteRecord
	rewrite := false
	for _, r := range records {
		rewrite = rewrite || !r.Delete && e.job.rewritten != nil && e.job.rewritten[r.Writer]
		if r.Delete {
			// Integer zero is Hudi's deletion of whatever is there.
			deletes = append(deletes, logfile.DeleteRecord{Key: r.Key, Partition: e.job.log.Partition, Ordering: logfile.IntOrdering(0)})
		}
	}
	if from := e.job.parquetFrom; rewrite || from > 0 && len(records)-len(deletes) >= from {
		if err := e.parquetBlocks(records); err != nil {
			return err
		}
	} else {
		e.avroBlocks(records)
	}
	if len(deletes) > 0 {
		e.out = logfile.AppendBlock(e.out, logfile.DeleteBlock(e.job.instant, e.tableSchema, deletes))
	}
	e.before += int64(len(records))
	return nil
}

// avroBlocks writes a block for each writer schema, or more where there are many bytes.
func (e *logEncoder) avroBlocks(records []Record) {
	used := make([]bool, len(e.schemas))
	size := 0
	for _, r := range records {
		if !r.Delete {
			used[r.Writer] = true
			size += len(r.Payload) + len(r.Key) + len(e.job.log.Partition) + len(e.fileID) + recordFrameBytes
		}
	}
	e.out = slices.Grow(e.out, size+len(e.tableSchema))
	meta := logfile.Meta{CommitTime: string(e.job.instant), SeqNo: e.seqNo, Partition: e.job.log.Partition, FileID: e.fileID}
	for writer, schema := range e.schemas {
		if !used[writer] {
			continue
		}
		b := logfile.AppendDataBlock(e.out, e.job.instant, schema)
		for i, r := range records {
			if r.Delete || r.Writer != writer {
				continue
			}
			if b.Len() > 0 && b.Size()+len(r.Payload) > maxBlockBytes {
				b = logfile.AppendDataBlock(b.End(), e.job.instant, schema)
			}
			meta.Key = r.Key
			b.AddNumbered(meta, e.before+int64(i), r.Payload)
		}
		e.out = b.End()
	}
}

// parquetBlocks writes the records of all writer schemas as rows of the table's, in one block unless there are many bytes.
func (e *logEncoder) parquetBlocks(records []Record) error {
	for begin := 0; begin < len(records); {
		end, size := begin, 0
		for end < len(records) && (size == 0 || size+len(records[end].Payload) <= maxBlockBytes) {
			size += len(records[end].Payload)
			end++
		}
		if err := e.parquetBlock(records[begin:end], begin); err != nil {
			return err
		}
		begin = end
	}
	return nil
}

// parquetBlock writes records that begin at an index of the run.
func (e *logEncoder) parquetBlock(records []Record, begin int) error {
	var file bytes.Buffer
	w, err := e.job.writers.get(&file, basefile.Config{
		TableSchema: e.job.tableSchema, WriterSchemas: e.job.writerSchemas, CommitTime: string(e.job.instant),
		PartitionPath: e.job.log.Partition, FileName: e.fileID, TaskID: e.job.taskID, // in logs the file name is the file group's
		LogBlock: true,
	})
	if err != nil {
		return fmt.Errorf("begin Parquet block: %w", err)
	}
	defer e.job.writers.put(w, true)
	rows := 0
	for i, r := range records {
		if r.Delete {
			continue
		}
		rows++
		if err := w.AppendNumbered(basefile.Record{Key: r.Key, Writer: r.Writer, Payload: r.Payload}, e.before+int64(begin+i)); err != nil {
			return appendError(r.Key, err)
		}
	}
	if rows == 0 {
		return nil
	}
	if _, err := w.Close(); err != nil {
		return fmt.Errorf("end Parquet block: %w", err)
	}
	e.out = logfile.AppendBlock(e.out, logfile.ParquetBlock(e.job.instant, e.tableSchema, file.Bytes()))
	return nil
}
