package mdt

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// instantName is an instant file of either timeline layout: requested time, in layout 2 the completion time, action, state.
var instantName = regexp.MustCompile(`^(\d{14,20})(?:_(\d{14,20}))?\.([a-z]+)(?:\.(requested|inflight))?$`)

// instants is what an active timeline says of the instants that this package meets.
type instants struct {
	folder     string // of the timeline
	properties meta.Properties
	layout     int
	written    map[string]string   // completed writes -> completion time, in layout 1 the instant itself
	changed    map[string]string   // completed writes, cleans and restores: all that change which files there are -> completion time
	done       map[string]struct{} // completed, whatever they did
	pending    map[string]struct{}
	actions    map[string][]string // of each instant, as its files name them
	first      string              // the oldest on the timeline, savepoints aside; earlier ones were archived, so they completed
}

// readInstants reads the active timeline of the table whose .hoodie folder is given.
func readInstants(ctx context.Context, store storage.Store, folder string) (*instants, error) {
	key := folder + "hoodie.properties"
	data, _, err := store.Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	p, err := meta.ParseProperties(data)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	t := &instants{
		properties: p, layout: 1, written: make(map[string]string), changed: make(map[string]string), done: make(map[string]struct{}),
		pending: make(map[string]struct{}), actions: make(map[string][]string),
	}
	switch version := p.First(meta.TimelineLayout); version {
	case "", "1": // tables older than the property have layout 1
	case "2":
		t.layout = 2
		folder += "timeline/"
		if path := p.First("hoodie.timeline.path"); path != "" {
			folder = strings.TrimSuffix(folder, "timeline/") + strings.Trim(path, "/") + "/"
		}
	default:
		return nil, fmt.Errorf("read %s: timeline layout %q is not known: %w", key, version, meta.ErrProperties)
	}
	t.folder = folder
	// Instants begin with a year of this millennium, or with zeros when they build a metadata table. Other files and folders of the same
	// place, such as archives and markers, may be many more and do not.
	for _, prefix := range []string{folder + "0", folder + "2"} {
		for info, err := range store.List(ctx, prefix) {
			if err != nil {
				return nil, fmt.Errorf("list timeline %s: %w", folder, err)
			}
			t.add(strings.TrimPrefix(info.Key, folder))
		}
	}
	for i := range t.done {
		delete(t.pending, i)
	}
	return t, nil
}

// add takes note of one file; names that are no instant's are ignored.
func (t *instants) add(name string) {
	m := instantName.FindStringSubmatch(name)
	if m == nil {
		return
	}
	instant, completion, action, state := m[1], m[2], m[3], m[4]
	if action == "savepoint" { // it bears the instant of what it keeps
		return
	}
	if t.first == "" || instant < t.first {
		t.first = instant
	}
	t.actions[instant] = append(t.actions[instant], action)
	if state != "" || action == "inflight" { // the inflight file of a commit has no action word
		t.pending[instant] = struct{}{}
		return
	}
	if completion == "" {
		completion = instant
	}
	switch action {
	case "commit", "deltacommit", "replacecommit":
		t.written[instant], t.changed[instant] = completion, completion
	case "clean", "restore":
		t.changed[instant] = completion
	}
	t.done[instant] = struct{}{}
}

// completion is when the write of an instant completed, false if it did not. Archived ones count by their own time.
func (t *instants) completion(instant string) (string, bool) {
	if c, ok := t.written[instant]; ok {
		return c, true
	}
	_, pending := t.pending[instant]
	return instant, !pending && instant < t.first
}

// completed reports whether an instant is done or archived, whatever it did.
func (t *instants) completed(instant string) bool {
	_, done := t.done[instant]
	_, written := t.completion(instant)
	return done || written
}
