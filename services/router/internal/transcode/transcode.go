// Package transcode turns one JSON event into the Avro binary of its schema: it reads the text once, directed by the schema's
// type tree, and appends each value where the schema wants it, without building values in between.
//
// It owns the mapping from JSON to Avro and strict JSON itself: nothing is guessed, rounded, cut or ignored. Which schema an
// event has, what its fields mean and whether the result is accepted are for others. It is pure: bytes in, bytes out.
//
// The mapping, by type of the field:
//
//   - null, boolean: the literals.
//   - int, long: a number that is integral and in range, in any notation (1e3, 2.50e1); timestamps also as RFC 3339 text,
//     whose digits beyond the type's unit are cut off.
//   - float, double: a number in range, rounded to the nearest value.
//   - decimal: a number or a text that holds one; it must be exact in the scale and within the precision.
//   - string, enum: a text. An enum's text is one of its symbols.
//   - bytes, fixed: a text in standard base64 with padding.
//   - array: a list. map, record: an object.
//   - a union of null and another type: null, or the other type's value written plainly.
//
// Members of an object come in any order. A member that is left out takes the field's default; null if there is none and
// the field is nullable. Unknown members and members that occur twice are refused. Unions of several types besides null have no
// plain form: their values are refused as of the wrong type.
package transcode

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/playhead-pipeline/playhead/services/internal/avroscan"
)

// Cause classifies why an event is refused.
type Cause uint8

// The causes of a refusal.
const (
	// MalformedJSON is a text that is not one JSON object.
	MalformedJSON Cause = iota + 1
	// TypeMismatch is a value of another type than its field, or out of the type's range.
	TypeMismatch
	// MissingField is a field that has no default and is left out, or is null without being nullable.
	MissingField
	// UnknownField is a member that the schema does not have.
	UnknownField
	// DuplicateField is a member or a key of a map that occurs twice in one object.
	DuplicateField
	// TooLarge is an event, or one text in it, over a size limit.
	TooLarge
	// TooDeep is more elements in arrays and maps than the limit of one event allows.
	TooDeep
	// InvalidUTF8 is text that is not UTF-8, or an escape of half a surrogate pair.
	InvalidUTF8
)

var causeNames = [...]string{
	MalformedJSON: "malformed JSON", TypeMismatch: "type mismatch", MissingField: "missing field", UnknownField: "unknown field",
	DuplicateField: "duplicate field", TooLarge: "too large", TooDeep: "too many elements", InvalidUTF8: "invalid UTF-8",
}

func (c Cause) String() string {
	if int(c) < len(causeNames) && c > 0 {
		return causeNames[c]
	}
	return "cause " + strconv.Itoa(int(c))
}

// Error says why and where an event was refused. Its text quotes no value: events hold personal data.
type Error struct {
	Cause Cause
	// Path names the field, as "error.code" or "audio_tracks[3]"; entries of maps are numbered, since keys are data. An
	// unknown member is named only if it looks like a name.
	Path string
	// Offset is the place in the text, in bytes, where the refused part begins.
	Offset int
}

func (e *Error) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("json event: %s at byte %d", e.Cause, e.Offset)
	}
	return fmt.Sprintf("json event: field %s: %s at byte %d", e.Path, e.Cause, e.Offset)
}

// Limits bounds one event. A zero value of a field means its default.
type Limits struct {
	// MaxJSONBytes is the size of the text, 256 KiB by default.
	MaxJSONBytes int
	// MaxEventBytes is the size of the result, which defaults of the schema can make much larger than the text; 256 KiB by
	// default.
	MaxEventBytes int
	// MaxValueBytes is the size of one text, 256 KiB by default.
	MaxValueBytes int
	// MaxElements counts array items and map entries of one event together, 10,000 by default.
	MaxElements int
}

func (l Limits) withDefaults() Limits {
	for _, v := range []*int{&l.MaxJSONBytes, &l.MaxEventBytes, &l.MaxValueBytes} {
		if *v == 0 {
			*v = 256 << 10
		}
	}
	if l.MaxElements == 0 {
		l.MaxElements = 10_000
	}
	return l
}

// Transcoder turns JSON events of one schema into Avro. It is safe for concurrent use.
type Transcoder struct {
	root    *record
	limits  Limits
	scratch sync.Pool // of *state
}

// New makes a transcoder for events of a record type.
func New(root *avroscan.Type, l Limits) *Transcoder {
	b := builder{records: map[*avroscan.Type]*record{}}
	t := &Transcoder{root: b.record(root), limits: l.withDefaults()}
	t.scratch.New = func() any { return new(state) }
	return t
}

// AppendAvro appends the Avro binary of one event to dst and returns the extended slice. On an *Error it returns dst as it
// was. It allocates only when dst or its scratch memory must grow, and for an error.
func (t *Transcoder) AppendAvro(dst, json []byte) ([]byte, error) {
	if len(json) > t.limits.MaxJSONBytes {
		return dst, &Error{Cause: TooLarge, Offset: t.limits.MaxJSONBytes}
	}
	s, _ := t.scratch.Get().(*state)
	s.reset(json, len(dst), t.limits)
	out, ok := s.event(dst, t.root)
	var err error
	if !ok {
		out, err = dst, s.err()
	}
	s.json = nil
	t.scratch.Put(s)
	return out, err
}

// step is one part of an error's path.
type step struct {
	name  string // empty for an element
	index int
}

// err builds the error from the steps that the failed calls left, innermost first.
func (s *state) err() *Error {
	var b strings.Builder
	for i := len(s.path) - 1; i >= 0; i-- {
		switch p := s.path[i]; {
		case p.name == "":
			b.WriteString("[" + strconv.Itoa(p.index) + "]")
		case b.Len() == 0:
			b.WriteString(p.name)
		default:
			b.WriteString("." + p.name)
		}
	}
	return &Error{Cause: s.cause, Path: b.String(), Offset: s.offset}
}
