// Package commit makes commits of rows and offsets, and is the only place that knows their order:
// take what is buffered, commit it to the table with the offsets that it covers, then tell others about
// the offsets. It owns whether this instance works or stands by. Ownership of a table is proved by the
// table's HEAD alone; nothing here trusts a group, a lease or a clock for it.
package commit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/buffer"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/convert"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/record"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/tableservice"
)

// Offsets are next offsets by topic and partition.
type Offsets = map[string]map[int32]int64

// Effects are what a Table does beside the lake.
type Effects struct {
	// Latest returns the newest schema of the topic's events; it is asked only to create the table.
	Latest func(ctx context.Context) (string, error)
	// Schemas returns a schema by its id.
	Schemas convert.Schemas
	// Read reads the topic from the offsets that start tells until ctx ends, and hands over what it read.
	Read func(ctx context.Context, start func(topic string, partition int32) (int64, bool),
		deliver func(ctx context.Context, chunk record.Chunk) (int64, error)) error
	// Behind tells whether the topic holds events that are not in the given offsets.
	Behind func(ctx context.Context, committed Offsets) (bool, error)
	// Refuse makes events durable that cannot become rows. Nil halts the partition of such an event instead.
	Refuse func(ctx context.Context, events []record.Refused) error
	// Committed is told the offsets of a commit once it is visible. It must not block.
	Committed func(Offsets)
}

// Account is the process's byte budget as far as rows are concerned.
type Account interface {
	// Charge adds bytes that are held already.
	Charge(n int64)
	// Release gives them back.
	Release(n int64)
}

// Check is the readiness of the table.
type Check interface {
	OK()
	Fail(reason string)
}

// Params is what a Table needs.
type Params struct {
	// Database and Name name the table, Topic the source of its events.
	Database, Name, Topic string
	Buckets               int
	KafkaColumns          bool
	// Type is that of a new table; one that exists keeps its own.
	Type hudi.TableType
	// LogFormat is that of log blocks. LogFormatByCount writes Parquet from about 100 records on.
	LogFormat hudi.LogFormat
	// Clamp bounds the time of events.
	Clamp  convert.Clamp
	Policy buffer.Policy
	// Takeover is how long a standby sees work left undone before it takes the table over.
	Takeover time.Duration
	// Drain bounds the last commit when the process ends.
	Drain time.Duration
	// Owner is written to HEAD for people to read.
	Owner string
	Store storage.Store
	// BaseURI is the table's place as other engines name it.
	BaseURI string
	// Services keep the table healthy while this instance writes it.
	Services *tableservice.Runner
	Effects  Effects
	Account  Account
	Check    Check
	Metrics  *Metrics
	Logger   *slog.Logger
}

// Status is what is known of a table.
type Status struct {
	Active                    bool
	LastInstant               string
	Commits, Rows, Duplicates uint64
	Refused                   uint64
	LastError                 string
	Committed                 Offsets
}

// parquetFrom is the number of records from which a Parquet block is smaller than an Avro block by more than its footer.
const parquetFrom = 100

// ErrStandby is returned by Flush when another instance has the table.
var ErrStandby = errors.New("this instance stands by")

var (
	// errStopped says that ctx ended before the table was taken over: there is nothing to drain.
	errStopped = errors.New("stopped")
	// errDrainTimeout ends a last commit that takes too long.
	errDrainTimeout = errors.New("the drain timeout is over")
)

// Table keeps one table up to date with one topic.
type Table struct {
	p     Params
	label string // database.table

	mu struct {
		sync.Mutex
		status  Status
		session *session
	}
}

// New returns a Table that has done nothing yet.
func New(p Params) *Table {
	return &Table{p: p, label: p.Database + "." + p.Name}
}

// Run works until ctx ends, commits what is buffered then, and returns nil. The newest starter takes
// the table at once; one that was fenced stands by until nobody does the work any more.
func (t *Table) Run(ctx context.Context) error {
	// work outlives ctx by the drain time, so that a commit under way is finished and a last one made.
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(t.p.Drain, func() { cancel(errDrainTimeout) })
		context.AfterFunc(work, func() { timer.Stop() })
	})
	defer stop()
	for failures := 0; ctx.Err() == nil; {
		before := t.Status().Commits
		err := t.lead(ctx, work)
		if t.Status().Commits != before {
			failures = 0
		}
		switch {
		case err == nil, errors.Is(err, errStopped):
			return nil
		case errors.Is(err, hudi.ErrFenced):
			t.p.Logger.Warn("another instance took the table over, standing by", "table", t.label)
			t.standby(ctx)
		case ctx.Err() != nil:
			return fmt.Errorf("drain table %s: %w", t.label, err)
		default:
			t.fail(err)
			t.pause(ctx, failures)
			failures++
		}
	}
	return nil
}

// lead takes the table over and commits until ctx ends (nil, when the last commit worked), or the table
// is lost (hudi.ErrFenced).
func (t *Table) lead(ctx, work context.Context) error {
	table, writer, err := t.acquire(ctx)
	if err != nil {
		return err
	}
	tl, err := table.Timeline(ctx)
	if err != nil {
		return fmt.Errorf("read table %s: %w", t.label, err)
	}
	conv, err := t.converter(ctx, table, tl)
	if err != nil {
		return err
	}
	s := newSession(t, table, writer, conv, tableservice.LastRuns(tl, table.Type()))
	t.enter(s)
	defer t.leave()
	return s.run(ctx, work)
}

// converter makes rows for the table as it is, not as the configuration would make it.
func (t *Table) converter(ctx context.Context, table *hudi.Table, tl *timeline.Timeline) (*convert.Converter, error) {
	schema, err := table.Schema(ctx, tl)
	if err != nil {
		return nil, fmt.Errorf("read schema of table %s: %w", t.label, err)
	}
	data, _, err := t.p.Store.Get(ctx, meta.TableNoteKey)
	if err != nil {
		return nil, fmt.Errorf("read note of table %s: %w", t.label, err)
	}
	note, err := meta.ParseTableNote(data)
	if err != nil {
		return nil, fmt.Errorf("read note of table %s: %w", t.label, err)
	}
	if len(note.RecordKeyFields) != 2 {
		return nil, fmt.Errorf("table %s has the record key %q, want a session's and an event's id", t.label, note.RecordKeyFields)
	}
	return convert.New(convert.Params{
		Schemas: t.p.Effects.Schemas, Table: schema, Buckets: note.Buckets, KafkaColumns: t.p.KafkaColumns,
		Clamp: t.p.Clamp, Refuse: t.p.Effects.Refuse != nil,
		SessionField: note.RecordKeyFields[0], EventField: note.RecordKeyFields[1],
	})
}

// acquire opens or creates the table and fences all others, for as long as it takes. Its only error is
// errStopped.
func (t *Table) acquire(ctx context.Context) (*hudi.Table, *hudi.Writer, error) {
	for attempt := 0; ; attempt++ {
		table, err := t.open(ctx)
		var writer *hudi.Writer
		if err == nil {
			writer, err = table.Acquire(ctx, t.p.Owner)
		}
		if err == nil {
			return table, writer, nil
		}
		if ctx.Err() != nil {
			return nil, nil, errStopped
		}
		t.fail(err)
		t.pause(ctx, attempt)
	}
}

func (t *Table) open(ctx context.Context) (*hudi.Table, error) {
	options := []hudi.Option{hudi.WithBaseURI(t.p.BaseURI), hudi.WithParquetLogBlocks(parquetFrom)}
	table, err := hudi.Open(ctx, t.p.Store, options...)
	if err == nil || !errors.Is(err, hudi.ErrNotFound) {
		return table, err
	}
	event, err := t.p.Effects.Latest(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the schema to create table %s with: %w", t.label, err)
	}
	fields, err := convert.FieldsOf(event)
	if err != nil {
		return nil, fmt.Errorf("find the key of table %s: %w", t.label, err)
	}
	schema, err := convert.TableSchema(event, t.p.KafkaColumns)
	if err != nil {
		return nil, fmt.Errorf("derive the schema of table %s: %w", t.label, err)
	}
	return hudi.Create(ctx, t.p.Store, hudi.TableConfig{
		Database: t.p.Database, Name: t.p.Name, Type: t.p.Type,
		RecordKeyFields: []string{fields.Session, fields.Event},
		PartitionFields: []string{convert.ColumnDate, convert.ColumnHour}, HiveStylePartitioning: true,
		OrderingField: fields.Time, Buckets: t.p.Buckets, BucketField: fields.Session, Schema: schema,
	}, options...)
}

// standby watches HEAD until there is work that nobody does.
func (t *Table) standby(ctx context.Context) {
	interval := min(max(t.p.Takeover/5, 50*time.Millisecond), 2*time.Second)
	var seen string
	var since time.Time // when work was first seen undone at this HEAD
	for ctx.Err() == nil {
		mark, behind, err := t.look(ctx)
		if err == nil {
			t.healthy()
		}
		now := time.Now()
		switch {
		case err != nil:
			t.note(err)
			since = time.Time{} // not knowing is no reason to take over
		case mark != seen || !behind:
			seen, since = mark, time.Time{}
		case since.IsZero():
			since = now
		case now.Sub(since) >= t.p.Takeover:
			t.p.Logger.Warn("nobody commits, taking the table over", "table", t.label, "after", now.Sub(since).String())
			return
		}
		sleep(ctx, interval)
	}
}

// look returns what identifies HEAD, and whether Kafka is ahead of it.
func (t *Table) look(ctx context.Context) (mark string, behind bool, err error) {
	table, err := t.Open(ctx)
	if err != nil {
		return "", false, err
	}
	head, err := table.Head(ctx)
	if err != nil {
		return "", false, err
	}
	if behind, err = t.p.Effects.Behind(ctx, head.Offsets); err != nil {
		return "", false, err
	}
	t.seeHead(head)
	return fmt.Sprintf("%d %s", head.Epoch, head.CommitID), behind, nil
}

// Flush commits what is buffered now and returns the newest instant once that commit is visible.
func (t *Table) Flush(ctx context.Context) (string, error) {
	t.mu.Lock()
	s := t.mu.session
	t.mu.Unlock()
	if s == nil {
		return "", ErrStandby
	}
	if err := s.flush(ctx); err != nil {
		return "", err
	}
	return t.Status().LastInstant, nil
}

// Relieve asks for a commit of what is buffered, because readers wait for memory.
func (t *Table) Relieve() {
	t.mu.Lock()
	s := t.mu.session
	t.mu.Unlock()
	if s != nil {
		s.relieve()
	}
}

// Open opens the table for reading; hudi.ErrNotFound before it was created.
func (t *Table) Open(ctx context.Context) (*hudi.Table, error) { return hudi.Open(ctx, t.p.Store) }

// Name returns database.table.
func (t *Table) Name() string { return t.label }

// Status returns the state now.
func (t *Table) Status() Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.status
}

func (t *Table) enter(s *session) {
	t.seeHead(s.writer.Head())
	t.mu.Lock()
	t.mu.session = s
	t.mu.status.Active = true
	t.mu.Unlock()
	t.healthy()
	t.p.Metrics.active.WithLabelValues(t.label).Set(1)
	t.p.Logger.Info("writing table", "table", t.label, "epoch", s.writer.Head().Epoch, "instant", s.writer.Head().Instant)
}

func (t *Table) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.session = nil
	t.mu.status.Active = false
	t.p.Metrics.active.WithLabelValues(t.label).Set(0)
}

func (t *Table) seeHead(head hudi.Head) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.status.LastInstant = string(head.Instant)
	t.mu.status.Committed = head.Offsets
}

// fail records an error that keeps the table from being written.
func (t *Table) fail(err error) {
	t.note(err)
	t.p.Check.Fail(err.Error())
	t.p.Logger.Warn("table cannot be written now", "table", t.label, "error", err)
}

// healthy ends what fail began.
func (t *Table) healthy() {
	t.mu.Lock()
	t.mu.status.LastError = ""
	t.mu.Unlock()
	t.p.Check.OK()
}

func (t *Table) note(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.status.LastError = err.Error()
}

func (t *Table) pause(ctx context.Context, attempt int) { sleep(ctx, backOff(attempt)) }

const (
	minBackOff = 100 * time.Millisecond
	maxBackOff = 10 * time.Second
)

// backOff doubles per attempt and is spread, so that instances do not come back together.
func backOff(attempt int) time.Duration {
	d := min(minBackOff<<min(attempt, 10), maxBackOff)
	return d/2 + rand.N(d/2+1)
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
