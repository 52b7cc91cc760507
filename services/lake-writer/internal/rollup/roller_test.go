package rollup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"testing"
)

// table is a table of sessions in memory. It counts what it is asked, and fails when told to.
type table struct {
	states map[Key][]byte
	reads  int
	yields int
	fail   error
}

func (s *table) Sessions(_ context.Context, hour Hour, first, last string) iter.Seq2[Stored, error] {
	s.reads++
	return func(yield func(Stored, error) bool) {
		if s.fail != nil {
			yield(Stored{}, s.fail)
			return
		}
		for k, state := range s.states {
			if k.Hour != hour || k.Session < first || last != "" && k.Session > last {
				continue
			}
			s.yields++
			var parsed State
			if err := parsed.Parse(state); err != nil {
				yield(Stored{}, err)
				return
			}
			v := parsed.Session()
			buffer := bytes.Clone(state)
			if !yield(Stored{Session: k.Session, State: buffer, Closed: v.EndReason != ""}, nil) {
				return
			}
			clear(buffer) // it was the caller's only until now
		}
	}
}

func (s *table) commit(t *testing.T, r *Roller, rows []Row) {
	t.Helper()
	for _, row := range rows {
		if !bytes.HasSuffix(row.Payload, row.State) {
			t.Fatal("a row does not end with its state")
		}
		s.states[row.Key] = bytes.Clone(row.State)
	}
	r.Committed(rows)
}

// traffic makes the events of many sessions, by session and mixed. Sessions begin in several hours.
func traffic(r *rand.Rand, sessions int) (bySession map[Key][]Event, mixed []Event) {
	bySession = make(map[Key][]Event)
	for i := range sessions {
		shift := microsPerHour * r.Int64N(3)
		id := fmt.Sprintf("s-%03d", i)
		for _, e := range shuffled(r, session(r)) {
			e.Session, e.Start, e.Time = []byte(id), e.Start+shift, e.Time+shift
			key := Key{HourOf(e.Start), id}
			bySession[key] = append(bySession[key], e)
			mixed = append(mixed, e)
		}
	}
	// Neighbours are exchanged over a distance, so that all sessions are open for a while and some events are late.
	for i := range mixed {
		j := min(len(mixed)-1, i+r.IntN(500))
		mixed[i], mixed[j] = mixed[j], mixed[i]
	}
	return bySession, mixed
}

// TestRoller: over many commits, some of which fail, with restarts, and with any room to remember, the table has what a computation over all
// events says.
func TestRoller(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		for _, room := range []int64{0, 3_000, 1 << 20} {
			t.Run(fmt.Sprintf("seed=%d,room=%d", seed, room), func(t *testing.T) {
				t.Parallel()
				r := rand.New(rand.NewPCG(seed, 14))
				bySession, mixed := traffic(r, 120)
				store := &table{states: make(map[Key][]byte)}
				start := func() *Roller { return NewRoller(RollerParams{Store: store, StateBytes: room, IndexBytes: room}) }
				roller, batch := start(), NewBatch()
				for len(mixed) > 0 {
					n := min(len(mixed), 1+r.IntN(400))
					for i := range n {
						batch.Add(mixed[i])
					}
					mixed = mixed[n:]
					rows, err := roller.Roll(t.Context(), batch)
					if err != nil {
						t.Fatal(err)
					}
					if room > 0 && roller.Bytes() > 2*room {
						t.Fatalf("%d bytes are held of %d", roller.Bytes(), 2*room)
					}
					switch r.IntN(8) {
					case 0: // the commit fails and its events come again, with more
						continue
					case 1:
						roller = start()
						continue
					case 2: // the outcome was not known, but the commit happened
						store.commit(t, start(), rows)
						roller.Forget()
					default:
						store.commit(t, roller, rows)
					}
					batch.Reset()
				}
				finish(t, store, roller, batch)
				checkTable(t, store, bySession)
			})
		}
	}
}

func finish(t *testing.T, store *table, roller *Roller, batch *Batch) {
	t.Helper()
	rows, err := roller.Roll(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	store.commit(t, roller, rows)
	if rows, err = roller.Roll(t.Context(), batch); err != nil || len(rows) != 0 {
		t.Errorf("the same events again make %d rows, %v", len(rows), err)
	}
}

func checkTable(t *testing.T, store *table, bySession map[Key][]Event) {
	t.Helper()
	if len(store.states) != len(bySession) {
		t.Errorf("%d sessions, want %d", len(store.states), len(bySession))
	}
	for k, events := range bySession {
		var s State
		if err := s.Parse(store.states[k]); err != nil {
			t.Fatalf("session %v: %v", k, err)
		}
		if got, want := s.Session(), compute(events); got != want {
			t.Errorf("session %v: got\n%+v, want\n%+v", k, got, want)
		}
	}
}

func batchOf(events ...Event) *Batch {
	b := NewBatch()
	for _, e := range events {
		b.Add(e)
	}
	return b
}

func heartbeat(session string, sequence int64) Event {
	return Event{Session: []byte(session), Start: late, Time: late + sequence, Sequence: sequence, Bitrate: -1}
}

// crowd are the first events of so many sessions.
func crowd(n int) []Event {
	var events []Event
	for i := range n {
		events = append(events, heartbeat(fmt.Sprintf("crowd-%04d", i), 0))
	}
	return events
}

// TestRollerReads: new sessions of a known hour cost no read, nor do cached ones; after a start one read brings back the open sessions; a late event of
// another hour does not read all of it.
func TestRollerReads(t *testing.T) {
	t.Parallel()
	store := &table{states: make(map[Key][]byte)}
	roll := func(r *Roller, events ...Event) {
		t.Helper()
		rows, err := r.Roll(t.Context(), batchOf(events...))
		if err != nil {
			t.Fatal(err)
		}
		store.commit(t, r, rows)
	}
	reads := func(what string, reads, yields int) {
		t.Helper()
		if store.reads != reads || store.yields != yields {
			t.Errorf("%s: %d reads of %d sessions, want %d of %d", what, store.reads, store.yields, reads, yields)
		}
		store.reads, store.yields = 0, 0
	}
	r := NewRoller(RollerParams{Store: store, StateBytes: 1 << 20, IndexBytes: 1 << 20})
	roll(r, crowd(100)...)
	reads("the first commit of an hour", 1, 0)
	roll(r, heartbeat("new", 0), heartbeat("crowd-0007", 1))
	reads("a new session and a cached one", 0, 0)

	r = NewRoller(RollerParams{Store: store, StateBytes: 1 << 20, IndexBytes: 1 << 20})
	roll(r, heartbeat("crowd-0007", 2))
	reads("one session of an hour that is not known", 1, 1)
	roll(r, crowd(100)[:fewSessions+1]...)
	reads("many sessions of an hour that is not known", 1, 101)
	roll(r, heartbeat("crowd-0099", 1))
	reads("an open session that was read with the others", 0, 0)

	r = NewRoller(RollerParams{Store: store, StateBytes: 0, IndexBytes: 10 * hashBytes})
	roll(r, crowd(100)[:fewSessions+1]...)
	reads("an hour that is too large to be known, once", 1, 101)
	roll(r, heartbeat("crowd-0099", 2))
	reads("an hour that is too large to be known, then", 1, 1)
}

func TestRollerErrors(t *testing.T) {
	t.Parallel()
	away := errors.New("the store is away")
	store := &table{states: make(map[Key][]byte), fail: away}
	r := NewRoller(RollerParams{Store: store, StateBytes: 1 << 20, IndexBytes: 1 << 20})
	for _, n := range []int{1, fewSessions + 1} {
		if _, err := r.Roll(t.Context(), batchOf(crowd(n)...)); !errors.Is(err, away) {
			t.Errorf("%d sessions: %v", n, err)
		}
	}
	store.fail = nil
	rows, err := r.Roll(t.Context(), batchOf(crowd(1)...))
	if err != nil || len(rows) != 1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	rows[0].State[0] = stateVersion + 1
	r.Committed(rows)
	var version *VersionError
	if _, err := r.Roll(t.Context(), batchOf(crowd(1)...)); !errors.As(err, &version) {
		t.Errorf("a state of a newer release: %v", err)
	}
}

// TestBatch: the batch keeps nothing of the events' bytes, and counts its memory.
func TestBatch(t *testing.T) {
	t.Parallel()
	name := []byte("session-1")
	b := NewBatch()
	empty := b.Bytes()
	b.Add(Event{Session: name, Start: late, Bitrate: -1})
	copy(name, "SESSION-2")
	b.Add(Event{Session: name, Start: late, Bitrate: -1})
	b.Add(Event{Session: name, Start: late - microsPerHour, Bitrate: -1})
	r := NewRoller(RollerParams{Store: &table{}, StateBytes: 1 << 20, IndexBytes: 1 << 20})
	rows, err := r.Roll(t.Context(), b)
	if err != nil || b.Events() != 3 || b.Bytes() <= empty {
		t.Fatalf("%d events, %d bytes, %v", b.Events(), b.Bytes(), err)
	}
	var got []Key
	for _, row := range rows {
		got = append(got, row.Key)
	}
	hour := HourOf(late)
	if want := []Key{{hour - 1, "SESSION-2"}, {hour, "SESSION-2"}, {hour, "session-1"}}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("rows %v, want %v", got, want)
	}
	if b.Reset(); b.Events() != 0 {
		t.Errorf("%d events after the reset", b.Events())
	}
}
