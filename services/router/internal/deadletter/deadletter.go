// Package deadletter makes the records of refused events: the original bytes as the value, and headers that say who sent them and why they
// were refused. It is pure; writing them is for others.
package deadletter

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/crc32"
	"strconv"
	"unicode/utf8"

	"github.com/playhead-pipeline/playhead/services/router/internal/record"
	"github.com/playhead-pipeline/playhead/services/router/internal/validate"
)

// Names of the headers.
const (
	HeaderCause      = "playhead.cause"
	HeaderDetail     = "playhead.detail"
	HeaderPath       = "playhead.path"
	HeaderTenant     = "playhead.tenant"
	HeaderSource     = "playhead.source"
	HeaderSchema     = "playhead.schema"
	HeaderEncoding   = "playhead.encoding"
	HeaderReceivedAt = "playhead.received_at"
	HeaderAttempt    = "playhead.attempt"
	HeaderEventID    = "playhead.event_id"
	// HeaderOriginalBytes and HeaderOriginalSHA256 are there only when the value is cut off, because the topic did not take the whole.
	HeaderOriginalBytes  = "playhead.original_bytes"
	HeaderOriginalSHA256 = "playhead.original_sha256"
)

// TruncatedBytes is what is kept of an event that its dead-letter topic does not take.
const TruncatedBytes = 64 << 10

// maxHeaderText bounds what a schema or a sender can put into a header.
const maxHeaderText = 256

// Letter is a refused event.
type Letter struct {
	// Original is the event as the client sent it.
	Original  []byte
	Violation *validate.Violation
	// Tenant and Source are the gateway's, Schema the name (JSON) or the id (Avro), Encoding "json" or "avro".
	Tenant, Source, Schema, Encoding string
	ReceivedAtMicros                 int64
	// EventID is set when it could be found.
	EventID string
}

// Record returns the record to write to a dead-letter topic of so many partitions. It has no key; the partition follows from the bytes, so that a
// resend lands where the first copy did. Its tag is the caller's.
func (l *Letter) Record(partitions int32, tag uint32) record.Record {
	headers := []record.Header{
		{Key: HeaderCause, Value: []byte(l.Violation.Cause)},
		{Key: HeaderDetail, Value: text(l.Violation.Detail)},
		{Key: HeaderPath, Value: text(l.Violation.Path)},
		{Key: HeaderTenant, Value: text(l.Tenant)},
		{Key: HeaderSource, Value: text(l.Source)},
		{Key: HeaderSchema, Value: text(l.Schema)},
		{Key: HeaderEncoding, Value: []byte(l.Encoding)},
		{Key: HeaderReceivedAt, Value: strconv.AppendInt(nil, l.ReceivedAtMicros, 10)},
		// The first attempt; tools that replay dead letters count on.
		{Key: HeaderAttempt, Value: []byte("1")},
	}
	if l.EventID != "" {
		headers = append(headers, record.Header{Key: HeaderEventID, Value: text(l.EventID)})
	}
	return record.Record{
		Partition: int32(crc32.ChecksumIEEE(l.Original) % uint32(partitions)),
		Value:     l.Original,
		Headers:   headers,
		Millis:    l.ReceivedAtMicros / 1000,
		Tag:       tag,
	}
}

// Truncated returns the record for a topic that refused the whole event as too large: its beginning, and in headers its length and hash.
func (l *Letter) Truncated(partitions int32, tag uint32) record.Record {
	r := l.Record(partitions, tag)
	sum := sha256.Sum256(l.Original)
	r.Value = l.Original[:min(len(l.Original), TruncatedBytes)]
	r.Headers = append(r.Headers,
		record.Header{Key: HeaderOriginalBytes, Value: strconv.AppendInt(nil, int64(len(l.Original)), 10)},
		record.Header{Key: HeaderOriginalSHA256, Value: []byte(hex.EncodeToString(sum[:]))})
	return r
}

// text cuts a header at a rune's border.
func text(s string) []byte {
	if len(s) > maxHeaderText {
		cut := maxHeaderText
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut]
	}
	return []byte(s)
}
