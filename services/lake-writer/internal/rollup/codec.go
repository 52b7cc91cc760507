package rollup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// stateVersion is the first byte of an encoded state. A reader refuses a newer one by name and keeps reading older ones.
const stateVersion = 1

// VersionError says that a state was written by a newer release.
type VersionError struct{ Version byte }

func (e *VersionError) Error() string {
	return fmt.Sprintf("the state of a session has version %d, this release knows versions up to %d", e.Version, stateVersion)
}

// errState is the cause of every other refusal of a state's bytes.
var errState = errors.New("not the state of a session")

// The bits of a run's flags: how it ended in the lowest two, then what is known.
const (
	flagsEnded    = 3
	flagsRate     = 4
	flagsPosition = 8
	flagsAll      = 15
)

// Append appends the encoded state. The format, all numbers varints as in Protocol Buffers, signed ones zigzag:
//
//	version     one byte
//	start       signed
//	givenUp     unsigned
//	runs        unsigned, followed by as many runs, in order:
//	  first       signed in the first run; else unsigned: distance to the last number of the run before
//	  last        unsigned: distance to first
//	  seen, counted
//	  flags       one byte
//	  level       one byte
//	  firstTime   signed: distance to start
//	  lastTime    signed: distance to firstTime
//	  pauses, seeks, rebuffers, ads, errors, rateChanges
//	  firstRate, lastRate, if flagged
//	  position    last, max, signed, if flagged
//	  spent       unsigned: a bit per level with time, then whole, dark, lit, weighted of each
//
// Distances wrap around, so that every pair of numbers has one.
func (s *State) Append(dst []byte) []byte {
	dst = append(dst, stateVersion)
	dst = binary.AppendVarint(dst, s.start)
	dst = binary.AppendUvarint(dst, uint64(s.givenUp))
	dst = binary.AppendUvarint(dst, uint64(len(s.runs)))
	for i := range s.runs {
		r := &s.runs[i]
		if i == 0 {
			dst = binary.AppendVarint(dst, r.first)
		} else {
			dst = binary.AppendUvarint(dst, uint64(r.first)-uint64(s.runs[i-1].last))
		}
		dst = r.append(dst, s.start)
	}
	return dst
}

// append encodes all of a run but its first number.
func (r *run) append(dst []byte, start int64) []byte {
	dst = binary.AppendUvarint(dst, uint64(r.last)-uint64(r.first))
	dst = binary.AppendUvarint(dst, uint64(r.seen))
	dst = binary.AppendUvarint(dst, uint64(r.counted))
	flags := r.ended
	if r.firstRate != unknown {
		flags |= flagsRate
	}
	if r.position.known {
		flags |= flagsPosition
	}
	dst = append(dst, flags, byte(r.level))
	dst = binary.AppendVarint(dst, r.firstTime-start)
	dst = binary.AppendVarint(dst, r.lastTime-r.firstTime)
	for _, n := range r.counters.fields() {
		dst = binary.AppendUvarint(dst, uint64(*n))
	}
	if flags&flagsRate != 0 {
		dst = binary.AppendUvarint(dst, uint64(r.firstRate))
		dst = binary.AppendUvarint(dst, uint64(r.lastRate))
	}
	if flags&flagsPosition != 0 {
		dst = binary.AppendVarint(dst, r.position.last)
		dst = binary.AppendVarint(dst, r.position.max)
	}
	var present uint64
	for l := range r.spent {
		if r.spent[l] != (spent{}) {
			present |= 1 << l
		}
	}
	dst = binary.AppendUvarint(dst, present)
	for l := range r.spent {
		if present>>l&1 != 0 {
			for _, n := range r.spent[l].fields() {
				dst = binary.AppendUvarint(dst, uint64(*n))
			}
		}
	}
	return dst
}

// fields are the counters in the order of the encoding.
func (c *counters) fields() [6]*int64 {
	return [...]*int64{&c.pauses, &c.seeks, &c.rebuffers, &c.ads, &c.errors, &c.rateChanges}
}

func (s *spent) fields() [4]*int64 { return [...]*int64{&s.whole, &s.dark, &s.lit, &s.weighted} }

// Parse replaces the state by an encoded one. After an error, a *VersionError for a state of a newer release, the state is empty.
func (s *State) Parse(data []byte) error {
	s.Reset()
	if len(data) > 0 && data[0] > stateVersion {
		return &VersionError{Version: data[0]}
	}
	d := decoder{data: data}
	if d.byte() != stateVersion {
		d.bad = true
	}
	s.start = d.signed()
	s.givenUp = d.count()
	n := d.unsigned()
	if n > MaxRuns {
		d.bad = true
	}
	for i := uint64(0); i < n && !d.bad; i++ {
		var r run
		if i == 0 {
			r.first = d.signed()
		} else {
			before := s.runs[i-1].last
			// Runs that touched would be one run.
			if r.first = d.later(before); r.first < before || follows(before, r.first) || r.first == before {
				d.bad = true
			}
		}
		d.run(&r, s.start)
		s.runs = append(s.runs, r)
	}
	if n == 0 && (s.start != 0 || s.givenUp != 0) || len(d.data) > 0 {
		d.bad = true
	}
	if d.bad {
		s.Reset()
		return errState
	}
	return nil
}

// decoder takes values off the front of data. Once bad it yields zeros.
type decoder struct {
	data []byte
	bad  bool
}

// run reads what run.append wrote.
func (d *decoder) run(r *run, start int64) {
	r.last = d.later(r.first)
	r.seen = d.count()
	r.counted = d.count()
	if r.counted < 1 || r.counted > r.seen || uint64(r.seen-1) > uint64(r.last)-uint64(r.first) {
		d.bad = true
	}
	flags, l := d.byte(), d.byte()
	r.ended, r.level = flags&flagsEnded, level(l)
	if flags > flagsAll || r.ended > endedByError || l >= levels || r.ended == open && r.counted != r.seen {
		d.bad = true
	}
	r.firstTime = start + d.signed()
	r.lastTime = r.firstTime + d.signed()
	for _, n := range r.counters.fields() {
		*n = d.count()
	}
	r.firstRate, r.lastRate = unknown, unknown
	if flags&flagsRate != 0 {
		r.firstRate, r.lastRate = d.rate(), d.rate()
	}
	if flags&flagsPosition != 0 {
		r.position = position{true, d.signed(), d.signed()}
	}
	present := d.unsigned()
	if present >= 1<<levels {
		d.bad = true
	}
	for l := range r.spent {
		if present>>l&1 == 0 || d.bad {
			continue
		}
		for _, n := range r.spent[l].fields() {
			*n = d.count()
		}
		if r.spent[l] == (spent{}) {
			d.bad = true
		}
	}
}

// later reads a distance and returns the number that far from one that comes before it.
func (d *decoder) later(from int64) int64 {
	to := from + int64(d.unsigned())
	if to < from {
		d.bad = true
	}
	return to
}

func (d *decoder) rate() int32 {
	v := d.unsigned()
	if v > math.MaxInt32 {
		d.bad = true
		return 0
	}
	return int32(v)
}

func (d *decoder) count() int64 {
	v := d.unsigned()
	if v > math.MaxInt64 {
		d.bad = true
		return 0
	}
	return int64(v)
}

func (d *decoder) byte() byte {
	if len(d.data) == 0 {
		d.bad = true
		return 0
	}
	b := d.data[0]
	d.data = d.data[1:]
	return b
}

func (d *decoder) unsigned() uint64 {
	v, n := binary.Uvarint(d.data)
	if n <= 0 || n > 1 && d.data[n-1] == 0 { // cut short, too long, or longer than necessary: a state has one encoding
		d.bad, d.data = true, nil
		return 0
	}
	d.data = d.data[n:]
	return v
}

func (d *decoder) signed() int64 {
	v := d.unsigned()
	return int64(v>>1) ^ -int64(v&1)
}
