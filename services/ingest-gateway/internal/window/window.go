// Package window keeps the messages of one sender that are not yet acknowledged, in order, and tells how far a cumulative ack may go.
// It is pure: no clock, no lock; the caller brings both.
package window

// Entry is a message in the window.
type Entry[T any] struct {
	Seq    uint64
	Charge int64 // what the message holds of its sender's budget
	Value  T     // the caller's own
	open   int   // events without an answer
}

// Window holds messages from the oldest unacknowledged one on. The zero value is empty and expects seq 1 first.
type Window[T any] struct {
	entries []Entry[T] // entries[head:] are in the window
	head    int
	popped  uint64 // seq of the newest message that left
	charged int64
}

// Add puts the next message in, with the number of its events, and returns its seq.
func (w *Window[T]) Add(events int, charge int64, value T) uint64 {
	if w.head > 0 && len(w.entries) == cap(w.entries) { // move down before growing
		n := copy(w.entries, w.entries[w.head:])
		clear(w.entries[n:])
		w.entries, w.head = w.entries[:n], 0
	}
	seq := w.popped + uint64(len(w.entries)-w.head) + 1
	w.entries = append(w.entries, Entry[T]{Seq: seq, Charge: charge, Value: value, open: events})
	w.charged += charge
	return seq
}

// Settle says that n events of message seq have their answer.
func (w *Window[T]) Settle(seq uint64, n int) {
	if i := seq - w.popped - 1; i < uint64(len(w.entries)-w.head) {
		w.entries[w.head+int(i)].open -= n
	}
}

// Pop takes the oldest message out when all of its events have their answer.
func (w *Window[T]) Pop() (Entry[T], bool) {
	if w.head == len(w.entries) || w.entries[w.head].open > 0 {
		return Entry[T]{}, false
	}
	e := w.entries[w.head]
	w.entries[w.head] = Entry[T]{}
	w.head++
	w.popped = e.Seq
	w.charged -= e.Charge
	if w.head == len(w.entries) {
		w.entries, w.head = w.entries[:0], 0
	}
	return e, true
}

// Len returns the number of messages in the window.
func (w *Window[T]) Len() int { return len(w.entries) - w.head }

// Charged returns the sum of the charges in the window.
func (w *Window[T]) Charged() int64 { return w.charged }
