package hudi

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"sync"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// cleanRun is a clean that is on the timeline.
type cleanRun struct {
	entry timeline.Entry
	plan  *meta.CleanPlan
	data  []byte // of the plan's file
}

// targets are the plan's files: names by partition. Their paths are absolute, as the engine that planned knows the table, so only their
// last element says anything here.
func (r cleanRun) targets() map[string][]string {
	names := make(map[string][]string)
	if r.plan.Files != nil {
		for partition, infos := range *r.plan.Files {
			for _, info := range infos {
				if info.FilePath != nil {
					names[partition] = append(names[partition], path.Base(*info.FilePath))
				}
			}
		}
	}
	if r.plan.FilesOld != nil {
		for partition, paths := range *r.plan.FilesOld {
			for _, p := range paths {
				names[partition] = append(names[partition], path.Base(p))
			}
		}
	}
	return names
}

// runClean executes a requested clean to its end, from wherever an earlier execution stopped. Whatever the plan says, it leaves what a
// savepoint names, what is in the newest slice of a file group, and what is no data file; whole partitions it does not delete.
func (w *Writer) runClean(ctx context.Context, run cleanRun, pace Pace) error {
	store, started := w.table.store, w.table.options.now()
	// In table version 6 the inflight file is a copy of the plan: Hudi 0.15 parses it when it archives the clean.
	_, err := store.Put(ctx, run.entry.In(timeline.Inflight).Key(), run.data, storage.Condition{IfAbsent: true})
	if err != nil && storage.Classify(err) != storage.Precondition {
		return fmt.Errorf("start clean %s: %w", run.entry.Instant, err)
	}
	tl, err := w.table.Timeline(ctx)
	if err != nil {
		return err
	}
	savepoints, err := w.table.savepointed(ctx, tl)
	if err != nil {
		return err
	}
	replaced, err := w.table.replacements(ctx, tl)
	if err != nil {
		return err
	}
	targets := run.targets()
	m := meta.CleanMetadata{
		StartCleanTime: string(run.entry.Instant), LastCompletedCommit: run.plan.LastCompletedCommit,
		Partitions: make(map[string]meta.CleanPartition), Bootstrap: &map[string]meta.CleanPartition{},
	}
	for _, partition := range slices.Sorted(maps.Keys(targets)) {
		sizes, err := w.deletable(ctx, partition, tl, savepoints, replaced)
		if err != nil {
			return err
		}
		p, doomed := cleanPartition(partition, run.plan.Policy, targets[partition], sizes)
		if err := w.deleteFiles(ctx, doomed, pace); err != nil {
			return err
		}
		m.Partitions[partition] = p
		m.TotalFilesDeleted += len(p.SuccessDeleteFiles)
	}
	if run.plan.EarliestInstantToRetain != nil {
		m.EarliestToRetain = run.plan.EarliestInstantToRetain.Timestamp
	}
	version, note := meta.CleanVersion, savepoints.note()
	m.Version, m.ExtraMetadata, m.TimeTakenMillis = &version, &note, w.table.options.now().Sub(started).Milliseconds()
	data, err := m.Encode()
	if err != nil {
		return err
	}
	if err := w.noteClean(ctx, run.entry.Finished(), m); err != nil {
		return err
	}
	_, err = store.Put(ctx, run.entry.Finished().Key(), data, storage.Condition{IfAbsent: true})
	if err != nil && storage.Classify(err) != storage.Precondition { // another execution of the same plan may have ended first
		return fmt.Errorf("complete clean %s: %w", run.entry.Instant, err)
	}
	return nil
}

// deletable are the files of a partition, by name with their size. Those that no clean may delete have size -1: what a savepoint names, the
// newest slices, and whatever is no file of a committed slice.
func (w *Writer) deletable(
	ctx context.Context, partition string, tl *timeline.Timeline, savepoints *savepointed, replaced map[fileGroup]timeline.Instant,
) (map[string]int64, error) {
	prefix := partition + "/"
	if partition == "" {
		prefix = ""
	}
	sizes := make(map[string]int64)
	for objects, err := range w.table.partitions(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		for _, o := range objects {
			sizes[path.Base(o.Key)] = -1
		}
		placing, err := w.table.placing(ctx, tl, objects)
		if err != nil {
			return nil, err
		}
		for id, held := range heldSlices(objects, placing) {
			for i, s := range held {
				needed := i == len(held)-1 && s.instant >= replaced[id]
				for _, o := range s.files {
					if name := path.Base(o.Key); !needed && !savepoints.has(partition, name) {
						sizes[name] = o.Size
					}
				}
			}
		}
	}
	return sizes, nil
}

// cleanPartition is what a clean says of a partition, and the files that it has to delete. A file which is not there was deleted by an
// earlier execution.
func cleanPartition(partition, policy string, names []string, sizes map[string]int64) (p meta.CleanPartition, doomed []fileslice.Object) {
	whole := false
	p = meta.CleanPartition{
		PartitionPath: partition, Policy: policy, DeletePathPatterns: names,
		SuccessDeleteFiles: []string{}, FailedDeleteFiles: []string{}, IsPartitionDeleted: &whole,
	}
	for _, name := range names {
		size, there := sizes[name]
		if size < 0 {
			p.FailedDeleteFiles = append(p.FailedDeleteFiles, name)
			continue
		}
		p.SuccessDeleteFiles = append(p.SuccessDeleteFiles, name)
		if there {
			doomed = append(doomed, fileslice.Object{Key: path.Join(partition, name), Size: size})
		}
	}
	return p, doomed
}

// deleteFiles deletes data files, some at a time, at the given pace. The first error ends the others.
func (w *Writer) deleteFiles(ctx context.Context, files []fileslice.Object, pace Pace) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots := make(chan struct{}, w.table.options.parallelism)
	var wg sync.WaitGroup
	for _, f := range files {
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			if pace != nil {
				if err := pace.Wait(ctx, f.Size); err != nil {
					cancel(fmt.Errorf("wait before %s: %w", f.Key, err))
					return
				}
			}
			if err := w.table.store.Delete(ctx, f.Key); err != nil {
				cancel(fmt.Errorf("delete %s: %w", f.Key, err))
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}
