// Package handoff is what senders (client connections, feeds) and the forwarder to the router agree on: a message of events one way,
// the fate of its events back. It is pure and holds no state.
package handoff

import (
	ingestv1 "github.com/playhead-pipeline/playhead/proto/ingest/v1"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/frame"
)

// eventOverhead is what an event is charged beside its bytes: its place in messages and batches, and room for a verdict. It keeps
// budgets true when events are tiny.
const eventOverhead = 64

// Charge returns what a message holds of a budget of bytes in flight.
func Charge(eventBytes, events int) int64 {
	return int64(eventBytes) + int64(events)*eventOverhead
}

// Key is what the events of one message, and of one batch, have in common.
type Key struct {
	Tenant   string
	Source   string // feed name, or the configured name for clients
	Encoding ingestv1.Encoding
	Schema   string // name of the schema of JSON events, else empty
}

// Message is the events of one message of a sender.
type Message struct {
	Key    Key
	Seq    uint64       // the sender's number of the message
	Data   []byte       // the message; copied before Submit returns
	Events []frame.Span // places of the events in Data, at least one
	Charge int64        // what was reserved; given back when the last event is settled
	Sender Sender
}

// Verdict is a refused event, durable in the dead-letter topic.
type Verdict struct {
	Index uint32 // position in the sender's message
	Cause string // stable name, for example TYPE_MISMATCH
	Path  string // field path; can be empty
}

// Sender learns the fate of its events. A message can be settled in parts, and messages in another order than they were submitted
// when their keys differ.
type Sender interface {
	// Settled says that events more events of message seq are durable, those in rejected as dead letters. It must not block: it runs
	// on the goroutine that reads from the router.
	Settled(seq uint64, events int, rejected []Verdict)
}
