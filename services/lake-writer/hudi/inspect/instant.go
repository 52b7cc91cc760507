package inspect

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// ErrNoInstant: the instant is neither on the active timeline nor in the archive.
var ErrNoInstant = errors.New("no such instant")

// Shown is an action of an instant with the content of all its files.
type Shown struct {
	Instant    timeline.Instant `json:"instant"`
	Completion timeline.Instant `json:"completion,omitempty"` // layout 2
	Action     timeline.Action  `json:"action"`
	State      timeline.State   `json:"state"`
	Archived   bool             `json:"archived,omitempty"`
	Files      []ShownFile      `json:"files"` // by state
}

// ShownFile is the file of one state.
type ShownFile struct {
	State timeline.State `json:"state"`
	Key   string         `json:"key,omitempty"` // "" in the archive
	Bytes int            `json:"bytes"`         // 0 in an archive of layout 1, which keeps no file as it was
	// Content has the names of the file's JSON or Avro fields; nil for a file without content. What commits carry as JSON texts is JSON.
	Content map[string]any `json:"content"`
}

// ShowInstant reads all that the timeline says of an instant: of each action, since a savepoint has its commit's instant. The archive is
// read only when the instant is not on the active timeline. ErrNoInstant: it is nowhere.
func (t *Table) ShowInstant(ctx context.Context, instant timeline.Instant) ([]Shown, error) {
	names, err := t.timelineNames(ctx)
	if err != nil {
		return nil, err
	}
	var shown []Shown
	for _, e := range timeline.NewLayout(t.layout, names).Entries() {
		if e.Instant != instant {
			continue
		}
		s := Shown{Instant: e.Instant, Completion: e.Completion, Action: e.Action, State: e.State}
		if s.Files, err = t.instantFiles(ctx, e, names); err != nil {
			return nil, err
		}
		shown = append(shown, s)
	}
	if len(shown) == 0 {
		shown, err = t.showArchived(ctx, instant)
	}
	if err == nil && len(shown) == 0 {
		err = fmt.Errorf("instant %s: %w", instant, ErrNoInstant)
	}
	return shown, err
}

// instantFiles reads the files of an action: those of its instant that lead to the same completed action.
func (t *Table) instantFiles(ctx context.Context, e timeline.Entry, names []string) ([]ShownFile, error) {
	files := []ShownFile{}
	for _, name := range names {
		f, ok := t.layout.ParseFileName(name)
		if !ok || f.Instant != e.Instant || completes(f) != completes(e) {
			continue
		}
		data, _, err := t.store.Get(ctx, f.Key())
		if errors.Is(err, storage.ErrNotExist) { // rolled back or archived since the listing
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read instant %s: %w", name, err)
		}
		content, err := meta.DecodeFile(data)
		if err != nil {
			return nil, fmt.Errorf("read instant %s: %w", name, err)
		}
		files = append(files, ShownFile{f.State, f.Key(), len(data), readable(content)})
	}
	sortStates(files)
	return files, nil
}

// completes is the action under which a completed file of the entry's would be found.
func completes(e timeline.Entry) string {
	_, action, _ := strings.Cut(e.In(timeline.Completed).FileName(), ".")
	return action
}

func sortStates(files []ShownFile) {
	order := []timeline.State{timeline.Requested, timeline.Inflight, timeline.Completed}
	slices.SortStableFunc(files, func(a, b ShownFile) int {
		return cmp.Compare(slices.Index(order, a.State), slices.Index(order, b.State))
	})
}

func (t *Table) showArchived(ctx context.Context, instant timeline.Instant) ([]Shown, error) {
	var shown []Shown
	for a, err := range t.archive(ctx) {
		if err != nil {
			return nil, err
		}
		if a.entry.Instant != instant {
			continue
		}
		content, err := a.load()
		if err != nil {
			return nil, fmt.Errorf("read archived instant %s: %w", instant, err)
		}
		at := slices.IndexFunc(shown, func(s Shown) bool { return s.Action == a.entry.Action })
		if at < 0 {
			shown = append(shown, Shown{Instant: instant, Action: a.entry.Action, Archived: true})
			at = len(shown) - 1
		}
		s := &shown[at]
		s.Completion, s.State = max(s.Completion, a.entry.Completion), a.entry.State
		s.Files = append(s.Files, ShownFile{State: a.entry.State, Bytes: a.bytes, Content: readable(content)})
		sortStates(s.Files)
		s.State = s.Files[len(s.Files)-1].State
	}
	return shown, nil
}

// readable makes JSON of the JSON texts in a commit's extra metadata.
func readable(content map[string]any) map[string]any {
	extra, ok := content["extraMetadata"].(map[string]any)
	if !ok {
		return content
	}
	for key, value := range extra {
		text, _ := value.(string)
		if object := json.RawMessage(text); len(text) > 0 && text[0] == '{' && json.Valid(object) {
			extra[key] = object
		}
	}
	return content
}
