package pages

import (
	"encoding/binary"
	"hash/maphash"
)

// dictionary numbers the distinct values of a chunk in the order in which they come. Its texts lie as its page has them: each
// behind four bytes of length.
//
// Most of its time is waiting for memory, so values are looked up by the batch: one pass finds where all of them lead to, in reads
// that do not wait for each other, and the next one compares.
type dictionary struct {
	seed  maphash.Seed
	page  []byte
	ends  []uint32
	slots []slot // open addressing; their number is a power of two
	last  int32  // index of the last value: neighbours are often equal
	limit int

	probes [probeValues]probe
}

const (
	firstSlots  = 256
	probeValues = 128 // looked up together
)

// slot has all that it takes to look up a value but the value's text.
type slot struct {
	hash     uint32 // upper half of the value's
	number   uint32 // index + 1; 0 is free
	at, size uint32 // where its text is in the page
}

// probe is the lookup of a value that is under way.
type probe struct {
	hash uint64
	slot slot // what was where the hash leads
	same bool // as the value before
}

func (d *dictionary) reset() {
	d.page, d.ends, d.last = d.page[:0], d.ends[:0], -1
	clear(d.slots)
}

func (d *dictionary) text(i int32) []byte {
	from := uint32(0)
	if i > 0 {
		from = d.ends[i-1]
	}
	return d.page[from+4 : d.ends[i]]
}

// indexes appends the index of each value, which it finds or adds; full says that there was no room for one of them.
func (d *dictionary) indexes(to []int32, b *Batch, values []uint64) (indexes []int32, full bool) {
	if len(d.slots) == 0 {
		d.slots, d.seed = make([]slot, firstSlots), maphash.MakeSeed()
	}
	for len(values) > 0 {
		n := min(len(values), probeValues)
		d.probe(b, values[:n])
		for i, v := range values[:n] {
			p := &d.probes[i]
			if !p.same && !d.resolve(p, b.bytes(v)) {
				return to, true
			}
			to = append(to, d.last)
		}
		values = values[n:]
	}
	return to, false
}

// probe begins the lookup of up to probeValues values.
func (d *dictionary) probe(b *Batch, values []uint64) {
	var before []byte
	if d.last >= 0 {
		before = d.text(d.last)
	}
	first := d.last < 0
	for i, v := range values {
		p := &d.probes[i]
		if p.same = i > 0 && v == values[i-1]; p.same { // the place, too: a constant
			continue
		}
		text := b.bytes(v)
		if p.same = !first && string(text) == string(before); !p.same {
			p.hash = maphash.Bytes(d.seed, text)
		}
		before, first = text, false
	}
	mask := uint64(len(d.slots) - 1)
	for i := range values {
		if p := &d.probes[i]; !p.same {
			p.slot = d.slots[p.hash&mask]
		}
	}
}

// resolve makes a value the last one; it says whether there was room. The slot that was looked at may be free no more, and the table
// larger, but what it had is true.
func (d *dictionary) resolve(p *probe, v []byte) bool {
	if s := &p.slot; s.number != 0 && s.hash == uint32(p.hash>>32) && d.has(s, v) {
		d.last = int32(s.number) - 1
		return true
	}
	mask := uint64(len(d.slots) - 1)
	at := p.hash & mask
	for ; d.slots[at].number != 0; at = (at + 1) & mask {
		if s := &d.slots[at]; s.hash == uint32(p.hash>>32) && d.has(s, v) {
			d.last = int32(s.number) - 1
			return true
		}
	}
	if len(d.page)+4+len(v) > d.limit {
		return false
	}
	d.page = binary.LittleEndian.AppendUint32(d.page, uint32(len(v)))
	d.slots[at] = slot{hash: uint32(p.hash >> 32), number: uint32(len(d.ends)) + 1, at: uint32(len(d.page)), size: uint32(len(v))}
	d.page = append(d.page, v...)
	d.ends = append(d.ends, uint32(len(d.page)))
	d.last = int32(len(d.ends)) - 1
	if len(d.ends)*2 > len(d.slots) {
		d.grow()
	}
	return true
}

func (d *dictionary) has(s *slot, v []byte) bool {
	return string(d.page[s.at:s.at+s.size]) == string(v)
}

// grow doubles the table and puts everything in again: the slots have only half of each hash.
func (d *dictionary) grow() {
	old := d.slots
	d.slots = make([]slot, 2*len(old))
	mask := uint64(len(d.slots) - 1)
	for _, s := range old {
		if s.number == 0 {
			continue
		}
		at := maphash.Bytes(d.seed, d.page[s.at:s.at+s.size]) & mask
		for d.slots[at].number != 0 {
			at = (at + 1) & mask
		}
		d.slots[at] = s
	}
}
