package bloom

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
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
		if got := murmur(mix(nil, []byte(v.key)), []byte(v.key), 0); got != v.murmur {
			t.Errorf("murmur(%q) = %d, want %d", v.key, got, v.murmur)
		}
		f := New(60000, 1e-9)
		if got := f.hash([]byte(v.key))[:len(v.bits)]; !slices.Equal(got, v.bits) {
			t.Errorf("bits of %q = %v, want %v", v.key, got, v.bits)
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
