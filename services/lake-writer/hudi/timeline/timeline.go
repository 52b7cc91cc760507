package timeline

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Action is what an instant does.
type Action string

// The actions. Clustering exists in layout 2 only; in layout 1 it is requested as a ReplaceCommit.
const (
	Commit        Action = "commit"
	DeltaCommit   Action = "deltacommit"
	ReplaceCommit Action = "replacecommit"
	Clustering    Action = "clustering"
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
	Layout  Layout // that names the entry's file

	// Completion is when a completed entry of layout 2 completed, for the name says so. It is empty for other entries, and for files
	// that kept their name when their table was upgraded: Hudi takes the time of the file's modification for them.
	Completion Instant
}

// completedAction is the action under which a pending one completes: a compaction becomes a commit.
func (a Action) completedAction() Action {
	switch a {
	case Clustering:
		return ReplaceCommit
	case Compaction:
		return Commit
	case LogCompaction:
		return DeltaCommit
	default:
		return a
	}
}

// known reports whether the action belongs to a layout.
func (a Action) known(l Layout) bool {
	switch a {
	case Clustering:
		return l == Layout2
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

// FileName is the entry's file name. The inflight name of a commit has no action word.
func (e Entry) FileName() string {
	switch {
	case e.State == Completed && e.Layout == Layout2 && e.Completion != "":
		return string(e.Instant) + "_" + string(e.Completion) + "." + string(e.Action.completedAction())
	case e.State == Completed:
		return string(e.Instant) + "." + string(e.Action.completedAction())
	case e.State == Inflight && e.Action == Commit:
		return string(e.Instant) + ".inflight"
	default:
		return string(e.Instant) + "." + string(e.Action) + "." + string(e.State)
	}
}

// Key is the entry's storage key.
func (e Entry) Key() string { return e.Layout.Folder() + e.FileName() }

// In is the same instant in another state. A pending state has no completion time.
func (e Entry) In(s State) Entry {
	e.State = s
	if s != Completed {
		e.Completion = ""
	}
	return e
}

// At is the instant completed at a time, which only names of layout 2 say.
func (e Entry) At(completion Instant) Entry {
	e.State = Completed
	if e.Layout == Layout2 {
		e.Completion = completion
	}
	return e
}

// Finished is the completed entry of a table service that writes no data: clean, rollback, restore. In layout 2 it completes a millisecond
// after its instant. That follows from the instant alone, so that whoever repeats the service's last step writes the same file.
func (e Entry) Finished() Entry { return e.At(Next(time.Time{}, e.Instant)) }

// latest is the last of the entry's times. One of a pending service is when it is going to complete.
func (e Entry) latest() Instant {
	if e.Layout == Layout2 && e.State != Completed && !e.Action.Writes() {
		return e.Finished().Completion
	}
	return max(e.Instant, e.Completion)
}

// ParseFileName reads a name of layout 1; ok is false for every other file, which readers must ignore.
func ParseFileName(name string) (e Entry, ok bool) { return Layout1.ParseFileName(name) }

// ParseFileName reads a name of the layout; ok is false for every other file, which readers must ignore.
func (l Layout) ParseFileName(name string) (e Entry, ok bool) {
	times, rest, found := strings.Cut(name, ".")
	digits, completion, hasCompletion := strings.Cut(times, "_")
	if _, err := ParseInstant(digits); !found || err != nil {
		return Entry{}, false
	}
	if _, err := ParseInstant(completion); hasCompletion && err != nil {
		return Entry{}, false
	}
	e = Entry{Instant: Instant(digits), Layout: l, Completion: Instant(completion)}
	action, state, hasState := strings.Cut(rest, ".")
	switch {
	case hasState:
		e.Action, e.State = Action(action), State(state)
	case action == string(Inflight):
		e.Action, e.State = Commit, Inflight
	default:
		e.Action, e.State = Action(action), Completed
	}
	// Only names that this package would write are names of the timeline.
	if !e.Action.known(l) || e.State == Completed && e.Action.completedAction() != e.Action || e.FileName() != name {
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
	layout   Layout
	entries  []Entry
	archived map[Instant]Instant // completion times of writes that are no longer active; nil where nobody asked for them
}

// New orders file names of layout 1 (without their folder) into a timeline. Names that it does not know are ignored.
func New(names []string) *Timeline { return NewLayout(Layout1, names) }

// NewLayout orders a layout's file names (without their folder) into a timeline. Names that it does not know are ignored.
func NewLayout(l Layout, names []string) *Timeline {
	type id struct {
		instant Instant
		action  Action
	}
	furthest := make(map[id]Entry, len(names))
	for _, name := range names {
		e, ok := l.ParseFileName(name)
		if !ok {
			continue
		}
		k := id{e.Instant, e.Action.completedAction()}
		if old, seen := furthest[k]; !seen || cmp.Or(cmp.Compare(rank(e.State), rank(old.State)), cmp.Compare(old.Completion, e.Completion)) > 0 {
			furthest[k] = e
		}
	}
	t := &Timeline{layout: l, entries: make([]Entry, 0, len(furthest))}
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

// Last is the newest instant or completion time of any action and state, "" for an empty timeline. A new one must be later.
func (t *Timeline) Last() Instant {
	var last Instant
	for _, e := range t.entries {
		last = max(last, e.latest())
	}
	return last
}

// Layout is the layout of the timeline's entries.
func (t *Timeline) Layout() Layout { return t.layout }

// Committed reports whether files named after the instant count: its write completed, or it is before the start of the active timeline
// and so was archived. The timeline starts with its first completed write (HoodieDefaultTimeline.containsOrBeforeTimelineStarts); in
// layout 2, where pending writes may be older than completed ones, with its first write of any state (CompletionTimeQueryViewV2).
func (t *Timeline) Committed(i Instant) bool {
	started := false
	for _, e := range t.entries {
		if !e.Action.Writes() || e.State != Completed && t.layout == Layout1 {
			continue
		}
		if i < e.Instant {
			return !started
		}
		if i == e.Instant && e.State == Completed {
			return true
		}
		started = true
	}
	return false
}

// WithArchived is the timeline that knows, besides, when archived writes completed.
func (t *Timeline) WithArchived(completions map[Instant]Instant) *Timeline {
	c := *t
	c.archived = completions
	return &c
}

// CompletionOf is when the write of an instant completed. It is false for an instant whose write is not known to have completed, and
// for those that do not say when: all of layout 1, and files named before their table was upgraded to layout 2.
func (t *Timeline) CompletionOf(i Instant) (Instant, bool) {
	from, _ := slices.BinarySearchFunc(t.entries, i, func(e Entry, i Instant) int { return cmp.Compare(e.Instant, i) })
	for _, e := range t.entries[from:] {
		if e.Instant != i {
			break
		}
		if e.State == Completed && e.Action.Writes() && e.Completion != "" {
			return e.Completion, true
		}
	}
	at, ok := t.archived[i]
	return at, ok
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
	return &Timeline{layout: t.layout, entries: t.filter(func(e Entry) bool { return e.Instant <= i }), archived: t.archived}
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
