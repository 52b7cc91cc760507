package convert

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/playhead-pipeline/playhead/services/internal/avroscan"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/record"
)

// Causes of refusals: the names of enum Cause of proto playhead.ingest.v1, without the prefix.
const (
	CauseMalformedFrame     = "MALFORMED_FRAME"
	CauseMalformedAvro      = "MALFORMED_AVRO"
	CauseTrailingBytes      = "TRAILING_BYTES"
	CauseTypeMismatch       = "TYPE_MISMATCH"
	CauseMissingField       = "MISSING_FIELD"
	CauseTooLarge           = "TOO_LARGE"
	CauseTooDeep            = "TOO_DEEP"
	CauseInvalidUTF8        = "INVALID_UTF8"
	CauseInvalidKey         = "INVALID_KEY"
	CauseInvalidTime        = "INVALID_TIME"
	CauseIncompatibleSchema = "INCOMPATIBLE_SCHEMA"
)

// Refusal says why an event can never become a row. Its text does not quote the event.
type Refusal struct {
	Cause, Path, Detail string
}

// Error names the field and what is wrong with it.
func (r *Refusal) Error() string {
	if r.Path == "" {
		return r.Detail
	}
	return "field " + r.Path + " " + r.Detail
}

func refuse(cause, path, format string, args ...any) error {
	return &Refusal{Cause: cause, Path: path, Detail: fmt.Sprintf(format, args...)}
}

// refuseBody translates what the walk over an event's bytes refused.
func refuseBody(err error) error {
	e, ok := errors.AsType[*avroscan.Error](err)
	if !ok {
		return refuse(CauseMalformedAvro, "", "%v", err)
	}
	cause := CauseMalformedAvro
	switch e.Cause {
	case avroscan.Malformed:
	case avroscan.OutOfRange:
		cause = CauseTypeMismatch
	case avroscan.Trailing:
		cause = CauseTrailingBytes
	case avroscan.TooLarge:
		cause = CauseTooLarge
	case avroscan.TooDeep:
		cause = CauseTooDeep
	case avroscan.InvalidUTF8:
		cause = CauseInvalidUTF8
	}
	return refuse(cause, e.Path, "is wrong: %s at byte %d of the body", e.Cause, e.Offset)
}

// refused makes the record of a refusal.
func (b *batch) refused(chunk record.Chunk, r record.Record, why *Refusal) record.Refused {
	out := record.Refused{
		Topic: chunk.Topic, Partition: chunk.Partition, Offset: r.Offset, Timestamp: r.Timestamp, Value: append([]byte(nil), r.Value...),
		EventID: b.eventID, Cause: why.Cause, Path: why.Path, Detail: why.Detail,
	}
	if len(r.Value) >= frameBytes && r.Value[0] == frameMagic {
		out.Schema = int(binary.BigEndian.Uint32(r.Value[1:frameBytes]))
	}
	return out
}

// halt is the refusal where nothing takes refused events.
func (r *Refusal) halt(offset int64) error {
	return &record.HaltError{Reason: "the event at offset " + strconv.FormatInt(offset, 10) + " cannot become a row: " + r.Error()}
}

// Clamp is how far an event's time may be from the time at which Kafka got it; zero is no bound. It compares two times of the record, so
// that reading it again gives the same verdict.
type Clamp struct {
	Past, Future time.Duration
}

func (c Clamp) check(micros, kafkaMillis int64) error {
	behind := time.Duration(kafkaMillis-micros/1000) * time.Millisecond
	switch {
	case c.Past > 0 && kafkaMillis-micros/1000 > c.Past.Milliseconds():
		return refuse(CauseInvalidTime, "", "the event time is %v before the record's, more than %v", behind, c.Past)
	case c.Future > 0 && micros/1000-kafkaMillis > c.Future.Milliseconds():
		return refuse(CauseInvalidTime, "", "the event time is %v after the record's, more than %v", -behind, c.Future)
	default:
		return nil
	}
}
