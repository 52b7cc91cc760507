package pages

import (
	"math/rand/v2"
	"testing"
)

// Values that differ in trailing zeros, in length, or only behind their first bytes are told apart, wherever in the text they lie.
func TestDictionaryTellsValuesApart(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(8, 9))
	d := dictionary{limit: 1 << 20}
	for range 3 { // one after the other chunk
		d.reset()
		numbers := map[string]int32{}
		var have []int32
		var texts []string
		for batch := range 60 {
			b := &Batch{}
			for range 1 + rng.IntN(400) {
				v := make([]byte, rng.IntN(13))
				for i := range v {
					v[i] = byte(rng.IntN(1 + batch/15)) // zeros only, at first
				}
				if rng.IntN(4) == 0 && len(texts) > 0 {
					v = []byte(texts[len(texts)-1])
				}
				texts = append(texts, string(v))
				b.Text = append(b.Text, v...)
				b.Values = append(b.Values, Span(len(b.Text)-len(v), len(v)))
				if rng.IntN(4) == 0 {
					texts, b.Values = append(texts, string(v)), append(b.Values, b.Values[len(b.Values)-1])
				}
			}
			var full bool
			if have, full = d.indexes(have, b, b.Values); full {
				t.Fatal("no room")
			}
		}
		for i, text := range texts {
			want, seen := numbers[text]
			if !seen {
				want = int32(len(numbers))
				numbers[text] = want
			}
			if have[i] != want || string(d.text(want)) != text {
				t.Fatalf("value %d, %q, is number %d, want %d, which is %q", i, text, have[i], want, d.text(want))
			}
		}
		if len(d.ends) != len(numbers) || len(numbers) < 100 {
			t.Errorf("%d values, want %d", len(d.ends), len(numbers))
		}
	}
}

// BenchmarkDictionary is the number of a value: of short ones of a few kinds, and of ids.
func BenchmarkDictionary(b *testing.B) {
	for name, v := range map[string]struct{ kinds, size int }{"short": {40, 5}, "ids": {14_000, 36}} {
		b.Run(name, func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 2))
			text := make([]byte, v.kinds*v.size+8)
			for i := range text {
				text[i] = byte(rng.Uint32())
			}
			batch := &Batch{Text: text}
			for range 1 << 16 {
				batch.Values = append(batch.Values, Span(rng.IntN(v.kinds)*v.size, v.size))
			}
			d := dictionary{limit: 1 << 24}
			d.reset()
			var indexes []int32
			for b.Loop() {
				indexes, _ = d.indexes(indexes[:0], batch, batch.Values)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch.Values)), "ns/value")
		})
	}
}
