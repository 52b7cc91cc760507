// Package scan owns reading a copy-on-write table of version 6 as readers see it: a consistent picture of its timeline and files
// (View), and the rows of a snapshot, of an earlier time or of a span of commits (Rows). It writes nothing, needs no
// metadata table, and reads tables of other writers as well as ours.
package scan

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// TableError says that a table is of a kind that this package does not read.
type TableError struct {
	Property, Value string
}

func (e *TableError) Error() string {
	return fmt.Sprintf("table with %s=%q is not read by this library", e.Property, e.Value)
}

var (
	// ErrTimeTravel: what the table was at the wanted time is no longer known; some of it was archived or cleaned away.
	ErrTimeTravel = errors.New("the table's state at that time is gone")
	// ErrLogFiles: a file group has log files, which only a merge-on-read reader could merge.
	ErrLogFiles = errors.New("file group has log files")
)

// View is the picture of a table at one time.
type View struct {
	Properties meta.Properties
	Timeline   *timeline.Timeline // the active timeline, cut off at the time
	Schema     string             // Avro text of the newest commit, without meta columns
	Slices     []fileslice.Slice  // the newest committed file of each group, by partition and file id
	Dangling   []fileslice.BaseFile
}

// Load reads the picture as of an instant; "" is now. Only partitions that begin with one of the prefixes are listed; none: all.
func Load(ctx context.Context, store storage.Store, asOf timeline.Instant, partitions []string) (*View, error) {
	v := &View{}
	var err error
	if v.Properties, err = loadProperties(ctx, store); err != nil {
		return nil, err
	}
	active, err := LoadTimeline(ctx, store)
	if err != nil {
		return nil, err
	}
	v.Timeline = active
	if asOf != "" {
		v.Timeline = active.Until(asOf)
		if commits := active.Commits(); len(commits) > 0 && asOf < commits[0].Instant {
			return nil, fmt.Errorf("as of %s, before the first active commit %s: %w", asOf, commits[0].Instant, ErrTimeTravel)
		}
	}
	commits := v.Timeline.Commits()
	replaced, err := replacedGroups(ctx, store, commits)
	if err != nil {
		return nil, err
	}
	if v.Schema, err = newestSchema(ctx, store, commits, v.Properties); err != nil {
		return nil, err
	}
	// The listing comes after the timeline: a file of a commit on the timeline is there, unless it was cleaned since.
	objects, err := list(ctx, store, partitions)
	if err != nil {
		return nil, err
	}
	latest := fileslice.Latest(objects, v.Timeline, replaced)
	v.Slices, v.Dangling = latest.Slices, latest.Dangling
	return v, v.checkCleaned(ctx, store, active, objects, replaced, partitions)
}

func loadProperties(ctx context.Context, store storage.Store) (meta.Properties, error) {
	data, _, err := store.Get(ctx, meta.PropertiesKey)
	if err != nil {
		return nil, fmt.Errorf("read table properties: %w", err)
	}
	p, err := meta.ParseProperties(data)
	if err != nil {
		return nil, fmt.Errorf("read table properties: %w", err)
	}
	for _, want := range []struct {
		property string
		values   []string
	}{
		{meta.TableVersion, []string{"6"}},
		{meta.TimelineLayout, []string{"1"}},
		{meta.TableType, []string{"COPY_ON_WRITE"}},
		{meta.BaseFileFormat, []string{"", "PARQUET"}},
		{meta.DropPartitionColumns, []string{"", "false"}},
		{meta.PopulateMetaFields, []string{"", "true"}},
		{meta.BootstrapBasePath, []string{""}},
	} {
		if value := p[want.property]; !slices.Contains(want.values, value) {
			return nil, &TableError{want.property, value}
		}
	}
	return p, nil
}

// LoadTimeline lists the active timeline of a table of layout 1.
func LoadTimeline(ctx context.Context, store storage.Store) (*timeline.Timeline, error) {
	var names []string
	for info, err := range store.List(ctx, timeline.Prefix) {
		if err != nil {
			return nil, fmt.Errorf("list timeline: %w", err)
		}
		names = append(names, strings.TrimPrefix(info.Key, timeline.Folder))
	}
	return timeline.New(names), nil
}

// ReadCommit reads the metadata of a completed instant.
func ReadCommit(ctx context.Context, store storage.Store, e timeline.Entry) (*meta.Commit, error) {
	data, _, err := store.Get(ctx, e.Key())
	if err != nil {
		return nil, fmt.Errorf("read instant %s: %w", e.Instant, err)
	}
	c, err := meta.ParseCommit(data)
	if err != nil {
		return nil, fmt.Errorf("read instant %s: %w", e.Instant, err)
	}
	return c, nil
}

// replacedGroups are the file ids, by partition, that replacecommits took away.
func replacedGroups(ctx context.Context, store storage.Store, commits []timeline.Entry) (map[string][]string, error) {
	replaced := make(map[string][]string)
	for _, e := range commits {
		if e.Action != timeline.ReplaceCommit {
			continue
		}
		c, err := ReadCommit(ctx, store, e)
		if err != nil {
			return nil, err
		}
		for partition, ids := range c.PartitionToReplaceFileIDs {
			replaced[partition] = append(replaced[partition], ids...)
		}
	}
	return replaced, nil
}

// newestSchema is that of the newest commit that carries one: writers may change it with each.
func newestSchema(ctx context.Context, store storage.Store, commits []timeline.Entry, p meta.Properties) (string, error) {
	for _, e := range slices.Backward(commits) {
		c, err := ReadCommit(ctx, store, e)
		if err != nil {
			return "", err
		}
		if schema := c.ExtraMetadata[meta.SchemaKey]; schema != "" {
			return schema, nil
		}
	}
	return p[meta.CreateSchema], nil
}

func list(ctx context.Context, store storage.Store, partitions []string) ([]fileslice.Object, error) {
	if len(partitions) == 0 {
		partitions = []string{""}
	}
	var objects []fileslice.Object
	seen := make(map[string]bool)
	for _, prefix := range partitions {
		for info, err := range store.List(ctx, prefix) {
			if err != nil {
				return nil, fmt.Errorf("list data files: %w", err)
			}
			if strings.HasPrefix(info.Key, timeline.Folder) || seen[info.Key] {
				continue
			}
			seen[info.Key] = true
			objects = append(objects, fileslice.Object{Key: info.Key, Size: info.Size})
		}
	}
	return objects, nil
}

// checkCleaned makes sure that a cleaner has not taken a file that the view needs: the group would show older rows, or none, and
// nothing would tell. The metadata of the active commits say which file a group had last.
func (v *View) checkCleaned(
	ctx context.Context, store storage.Store, active *timeline.Timeline, objects []fileslice.Object, replaced map[string][]string, partitions []string,
) error {
	if !slices.ContainsFunc(active.Entries(), func(e timeline.Entry) bool { return e.Action == timeline.Clean }) {
		return nil
	}
	needed := make(map[string]string) // by partition and file id
	for _, e := range v.Timeline.Commits() {
		c, err := ReadCommit(ctx, store, e)
		if err != nil {
			return err
		}
		for partition, stats := range c.PartitionToWriteStats {
			for _, s := range stats {
				if s.Path != nil && listed(partition, partitions) && !slices.Contains(replaced[partition], s.FileID) {
					needed[path.Join(partition, s.FileID)] = *s.Path
				}
			}
		}
	}
	have := make(map[string]bool, len(objects))
	for _, o := range objects {
		have[o.Key] = true
	}
	for _, key := range needed {
		if !have[key] {
			return fmt.Errorf("data file %s: %w", key, ErrTimeTravel)
		}
	}
	return nil
}

func listed(partition string, prefixes []string) bool {
	return len(prefixes) == 0 || slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(partition+"/", p) })
}
