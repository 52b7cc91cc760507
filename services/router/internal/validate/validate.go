// Package validate decides whether an event may be published: its frame, its size, the shape of its Avro body, its key fields and its time. It
// is pure: the time is an argument. The walk over the bytes is avroscan's; what a refused event becomes is for its callers.
package validate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/playhead-pipeline/playhead/schemas/annotation"
	"github.com/playhead-pipeline/playhead/services/internal/avroscan"
)

// Cause is why an event is refused. The texts are the names of playhead.ingest.v1.Cause without their prefix: clients see them, and they stand
// in the header of a dead letter. They are stable for ever.
type Cause string

// The causes.
const (
	MalformedJSON  Cause = "MALFORMED_JSON"
	MalformedFrame Cause = "MALFORMED_FRAME"
	MalformedAvro  Cause = "MALFORMED_AVRO"
	TrailingBytes  Cause = "TRAILING_BYTES"
	UnknownSchema  Cause = "UNKNOWN_SCHEMA"
	TypeMismatch   Cause = "TYPE_MISMATCH"
	MissingField   Cause = "MISSING_FIELD"
	UnknownField   Cause = "UNKNOWN_FIELD"
	TooLarge       Cause = "TOO_LARGE"
	TooDeep        Cause = "TOO_DEEP"
	InvalidUTF8    Cause = "INVALID_UTF8"
	InvalidKey     Cause = "INVALID_KEY"
	InvalidTime    Cause = "INVALID_TIME"
	DuplicateField Cause = "DUPLICATE_FIELD"
	// Unspecified is a defect of the router: the event met a panic.
	Unspecified Cause = "UNSPECIFIED"
)

// Violation says why an event is refused. It never quotes a value of the event.
type Violation struct {
	Cause Cause
	// Path is that of the field at fault, empty when it is the whole event.
	Path   string
	Detail string
}

func (v *Violation) Error() string {
	if v.Path == "" {
		return string(v.Cause) + ": " + v.Detail
	}
	return string(v.Cause) + " at " + v.Path + ": " + v.Detail
}

// maxKeyChars is what record keys take: longer ones bloat every index of the table.
const maxKeyChars = 256

// frameSize is the Confluent wire format's prefix: a zero byte and the schema id.
const frameSize = 5

// Frame splits a Confluent-framed event.
func Frame(event []byte) (id int32, body []byte, err error) {
	if len(event) < frameSize || event[0] != 0 {
		return 0, nil, &Violation{Cause: MalformedFrame, Detail: "the event does not begin with a zero byte and a 4-byte schema id"}
	}
	id = int32(binary.BigEndian.Uint32(event[1:]))
	if id < 0 {
		return 0, nil, &Violation{Cause: MalformedFrame, Detail: "the schema id is negative"}
	}
	return id, event[frameSize:], nil
}

// AppendFrame appends the prefix of a Confluent-framed event.
func AppendFrame(dst []byte, id int32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, 0), uint32(id))
}

// Limits bounds event times, relative to when the gateway received the event.
type Limits struct {
	MaxPast, MaxFuture time.Duration
}

// Checker checks the bodies of one schema. It is immutable and safe for concurrent use.
type Checker struct {
	program *avroscan.Program
	slots   []avroscan.Slot
	// EventID, SessionID and EventTime are the slots of the key fields.
	EventID, SessionID, EventTime int
	// toMicros turns the unit of the event time into microseconds.
	toMicros int64
}

// NewChecker finds the key fields of a schema.
func NewChecker(p *avroscan.Program, c *annotation.Contract) (*Checker, error) {
	checker := &Checker{program: p, slots: p.Slots(), toMicros: 1}
	for _, role := range []struct {
		name string
		slot *int
		kind avroscan.Kind
	}{
		{annotation.RoleEventID, &checker.EventID, avroscan.String},
		{annotation.RoleSessionID, &checker.SessionID, avroscan.String},
		{annotation.RoleEventTime, &checker.EventTime, avroscan.Long},
	} {
		path, ok := c.Role(role.name)
		if !ok {
			return nil, fmt.Errorf("no field has the role %s", role.name)
		}
		slot, ok := p.Slot(path)
		if !ok || p.Slots()[slot].Type.Kind != role.kind {
			return nil, fmt.Errorf("field %s with the role %s is not a single %s", path, role.name, role.kind)
		}
		*role.slot = slot
	}
	if p.Slots()[checker.EventTime].Type.Logical == "timestamp-millis" {
		checker.toMicros = 1000
	}
	return checker, nil
}

// Scan walks a body into spans, of which there must be one per slot of the schema. It returns nil or a *Violation; the spans are valid only
// without one.
func (c *Checker) Scan(body []byte, spans []avroscan.Span) error {
	if err := c.program.Scan(body, spans); err != nil {
		return fromScan(err)
	}
	return nil
}

// Check checks the key fields and the time of a body that was scanned. It returns nil or a *Violation.
func (c *Checker) Check(body []byte, spans []avroscan.Span, receivedAtMicros int64, limits Limits) error {
	for _, slot := range [2]int{c.EventID, c.SessionID} {
		if err := c.checkKey(body, spans[slot], slot); err != nil {
			return err
		}
	}
	s := spans[c.EventTime]
	if s.Value < 0 {
		return &Violation{Cause: MissingField, Path: c.slots[c.EventTime].Path, Detail: "the event time is missing"}
	}
	eventTime, _ := avroscan.ReadLong(body, s.Value)
	if !within(eventTime, c.toMicros, receivedAtMicros, limits) {
		return &Violation{
			Cause: InvalidTime, Path: c.slots[c.EventTime].Path,
			Detail: fmt.Sprintf("the event time must lie from %s before to %s after the event was received", limits.MaxPast, limits.MaxFuture),
		}
	}
	return nil
}

// EventIDText returns the event id of a body that was scanned, if it is one.
func (c *Checker) EventIDText(body []byte, spans []avroscan.Span) (string, bool) {
	if c.checkKey(body, spans[c.EventID], c.EventID) != nil {
		return "", false
	}
	return string(Key(body, spans[c.EventID])), true
}

// within compares in microseconds. The bounds cannot overflow; the event time could, so it is divided instead of multiplied.
func within(eventTime, toMicros, receivedAt int64, limits Limits) bool {
	earliest, latest := receivedAt-limits.MaxPast.Microseconds(), receivedAt+limits.MaxFuture.Microseconds()
	return eventTime >= earliest/toMicros && eventTime <= latest/toMicros
}

// Key returns the value of a key field.
func Key(body []byte, s avroscan.Span) []byte {
	value, _ := avroscan.ReadString(body, s.Value)
	return value
}

func (c *Checker) checkKey(body []byte, s avroscan.Span, slot int) error {
	if s.Value < 0 {
		return &Violation{Cause: MissingField, Path: c.slots[slot].Path, Detail: "the key field is missing"}
	}
	if reason := keyFault(Key(body, s)); reason != "" {
		return &Violation{Cause: InvalidKey, Path: c.slots[slot].Path, Detail: reason}
	}
	return nil
}

// keyFault tells what is wrong with a key, empty when nothing is. A comma separates the fields of a record key, and Spark, which takes the
// fields of the bucket hash out of the key's text, does not escape it.
func keyFault(key []byte) string {
	if len(key) == 0 {
		return "the key field is empty"
	}
	chars := 0
	for i := 0; i < len(key); chars++ {
		b := key[i]
		if b < utf8.RuneSelf {
			if b == ',' || b < 0x20 || b == 0x7f {
				return "the key field holds a comma or a control character"
			}
			i++
			continue
		}
		r, size := utf8.DecodeRune(key[i:])
		if unicode.IsControl(r) {
			return "the key field holds a comma or a control character"
		}
		i += size
	}
	if chars > maxKeyChars {
		return fmt.Sprintf("the key field has more than %d characters", maxKeyChars)
	}
	return ""
}

// fromScan translates what the walk over the bytes refused.
func fromScan(err error) error {
	e, ok := errors.AsType[*avroscan.Error](err)
	if !ok {
		return &Violation{Cause: MalformedAvro, Detail: "the body cannot be read"}
	}
	cause := MalformedAvro
	switch e.Cause {
	case avroscan.Malformed:
	case avroscan.OutOfRange:
		cause = TypeMismatch
	case avroscan.Trailing:
		cause = TrailingBytes
	case avroscan.TooLarge:
		cause = TooLarge
	case avroscan.TooDeep:
		cause = TooDeep
	case avroscan.InvalidUTF8:
		cause = InvalidUTF8
	}
	return &Violation{Cause: cause, Path: e.Path, Detail: fmt.Sprintf("%s at byte %d of the body", e.Cause, e.Offset)}
}
