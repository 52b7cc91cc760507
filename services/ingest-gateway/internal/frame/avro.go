package frame

import (
	"encoding/binary"
	"fmt"
)

// Avro decodes a message of playhead.v1.avro: uvarint seq, uvarint count, then count times a uvarint length and an event. previous is
// the seq of the message before, 0 at first. The events are not looked into. m.Events is overwritten and grown as needed.
func (d *Decoder) Avro(data []byte, previous uint64, m *Message) error {
	*m = Message{Events: m.Events[:0]}
	seq, n := binary.Uvarint(data)
	if n <= 0 {
		return malformed(0, "no seq")
	}
	if err := checkSeq(seq, previous, 0); err != nil {
		return err
	}
	m.Seq = seq
	at := n
	count, n := binary.Uvarint(data[at:])
	if n <= 0 {
		return malformed(at, "no count")
	}
	at += n
	if count > uint64(d.maxEvents) {
		return &Error{CodeTooManyEvents, at, fmt.Sprintf("more than %d events", d.maxEvents)}
	}
	for range count {
		length, n := binary.Uvarint(data[at:])
		if n <= 0 {
			return malformed(at, "no event length")
		}
		at += n
		if length > uint64(len(data)-at) {
			return malformed(at, "event longer than the message")
		}
		m.Events = append(m.Events, Span{uint32(at), uint32(length)})
		at += int(length)
	}
	if at != len(data) {
		return malformed(at, "bytes after the last event")
	}
	return nil
}

// AppendAvro appends a message of playhead.v1.avro to dst. It is what a client writes.
func AppendAvro(dst []byte, seq uint64, events ...[]byte) []byte {
	dst = binary.AppendUvarint(dst, seq)
	dst = binary.AppendUvarint(dst, uint64(len(events)))
	for _, event := range events {
		dst = AppendEvent(dst, event)
	}
	return dst
}

// AppendEvent appends (uvarint length, event), the form of an event in playhead.v1.avro and in a batch of ingest/v1.
func AppendEvent(dst, event []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(event))), event...)
}
