package inspect

import (
	"context"
	"errors"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// loadListing lists the data files and picks those that readers take.
func (v *verifier) loadListing(ctx context.Context) error {
	objects, err := v.objects(ctx, "")
	if err != nil {
		return err
	}
	for _, o := range objects {
		v.sizes[o.Key] = o.Size
	}
	if v.view, _, err = v.latest(ctx, objects, v.tl, v.replaced); err != nil {
		return err
	}
	for _, key := range v.view.Unnamed {
		v.fault(CodeFileName, key, "looks like a log file and is not named like one")
	}
	return nil
}

// checkPlacement checks that what readers pick out of the listing is what the commits named.
func (v *verifier) checkPlacement(context.Context) error {
	shown := make(map[string]bool)
	for _, s := range v.view.Slices {
		v.checkSlice(s, shown)
	}
	for _, key := range slices.Sorted(maps.Values(v.last)) {
		if _, there := v.sizes[key]; !there {
			v.fault(CodeFileMissing, key, "commit %s named it", v.namedBy(key))
		}
	}
	for _, keys := range v.logs {
		for _, key := range keys {
			if _, there := v.sizes[key]; !there {
				v.fault(CodeFileMissing, key, "commit %s named it", v.namedBy(key))
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(v.sizes)) {
		v.checkOrphan(key, shown)
	}
	return nil
}

func (v *verifier) namedBy(key string) timeline.Instant {
	stats := v.stats[key]
	return stats[len(stats)-1].entry.Instant
}

// checkSlice checks one file group as readers take it, and notes its files as shown.
func (v *verifier) checkSlice(s fileslice.Slice, shown map[string]bool) {
	for _, l := range s.Logs {
		shown[l.Key()] = true
		v.report.Logs++
		v.report.Bytes += l.Size
	}
	group := groupOf(s.Partition, s.FileID)
	if len(s.Logs) > 0 && v.props[meta.TableType] != string(hudi.MergeOnRead) {
		v.fault(CodeLogOnCow, s.Logs[0].Key(), "%d log files on a copy-on-write file group", len(s.Logs))
	}
	if !s.HasBase {
		v.warn(CodeLogAlone, group, "log files without a base file: hudi-rs does not read them")
		return
	}
	key := s.Base.Key()
	shown[key] = true
	v.report.Files++
	v.report.Bytes += s.Base.Size
	wanted, known := v.last[group]
	switch {
	case v.stats[key] == nil && v.active(s.Base.Instant):
		v.fault(CodeFileUnnamed, key, "is of instant %s, whose commit does not name it, and readers show it", s.Base.Instant)
	case known && wanted != key:
		v.fault(CodeFileOlder, key, "readers take this file, the last commit of its group named %s", wanted)
	}
}

// active reports whether the instant's commit is on the active timeline, so that its metadata were read.
func (v *verifier) active(i timeline.Instant) bool {
	_, found := slices.BinarySearchFunc(v.commits, i, func(c commit, i timeline.Instant) int { return strings.Compare(string(c.entry.Instant), string(i)) })
	return found
}

// checkOrphan warns of a file that no commit names and no reader shows. Files that are older than the active timeline, and those of
// attempts under way, cannot be told from what is right. Logs of layout 1 do not name their instant; their blocks do.
func (v *verifier) checkOrphan(key string, shown map[string]bool) {
	if v.stats[key] != nil {
		return
	}
	var at timeline.Instant
	if f, err := fileslice.ParseKey(key); err == nil {
		at = f.Instant
	} else if l, err := fileslice.ParseLogKey(key); err == nil && v.layout == timeline.Layout2 {
		at = l.Instant
	} else {
		v.checkForeign(key)
		return
	}
	switch {
	case v.active(at) && shown[key]:
		if strings.Contains(path.Base(key), ".log.") { // base files are judged as their group's
			v.fault(CodeFileUnnamed, key, "is of instant %s, whose commit does not name it, and readers show it", at)
		}
	case v.active(at):
		v.warn(CodeFileOrphan, key, "commit %s does not name it", at)
	case !v.tl.Committed(at) && !v.pending(at):
		v.warn(CodeFileOrphan, key, "instant %s is not on the timeline; when that is archived past it, the file becomes visible", at)
	}
}

// checkForeign looks at a file that is none of Hudi's. Others than Parquet files are ignored by every engine.
func (v *verifier) checkForeign(key string) {
	partition := strings.TrimSuffix(key, path.Base(key))
	inPartition := slices.ContainsFunc(v.view.Slices, func(s fileslice.Slice) bool { return path.Join(s.Partition, "x") == path.Join(partition, "x") })
	if inPartition && strings.HasSuffix(key, ".parquet") {
		v.fault(CodeFileName, key, "a Parquet file that is not named like a base file: Hudi fails to read the partition")
	}
}

func (v *verifier) pending(i timeline.Instant) bool {
	return slices.ContainsFunc(v.tl.Pending(), func(e timeline.Entry) bool { return e.Instant == i })
}

// checkPartitions checks the files without which Hudi's readers leave a partition out.
func (v *verifier) checkPartitions(ctx context.Context) error {
	fields := len(v.props.List(meta.PartitionFields))
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
			v.fault(CodePartitionMetafile, key, "is missing: Hudi's readers do not see the partition")
			continue
		}
		if err != nil {
			return err
		}
		_, found, err := meta.ParsePartition(data)
		want := 0
		if partition != "" {
			want = strings.Count(partition, "/") + 1 // not the fields: a plain date 2023/04/01 is one field of depth 3
		}
		switch {
		case err != nil:
			v.fault(CodePartitionMetafile, key, "%v", err)
		case found != want || want < fields:
			v.fault(CodePartitionDepth, key, "depth %d, the path has %d elements, the table %d partition fields", found, want, fields)
		}
	}
	return nil
}

// checkMarkers checks the folders of attempts: the kinds of markers that the table's version allows, and what completed attempts left.
func (v *verifier) checkMarkers(ctx context.Context) error {
	folders := make(map[string][]string)
	for info, err := range v.store.List(ctx, meta.TempFolder) {
		if err != nil {
			return err
		}
		folder, name, nested := strings.Cut(strings.TrimPrefix(info.Key, meta.TempFolder), "/")
		if nested && name != "" {
			folders[folder] = append(folders[folder], info.Key)
		}
	}
	for _, folder := range slices.Sorted(maps.Keys(folders)) {
		instant, err := timeline.ParseInstant(folder)
		if err != nil {
			continue
		}
		if err := v.checkMarkerFolder(ctx, instant, folders[folder]); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) checkMarkerFolder(ctx context.Context, instant timeline.Instant, keys []string) error {
	lists, typed := 0, false
	for _, key := range keys {
		name := path.Base(key)
		switch {
		case key == meta.MarkerTypeKey(instant):
			typed = true
			data, _, err := v.store.Get(ctx, key)
			if err != nil {
				return err
			}
			if text := strings.TrimSpace(string(data)); text != meta.MarkerType && text != "DIRECT" {
				v.fault(CodeMarkerMalformed, key, "marker type %q", text)
			}
		case strings.HasPrefix(name, "MARKERS"):
			lists++
			data, _, err := v.store.Get(ctx, key)
			if err != nil {
				return err
			}
			markers, err := meta.ParseMarkers(data)
			if err != nil {
				v.fault(CodeMarkerMalformed, key, "%v", err)
			}
			for _, m := range markers {
				v.checkMarker(key, m)
			}
		case strings.Contains(name, ".marker."):
			markers, err := meta.ParseMarkers([]byte(strings.TrimPrefix(key, meta.MarkerFolder(instant))))
			if err != nil || len(markers) != 1 {
				v.fault(CodeMarkerMalformed, key, "no marker's name")
				continue
			}
			v.checkMarker(key, markers[0])
		}
	}
	if lists > 0 && !typed {
		v.fault(CodeMarkerMalformed, meta.MarkerTypeKey(instant), "is missing beside a list of markers: no rollback finds them")
	}
	if len(keys) > 0 && !v.pending(instant) && (v.active(instant) || !v.onTimeline(instant) && lists > 0) {
		v.warn(CodeMarkerLeftover, meta.MarkerFolder(instant), "instant %s is not under way", instant)
	}
	return nil
}

func (v *verifier) onTimeline(i timeline.Instant) bool {
	return slices.ContainsFunc(v.tl.Entries(), func(e timeline.Entry) bool { return e.Instant == i })
}

func (v *verifier) checkMarker(key string, m meta.Marker) {
	_, logErr := fileslice.ParseLogKey(m.File)
	_, baseErr := fileslice.ParseKey(m.File)
	switch {
	case logErr != nil && baseErr != nil:
		v.fault(CodeMarkerMalformed, key, "%s is no data file's name", m.File)
	case m.Kind == meta.MarkerAppend && v.layout == timeline.Layout2:
		v.fault(CodeMarkerAppend, key, "%s: from table version 8 on a log's marker is CREATE, and Hudi refuses every later write", m.File)
	case m.Kind == meta.MarkerAppend && logErr != nil:
		v.fault(CodeMarkerMalformed, key, "%s is no log file", m.File)
	case m.Kind != meta.MarkerAppend && m.Kind != meta.MarkerCreate && m.Kind != meta.MarkerMerge:
		v.fault(CodeMarkerMalformed, key, "%s has a marker of kind %s", m.File, m.Kind)
	}
}
