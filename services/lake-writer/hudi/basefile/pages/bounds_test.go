package pages

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go/format"
)

func TestCutBounds(t *testing.T) {
	t.Parallel()
	for _, v := range []struct{ in, low, high, lowText, highText string }{
		{"abc", "abc", "abc", "abc", "abc"},
		{"abcdef", "abcd", "abce", "abcd", "abce"},
		{"abcd\u00e9", "abcd", "abce", "abcd", "abce"},
		{"ab\u20acz", "ab\xe2\x82", "ab\xe2\x83", "ab", "ac"},
		{"ab\u00ffz", "ab\u00ff", "ab\xc3\xc0", "ab\u00ff", "ab\u0100"},
		{"\ud7ffzz", "\ud7ffz", "\ud7ff{", "\ud7ffz", "\ud7ff{"},
		{"a\ud7ffz", "a\ud7ff", "a\xed\x9f\xc0", "a\ud7ff", "a\ue000"},
		{"\U0010ffffzz", "\U0010ffff", "\xf4\x8f\xbf\xc0", "\U0010ffff", "\U0010ffffzz"},
	} {
		in := []byte(v.in)
		if low, high := string(lowBytes(in, 4)), string(highBytes(in, 4)); low != v.low || high != v.high {
			t.Errorf("bounds of %q are %q and %q, want %q and %q", v.in, low, high, v.low, v.high)
		}
		if low, high := string(lowText(in, 4)), string(highText(in, 4)); low != v.lowText || high != v.highText {
			t.Errorf("bounds of text %q are %q and %q, want %q and %q", v.in, low, high, v.lowText, v.highText)
		}
	}
	if high := highBytes([]byte("\xff\xff\xff\xff\xff"), 4); string(high) != "\xff\xff\xff\xff\xff" {
		t.Errorf("bound of what cannot be cut: %x", high)
	}
}

func FuzzTextBounds(f *testing.F) {
	f.Add("a\ud7ff\u00ff\U0010ffff", 5)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		if !utf8.ValidString(text) || limit < 1 {
			return
		}
		low, high := lowText([]byte(text), limit), highText([]byte(text), limit)
		if !utf8.Valid(low) || !utf8.Valid(high) || bytes.Compare(low, []byte(text)) > 0 || bytes.Compare(high, []byte(text)) < 0 {
			t.Errorf("bounds of %q are %q and %q", text, low, high)
		}
	})
}

// Texts widen bounds as bytes.Compare has it, whatever they share.
func TestWidenText(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(81, 82))
	for range 300 {
		var fast, slow bounds
		prefix := "a common beginning"[:rng.IntN(19)]
		alphabet, length := 1+rng.IntN(255), 1+rng.IntN(20)
		for range 100 {
			v := []byte(prefix)[:rng.IntN(len(prefix)+1)]
			if rng.IntN(8) > 0 {
				v = []byte(prefix)
			}
			for range rng.IntN(length) {
				v = append(v, byte(256-alphabet+rng.IntN(alphabet)))
			}
			fast.widenText(v)
			slow.widen(v, bytes.Compare)
			if !bytes.Equal(fast.low, slow.low) || !bytes.Equal(fast.high, slow.high) {
				t.Fatalf("after %q: %q to %q, want %q to %q", v, fast.low, fast.high, slow.low, slow.high)
			}
		}
		if fast.reset(); fast.holds([]byte("a common beginning, and more")) {
			t.Fatal("empty bounds hold a text")
		}
	}
}

func floats(t *testing.T, pages ...[]float64) Chunk {
	t.Helper()
	col, err := NewColumn(Spec{Type: format.Double}, testOptions(t, format.Zstd))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		b := &Batch{}
		for _, v := range page {
			b.Values = append(b.Values, math.Float64bits(v))
		}
		if err := col.Write(b, len(page)); err != nil {
			t.Fatal(err)
		}
		if err := col.cut(); err != nil {
			t.Fatal(err)
		}
	}
	chunk, err := col.Finish(&bytes.Buffer{}, 4)
	if err != nil {
		t.Fatal(err)
	}
	return chunk
}

// Zeros of both signs are held by the bounds, however a reader compares them.
func TestBoundsOfZeros(t *testing.T) {
	t.Parallel()
	negative := math.Copysign(0, -1)
	for _, pages := range [][][]float64{{{0}}, {{negative}}, {{0, negative}}, {{0}, {negative}}} {
		stats := floats(t, pages...).Meta.Statistics
		if stats.MinValue[7] != 0x80 || stats.MaxValue[7] != 0 {
			t.Errorf("bounds of %v are %x to %x", pages, stats.MinValue, stats.MaxValue)
		}
	}
	if stats := floats(t, []float64{-2, -1}, []float64{0}).Meta.Statistics; stats.MaxValue[7] != 0 || stats.MinValue[7] != 0xc0 {
		t.Errorf("bounds of -2 to 0 are %x to %x", stats.MinValue, stats.MaxValue)
	}
}

// A NaN is greater than everything to Spark: with bounds that leave it out, a filter would lose its row.
func TestNoBoundsWithNaN(t *testing.T) {
	t.Parallel()
	for _, pages := range [][][]float64{{{math.NaN()}}, {{1, math.NaN(), 2}}, {{1}, {math.NaN()}}} {
		if c := floats(t, pages...); c.Index != nil || c.Meta.Statistics.MinValue != nil || c.Meta.Statistics.MaxValue != nil {
			t.Errorf("%v has bounds: %+v", pages, c)
		}
	}
	if c := floats(t, []float64{1}, []float64{math.Inf(1)}); c.Index == nil || c.Index.BoundaryOrder != format.Ascending {
		t.Errorf("no index of rising pages: %+v", c.Index)
	}
}

// Bounds that would bloat the footer are left out of it, and cut in the index.
func TestLongBounds(t *testing.T) {
	t.Parallel()
	col, err := NewColumn(Spec{Type: format.ByteArray, Encoding: Dictionary}, testOptions(t, format.Zstd))
	if err != nil {
		t.Fatal(err)
	}
	long := bytes.Repeat([]byte("x"), maxStatisticsBytes)
	if err := col.Write(&Batch{Text: long, Values: []uint64{Span(0, len(long))}}, 1); err != nil {
		t.Fatal(err)
	}
	chunk, err := col.Finish(&bytes.Buffer{}, 4)
	if err != nil {
		t.Fatal(err)
	}
	if chunk.Meta.Statistics.MinValue != nil || len(chunk.Index.MinValues[0]) != indexBoundLimit || len(chunk.Index.MaxValues[0]) != indexBoundLimit {
		t.Errorf("statistics of %d bytes, index %q to %q", len(chunk.Meta.Statistics.MinValue), chunk.Index.MinValues[0], chunk.Index.MaxValues[0])
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, s := range []Spec{
		{Type: format.Int96},
		{Type: format.FixedLenByteArray},
		{Type: format.Double, Encoding: Delta},
		{Type: format.Int32, Encoding: Dictionary},
		{Type: format.ByteArray, Encoding: Delta},
		{Type: format.Int32, MaxDef: 256},
	} {
		if _, err := NewColumn(s, Options{}); err == nil {
			t.Errorf("%+v was taken", s)
		}
	}
	if _, err := NewCompressor(format.Brotli); err == nil {
		t.Error("brotli was taken: Spark has no class for it")
	}
	col, err := NewColumn(Spec{Type: format.Int32, MaxDef: 1}, testOptions(t, format.Zstd))
	if err != nil {
		t.Fatal(err)
	}
	if err := col.Write(&Batch{Defs: []byte{1}, Values: []uint64{1}}, 2); err == nil {
		t.Error("a batch that is a row short was taken")
	}
}
