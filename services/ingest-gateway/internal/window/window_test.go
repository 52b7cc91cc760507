package window

import (
	"math/rand/v2"
	"testing"
)

// TestRandomOrder settles events in random order and compares with the plain definition: message n leaves when all of 1..n are
// settled, not before.
func TestRandomOrder(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var w Window[int]
		open := map[uint64]int{}
		var added, popped uint64
		var charged int64
		for range 300 {
			switch random.IntN(3) {
			case 0:
				events := random.IntN(4)
				added++
				if seq := w.Add(events, int64(events)*10, int(added)*7); seq != added {
					t.Fatalf("seq %d, want %d", seq, added)
				}
				open[added] = events
				charged += int64(events) * 10
			case 1:
				if added == popped {
					continue
				}
				seq := popped + 1 + random.Uint64N(added-popped)
				if open[seq] > 0 {
					n := 1 + random.IntN(open[seq])
					open[seq] -= n
					w.Settle(seq, n)
				}
			default:
				for {
					e, ok := w.Pop()
					if want := popped < added && open[popped+1] == 0; ok != want {
						t.Fatalf("pop of %d: %v, want %v", popped+1, ok, want)
					}
					if !ok {
						break
					}
					popped++
					charged -= e.Charge
					if e.Seq != popped || e.Value != int(popped)*7 {
						t.Fatalf("popped %+v, want seq %d", e, popped)
					}
				}
			}
			if w.Len() != int(added-popped) || w.Charged() != charged {
				t.Fatalf("%d messages charged %d, want %d charged %d", w.Len(), w.Charged(), added-popped, charged)
			}
		}
	}
}

func TestSettleOutsideIsIgnored(t *testing.T) {
	t.Parallel()
	var w Window[struct{}]
	w.Add(1, 1, struct{}{})
	w.Settle(0, 1)
	w.Settle(2, 1)
	if _, ok := w.Pop(); ok {
		t.Error("a foreign settlement counted")
	}
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	var w Window[struct{}]
	step := func() {
		seq := w.Add(1, 1, struct{}{})
		if w.Len() < 8 {
			return
		}
		w.Settle(seq-7, 1)
		w.Pop()
	}
	for range 100 {
		step()
	}
	if n := testing.AllocsPerRun(1000, step); n != 0 {
		t.Errorf("%v allocations a message", n)
	}
}
