package mdt

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// Folder is where a table's metadata table lies, itself a table with a .hoodie folder.
const Folder = ".hoodie/metadata/"

const (
	dataTimeline     = ".hoodie/"
	metadataTimeline = Folder + ".hoodie/"
	filesFolder      = Folder + "files/"

	keyPartitions  = "__all_partitions__"
	notPartitioned = "." // the key of the files of a table without partitions

	// maxObjectBytes bounds one base or log file. A record has about 60 bytes for each file of a table, so this is far beyond any table whose
	// listing can be held at all.
	maxObjectBytes = 1 << 30
)

// ErrAbsent: the table has no metadata table, or one without the partition "files".
var ErrAbsent = errors.New("no listing in the metadata table")

// Listing is what the partition "files" says of a table: all files that were written and not deleted, whether a reader of the newest
// snapshot needs them or not.
type Listing struct {
	// Partitions is the list of partitions, ascending; "" is the one of a table that is not partitioned.
	Partitions []string
	// Files has the size in bytes of every file, by partition and name. A partition whose files are all deleted stays, empty.
	Files map[string]map[string]int64
	// Instant is the newest instant of the metadata table that completed and counts: what happened later is not in the listing.
	Instant string
	// Damaged are the keys of log files of which a part could not be read; engines pass over it without a word.
	Damaged []string
}

// Files reads the listing as engines do: the newest base file, and from the logs behind it the blocks whose instant completed in the
// metadata table and is not pending in the table itself. Errors: ErrAbsent, *hfile.CorruptError, *logfile.CorruptError, the store's.
func Files(ctx context.Context, store storage.Store) (Listing, error) {
	if err := present(ctx, store); err != nil {
		return Listing{}, err
	}
	data, err := readInstants(ctx, store, dataTimeline)
	if err != nil {
		return Listing{}, err
	}
	own, err := readInstants(ctx, store, metadataTimeline)
	if err != nil {
		return Listing{}, err
	}
	groups, err := listGroups(ctx, store)
	if err != nil {
		return Listing{}, err
	}
	if len(groups) == 0 {
		return Listing{}, ErrAbsent
	}
	m := newMerger(store, data, own)
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		if err := m.slice(ctx, latestSlice(groups[group], own)); err != nil {
			return Listing{}, err
		}
	}
	return m.listing(), nil
}

// present is nil when there is a metadata table.
func present(ctx context.Context, store storage.Store) error {
	_, err := store.Stat(ctx, metadataTimeline+path.Base(meta.PropertiesKey))
	if errors.Is(err, storage.ErrNotExist) {
		return ErrAbsent
	}
	if err != nil {
		return fmt.Errorf("look for the metadata table: %w", err)
	}
	return nil
}

// listGroups are the files of the partition by file group.
func listGroups(ctx context.Context, store storage.Store) (map[string][]dataFile, error) {
	groups := make(map[string][]dataFile)
	for info, err := range store.List(ctx, filesFolder) {
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", filesFolder, err)
		}
		if f, ok := parseDataFile(info.Key, info.Size); ok {
			groups[f.group] = append(groups[f.group], f)
		}
	}
	return groups, nil
}

// slice is a base file, if there is one, and the logs to merge into it, in order.
type slice struct {
	base *dataFile
	logs []dataFile
}

// latestSlice picks the newest completed base file of a group and the logs behind it (AbstractTableFileSystemView). Logs of a compaction
// that is pending belong to them: until it completes, its slice is read together with the one before.
func latestSlice(files []dataFile, own *instants) slice {
	var s slice
	for i, f := range files {
		if _, ok := own.completion(f.instant); !f.log && ok && (s.base == nil || f.instant > s.base.instant) {
			s.base = &files[i]
		}
	}
	for _, f := range files {
		at, ok := f.instant, true
		if own.layout == 2 {
			// The name has the instant that wrote the log, not that of a base file: what completed after a compaction was planned is
			// behind it.
			at, ok = own.completion(f.instant)
		}
		if f.log && ok && (s.base == nil || at >= s.base.instant) {
			s.logs = append(s.logs, f)
		}
	}
	slices.SortFunc(s.logs, compareLogs)
	return s
}

// listing is what the merged records say.
func (m *merger) listing() Listing {
	l := Listing{Files: make(map[string]map[string]int64, len(m.records)), Damaged: m.damaged}
	for i := range m.own.written {
		if m.counts(i) {
			l.Instant = max(l.Instant, i)
		}
	}
	for key, sizes := range m.records {
		if key != keyPartitions {
			l.Files[partitionOf(key)] = sizes
			continue
		}
		for name := range sizes {
			l.Partitions = append(l.Partitions, partitionOf(name))
		}
	}
	slices.Sort(l.Partitions)
	return l
}

func partitionOf(key string) string {
	if key == notPartitioned {
		return ""
	}
	return key
}
