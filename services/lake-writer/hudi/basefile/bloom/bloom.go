// Package bloom owns the Bloom filter that Hudi keeps in the footer of its base files, byte for byte as
// org.apache.hudi.common.bloom.HoodieDynamicBoundedBloomFilter writes it. It knows nothing of files.
package bloom

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
)

// TypeCode is what the footer calls the filter's format.
const TypeCode = "DYNAMIC_V0"

const (
	murmurHash   = 1  // hash type in the header; 0 is Jenkins, of files without a version
	version      = -1 // first int of a filter with a hash type
	headerBytes  = 4 + 4 + 1 + 4
	dynamicBytes = 4 + 4 + 4
)

// ErrFormat: bytes are no filter of this format.
var ErrFormat = errors.New("not a dynamic bloom filter")

// Filter is a filter of one or more rows of bits. New ones have one row, sized for the keys to come.
//
// Its methods share scratch space: none may be called concurrently.
type Filter struct {
	hashes   int
	bits     uint32
	capacity uint32 // keys that a row is sized for
	used     uint32 // keys in the last row
	rows     [][]byte

	magic   uint64 // see remainder
	waiting int    // keys that were added and are not in the last row yet
	four    lanes
}

// New sizes a filter for n keys and a rate of false positives: ceil(n ln(1/p) / ln(2)^2) bits and ceil(ln(2) bits/n) hashes, as
// BloomFilterUtils does. An n below 1 counts as 1.
func New(n int, p float64) *Filter {
	n = max(n, 1)
	size := math.Ceil(float64(n) * (-math.Log(p) / (math.Ln2 * math.Ln2)))
	size = min(size, math.MaxInt32) // Hudi's filter indexes bits by a Java int
	hashes := int(math.Ceil(math.Ln2 * size / float64(n)))
	f := &Filter{hashes: hashes, bits: uint32(size), capacity: uint32(n)}
	f.rows = [][]byte{make([]byte, (f.bits+7)/8)}
	f.magic = magicOf(f.bits)
	return f
}

// Add puts a key into the filter, and does not keep it. Empty keys are left out: Hudi refuses them.
func (f *Filter) Add(key []byte) {
	if len(key) == 0 {
		return
	}
	f.four.mix(f.waiting, key)
	f.used++
	if f.waiting++; f.waiting == len(f.four.start) {
		f.flush()
	}
}

// flush puts the waiting keys into the last row.
func (f *Filter) flush() {
	row := f.rows[len(f.rows)-1]
	if f.waiting == len(f.four.start) {
		var a, b, c, d uint32
		for range f.hashes {
			a, b, c, d = f.four.hash(a, b, c, d)
			for _, h := range [...]uint32{a, b, c, d} {
				bit := f.position(h)
				row[bit>>3] |= 1 << (bit & 7)
			}
		}
		f.waiting = 0
	}
	for ; f.waiting > 0; f.waiting-- {
		h := uint32(0)
		for range f.hashes {
			h = f.four.hashOne(f.waiting-1, h)
			bit := f.position(h)
			row[bit>>3] |= 1 << (bit & 7)
		}
	}
}

// Contains reports whether the key may have been added; false is certain.
func (f *Filter) Contains(key []byte) bool {
	if len(key) == 0 {
		return false
	}
	f.flush()
	f.four.mix(0, key)
	for _, row := range f.rows {
		if f.all(row) {
			return true
		}
	}
	return false
}

// all reports whether a row has the bits of the key in the first lane.
func (f *Filter) all(row []byte) bool {
	h := uint32(0)
	for range f.hashes {
		h = f.four.hashOne(0, h)
		if bit := f.position(h); row[bit>>3]&(1<<(bit&7)) == 0 {
			return false
		}
	}
	return true
}

// position is the bit of a hash: the absolute value of its remainder as a Java int.
func (f *Filter) position(h uint32) uint32 {
	if int32(h) < 0 {
		h = -h
	}
	return remainder(h, f.bits, f.magic)
}

// magicOf prepares remainder.
func magicOf(d uint32) uint64 { return math.MaxUint64/uint64(d) + 1 }

// remainder is n % d by two multiplications, which take a quarter of the time of a division (Lemire, Kaser, Kurz: Faster remainder
// by direct computation, 2019; exact for all 32-bit n and d).
func remainder(n, d uint32, magic uint64) uint32 {
	r, _ := bits.Mul64(magic*uint64(n), uint64(d))
	return uint32(r)
}

// Marshal is the filter's text: standard base64 of header, counters and rows.
func (f *Filter) Marshal() string {
	f.flush()
	rowBytes := headerBytes + len(f.rows[0])
	b := make([]byte, 0, headerBytes+dynamicBytes+rowBytes*len(f.rows))
	b = f.appendHeader(b)
	b = binary.BigEndian.AppendUint32(b, f.capacity)
	b = binary.BigEndian.AppendUint32(b, f.used)
	b = binary.BigEndian.AppendUint32(b, uint32(len(f.rows)))
	for _, row := range f.rows {
		b = append(f.appendHeader(b), row...)
	}
	return base64.StdEncoding.EncodeToString(b)
}

func (f *Filter) appendHeader(b []byte) []byte {
	none := int32(version)
	b = binary.BigEndian.AppendUint32(b, uint32(none))
	b = binary.BigEndian.AppendUint32(b, uint32(f.hashes))
	b = append(b, murmurHash)
	return binary.BigEndian.AppendUint32(b, f.bits)
}

// Parse reads the text of a filter.
func Parse(text string) (*Filter, error) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("base64: %w", errors.Join(ErrFormat, err))
	}
	f := &Filter{}
	if b, err = f.parseHeader(b); err != nil {
		return nil, err
	}
	if len(b) < dynamicBytes {
		return nil, fmt.Errorf("counters are cut off: %w", ErrFormat)
	}
	f.capacity, f.used = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	rows := binary.BigEndian.Uint32(b[8:])
	b = b[dynamicBytes:]
	size := int(uint64(f.bits)+7) / 8
	if uint64(rows)*uint64(headerBytes+size) != uint64(len(b)) || rows == 0 {
		return nil, fmt.Errorf("%d rows of %d bytes in %d bytes: %w", rows, size, len(b), ErrFormat)
	}
	for range rows {
		row := &Filter{}
		if b, err = row.parseHeader(b); err != nil {
			return nil, err
		}
		if row.hashes != f.hashes || row.bits != f.bits {
			return nil, fmt.Errorf("rows differ: %w", ErrFormat)
		}
		f.rows = append(f.rows, b[:size])
		b = b[size:]
	}
	return f, nil
}

func (f *Filter) parseHeader(b []byte) (rest []byte, err error) {
	const maxHashes = 1000 // a false-positive rate of 2^-1000
	if len(b) < headerBytes || int32(binary.BigEndian.Uint32(b)) != version || b[8] != murmurHash {
		return nil, fmt.Errorf("header: %w", ErrFormat)
	}
	hashes, size := binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[9:])
	if hashes == 0 || hashes > maxHashes || size == 0 || size > math.MaxInt32 {
		return nil, fmt.Errorf("%d hashes of %d bits: %w", hashes, size, ErrFormat)
	}
	f.hashes, f.bits, f.magic = int(hashes), size, magicOf(size)
	return b[headerBytes:], nil
}
