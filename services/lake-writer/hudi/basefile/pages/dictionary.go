package pages

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
)

// dictionary numbers the distinct values of a chunk in the order in which they come. Its texts lie as its page has them: each
// behind four bytes of length.
type dictionary struct {
	seed  maphash.Seed
	page  []byte
	ends  []uint32
	slots []uint64 // open addressing: upper half of the hash, and index + 1; 0 is free
	last  int32    // index of the last value: neighbours are often equal
	limit int
}

const firstSlots = 256 // a power of two

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

// index finds or adds a value; full says that there is no room for it.
func (d *dictionary) index(v []byte) (i int32, full bool) {
	if d.last >= 0 && bytes.Equal(d.text(d.last), v) {
		return d.last, false
	}
	if len(d.slots) == 0 {
		d.slots, d.seed = make([]uint64, firstSlots), maphash.MakeSeed()
	}
	hash := maphash.Bytes(d.seed, v)
	mask := uint64(len(d.slots) - 1)
	at := hash & mask
	for ; d.slots[at] != 0; at = (at + 1) & mask {
		if d.slots[at]>>32 != hash>>32 {
			continue
		}
		if i := int32(uint32(d.slots[at])) - 1; bytes.Equal(d.text(i), v) {
			d.last = i
			return i, false
		}
	}
	if len(d.page)+4+len(v) > d.limit {
		return 0, true
	}
	d.page = binary.LittleEndian.AppendUint32(d.page, uint32(len(v)))
	d.page = append(d.page, v...)
	d.ends = append(d.ends, uint32(len(d.page)))
	d.slots[at] = hash&^0xffffffff | uint64(len(d.ends))
	d.last = int32(len(d.ends)) - 1
	if len(d.ends)*2 > len(d.slots) {
		d.grow()
	}
	return d.last, false
}

// grow doubles the table and puts everything in again: the slots have only half of each hash.
func (d *dictionary) grow() {
	d.slots = make([]uint64, 2*len(d.slots))
	mask := uint64(len(d.slots) - 1)
	for i := range d.ends {
		hash := maphash.Bytes(d.seed, d.text(int32(i)))
		at := hash & mask
		for d.slots[at] != 0 {
			at = (at + 1) & mask
		}
		d.slots[at] = hash&^0xffffffff | uint64(i+1)
	}
}
