package inspect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// Instant is one instant of a timeline, with what its metadata say when it is a completed write.
type Instant struct {
	Instant   timeline.Instant `json:"instant"`
	Action    timeline.Action  `json:"action"`
	State     timeline.State   `json:"state"`
	Operation string           `json:"operation,omitempty"`
	Files     int              `json:"files,omitempty"`
	Inserts   int64            `json:"inserts,omitempty"`
	Bytes     int64            `json:"bytes,omitempty"`
	CommitID  string           `json:"commit_id,omitempty"` // of commits of this library
	Epoch     int64            `json:"epoch,omitempty"`
}

// Timeline lists the active timeline, the oldest instant first.
func Timeline(ctx context.Context, table *hudi.Table) ([]Instant, error) {
	active, err := table.Timeline(ctx)
	if err != nil {
		return nil, err
	}
	instants := []Instant{}
	for _, e := range active.Entries() {
		i := Instant{Instant: e.Instant, Action: e.Action, State: e.State}
		if e.State == timeline.Completed && e.Action.Writes() {
			c, err := table.Commit(ctx, e)
			if err != nil {
				return nil, err
			}
			i.describe(c)
		}
		instants = append(instants, i)
	}
	return instants, nil
}

func (i *Instant) describe(c *meta.Commit) {
	i.Operation = c.OperationType
	for _, stats := range c.PartitionToWriteStats {
		for _, s := range stats {
			i.Files++
			i.Inserts += s.NumInserts
			i.Bytes += s.FileSizeInBytes
		}
	}
	if note, ok := c.Note(); ok {
		i.CommitID, i.Epoch = note.CommitID, note.Epoch
	}
}

// ErrNoCommit: the instant is not a completed write of the active timeline.
var ErrNoCommit = errors.New("no completed write of that instant")

// Commit is the metadata of a completed write. In its JSON, the notes that it carries as JSON texts are JSON.
type Commit struct {
	Instant timeline.Instant `json:"instant"`
	Action  timeline.Action  `json:"action"`
	meta.Commit
	Extra map[string]any `json:"extraMetadata"`
}

// ShowCommit reads a commit.
func ShowCommit(ctx context.Context, table *hudi.Table, instant timeline.Instant) (*Commit, error) {
	active, err := table.Timeline(ctx)
	if err != nil {
		return nil, err
	}
	for _, e := range active.Commits() {
		if e.Instant != instant {
			continue
		}
		c, err := table.Commit(ctx, e)
		if err != nil {
			return nil, err
		}
		shown := &Commit{Instant: e.Instant, Action: e.Action, Commit: *c, Extra: make(map[string]any)}
		for key, text := range c.ExtraMetadata {
			shown.Extra[key] = text
			if object := json.RawMessage(text); len(text) > 0 && text[0] == '{' && json.Valid(object) {
				shown.Extra[key] = object
			}
		}
		return shown, nil
	}
	return nil, fmt.Errorf("instant %s: %w", instant, ErrNoCommit)
}
