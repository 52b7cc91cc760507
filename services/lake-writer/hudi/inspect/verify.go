// Package inspect owns what people and tests ask about a table from outside: is it whole (Verify), and what is on its timeline
// (Timeline, Commit). It changes nothing, and trusts nothing that it can look up itself.
package inspect

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/txn"
)

// Report is what Verify found.
type Report struct {
	Instant    timeline.Instant `json:"instant"` // the newest commit
	Partitions int              `json:"partitions"`
	Files      int              `json:"files"` // newest base file of each group
	Logs       int              `json:"logs"`  // log files on top of them
	Rows       int64            `json:"rows"`
	Bytes      int64            `json:"bytes"`
	Faults     []Fault          `json:"faults"`
	// Orphans are data files that no commit brought. They hide behind the timeline until it is archived past them.
	Orphans []string `json:"orphans"`
	// Pending are instants under way or left behind.
	Pending []string `json:"pending"`
}

// Fault is one thing that is wrong.
type Fault struct {
	Where string `json:"where"` // storage key
	What  string `json:"what"`
}

// String is the fault as one line.
func (f Fault) String() string { return f.Where + ": " + f.What }

// Verify checks a table: that the newest file of each group is the one that a completed commit names, there, of the right size and
// row count; that its rows belong into it, and no key is twice in a partition; that partitions can be found; that the properties
// are those that were written; and that HEAD, if the table has one, and the timeline say the same. An error means that it could
// not look.
func Verify(ctx context.Context, store storage.Store) (*Report, error) {
	table, err := hudi.Open(ctx, store)
	if err != nil {
		return nil, err
	}
	view, err := table.View(ctx, "", nil)
	if err != nil {
		return nil, err
	}
	v := &verifier{
		store: store, table: table, props: table.Properties(), view: view,
		report: &Report{Faults: []Fault{}, Orphans: []string{}, Pending: []string{}},
	}
	for _, step := range []func(context.Context) error{
		v.properties, v.timeline, v.loadCommits, v.placement, v.partitions, v.loadNote, v.files, v.merged, v.head,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return v.report, nil
}

type verifier struct {
	store  storage.Store
	table  *hudi.Table
	props  meta.Properties
	view   *hudi.View
	report *Report
	note   *meta.TableNote // nil when another writer made the table: its buckets are written down nowhere

	newest *meta.Commit           // of the newest commit
	stats  map[string]writtenStat // by storage key: files that active commits brought
	last   map[string]string      // by partition and file id: the base file that was named last
	logs   map[string][]string    // by partition and file id: the log files named after it
}

// writtenStat is a write stat with the commit that holds it.
type writtenStat struct {
	meta.WriteStat
	commit timeline.Instant
}

func (v *verifier) fault(where, format string, args ...any) {
	v.report.Faults = append(v.report.Faults, Fault{where, fmt.Sprintf(format, args...)})
}

func (v *verifier) properties(context.Context) error {
	if parts := v.props.List(meta.MetadataPartitions); len(parts) > 0 {
		v.fault(meta.PropertiesKey, "%s=%s: readers trust a metadata table that nobody maintains", meta.MetadataPartitions, strings.Join(parts, ","))
	}
	return nil
}

func (v *verifier) timeline(context.Context) error {
	for _, e := range v.view.Timeline.Pending() {
		v.report.Pending = append(v.report.Pending, e.FileName())
	}
	for _, f := range v.view.Dangling {
		v.report.Orphans = append(v.report.Orphans, f.Key())
	}
	return nil
}

// loadCommits reads what the active commits say that they wrote.
func (v *verifier) loadCommits(ctx context.Context) error {
	v.stats, v.last, v.logs = make(map[string]writtenStat), make(map[string]string), make(map[string][]string)
	for _, e := range v.view.Timeline.Commits() {
		c, err := v.table.Commit(ctx, e)
		if errors.Is(err, meta.ErrCommit) {
			v.fault(e.Key(), "%v", err)
			continue
		}
		if err != nil {
			return err
		}
		for partition, stats := range c.PartitionToWriteStats {
			for _, s := range stats {
				if s.Path == nil {
					v.fault(e.Key(), "write stat of %s without path", s.FileID)
					continue
				}
				v.stats[*s.Path] = writtenStat{s, e.Instant}
				group := path.Join(partition, s.FileID)
				if v.noteLog(group, *s.Path) {
					continue
				}
				v.last[group] = *s.Path
				delete(v.logs, group) // they are of the slice before
			}
		}
		for partition, ids := range c.PartitionToReplaceFileIDs {
			for _, id := range ids {
				delete(v.last, path.Join(partition, id))
				delete(v.logs, path.Join(partition, id))
			}
		}
		v.newest, v.report.Instant = c, e.Instant
	}
	return nil
}

// placement checks that what readers pick out of the listing is what the commits named.
func (v *verifier) placement(context.Context) error {
	shown := make(map[string]bool, len(v.view.Slices))
	for _, s := range v.view.Slices {
		v.slice(s)
		if !s.HasBase {
			v.fault(path.Join(s.Partition, s.FileID), "log files without a base file: hudi-rs does not read them")
			continue
		}
		key := s.Base.Key()
		shown[key] = true
		wanted, known := v.last[path.Join(s.Partition, s.FileID)]
		switch {
		case known && wanted != key:
			v.fault(key, "readers take this file, the last commit of its group named %s", wanted)
		case !known && v.active(s.Base.Instant):
			v.fault(key, "is of instant %s, whose commit does not name it, and readers show it", s.Base.Instant)
		}
		if stat, ok := v.stats[key]; ok && stat.FileSizeInBytes != s.Base.Size {
			v.fault(key, "%d bytes, commit %s says %d", s.Base.Size, stat.commit, stat.FileSizeInBytes)
		}
	}
	for _, key := range sortedValues(v.last) {
		if !shown[key] {
			v.fault(key, "is missing: commit %s named it", v.stats[key].commit)
		}
	}
	return nil
}

// active reports whether the instant's commit is on the active timeline, so that its metadata were read.
func (v *verifier) active(i timeline.Instant) bool {
	return slices.ContainsFunc(v.view.Timeline.Commits(), func(e timeline.Entry) bool { return e.Instant == i })
}

// partitions checks the files without which Hudi's readers leave a partition out.
func (v *verifier) partitions(ctx context.Context) error {
	depth := len(v.props.List(meta.PartitionFields))
	last := ""
	for i, s := range v.view.Slices {
		partition := s.Partition
		if i > 0 && partition == last {
			continue
		}
		last = partition
		v.report.Partitions++
		key := path.Join(partition, fileslice.PartitionMetafile)
		data, _, err := v.store.Get(ctx, key)
		if errors.Is(err, storage.ErrNotExist) {
			v.fault(key, "is missing: Hudi's readers do not see the partition")
			continue
		}
		if err != nil {
			return err
		}
		// The depth is that of the path: a plain date 2023/04/01 is one field of depth 3.
		_, found, err := meta.ParsePartition(data)
		want := 0
		if partition != "" {
			want = strings.Count(partition, "/") + 1
		}
		switch {
		case err != nil:
			v.fault(key, "%v", err)
		case found != want || want < depth:
			v.fault(key, "depth %d, the path has %d elements, the table %d partition fields", found, want, depth)
		}
	}
	return nil
}

// loadNote reads what the table was created as.
func (v *verifier) loadNote(ctx context.Context) error {
	data, _, err := v.store.Get(ctx, meta.TableNoteKey)
	if errors.Is(err, storage.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	note, err := meta.ParseTableNote(data)
	if err != nil {
		v.fault(meta.TableNoteKey, "%v", err)
		return nil
	}
	v.note = &note
	return nil
}

// head checks HEAD, the commit point of tables of this library, against the timeline.
func (v *verifier) head(ctx context.Context) error {
	stored, err := txn.Load(ctx, v.store)
	if errors.Is(err, storage.ErrNotExist) {
		return nil // another writer's table
	}
	if err != nil {
		if storage.Classify(err) == storage.Retryable {
			return err
		}
		v.fault(txn.Key, "%v", err)
		return nil
	}
	h := stored.Head
	if h.Instant != v.report.Instant {
		v.fault(txn.Key, "last commit is %s, the timeline's is %q", h.Instant, v.report.Instant)
		return nil
	}
	note, ok := v.newest.Note()
	switch {
	case !ok:
		v.fault(txn.Key, "commit %s has no %s", h.Instant, meta.PlayheadKey)
	case note.CommitID != h.CommitID:
		v.fault(txn.Key, "commit id %s, commit %s has %s", h.CommitID, h.Instant, note.CommitID)
	case note.Epoch > h.Epoch:
		v.fault(txn.Key, "epoch %d, commit %s has %d", h.Epoch, h.Instant, note.Epoch)
	case !sameOffsets(note.Offsets, h.Offsets):
		v.fault(txn.Key, "offsets %v, commit %s has %v", h.Offsets, h.Instant, note.Offsets)
	}
	return nil
}

func sameOffsets(a, b map[string]map[int32]int64) bool {
	covers := func(a, b map[string]map[int32]int64) bool {
		for stream, partitions := range a {
			for p, next := range partitions {
				if other, ok := b[stream][p]; !ok || other != next {
					return false
				}
			}
		}
		return true
	}
	return covers(a, b) && covers(b, a)
}

func sortedValues(m map[string]string) []string {
	values := make([]string, 0, len(m))
	for _, v := range m {
		values = append(values, v)
	}
	slices.Sort(values)
	return values
}
