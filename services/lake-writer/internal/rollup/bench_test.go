package rollup

import "testing"

// BenchmarkObserve is what the roll-up adds to an event that was scanned anyway: its fields, and their effect on a session's state.
func BenchmarkObserve(b *testing.B) { observe(b, false) }

// BenchmarkScanObserve includes the scan.
func BenchmarkScanObserve(b *testing.B) { observe(b, true) }

func observe(b *testing.B, scan bool) {
	c := shipped(b)[1]
	body := c.encode(b, map[string]any{"bitrate_kbps": map[string]any{"int": 4500}})
	if _, err := c.read(b, body); err != nil {
		b.Fatal(err)
	}
	var s State
	next := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		if scan {
			if err := c.program.Scan(body, c.spans); err != nil {
				b.Fatal(err)
			}
		}
		e, err := c.fields.Event(body, c.spans)
		if err != nil {
			b.Fatal(err)
		}
		e.Sequence = next
		next++
		if !s.Apply(&e) {
			b.Fatal("an event counts as a duplicate")
		}
	}
}

// BenchmarkRow is what a session costs in each commit that touches it: decoding its state, one event, the new row.
func BenchmarkRow(b *testing.B) {
	var s State
	for _, e := range numbered(0, 50) {
		e.Bitrate, e.HasPosition = 4500, true
		s.Apply(&e)
	}
	stored := s.Append(nil)
	e := numbered(51, 51)[0]
	var encoded, row []byte
	b.ReportMetric(float64(len(stored)), "state-bytes")
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Parse(stored); err != nil {
			b.Fatal(err)
		}
		s.Apply(&e)
		encoded = s.Append(encoded[:0])
		row = s.AppendRow(row[:0], "r00000001-0000-s000-000001", encoded)
	}
}

// BenchmarkCommit is all that a commit of 20,000 events of 4,000 open sessions costs, by event: collecting, states from the cache, rows.
func BenchmarkCommit(b *testing.B) {
	const sessions, perSession = 4_000, 5
	r := NewRoller(RollerParams{Store: &table{}, StateBytes: 64 << 20, IndexBytes: 64 << 20})
	batch := NewBatch()
	events := crowd(sessions)
	next := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		batch.Reset()
		for range perSession {
			for i := range events {
				events[i].Sequence, events[i].Time = next, late+next*10_000_000
				batch.Add(events[i])
			}
			next++
		}
		rows, err := r.Roll(b.Context(), batch)
		if err != nil || len(rows) != sessions {
			b.Fatal(len(rows), err)
		}
		r.Committed(rows)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(int64(b.N)*sessions*perSession), "ns/event")
}

func TestObserveDoesNotAllocate(t *testing.T) {
	c := shipped(t)[1]
	body := c.encode(t, nil)
	var s State
	next := int64(0)
	allocs := testing.AllocsPerRun(100, func() {
		e, err := c.read(t, body)
		if err != nil {
			t.Fatal(err)
		}
		e.Sequence = next
		next++
		s.Apply(&e)
	})
	if allocs != 0 {
		t.Errorf("%v allocations per event", allocs)
	}
}
