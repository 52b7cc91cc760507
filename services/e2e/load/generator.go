// Package load makes playback sessions and sends them as clients do. Everything about event n of a source follows from (Params, source, n),
// so that a checker can recompute what was sent; the Ledger says what the client saw of it. The package speaks only the wire: it imports no
// service and can load any deployment.
package load

import (
	"fmt"
	"time"
)

// Encoding is how a source's client encodes its events.
type Encoding string

// Encodings of a client; a source never mixes them.
const (
	JSON Encoding = "json"
	Avro Encoding = "avro"
)

// Params decide every byte that a run's clients mean to send.
type Params struct {
	Run     uint32 `json:"run"`     // distinguishes the ids of runs on one table
	Seed    uint64 `json:"seed"`    // of all draws
	Sources int    `json:"sources"` // clients, each with one connection at a time
	// Encodings are dealt out to the sources in turn.
	Encodings []Encoding `json:"encodings"`
	// BaseMicros is the nominal time of each source's event 0; event n happens StepMicros*n later.
	BaseMicros int64 `json:"base_micros"`
	StepMicros int64 `json:"step_micros"`
	// Slots is how many sessions a source plays at the same time.
	Slots int `json:"slots"`
	// Per ten thousand events: event times set back by up to two hours, events sent again later, broken events.
	Late      int `json:"late"`
	Duplicate int `json:"duplicate"`
	Bad       int `json:"bad"`
	// SchemaIDs are the registry ids of schema versions 1, 2 ...; Avro sources are dealt a version each, JSON events follow the newest.
	SchemaIDs []int `json:"schema_ids"`
}

// DefaultParams returns rates that exercise every path: 1 % late, 2 % duplicates, 0.5 % broken.
func DefaultParams(run uint32, seed uint64, now time.Time) Params {
	return Params{
		Run: run, Seed: seed, Sources: 4, Encodings: []Encoding{Avro, JSON}, BaseMicros: now.UnixMicro(), StepMicros: 2000, Slots: 16,
		Late: 100, Duplicate: 200, Bad: 50,
	}
}

// Validate names the first parameter that cannot work.
func (p *Params) Validate() error {
	switch {
	case p.Sources < 1 || p.Sources > 1<<16:
		return fmt.Errorf("%d sources: want 1 to 65536", p.Sources)
	case p.Slots < 1 || p.Slots > 1<<12:
		return fmt.Errorf("%d sessions at a time: want 1 to 4096", p.Slots)
	case len(p.Encodings) == 0:
		return fmt.Errorf("no encoding given")
	case p.StepMicros < 1:
		return fmt.Errorf("step of %d microseconds between events: want at least 1", p.StepMicros)
	}
	for _, encoding := range p.Encodings {
		if encoding != JSON && encoding != Avro {
			return fmt.Errorf("unknown encoding %q", encoding)
		}
		if len(p.SchemaIDs) == 0 {
			return fmt.Errorf("schema ids are needed")
		}
	}
	return nil
}

// Generator computes events. It caches the session that each slot plays and is not safe for concurrent use; events may be asked for in any
// order.
type Generator struct {
	params   Params
	sessions map[sessionKey]*session
}

type sessionKey struct{ source, slot int }

// NewGenerator returns a generator for params, which Validate has accepted.
func NewGenerator(params Params) *Generator {
	return &Generator{params: params, sessions: make(map[sessionKey]*session)}
}

// Params returns what the generator was made with.
func (g *Generator) Params() Params { return g.params }

// Encoding returns how source encodes.
func (g *Generator) Encoding(source int) Encoding {
	return g.params.Encodings[source%len(g.params.Encodings)]
}

// SchemaVersion returns the version, from 1, of source's events.
func (g *Generator) SchemaVersion(source int) int {
	if g.Encoding(source) == JSON {
		return len(g.params.SchemaIDs)
	}
	return 1 + source/len(g.params.Encodings)%len(g.params.SchemaIDs)
}

// ID returns the identity of event n of source.
func (g *Generator) ID(source int, n uint64) ID { return ID{Run: g.params.Run, Source: source, N: n} }

// Purposes of random streams: draws for one purpose do not move those of another.
const (
	forSession = iota
	forEvent
	forFault
	forDuplicate
	forLength
)

func (g *Generator) rng(purpose uint64, source int, n uint64) rng {
	return newRNG(g.params.Seed, uint64(g.params.Run), purpose, uint64(source), n)
}

// Position says where event n stands: which of the source's sessions it belongs to and its place in it.
type Position struct {
	Slot    int
	Session uint64 // count of sessions that the slot played before
	Place   int    // from 0
	Length  int    // events of the session
}

// Position returns where event n of source stands.
func (g *Generator) Position(source int, n uint64) Position {
	slot, round := int(n%uint64(g.params.Slots)), n/uint64(g.params.Slots)
	r := g.rng(forLength, source, uint64(slot))
	length := 8 + r.below(33)
	return Position{Slot: slot, Session: round / length, Place: int(round % length), Length: int(length)}
}

// Previous returns the event before n in n's session; ok is false for the first.
func (g *Generator) Previous(source int, n uint64) (uint64, bool) {
	if g.Position(source, n).Place == 0 {
		return 0, false
	}
	return n - uint64(g.params.Slots), true
}

// Distances, in events of the source, at which an event is sent again: at once in the same message, and long after it was acked.
const (
	nearDuplicate = 1
	farDuplicate  = 263
)

// Resent returns the events that the client sends again right before event n.
func (g *Generator) Resent(dst []uint64, source int, n uint64) []uint64 {
	for _, distance := range [...]uint64{nearDuplicate, farDuplicate} {
		if n >= distance && g.duplicateDistance(source, n-distance) == distance {
			dst = append(dst, n-distance)
		}
	}
	return dst
}

func (g *Generator) duplicateDistance(source int, n uint64) uint64 {
	r := g.rng(forDuplicate, source, n)
	if !r.chance(g.params.Duplicate) || g.Fault(source, n) != NoFault {
		return 0
	}
	if r.below(2) == 0 {
		return nearDuplicate
	}
	return farDuplicate
}
