package bitmap

import (
	"encoding/json"
	"slices"
	"testing"
)

func TestSet(t *testing.T) {
	t.Parallel()
	var s Set
	for _, n := range []uint64{0, 63, 64, 1000, 64} {
		if s.Add(n) == (n == 64 && s.Count() == 4) {
			t.Errorf("Add(%d) with %d in the set reports the wrong novelty", n, s.Count())
		}
	}
	want := []uint64{0, 63, 64, 1000}
	if got := slices.Collect(s.All); !slices.Equal(got, want) {
		t.Errorf("All: %v, want %v", got, want)
	}
	if s.Has(1) || s.Has(1<<40) || !s.Has(1000) || s.Count() != 4 {
		t.Errorf("Has or Count is wrong: %v", s)
	}
	clone := s.Clone()
	clone.Add(7)
	if s.Has(7) {
		t.Error("a clone shares its bits with the original")
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	var s, back Set
	s.Add(5)
	s.Add(500)
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if !back.Has(5) || !back.Has(500) || back.Count() != 2 {
		t.Errorf("round trip gives %v", back)
	}
	if err := json.Unmarshal([]byte(`"AAA="`), &back); err == nil {
		t.Error("a text of 2 bytes was accepted")
	}
}
