package rollup

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
)

// Stored is a session as the table has it.
type Stored struct {
	Session string
	State   []byte
	Closed  bool
}

// Store reads the table of sessions.
type Store interface {
	// Sessions yields the sessions of an hour whose ids are from first to last, all of the hour when last is empty. It may yield others, and in any
	// order. After an error it yields nothing more. The state is the caller's only until the next is yielded.
	Sessions(ctx context.Context, hour Hour, first, last string) iter.Seq2[Stored, error]
}

// RollerParams says what a Roller may hold.
type RollerParams struct {
	Store Store
	// StateBytes bounds the states remembered: of sessions that are in it no row is read.
	StateBytes int64
	// IndexBytes bounds what is remembered of hours: of an hour that is in it the Roller knows which sessions are new without reading.
	IndexBytes int64
}

// Roller makes the rows of a commit: it brings together the events of a batch with what the table has of their sessions.
//
// It relies on being the only one that changes these sessions; an owner that may no longer be must call Forget. It is not safe for concurrent use.
type Roller struct {
	p     RollerParams
	cache *cache
	index *index
}

// NewRoller returns a Roller that remembers nothing.
func NewRoller(p RollerParams) *Roller {
	return &Roller{p: p, cache: newCache(p.StateBytes), index: newIndex(p.IndexBytes)}
}

// Row is a new version of a session's row.
type Row struct {
	Key
	// Payload is the row in WriterSchema. Its last bytes are State.
	Payload []byte
	State   []byte
}

// Roll returns the rows of the sessions that the batch changes, by hour and session. It changes neither the batch nor what the Roller takes for
// committed, so a commit that failed is made again by another Roll.
func (r *Roller) Roll(ctx context.Context, b *Batch) ([]Row, error) {
	todo := make([]Key, 0, len(b.sessions))
	for k := range b.sessions {
		todo = append(todo, k)
	}
	slices.SortFunc(todo, Key.compare)
	m := maker{rows: make([]Row, 0, len(todo))}
	for len(todo) > 0 {
		n := 1
		for n < len(todo) && todo[n].Hour == todo[0].Hour {
			n++
		}
		states, err := r.lookUp(ctx, todo[:n])
		if err != nil {
			return nil, err
		}
		for _, k := range todo[:n] {
			if err := m.row(k, states[k.Session], b); err != nil {
				return nil, err
			}
		}
		todo = todo[n:]
	}
	return m.rows, nil
}

func (k Key) compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Hour, o.Hour), cmp.Compare(k.Session, o.Session))
}

// maker makes rows one after the other with one state's memory.
type maker struct {
	rows    []Row
	state   State
	encoded []byte
	payload []byte // room for several rows
}

// roomBytes is the size of the pieces of memory that payloads share.
const roomBytes = 64 << 10

// row adds the row of a session, if the batch changes it. No old state means that the session is new.
func (m *maker) row(k Key, old []byte, b *Batch) error {
	m.state.Reset()
	if old != nil {
		if err := m.state.Parse(old); err != nil {
			return fmt.Errorf("read session %s of %s: %w", k.Session, k.Hour.Partition(), err)
		}
	}
	if !b.apply(&m.state, b.sessions[k]) {
		return nil
	}
	m.encoded = m.state.Append(m.encoded[:0])
	if need := len(m.encoded) + len(k.Session) + rowBytes; cap(m.payload)-len(m.payload) < need {
		m.payload = make([]byte, 0, max(need, roomBytes))
	}
	from := len(m.payload)
	m.payload = m.state.AppendRow(m.payload, k.Session, m.encoded)
	end := len(m.payload)
	m.rows = append(m.rows, Row{
		Key: k, Payload: m.payload[from:end:end], State: m.payload[end-len(m.encoded) : end : end],
	})
	return nil
}

// rowBytes is more than a row takes beside its id and its state.
const rowBytes = 320

// lookUp returns the committed states of sessions of one hour. Of those that are new there is none.
func (r *Roller) lookUp(ctx context.Context, keys []Key) (map[string][]byte, error) {
	hour := keys[0].Hour
	known := r.index.sessions(hour)
	// The states of the cache are taken now: what is read below may push them out of it.
	states := make(map[string][]byte, len(keys))
	var wanted []string
	for _, k := range keys {
		if state := r.cache.get(k); state != nil {
			states[k.Session] = state
		} else if known == nil || known.has(r.index.hash(k.Session)) {
			wanted = append(wanted, k.Session)
		}
	}
	if len(wanted) == 0 {
		return states, nil
	}
	found := func(s Stored) {
		if _, ok := slices.BinarySearch(wanted, s.Session); ok {
			states[s.Session] = bytes.Clone(s.State)
		}
	}
	if r.index.worthLoading(hour, len(wanted)) {
		return states, r.load(ctx, hour, found)
	}
	for s, err := range r.p.Store.Sessions(ctx, hour, wanted[0], wanted[len(wanted)-1]) {
		if err != nil {
			return nil, fmt.Errorf("read sessions of %s: %w", hour.Partition(), err)
		}
		found(s)
	}
	return states, nil
}

// load reads all sessions of an hour, so that it is known from then on which are new.
func (r *Roller) load(ctx context.Context, hour Hour, found func(Stored)) error {
	all := make(hashes)
	for s, err := range r.p.Store.Sessions(ctx, hour, "", "") {
		if err != nil {
			return fmt.Errorf("read sessions of %s: %w", hour.Partition(), err)
		}
		found(s)
		if all != nil {
			all[r.index.hash(s.Session)] = struct{}{}
		}
		if !r.index.fits(all) {
			all = nil
		}
		// After a start every open session will be asked for, in one of the next commits. What is cached already is as new.
		if key := (Key{hour, s.Session}); !s.Closed && !r.cache.has(key) {
			r.cache.put(key, s.State)
		}
	}
	r.index.put(hour, all)
	return nil
}

// Committed takes note that rows of Roll are in the table now.
func (r *Roller) Committed(rows []Row) {
	for _, row := range rows {
		r.cache.put(row.Key, row.State)
		r.index.add(row.Hour, row.Session)
	}
}

// Forget drops all that is remembered: after a commit whose outcome is not known, or when others may have changed the sessions.
func (r *Roller) Forget() {
	r.cache.reset()
	r.index.reset()
}

// Bytes is about the memory held, at most the bounds given.
func (r *Roller) Bytes() int64 { return r.cache.held + r.index.held }
