// Package frame is the codec of the client protocols playhead.v1.json and playhead.v1.avro: it finds the events of a message without
// decoding them, and writes what the server says. It owns no connection, buffer or limit of bytes; it judges no event, which is the
// router's work.
package frame

import "fmt"

// The subprotocols that a client may offer.
const (
	ProtocolJSON = "playhead.v1.json" // text messages, one JSON object each
	ProtocolAvro = "playhead.v1.avro" // binary messages, Confluent-framed Avro events
)

// MaxSchemaName is the longest schema name of a JSON message in bytes.
const MaxSchemaName = 256

// Codes of an Error. Clients see them in the reason of a close frame.
const (
	CodeMalformed     = "malformed_message" // not the protocol's JSON or binary framing
	CodeBadSequence   = "bad_sequence"      // seq is not the previous one plus 1
	CodeBadSchema     = "bad_schema"        // the schema name is missing, empty, too long or not plain text
	CodeTooManyEvents = "too_many_events"   // over the limit of events per message
)

// Error says why a message is not one of the protocol. It never holds bytes of the message.
type Error struct {
	Code   string // one of the Code constants
	Offset int    // where in the message
	Detail string // a sentence for people
}

func (e *Error) Error() string { return fmt.Sprintf("%s at byte %d: %s", e.Code, e.Offset, e.Detail) }

// Span is the place of an event in its message.
type Span struct{ Offset, Length uint32 }

// Bytes returns the event within its message.
func (s Span) Bytes(message []byte) []byte {
	return message[s.Offset : s.Offset+s.Length : s.Offset+s.Length]
}

// Message is a decoded client message. Schema and the spans of Events refer to the bytes that were decoded.
type Message struct {
	Seq    uint64
	Schema []byte // name of the schema; empty in Avro messages
	Events []Span
}

// Decoder finds the events of messages. It is scratch memory: one goroutine at a time, any number of messages.
type Decoder struct {
	maxEvents int
	containers
}

// NewDecoder returns a Decoder that refuses messages of more than maxEvents events.
func NewDecoder(maxEvents int) *Decoder { return &Decoder{maxEvents: maxEvents} }

// checkSeq holds a client to seq = previous + 1.
func checkSeq(seq, previous uint64, at int) error {
	if seq != previous+1 {
		return &Error{CodeBadSequence, at, fmt.Sprintf("seq is %d, expected %d", seq, previous+1)}
	}
	return nil
}

// add appends an event unless there are too many.
func (d *Decoder) add(m *Message, start, end int) error {
	if len(m.Events) >= d.maxEvents {
		return &Error{CodeTooManyEvents, start, fmt.Sprintf("more than %d events", d.maxEvents)}
	}
	m.Events = append(m.Events, Span{uint32(start), uint32(end - start)})
	return nil
}
