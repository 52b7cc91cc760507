package rollup

import "unsafe"

// Key tells sessions apart. The hour is that of the session's start: a session id that comes back with another one is another session, since the
// table's partition of a row cannot change.
type Key struct {
	Hour    Hour
	Session string
}

// Batch holds the events between two commits by session, until it is known what the table has of these. It is not safe for concurrent use.
type Batch struct {
	sessions map[Key]chain
	events   []link
	names    int // bytes of the keys
}

// chain is a session's events in the order of arrival: places in Batch.events.
type chain struct{ head, tail int32 }

type link struct {
	event Event
	next  int32 // 0: the last, since the first event is no event's next
}

// NewBatch returns an empty batch.
func NewBatch() *Batch { return &Batch{sessions: make(map[Key]chain)} }

// Add adds an event. It keeps nothing of the bytes that e.Session is a part of.
func (b *Batch) Add(e Event) {
	name := e.Session
	e.Session = nil
	at := int32(len(b.events))
	b.events = append(b.events, link{event: e})
	hour := HourOf(e.Start)
	if c, ok := b.sessions[Key{hour, string(name)}]; ok {
		b.events[c.tail].next = at
		c.tail = at
		b.sessions[Key{hour, string(name)}] = c
		return
	}
	b.names += len(name)
	b.sessions[Key{hour, string(name)}] = chain{at, at}
}

// apply adds the events of a chain to a state, and reports whether there was a new one.
func (b *Batch) apply(s *State, c chain) bool {
	changed := false
	for at := c.head; ; at = b.events[at].next {
		changed = s.Apply(&b.events[at].event) || changed
		if at == c.tail {
			return changed
		}
	}
}

// Events is the number of events added.
func (b *Batch) Events() int { return len(b.events) }

// keyBytes is about what a session costs in a map beside its name.
const keyBytes = 64

// Bytes is about the memory that the batch holds, for the process's byte budget.
func (b *Batch) Bytes() int64 {
	return int64(cap(b.events))*int64(unsafe.Sizeof(link{})) + int64(b.names+len(b.sessions)*keyBytes)
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	clear(b.sessions)
	b.events, b.names = b.events[:0], 0
}
