package hudi

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/merge"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// mergeMemory is how many bytes of log records one merge holds before it spills.
const mergeMemory = 128 << 20

// writeUpsertedFile merges the job's records with the group's base file, as a compaction would merge a log that held them: there is one
// meaning of an upsert, wherever it happens.
func writeUpsertedFile(ctx context.Context, t *Table, job fileJob) (fileResult, error) {
	job.log = fileslice.LogFile{Partition: job.file.Partition}
	job.parquetFrom, job.rewritten = 0, nil // the blocks are read again at once
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
	return t.mergeInto(ctx, job, t.pacedSources(job.slice.Logs, job.pace), job.timeline.Committed)
}

// mergeInto builds the job's base file from its slice's base file and logs.
func (t *Table) mergeInto(ctx context.Context, job fileJob, logs []merge.Source, accept func(timeline.Instant) bool) (fileResult, error) {
	var base *basefile.Reader
	if job.slice.HasBase {
		if err := wait(ctx, job.pace, job.slice.Base.Key(), job.slice.Base.Size); err != nil {
			return fileResult{}, err
		}
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
	defer job.writers.put(w, false)
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
func (t *Table) logSources(logs []fileslice.LogFile) []merge.Source { return t.pacedSources(logs, nil) }

// pacedSources opens them at a pace, nil for none.
func (t *Table) pacedSources(logs []fileslice.LogFile, pace Pace) []merge.Source {
	var sources []merge.Source
	for _, l := range logs {
		sources = append(sources, merge.Source{Name: l.Key(), Open: func(ctx context.Context) (io.ReaderAt, int64, error) {
			if err := wait(ctx, pace, l.Key(), l.Size); err != nil {
				return nil, 0, err
			}
			return t.openObject(ctx, l.Key(), l.Size)
		}})
	}
	return sources
}

// wait asks a pace before a file is read.
func wait(ctx context.Context, pace Pace, key string, bytes int64) error {
	if pace == nil {
		return nil
	}
	if err := pace.Wait(ctx, bytes); err != nil {
		return fmt.Errorf("wait to read %s: %w", key, err)
	}
	return nil
}
