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
)

// Table is a table as its files say, not judged.
type Table struct {
	store  storage.Store
	props  meta.Properties
	layout timeline.Layout
}

// Open reads hoodie.properties. No table is hudi.ErrNotFound; properties that cannot be read are meta.ErrProperties or timeline.ErrLayout.
func Open(ctx context.Context, store storage.Store) (*Table, error) {
	data, _, err := store.Get(ctx, meta.PropertiesKey)
	if errors.Is(err, storage.ErrNotExist) {
		err = fmt.Errorf("%w: %w", hudi.ErrNotFound, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open table: %w", err)
	}
	t := &Table{store: store}
	if t.props, err = meta.ParseProperties(data); err != nil {
		return nil, fmt.Errorf("open table: %w", err)
	}
	if t.layout, err = timeline.ParseLayout(t.props[meta.TimelineLayout]); err != nil {
		return nil, fmt.Errorf("open table: %s: %w", meta.TimelineLayout, err)
	}
	return t, nil
}

// names lists the files of the active timeline, without their folder.
func (t *Table) names(ctx context.Context) ([]string, error) {
	var names []string
	for info, err := range t.store.List(ctx, t.layout.Prefix()) {
		if err != nil {
			return nil, fmt.Errorf("list timeline: %w", err)
		}
		names = append(names, strings.TrimPrefix(info.Key, t.layout.Folder()))
	}
	return names, nil
}

// Active lists the active timeline.
func (t *Table) Active(ctx context.Context) (*timeline.Timeline, error) {
	names, err := t.names(ctx)
	if err != nil {
		return nil, err
	}
	return timeline.NewLayout(t.layout, names), nil
}

func (t *Table) commit(ctx context.Context, e timeline.Entry) (*meta.Commit, error) {
	data, _, err := t.store.Get(ctx, e.Key())
	if err != nil {
		return nil, fmt.Errorf("read instant %s: %w", e.FileName(), err)
	}
	c, err := meta.ParseCommit(data)
	if err != nil {
		return nil, fmt.Errorf("read instant %s: %w", e.FileName(), err)
	}
	return c, nil
}

// objects lists data files below a partition, "" for all.
func (t *Table) objects(ctx context.Context, partition string) ([]fileslice.Object, error) {
	prefix := ""
	if partition != "" {
		prefix = partition + "/"
	}
	var objects []fileslice.Object
	for info, err := range t.store.List(ctx, prefix) {
		if err != nil {
			return nil, fmt.Errorf("list data files: %w", err)
		}
		if !strings.HasPrefix(info.Key, timeline.Folder) && !strings.HasSuffix(info.Key, "/") { // S3A leaves objects for folders
			objects = append(objects, fileslice.Object{Key: info.Key, Size: info.Size})
		}
	}
	return objects, nil
}

// latest picks the slices that readers of a timeline take. From layout 2 on a log is named after its own commit and counts with it.
func (t *Table) latest(objects []fileslice.Object, tl *timeline.Timeline, replaced map[string][]string) fileslice.View {
	view := fileslice.Latest(objects, tl, replaced)
	if t.layout == timeline.Layout1 {
		return view
	}
	kept := view.Slices[:0]
	for _, s := range view.Slices {
		s.Logs = slices.DeleteFunc(s.Logs, func(l fileslice.LogFile) bool { return !tl.Committed(l.Instant) })
		if s.HasBase || len(s.Logs) > 0 {
			kept = append(kept, s)
		}
	}
	view.Slices = kept
	return view
}

func groupOf(partition, fileID string) string { return path.Join(partition, fileID) }
