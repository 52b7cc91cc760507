// Package prepare turns a batch of events as the gateway sent them into records for Kafka and refusals: it splits the batch, finds the
// schemas, transcodes JSON, checks, masks, frames and chooses the partition. It is the path that every event takes, so it works in buffers
// that are used again and allocates nothing per good event. It has no effects; writing and answering are for package intake.
package prepare

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/playhead-pipeline/playhead/services/internal/avroscan"
	"github.com/playhead-pipeline/playhead/services/router/internal/catalog"
	"github.com/playhead-pipeline/playhead/services/router/internal/mask"
	"github.com/playhead-pipeline/playhead/services/router/internal/record"
	"github.com/playhead-pipeline/playhead/services/router/internal/route"
	"github.com/playhead-pipeline/playhead/services/router/internal/transcode"
	"github.com/playhead-pipeline/playhead/services/router/internal/validate"
)

// Schemas finds schemas without blocking. An error is catalog.ErrUnknown, a *catalog.UnusableError or a *catalog.ParkedError.
type Schemas interface {
	ByName(schema string) (*catalog.Schema, error)
	ByID(tenant string, id int32) (*catalog.Schema, error)
}

// Params is what New takes.
type Params struct {
	Schemas Schemas
	Key     *mask.Key
	Times   validate.Limits
	// EventBytes bounds an event.
	EventBytes int
	// DeadLetterTopic takes refused events whose route is not known.
	DeadLetterTopic string
	// Partitions tells the number of partitions of a topic.
	Partitions func(topic string) int32
	// Panicked is told of a defect that one event met, without its content. The event is refused.
	Panicked func(schemaID int32, what string)
}

// Preparer prepares batches. It is safe for concurrent use.
type Preparer struct {
	p    Params
	pool sync.Pool // of *Output
}

// New returns a preparer.
func New(p Params) *Preparer {
	return &Preparer{p: p, pool: sync.Pool{New: func() any { return &Output{} }}}
}

// Batch is a batch of events.
type Batch struct {
	Tenant, Source string
	// Schema is the name of the events' schema when JSON is set; Avro events name theirs.
	Schema           string
	JSON             bool
	Events           [][]byte
	ReceivedAtMicros int64
}

// Refusal is an event that may not be published.
type Refusal struct {
	Index     int
	Violation *validate.Violation
	// Schema is the name or id of its schema, EventID its id, when they could be found.
	Schema, EventID string
	// Topic is the dead-letter topic.
	Topic string
}

// Run is a number of neighbouring records for one topic.
type Run struct {
	Topic           string
	DeadLetterTopic string
	Records         []record.Record
}

// Output is a prepared batch. The tag of a record is the index of its event. Everything in it is valid until Release.
type Output struct {
	Runs     []Run
	Refusals []Refusal

	arena   []byte
	records []record.Record
	spans   []avroscan.Span
	body    []byte
}

// maxPooledBytes keeps the buffers of giant batches out of the pool.
const maxPooledBytes = 8 << 20

// Release takes the buffers of an output back.
func (p *Preparer) Release(o *Output) {
	if cap(o.arena) > maxPooledBytes || cap(o.body) > maxPooledBytes {
		return
	}
	clear(o.Runs)
	clear(o.Refusals)
	clear(o.records)
	*o = Output{Runs: o.Runs[:0], Refusals: o.Refusals[:0], arena: o.arena[:0], records: o.records[:0], spans: o.spans, body: o.body[:0]}
	p.pool.Put(o)
}

// Split cuts the events out of a batch's bytes: count times a uvarint length and so many bytes. The events alias raw.
func Split(raw []byte, count uint32) ([][]byte, error) {
	if count == 0 || uint64(count) > uint64(len(raw)) { // an empty event still has its length
		return nil, fmt.Errorf("%d events cannot lie in %d bytes", count, len(raw))
	}
	events := make([][]byte, 0, count)
	for len(raw) > 0 {
		length, n := binary.Uvarint(raw)
		if n <= 0 || length > uint64(len(raw)-n) {
			return nil, fmt.Errorf("event %d has a bad length", len(events))
		}
		end := n + int(length)
		events = append(events, raw[n:end:end])
		raw = raw[end:]
		if len(events) > int(count) {
			break
		}
	}
	if len(events) != int(count) {
		return nil, fmt.Errorf("the batch holds another number of events than the %d that it says", count)
	}
	return events, nil
}

// Prepare works through a batch. An error is a *catalog.ParkedError: nothing of the batch can be published now.
func (p *Preparer) Prepare(b *Batch) (*Output, error) {
	w := &work{p: p, b: b, o: p.pool.Get().(*Output), masker: p.p.Key.Masker()}
	defer func() { p.p.Key.Release(w.masker) }()
	w.facts = mask.Facts{ReceivedAtMicros: b.ReceivedAtMicros, Source: b.Source, Tenant: b.Tenant}
	if b.JSON {
		if err := w.use(p.p.Schemas.ByName(b.Schema)); err != nil {
			p.Release(w.o)
			return nil, err
		}
	}
	for w.next < len(b.Events) {
		if err := w.run(); err != nil {
			p.Release(w.o)
			return nil, err
		}
	}
	w.endRun()
	return w.o, nil
}

// work is one pass over a batch.
type work struct {
	p      *Preparer
	b      *Batch
	o      *Output
	masker *mask.Masker
	facts  mask.Facts
	next   int // index of the event at work

	// schema is that of the event at work, nil when there is none, for the reason in without; id is its id.
	schema     *catalog.Schema
	without    error
	id         int32
	partitions int32
	// The run being gathered begins at record first, for route.
	route *route.Route
	first int
}

// run works until the end of the batch, or until one event meets a defect, which is refused alone.
func (w *work) run() (err error) {
	defer func() {
		if r := recover(); r != nil {
			// The type says enough; the text of a panic can quote the event.
			w.p.p.Panicked(w.id, fmt.Sprintf("%T", r))
			w.masker = w.p.p.Key.Masker() // the other one may have been left in any state
			w.refuse(&validate.Violation{Cause: validate.Unspecified, Detail: "the router has a defect that this event meets"}, "")
			w.next++
		}
	}()
	for ; w.next < len(w.b.Events); w.next++ {
		if err := w.event(w.b.Events[w.next]); err != nil {
			return err
		}
	}
	return nil
}

// event prepares one event. An error parks the batch.
func (w *work) event(event []byte) error {
	if len(event) > w.p.p.EventBytes {
		if !w.b.JSON {
			w.schema, w.id = nil, 0
		}
		w.refuse(&validate.Violation{Cause: validate.TooLarge, Detail: fmt.Sprintf("the event has more than %d bytes", w.p.p.EventBytes)}, "")
		return nil
	}
	body, err := w.body(event)
	if err != nil {
		if _, parked := errors.AsType[*catalog.ParkedError](err); parked {
			return err
		}
		w.refuseFor(err, "")
		return nil
	}
	spans := w.o.spans[:len(w.schema.Program.Slots())]
	if err := w.schema.Checker.Scan(body, spans); err != nil {
		w.refuseFor(err, "")
		return nil
	}
	if err := w.schema.Checker.Check(body, spans, w.b.ReceivedAtMicros, w.p.p.Times); err != nil {
		w.refuseFor(err, w.eventID(body, spans))
		return nil
	}
	start := len(w.o.arena)
	arena := validate.AppendFrame(w.o.arena, w.schema.ID)
	arena, err = w.masker.Append(arena, w.schema.Mask, body, spans, &w.facts)
	if err != nil {
		w.refuseFor(err, w.eventID(body, spans))
		return nil
	}
	value := arena[start:len(arena):len(arena)]
	key, err := w.key(body, spans, value)
	if err != nil {
		w.refuseFor(err, "")
		return nil
	}
	// The body is overwritten by the next event.
	keyStart := len(arena)
	w.o.arena = append(arena, key...)
	w.add(w.o.arena[keyStart:len(w.o.arena):len(w.o.arena)], value)
	return nil
}

// body finds the schema of an event and returns its Avro body.
func (w *work) body(event []byte) ([]byte, error) {
	if w.b.JSON {
		if w.schema == nil {
			return nil, w.without
		}
		body, err := w.schema.Transcoder.AppendAvro(w.o.body[:0], event)
		w.o.body = body
		return body, err
	}
	id, body, err := validate.Frame(event)
	if err != nil {
		w.schema, w.id = nil, 0
		return nil, err
	}
	if w.schema == nil || w.id != id {
		w.id = id
		if err := w.use(w.p.p.Schemas.ByID(w.b.Tenant, id)); err != nil {
			return nil, err
		}
	}
	if w.schema == nil {
		return nil, w.without
	}
	return body, nil
}

// use takes over the answer of the catalog. That there is no schema to use is the event's fault and no error here.
func (w *work) use(schema *catalog.Schema, err error) error {
	w.schema, w.without = schema, err
	if _, parked := errors.AsType[*catalog.ParkedError](err); parked {
		return err
	}
	if schema == nil {
		return nil
	}
	w.id = schema.ID
	w.partitions = w.p.p.Partitions(schema.Route.Topic)
	if n := len(schema.Program.Slots()); n > len(w.o.spans) {
		w.o.spans = make([]avroscan.Span, n)
	}
	return nil
}

// key returns the Kafka key: the session id as it is published, because the table's buckets are made from that.
func (w *work) key(body []byte, spans []avroscan.Span, value []byte) ([]byte, error) {
	slot := w.schema.Checker.SessionID
	if !w.schema.Mask.Changes(slot) {
		return validate.Key(body, spans[slot]), nil
	}
	_, published, err := validate.Frame(value)
	if err != nil {
		return nil, err
	}
	if err := w.schema.Checker.Scan(published, spans); err != nil {
		return nil, err
	}
	return validate.Key(published, spans[slot]), nil
}

func (w *work) add(key, value []byte) {
	if w.route != w.schema.Route {
		w.endRun()
		w.route = w.schema.Route
	}
	w.o.records = append(w.o.records, record.Record{
		Partition: route.Partition(key, w.partitions),
		Key:       key,
		Value:     value,
		Millis:    w.b.ReceivedAtMicros / 1000,
		Tag:       uint32(w.next),
	})
}

// endRun closes the run being gathered. Records appended later may move the slice; runs keep the old one, which holds the same.
func (w *work) endRun() {
	if n := len(w.o.records); n > w.first {
		w.o.Runs = append(w.o.Runs, Run{Topic: w.route.Topic, DeadLetterTopic: w.route.DeadLetterTopic, Records: w.o.records[w.first:n:n]})
		w.first = n
	}
}

// eventID returns the id of a refused event, unless it is personal.
func (w *work) eventID(body []byte, spans []avroscan.Span) string {
	if w.schema.Mask.Changes(w.schema.Checker.EventID) {
		return ""
	}
	id, _ := w.schema.Checker.EventIDText(body, spans)
	return id
}

func (w *work) refuseFor(err error, eventID string) { w.refuse(violation(err), eventID) }

func (w *work) refuse(v *validate.Violation, eventID string) {
	r := Refusal{Index: w.next, Violation: v, EventID: eventID, Topic: w.p.p.DeadLetterTopic, Schema: w.b.Schema}
	if !w.b.JSON && w.id > 0 {
		r.Schema = strconv.Itoa(int(w.id))
	}
	if w.schema != nil {
		r.Topic = w.schema.Route.DeadLetterTopic
	}
	w.o.Refusals = append(w.o.Refusals, r)
}

// violation translates whatever an event can be refused with.
func violation(err error) *validate.Violation {
	if v, ok := errors.AsType[*validate.Violation](err); ok {
		return v
	}
	if errors.Is(err, catalog.ErrUnknown) {
		return &validate.Violation{Cause: validate.UnknownSchema, Detail: "the registry does not know the schema, or no route takes it"}
	}
	if e, ok := errors.AsType[*catalog.UnusableError](err); ok {
		return &validate.Violation{Cause: validate.UnknownSchema, Detail: e.Error()}
	}
	if e, ok := errors.AsType[*mask.Error](err); ok {
		return &validate.Violation{Cause: validate.TypeMismatch, Path: e.Path, Detail: e.Reason}
	}
	if e, ok := errors.AsType[*transcode.Error](err); ok {
		return &validate.Violation{Cause: transcodeCauses[e.Cause], Path: e.Path, Detail: fmt.Sprintf("%s at byte %d of the text", e.Cause, e.Offset)}
	}
	return &validate.Violation{Cause: validate.Unspecified, Detail: "the router does not know why"}
}

var transcodeCauses = map[transcode.Cause]validate.Cause{
	transcode.MalformedJSON:  validate.MalformedJSON,
	transcode.TypeMismatch:   validate.TypeMismatch,
	transcode.MissingField:   validate.MissingField,
	transcode.UnknownField:   validate.UnknownField,
	transcode.DuplicateField: validate.DuplicateField,
	transcode.TooLarge:       validate.TooLarge,
	transcode.TooDeep:        validate.TooDeep,
	transcode.InvalidUTF8:    validate.InvalidUTF8,
}
