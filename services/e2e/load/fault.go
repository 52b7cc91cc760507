package load

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
)

// Fault is what is wrong with a broken event.
type Fault uint8

// Faults of an event. Which of them a source can make depends on its encoding.
const (
	NoFault Fault = iota
	MalformedJSON
	WrongType
	MissingField
	UnknownField
	RepeatedField
	InvalidKey
	Oversize
	UnknownSchema
	TruncatedAvro
	TrailingBytes
	BadFrame
	InvalidUTF8
)

// The cause that the dead letter and the client's verdict must name, as in ingest.proto without the prefix.
var faultCauses = [...]string{
	NoFault: "", MalformedJSON: "MALFORMED_JSON", WrongType: "TYPE_MISMATCH", MissingField: "MISSING_FIELD", UnknownField: "UNKNOWN_FIELD",
	RepeatedField: "DUPLICATE_FIELD", InvalidKey: "INVALID_KEY", Oversize: "TOO_LARGE", UnknownSchema: "UNKNOWN_SCHEMA",
	TruncatedAvro: "MALFORMED_AVRO", TrailingBytes: "TRAILING_BYTES", BadFrame: "MALFORMED_FRAME", InvalidUTF8: "INVALID_UTF8",
}

var (
	jsonFaults = []Fault{MalformedJSON, WrongType, MissingField, UnknownField, RepeatedField, InvalidKey}
	avroFaults = []Fault{UnknownSchema, TruncatedAvro, TrailingBytes, BadFrame, InvalidUTF8, InvalidKey}
)

const (
	// oversizeBytes is over the 256 KiB that one event may have.
	oversizeBytes = 300 << 10
	// oversizePerTenThousand of the broken events are too large; more would make the run a test of bandwidth.
	oversizePerTenThousand = 200
	// unknownSchemaID is an id that no registry hands out soon.
	unknownSchemaID = 0x7fff_fff0
)

// Cause returns the cause that a refusal for f must name.
func (f Fault) Cause() string { return faultCauses[f] }

// Fault returns what is wrong with event n of source.
func (g *Generator) Fault(source int, n uint64) Fault {
	r := g.rng(forFault, source, n)
	if !r.chance(g.params.Bad) {
		return NoFault
	}
	if r.chance(oversizePerTenThousand) {
		return Oversize
	}
	if g.Encoding(source) == JSON {
		return pick(&r, jsonFaults)
	}
	return pick(&r, avroFaults)
}

// EndsMessage says that an event must be the last of its message: an oversize one keeps the message within what gateways accept, and after a
// malformed JSON event nothing in the message can be told apart any more.
func (f Fault) EndsMessage() bool { return f == Oversize || f == MalformedJSON }

// Letter appends the bytes that the dead letter of event n must hold. Of malformed JSON these go on to the end of the message, since the
// gateway cannot know where the event ends.
func (g *Generator) Letter(dst []byte, e *Event, source int, n uint64) []byte {
	dst = g.Append(dst, e, source, n)
	if g.Fault(source, n) == MalformedJSON {
		dst = append(dst, messageEnd...)
	}
	return dst
}

// messageEnd closes a JSON message.
const messageEnd = "]}"

// Append appends the bytes that source's client sends for event n, its fault included. e is scratch space.
func (g *Generator) Append(dst []byte, e *Event, source int, n uint64) []byte {
	g.Fill(e, source, n)
	fault := g.Fault(source, n)
	switch fault {
	case NoFault:
	case InvalidKey:
		e.SessionID += ",x"
	case InvalidUTF8:
		e.TitleID = "title-\xff\xfe"
	case Oversize:
		e.TitleID = strings.Repeat("x", oversizeBytes)
	}
	version := g.SchemaVersion(source)
	at := len(dst)
	if g.Encoding(source) == JSON {
		dst = appendJSON(dst, e, version)
		if fault == NoFault {
			return dst
		}
		return append(dst[:at], breakJSON(dst[at:], fault)...)
	}
	id := g.params.SchemaIDs[version-1]
	if fault == UnknownSchema {
		id = unknownSchemaID
	}
	dst = appendFrame(dst, e, id, version)
	switch fault {
	case TruncatedAvro:
		// The last fields' bytes are cut; the id stays.
		dst = dst[:len(dst)-1-int(n%40)]
	case TrailingBytes:
		dst = append(dst, 0)
	case BadFrame:
		dst[at] = 1
	}
	return dst
}

// breakJSON returns a broken copy of a good event. Every fault leaves brackets and quotes balanced, so that the message around it stays
// readable.
func breakJSON(good []byte, fault Fault) []byte {
	switch fault {
	case MalformedJSON:
		return replaceMember(good, "sequence", `"sequence":-.,`)
	case WrongType:
		return replaceMember(good, "sequence", `"sequence":"seven",`)
	case MissingField:
		return replaceMember(good, "device_id", "")
	case UnknownField:
		return replaceMember(good, "sequence", `"sequence":1,"no_such_field":1,`)
	case RepeatedField:
		return replaceMember(good, "sequence", `"sequence":1,"sequence":2,`)
	default:
		return bytes.Clone(good)
	}
}

// replaceMember replaces the member `"name":value,` of a JSON object. The value must hold no comma and not be the last member.
func replaceMember(good []byte, name, with string) []byte {
	start := bytes.Index(good, []byte(`"`+name+`":`))
	end := start + bytes.IndexByte(good[start:], ',') + 1
	return slices.Concat(good[:start], []byte(with), good[end:])
}

// AppendMessage appends one WebSocket message of source with the events numbers: JSON text or Avro binary by the source's encoding.
func (g *Generator) AppendMessage(dst []byte, e *Event, source int, seq uint64, numbers []uint64) []byte {
	if g.Encoding(source) == JSON {
		dst = append(dst, `{"seq":`...)
		dst = strconv.AppendUint(dst, seq, 10)
		dst = append(dst, `,"schema":"playback-event","events":[`...)
		for i, n := range numbers {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = g.Append(dst, e, source, n)
		}
		return append(dst, messageEnd...)
	}
	dst = binary.AppendUvarint(dst, seq)
	dst = binary.AppendUvarint(dst, uint64(len(numbers)))
	var body []byte
	for _, n := range numbers {
		body = g.Append(body[:0], e, source, n)
		dst = binary.AppendUvarint(dst, uint64(len(body)))
		dst = append(dst, body...)
	}
	return dst
}
