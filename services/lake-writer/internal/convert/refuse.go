package convert

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	ingestv1 "github.com/playhead-pipeline/playhead/proto/ingest/v1"
	"github.com/playhead-pipeline/playhead/services/internal/avroscan"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/record"
)

// Refusal says why an event can never become a row. Its text does not quote the event.
type Refusal struct {
	Cause        ingestv1.Cause
	Path, Detail string
}

// Error names the field and what is wrong with it.
func (r *Refusal) Error() string {
	if r.Path == "" {
		return r.Detail
	}
	return "field " + r.Path + " " + r.Detail
}

func refuse(cause ingestv1.Cause, path, format string, args ...any) error {
	return &Refusal{Cause: cause, Path: path, Detail: fmt.Sprintf(format, args...)}
}

// refuseBody translates what the walk over an event's bytes refused.
func refuseBody(err error) error {
	e, ok := errors.AsType[*avroscan.Error](err)
	if !ok {
		return refuse(ingestv1.Cause_CAUSE_MALFORMED_AVRO, "", "%v", err)
	}
	cause := ingestv1.Cause_CAUSE_MALFORMED_AVRO
	switch e.Cause {
	case avroscan.Malformed:
	case avroscan.OutOfRange:
		cause = ingestv1.Cause_CAUSE_TYPE_MISMATCH
	case avroscan.Trailing:
		cause = ingestv1.Cause_CAUSE_TRAILING_BYTES
	case avroscan.TooLarge:
		cause = ingestv1.Cause_CAUSE_TOO_LARGE
	case avroscan.TooDeep:
		cause = ingestv1.Cause_CAUSE_TOO_DEEP
	case avroscan.InvalidUTF8:
		cause = ingestv1.Cause_CAUSE_INVALID_UTF8
	}
	return refuse(cause, e.Path, "is wrong: %s at byte %d of the body", e.Cause, e.Offset)
}

// refused makes the record of a refusal.
func (b *batch) refused(chunk record.Chunk, r record.Record, why *Refusal) record.Refused {
	out := record.Refused{
		Topic: chunk.Topic, Partition: chunk.Partition, Offset: r.Offset, Timestamp: r.Timestamp, Value: append([]byte(nil), r.Value...),
		EventID: b.eventID, Cause: why.Cause.String()[len("CAUSE_"):], Path: why.Path, Detail: why.Detail,
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
		return refuse(ingestv1.Cause_CAUSE_INVALID_TIME, "", "the event time is %v before the record's, more than %v", behind, c.Past)
	case c.Future > 0 && micros/1000-kafkaMillis > c.Future.Milliseconds():
		return refuse(ingestv1.Cause_CAUSE_INVALID_TIME, "", "the event time is %v after the record's, more than %v", -behind, c.Future)
	default:
		return nil
	}
}
