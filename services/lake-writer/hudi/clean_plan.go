package hudi

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// heldSlice is one committed slice of a file group, with all files that belong to it.
type heldSlice struct {
	instant timeline.Instant // of its base file; of its first log file when it has none
	files   []fileslice.Object
}

// heldSlices are the committed slices of each file group in a listing, ascending. Base files of instants that did not commit are left out:
// they are an attempt's, and whoever rolls it back deletes them; in layout 2 so are log files. A log file is in the newest slice that its
// position allows, so that in layout 1 one named after a compaction which has not completed stays with the slice that is going to be
// compacted.
func heldSlices(objects []fileslice.Object, tl *timeline.Timeline) map[fileGroup][]heldSlice {
	type log struct {
		instant timeline.Instant
		object  fileslice.Object
	}
	groups, logs := make(map[fileGroup][]heldSlice), make(map[fileGroup][]log)
	open := func(id fileGroup, instant timeline.Instant, o fileslice.Object) {
		i := slices.IndexFunc(groups[id], func(s heldSlice) bool { return s.instant == instant })
		if i < 0 {
			i = len(groups[id])
			groups[id] = append(groups[id], heldSlice{instant: instant})
		}
		groups[id][i].files = append(groups[id][i].files, o)
	}
	for _, o := range objects {
		if l, err := fileslice.ParseLogKey(o.Key); err == nil {
			if tl.Layout() == timeline.Layout1 || tl.Committed(l.Instant) {
				id := fileGroup{l.Partition, l.FileID}
				logs[id] = append(logs[id], log{fileslice.Position(tl, l), o})
			}
		} else if f, err := fileslice.ParseKey(o.Key); err == nil && tl.Committed(f.Instant) {
			open(fileGroup{f.Partition, f.FileID}, f.Instant, o)
		}
	}
	byInstant := func(a, b heldSlice) int { return cmp.Compare(a.instant, b.instant) }
	for id := range groups {
		slices.SortFunc(groups[id], byInstant)
	}
	for id, ls := range logs {
		slices.SortStableFunc(ls, func(a, b log) int { return cmp.Compare(a.instant, b.instant) })
		for _, l := range ls {
			at := l.instant
			for _, s := range groups[id] {
				if s.instant <= l.instant {
					at = s.instant
				}
			}
			open(id, at, l.object)
		}
		slices.SortFunc(groups[id], byInstant)
	}
	return groups
}

// replacements are the instants at which completed replacecommits took file groups away.
func (t *Table) replacements(ctx context.Context, tl *timeline.Timeline) (map[fileGroup]timeline.Instant, error) {
	at := make(map[fileGroup]timeline.Instant)
	for _, e := range tl.Commits() {
		if e.Action != timeline.ReplaceCommit {
			continue
		}
		c, err := t.Commit(ctx, e)
		if err != nil {
			return nil, err
		}
		for partition, ids := range c.PartitionToReplaceFileIDs {
			for _, id := range ids {
				at[fileGroup{partition, id}] = e.Instant
			}
		}
	}
	return at, nil
}

// cleaner decides what a clean deletes.
type cleaner struct {
	policy     CleanPolicy
	retain     int // of CleanByVersions
	earliest   timeline.Instant
	replaced   map[fileGroup]timeline.Instant
	savepoints *savepointed
}

// victims are the files of one group that may go, oldest slice first. The newest slice stays, and of those before the earliest instant
// the newest, which a reader as of that instant needs (CleanPlanner.getFilesToCleanKeepingLatestCommits).
func (c *cleaner) victims(id fileGroup, held []heldSlice) []fileslice.Object {
	replacedAt := c.replaced[id]
	before := -1 // the newest slice before the earliest instant
	for i, s := range held {
		if s.instant < c.earliest {
			before = i
		}
	}
	var gone []fileslice.Object
	for i, s := range held {
		old := false
		switch {
		case s.instant < replacedAt: // not a slice which was written after the replacement
			old = c.policy == CleanByVersions || replacedAt < c.earliest
		case c.policy == CleanByVersions:
			old = i < len(held)-c.retain
		default:
			old = i < before && i < len(held)-1
		}
		kept := slices.ContainsFunc(s.files, func(o fileslice.Object) bool { return c.savepoints.has(id.partition, path.Base(o.Key)) })
		if old && !kept {
			gone = append(gone, s.files...)
		}
	}
	return gone
}

// planClean finds what to delete, and notes it in the result.
func (w *Writer) planClean(ctx context.Context, tl *timeline.Timeline, o CleanOptions, result *CleanResult) (*meta.CleanPlan, error) {
	commits := tl.Commits()
	if len(commits) == 0 {
		return nil, nil
	}
	savepoints, err := w.table.savepointed(ctx, tl)
	if err != nil {
		return nil, err
	}
	plan := &meta.CleanPlan{LastCompletedCommit: string(commits[len(commits)-1].Instant), Policy: o.Policy.text()}
	if o.Policy != CleanByVersions {
		e, ok := earliestRetained(commits, barrier(tl, savepoints), o, w.table.options.now())
		if !ok {
			return plan, nil
		}
		result.Earliest = e.Instant
		plan.EarliestInstantToRetain = &meta.ActionInstant{Timestamp: string(e.Instant), Action: string(e.Action), State: "COMPLETED"}
	} else if savepoints.pending != "" { // what it needs is not known
		return plan, nil
	}
	replaced, err := w.table.replacements(ctx, tl)
	if err != nil {
		return nil, err
	}
	prefixes, err := w.cleanPrefixes(ctx, tl, o, result.Earliest, savepoints)
	if err != nil {
		return nil, err
	}
	c := &cleaner{policy: o.Policy, retain: o.Retain, earliest: result.Earliest, replaced: replaced, savepoints: savepoints}
	files := make(map[string][]meta.CleanFileInfo)
	for _, prefix := range prefixes {
		for objects, err := range w.table.partitions(ctx, prefix) {
			if err != nil {
				return nil, err
			}
			placing, err := w.table.placing(ctx, tl, objects)
			if err != nil {
				return nil, err
			}
			w.addVictims(c, heldSlices(objects, placing), files, result)
		}
	}
	version, none, note := meta.CleanVersion, map[string][]string{}, savepoints.note()
	plan.Version, plan.FilesOld, plan.Files, plan.Partitions, plan.ExtraMetadata = &version, &none, &files, &[]string{}, &note
	return plan, nil
}

// addVictims adds one partition's files to a plan and to the result.
func (w *Writer) addVictims(c *cleaner, held map[fileGroup][]heldSlice, files map[string][]meta.CleanFileInfo, result *CleanResult) {
	ids := slices.SortedFunc(maps.Keys(held), func(a, b fileGroup) int {
		return cmp.Or(strings.Compare(a.partition, b.partition), strings.Compare(a.fileID, b.fileID))
	})
	for _, id := range ids {
		for _, o := range c.victims(id, held[id]) {
			uri, bootstrap := w.table.options.baseURI+o.Key, false
			files[id.partition] = append(files[id.partition], meta.CleanFileInfo{FilePath: &uri, IsBootstrapBaseFile: &bootstrap})
			result.Files, result.Bytes = append(result.Files, o.Key), result.Bytes+o.Size
		}
	}
}

// barrier is the first instant of the timeline that is under way and whose needs are not known, "" without one.
func barrier(tl *timeline.Timeline, savepoints *savepointed) timeline.Instant {
	first := savepoints.pending
	for _, e := range tl.Pending() {
		if e.Action.Writes() && (first == "" || e.Instant < first) {
			first = e.Instant
		}
	}
	return first
}

// earliestRetained is the first commit that can be read as of after a clean (CleanerUtils.getEarliestCommitToRetain); ok is false when
// there are no more commits than are retained.
func earliestRetained(commits []timeline.Entry, barrier timeline.Instant, o CleanOptions, now time.Time) (e timeline.Entry, ok bool) {
	at := len(commits) - o.Retain
	if o.Policy == CleanByHours {
		from := timeline.At(now.Add(-time.Duration(o.Retain) * time.Hour))
		at = slices.IndexFunc(commits, func(e timeline.Entry) bool { return e.Instant >= from })
		if at < 0 {
			at = len(commits) - 1
		}
	}
	if barrier != "" {
		before := len(commits) - 1
		for before >= 0 && commits[before].Instant > barrier {
			before--
		}
		at = min(at, before)
	}
	if at <= 0 {
		return timeline.Entry{}, false
	}
	return commits[at], true
}

// cleanPrefixes are the prefixes of the keys that a clean has to list. What an earlier clean left for the commits that it retained can
// only go when one of those commits falls behind the earliest instant, and these name the partitions that they wrote to.
func (w *Writer) cleanPrefixes(
	ctx context.Context, tl *timeline.Timeline, o CleanOptions, earliest timeline.Instant, savepoints *savepointed,
) ([]string, error) {
	all := []string{""}
	if o.Full || o.Policy == CleanByVersions {
		return all, nil
	}
	last, err := w.table.lastClean(ctx, tl)
	if err != nil {
		return nil, err
	}
	commits := tl.Commits()
	if last == nil || last.EarliestToRetain == "" || timeline.Instant(last.EarliestToRetain) < commits[0].Instant {
		return all, nil
	}
	if last.ExtraMetadata != nil { // what a savepoint kept goes with it, wherever it lies
		for text := range strings.SplitSeq((*last.ExtraMetadata)[meta.SavepointsKey], ",") {
			if text != "" && !slices.Contains(savepoints.instants, timeline.Instant(text)) {
				return all, nil
			}
		}
	}
	touched := make(map[string]bool)
	for _, e := range commits {
		if string(e.Instant) < last.EarliestToRetain || e.Instant >= earliest {
			continue
		}
		c, err := w.table.Commit(ctx, e)
		if err != nil {
			return nil, err
		}
		for partition := range c.PartitionToWriteStats {
			touched[partition] = true
		}
		for partition := range c.PartitionToReplaceFileIDs {
			touched[partition] = true
		}
	}
	if touched[""] {
		return all, nil
	}
	var prefixes []string
	for _, partition := range slices.Sorted(maps.Keys(touched)) {
		prefixes = append(prefixes, partition+"/")
	}
	return prefixes, nil
}

// partitions lists the data files below a prefix, those of one folder at a time.
func (t *Table) partitions(ctx context.Context, prefix string) func(func([]fileslice.Object, error) bool) {
	return func(yield func([]fileslice.Object, error) bool) {
		var objects []fileslice.Object
		folder := ""
		for info, err := range t.store.List(ctx, prefix) {
			if err != nil {
				yield(nil, fmt.Errorf("list data files: %w", err))
				return
			}
			if strings.HasPrefix(info.Key, timeline.Folder) {
				continue
			}
			if at := path.Dir(info.Key); at != folder {
				if len(objects) > 0 && !yield(objects, nil) {
					return
				}
				objects, folder = nil, at
			}
			objects = append(objects, fileslice.Object{Key: info.Key, Size: info.Size})
		}
		if len(objects) > 0 {
			yield(objects, nil)
		}
	}
}
