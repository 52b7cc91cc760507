package inspect

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// FileSlice is one state of a file group: a base file and the log files on top of it.
type FileSlice struct {
	Partition string           `json:"partition"`
	FileID    string           `json:"file_id"`
	Instant   timeline.Instant `json:"instant"`        // of the base file, or without one of the first log's name
	Base      *File            `json:"base,omitempty"` // nil when there is none
	Logs      []File           `json:"logs"`           // in the order of merging
	Latest    bool             `json:"latest"`         // what readers of the time take
}

// File is one data file of a slice.
type File struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
}

// SliceQuery chooses slices.
type SliceQuery struct {
	Partition string           // "" is the table without partitions, or with All every one
	All       bool             // every partition below
	AsOf      timeline.Instant // what readers of that time take; "" is now
	History   bool             // the older slices that are there still, too
}

// Slices lists file slices by partition, file group and instant.
func (t *Table) Slices(ctx context.Context, q SliceQuery) ([]FileSlice, error) {
	objects, err := t.objects(ctx, q.Partition)
	if err != nil {
		return nil, err
	}
	if !q.All {
		objects = slices.DeleteFunc(objects, func(o fileslice.Object) bool { return strings.Count(o.Key, "/") != depth(q.Partition) })
	}
	latest, tl, err := t.slicesAsOf(ctx, objects, q.AsOf)
	if err != nil {
		return nil, err
	}
	found := []FileSlice{}
	for _, s := range latest {
		if q.History {
			found = append(found, older(objects, tl, s)...)
		}
		found = append(found, newFileSlice(s, true))
	}
	return found, nil
}

// slicesAsOf are the slices that readers of a time take, "" for now, out of a listing. A log of layout 1 does not name its commit; the commit
// names it.
func (t *Table) slicesAsOf(
	ctx context.Context, objects []fileslice.Object, at timeline.Instant,
) (found []fileslice.Slice, tl *timeline.Timeline, err error) {
	active, err := t.Active(ctx)
	if err != nil {
		return nil, nil, err
	}
	tl = active
	if at != "" {
		if commits := active.Commits(); len(commits) == 0 || at < commits[0].Instant {
			return nil, nil, fmt.Errorf("as of %s, before the first active commit: %w", at, hudi.ErrTimeTravel)
		}
		tl = active.Until(at)
	}
	replaced, later, err := t.replacedAndLater(ctx, active, tl)
	if err != nil {
		return nil, nil, err
	}
	view, tl, err := t.latest(ctx, objects, tl, replaced)
	if err != nil {
		return nil, nil, err
	}
	found = view.Slices
	for i := range found {
		found[i].Logs = slices.DeleteFunc(found[i].Logs, func(l fileslice.LogFile) bool { return later[l.Key()] })
	}
	found = slices.DeleteFunc(found, func(s fileslice.Slice) bool { return !s.HasBase && len(s.Logs) == 0 })
	return found, tl, nil
}

// depth is how many slashes the keys of a partition's files have.
func depth(partition string) int {
	if partition == "" {
		return 0
	}
	return strings.Count(partition, "/") + 1
}

func newFileSlice(s fileslice.Slice, latest bool) FileSlice {
	f := FileSlice{Partition: s.Partition, FileID: s.FileID, Logs: []File{}, Latest: latest}
	if s.HasBase {
		f.Instant, f.Base = s.Base.Instant, &File{s.Base.Name(), s.Base.Size}
	}
	for _, l := range s.Logs {
		if f.Instant == "" {
			f.Instant = l.Instant
		}
		f.Logs = append(f.Logs, File{l.Name(), l.Size})
	}
	return f
}

// older are the slices of a group before its latest. A log belongs to the newest base file that is not later than the
// log's position.
func older(objects []fileslice.Object, tl *timeline.Timeline, latest fileslice.Slice) []FileSlice {
	var bases []fileslice.Slice
	var logs []fileslice.LogFile
	for _, o := range objects {
		if f, err := fileslice.ParseKey(o.Key); err == nil && f.Partition == latest.Partition && f.FileID == latest.FileID {
			f.Size = o.Size
			if f.Instant < latest.Base.Instant && tl.Committed(f.Instant) {
				bases = append(bases, fileslice.Slice{Partition: f.Partition, FileID: f.FileID, Base: f, HasBase: true})
			}
		} else if l, err := fileslice.ParseLogKey(o.Key); err == nil && l.Partition == latest.Partition && l.FileID == latest.FileID {
			l.Size = o.Size
			logs = append(logs, l)
		}
	}
	slices.SortFunc(bases, func(a, b fileslice.Slice) int { return strings.Compare(string(a.Base.Instant), string(b.Base.Instant)) })
	slices.SortFunc(logs, func(a, b fileslice.LogFile) int {
		return strings.Compare(fmt.Sprintf("%s%09d", a.Instant, a.Version), fmt.Sprintf("%s%09d", b.Instant, b.Version))
	})
	var found []FileSlice
	for i, s := range bases {
		end := latest.Base.Instant
		if i+1 < len(bases) {
			end = bases[i+1].Base.Instant
		}
		for _, l := range logs {
			if at := fileslice.Position(tl, l); at >= s.Base.Instant && at < end && (tl.Layout() == timeline.Layout1 || tl.Committed(l.Instant)) {
				s.Logs = append(s.Logs, l)
			}
		}
		found = append(found, newFileSlice(s, false))
	}
	return found
}

// replacedAndLater reads the active commits: the file groups, by partition, that those of the timeline took away, and the files that
// commits after it brought.
func (t *Table) replacedAndLater(ctx context.Context, active, tl *timeline.Timeline) (replaced map[string][]string, later map[string]bool, err error) {
	replaced, later = make(map[string][]string), make(map[string]bool)
	last := tl.Last()
	for _, e := range active.Commits() {
		if e.Action != timeline.ReplaceCommit && e.Instant <= last {
			continue
		}
		c, err := t.commit(ctx, e)
		if err != nil {
			return nil, nil, err
		}
		if e.Instant <= last {
			for partition, ids := range c.PartitionToReplaceFileIDs {
				replaced[partition] = append(replaced[partition], ids...)
			}
			continue
		}
		for _, stats := range c.PartitionToWriteStats {
			for _, s := range stats {
				if s.Path != nil {
					later[*s.Path] = true
				}
			}
		}
	}
	return replaced, later, nil
}
