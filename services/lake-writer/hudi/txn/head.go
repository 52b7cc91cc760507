// Package txn owns HEAD, the one object whose conditional replacement commits a transaction to a table, and what follows from it: telling
// after a lost answer whether a replacement happened, fencing, and projecting the committed bytes to the timeline.
//
// Two Hudi writers always take different instants, so a create-if-absent of an instant file never makes them collide: it protects a file,
// not the table. HEAD does: every transaction replaces it under the ETag it was planned on, so one of two must fail. The instant file is a
// projection of HEAD that anybody may redo. What a transaction holds, and what is deleted of a failed one, is package hudi's business.
package txn

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

const (
	// Key is where HEAD lies.
	Key = ".hoodie/playhead/HEAD"
	// StagedFolder holds completed files that are too large for HEAD.
	StagedFolder = ".hoodie/playhead/staged/"
	// FormatVersion is the newest format of HEAD that this package knows.
	FormatVersion = 1
	// HistoryLength is how many commit ids HEAD remembers: a writer that comes back after more commits than this cannot tell any more
	// whether its own is among them.
	HistoryLength = 32
	// InlineLimit is the size, in bytes, up to which the completed file travels in HEAD.
	InlineLimit = 256 << 10
	// UndoneLength is how many undone commits HEAD remembers, the newest of them.
	UndoneLength = 128
)

// Head is the content of HEAD.
type Head struct {
	Format   int    `json:"format"`
	WriteID  string `json:"write_id"` // unique to each replacement, so that two contents never share an ETag
	Epoch    int64  `json:"epoch"`    // rises with each owner
	Owner    string `json:"owner"`    // for people
	Sequence int64  `json:"sequence"` // commits so far; the creation is 0
	CommitID string `json:"commit_id"`
	// History are the ids of the last commits, newest first; the first is CommitID.
	History []string         `json:"history"`
	Instant timeline.Instant `json:"instant"` // of the last commit
	// Completion is when the last commit completed, in tables whose timeline says so (layout 2); else it is empty.
	Completion timeline.Instant `json:"completion,omitempty"`
	Action     timeline.Action  `json:"action"`
	// Completed is the whole completed instant file of the last commit, unless Staged points to it.
	Completed []byte  `json:"completed,omitempty"`
	Staged    *Staged `json:"staged,omitempty"`
	// CompletedAt is when the last commit completed, in milliseconds; it rises strictly, but for an undo.
	CompletedAt time.Time `json:"completed_at"`
	// Offsets are the next offset of each stream's partitions.
	Offsets   map[string]map[int32]int64 `json:"offsets,omitempty"`
	Watermark time.Time                  `json:"watermark"` // falls with an undo only
	// Undo is the restore or rollback that took the table back to Instant, until the next commit. It is decided, whether or not the timeline
	// shows yet that it is done.
	Undo *Undo `json:"undo,omitempty"`
	// Undone are commits that were undone, ascending. The owner of one may be paused just before putting it on the timeline.
	Undone []timeline.Instant `json:"undone,omitempty"`
}

// Undo names a restore or a rollback on the timeline.
type Undo struct {
	Instant timeline.Instant `json:"instant"`
	Action  timeline.Action  `json:"action"` // timeline.Restore or timeline.Rollback
}

// Staged points to an immutable object.
type Staged struct {
	Key    string `json:"key"`
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
}

// ErrHead: bytes are no HEAD.
var ErrHead = errors.New("malformed HEAD")

// FormatError says that a newer program wrote HEAD. Going on would lose what it knows.
type FormatError struct{ Format int }

func (e *FormatError) Error() string {
	return fmt.Sprintf("HEAD has format %d, this program knows up to %d", e.Format, FormatVersion)
}

// Encode is the HEAD's bytes.
func (h Head) Encode() ([]byte, error) {
	if err := h.check(); err != nil {
		return nil, err
	}
	data, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encode HEAD: %w", err)
	}
	return data, nil
}

// Decode reads HEAD. An unknown format is a *FormatError, whatever else the bytes hold.
func Decode(data []byte) (Head, error) {
	var format struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(data, &format); err != nil {
		return Head{}, fmt.Errorf("%w: %w", ErrHead, err)
	}
	if format.Format > FormatVersion {
		return Head{}, &FormatError{format.Format}
	}
	var h Head
	if err := json.Unmarshal(data, &h); err != nil {
		return Head{}, fmt.Errorf("%w: %w", ErrHead, err)
	}
	return h, h.check()
}

// check refuses a HEAD that later steps could not rely on.
func (h Head) check() error {
	_, err := timeline.ParseInstant(string(h.Instant))
	if err == nil && h.Completion != "" {
		_, err = timeline.ParseInstant(string(h.Completion))
	}
	var reason string
	switch {
	case h.Format < 1 || h.Format > FormatVersion:
		reason = fmt.Sprintf("format %d", h.Format)
	case h.WriteID == "":
		reason = "no write id"
	case h.Epoch < 0 || h.Sequence < 0:
		reason = "negative epoch or sequence"
	case h.CommitID == "" || len(h.History) == 0 || len(h.History) > HistoryLength || h.History[0] != h.CommitID:
		reason = "history does not begin with the commit id"
	case int64(len(h.History)) > h.Sequence+1:
		reason = "history is longer than there were commits"
	case err != nil || !strings.HasPrefix(timeline.Folder+string(h.Instant), timeline.Prefix):
		reason = fmt.Sprintf("instant %q, completed at %q", h.Instant, h.Completion)
	case h.Completion != "" && h.Completion <= h.Instant:
		reason = fmt.Sprintf("instant %q completed at %q", h.Instant, h.Completion)
	case !h.Action.Writes():
		reason = fmt.Sprintf("action %q", h.Action)
	case h.Undo != nil && (h.Undo.Action != timeline.Restore && h.Undo.Action != timeline.Rollback || h.Undo.Instant <= h.Instant):
		reason = fmt.Sprintf("undo by %q %q of what follows %s", h.Undo.Action, h.Undo.Instant, h.Instant)
	case len(h.Undone) > UndoneLength:
		reason = "remembers too many undone commits"
	case h.Staged != nil && (!strings.HasPrefix(h.Staged.Key, StagedFolder) || len(h.Completed) > 0):
		reason = "staged copy elsewhere, or beside an inline one"
	default:
		return h.checkOffsets()
	}
	return fmt.Errorf("%s: %w", reason, ErrHead)
}

func (h Head) checkOffsets() error {
	for stream, partitions := range h.Offsets {
		for p, next := range partitions {
			if p < 0 || next < 0 {
				return fmt.Errorf("offset %d of %s/%d: %w", next, stream, p, ErrHead)
			}
		}
	}
	return nil
}

// Entry is the last commit's timeline entry.
func (h Head) Entry() timeline.Entry {
	e := timeline.Entry{Instant: h.Instant, Action: h.Action, State: timeline.Completed}
	if h.Completion != "" {
		e.Layout, e.Completion = timeline.Layout2, h.Completion
	}
	return e
}

// Last is the later of the last commit's instant and its completion.
func (h Head) Last() timeline.Instant { return max(h.Instant, h.Completion) }

// Committed says whether a commit, by its id and sequence, is in the history; known is false when the history does not reach back that far
// or HEAD is older than the commit.
func (h Head) Committed(id string, sequence int64) (yes, known bool) {
	back := h.Sequence - sequence
	if back < 0 || back >= int64(len(h.History)) {
		return false, false
	}
	return h.History[back] == id, true
}

// Follow is the HEAD after a commit on top of h, all but what the caller fills in: instant, completed file, offsets and watermark.
func (h Head) Follow(commitID, writeID string, now time.Time) Head {
	next := h
	next.WriteID, next.CommitID = writeID, commitID
	next.Sequence++
	next.History = append([]string{commitID}, h.History[:min(len(h.History), HistoryLength-1)]...)
	next.Completed, next.Staged, next.Undo = nil, nil, nil
	next.CompletedAt = now.UTC().Truncate(time.Millisecond)
	if !next.CompletedAt.After(h.CompletedAt) {
		next.CompletedAt = h.CompletedAt.Add(time.Millisecond)
	}
	next.Offsets = make(map[string]map[int32]int64, len(h.Offsets))
	for stream, partitions := range h.Offsets {
		next.Offsets[stream] = maps.Clone(partitions)
	}
	return next
}

// Back is the HEAD after an undo by which the commit of an entry is the last one again, all but what the caller fills in: completed file,
// time of completion, offsets and watermark. An undo takes a place in the sequence as a commit does, so that the history stays true of what it
// says: the undone commits did happen.
func (h Head) Back(to timeline.Entry, undo Undo, undone []timeline.Instant, commitID, writeID string) Head {
	next := h.Follow(commitID, writeID, h.CompletedAt)
	next.Instant, next.Completion, next.Action, next.Undo = to.Instant, to.Completion, to.Action, &undo
	next.Offsets, next.Watermark = nil, time.Time{}
	all := slices.Concat(h.Undone, undone)
	slices.Sort(all)
	next.Undone = all[max(0, len(all)-UndoneLength):]
	return next
}

// Clone is a copy that shares nothing.
func (h Head) Clone() Head {
	c := h
	c.History, c.Completed = slices.Clone(h.History), slices.Clone(h.Completed)
	if h.Staged != nil {
		staged := *h.Staged
		c.Staged = &staged
	}
	if h.Undo != nil {
		undo := *h.Undo
		c.Undo = &undo
	}
	c.Undone = slices.Clone(h.Undone)
	c.Offsets = make(map[string]map[int32]int64, len(h.Offsets))
	for stream, partitions := range h.Offsets {
		c.Offsets[stream] = maps.Clone(partitions)
	}
	return c
}
