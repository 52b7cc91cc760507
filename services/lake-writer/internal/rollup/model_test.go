package rollup

import (
	"bytes"
	"cmp"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// compute is the roll-up as one would write it with all events at hand: sort, take each number once, walk. It shares nothing
// with the state but the types.
func compute(events []Event) Session {
	events = slices.Clone(events)
	slices.SortStableFunc(events, func(a, b Event) int { return cmp.Compare(a.Sequence, b.Sequence) })
	events = slices.CompactFunc(events, func(a, b Event) bool { return a.Sequence == b.Sequence })
	first, last := events[0], events[len(events)-1]
	m := model{bitrate: -1, out: Session{Start: first.Start, Events: int64(len(events)), LastSequence: last.Sequence}}
	m.out.Missing = last.Sequence - min(first.Sequence, 0) + 1 - m.out.Events
	for _, e := range events {
		m.out.Start = min(m.out.Start, e.Start)
		if m.out.EndReason != "" {
			m.out.AfterEnd++
			continue
		}
		m.pass(e)
		m.turn(e)
	}
	if m.lit > 0 {
		m.out.BitrateKnown, m.out.BitrateAverage = true, float64(m.weighted)/float64(m.lit)
	}
	return m.out
}

type model struct {
	out                     Session
	begun                   bool
	inBuffer, inPause, inAd bool
	bitrate                 int32
	weighted, lit           int64
}

// pass counts the time until an event.
func (m *model) pass(e Event) {
	step := max(0, e.Time-m.out.LastTime)
	m.out.LastTime = e.Time
	if !m.begun {
		m.begun = true
		return
	}
	short := min(step, 300_000_000)
	switch {
	case m.inBuffer:
		m.out.Rebuffer += short
	case m.inPause:
		m.out.Pause += step
	case m.inAd:
		m.out.Ad += short
	default:
		m.out.Watch += short
		if m.bitrate >= 0 {
			m.weighted += short * int64(m.bitrate)
			m.lit += short
		}
	}
}

// turn does what an event says.
func (m *model) turn(e Event) {
	switch e.Kind {
	case Start:
		m.inBuffer, m.inPause, m.inAd = false, false, false
	case Pause:
		m.inPause = true
		m.out.Pauses++
	case Resume:
		m.inPause = false
	case Seek:
		m.out.Seeks++
	case BufferStart:
		m.inBuffer = true
		m.out.Rebuffers++
	case BufferEnd:
		m.inBuffer = false
	case AdStart:
		m.inAd = true
		m.out.Ads++
	case AdEnd:
		m.inAd = false
	case Stop:
		m.out.EndReason = "stop"
	}
	if e.Error {
		m.out.Errors++
		if e.Fatal {
			m.out.EndReason = "error"
		}
	}
	if e.Bitrate >= 0 {
		if m.bitrate >= 0 && m.bitrate != e.Bitrate {
			m.out.BitrateChanges++
		}
		m.bitrate = e.Bitrate
	}
	if e.HasPosition {
		if !m.out.PositionKnown || e.Position > m.out.MaxPosition {
			m.out.MaxPosition = e.Position
		}
		m.out.PositionKnown, m.out.LastPosition = true, e.Position
	}
}

// late is a minute before midnight: sessions that begin there cross hours and days.
var late = time.Date(2026, 2, 28, 23, 59, 0, 0, time.UTC).UnixMicro()

// session makes the events of a random session: some numbers missing, bitrates and positions not always told, clocks set back, silences, ends
// with events after them.
func session(r *rand.Rand) []Event {
	n := 1 + r.IntN(60)
	at, loss := late, r.Float64()*r.Float64()
	var events []Event
	for i := range n {
		at += r.Int64N(40_000_000)
		switch r.IntN(30) {
		case 0:
			at -= r.Int64N(7200_000_000)
		case 1:
			at += r.Int64N(4 * 3600_000_000)
		}
		e := Event{Session: []byte("s"), Start: late, Time: at, Sequence: int64(i), Bitrate: -1, Kind: Kind(r.IntN(int(Fault) + 1))}
		if i == 0 && r.IntN(4) > 0 {
			e.Kind = Start
		} else if r.IntN(2) == 0 || e.Kind == Start && r.IntN(4) > 0 {
			e.Kind = Other
		}
		if r.IntN(3) > 0 {
			e.Bitrate = int32(r.IntN(4) * 1000)
		}
		if r.IntN(4) > 0 {
			e.HasPosition, e.Position = true, r.Int64N(1000)-100
		}
		e.Error = e.Kind == Fault
		e.Fatal = e.Error && r.IntN(6) == 0
		if i > n-4 && r.IntN(3) == 0 {
			e.Kind, e.Error, e.Fatal = Stop, false, false
		}
		if len(events) == 0 && i == n-1 || r.Float64() >= loss {
			events = append(events, e)
		}
	}
	return events
}

// shuffled returns the events in a random order with some of them twice or more: now anywhere, now near their place.
func shuffled(r *rand.Rand, events []Event) []Event {
	out := slices.Clone(events)
	for range r.IntN(len(events) + 1) {
		out = append(out, events[r.IntN(len(events))])
	}
	if r.IntN(2) == 0 {
		r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
		return out
	}
	order := make(map[int64]float64)
	for _, e := range events {
		order[e.Sequence] = float64(e.Sequence) + r.Float64()*8
	}
	slices.SortStableFunc(out, func(a, b Event) int { return cmp.Compare(order[a.Sequence], order[b.Sequence]) })
	return out
}

func apply(t *testing.T, s *State, events []Event) {
	t.Helper()
	for i := range events {
		before := s.Append(nil)
		changed := s.Apply(&events[i])
		if same := bytes.Equal(before, s.Append(nil)); same == changed {
			t.Fatalf("Apply says changed: %t, but the state did: %t", changed, !same)
		}
	}
}

// TestModel: whatever the order, the duplicates and the restarts in between, the state is the same, and it says what a
// computation over all events says.
func TestModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 9))
		events := session(r)
		want := compute(events)
		var inOrder State
		apply(t, &inOrder, events)
		bytesWant := inOrder.Append(nil)
		for range 3 {
			var s State
			for rest := shuffled(r, events); len(rest) > 0; {
				n := 1 + r.IntN(len(rest))
				apply(t, &s, rest[:n])
				rest = rest[n:]
				if err := s.Parse(s.Append(nil)); err != nil { // the row is all that a restart leaves
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
			if got := s.Append(nil); !bytes.Equal(got, bytesWant) {
				t.Fatalf("seed %d: the order of arrival shows:\n%+v\n%+v", seed, s, inOrder)
			}
			if got := s.Session(); got != want {
				t.Fatalf("seed %d: got\n%+v, want\n%+v", seed, got, want)
			}
		}
	}
}

// TestProvisional: at every moment the row is that of the events seen until then.
func TestProvisional(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 11))
		events := shuffled(r, session(r))
		var s State
		for i := range events {
			s.Apply(&events[i])
			if got, want := s.Session(), compute(events[:i+1]); got != want {
				t.Fatalf("seed %d, event %d: got\n%+v, want\n%+v", seed, i, got, want)
			}
		}
	}
}

// TestMerge: states of disjoint events merge, in any order and grouping, to the state of all of them.
func TestMerge(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 10))
		events := session(r)
		var want State
		apply(t, &want, events)
		parts := make([]State, 1+r.IntN(5))
		for i := range events {
			parts[r.IntN(len(parts))].Apply(&events[i])
		}
		for len(parts) > 1 {
			i := r.IntN(len(parts) - 1)
			j := i + 1 + r.IntN(len(parts)-i-1)
			if r.IntN(2) == 0 {
				parts[i], parts[j] = parts[j], parts[i]
			}
			if err := parts[i].Merge(&parts[j]); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			parts = slices.Delete(parts, j, j+1)
		}
		if !bytes.Equal(parts[0].Append(nil), want.Append(nil)) {
			t.Fatalf("seed %d: merged\n%+v, want\n%+v", seed, parts[0], want)
		}
	}
}

func numbered(from, to int64) []Event {
	var events []Event
	for i := from; i <= to; i++ {
		events = append(events, Event{Start: late, Time: late + i*1_000_000, Sequence: i, Bitrate: -1})
	}
	return events
}

func TestMergeOverlap(t *testing.T) {
	t.Parallel()
	state := func(from, to int64) *State {
		s := &State{}
		apply(t, s, numbered(from, to))
		return s
	}
	a := state(0, 10)
	before := a.Append(nil)
	if err := a.Merge(state(5, 11)); !errors.Is(err, ErrOverlap) {
		t.Errorf("merging overlapping states: %v", err)
	}
	if err := a.Merge(state(5, 10)); err != nil {
		t.Errorf("merging duplicates: %v", err)
	}
	if !bytes.Equal(a.Append(nil), before) {
		t.Error("the state changed")
	}
	b := state(3, 4)
	if err := b.Merge(a); err != nil || !bytes.Equal(b.Append(nil), before) {
		t.Errorf("a state within the other: %+v, %v", b, err)
	}
}

// TestMaxRuns: beyond the bound the narrowest gaps are given up, which is counted, and what was in them is taken for duplicates.
func TestMaxRuns(t *testing.T) {
	t.Parallel()
	var s State
	next := int64(0)
	for i := range int64(MaxRuns) {
		apply(t, &s, numbered(next, next))
		next += 3
		if i == 40 {
			next-- // the narrowest gap follows number 120
		}
	}
	if s.GapsGivenUp() != 0 || len(s.runs) != MaxRuns {
		t.Fatalf("%d runs, %d gaps given up", len(s.runs), s.GapsGivenUp())
	}
	apply(t, &s, numbered(1000, 1000))
	if s.GapsGivenUp() != 1 || len(s.runs) != MaxRuns {
		t.Fatalf("%d runs, %d gaps given up", len(s.runs), s.GapsGivenUp())
	}
	if e := numbered(121, 121); s.Apply(&e[0]) {
		t.Error("an event of the gap that was given up was taken")
	}
	if e := numbered(118, 118); !s.Apply(&e[0]) {
		t.Error("an event of another gap was not taken")
	}
	if got := s.Session(); got.Events != MaxRuns+2 || got.Missing != 1001-MaxRuns-2 || got.Watch != 488_000_000 { // the silence before number 1000 is cut
		t.Errorf("session is %+v", got)
	}
	if n := len(s.Append(nil)); n > 4096 {
		t.Errorf("a full state of plain events takes %d bytes", n)
	}
}

// TestEnds: the first end in the order of the sequence counts, and nothing reopens a session.
func TestEnds(t *testing.T) {
	t.Parallel()
	kinds := func(list ...Kind) []Event {
		events := numbered(0, int64(len(list))-1)
		for i, k := range list {
			events[i].Kind = k
			events[i].Error = k == Fault
			events[i].Fatal = k == Fault
		}
		return events
	}
	for _, c := range []struct {
		name     string
		events   []Event
		reason   string
		afterEnd int64
		watch    int64
	}{
		{"open", kinds(Start, Other, Pause), "", 0, 2_000_000},
		{"stop", kinds(Start, Other, Stop), "stop", 0, 2_000_000},
		{"fatal error, then stop", kinds(Start, Fault, Stop), "error", 1, 1_000_000},
		{"heartbeat after stop", kinds(Start, Stop, Other, Pause), "stop", 2, 1_000_000},
		{"start after stop", kinds(Start, Stop, Start, Other, Fault), "stop", 3, 1_000_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, backwards := range []bool{false, true} {
				events := slices.Clone(c.events)
				if backwards {
					slices.Reverse(events)
				}
				var s State
				apply(t, &s, events)
				got := s.Session()
				if got.EndReason != c.reason || got.AfterEnd != c.afterEnd || got.Watch != c.watch || (got.Life() == Open) != (c.reason == "") {
					t.Errorf("backwards %t: session is %+v", backwards, got)
				}
			}
		})
	}
}

// TestExtremes: no values make numbers wrap around, or depend on the order.
func TestExtremes(t *testing.T) {
	t.Parallel()
	odd := []int64{math.MinInt64, math.MinInt64 + 1, -1, 0, 1, 2, 3, math.MaxInt64 - 1, math.MaxInt64}
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 12))
		var events []Event
		for _, n := range odd {
			events = append(events, Event{
				Start: late, Sequence: n, Time: odd[r.IntN(len(odd))], Bitrate: math.MaxInt32, Kind: Kind(r.IntN(int(Fault))),
				HasPosition: true, Position: odd[r.IntN(len(odd))],
			})
		}
		var want []byte
		for range 4 {
			var s State
			apply(t, &s, events)
			got := s.Append(nil)
			if want != nil && !bytes.Equal(got, want) {
				t.Fatalf("seed %d: the order of arrival shows", seed)
			}
			want = got
			if err := s.Parse(got); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if v := s.Session(); min(v.Watch, v.Pause, v.Ad, v.Rebuffer) < 0 || v.BitrateAverage < 0 || v.Events != int64(len(odd)) {
				t.Fatalf("seed %d: %+v", seed, v)
			}
			r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		}
	}
}

// TestStartsDiffer: of differing starts the least counts, whatever the order.
func TestStartsDiffer(t *testing.T) {
	t.Parallel()
	for _, at := range [][2]int64{{5, 7}, {7, 5}} {
		var s State
		for i, start := range at {
			s.Apply(&Event{Start: start, Sequence: int64(i), Bitrate: -1})
		}
		if got := s.Session().Start; got != 5 {
			t.Errorf("starts %v: %d", at, got)
		}
	}
}
