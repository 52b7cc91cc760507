package hudi

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/txn"
)

// instantAttempts bounds how often another instant is tried when one is taken.
const instantAttempts = 100

var errNoInstant = storage.MarkRetryable(fmt.Errorf("every instant tried is taken"))

// planKind is what an attempt does to a file group.
type planKind int

const (
	rewrite   planKind = iota // a base file, from the group's older one if it has one
	appendLog                 // a log file on top of the slice
	compact                   // a base file from the slice's older one and its logs
)

// groupPlan is what an attempt will do to one file group.
type groupPlan struct {
	kind      planKind
	partition string
	id        string          // file id
	slice     fileslice.Slice // the group's newest; without base file and logs for a new group
	records   []Record
	// onto is the pending compaction of another engine that the log file goes on top of, in layout 1; "" without one.
	onto timeline.Instant
}

// file names the data file that the plan makes at an instant, in a table whose timeline has a layout.
func (p groupPlan) file(layout timeline.Layout, instant timeline.Instant, token fileslice.Token) plannedFile {
	f := plannedFile{plan: p}
	if p.kind != appendLog {
		f.base = fileslice.BaseFile{Partition: p.partition, FileID: p.id, Instant: instant, Token: token}
		return f
	}
	if layout == timeline.Layout2 { // a log carries its own instant
		f.log = fileslice.LogFile{Partition: p.partition, FileID: p.id, Instant: instant, Version: 1, Token: token}
		return f
	}
	// In table version 6 a log carries its base file's instant, or that of the compaction which will make the next one.
	f.log = fileslice.LogFile{Partition: p.partition, FileID: p.id, Instant: max(p.slice.Base.Instant, p.onto), Version: 1, Token: token}
	for _, l := range p.slice.Logs {
		if f.log.Instant = max(f.log.Instant, l.Instant); l.Instant == f.log.Instant {
			f.log.Version = max(f.log.Version, l.Version+1)
		}
	}
	return f
}

// previous is the instant of the slice that the plan's file goes on from.
func (p groupPlan) previous() string {
	if !p.slice.HasBase {
		return meta.NoPreviousCommit
	}
	return string(p.slice.Base.Instant)
}

// checkRequest refuses what is wrong by itself, whatever the table holds.
func (w *Writer) checkRequest(req CommitRequest) error {
	if err := w.checkOperation(req); err != nil {
		return err
	}
	type place struct {
		partition string
		bucket    int
	}
	seen := make(map[place]bool)
	for _, g := range req.Groups {
		if err := w.checkPartition(g.Partition); err != nil {
			return err
		}
		if err := w.checkBucket(g.Bucket); err != nil {
			return err
		}
		if seen[place{g.Partition, g.Bucket}] {
			return fmt.Errorf("%w: group %s, bucket %d is there twice", ErrInvalid, g.Partition, g.Bucket)
		}
		seen[place{g.Partition, g.Bucket}] = true
		for i, r := range g.Records {
			if err := w.checkKey(r.Key); err != nil {
				return err
			}
			if !r.Delete && (r.Writer < 0 || r.Writer >= len(req.WriterSchemas)) || r.Delete && req.Operation != Upsert {
				return fmt.Errorf("%w: record %d of %s, bucket %d: key %q, writer schema %d", ErrInvalid, i, g.Partition, g.Bucket, r.Key, r.Writer)
			}
		}
	}
	for _, key := range []string{meta.SchemaKey, meta.PlayheadKey, meta.CheckpointKey} {
		if _, set := req.ExtraMetadata[key]; set {
			return fmt.Errorf("%w: extra metadata %s is the library's", ErrInvalid, key)
		}
	}
	return checkRanges(req.Progress)
}

func checkRanges(p Progress) error {
	for stream, partitions := range p {
		for partition, r := range partitions {
			// The stream's name stands in the checkpoint text before a comma.
			if stream == "" || strings.ContainsAny(stream, ",:") || partition < 0 || r.From < 0 || r.Next < r.From {
				return fmt.Errorf("%w: progress %+v of %q/%d", ErrInvalid, r, stream, partition)
			}
		}
	}
	return nil
}

// checkProgress compares with the offsets in HEAD: what is before them is in the table, what is behind would be skipped. A partition that
// HEAD does not know may begin anywhere.
func checkProgress(head txn.Head, p Progress) error {
	for stream, partitions := range p {
		for partition, r := range partitions {
			if next, known := head.Offsets[stream][partition]; known && next != r.From {
				return fmt.Errorf("%w: %s/%d begins at %d, the table ends at %d", ErrConflict, stream, partition, r.From, next)
			}
		}
	}
	return nil
}

// advance sets the offsets after the commit.
func advance(head *txn.Head, p Progress) {
	for stream, partitions := range p {
		if head.Offsets[stream] == nil {
			head.Offsets[stream] = make(map[int32]int64)
		}
		for partition, r := range partitions {
			head.Offsets[stream][partition] = r.Next
		}
	}
}

// checkpoint is Hudi Streamer's checkpoint of a Kafka source, stream,partition:offset,..., which knows one stream only.
func checkpoint(offsets map[string]map[int32]int64) (text string, ok bool) {
	if len(offsets) != 1 {
		return "", false
	}
	var b strings.Builder
	for stream, partitions := range offsets {
		b.WriteString(stream)
		for _, p := range slices.Sorted(maps.Keys(partitions)) {
			b.WriteString("," + strconv.Itoa(int(p)) + ":" + strconv.FormatInt(partitions[p], 10))
		}
	}
	return b.String(), true
}

// planGroups finds each group's file as of the timeline, and which partitions are new.
func (w *Writer) planGroups(ctx context.Context, tl *timeline.Timeline, groups []Group) (plans []groupPlan, newPartitions []string, err error) {
	groups = slices.DeleteFunc(slices.Clone(groups), func(g Group) bool { return len(g.Records) == 0 })
	if len(groups) == 0 {
		return nil, nil, nil
	}
	byPartition, partitions := groupsByPartition(groups)
	replaced, err := w.table.Replaced(ctx, tl)
	if err != nil {
		return nil, nil, err
	}
	if err := w.mu.committed.follow(ctx, w.table, tl); err != nil {
		return nil, nil, err
	}
	pending, err := w.pendingServices(ctx, tl)
	if err != nil {
		return nil, nil, err
	}
	for _, partition := range partitions {
		view, hasMetafile, err := w.viewPartition(ctx, tl, partition, replaced)
		if err != nil {
			return nil, nil, err
		}
		if !hasMetafile {
			newPartitions = append(newPartitions, partition)
		}
		for _, g := range byPartition[partition] {
			plan, err := w.planGroup(g, view, replaced[partition])
			if err != nil {
				return nil, nil, err
			}
			if service, ok := pending[fileGroup{plan.partition, plan.id}]; ok {
				if err := plan.besides(service); err != nil {
					return nil, nil, err
				}
			}
			plans = append(plans, plan)
		}
	}
	return plans, newPartitions, nil
}

// groupsByPartition orders groups by their partitions, and these by name.
func groupsByPartition(groups []Group) (byPartition map[string][]Group, partitions []string) {
	byPartition = make(map[string][]Group)
	for _, g := range groups {
		byPartition[g.Partition] = append(byPartition[g.Partition], g)
	}
	return byPartition, slices.Sorted(maps.Keys(byPartition))
}

// viewPartition are the newest slices of a partition's file groups. It makes sure that their files are there, and deletes what dead attempts
// left among them.
func (w *Writer) viewPartition(
	ctx context.Context, tl *timeline.Timeline, partition string, replaced map[string][]string,
) (view []fileslice.Slice, hasMetafile bool, err error) {
	objects, hasMetafile, err := w.listPartition(ctx, partition)
	if err != nil {
		return nil, false, err
	}
	placing, err := w.table.placing(ctx, tl, objects)
	if err != nil {
		return nil, false, err
	}
	latest := fileslice.Latest(objects, placing, replaced)
	if err := w.checkPresent(partition, objects); err != nil {
		return nil, false, err
	}
	if err := w.sweepOrphans(ctx, latest); err != nil {
		return nil, false, err
	}
	view, err = w.sweepOrphanLogs(ctx, latest.Slices)
	return view, hasMetafile, err
}

// checkPresent makes sure that the newest files of all groups of a partition are there. An attempt rewrites some of them, but a file that
// vanished says that something is wrong with the partition.
func (w *Writer) checkPresent(partition string, objects []fileslice.Object) error {
	present := make(map[string]bool, len(objects))
	for _, o := range objects {
		present[o.Key] = true
	}
	for id := range w.mu.committed.groups {
		if id.partition != partition {
			continue
		}
		if err := w.mu.committed.check(id, present); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) listPartition(ctx context.Context, partition string) (objects []fileslice.Object, hasMetafile bool, err error) {
	prefix := partitionPrefix(partition)
	for info, err := range w.table.store.List(ctx, prefix) {
		if err != nil {
			return nil, false, fmt.Errorf("list partition %q: %w", partition, err)
		}
		if strings.HasPrefix(info.Key, timeline.Folder) { // of a table without partitions
			continue
		}
		if info.Key == prefix+fileslice.PartitionMetafile {
			hasMetafile = true
		}
		objects = append(objects, fileslice.Object{Key: info.Key, Size: info.Size})
	}
	return objects, hasMetafile, nil
}

// newFileID is the id of a bucket's first file group, or of the one after those that were replaced: readers pass over a replaced id.
func newFileID(g Group, replaced []string) string {
	id := keys.FileID(g.Partition, g.Bucket)
	for n := 1; slices.Contains(replaced, id); n++ {
		id = keys.FileID(g.Partition+"#"+strconv.Itoa(n), g.Bucket)
	}
	return id
}

// planGroup finds the group's slice among those of its partition and decides what is done to it. replaced are the partition's file groups
// that were taken away.
func (w *Writer) planGroup(g Group, view []fileslice.Slice, replaced []string) (groupPlan, error) {
	plan := groupPlan{partition: g.Partition, id: newFileID(g, replaced), records: g.Records}
	if w.appendOnly() { // every group is new
		return plan, nil
	}
	found := false
	for _, s := range view {
		bucket, ok := keys.BucketOf(s.FileID)
		switch {
		case s.Partition != g.Partition || ok && bucket != g.Bucket:
		case !ok:
			return plan, &UnsupportedError{"file id", s.FileID, "the partition holds files that are not of a bucket index"}
		case found:
			return plan, &UnsupportedError{"file id", s.FileID, "two file groups have the same bucket as " + plan.id}
		case !s.HasBase:
			return plan, &UnsupportedError{"file id", s.FileID, "the file group has log files and no base file"}
		case len(s.Logs) > 0 && w.table.Type() != MergeOnRead:
			return plan, &UnsupportedError{"file id", s.FileID, "the file group has log files"}
		default:
			found, plan.slice, plan.id = true, s, s.FileID
		}
	}
	if found && w.table.Type() == MergeOnRead {
		plan.kind = appendLog
	}
	return plan, nil
}
