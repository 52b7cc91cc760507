package frame

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// JSON decodes a message of playhead.v1.json, {"seq":N,"schema":"name","events":[...]} with the members in any order and no others.
// previous is the seq of the message before, 0 at first. m.Events is overwritten and grown as needed; all else is found in data.
//
// An element of events is any well-formed JSON value. When an element is not well-formed and seq and schema stand before events, the
// message is recovered: the elements before it are events as usual, and everything from the broken element to the end of the message
// is one more event (empty when the message was cut right there). The router finds it malformed and keeps it as a dead letter, so
// that one broken event neither costs the connection nor is resent for ever. A message that cannot be read otherwise is an *Error.
func (d *Decoder) JSON(data []byte, previous uint64, m *Message) error {
	*m = Message{Events: m.Events[:0]}
	e := envelope{data: data}
	i := skipSpace(data, 0)
	if i >= len(data) || data[i] != '{' {
		return malformed(i, "not a JSON object")
	}
	i = skipSpace(data, i+1)
	for {
		name, next, err := e.memberName(i)
		if err != nil {
			return err
		}
		i = next
		switch name {
		case "seq":
			i, err = e.readSeq(i, previous, m)
		case "schema":
			i, err = e.readSchema(i, m)
		case "events":
			if e.seenEvents {
				return malformed(i, "events occurs twice")
			}
			e.seenEvents = true
			var recovered bool
			if i, recovered, err = d.events(data, i, e.seenSeq && e.seenSchema, m); recovered {
				return err
			}
		default:
			return malformed(i, "a member other than seq, schema and events")
		}
		if err != nil {
			return err
		}
		i = skipSpace(data, i)
		if i < len(data) && data[i] == ',' {
			i = skipSpace(data, i+1)
			continue
		}
		return e.finish(i)
	}
}

// Array finds the elements of a JSON array. A broken element is recovered as in JSON: it and all after it become one event.
func (d *Decoder) Array(data []byte, m *Message) error {
	*m = Message{Events: m.Events[:0]}
	i, recovered, err := d.events(data, skipSpace(data, 0), true, m)
	if err != nil || recovered {
		return err
	}
	if i = skipSpace(data, i); i < len(data) {
		return d.add(m, i, len(data))
	}
	return nil
}

// Lines finds the lines of data that are not blank.
func (d *Decoder) Lines(data []byte, m *Message) error {
	*m = Message{Events: m.Events[:0]}
	for start := 0; start < len(data); {
		end := len(data)
		if i := bytes.IndexByte(data[start:], '\n'); i >= 0 {
			end = start + i
		}
		if from := skipSpace(data[:end], start); from < end {
			if err := d.add(m, from, end); err != nil {
				return err
			}
		}
		start = end + 1
	}
	return nil
}

// events reads the array at data[i] into m. With recoverable, a broken element ends the message as one last event.
func (d *Decoder) events(data []byte, i int, recoverable bool, m *Message) (next int, recovered bool, err error) {
	if i >= len(data) || data[i] != '[' {
		return i, false, malformed(i, "events is not an array")
	}
	i = skipSpace(data, i+1)
	if i < len(data) && data[i] == ']' {
		return i + 1, false, nil
	}
	for {
		end, ok := d.value(data, i)
		after := skipSpace(data, end)
		switch {
		case !ok:
			return d.recover(data, i, recoverable, m)
		case after < len(data) && (data[after] == ',' || data[after] == ']'):
			if err := d.add(m, i, end); err != nil {
				return end, false, err
			}
		default: // the element is followed by something that cannot be: which of the two is broken is not known
			if err := d.add(m, i, end); err != nil {
				return end, false, err
			}
			return d.recover(data, after, recoverable, m)
		}
		if data[after] == ']' {
			return after + 1, false, nil
		}
		i = skipSpace(data, after+1)
	}
}

func (d *Decoder) recover(data []byte, i int, recoverable bool, m *Message) (int, bool, error) {
	if !recoverable {
		return i, false, malformed(i, "broken event before seq and schema")
	}
	return len(data), true, d.add(m, i, len(data))
}

// envelope is the state of reading the members around the events.
type envelope struct {
	data                            []byte
	seenSeq, seenSchema, seenEvents bool
}

// memberName returns the name at i and the offset of its value. The names of the protocol need no escapes: another spelling of them
// is refused as an unknown member.
func (e *envelope) memberName(i int) (string, int, error) {
	end, ok := memberName(e.data, i)
	if !ok {
		return "", end, malformed(end, "expected a member of the message")
	}
	for _, name := range [...]string{"seq", "schema", "events"} {
		if n := len(name); len(e.data)-i > n+1 && string(e.data[i+1:i+1+n]) == name && e.data[i+1+n] == '"' {
			return name, end, nil
		}
	}
	return "", end, nil
}

func (e *envelope) readSeq(i int, previous uint64, m *Message) (int, error) {
	if e.seenSeq {
		return i, malformed(i, "seq occurs twice")
	}
	e.seenSeq = true
	end := digits(e.data, i)
	if end == i || e.data[i] == '0' && end > i+1 {
		return i, malformed(i, "seq is not a whole number")
	}
	for _, c := range e.data[i:end] {
		digit := uint64(c - '0')
		if m.Seq > (1<<64-1-digit)/10 {
			return i, malformed(i, "seq is over 2^64-1")
		}
		m.Seq = m.Seq*10 + digit
	}
	return end, checkSeq(m.Seq, previous, i)
}

func (e *envelope) readSchema(i int, m *Message) (int, error) {
	if e.seenSchema {
		return i, malformed(i, "schema occurs twice")
	}
	e.seenSchema = true
	end, ok := text(e.data, i)
	if !ok {
		return end, malformed(end, "schema is not a string")
	}
	m.Schema = e.data[i+1 : end-1]
	if len(m.Schema) == 0 || len(m.Schema) > MaxSchemaName {
		return i, &Error{CodeBadSchema, i, "a schema name has 1 to " + strconv.Itoa(MaxSchemaName) + " bytes"}
	}
	// Names travel on in protobuf strings and headers: plain UTF-8 only.
	for _, c := range m.Schema {
		if c == '\\' || c == 0x7f {
			return i, &Error{CodeBadSchema, i, "a schema name has no escapes and no control characters"}
		}
	}
	if !utf8.Valid(m.Schema) {
		return i, &Error{CodeBadSchema, i, "the schema name is not UTF-8"}
	}
	return end, nil
}

// finish checks what follows the last member.
func (e *envelope) finish(i int) error {
	if i >= len(e.data) || e.data[i] != '}' {
		return malformed(i, "expected , or } after a member of the message")
	}
	if end := skipSpace(e.data, i+1); end < len(e.data) {
		return malformed(end, "bytes after the message")
	}
	switch {
	case !e.seenSeq:
		return malformed(i, "seq is missing")
	case !e.seenSchema:
		return &Error{CodeBadSchema, i, "schema is missing"}
	case !e.seenEvents:
		return malformed(i, "events is missing")
	}
	return nil
}

// Member returns the place of the value at path in the JSON object data; ok is false when it is not there or data is not well-formed
// up to it. Names are compared as they are written, so a name with escapes is not found.
func (d *Decoder) Member(data []byte, path []string) (place Span, ok bool) {
	i := skipSpace(data, 0)
	for _, name := range path {
		if i, ok = d.member(data, i, name); !ok {
			return Span{}, false
		}
	}
	end, ok := d.value(data, i)
	return Span{uint32(i), uint32(end - i)}, ok
}

// member returns the offset of the value called name in the object at data[i].
func (d *Decoder) member(data []byte, i int, name string) (int, bool) {
	if i >= len(data) || data[i] != '{' {
		return i, false
	}
	for {
		i = skipSpace(data, i+1) // over { or ,
		start := i
		end, ok := text(data, i)
		if !ok {
			return end, false
		}
		value, ok := memberName(data, start)
		if !ok {
			return value, false
		}
		if string(data[start+1:end-1]) == name {
			return value, true
		}
		if i, ok = d.value(data, value); !ok {
			return i, false
		}
		if i = skipSpace(data, i); i >= len(data) || data[i] != ',' {
			return i, false
		}
	}
}

func malformed(at int, detail string) error { return &Error{CodeMalformed, at, detail} }
