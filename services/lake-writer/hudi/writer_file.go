package hudi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// fileJob is one data file to build.
type fileJob struct {
	kind          planKind
	pace          Pace // of what is read; nil: none
	operation     Operation
	file          fileslice.BaseFile // what to build, unless it is a log
	log           fileslice.LogFile
	slice         fileslice.Slice // what to go on from
	instant       timeline.Instant
	timeline      *timeline.Timeline // whose commits the logs of the slice are read by
	taskID        int
	tableSchema   string
	writerSchemas []string
	ordering      string // field
	parquetFrom   int    // records that make a log block Parquet; 0: none do
	rewritten     []bool // by writer schema: its records make one Parquet in any case; nil: none do
	records       []Record
	writers       *writerPool
}

// fileResult is the built file; no data when no record was new, and so no file is needed.
type fileResult struct {
	data       []byte
	rows       int64 // of the whole file
	added      int64
	updated    int64
	deleted    int64
	duplicates int64
	// Of logs that were compacted.
	logRecords, logBlocks, corrupt, rollbacks int64
}

// fileWriter builds a file. It is a seam: the commit protocol does not depend on what is in the files.
type fileWriter func(ctx context.Context, t *Table, job fileJob) (fileResult, error)

// writeDataFile is the fileWriter of Hudi's formats.
func writeDataFile(ctx context.Context, t *Table, job fileJob) (fileResult, error) {
	switch {
	case job.kind == appendLog:
		return writeLogFile(job)
	case job.kind == compact:
		return writeCompactedFile(ctx, t, job)
	case job.operation == BulkInsert:
		return writeBulkFile(job)
	case job.operation == Upsert, job.operation == InsertOverwrite:
		return writeUpsertedFile(ctx, t, job)
	default:
		return writeInsertedFile(ctx, t, job)
	}
}

func (job fileJob) newWriter(out io.Writer) (*basefile.Writer, error) {
	w, err := job.writers.get(out, basefile.Config{
		TableSchema: job.tableSchema, WriterSchemas: job.writerSchemas, CommitTime: string(job.instant),
		PartitionPath: job.file.Partition, FileName: job.file.Name(), TaskID: job.taskID,
	})
	if err != nil {
		return nil, fmt.Errorf("begin base file: %w", err)
	}
	return w, nil
}

// writerPool keeps Parquet writers for the next file, since their buffers and compiled schemas cost as much as a small file. A nil pool
// keeps nothing.
type writerPool struct {
	files, blocks sync.Pool // of *basefile.Writer: the columns of log blocks are others
}

func (p *writerPool) of(logBlock bool) *sync.Pool {
	if logBlock {
		return &p.blocks
	}
	return &p.files
}

// get returns a writer for a file; put takes it back, whatever became of the file.
func (p *writerPool) get(out io.Writer, cfg basefile.Config) (*basefile.Writer, error) {
	if p != nil {
		if w, ok := p.of(cfg.LogBlock).Get().(*basefile.Writer); ok {
			return w, w.Reset(out, cfg)
		}
	}
	return basefile.NewWriter(out, cfg)
}

func (p *writerPool) put(w *basefile.Writer, logBlock bool) {
	if p != nil {
		p.of(logBlock).Put(w)
	}
}

// writeInsertedFile takes over the rows of the group's older file, if there is one, and adds those records whose keys it lacks.
func writeInsertedFile(ctx context.Context, t *Table, job fileJob) (fileResult, error) {
	old, seen, err := openOld(ctx, t, job.slice)
	if err != nil {
		return fileResult{}, err
	}
	var out bytes.Buffer
	w, err := job.newWriter(&out)
	if err != nil {
		return fileResult{}, err
	}
	defer job.writers.put(w, false)
	var result fileResult
	fresh := make([]Record, 0, len(job.records))
	for _, r := range job.records {
		if _, dup := seen[r.Key]; dup {
			result.duplicates++
			continue
		}
		seen[r.Key] = struct{}{}
		fresh = append(fresh, r)
	}
	if len(fresh) == 0 {
		return result, nil
	}
	if old != nil {
		if _, err := w.CopyFrom(ctx, old, nil); err != nil {
			return fileResult{}, fmt.Errorf("copy rows of %s: %w", job.slice.Base.Key(), err)
		}
	}
	for _, r := range fresh {
		if err := w.Append(basefile.Record{Key: r.Key, Writer: r.Writer, Payload: r.Payload}); err != nil {
			return fileResult{}, appendError(r.Key, err)
		}
	}
	footer, err := w.Close()
	if err != nil {
		return fileResult{}, fmt.Errorf("end base file: %w", err)
	}
	result.data, result.rows, result.added = out.Bytes(), footer.Rows, int64(len(fresh))
	return result, nil
}

// appendError makes a record that no retry will repair the caller's error.
func appendError(key string, err error) error {
	var record *basefile.RecordError
	if errors.As(err, &record) {
		return fmt.Errorf("%w: record %q: %w", ErrInvalid, key, err)
	}
	return fmt.Errorf("add record %q: %w", key, err)
}

// openOld reads the slice's base file and its keys.
func openOld(ctx context.Context, t *Table, slice fileslice.Slice) (*basefile.Reader, map[string]struct{}, error) {
	if !slice.HasBase {
		return nil, make(map[string]struct{}), nil
	}
	data, _, err := t.store.Get(ctx, slice.Base.Key())
	if err != nil {
		return nil, nil, fmt.Errorf("read base file: %w", err)
	}
	r, err := basefile.OpenReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, nil, fmt.Errorf("open base file %s: %w", slice.Base.Key(), err)
	}
	keys, err := r.Keys()
	if err != nil {
		return nil, nil, fmt.Errorf("read keys of %s: %w", slice.Base.Key(), err)
	}
	seen := make(map[string]struct{}, len(keys))
	for _, k := range keys {
		seen[k] = struct{}{}
	}
	return r, seen, nil
}

// checkSchemas lets the Parquet writer refuse schemas before anything is written to the store.
func (p *writerPool) checkSchemas(table string, writers []string) error {
	w, err := p.get(io.Discard, basefile.Config{
		TableSchema: table, WriterSchemas: writers, CommitTime: "20000101000000000", FileName: "x", PartitionPath: "x",
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	p.put(w, false)
	return nil
}
