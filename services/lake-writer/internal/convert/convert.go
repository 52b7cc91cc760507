// Package convert turns Kafka records into rows of a table: it finds the schema of a Confluent-framed
// event, checks the event's bytes, reads the fields that carry roles, and appends the columns that a
// table has beyond the event. It owns the table's schema as events of newer versions widen it. It is
// pure: schemas come from a function, no clock and no network is used.
package convert

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/playhead-pipeline/playhead/schemas/annotation"
	"github.com/playhead-pipeline/playhead/services/internal/avroscan"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/record"
)

const (
	frameMagic = 0
	frameBytes = 5
	// maxVersions bounds the schema ids that one table takes between two starts: each costs a compiled
	// program, and no producer has that many.
	maxVersions = 64
	// maxEventBytes is above what the router lets in (256 KiB), since masking may lengthen fields.
	maxEventBytes = 1 << 20
	maxKeyLength  = 256
)

// Schemas returns the text of the schema with the given id. Any error means "not now".
type Schemas func(ctx context.Context, id int) (string, error)

// Params says what a Converter makes.
type Params struct {
	Schemas Schemas
	// Table is the schema that the table has now.
	Table string
	// SessionField and EventField are the table's record key, in this order.
	SessionField, EventField string
	// Buckets is the number of buckets of the table.
	Buckets int
	// KafkaColumns adds the columns that tell a row's place in Kafka.
	KafkaColumns bool
	// Clamp bounds the time of events.
	Clamp Clamp
	// Refuse lets Convert pass over events that cannot become rows and hand them out. Without it Convert stops at the first.
	Refuse bool
}

// Row is one event with its place in the table.
type Row struct {
	Partition string
	Bucket    int
	Record    hudi.Record
}

// Rows are the rows of one chunk.
type Rows struct {
	Rows []Row
	// Refused are the events that can never become rows.
	Refused []record.Refused
	// Bytes is the memory that the rows and the refused events hold.
	Bytes int64
	// First and Last are the Kafka timestamps of the first and the last event, in milliseconds.
	First, Last int64
}

// The memory of a Row, and of a refused event, beside their bytes.
const (
	rowOverhead    = 80
	letterOverhead = 320
)

// Converter converts the events of one table. It is safe for concurrent use.
type Converter struct {
	p Params
	// versions is replaced, never changed, so that readers need no lock.
	versions atomic.Pointer[map[int]*version]

	mu struct {
		sync.Mutex
		table     *typ
		tableText string
		writers   []string
	}
}

// version is a schema id made ready.
type version struct {
	refusal   error // of all its events: its schema does not fit
	writer    int
	program   *avroscan.Program
	sessionID int // slots
	eventID   int
	eventTime int
}

// New returns a Converter for a table with the schema p.Table.
func New(p Params) (*Converter, error) {
	table, err := parseSchema(p.Table)
	if err != nil {
		return nil, fmt.Errorf("parse schema of the table: %w", err)
	}
	if p.Buckets < 1 {
		return nil, fmt.Errorf("table with %d buckets", p.Buckets)
	}
	c := &Converter{p: p}
	c.mu.table, c.mu.tableText = table, p.Table
	c.versions.Store(&map[int]*version{})
	return c, nil
}

// Writers returns the schemas that hudi.Record.Writer points into. The list only grows.
func (c *Converter) Writers() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.writers[:len(c.mu.writers):len(c.mu.writers)]
}

// TableSchema returns the schema that the table needs for all rows converted so far.
func (c *Converter) TableSchema() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.tableText
}

// Fields names the fields of an event schema on which its table rests.
type Fields struct {
	Session, Event, Time string
}

// FieldsOf finds them by their roles.
func FieldsOf(event string) (Fields, error) {
	contract, err := annotation.Parse([]byte(event))
	if err != nil {
		return Fields{}, fmt.Errorf("read annotations: %w", err)
	}
	var f Fields
	for _, r := range []struct {
		role string
		path *string
	}{{annotation.RoleSessionID, &f.Session}, {annotation.RoleEventID, &f.Event}, {annotation.RoleEventTime, &f.Time}} {
		if *r.path, err = rolePath(contract, r.role); err != nil {
			return Fields{}, err
		}
	}
	return f, nil
}

func rolePath(contract *annotation.Contract, role string) (string, error) {
	path, ok := contract.Role(role)
	if !ok {
		return "", fmt.Errorf("no field has the role %s", role)
	}
	return path, nil
}

// Convert makes the rows of a chunk and returns the next offset wanted. When it is not chunk.Next the
// error tells why: a *record.HaltError when the event at that offset can never become a row and nothing takes refused events, any
// other error when its schema cannot be had now. What comes before that offset is good.
func (c *Converter) Convert(ctx context.Context, chunk record.Chunk) (Rows, int64, error) {
	b := newBatch(chunk, c.p.KafkaColumns)
	for r := range chunk.Records {
		b.eventID = ""
		v, body, err := c.frame(ctx, r)
		if err == nil {
			err = c.add(b, v, body, r)
		}
		if err == nil {
			continue
		}
		why, refused := errors.AsType[*Refusal](err)
		switch {
		case refused && c.p.Refuse:
			b.letters = append(b.letters, b.refused(chunk, r, why))
			b.seen(r)
		case refused:
			return b.rows(c.p.Buckets), r.Offset, why.halt(r.Offset)
		default:
			return b.rows(c.p.Buckets), r.Offset, err
		}
	}
	return b.rows(c.p.Buckets), chunk.Next, nil
}

func haltf(format string, args ...any) error {
	return &record.HaltError{Reason: fmt.Sprintf(format, args...)}
}

// frame takes off the Confluent frame and finds the schema.
func (c *Converter) frame(ctx context.Context, r record.Record) (*version, []byte, error) {
	if len(r.Value) < frameBytes || r.Value[0] != frameMagic {
		return nil, nil, refuse(CauseMalformedFrame, "", "the value has no schema id in front (Confluent wire format)")
	}
	id := int(binary.BigEndian.Uint32(r.Value[1:frameBytes]))
	v := (*c.versions.Load())[id]
	if v == nil {
		var err error
		if v, err = c.learn(ctx, id); err != nil {
			return nil, nil, err
		}
	}
	return v, r.Value[frameBytes:], v.refusal
}

// learn makes the schema with the given id ready and widens the table for it. One that does not fit is remembered, with the reason.
func (c *Converter) learn(ctx context.Context, id int) (*version, error) {
	text, err := c.p.Schemas(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("fetch schema %d: %w", id, err)
	}
	v, writer, want, err := c.prepare(text)
	c.mu.Lock()
	defer c.mu.Unlock()
	known := *c.versions.Load()
	if have := known[id]; have != nil {
		return have, nil // another goroutine was faster
	}
	if len(known) >= maxVersions {
		return nil, haltf("schema %d: the topic uses more than %d schemas", id, maxVersions)
	}
	if err == nil {
		err = c.widen(want)
	}
	if err != nil {
		v = &version{refusal: refuse(CauseIncompatibleSchema, "", "schema %d does not fit the table: %v", id, err)}
	} else {
		v.writer = len(c.mu.writers)
		c.mu.writers = append(c.mu.writers, writer)
	}
	next := maps.Clone(known)
	next[id] = v
	c.versions.Store(&next)
	return v, nil
}

// widen adds what a schema has beyond the table. The caller holds the lock.
func (c *Converter) widen(want *typ) error {
	merged, changed, err := merge(c.mu.table, want, nil)
	if err != nil || !changed {
		return err
	}
	text, err := merged.text()
	if err != nil {
		return err
	}
	c.mu.table, c.mu.tableText = merged, text
	return nil
}

// prepare compiles a schema and returns it with its writer schema and the table that it needs.
func (c *Converter) prepare(text string) (*version, string, *typ, error) {
	contract, err := annotation.Parse([]byte(text))
	if err != nil {
		return nil, "", nil, fmt.Errorf("read annotations: %w", err)
	}
	program, err := avroscan.Compile([]byte(text), avroscan.Options{Limits: avroscan.Limits{MaxEventBytes: maxEventBytes, MaxValueBytes: maxEventBytes}})
	if err != nil {
		return nil, "", nil, fmt.Errorf("compile: %w", err)
	}
	v := &version{program: program}
	for _, f := range []struct {
		role, field string
		slot        *int
	}{{annotation.RoleSessionID, c.p.SessionField, &v.sessionID}, {annotation.RoleEventID, c.p.EventField, &v.eventID}, {annotation.RoleEventTime, "", &v.eventTime}} {
		path, err := rolePath(contract, f.role)
		if err != nil {
			return nil, "", nil, err
		}
		if f.field != "" && path != f.field {
			return nil, "", nil, fmt.Errorf("the role %s is at field %s, the table's key has field %s", f.role, path, f.field)
		}
		slot, ok := program.Slot(path)
		if !ok {
			return nil, "", nil, fmt.Errorf("field %s of the role %s is inside a container", path, f.role)
		}
		*f.slot = slot
	}
	writer, err := writerSchema(text, c.p.KafkaColumns)
	if err != nil {
		return nil, "", nil, err
	}
	want, err := tableType(text, c.p.KafkaColumns)
	if err != nil {
		return nil, "", nil, err
	}
	return v, writer, want, nil
}

// hour is the part of a row that all events of an hour share.
type hour struct {
	index     int64 // hours since the Unix epoch
	partition string
	encoded   []byte // the two time columns
}

const microsPerHour = int64(time.Hour / time.Microsecond)

// Years that a partition path can name with four digits.
var (
	minTime = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	maxTime = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
)

func hourOf(micros int64) (hour, error) {
	if micros < minTime || micros >= maxTime {
		return hour{}, refuse(CauseInvalidTime, "", "the event time %d is outside the years 1 to 9999", micros)
	}
	t := time.UnixMicro(micros).UTC()
	date, clock := t.Format("2006-01-02"), t.Format("15")
	h := hour{index: floorHour(micros), partition: ColumnDate + "=" + date + "/" + ColumnHour + "=" + clock}
	h.encoded = avroscan.AppendString(avroscan.AppendString(nil, date), clock)
	return h, nil
}

func floorHour(micros int64) int64 {
	h := micros / microsPerHour
	if micros%microsPerHour < 0 {
		h--
	}
	return h
}

// batch collects the rows of a chunk in a few large pieces of memory: rows point into them once all
// are there, so that an event costs no allocation.
type batch struct {
	partition    int32
	kafkaColumns bool
	spans        []avroscan.Span
	hours        []hour
	payload      []byte
	keys         []byte
	out          []pending
	letters      []record.Refused
	events       int // rows and letters
	first, last  int64
	eventID      string // of the event at hand, when it could be found
}

type pending struct {
	payloadEnd int
	keyEnd     int
	session    [2]int // place of the session's id in keys
	writer     int
	hour       int
}

// appendedBytes is the room for the appended columns of a row: two texts and three varints.
const appendedBytes = 14 + 5 + 10 + 10

// keyBytes is a guess at the length of a record key.
const keyBytes = 112

func newBatch(chunk record.Chunk, kafkaColumns bool) *batch {
	return &batch{
		partition: chunk.Partition, kafkaColumns: kafkaColumns,
		payload: make([]byte, 0, chunk.Bytes+chunk.Count*appendedBytes),
		keys:    make([]byte, 0, chunk.Count*keyBytes),
		out:     make([]pending, 0, chunk.Count),
	}
}

// add checks an event and appends its row to the batch.
func (c *Converter) add(b *batch, v *version, body []byte, r record.Record) error {
	slots := v.program.Slots()
	if len(b.spans) < len(slots) {
		b.spans = make([]avroscan.Span, len(slots))
	}
	if err := v.program.Scan(body, b.spans); err != nil {
		return refuseBody(err)
	}
	event, err := keyText(body, b.spans[v.eventID].Value, c.p.EventField)
	if err != nil {
		return err
	}
	session, err := keyText(body, b.spans[v.sessionID].Value, c.p.SessionField)
	var h int
	if err == nil {
		h, err = c.hour(b, body, b.spans[v.eventTime].Value, r.Timestamp)
	}
	if err != nil {
		b.eventID = string(event)
		return err
	}
	p := pending{writer: v.writer, hour: h}
	b.keys = append(append(b.keys, c.p.SessionField...), ':')
	p.session[0] = len(b.keys)
	b.keys = append(b.keys, session...)
	p.session[1] = len(b.keys)
	b.keys = append(append(append(append(b.keys, ','), c.p.EventField...), ':'), event...)
	b.payload = append(append(b.payload, body...), b.hours[h].encoded...)
	if b.kafkaColumns {
		b.payload = avroscan.AppendLong(b.payload, int64(b.partition))
		b.payload = avroscan.AppendLong(b.payload, r.Offset)
		b.payload = avroscan.AppendLong(b.payload, r.Timestamp)
	}
	p.payloadEnd, p.keyEnd = len(b.payload), len(b.keys)
	b.out = append(b.out, p)
	b.seen(r)
	return nil
}

// hour reads the event's time and returns the index of its hour in b.hours.
func (c *Converter) hour(b *batch, body []byte, at int, kafkaMillis int64) (int, error) {
	if at < 0 {
		return 0, refuse(CauseMissingField, "", "the event time is null")
	}
	micros, _ := avroscan.ReadLong(body, at)
	if err := c.p.Clamp.check(micros, kafkaMillis); err != nil {
		return 0, err
	}
	return b.hour(micros)
}

// seen notes the time of an event that is in the batch, as a row or refused.
func (b *batch) seen(r record.Record) {
	if b.events == 0 {
		b.first = r.Timestamp
	}
	b.events++
	b.last = r.Timestamp
}

// hour returns the index in b.hours. Events of a chunk are of very few hours, the last first.
func (b *batch) hour(micros int64) (int, error) {
	index := floorHour(micros)
	for i := len(b.hours) - 1; i >= 0; i-- {
		if b.hours[i].index == index {
			return i, nil
		}
	}
	h, err := hourOf(micros)
	if err != nil {
		return 0, err
	}
	b.hours = append(b.hours, h)
	return len(b.hours) - 1, nil
}

// keyText reads a part of the record key. Hudi's readers take the parts out of the key's text, so a
// comma or a control character in one would make them find the wrong bucket.
func keyText(body []byte, at int, field string) ([]byte, error) {
	if at < 0 {
		return nil, refuse(CauseMissingField, field, "is part of the record key and null")
	}
	text, _ := avroscan.ReadString(body, at)
	if len(text) == 0 || len(text) > maxKeyLength*4 {
		return nil, refuse(CauseInvalidKey, field, "is part of the record key and has %d bytes", len(text))
	}
	for _, c := range text {
		if c == ',' || c < 0x20 || c == 0x7f {
			return nil, refuse(CauseInvalidKey, field, "is part of the record key and holds a comma or a control character")
		}
	}
	return text, nil
}

// rows points the rows into the collected memory.
func (b *batch) rows(buckets int) Rows {
	keyText := string(b.keys)
	out := make([]Row, len(b.out))
	payload, key := 0, 0
	for i, p := range b.out {
		session := keyText[p.session[0]:p.session[1]]
		out[i] = Row{
			Partition: b.hours[p.hour].partition,
			Bucket:    int(keys.BucketHash(session)) % buckets,
			Record: hudi.Record{
				Key:     keyText[key:p.keyEnd],
				Payload: b.payload[payload:p.payloadEnd:p.payloadEnd],
				Writer:  p.writer,
			},
		}
		payload, key = p.payloadEnd, p.keyEnd
	}
	bytes := cap(b.payload) + len(keyText) + len(out)*rowOverhead
	for i := range b.letters {
		bytes += len(b.letters[i].Value) + letterOverhead
	}
	return Rows{Rows: out, Refused: b.letters, First: b.first, Last: b.last, Bytes: int64(bytes)}
}
