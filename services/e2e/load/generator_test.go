package load

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"time"
)

func testParams() Params {
	p := DefaultParams(0xabc, 7, time.UnixMicro(1_790_000_000_000_000))
	p.SchemaIDs = []int{1, 2}
	return p
}

func TestEventsAreRecomputable(t *testing.T) {
	t.Parallel()
	forward, backward := NewGenerator(testParams()), NewGenerator(testParams())
	const events = 3000
	want := make([][]byte, events)
	var e Event
	for source := range 4 {
		for n := range events {
			want[n] = forward.Append(nil, &e, source, uint64(n))
		}
		for n := events - 1; n >= 0; n-- {
			if got := backward.Append(nil, &e, source, uint64(n)); !bytes.Equal(got, want[n]) {
				t.Fatalf("event %d of source %d depends on what was asked before:\n%q\n%q", n, source, got, want[n])
			}
		}
	}
}

func TestSessionsAreWhole(t *testing.T) {
	t.Parallel()
	g := NewGenerator(testParams())
	last := make(map[string]int64)
	var e Event
	for n := range uint64(5000) {
		g.Fill(&e, 1, n)
		previous, seen := last[e.SessionID]
		if seen != (e.Sequence > 0) || seen && e.Sequence != previous+1 {
			t.Fatalf("event %d of session %s has sequence %d after %d", n, e.SessionID, e.Sequence, previous)
		}
		if p, ok := g.Previous(1, n); ok != seen || ok && g.Position(1, p).Place != int(previous) {
			t.Fatalf("Previous(%d) = %d, %v", n, p, ok)
		}
		last[e.SessionID] = e.Sequence
	}
	if len(last) < 100 {
		t.Errorf("only %d sessions in 5000 events", len(last))
	}
}

func TestFaultsAndDuplicatesComeAtTheirRates(t *testing.T) {
	t.Parallel()
	g := NewGenerator(testParams())
	const events = 200_000
	seen := make(map[Fault]int)
	var duplicates int
	for n := range uint64(events) {
		for source := range 2 {
			if f := g.Fault(source, n); f != NoFault {
				seen[f]++
			}
			duplicates += len(g.Resent(nil, source, n))
		}
	}
	for f := MalformedJSON; int(f) < len(faultCauses); f++ {
		if seen[f] == 0 {
			t.Errorf("fault %d (%s) never happens", f, f.Cause())
		}
	}
	if want := 2 * events * 2 / 100; duplicates < want*8/10 || duplicates > want*12/10 {
		t.Errorf("%d duplicates, want about %d", duplicates, want)
	}
}

func TestJSONIsValidUnlessMalformed(t *testing.T) {
	t.Parallel()
	params := testParams()
	params.Encodings, params.Bad = []Encoding{JSON}, 2000
	g := NewGenerator(params)
	var e Event
	for n := range uint64(2000) {
		text := g.Append(nil, &e, 0, n)
		if fault := g.Fault(0, n); json.Valid(text) == (fault == MalformedJSON) {
			t.Fatalf("event %d with fault %q is %s", n, fault.Cause(), text)
		}
		if id, ok := FindID(text); !ok || id != g.ID(0, n) {
			t.Fatalf("event %d: id %v, %v", n, id, ok)
		}
	}
}

func TestBrokenEventsKeepTheirID(t *testing.T) {
	t.Parallel()
	params := testParams()
	params.Bad = 5000
	g := NewGenerator(params)
	var e Event
	for n := range uint64(2000) {
		if id, ok := FindID(g.Append(nil, &e, 0, n)); !ok || id != g.ID(0, n) {
			t.Fatalf("event %d with fault %q: id %v, %v", n, g.Fault(0, n).Cause(), id, ok)
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add(ID{Run: 1, Source: 2, N: 3}.String())
	f.Add("r0000000g-0001-00000000")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		id, ok := ParseID(text)
		if ok && id.String() != text && !slices.Contains([]byte(text), '+') {
			// Upper-case digits are read as well; their value must be the same.
			if back, _ := ParseID(id.String()); back != id {
				t.Errorf("%q is read as %v, which is written %s", text, id, id)
			}
		}
	})
}
