package hudi

import (
	"context"
	"maps"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/txn"
)

// prepareHead makes the HEAD that commits the attempt, with the completed file in it.
func (a *attempt) prepareHead(ctx context.Context) error {
	a.next = a.base.Head.Follow(a.id, a.id, a.w.table.options.now())
	a.next.Instant, a.next.Action = a.instant, a.action
	if a.w.table.layout() == timeline.Layout2 {
		a.next.Completion = timeline.Next(a.w.table.options.now(), max(a.instant, a.tl.Last(), a.base.Head.Last()))
	}
	advance(&a.next, a.req.Progress)
	if a.req.Watermark.After(a.next.Watermark) {
		a.next.Watermark = a.req.Watermark.UTC()
	}
	data, err := a.completedFile()
	if err != nil {
		return err
	}
	return txn.SetCompleted(ctx, a.w.table.store, &a.next, data)
}

// completedFile is the commit's metadata; it also sums up the result.
func (a *attempt) completedFile() ([]byte, error) {
	note := meta.CommitNote{
		CommitID: a.id, PreviousCommitID: a.base.Head.CommitID, Epoch: a.w.epoch, Offsets: a.next.Offsets,
		CompletedMillis: a.next.CompletedAt.UnixMilli(),
	}
	if !a.next.Watermark.IsZero() {
		note.WatermarkMillis = a.next.Watermark.UnixMilli()
	}
	text, err := note.Encode()
	if err != nil {
		return nil, err
	}
	c := meta.Commit{
		PartitionToWriteStats: make(map[string][]meta.WriteStat), ExtraMetadata: make(map[string]string),
		OperationType: a.operation, Compacted: a.action == timeline.Compaction,
		PartitionToReplaceFileIDs: a.replaces,
	}
	maps.Copy(c.ExtraMetadata, a.req.ExtraMetadata)
	c.ExtraMetadata[meta.SchemaKey], c.ExtraMetadata[meta.PlayheadKey] = a.schema, text
	if cp, ok := checkpoint(a.next.Offsets); ok {
		c.ExtraMetadata[meta.CheckpointKey] = cp
	}
	a.result = CommitResult{Instant: a.instant, CommitID: a.id}
	for _, ids := range a.replaces {
		a.result.Replaced += len(ids)
	}
	for i := range a.files {
		f := &a.files[i]
		a.result.Duplicates += f.result.duplicates
		if !f.written {
			continue
		}
		a.result.Rows += f.result.added
		a.result.Updated += f.result.updated
		a.result.Deleted += f.result.deleted
		a.result.Files++
		a.result.Bytes += f.size
		c.PartitionToWriteStats[f.plan.partition] = append(c.PartitionToWriteStats[f.plan.partition], f.stat(a.w.table.layout()))
	}
	return a.w.table.encodeCommit(c)
}

// stat is what the commit's metadata say about the file.
func (f *plannedFile) stat(layout timeline.Layout) meta.WriteStat {
	key, partition := f.key(), f.plan.partition
	s := meta.WriteStat{
		FileID: f.plan.id, Path: &key, PrevCommit: f.plan.previous(), NumWrites: f.result.rows, NumInserts: f.result.added,
		NumUpdateWrites: f.result.updated, NumDeletes: f.result.deleted,
		TotalWriteBytes: f.size, PartitionPath: &partition, FileSizeInBytes: f.size, RuntimeStats: &meta.RuntimeStats{},
	}
	switch {
	case f.plan.kind == appendLog:
		f.describeLog(&s, layout)
		s.RuntimeStats.TotalUpsertTime = f.took.Milliseconds()
	case f.plan.kind == compact:
		f.describeCompaction(&s)
		s.RuntimeStats.TotalUpsertTime = f.took.Milliseconds()
	case !f.plan.slice.HasBase:
		s.RuntimeStats.TotalCreateTime = f.took.Milliseconds()
	default:
		s.RuntimeStats.TotalUpsertTime = f.took.Milliseconds()
	}
	if layout == timeline.Layout2 && f.plan.kind != appendLog && f.plan.slice.HasBase {
		s.PrevBaseFile = new(f.plan.slice.Base.Name())
	}
	return s
}

// describeLog adds what Hudi keeps of a log: where its block begins, and in layout 1 all of the slice, which the next writer goes on from.
// The base file's name is what hudi-rs answers incremental queries by.
func (f *plannedFile) describeLog(s *meta.WriteStat, layout timeline.Layout) {
	s.PrevCommit = string(f.log.Instant)
	s.LogStat = &meta.LogStat{LogVersion: f.log.Version, BaseFile: f.plan.slice.Base.Name()}
	if f.plan.onto != "" { // the slice has no base file yet
		s.LogStat.BaseFile = ""
	}
	if layout == timeline.Layout2 {
		s.LogFiles = []string{f.log.Name()}
		return
	}
	for i := len(f.plan.slice.Logs) - 1; i >= 0; i-- { // the older ones newest first, as Hudi lists them
		s.LogFiles = append(s.LogFiles, f.plan.slice.Logs[i].Name())
	}
	s.LogFiles = append(s.LogFiles, f.log.Name())
}

func (f *plannedFile) describeCompaction(s *meta.WriteStat) {
	s.TotalLogFilesCompacted = int64(len(f.plan.slice.Logs))
	for _, l := range f.plan.slice.Logs {
		s.TotalLogSizeCompacted += l.Size
	}
	s.TotalLogRecords, s.TotalLogBlocks = f.result.logRecords, f.result.logBlocks
	s.TotalUpdatedRecordsCompacted, s.TotalCorruptLogBlock, s.TotalRollbackBlocks = f.result.updated, f.result.corrupt, f.result.rollbacks
}
