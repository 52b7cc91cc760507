package hudi

import (
	"context"
	"slices"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// An insert overwrite is an ordinary attempt with another action, replacecommit, whose metadata name the file groups that its partitions
// had. Those vanish for readers with the replacement of HEAD that brings the new groups, and their files go with a later clean. New groups
// have ids of their own, since readers pass over a replaced one.

// planOverwrite makes the attempt one that replaces all file groups of the request's partitions.
func (a *attempt) planOverwrite(ctx context.Context) (err error) {
	w := a.w
	if err := refusePendingPlans(a.tl); err != nil {
		return err
	}
	a.action, a.operation, a.replaces = timeline.ReplaceCommit, meta.OperationDeletePartition, make(map[string][]string)
	if a.requested, err = (meta.RequestedReplace{}).Encode(); err != nil {
		return err
	}
	replaced, err := w.table.Replaced(ctx, a.tl)
	if err != nil {
		return err
	}
	if err := w.mu.committed.follow(ctx, w.table, a.tl); err != nil {
		return err
	}
	byPartition, partitions := groupsByPartition(a.req.Groups)
	for _, partition := range partitions {
		view, hasMetafile, err := w.viewPartition(ctx, a.tl, partition, replaced)
		if err != nil {
			return err
		}
		groups := slices.DeleteFunc(byPartition[partition], func(g Group) bool { return len(g.Records) == 0 })
		if len(groups) == 0 && len(view) == 0 && !hasMetafile {
			continue // there is no such partition, nor is one to be made
		}
		if len(groups) > 0 {
			a.operation = meta.OperationInsertOverwrite
			if !hasMetafile {
				a.newPartitions = append(a.newPartitions, partition)
			}
		}
		gone := []string{} // Hudi names a new partition with an empty list
		for _, s := range view {
			gone = append(gone, s.FileID)
		}
		a.replaces[partition] = gone
		for _, g := range groups {
			id := newFileID(g, slices.Concat(replaced[partition], gone))
			a.plans = append(a.plans, groupPlan{partition: partition, id: id, records: g.Records})
		}
	}
	return nil
}

// refusePendingPlans refuses a timeline on which another engine has planned to rewrite file groups, which may be those that are to be
// replaced: what it rewrites would come back when it completes.
func refusePendingPlans(tl *timeline.Timeline) error {
	for _, e := range tl.Pending() {
		switch e.Action {
		case timeline.Compaction, timeline.LogCompaction, timeline.Clustering, timeline.ReplaceCommit:
			return &UnsupportedError{e.FileName(), "", "another engine's " + string(e.Action) + " is pending; let it finish or cancel it there"}
		}
	}
	return nil
}
