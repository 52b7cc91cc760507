package sessiontable

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/inspect"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/rollup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const buckets = 4

// world is a table with everything that commits to it, and the events sent so far.
type world struct {
	store  storage.Store
	table  *hudi.Table
	writer *hudi.Writer
	roller *rollup.Roller
	offset int64
	sent   []rollup.Event
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{store: storage.NewMem()}
	if _, err := hudi.Create(t.Context(), w.store, Config("lake", "playback_sessions", buckets)); err != nil {
		t.Fatal(err)
	}
	w.restart(t)
	return w
}

// restart leaves nothing but the table.
func (w *world) restart(t *testing.T) {
	t.Helper()
	var err error
	if w.table, err = hudi.Open(t.Context(), w.store); err != nil {
		t.Fatal(err)
	}
	if w.writer, err = w.table.Acquire(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	w.roller = rollup.NewRoller(rollup.RollerParams{Store: Store{w.table}, StateBytes: 1 << 20, IndexBytes: 1 << 20})
}

func (w *world) commit(t *testing.T, events []rollup.Event) {
	t.Helper()
	batch := rollup.NewBatch()
	for _, e := range events {
		batch.Add(e)
	}
	w.sent = append(w.sent, events...)
	rows, err := w.roller.Roll(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	next := w.offset + int64(len(events))
	result, err := w.writer.Commit(t.Context(), hudi.CommitRequest{
		Operation: hudi.Upsert, Groups: Groups(rows, buckets, 0), WriterSchemas: []string{rollup.WriterSchema()},
		Progress: hudi.Progress{"events": {0: {From: w.offset, Next: next}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if result.Rows != int64(len(rows)) {
		t.Fatalf("%d rows of %d were written", result.Rows, len(rows))
	}
	w.offset = next
	w.roller.Committed(rows)
}

// check reads the table as an analyst does and compares it with the sessions of all events sent, in the order of their sequence.
func (w *world) check(t *testing.T) {
	t.Helper()
	want := make(map[rollup.Key]*rollup.State)
	for sequence := range int64(100) {
		for _, e := range w.sent {
			if e.Sequence != sequence {
				continue
			}
			key := rollup.Key{Hour: rollup.HourOf(e.Start), Session: string(e.Session)}
			if want[key] == nil {
				want[key] = &rollup.State{}
			}
			want[key].Apply(&e)
		}
	}
	columns := []string{
		"session_id", "session_start", "session_date", "session_hour", "state", "end_reason", "events", "missing_events", "watch_ms",
		"pause_ms", "pauses", "bitrate_avg_kbps", "last_event_time", "rollup_state",
	}
	rows := 0
	for row, err := range w.table.Scan(t.Context(), hudi.Query{Columns: columns}) {
		if err != nil {
			t.Fatal(err)
		}
		rows++
		id, _ := row.Values[0].(string)
		start, _ := row.Values[1].(time.Time)
		s := want[rollup.Key{Hour: rollup.HourOf(start.UnixMicro()), Session: id}]
		if s == nil {
			t.Fatalf("session %s of %s is not expected", id, start)
		}
		v := s.Session()
		list := []any{
			id, time.UnixMicro(v.Start).UTC(), start.UTC().Format("2006-01-02"), start.UTC().Format("15"), v.Life(), nil, v.Events, v.Missing,
			v.Watch / 1000, v.Pause / 1000, v.Pauses, nil, time.UnixMicro(v.LastTime).UTC(), s.Append(nil),
		}
		if v.EndReason != "" {
			list[5] = v.EndReason
		}
		if v.BitrateKnown {
			list[11] = v.BitrateAverage
		}
		if got, want := fmt.Sprint(row.Values...), fmt.Sprint(list...); got != want {
			t.Fatalf("row is\n%s, want\n%s", got, want)
		}
	}
	if rows != len(want) {
		t.Fatalf("%d rows, want %d", rows, len(want))
	}
}

// midnight is crossed by most sessions.
var midnight = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// events are those of a session that begins within an hour of midnight: late ones, duplicates, lost ones, an end if it is not lost.
func events(r *rand.Rand, id string, cut int) (early, later []rollup.Event) {
	start := midnight + r.Int64N(7200_000_000) - 3600_000_000
	for i := range int64(8 + r.IntN(8)) {
		e := rollup.Event{
			Session: []byte(id), Start: start, Time: start + i*60_000_000, Sequence: i, Bitrate: int32(1000 * r.IntN(3)),
			Kind: []rollup.Kind{rollup.Other, rollup.Other, rollup.Pause, rollup.Resume, rollup.Seek}[r.IntN(5)],
		}
		if r.IntN(10) == 0 {
			e.Kind = rollup.Stop
		}
		if r.IntN(8) == 0 {
			continue
		}
		for range 1 + r.IntN(2) {
			if r.IntN(10) < cut {
				early = append(early, e)
			} else {
				later = append(later, e)
			}
		}
	}
	r.Shuffle(len(early), func(i, j int) { early[i], early[j] = early[j], early[i] })
	return early, later
}

// TestTableIsTheStore: after each restart the sessions go on from what the table has, through logs and compactions.
func TestTableIsTheStore(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 15))
	w := newWorld(t)
	var late []rollup.Event
	for round := range 6 {
		batch := late
		late = nil
		for i := range 20 {
			early, later := events(r, fmt.Sprintf("round-%d:session-%02d", round, i), r.IntN(11))
			batch, late = append(batch, early...), append(late, later...)
		}
		w.commit(t, batch)
		w.check(t)
		switch round {
		case 1, 2:
			w.restart(t)
		case 3:
			if _, err := w.writer.Compact(t.Context(), hudi.CompactOptions{}); err != nil {
				t.Fatal(err)
			}
			w.restart(t)
			w.check(t)
		}
	}
	w.commit(t, late)
	w.check(t)
	report, err := inspect.Verify(t.Context(), w.store, inspect.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		t.Errorf("the table is not sound: %+v", f)
	}
}

// TestRange: a range of sessions is read without the others, an hour without other hours.
func TestRange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var all []rollup.Event
	for i := range 10 {
		for hour := range int64(2) {
			all = append(all, rollup.Event{Session: fmt.Append(nil, "s-", i), Start: midnight + hour*3600_000_000, Bitrate: -1, Kind: rollup.Kind(i % 2 * int(rollup.Stop))})
		}
	}
	w.commit(t, all)
	var got bytes.Buffer
	for s, err := range (Store{w.table}).Sessions(t.Context(), rollup.HourOf(midnight), "s-3", "s-5") {
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&got, s.Session, s.Closed, len(s.State) > 0)
	}
	for _, line := range []string{"s-3 true true\n", "s-4 false true\n", "s-5 true true\n"} {
		if !bytes.Contains(got.Bytes(), []byte(line)) {
			t.Errorf("%q is missing", line)
		}
	}
	if n := bytes.Count(got.Bytes(), []byte("\n")); n != 3 {
		t.Errorf("%d sessions:\n%s", n, got.String())
	}
}
