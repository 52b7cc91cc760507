package bloom

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// The vectors are those of Hudi's own classes: hashes and bits of keys in its default filter (60,000 keys, 1e-9).
func TestHashVectors(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		key    string
		murmur int32
		bits   []uint32
	}{
		{"1", 1228156847, []uint32{1460963, 105785, 1189081, 2066078, 47219, 588992}},
		{"3", -2002783517, []uint32{2285799, 311704, 1804047, 465242, 1014332, 1258507}},
		{"TXN-015", -1271160543, []uint32{469237, 1759358, 609711, 1606114, 1696325, 332596}},
		{"köln-日本", -1110803954, []uint32{566540, 2358230, 1655502, 712655, 899437, 108820}},
	} {
		var one lanes
		one.mix(2, []byte(v.key))
		if got := int32(one.hashOne(2, 0)); got != v.murmur {
			t.Errorf("hash of %q is %d, want %d", v.key, got, v.murmur)
		}
		f := New(60000, 1e-9)
		var bits []uint32
		h := uint32(0)
		for range v.bits {
			h = one.hashOne(2, h)
			bits = append(bits, f.position(h))
		}
		if !slices.Equal(bits, v.bits) {
			t.Errorf("bits of %q are %v, want %v", v.key, bits, v.bits)
		}
	}
}

// Keys of all lengths, in all lanes, beside keys of other lengths, hash as they do alone.
func TestFourAtOnce(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	var four lanes // used again: longer keys leave words behind
	for range 2000 {
		var keys [4][]byte
		for lane := range keys {
			keys[lane] = make([]byte, 1+rng.IntN(40))
			for i := range keys[lane] {
				keys[lane][i] = byte(rng.Uint32())
			}
			four.mix(lane, keys[lane])
		}
		seeds := [4]uint32{0, rng.Uint32(), rng.Uint32(), rng.Uint32()}
		a, b, c, d := four.hash(seeds[0], seeds[1], seeds[2], seeds[3])
		for lane, got := range []uint32{a, b, c, d} {
			if want := murmur(keys[lane], seeds[lane]); got != want {
				t.Fatalf("hash of %x by %d is %d, want %d", keys[lane], seeds[lane], got, want)
			}
		}
	}
}

// murmur is org.apache.hudi.common.util.hash.MurmurHash line by line.
func murmur(data []byte, seed uint32) uint32 {
	const m = 0x5bd1e995
	length := len(data)
	h := seed ^ uint32(length)
	for i := range length >> 2 {
		k := uint32(data[i<<2+3])<<24 | uint32(data[i<<2+2])<<16 | uint32(data[i<<2+1])<<8 | uint32(data[i<<2])
		k *= m
		k ^= k >> 24
		k *= m
		h *= m
		h ^= k
	}
	if left := length & 3; left != 0 {
		if left >= 3 {
			h ^= uint32(int32(int8(data[length-3]))) << 16
		}
		if left >= 2 {
			h ^= uint32(int32(int8(data[length-2]))) << 8
		}
		h ^= uint32(int32(int8(data[length-1])))
		h *= m
	}
	h ^= h >> 13
	h *= m
	h ^= h >> 15
	return h
}

// Whatever the number of keys, waiting ones are in the text and are found.
func TestKeysThatWait(t *testing.T) {
	t.Parallel()
	for n := range 10 {
		f, one := New(100, 1e-3), New(100, 1e-3)
		for i := range n {
			key := fmt.Appendf(nil, "%0*d", 1+i%5, i)
			f.Add(key)
			one.Add(key)
			if one.flush(); !f.Contains(key) {
				t.Fatalf("key %d of %d is missing", i, n)
			}
			f.Add(nil)
		}
		if f.Marshal() != one.Marshal() || int(f.used) != n {
			t.Errorf("filter of %d keys says %d, or differs when they are hashed one by one", n, f.used)
		}
	}
}

func TestRemainder(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	edges := []uint32{0, 1, 2, 3, 7, 1<<31 - 1, 1 << 31, 1<<32 - 1}
	for i := range 100_000 {
		n, d := rng.Uint32()>>rng.IntN(32), 1+rng.Uint32N(math.MaxInt32)>>rng.IntN(31)
		if i < len(edges)*len(edges) {
			n, d = edges[i%len(edges)], max(edges[i/len(edges)], 1)
		}
		if got := remainder(n, d, magicOf(d)); got != n%d {
			t.Fatalf("%d %% %d is %d, want %d", n, d, got, n%d)
		}
	}
}

func TestSizing(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		n, bits, hashes int
		p               float64
	}{{60000, 2587966, 30, 1e-9}, {10000, 431328, 30, 1e-9}, {1000, 9586, 7, 0.01}} {
		if f := New(v.n, v.p); int(f.bits) != v.bits || f.hashes != v.hashes {
			t.Errorf("New(%d, %g) has %d bits and %d hashes, want %d and %d", v.n, v.p, f.bits, f.hashes, v.bits, v.hashes)
		}
	}
}

// Texts of filters in files that Spark wrote.
func TestMarshalsAsHudi(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		keys []string
		want string
	}{
		{[]string{"1", "2", "3"}, "80dccc8c01cdaffb6bae2936d62bec60b7a5ca635401f82e711ea70d1450b3e1"},
		{[]string{"TXN-015", "TXN-016"}, "a066384c83685e9d41c822540be74dbd957d39a58e105b3ff001015017a897f6"},
	} {
		f := New(60000, 1e-9)
		for _, key := range v.keys {
			f.Add([]byte(key))
		}
		sum := sha256.Sum256([]byte(f.Marshal()))
		if got := hex.EncodeToString(sum[:]); got != v.want {
			t.Errorf("filter of %v has digest %s, want %s", v.keys, got, v.want)
		}
	}
}

func TestFilterOfItsOwnSize(t *testing.T) {
	t.Parallel()
	const n = 5000
	f := New(n, 1e-3)
	for i := range n {
		f.Add(fmt.Appendf(nil, "session_id:s-%d,event_id:e-%d", i/7, i))
	}
	f, err := Parse(f.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	hits := 0
	for i := range n {
		if !f.Contains(fmt.Appendf(nil, "session_id:s-%d,event_id:e-%d", i/7, i)) {
			t.Fatalf("key %d is missing", i)
		}
		if f.Contains(fmt.Appendf(nil, "other %d", i)) {
			hits++
		}
	}
	if hits > 3*n/1000+5 {
		t.Errorf("%d false positives of %d at a rate of 0.001", hits, n)
	}
	if f.Contains(nil) {
		t.Error("holds the empty key")
	}
}

func FuzzParse(f *testing.F) {
	filter := New(3, 1e-9)
	filter.Add([]byte("1"))
	f.Add(filter.Marshal())
	f.Add("")
	f.Add("/////wAAAB4BACd9PgAA6mAAAAAD/////w==")
	f.Fuzz(func(t *testing.T, text string) {
		filter, err := Parse(text)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("untyped error: %v", err)
			}
			return
		}
		filter.Contains([]byte("key"))
		if again, err := Parse(filter.Marshal()); err != nil || again.Marshal() != filter.Marshal() {
			t.Fatalf("does not survive a round trip: %v", err)
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	f := New(100000, 1e-9)
	key := []byte("session_id:0b9a6a0e-6d0f-4bd0-8f29-6f1a2f5d3c11,event_id:0f3c1a52-7a2e-4f0e-9d55-0d6b7b8f9e10")
	b.ReportAllocs()
	for b.Loop() {
		f.Add(key)
	}
}
