package inspect

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/history"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// Instant is one instant of a timeline, with what its metadata say when it is a completed write of the active one.
type Instant struct {
	Instant    timeline.Instant `json:"instant"`
	Completion timeline.Instant `json:"completion,omitempty"` // layout 2
	Action     timeline.Action  `json:"action"`
	State      timeline.State   `json:"state"`
	Archived   bool             `json:"archived,omitempty"`
	Operation  string           `json:"operation,omitempty"`
	Files      int              `json:"files,omitempty"`
	Writes     int64            `json:"writes,omitempty"` // rows of the files, old ones that a rewrite took over too
	Inserts    int64            `json:"inserts,omitempty"`
	Updates    int64            `json:"updates,omitempty"`
	Deletes    int64            `json:"deletes,omitempty"`
	Bytes      int64            `json:"bytes,omitempty"`
	CommitID   string           `json:"commit_id,omitempty"` // of commits of this library
	Epoch      int64            `json:"epoch,omitempty"`
}

// Instants lists the active timeline, the oldest instant first, and before it the archived one when it is wanted: of that the last state
// of each instant.
func (t *Table) Instants(ctx context.Context, archived bool) ([]Instant, error) {
	active, err := t.Active(ctx)
	if err != nil {
		return nil, err
	}
	instants := []Instant{}
	if archived {
		if instants, err = t.archivedInstants(ctx); err != nil {
			return nil, err
		}
	}
	for _, e := range active.Entries() {
		i := Instant{Instant: e.Instant, Completion: e.Completion, Action: e.Action, State: e.State}
		if e.State == timeline.Completed && e.Action.Writes() {
			c, err := t.commit(ctx, e)
			if err != nil {
				return nil, err
			}
			i.describe(c)
		}
		instants = append(instants, i)
	}
	return instants, nil
}

// archivedInstants lists the archive. Archiving that was interrupted leaves an instant in both, as which it is shown.
func (t *Table) archivedInstants(ctx context.Context) ([]Instant, error) {
	last := make(map[timeline.Entry]timeline.State) // by entry without its state
	var order []timeline.Entry
	for a, err := range t.archive(ctx) {
		if err != nil {
			return nil, err
		}
		e := a.entry
		e.State = ""
		state, seen := last[e]
		if !seen {
			order = append(order, e)
		}
		if !seen || state != timeline.Completed {
			last[e] = a.entry.State
		}
	}
	instants := []Instant{}
	for _, e := range order {
		instants = append(instants, Instant{Instant: e.Instant, Completion: e.Completion, Action: e.Action, State: last[e], Archived: true})
	}
	slices.SortStableFunc(instants, func(a, b Instant) int {
		return cmp.Or(cmp.Compare(a.Instant, b.Instant), cmp.Compare(a.Action, b.Action))
	})
	return instants, nil
}

// archivedState is one state of an archived instant; load says what its file held.
type archivedState struct {
	entry timeline.Entry
	bytes int // of the content; 0 where the archive does not keep it as it was
	load  func() (map[string]any, error)
}

// archive yields the archived timeline: of layout 1 each state of each instant, of layout 2 the completed state with the plan, if it had
// one, as its requested state.
func (t *Table) archive(ctx context.Context) func(yield func(archivedState, error) bool) {
	if t.layout == timeline.Layout2 {
		return t.history(ctx)
	}
	return func(yield func(archivedState, error) bool) {
		table, err := hudi.Open(ctx, t.store)
		if err != nil {
			yield(archivedState{}, fmt.Errorf("read archive: %w", err))
			return
		}
		for e, err := range table.Archived(ctx) {
			if err != nil {
				yield(archivedState{}, err)
				return
			}
			state := archivedState{entry: e.Entry, load: func() (map[string]any, error) { return e.Metadata, nil }}
			state.entry.Completion = ""
			if !yield(state, nil) {
				return
			}
		}
	}
}

func (t *Table) history(ctx context.Context) func(yield func(archivedState, error) bool) {
	return func(yield func(archivedState, error) bool) {
		for i, err := range history.Read(ctx, t.store, t.historyFolder()) {
			if err != nil {
				yield(archivedState{}, err)
				return
			}
			e := timeline.Entry{Instant: i.Instant, Completion: i.Completion, Action: i.Action, State: timeline.Completed, Layout: timeline.Layout2}
			content := func(data []byte) func() (map[string]any, error) {
				return func() (map[string]any, error) { return meta.DecodeFile(data) }
			}
			if len(i.Plan) > 0 && !yield(archivedState{e.In(timeline.Requested), len(i.Plan), content(i.Plan)}, nil) {
				return
			}
			if !yield(archivedState{e, len(i.Metadata), content(i.Metadata)}, nil) {
				return
			}
		}
	}
}

func (i *Instant) describe(c *meta.Commit) {
	i.Operation = c.OperationType
	for _, stats := range c.PartitionToWriteStats {
		for _, s := range stats {
			i.Files++
			i.Writes += s.NumWrites
			i.Inserts += s.NumInserts
			i.Updates += s.NumUpdateWrites
			i.Deletes += s.NumDeletes
			i.Bytes += s.FileSizeInBytes
		}
	}
	if note, ok := c.Note(); ok {
		i.CommitID, i.Epoch = note.CommitID, note.Epoch
	}
}
