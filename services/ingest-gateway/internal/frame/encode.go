package frame

import (
	"strconv"
	"unicode/utf8"
)

// LevelReplicated is the level of an ack whose events Kafka has acknowledged with acks=all.
const LevelReplicated = "replicated"

// Hello is the first message of the server.
type Hello struct {
	Connection       string // names the connection in logs
	MaxMessageBytes  int64
	MaxInFlightBytes int64
	Levels           []string // levels that acks can have
}

// Rejection names a refused event. It is durable in the dead-letter topic.
type Rejection struct {
	Seq   uint64 // message of the client
	Index uint32 // position in the message, from 0
	Cause string // name of the cause without its prefix
	Path  string // field path; empty when the whole event is at fault
}

// AppendHello appends the hello message to dst.
func AppendHello(dst []byte, h Hello) []byte {
	dst = append(dst, `{"hello":{"connection":`...)
	dst = appendText(dst, h.Connection)
	dst = append(dst, `,"max_message_bytes":`...)
	dst = strconv.AppendInt(dst, h.MaxMessageBytes, 10)
	dst = append(dst, `,"max_in_flight_bytes":`...)
	dst = strconv.AppendInt(dst, h.MaxInFlightBytes, 10)
	dst = append(dst, `,"levels":[`...)
	for i, level := range h.Levels {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendText(dst, level)
	}
	return append(dst, `]}}`...)
}

// AppendAck appends a cumulative ack with the refused events among what it covers.
func AppendAck(dst []byte, ack uint64, level string, rejected []Rejection) []byte {
	dst = append(dst, `{"ack":`...)
	dst = strconv.AppendUint(dst, ack, 10)
	dst = append(dst, `,"level":`...)
	dst = appendText(dst, level)
	if len(rejected) > 0 {
		dst = append(dst, `,"rejected":[`...)
		for i := range rejected {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendRejection(dst, &rejected[i])
		}
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

func appendRejection(dst []byte, r *Rejection) []byte {
	dst = append(dst, `{"seq":`...)
	dst = strconv.AppendUint(dst, r.Seq, 10)
	dst = append(dst, `,"index":`...)
	dst = strconv.AppendUint(dst, uint64(r.Index), 10)
	dst = append(dst, `,"cause":`...)
	dst = appendText(dst, r.Cause)
	if r.Path != "" {
		dst = append(dst, `,"path":`...)
		dst = appendText(dst, r.Path)
	}
	return append(dst, '}')
}

// appendText appends s as a JSON string. A path can hold member names that a client invented: everything that JSON or UTF-8 forbids
// is escaped or replaced.
func appendText(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range s { // invalid UTF-8 becomes U+FFFD
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}
