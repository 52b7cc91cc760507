// Package rollup makes one row per playback session out of the session's events.
//
// It owns what a session's numbers mean, the state from which a row is made and that the row carries, and the schema of the
// table of sessions. Reading Kafka, the order of commits and the table itself are for others. It is pure: no clock, no network.
//
// # Exactness
//
// The numbers of a session are those that a computation over all its distinct events in the order of their sequence would
// give, in whatever order and however often the events arrive. A state therefore does not hold "the last event seen" but
// runs: maximal stretches of consecutive sequence numbers. A run is an element of a monoid (type run): it knows what its
// events contribute whatever came before them, with the time whose meaning depends on what came before kept apart, and two
// runs that meet are combined exactly. An event inside a run is a duplicate. A row is the combination of all runs in order,
// computed anew for each row: what a gap contributes is never stored, so an event that fills the gap later corrects it.
//
// Exactness has one limit, MaxRuns.
package rollup

import (
	"errors"
	"math"
	"slices"
)

// MaxRuns bounds the runs of a state, and so its size. Where an event makes one more, the narrowest gap is given up: the
// runs beside it are combined for good, its events are duplicates from then on, and State.GapsGivenUp counts it.
const MaxRuns = 64

// ErrOverlap is returned by Merge for two states that saw some of the same events.
var ErrOverlap = errors.New("the two states share a part of their events")

// State is all that is known of one session. Equal sets of events give equal states, and equal bytes of them. The zero value is a
// session without events.
type State struct {
	start   int64
	givenUp int64
	runs    []run
}

// Reset empties the state and keeps its memory.
func (s *State) Reset() { s.start, s.givenUp, s.runs = 0, 0, s.runs[:0] }

// Empty reports whether the state has seen no event.
func (s *State) Empty() bool { return len(s.runs) == 0 }

// GapsGivenUp counts the gaps that MaxRuns closed.
func (s *State) GapsGivenUp() int64 { return s.givenUp }

// Apply adds an event. It reports false for one that was seen before, which changes nothing.
func (s *State) Apply(e *Event) bool {
	last := len(s.runs) - 1
	if last >= 0 && follows(s.runs[last].last, e.Sequence) {
		s.runs[last].add(e)
		s.began(e.Start)
		return true
	}
	at, seen := s.find(e.Sequence)
	if seen {
		return false
	}
	s.began(e.Start)
	before := at > 0 && follows(s.runs[at-1].last, e.Sequence)
	after := at < len(s.runs) && follows(e.Sequence, s.runs[at].first)
	switch {
	case before:
		s.runs[at-1].add(e)
		if after {
			s.join(at - 1)
		}
	case after:
		var r run
		r.add(e)
		r.concat(&s.runs[at])
		s.runs[at] = r
	default:
		var r run
		r.add(e)
		s.runs = slices.Insert(s.runs, at, r)
		s.bound()
	}
	return true
}

// Merge adds what another state of the same session has seen. A run of one that lies within a run of the other is taken for
// duplicates. Runs that overlap otherwise cannot be told apart any more: Merge returns ErrOverlap and changes nothing; the
// caller has to apply the events themselves.
func (s *State) Merge(other *State) error {
	if other.Empty() {
		return nil
	}
	merged := make([]run, 0, len(s.runs)+len(other.runs))
	for a, b := s.runs, other.runs; len(a) > 0 || len(b) > 0; {
		if len(a) == 0 || len(b) > 0 && earlier(&b[0], &a[0]) {
			a, b = b, a
		}
		switch next := &a[0]; {
		case len(merged) == 0 || merged[len(merged)-1].last < next.first:
			merged = append(merged, *next)
		case next.last > merged[len(merged)-1].last:
			return ErrOverlap
		}
		a = a[1:]
	}
	if s.Empty() {
		s.start = other.start
	}
	s.runs = merged
	s.began(other.start)
	s.givenUp += other.givenUp
	for i := len(s.runs) - 2; i >= 0; i-- {
		if follows(s.runs[i].last, s.runs[i+1].first) {
			s.join(i)
		}
	}
	s.bound()
	return nil
}

// earlier orders runs by their first number, the longer before the shorter.
func earlier(a, b *run) bool {
	return a.first < b.first || a.first == b.first && a.last > b.last
}

// began notes the session's start as an event tells it. All events of a session tell the same; if not, the least counts,
// whatever the order.
func (s *State) began(start int64) {
	if len(s.runs) == 0 || start < s.start {
		s.start = start
	}
}

// find returns the first run that does not end before a sequence number, and whether the number is in it.
func (s *State) find(sequence int64) (at int, seen bool) {
	low, high := 0, len(s.runs)
	for low < high {
		if mid := (low + high) / 2; s.runs[mid].last < sequence {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, low < len(s.runs) && s.runs[low].first <= sequence
}

// join combines run i with the next.
func (s *State) join(i int) {
	s.runs[i].concat(&s.runs[i+1])
	s.runs = slices.Delete(s.runs, i+1, i+2)
}

// bound gives up the narrowest gaps, the earliest of equals, until the runs are within MaxRuns.
func (s *State) bound() {
	for len(s.runs) > MaxRuns {
		at, least := 0, uint64(math.MaxUint64)
		for i := range len(s.runs) - 1 {
			// Unsigned, since the distance of two int64 may need all 64 bits.
			if gap := uint64(s.runs[i+1].first) - uint64(s.runs[i].last); gap < least {
				at, least = i, gap
			}
		}
		s.join(at)
		s.givenUp++
	}
}

// follows reports whether b is the number after a.
func follows(a, b int64) bool { return b > a && b-1 == a }

// total combines all runs: the session as far as it is known.
func (s *State) total() run {
	all := s.runs[0]
	for i := range s.runs[1:] {
		all.concat(&s.runs[i+1])
	}
	return all
}
