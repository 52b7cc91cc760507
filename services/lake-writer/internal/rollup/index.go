package rollup

import "hash/maphash"

// hashes are the sessions that an hour of the table has. Two sessions of one hash cost a look into the table and nothing else.
type hashes map[uint64]struct{}

func (h hashes) has(hash uint64) bool {
	_, ok := h[hash]
	return ok
}

// index knows which sessions the table has, of the most recently used hours within a number of bytes: most sessions that are not cached are new, and the
// table need not be asked for those.
type index struct {
	limit, held int64
	seed        maphash.Seed
	hours       map[Hour]*hourIndex
	clock       int64 // counts uses
}

type hourIndex struct {
	known hashes // nil: not loaded
	large bool   // it was loaded, and is larger than the whole index may be
	asked int    // sessions that were read one by one
	used  int64
}

// hashBytes is about what a hash costs in a map, hourBytes an hour beside them.
const (
	hashBytes = 24
	hourBytes = 128
)

// fewSessions of an hour are read one by one. A late event of an old hour must not cost the reading of all that the hour has.
const fewSessions = 32

func newIndex(limit int64) *index {
	x := &index{limit: limit, seed: maphash.MakeSeed()}
	x.reset()
	return x
}

func (x *index) reset() { x.hours, x.held = make(map[Hour]*hourIndex), 0 }

func (x *index) hash(session string) uint64 { return maphash.String(x.seed, session) }

// use returns an hour as the most recently used one.
func (x *index) use(hour Hour) *hourIndex {
	h := x.hours[hour]
	if h == nil {
		h = &hourIndex{}
		x.hours[hour] = h
		x.held += hourBytes
	}
	x.clock++
	h.used = x.clock
	return h
}

// sessions returns the sessions of an hour, nil if they are not known.
func (x *index) sessions(hour Hour) hashes {
	if h := x.hours[hour]; h != nil {
		return h.known
	}
	return nil
}

// worthLoading says whether to read all of an hour, when some of its sessions are wanted. Of an hour that is known only those are read that it has.
func (x *index) worthLoading(hour Hour, wanted int) bool {
	h := x.use(hour)
	h.asked += wanted
	x.bound()
	return h.known == nil && !h.large && h.asked > fewSessions
}

// fits reports whether an hour of so many sessions can be remembered.
func (x *index) fits(known hashes) bool { return int64(len(known))*hashBytes+hourBytes <= x.limit }

// put makes an hour known; nil for one that does not fit, whose sessions are read one by one then.
func (x *index) put(hour Hour, known hashes) {
	h := x.use(hour)
	x.held += int64(len(known)-len(h.known)) * hashBytes
	h.known, h.large = known, known == nil
	x.bound()
}

// add notes a session of an hour, if the hour is known.
func (x *index) add(hour Hour, session string) {
	h := x.hours[hour]
	if h == nil || h.known == nil {
		return
	}
	h = x.use(hour)
	before := len(h.known)
	h.known[x.hash(session)] = struct{}{}
	x.held += int64(len(h.known)-before) * hashBytes
	x.bound()
}

// bound drops the hours that were not used for longest.
func (x *index) bound() {
	for x.held > x.limit && len(x.hours) > 0 {
		var oldest Hour
		var least *hourIndex
		for hour, h := range x.hours {
			if least == nil || h.used < least.used {
				oldest, least = hour, h
			}
		}
		delete(x.hours, oldest)
		x.held -= int64(len(least.known))*hashBytes + hourBytes
	}
}
