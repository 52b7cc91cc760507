package basefile

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// Remembered texts are the texts that were asked for, whatever lies in the page's memory later, and cost nothing the second time.
func TestTexts(t *testing.T) {
	var known texts
	rng := rand.New(rand.NewPCG(4, 5))
	page := make([]byte, 0, 200)
	for range 5000 {
		want := fmt.Sprintf("%d%s", rng.IntN(300), strings.Repeat("x", rng.IntN(2)*longestKnown))
		if rng.IntN(50) == 0 {
			want = ""
		}
		page = append(page[:0], want...)
		got := known.value(page)
		for i := range page {
			page[i] = '!'
		}
		if got != any(want) {
			t.Fatalf("text %q became %q", want, got)
		}
	}
	page = append(page[:0], "heartbeat"...)
	known.value(page)
	if n := testing.AllocsPerRun(10, func() { known.value(page) }); n != 0 {
		t.Errorf("%v allocations for a known text", n)
	}
}
