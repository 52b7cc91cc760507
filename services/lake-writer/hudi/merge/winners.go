package merge

import (
	"hash/maphash"
	"iter"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
)

const (
	// indexBytes is what a key costs beside its text: the winner, its place in the table, and its numbers in the segments.
	indexBytes = 96
	// pageWinners are held together, so that more of them move none.
	pageWinners = 1 << 10
	// chunkBytes of keys are held together; a longer key has its own chunk.
	chunkBytes = 256 << 10
	firstSlots = 256
	// textOrderingBytes is what an ordering value costs that is no number, beside its text.
	textOrderingBytes = 64
)

// version is what merging compares of two records of a key.
type version struct {
	ordering logfile.Ordering
	deleted  bool
	always   bool // a deletion by commit time: it wins over all before it and loses to all behind it
}

// winner is the record of a key that won so far. It has no pointers, so that the garbage collector passes over millions of them.
type winner struct {
	number   int64 // the ordering value, or where it is among those that are no numbers
	key      place
	segment  int32  // that has the record; noSegment for a deletion
	at, size uint32 // of the record in the segment: bytes, or its row
	kind     logfile.OrderingKind
	deleted  bool
	always   bool
	base     bool // the base file has a row of the key
	lost     bool // that row won
	written  bool // it is among the rows already
}

const noSegment = -1

// place is where a text is among the chunks.
type place struct{ chunk, at, size uint32 }

// slot of the open-addressed table has what most lookups need.
type slot struct {
	hash   uint32
	number uint32 // of the winner, from 1; 0 is free
}

// winners holds one record for each key: an index of keys, and the segments of the logs that the records are in.
type winners struct {
	segments
	seed      maphash.Seed
	slots     []slot     // a power of two
	pages     [][]winner // in the order in which the keys came; all but the last are full
	count     int
	texts     [][]byte           // chunks of keys
	orderings []logfile.Ordering // that are no numbers
}

func newWinners(cfg Config) *winners {
	return &winners{segments: newSegments(cfg), seed: maphash.MakeSeed(), slots: make([]slot, firstSlots)}
}

// all are the winners in the order in which their keys came.
func (w *winners) all() iter.Seq[*winner] {
	return func(yield func(*winner) bool) {
		for _, page := range w.pages {
			for i := range page {
				if !yield(&page[i]) {
					return
				}
			}
		}
	}
}

// at is the winner of a number, from 0.
func (w *winners) at(number uint32) *winner { return &w.pages[number/pageWinners][number%pageWinners] }

// keyOf is a winner's key.
func (w *winners) keyOf(x *winner) []byte { return w.texts[x.key.chunk][x.key.at:][:x.key.size] }

// get is the winner of a key, nil when it has none.
func (w *winners) get(key []byte) *winner {
	if number, ok := w.find(key, w.hash(key)); ok {
		return w.at(number)
	}
	return nil
}

func (w *winners) hash(key []byte) uint32 { return uint32(maphash.Bytes(w.seed, key)) }

func (w *winners) find(key []byte, hash uint32) (number uint32, ok bool) {
	mask := uint32(len(w.slots) - 1)
	for at := hash & mask; ; at = (at + 1) & mask {
		s := w.slots[at]
		if s.number == 0 {
			return 0, false
		}
		if s.hash == hash && string(w.keyOf(w.at(s.number-1))) == string(key) {
			return s.number - 1, true
		}
	}
}

// add makes a place for a key's winner, which stays where it is. The key is copied.
func (w *winners) add(key []byte, hash uint32) (number uint32) {
	if 2*(w.count+1) > len(w.slots) {
		w.grow()
	}
	last := len(w.pages) - 1
	if last < 0 || len(w.pages[last]) == pageWinners {
		w.pages = append(w.pages, make([]winner, 0, pageWinners))
		last++
	}
	w.pages[last] = append(w.pages[last], winner{key: w.text(key), segment: noSegment})
	number = uint32(w.count)
	w.count++
	mask := uint32(len(w.slots) - 1)
	at := hash & mask
	for w.slots[at].number != 0 {
		at = (at + 1) & mask
	}
	w.slots[at] = slot{hash: hash, number: number + 1}
	w.held += int64(len(key)) + indexBytes
	return number
}

// grow doubles the table. The slots have all of each hash, so no key is looked at.
func (w *winners) grow() {
	old := w.slots
	w.slots = make([]slot, 2*len(old))
	mask := uint32(len(w.slots) - 1)
	for _, s := range old {
		if s.number == 0 {
			continue
		}
		at := s.hash & mask
		for w.slots[at].number != 0 {
			at = (at + 1) & mask
		}
		w.slots[at] = s
	}
}

func (w *winners) text(key []byte) place {
	last := len(w.texts) - 1
	if last < 0 || cap(w.texts[last])-len(w.texts[last]) < len(key) {
		w.texts = append(w.texts, make([]byte, 0, max(len(key), chunkBytes)))
		last++
	}
	at := len(w.texts[last])
	w.texts[last] = append(w.texts[last], key...)
	return place{uint32(last), uint32(at), uint32(len(key))}
}

// put makes a record of the open segment its key's winner; a deletion is in no segment.
func (w *winners) put(number uint32, v version, at, size int) {
	x := w.at(number)
	w.leave(x.segment)
	x.deleted, x.always, x.segment, x.at, x.size = v.deleted, v.always, noSegment, uint32(at), uint32(size)
	w.setOrdering(x, v.ordering)
	if !v.deleted {
		x.segment = w.take(number)
	}
}

func (w *winners) setOrdering(x *winner, o logfile.Ordering) {
	wasText := !isNumber(x.kind)
	if x.kind = o.Kind; isNumber(o.Kind) {
		x.number = o.Int64()
		return
	}
	if !wasText { // else its place is free
		x.number = int64(len(w.orderings))
		w.orderings = append(w.orderings, logfile.Ordering{})
		w.held += textOrderingBytes
	}
	w.held += int64(len(o.Text()) - len(w.orderings[x.number].Text()))
	w.orderings[x.number] = o
}

// version is what merging compares of a winner.
func (w *winners) version(x *winner) version {
	v := version{deleted: x.deleted, always: x.always}
	switch x.kind {
	case logfile.OrderingNone:
	case logfile.OrderingLong:
		v.ordering = logfile.LongOrdering(x.number)
	case logfile.OrderingInt:
		v.ordering = logfile.IntOrdering(int32(x.number))
	case logfile.OrderingDate:
		v.ordering = logfile.DateOrdering(int32(x.number))
	default:
		v.ordering = w.orderings[x.number]
	}
	return v
}

// isNumber is true of the kinds whose value is a winner's number.
func isNumber(k logfile.OrderingKind) bool {
	return k == logfile.OrderingNone || k == logfile.OrderingLong || k == logfile.OrderingInt || k == logfile.OrderingDate
}

// beats reports whether a record that comes after another of its key wins (BufferedRecordMergerFactory, KeyBasedFileGroupRecordBuffer).
func (m *merger) beats(n, old version) bool {
	switch {
	case m.ordering == nil || n.always:
		return true
	case old.always:
		return !n.deleted // it stays against a deletion with a value, so that records behind both still win
	}
	if order, ok := n.ordering.Compare(old.ordering); ok {
		return order >= 0
	}
	// Null is smaller than everything; of values of two classes the later one wins.
	return n.ordering.Kind != logfile.OrderingNone || old.ordering.Kind == logfile.OrderingNone
}
