package inspect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/history"
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
	if folder := t.props[meta.TimelinePath]; t.layout == timeline.Layout2 && folder != "" && folder != "timeline" {
		return nil, fmt.Errorf("open table: %w", &hudi.UnsupportedError{Property: meta.TimelinePath, Value: folder, Reason: "not the default place"})
	}
	return t, nil
}

// timelineNames lists the files of the active timeline, without their folder.
func (t *Table) timelineNames(ctx context.Context) ([]string, error) {
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
	names, err := t.timelineNames(ctx)
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

// historyFolder is where the archived timeline of layout 2 lies.
func (t *Table) historyFolder() string {
	return timeline.Layout2.Folder() + cmp.Or(t.props[meta.HistoryPath], "history") + "/"
}

// latest picks the slices that readers of a timeline take. In layout 2 a log is placed by when its instant completed, which of archived ones
// the history knows; it is read only when a log's group has a base file of a later instant, so that it makes a difference.
func (t *Table) latest(
	ctx context.Context, objects []fileslice.Object, tl *timeline.Timeline, replaced map[string][]string,
) (view fileslice.View, placed *timeline.Timeline, err error) {
	if t.layout == timeline.Layout1 {
		return fileslice.Latest(objects, tl, replaced), tl, nil
	}
	newest := make(map[string]timeline.Instant)
	for _, o := range objects {
		if f, err := fileslice.ParseKey(o.Key); err == nil && tl.Committed(f.Instant) {
			group := groupOf(f.Partition, f.FileID)
			newest[group] = max(newest[group], f.Instant)
		}
	}
	wanted := make(map[timeline.Instant]timeline.Instant)
	for _, o := range objects {
		l, err := fileslice.ParseLogKey(o.Key)
		if _, active := tl.CompletionOf(l.Instant); err == nil && !active && tl.Committed(l.Instant) && newest[groupOf(l.Partition, l.FileID)] > l.Instant {
			wanted[l.Instant] = ""
		}
	}
	if len(wanted) > 0 {
		for in, err := range history.Read(ctx, t.store, t.historyFolder()) {
			if err != nil {
				return view, nil, fmt.Errorf("read completion times: %w", err)
			}
			if _, ok := wanted[in.Instant]; ok && in.Action.Writes() {
				wanted[in.Instant] = in.Completion
			}
		}
		maps.DeleteFunc(wanted, func(_, at timeline.Instant) bool { return at == "" })
		tl = tl.WithArchived(wanted)
	}
	return fileslice.Latest(objects, tl, replaced), tl, nil
}

func groupOf(partition, fileID string) string { return path.Join(partition, fileID) }
