package pages

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
)

// Pages come back as they were, and those of bytes that do not repeat take what their entropy is, nearly.
func TestZstdPages(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	var ids, noise, repeats []byte
	for i := range 20_000 {
		ids = fmt.Appendf(ids, "%016x%016x", rng.Uint64(), rng.Uint64())
		noise = append(noise, byte(rng.Uint32()), byte(rng.Uint32()))
		repeats = fmt.Appendf(repeats, "session-%d,", i%100)
	}
	c, err := NewCompressor(format.Zstd)
	if err != nil {
		t.Fatal(err)
	}
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var out []byte
	for _, p := range []struct {
		name    string
		page    []byte
		highest float64 // compressed bytes per byte
	}{
		{"ids", ids, 0.51},
		{"repeats", repeats, 0.05},
		{"noise", noise, 1.01},
		{"few ids", ids[:zstdLiteralBytes], 0.6},
		{"too few ids", ids[:zstdLiteralBytes-1], 1.02},
		{"ids again", ids[32:], 0.51},
	} {
		if out, err = c.compress(out, p.page); err != nil {
			t.Fatalf("%s: %v", p.name, err)
		}
		back, err := d.DecodeAll(out, nil)
		if err != nil || !bytes.Equal(back, p.page) {
			t.Errorf("%s: other bytes came back, %v", p.name, err)
		}
		if r := float64(len(out)) / float64(len(p.page)); r > p.highest {
			t.Errorf("%s: %.3f of the bytes are left, want at most %.2f", p.name, r, p.highest)
		}
	}
}
