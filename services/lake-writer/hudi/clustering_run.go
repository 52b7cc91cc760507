package hudi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/merge"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// clusterJob is a group of slices to rewrite.
type clusterJob struct {
	sources     []fileslice.Slice
	outputs     []fileslice.BaseFile // there may be more of them than rows
	instant     timeline.Instant
	firstTask   int
	tableSchema string
	sortBy      []string
	pace        Pace
}

// clusterWriter builds the outputs of a job one after the other, and hands each to put. It is a seam as fileWriter is.
type clusterWriter func(ctx context.Context, t *Table, job clusterJob, put func(output int, r fileResult) error) error

// writeClusters builds and puts the new files, one group after the other. It takes the place of writeFiles.
func (a *attempt) writeClusters(ctx context.Context, o ClusterOptions) error {
	table, first := a.w.table, 0
	for _, c := range a.clusters {
		job := clusterJob{sources: c.sources, instant: a.instant, firstTask: first, tableSchema: a.schema, sortBy: o.SortBy, pace: o.Pace}
		for i := range c.outputs {
			job.outputs = append(job.outputs, a.files[first+i].base)
		}
		started := table.options.now()
		put := func(output int, r fileResult) error {
			f := &a.files[first+output]
			if _, err := table.store.Put(ctx, f.key(), r.data, storage.Condition{}); err != nil {
				return fmt.Errorf("write %s: %w", f.key(), err)
			}
			f.size, f.written = int64(len(r.data)), true
			r.data = nil
			f.result, f.took = r, table.options.now().Sub(started)
			started = table.options.now()
			return nil
		}
		if err := table.options.writeCluster(ctx, table, job, put); err != nil {
			return fmt.Errorf("cluster %q: %w", c.partition, err)
		}
		first += c.outputs
	}
	return nil
}

// writeClusterFiles is the clusterWriter of Hudi's formats. It holds the rows that the sort holds, and one new file.
func writeClusterFiles(ctx context.Context, t *Table, job clusterJob, put func(int, fileResult) error) (err error) {
	cfg := merge.SortConfig{TableSchema: job.tableSchema, Columns: job.sortBy, MemoryBytes: mergeMemory}
	sorted, err := merge.Sort(ctx, cfg, t.clusterSources(ctx, job))
	if err != nil {
		return fmt.Errorf("sort: %w", err)
	}
	defer func() { err = errors.Join(err, sorted.Close()) }()
	next, stop := iter.Pull2(sorted.All(ctx))
	defer stop()
	left := sorted.Rows
	for output := range job.outputs {
		rest := int64(len(job.outputs) - output)
		rows := (left + rest - 1) / rest // as many as in each of the other files
		if rows == 0 {
			return nil
		}
		data, err := t.clusterFile(job, output, rows, next)
		if err != nil {
			return err
		}
		if err := put(output, fileResult{data: data, rows: rows, added: rows}); err != nil {
			return err
		}
		left -= rows
	}
	return nil
}

// clusterSources opens a job's files one after the other.
func (t *Table) clusterSources(ctx context.Context, job clusterJob) iter.Seq2[*basefile.Reader, error] {
	return func(yield func(*basefile.Reader, error) bool) {
		for _, s := range job.sources {
			if job.pace != nil {
				if err := job.pace.Wait(ctx, s.Base.Size); err != nil {
					yield(nil, fmt.Errorf("wait to read %s: %w", s.Base.Key(), err))
					return
				}
			}
			r, err := t.OpenFile(ctx, s.Base)
			if err != nil {
				err = fmt.Errorf("open base file %s: %w", s.Base.Key(), err)
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// clusterFile builds one output of so many rows.
func (t *Table) clusterFile(job clusterJob, output int, rows int64, next func() (basefile.KeptRecord, error, bool)) ([]byte, error) {
	file := job.outputs[output]
	var out bytes.Buffer
	w, err := fileJob{file: file, instant: job.instant, taskID: job.firstTask + output, tableSchema: job.tableSchema, writers: t.options.writers}.newWriter(&out)
	if err != nil {
		return nil, err
	}
	defer t.options.writers.put(w, false)
	schema, err := w.AddWriterSchema(job.tableSchema) // as that of rows which are in a table: Spark calls items of arrays nullable
	if err != nil {
		return nil, fmt.Errorf("schema of the table: %w", err)
	}
	for range rows {
		rec, err, more := next()
		if err == nil && !more {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, fmt.Errorf("read sorted rows: %w", err)
		}
		rec.Writer = schema
		if err := w.AppendKept(rec); err != nil {
			return nil, fmt.Errorf("add record %q to %s: %w", rec.Key, file.Key(), err)
		}
	}
	if _, err := w.Close(); err != nil {
		return nil, fmt.Errorf("end base file: %w", err)
	}
	return out.Bytes(), nil
}

// requestedReplace reads the request of a clustering or another replacecommit, pending or completed.
func (t *Table) requestedReplace(ctx context.Context, e timeline.Entry) (*meta.RequestedReplace, error) {
	data, _, err := t.store.Get(ctx, e.In(timeline.Requested).Key())
	if err != nil {
		return nil, fmt.Errorf("read plan of %s: %w", e.FileName(), err)
	}
	request, err := meta.ParseRequestedReplace(data)
	if err != nil {
		return nil, fmt.Errorf("read plan of %s: %w", e.FileName(), err)
	}
	return request, nil
}

// pendingClustering is the request of a pending instant that is a clustering, ours or another engine's; nil for other instants. planned is
// false for an inflight instant which began as a clustering and has no request: a paused writer of ours began it after it was rolled back.
func (w *Writer) pendingClustering(ctx context.Context, e timeline.Entry) (request *meta.RequestedReplace, planned bool, err error) {
	if e.Action != timeline.ReplaceCommit && e.Action != timeline.Clustering || e.State == timeline.Completed {
		return nil, true, nil
	}
	request, err = w.table.requestedReplace(ctx, e)
	switch {
	case errors.Is(err, storage.ErrNotExist) && e.State == timeline.Inflight:
		info, err := w.table.store.Stat(ctx, e.Key())
		if errors.Is(err, storage.ErrNotExist) { // just rolled back
			return nil, true, nil
		}
		return nil, err != nil || info.Size > 0, err // an overwrite has a profile
	case errors.Is(err, storage.ErrNotExist):
		return nil, true, nil
	case err != nil:
		return nil, true, err
	case request.ClusteringPlan == nil:
		return nil, true, nil
	default:
		return request, true, nil
	}
}
