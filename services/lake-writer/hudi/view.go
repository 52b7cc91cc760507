package hudi

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// ErrTimeTravel: what the table was at the wanted time is not known any more; some of it was archived or cleaned away.
var ErrTimeTravel = errors.New("the table's state at that time is gone")

// View is the picture of a table that a reader of one time has.
type View struct {
	Timeline *timeline.Timeline // the active timeline up to the time
	Schema   string             // Avro text of the newest commit, without meta columns
	Slices   []fileslice.Slice  // the newest committed file of each group, by partition and file id
	Dangling []fileslice.BaseFile
	// Missing are files that the active commits name as their group's last and that are not there: cleaned away, or lost.
	Missing []string
}

// View reads the picture as of an instant; "" is now. Only objects that begin with one of the prefixes are listed; none: all.
func (t *Table) View(ctx context.Context, asOf timeline.Instant, partitions []string) (*View, error) {
	active, err := t.Timeline(ctx)
	if err != nil {
		return nil, err
	}
	v := &View{Timeline: active}
	if asOf != "" {
		v.Timeline = active.Until(asOf)
		if commits := active.Commits(); len(commits) > 0 && asOf < commits[0].Instant {
			return nil, fmt.Errorf("as of %s, before the first active commit %s: %w", asOf, commits[0].Instant, ErrTimeTravel)
		}
	}
	if v.Schema, err = t.Schema(ctx, v.Timeline); err != nil {
		return nil, err
	}
	replaced, err := t.Replaced(ctx, v.Timeline)
	if err != nil {
		return nil, err
	}
	// The listing comes after the timeline: a file of a commit on the timeline is there, unless it was cleaned since.
	objects, err := t.listData(ctx, partitions)
	if err != nil {
		return nil, err
	}
	placing, err := t.placing(ctx, v.Timeline, objects)
	if err != nil {
		return nil, err
	}
	latest := fileslice.Latest(objects, placing, replaced)
	v.Slices, v.Dangling = latest.Slices, latest.Dangling
	if len(latest.Unnamed) > 0 {
		return nil, &UnsupportedError{latest.Unnamed[0], "", "looks like a log file and is not named like one"}
	}
	v.Missing, err = t.missing(ctx, v, active, objects, replaced, partitions)
	return v, err
}

func (t *Table) listData(ctx context.Context, partitions []string) ([]fileslice.Object, error) {
	if len(partitions) == 0 {
		partitions = []string{""}
	}
	var objects []fileslice.Object
	seen := make(map[string]bool) // prefixes may overlap
	for _, prefix := range partitions {
		for info, err := range t.store.List(ctx, prefix) {
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

// missing looks for files that a cleaner took though the view needs them: their groups would show older rows, or none, and nothing
// would tell. Reading the metadata of all active commits for it is left out where no cleaner was.
func (t *Table) missing(
	ctx context.Context, v *View, active *timeline.Timeline, objects []fileslice.Object, replaced map[string][]string, partitions []string,
) ([]string, error) {
	if !slices.ContainsFunc(active.Entries(), func(e timeline.Entry) bool { return e.Action == timeline.Clean }) {
		return nil, nil
	}
	last := make(map[string]string) // by partition and file id
	for _, e := range v.Timeline.Commits() {
		c, err := t.Commit(ctx, e)
		if err != nil {
			return nil, err
		}
		for partition, stats := range c.PartitionToWriteStats {
			for _, s := range stats {
				if s.Path == nil {
					continue
				}
				if _, err := fileslice.ParseLogKey(*s.Path); err == nil {
					continue // a compaction may have folded it in, after which it can go
				}
				if covered(partition, partitions) && !slices.Contains(replaced[partition], s.FileID) {
					last[path.Join(partition, s.FileID)] = *s.Path
				}
			}
		}
	}
	have := make(map[string]bool, len(objects))
	for _, o := range objects {
		have[o.Key] = true
	}
	var missing []string
	for _, key := range last {
		if !have[key] {
			missing = append(missing, key)
		}
	}
	slices.Sort(missing)
	return missing, nil
}

func covered(partition string, prefixes []string) bool {
	return len(prefixes) == 0 || slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(partition+"/", p) })
}
