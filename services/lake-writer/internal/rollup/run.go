package rollup

import (
	"math"
	"math/bits"
	"time"
)

// MaxSilence is the most that the time between two consecutive events counts as watching, rebuffering or an ad: a player sends heartbeats far
// more often, and one that said nothing for longer (a lid closed, an application in the background) is not known to have played.
// Pauses count whole.
const MaxSilence = 5 * time.Minute

const maxSilence = int64(MaxSilence / time.Microsecond)

// unknown stands for a bitrate that no event has told.
const unknown = -1

// How a session ended.
const (
	open = iota
	endedByStop
	endedByError
)

// run is what consecutive events of a session contribute, whatever came before them. Its events after the first that ended the session
// count in last and seen alone: nothing reopens a session.
//
// Runs form a monoid under concat, which is what makes a state independent of the order of arrival: add(e) is concat with the run of e
// alone, and concat is associative. All sums saturate instead of wrapping, which keeps that true: saturation of sums and products
// of numbers that are not negative does not depend on their order.
type run struct {
	first, last int64 // sequence numbers
	seen        int64 // events in [first, last], fewer than the numbers if a gap was given up

	// Up to and with the end of the session:
	counted             int64
	firstTime, lastTime int64 // microseconds
	level               level // after the last event
	ended               uint8
	counters            counters
	firstRate, lastRate int32 // the first and last bitrate told, or unknown
	position            position
	spent               [levels]spent // time by the level it was spent at
}

// counters are the sums over single events, and over bitrates that differ from the last one told.
type counters struct {
	pauses, seeks, rebuffers, ads, errors, rateChanges int64
}

// position is where in the title the events were.
type position struct {
	known     bool
	last, max int64
}

// spent is time in microseconds at one level.
type spent struct {
	whole int64 // as it is
	// Each step at most MaxSilence: dark while no bitrate was known, lit otherwise.
	dark, lit int64
	weighted  int64 // lit times the bitrate
}

// follow counts the time from the event before to one that comes now.
func (r *run) follow(now int64) {
	step := now - r.lastTime
	if now < r.lastTime {
		return // the player's clock was set back
	}
	if step < 0 {
		step = math.MaxInt64
	}
	at := &r.spent[r.level]
	at.whole = plus(at.whole, step)
	step = min(step, maxSilence)
	if r.lastRate == unknown {
		at.dark = plus(at.dark, step)
		return
	}
	at.lit = plus(at.lit, step)
	at.weighted = plus(at.weighted, times(step, int64(r.lastRate)))
}

// rate notes a bitrate.
func (r *run) rate(first, last int32) {
	if first == unknown {
		return
	}
	if r.lastRate == unknown {
		r.firstRate = first
	} else if r.lastRate != first {
		r.counters.rateChanges++
	}
	r.lastRate = last
}

// add appends an event. Added to the zero run it makes the run of one event.
func (r *run) add(e *Event) {
	if r.seen == 0 {
		r.first, r.firstTime, r.firstRate, r.lastRate = e.Sequence, e.Time, unknown, unknown
	}
	r.last = e.Sequence
	r.seen++
	if r.ended != open {
		return
	}
	if r.counted > 0 {
		r.follow(e.Time)
	}
	r.counted++
	r.lastTime = e.Time
	r.level = r.level.then(e.Kind.level())
	r.rate(e.Bitrate, e.Bitrate)
	if e.HasPosition {
		r.position = r.position.then(position{true, e.Position, e.Position})
	}
	r.count(e)
}

// count adds an event to the counters and sees whether it ends the session.
func (r *run) count(e *Event) {
	switch e.Kind {
	case Pause:
		r.counters.pauses++
	case Seek:
		r.counters.seeks++
	case BufferStart:
		r.counters.rebuffers++
	case AdStart:
		r.counters.ads++
	case Stop:
		r.ended = endedByStop
	}
	if e.Error {
		r.counters.errors++
		if e.Fatal {
			r.ended = endedByError
		}
	}
}

// concat appends a later run.
func (r *run) concat(b *run) {
	r.last = b.last
	r.seen += b.seen
	if r.ended != open {
		return
	}
	r.follow(b.firstTime)
	for l := range b.spent {
		if b.spent[l] != (spent{}) {
			r.spent[r.level.then(level(l))].add(b.spent[l], r.lastRate)
		}
	}
	r.counted += b.counted
	r.lastTime = b.lastTime
	r.level = r.level.then(b.level)
	r.ended = b.ended
	r.counters.add(b.counters)
	r.rate(b.firstRate, b.lastRate)
	r.position = r.position.then(b.position)
}

// add adds the time of a later run, with the bitrate that was known before it.
func (s *spent) add(b spent, rate int32) {
	if rate != unknown {
		b.lit = plus(b.lit, b.dark)
		b.weighted = plus(b.weighted, times(b.dark, int64(rate)))
		b.dark = 0
	}
	s.whole = plus(s.whole, b.whole)
	s.dark = plus(s.dark, b.dark)
	s.lit = plus(s.lit, b.lit)
	s.weighted = plus(s.weighted, b.weighted)
}

func (c *counters) add(b counters) {
	c.pauses += b.pauses
	c.seeks += b.seeks
	c.rebuffers += b.rebuffers
	c.ads += b.ads
	c.errors += b.errors
	c.rateChanges += b.rateChanges
}

func (p position) then(b position) position {
	switch {
	case !b.known:
		return p
	case !p.known:
		return b
	}
	return position{true, b.last, max(p.max, b.max)}
}

// plus and times are for numbers that are not negative; they saturate.
func plus(a, b int64) int64 {
	if sum := a + b; sum >= 0 {
		return sum
	}
	return math.MaxInt64
}

func times(a, b int64) int64 {
	if high, low := bits.Mul64(uint64(a), uint64(b)); high == 0 && low <= math.MaxInt64 {
		return int64(low)
	}
	return math.MaxInt64
}
