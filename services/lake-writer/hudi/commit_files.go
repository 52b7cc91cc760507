package hudi

import (
	"context"
	"fmt"
	"sync"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// startInstant names the files and puts the workload profile on the timeline. The profile carries the epoch as the reservation does.
func (a *attempt) startInstant(ctx context.Context) error {
	// Epoch and attempt make the names of log files unique, which do not carry the instant: whatever a lost request of a failed attempt
	// still puts, it is never a committed file.
	a.w.mu.attempts++
	for i, plan := range a.plans {
		a.files = append(a.files, plan.file(a.w.table.layout(), a.instant, fileslice.Token{A: int64(i), B: a.w.epoch, C: a.w.mu.attempts}))
	}
	data, err := a.inflightFile()
	if err != nil {
		return err
	}
	_, err = a.w.table.store.Put(ctx, a.entry(timeline.Inflight).Key(), data, storage.Condition{IfAbsent: true})
	if err != nil && storage.Classify(err) != storage.Precondition { // the instant is ours, so what is there is this
		return fmt.Errorf("start instant %s: %w", a.instant, err)
	}
	return nil
}

// inflightFile is the workload profile. Those of a compaction and a clustering are empty: their plans are in the requested file.
func (a *attempt) inflightFile() ([]byte, error) {
	if a.action == timeline.Compaction || a.clusters != nil {
		return nil, nil
	}
	note, err := meta.CommitNote{CommitID: a.id, PreviousCommitID: a.base.Head.CommitID, Epoch: a.w.epoch}.Encode()
	if err != nil {
		return nil, err
	}
	profile := meta.Commit{
		PartitionToWriteStats: make(map[string][]meta.WriteStat), OperationType: a.operation,
		ExtraMetadata: map[string]string{meta.PlayheadKey: note},
	}
	for _, plan := range a.plans {
		stat := meta.WriteStat{FileID: plan.id, PrevCommit: plan.previous(), NumInserts: int64(len(plan.records))}
		profile.PartitionToWriteStats[plan.partition] = append(profile.PartitionToWriteStats[plan.partition], stat)
	}
	return a.w.table.encodeCommit(profile)
}

// startPartitions puts the metafiles of new partitions, without which readers do not see them.
func (a *attempt) startPartitions(ctx context.Context) error {
	now := a.w.table.options.now()
	for _, partition := range a.newPartitions {
		data := meta.EncodePartition(now, a.instant, generatorOf(a.w.config).Depth())
		key := partitionPrefix(partition) + fileslice.PartitionMetafile
		_, err := a.w.table.store.Put(ctx, key, data, storage.Condition{IfAbsent: true})
		if err != nil && storage.Classify(err) != storage.Precondition {
			return fmt.Errorf("start partition %q: %w", partition, err)
		}
	}
	return nil
}

// announceFiles puts the markers of all files before any of the files, so that whoever undoes the attempt knows them.
func (a *attempt) announceFiles(ctx context.Context) error {
	if len(a.files) == 0 {
		return nil
	}
	var markers []meta.Marker
	for i := range a.files {
		f := &a.files[i]
		markers = append(markers, meta.Marker{File: f.key(), Kind: a.markerKind(f.plan)})
	}
	store := a.w.table.store
	if _, err := store.Put(ctx, meta.MarkerTypeKey(a.instant), []byte(meta.MarkerType), storage.Condition{}); err != nil {
		return fmt.Errorf("announce files of %s: %w", a.instant, err)
	}
	if _, err := store.Put(ctx, meta.MarkerListKey(a.instant), meta.EncodeMarkers(markers), storage.Condition{}); err != nil {
		return fmt.Errorf("announce files of %s: %w", a.instant, err)
	}
	return nil
}

// markerKind is what Hudi's writers want a file's marker to be called. From table version 8 on a log is created, not appended to.
func (a *attempt) markerKind(p groupPlan) meta.MarkerKind {
	switch {
	case p.kind == appendLog && a.w.table.layout() == timeline.Layout1:
		return meta.MarkerAppend
	case p.kind == appendLog || !p.slice.HasBase:
		return meta.MarkerCreate
	default:
		return meta.MarkerMerge
	}
}

// writeFiles builds and puts the data files, some at a time. The first error ends the others.
func (a *attempt) writeFiles(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots := make(chan struct{}, a.w.table.options.parallelism)
	var wg sync.WaitGroup
	for i := range a.files {
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := a.writeFile(ctx, i); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

func (a *attempt) writeFile(ctx context.Context, i int) error {
	f, opts := &a.files[i], a.w.table.options
	started := opts.now()
	result, err := opts.writeFile(ctx, a.w.table, fileJob{
		kind: f.plan.kind, pace: a.pace, file: f.base, log: f.log, slice: f.plan.slice, instant: a.instant, timeline: a.tl, taskID: i, operation: a.req.Operation,
		tableSchema: a.schema, writerSchemas: a.req.WriterSchemas, ordering: a.w.config.OrderingField, records: f.plan.records,
		parquetFrom: a.req.LogFormat.parquetFrom(opts.parquetFrom), rewritten: a.rewritten, writers: opts.writers,
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", f.key(), err)
	}
	f.size = int64(len(result.data))
	f.written = f.size > 0
	if f.written {
		if _, err := a.w.table.store.Put(ctx, f.key(), result.data, storage.Condition{}); err != nil {
			return fmt.Errorf("write %s: %w", f.key(), err)
		}
	}
	result.data = nil
	f.result, f.took = result, opts.now().Sub(started)
	return nil
}

// verifyFiles asks the store what it holds: an upload that was cut must never be committed.
func (a *attempt) verifyFiles(ctx context.Context) error {
	for i := range a.files {
		f := &a.files[i]
		if !f.written {
			continue
		}
		info, err := a.w.table.store.Stat(ctx, f.key())
		if err != nil {
			return fmt.Errorf("verify file: %w", err)
		}
		if info.Size != f.size {
			return storage.MarkRetryable(fmt.Errorf("verify %s: the store has %d bytes, not %d", f.key(), info.Size, f.size))
		}
	}
	return nil
}
