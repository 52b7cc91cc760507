package timeline

import (
	"cmp"
	"slices"
	"strings"
)

// Action is what an instant does.
type Action string

// The actions of layout 1.
const (
	Commit        Action = "commit"
	DeltaCommit   Action = "deltacommit"
	ReplaceCommit Action = "replacecommit"
	Compaction    Action = "compaction"
	LogCompaction Action = "logcompaction"
	Clean         Action = "clean"
	Rollback      Action = "rollback"
	Savepoint     Action = "savepoint"
	Restore       Action = "restore"
	Indexing      Action = "indexing"
)

// State is how far an action has come.
type State string

// The states, in their order.
const (
	Requested State = "requested"
	Inflight  State = "inflight"
	Completed State = "completed"
)

// Entry is one instant of a timeline, in the furthest of its states.
type Entry struct {
	Instant Instant
	Action  Action
	State   State
}

// completedAction is the action under which a pending one completes: in layout 1 a compaction becomes a commit.
func (a Action) completedAction() Action {
	switch a {
	case Compaction:
		return Commit
	case LogCompaction:
		return DeltaCommit
	default:
		return a
	}
}

// known reports whether the action belongs to layout 1.
func (a Action) known() bool {
	switch a {
	case Commit, DeltaCommit, ReplaceCommit, Compaction, LogCompaction, Clean, Rollback, Savepoint, Restore, Indexing:
		return true
	default:
		return false
	}
}

// Writes reports whether a completed entry of the action can bring data files (HoodieTimeline.getWriteTimeline).
func (a Action) Writes() bool {
	switch a.completedAction() {
	case Commit, DeltaCommit, ReplaceCommit:
		return true
	default:
		return false
	}
}

// Folder holds the timeline's files in layout 1, and Prefix is what their keys begin with: instants of the years 2000 to 2999.
// Listing by it leaves out .hoodie/metadata, archived and .temp, which may hold many more objects than the timeline.
const (
	Folder = ".hoodie/"
	Prefix = Folder + "2"
)

// FileName is the entry's file name in layout 1. The inflight name of a commit has no action word.
func (e Entry) FileName() string {
	switch {
	case e.State == Completed:
		return string(e.Instant) + "." + string(e.Action.completedAction())
	case e.State == Inflight && e.Action == Commit:
		return string(e.Instant) + ".inflight"
	default:
		return string(e.Instant) + "." + string(e.Action) + "." + string(e.State)
	}
}

// Key is the entry's storage key.
func (e Entry) Key() string { return Folder + e.FileName() }

// In is the same instant in another state.
func (e Entry) In(s State) Entry {
	e.State = s
	return e
}

// ParseFileName reads a name of layout 1; ok is false for every other file, which readers must ignore.
func ParseFileName(name string) (e Entry, ok bool) {
	digits, rest, found := strings.Cut(name, ".")
	if _, err := ParseInstant(digits); !found || err != nil {
		return Entry{}, false
	}
	action, state, hasState := strings.Cut(rest, ".")
	switch {
	case hasState:
		e = Entry{Instant(digits), Action(action), State(state)}
	case action == string(Inflight):
		e = Entry{Instant(digits), Commit, Inflight}
	default:
		e = Entry{Instant(digits), Action(action), Completed}
	}
	// Only names that this package would write are names of the timeline.
	if !e.Action.known() || e.State == Completed && e.Action.completedAction() != e.Action || e.FileName() != name {
		return Entry{}, false
	}
	switch e.State {
	case Requested, Inflight, Completed:
		return e, true
	default:
		return Entry{}, false
	}
}

// Timeline is the active timeline: every instant once, ascending.
type Timeline struct {
	entries []Entry
}

// New orders file names (without their folder) into a timeline. Names that it does not know are ignored.
func New(names []string) *Timeline {
	type id struct {
		instant Instant
		action  Action
	}
	furthest := make(map[id]Entry, len(names))
	for _, name := range names {
		e, ok := ParseFileName(name)
		if !ok {
			continue
		}
		k := id{e.Instant, e.Action.completedAction()}
		if old, seen := furthest[k]; !seen || rank(e.State) > rank(old.State) {
			furthest[k] = e
		}
	}
	t := &Timeline{entries: make([]Entry, 0, len(furthest))}
	for _, e := range furthest {
		t.entries = append(t.entries, e)
	}
	slices.SortFunc(t.entries, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Instant, b.Instant), cmp.Compare(a.Action, b.Action))
	})
	return t
}

func rank(s State) int {
	switch s {
	case Completed:
		return 2
	case Inflight:
		return 1
	default:
		return 0
	}
}

// Entries are all instants, ascending. The slice is the caller's.
func (t *Timeline) Entries() []Entry { return slices.Clone(t.entries) }

// Pending are the instants that have not completed, ascending.
func (t *Timeline) Pending() []Entry {
	return t.filter(func(e Entry) bool { return e.State != Completed })
}

// Commits are the completed instants that can bring data files, ascending.
func (t *Timeline) Commits() []Entry {
	return t.filter(func(e Entry) bool { return e.State == Completed && e.Action.Writes() })
}

// Last is the newest instant of any action and state, "" for an empty timeline. A new one must be later.
func (t *Timeline) Last() Instant {
	if len(t.entries) == 0 {
		return ""
	}
	return t.entries[len(t.entries)-1].Instant
}

// Committed reports whether files named after the instant count: its write completed, or it is before the first completed write
// of the active timeline and so was archived (HoodieDefaultTimeline.containsOrBeforeTimelineStarts).
func (t *Timeline) Committed(i Instant) bool {
	for n, e := range t.Commits() {
		if i <= e.Instant {
			return i == e.Instant || n == 0
		}
	}
	return false
}

// Find returns the entry of an instant whose action completes as a.
func (t *Timeline) Find(i Instant, a Action) (Entry, bool) {
	for _, e := range t.entries {
		if e.Instant == i && e.Action.completedAction() == a.completedAction() {
			return e, true
		}
	}
	return Entry{}, false
}

// Until is the timeline up to and including an instant: what a reader of that time sees.
func (t *Timeline) Until(i Instant) *Timeline {
	return &Timeline{entries: t.filter(func(e Entry) bool { return e.Instant <= i })}
}

func (t *Timeline) filter(keep func(Entry) bool) []Entry {
	var kept []Entry
	for _, e := range t.entries {
		if keep(e) {
			kept = append(kept, e)
		}
	}
	return kept
}
