// Package bloom owns the Bloom filter that Hudi keeps in the footer of its base files, byte for byte as
// org.apache.hudi.common.bloom.HoodieDynamicBoundedBloomFilter writes it. It knows nothing of files.
package bloom

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
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
	hashes    int
	bits      uint32
	capacity  uint32 // keys that a row is sized for
	used      uint32 // keys in the last row
	rows      [][]byte
	words     []uint32 // scratch
	positions []uint32 // scratch
}

// New sizes a filter for n keys and a rate of false positives: ceil(n ln(1/p) / ln(2)^2) bits and ceil(ln(2) bits/n) hashes, as
// BloomFilterUtils does. An n below 1 counts as 1.
func New(n int, p float64) *Filter {
	n = max(n, 1)
	bits := math.Ceil(float64(n) * (-math.Log(p) / (math.Ln2 * math.Ln2)))
	bits = min(bits, math.MaxInt32) // Hudi's filter indexes bits by a Java int
	hashes := int(math.Ceil(math.Ln2 * bits / float64(n)))
	f := &Filter{hashes: hashes, bits: uint32(bits), capacity: uint32(n)}
	f.rows = [][]byte{make([]byte, (f.bits+7)/8)}
	return f
}

// Add puts a key into the filter. Empty keys are left out: Hudi refuses them.
func (f *Filter) Add(key []byte) {
	if len(key) == 0 {
		return
	}
	row := f.rows[len(f.rows)-1]
	for _, bit := range f.hash(key) {
		row[bit>>3] |= 1 << (bit & 7)
	}
	f.used++
}

// Contains reports whether the key may have been added; false is certain.
func (f *Filter) Contains(key []byte) bool {
	if len(key) == 0 {
		return false
	}
	positions := f.hash(key)
	for _, row := range f.rows {
		if all(row, positions) {
			return true
		}
	}
	return false
}

func all(row []byte, positions []uint32) bool {
	for _, bit := range positions {
		if row[bit>>3]&(1<<(bit&7)) == 0 {
			return false
		}
	}
	return true
}

// hash are the key's bits: each hash is seeded with the one before.
func (f *Filter) hash(key []byte) []uint32 {
	f.words = mix(f.words[:0], key)
	f.positions = f.positions[:0]
	h := int32(0)
	for range f.hashes {
		h = murmur(f.words, key, h)
		f.positions = append(f.positions, uint32(abs(int64(h)%int64(f.bits))))
	}
	return f.positions
}

func abs(n int64) int64 {
	if n < 0 {
		return -n
	}
	return n
}

const murmurFactor = 0x5bd1e995

// mix is the part of the hash of a key's words that does not depend on the seed: it is done once for all of a key's hashes.
func mix(words []uint32, key []byte) []uint32 {
	for ; len(key) >= 4; key = key[4:] {
		k := binary.LittleEndian.Uint32(key) * murmurFactor
		k ^= k >> 24
		words = append(words, k*murmurFactor)
	}
	return words
}

// murmur is org.apache.hudi.common.util.hash.MurmurHash: MurmurHash2, but its tail is taken from the end of the key and bytes of
// the tail are extended by their sign, so that other implementations give other values. The words are those of mix.
func murmur(words []uint32, key []byte, seed int32) int32 {
	h := uint32(seed) ^ uint32(len(key))
	for _, word := range words {
		h = h*murmurFactor ^ word
	}
	if rest := len(key) & 3; rest > 0 {
		end := len(key)
		if rest >= 3 {
			h ^= signed(key[end-3]) << 16
		}
		if rest >= 2 {
			h ^= signed(key[end-2]) << 8
		}
		h ^= signed(key[end-1])
		h *= murmurFactor
	}
	h ^= h >> 13
	h *= murmurFactor
	return int32(h ^ h>>15)
}

func signed(b byte) uint32 { return uint32(int32(int8(b))) }

// Marshal is the filter's text: standard base64 of header, counters and rows.
func (f *Filter) Marshal() string {
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
	hashes, bits := binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[9:])
	if hashes == 0 || hashes > maxHashes || bits == 0 || bits > math.MaxInt32 {
		return nil, fmt.Errorf("%d hashes of %d bits: %w", hashes, bits, ErrFormat)
	}
	f.hashes, f.bits = int(hashes), bits
	return b[headerBytes:], nil
}
