package columnar

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// shown is what a column of texts, or of lists of them, holds; "-" is null.
func shown(c *Column) (all []string) {
	for i := range c.Len {
		switch {
		case c.IsNull(i):
			all = append(all, "-")
		case c.Type.Kind == List:
			from, to := c.Items(i)
			all = append(all, fmt.Sprint(shown(c.Children[0])[from:to]))
		default:
			all = append(all, string(c.Bytes(i)))
		}
	}
	return all
}

// TestAppendAndKeep: random values, nulls and runs of nulls, of which random rows are left, against slices of Go.
func TestAppendAndKeep(t *testing.T) {
	t.Parallel()
	text := &Type{Kind: String}
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		c, list := New(text), New(&Type{Kind: List, Fields: []Field{{Name: "element", Type: text}}})
		var want, wantLists []string
		for range rng.IntN(200) {
			if rng.IntN(4) == 0 {
				n := rng.IntN(20)
				c.AppendNulls(n)
				list.AppendNulls(n)
				want, wantLists = append(want, slices.Repeat([]string{"-"}, n)...), append(wantLists, slices.Repeat([]string{"-"}, n)...)
				continue
			}
			v := fmt.Sprint(rng.IntN(1000))
			c.AppendBytes([]byte(v))
			items := slices.Repeat([]string{v}, rng.IntN(3))
			for _, item := range items {
				list.Children[0].AppendBytes([]byte(item))
			}
			list.CloseItems()
			want, wantLists = append(want, v), append(wantLists, fmt.Sprint(items))
		}
		if !slices.Equal(shown(c), want) || !slices.Equal(shown(list), wantLists) {
			t.Fatalf("seed %d: %v and %v, want %v and %v", seed, shown(c), shown(list), want, wantLists)
		}
		var rows []int32
		var kept, keptLists []string
		for i := range want {
			if rng.IntN(3) > 0 {
				rows, kept, keptLists = append(rows, int32(i)), append(kept, want[i]), append(keptLists, wantLists[i])
			}
		}
		c.Keep(rows)
		list.Keep(rows)
		if !slices.Equal(shown(c), kept) || !slices.Equal(shown(list), keptLists) {
			t.Fatalf("seed %d, kept: %v and %v, want %v and %v", seed, shown(c), shown(list), kept, keptLists)
		}
	}
}

// TestPlaceAndMaterialise: dense values, or their codes, get their places by levels.
func TestPlaceAndMaterialise(t *testing.T) {
	t.Parallel()
	levels := []byte{2, 0, 1, 2, 1, 2, 0}
	want := []string{"a", "-", "bc", "-", "a"} // levels below 1 have no place
	for _, coded := range []bool{false, true} {
		c := New(&Type{Kind: Bytes})
		if coded {
			c.Dict = &Dictionary{Offsets: []int32{0, 1, 3}, Data: []byte("abc")}
			c.Codes = append(c.Codes, 0, 1, 0)
		} else {
			c.Offsets, c.Data = append(c.Offsets, 1, 3, 4), []byte("abca")
		}
		if !c.Place(levels, 1, 2) || !slices.Equal(shown(c), want) {
			t.Errorf("coded %v: %v", coded, shown(c))
		}
		c.Materialise()
		if !slices.Equal(shown(c), want) || c.Dict != nil {
			t.Errorf("coded %v, materialised: %v", coded, shown(c))
		}
		if c.Reset(); c.Len != 0 || c.Place(levels, 1, 2) {
			t.Error("three values are wanted, there are none")
		}
	}
}
