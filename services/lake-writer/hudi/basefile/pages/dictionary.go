package pages

import (
	"encoding/binary"
	"hash/maphash"
)

// dictionary numbers the distinct values of a chunk in the order in which they come. Its texts lie as its page has them: each
// behind four bytes of length.
//
// Most of its time is waiting for memory, so values are looked up by the batch: one pass finds where all of them lead to, another
// fetches the texts there, in reads that do not wait for each other, and the last one compares. Short texts are numbers, and most
// columns have few of them: those that came lately are known without a hash, a table or a comparison of texts.
type dictionary struct {
	seed  maphash.Seed
	page  []byte
	ends  []uint32
	slots []slot // open addressing; their number is a power of two
	last  int32  // index of the last value: neighbours are often equal
	limit int

	recent  *[1 << recentBits]shortText
	probes  *[probeValues]probe
	touched byte // keeps the compiler from leaving out the reads of probe
}

const (
	firstSlots  = 256
	probeValues = 128 // looked up together
	recentBits  = 7
	shortBytes  = 16
)

// slot has all that it takes to look up a value but the value's text.
type slot struct {
	hash     uint32 // upper half of the value's
	number   uint32 // index + 1; 0 is free
	at, size uint32 // where its text is in the page
}

// shortText is a text of up to shortBytes bytes: its length and two words tell it from all others.
type shortText struct {
	head, tail uint64
	size       int32
	number     uint32 // index + 1; 0 is none
}

// shorten makes a text a shortText without a number.
func shorten(text []byte) shortText {
	n := len(text)
	s := shortText{size: int32(n)}
	switch {
	case n >= 8:
		s.head, s.tail = binary.LittleEndian.Uint64(text), binary.LittleEndian.Uint64(text[n-8:])
	case n >= 4:
		s.head, s.tail = uint64(binary.LittleEndian.Uint32(text)), uint64(binary.LittleEndian.Uint32(text[n-4:]))
	case n > 0:
		s.head = uint64(text[0]) | uint64(text[n/2])<<8 | uint64(text[n-1])<<16
	}
	return s
}

// place is where the text is remembered.
func (s *shortText) place() uint64 {
	const mixer = 0x9e3779b97f4a7c15
	return (s.head ^ s.tail*mixer ^ uint64(s.size)) * mixer >> (64 - recentBits)
}

// probe is the lookup of a value that is under way.
type probe struct {
	hash   uint64
	slot   slot   // what was where the hash leads
	number uint32 // index + 1 of a short text that came lately
	same   bool   // as the value before
}

func (d *dictionary) reset() {
	d.page, d.ends, d.last = d.page[:0], d.ends[:0], -1
	clear(d.slots)
	if d.recent != nil {
		clear(d.recent[:])
	}
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
		d.recent, d.probes = new([1 << recentBits]shortText), new([probeValues]probe)
	}
	for len(values) > 0 {
		n := min(len(values), probeValues)
		d.probe(b, values[:n])
		for i, v := range values[:n] {
			p := &d.probes[i]
			if p.number > 0 {
				d.last = int32(p.number) - 1
			} else if !p.same && !d.resolve(p, b.bytes(v)) {
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
		p.number = 0
		if p.same = i > 0 && v == values[i-1]; p.same { // the place, too: a constant
			continue
		}
		text := b.bytes(v)
		if len(text) <= shortBytes {
			s := shorten(text)
			if r := &d.recent[s.place()]; r.head == s.head && r.tail == s.tail && r.size == s.size && r.number > 0 {
				p.number, before, first = r.number, text, false
				continue
			}
		}
		if p.same = !first && string(text) == string(before); !p.same {
			p.hash = maphash.Bytes(d.seed, text)
		}
		before, first = text, false
	}
	mask := uint64(len(d.slots) - 1)
	for i := range values {
		if p := &d.probes[i]; !p.same && p.number == 0 {
			p.slot = d.slots[p.hash&mask]
		}
	}
	sum := byte(0)
	for i := range values {
		if p := &d.probes[i]; !p.same && p.number == 0 && p.slot.number != 0 {
			sum += d.page[p.slot.at-1] + d.page[p.slot.at+p.slot.size-1]
		}
	}
	d.touched = sum
}

// resolve makes a value the last one, and remembers it if it is short; it says whether there was room.
func (d *dictionary) resolve(p *probe, v []byte) bool {
	if !d.find(p, v) {
		return false
	}
	if len(v) <= shortBytes {
		s := shorten(v)
		s.number = uint32(d.last) + 1
		d.recent[s.place()] = s
	}
	return true
}

// find makes a value the last one, which it adds if it is new; it says whether there was room. The slot that was looked at may be free
// no more, and the table larger, but what it had is true.
func (d *dictionary) find(p *probe, v []byte) bool {
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
