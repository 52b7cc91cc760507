package rollup

import (
	"errors"
	"fmt"
	"time"

	"github.com/playhead-pipeline/playhead/schemas/annotation"
	"github.com/playhead-pipeline/playhead/services/internal/avroscan"
)

// Domain is the "playhead.domain" of schemas whose events are rolled up.
const Domain = "playback"

// ErrDomain is returned by Compile for a schema of another domain.
var ErrDomain = errors.New("the schema's events belong to no playback sessions")

// ErrStart is returned for an event whose session has no partition to be in.
var ErrStart = errors.New("the session's start is outside the years 1 to 9999")

// Years that a partition path can name with four digits.
var (
	minStart = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	endStart = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
)

// Kind is the type of an event as far as sessions are concerned.
type Kind uint8

// The kinds. Other is every type that a session's numbers do not depend on, as heartbeat.
const (
	Other Kind = iota
	Start
	Pause
	Resume
	Seek
	BufferStart
	BufferEnd
	AdStart
	AdEnd
	Fault
	Stop
	kinds
)

// kindOf reads the value of the field with the role event_type.
func kindOf(text []byte) Kind {
	switch string(text) {
	case "start":
		return Start
	case "pause":
		return Pause
	case "resume":
		return Resume
	case "seek":
		return Seek
	case "buffer_start":
		return BufferStart
	case "buffer_end":
		return BufferEnd
	case "ad_start":
		return AdStart
	case "ad_end":
		return AdEnd
	case "error":
		return Fault
	case "stop":
		return Stop
	}
	return Other
}

// Event is what the roll-up takes of an event.
type Event struct {
	// Session is the session's id. It is a part of the event's bytes.
	Session []byte
	// Start and Time are in microseconds since the Unix epoch.
	Start, Time int64
	Sequence    int64
	// Position is the place in the title in milliseconds, if HasPosition is set.
	Position    int64
	HasPosition bool
	// Bitrate is in kilobits per second, -1 when the event does not tell.
	Bitrate int32
	Kind    Kind
	// Error says that the event reports a fault, Fatal that the fault ended the playback.
	Error, Fatal bool
}

// Fields are the places of a schema's fields that the roll-up reads. They are safe for concurrent use.
type Fields struct {
	session, kind, time, start, sequence int
	position, bitrate, fault, fatal      int // -1: the schema has none
}

// Compile finds the fields of a schema by their roles; program is the same schema compiled. A schema without one of the roles session_id,
// event_type, event_time, session_start and sequence, or where one of them may be null, cannot be rolled up exactly and is refused; the
// others are optional.
func Compile(contract *annotation.Contract, program *avroscan.Program) (*Fields, error) {
	if contract.Domain != Domain {
		return nil, ErrDomain
	}
	f := &Fields{}
	for _, r := range []struct {
		role     string
		slot     *int
		required bool
	}{
		{annotation.RoleSessionID, &f.session, true},
		{annotation.RoleEventType, &f.kind, true},
		{annotation.RoleEventTime, &f.time, true},
		{annotation.RoleSessionStart, &f.start, true},
		{annotation.RoleSequence, &f.sequence, true},
		{annotation.RolePosition, &f.position, false},
		{annotation.RoleBitrate, &f.bitrate, false},
		{annotation.RoleError, &f.fault, false},
		{annotation.RoleErrorFatal, &f.fatal, false},
	} {
		var err error
		if *r.slot, err = slotOf(contract, program, r.role, r.required); err != nil {
			return nil, err
		}
	}
	if f.fault >= 0 && !program.Slots()[f.fault].Nullable {
		f.fault = -1 // there in every event, so it does not tell which ones report a fault
	}
	return f, nil
}

func slotOf(contract *annotation.Contract, program *avroscan.Program, role string, required bool) (int, error) {
	path, ok := contract.Role(role)
	if !ok {
		if required {
			return 0, fmt.Errorf("no field has the role %s, which sessions need", role)
		}
		return -1, nil
	}
	slot, ok := program.Slot(path)
	if !ok {
		return 0, fmt.Errorf("field %s of the role %s is not in the program", path, role)
	}
	for at := slot; required && at >= 0; at = program.Slots()[at].Parent {
		if program.Slots()[at].Nullable {
			return 0, fmt.Errorf("field %s of the role %s may be null, which sessions do not allow", path, role)
		}
	}
	return slot, nil
}

// Event takes an event out of a body and the spans that the program's Scan found in it. It allocates only to return an error, ErrStart.
func (f *Fields) Event(body []byte, spans []avroscan.Span) (Event, error) {
	e := Event{Bitrate: unknown}
	e.Session, _ = avroscan.ReadString(body, spans[f.session].Value)
	text, _ := avroscan.ReadString(body, spans[f.kind].Value)
	e.Kind = kindOf(text)
	e.Time, _ = avroscan.ReadLong(body, spans[f.time].Value)
	e.Start, _ = avroscan.ReadLong(body, spans[f.start].Value)
	e.Sequence, _ = avroscan.ReadLong(body, spans[f.sequence].Value)
	if at := valueOf(spans, f.position); at >= 0 {
		e.Position, _ = avroscan.ReadLong(body, at)
		e.HasPosition = true
	}
	if at := valueOf(spans, f.bitrate); at >= 0 {
		// A negative bitrate is none. The scan has seen that it fits.
		rate, _ := avroscan.ReadLong(body, at)
		e.Bitrate = int32(max(rate, unknown))
	}
	e.Error = e.Kind == Fault || valueOf(spans, f.fault) >= 0
	if at := valueOf(spans, f.fatal); at >= 0 {
		e.Fatal = e.Error && body[at] == 1
	}
	if e.Start < minStart || e.Start >= endStart {
		return e, ErrStart
	}
	return e, nil
}

// valueOf is where an optional field's value begins, -1 if there is none.
func valueOf(spans []avroscan.Span, slot int) int {
	if slot < 0 {
		return -1
	}
	return spans[slot].Value
}
