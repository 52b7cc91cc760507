package hudi

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// modelRow is what a reader must see of a key.
type modelRow struct {
	Time   int64 // ordering value
	Cdn    string
	Commit timeline.Instant // that wrote it
}

// tableModel drives a table with random commits, services, owners and readers, and holds what must be in it.
type tableModel struct {
	t      *testing.T
	rnd    *rand.Rand
	store  storage.Store
	table  *Table
	writer *Writer
	wide   bool // the table has its added column
	rows   map[string]modelRow
	times  map[string]int64                         // the greatest ordering value a key ever had
	past   map[timeline.Instant]map[string]modelRow // states as of commits
	order  []timeline.Instant                       // of past
	schema avro.Schema
	avro   string
}

const (
	modelSchema = `{"type":"record","name":"event","fields":[{"name":"session_id","type":"string"},{"name":"event_id","type":"string"},` +
		`{"name":"event_time","type":{"type":"long","logicalType":"timestamp-micros"}},{"name":"day","type":"string"}]}`
	modelWideSchema = `{"type":"record","name":"event","fields":[{"name":"session_id","type":"string"},{"name":"event_id","type":"string"},` +
		`{"name":"event_time","type":{"type":"long","logicalType":"timestamp-micros"}},{"name":"day","type":"string"},` +
		`{"name":"cdn","type":["null","string"],"default":null}]}`
)

func newTableModel(t *testing.T, cfg TableConfig, seed uint64) *tableModel {
	t.Helper()
	store := storage.NewMem() // a directory syncs every file, which takes minutes here
	m := &tableModel{
		t: t, rnd: rand.New(rand.NewPCG(seed, 1)), store: store, rows: make(map[string]modelRow), times: make(map[string]int64),
		past: make(map[timeline.Instant]map[string]modelRow), avro: modelSchema, schema: avro.MustParse(modelSchema),
	}
	var err error
	if m.table, err = Create(t.Context(), store, cfg); err != nil {
		t.Fatal(err)
	}
	m.acquire()
	return m
}

func (m *tableModel) acquire() {
	m.t.Helper()
	w, err := m.table.Acquire(m.t.Context(), fmt.Sprint("owner ", m.rnd.IntN(3)))
	if err != nil {
		m.t.Fatal(err)
	}
	m.writer = w
}

// step does one thing.
func (m *tableModel) step() {
	m.t.Helper()
	switch n := m.rnd.IntN(100); {
	case n < 50:
		m.commit()
	case n < 55:
		m.overwrite()
	case n < 67:
		m.compact()
	case n < 72:
		old := m.writer
		m.acquire()
		if _, err := old.Commit(m.t.Context(), CommitRequest{Operation: Upsert}); !errors.Is(err, ErrFenced) {
			m.t.Errorf("a fenced owner commits: %v", err)
		}
	case n < 77:
		if _, err := m.writer.Clean(m.t.Context(), CleanOptions{Retain: 3}); err != nil {
			m.t.Fatal(err)
		}
		m.order = m.order[max(0, len(m.order)-3):]
	case n < 79 && !m.wide:
		m.widen()
	case n < 90:
		m.checkAsOf()
	default:
		m.checkIncremental()
	}
}

// key is one of few, so that keys are met again.
func (m *tableModel) key() (session, event, text string) {
	session, event = fmt.Sprint("s", m.rnd.IntN(4)), fmt.Sprint("e", m.rnd.IntN(12))
	text, err := keys.ComplexKey(keys.Field{Name: "session_id", Value: session}, keys.Field{Name: "event_id", Value: event})
	if err != nil {
		m.t.Fatal(err)
	}
	return session, event, text
}

func (m *tableModel) commit() {
	m.t.Helper()
	groups := make(map[int]*Group)
	next := maps.Clone(m.rows)
	touched := make(map[string]bool)
	for range m.rnd.IntN(12) {
		session, event, key := m.key()
		bucket := keys.Bucket(protoConfig.Buckets, session)
		if groups[bucket] == nil {
			groups[bucket] = &Group{Partition: "day=1", Bucket: bucket}
		}
		g := groups[bucket]
		old, there := next[key]
		if m.rnd.IntN(5) == 0 {
			g.Records = append(g.Records, Record{Key: key, Delete: true})
			delete(next, key)
			continue
		}
		row := modelRow{Time: m.times[key] + 1, Cdn: fmt.Sprint("c", m.rnd.IntN(100))}
		if there && m.rnd.IntN(4) == 0 {
			row.Time = old.Time - int64(m.rnd.IntN(3)) // late, or a tie that the newer wins
		}
		g.Records = append(g.Records, m.record(session, event, key, row))
		m.times[key] = max(m.times[key], row.Time)
		if !there || row.Time >= old.Time {
			next[key], touched[key] = row, true
		}
	}
	req := CommitRequest{Operation: Upsert, WriterSchemas: []string{m.avro}}
	for _, b := range slices.Sorted(maps.Keys(groups)) {
		req.Groups = append(req.Groups, *groups[b])
	}
	r, err := m.writer.Commit(m.t.Context(), req)
	if err != nil {
		m.t.Fatal(err)
	}
	for key := range touched {
		if row, ok := next[key]; ok {
			row.Commit = r.Instant
			next[key] = row
		}
	}
	m.rows = next
	m.remember(r.Instant)
}

// overwrite puts a few rows, or none, in place of all.
func (m *tableModel) overwrite() {
	m.t.Helper()
	req := CommitRequest{Operation: InsertOverwrite, WriterSchemas: []string{m.avro}}
	for b := range protoConfig.Buckets {
		req.Groups = append(req.Groups, Group{Partition: "day=1", Bucket: b})
	}
	m.rows = make(map[string]modelRow)
	for range m.rnd.IntN(6) {
		session, event, key := m.key()
		row := modelRow{Time: int64(m.rnd.IntN(9)), Cdn: fmt.Sprint("c", m.rnd.IntN(100))}
		g := &req.Groups[keys.Bucket(protoConfig.Buckets, session)]
		g.Records = append(g.Records, m.record(session, event, key, row))
		m.times[key] = max(m.times[key], row.Time)
		if old, twice := m.rows[key]; !twice || row.Time >= old.Time {
			m.rows[key] = row
		}
	}
	r, err := m.writer.Commit(m.t.Context(), req)
	if err != nil {
		m.t.Fatal(err)
	}
	for key, row := range m.rows {
		row.Commit = r.Instant
		m.rows[key] = row
	}
	m.remember(r.Instant)
}

func (m *tableModel) remember(i timeline.Instant) {
	m.past[i] = maps.Clone(m.rows)
	m.order = append(m.order, i)
	m.check(Query{}, m.rows)
}

func (m *tableModel) record(session, event, key string, row modelRow) Record {
	m.t.Helper()
	value := map[string]any{"session_id": session, "event_id": event, "event_time": time.UnixMicro(row.Time), "day": "1"}
	if m.wide {
		value["cdn"] = map[string]any{"string": row.Cdn}
	}
	payload, err := avro.Marshal(m.schema, value)
	if err != nil {
		m.t.Fatal(err)
	}
	return Record{Key: key, Payload: payload}
}

func (m *tableModel) compact() {
	m.t.Helper()
	if m.table.Type() != MergeOnRead {
		return
	}
	r, err := m.writer.Compact(m.t.Context(), CompactOptions{})
	if err != nil {
		m.t.Fatal(err)
	}
	if r == nil {
		return
	}
	m.remember(r.Instant)
	m.check(Query{Type: ReadOptimized}, m.rows) // there are no logs now
}

// widen adds a column.
func (m *tableModel) widen() {
	m.t.Helper()
	_, err := m.writer.Commit(m.t.Context(), CommitRequest{Operation: Upsert, TableSchema: widerSchema})
	if err != nil {
		m.t.Fatal(err)
	}
	m.wide, m.avro, m.schema = true, modelWideSchema, avro.MustParse(modelWideSchema)
}

func (m *tableModel) checkAsOf() {
	m.t.Helper()
	if len(m.order) == 0 {
		return
	}
	i := m.order[m.rnd.IntN(len(m.order))]
	m.check(Query{AsOf: i}, m.past[i])
}

// checkIncremental asks for the rows that the last commits wrote.
func (m *tableModel) checkIncremental() {
	m.t.Helper()
	if len(m.order) == 0 {
		return
	}
	from := m.order[m.rnd.IntN(len(m.order))]
	want := maps.Clone(m.rows)
	maps.DeleteFunc(want, func(_ string, r modelRow) bool { return r.Commit <= from })
	m.check(Query{Type: Incremental, From: from}, want)
}

func (m *tableModel) check(q Query, want map[string]modelRow) {
	m.t.Helper()
	got := make(map[string]modelRow)
	for row, err := range m.table.Scan(m.t.Context(), q) {
		if err != nil {
			m.t.Fatalf("query %+v: %v", q, err)
		}
		at := func(column string) any { v, _ := row.Get(column); return v }
		key := at(basefile.RecordKeyColumn).(string)
		if _, twice := got[key]; twice {
			m.t.Errorf("query %+v: key %s is there twice", q, key)
		}
		r := modelRow{Time: at("event_time").(time.Time).UnixMicro(), Commit: timeline.Instant(at(basefile.CommitTimeColumn).(string))}
		r.Cdn, _ = at("cdn").(string)
		got[key] = r
	}
	if len(got) != len(want) {
		m.t.Errorf("query %+v: %d rows, want %d", q, len(got), len(want))
	}
	for key, w := range want {
		g := got[key]
		if g.Time != w.Time || g.Commit != w.Commit || g.Cdn != "" && g.Cdn != w.Cdn {
			m.t.Errorf("query %+v: %s is %+v, want %+v", q, key, g, w)
		}
	}
	if m.t.Failed() {
		m.t.FailNow()
	}
}

// modelSeeds is how many seeds the model test runs: three when sweeps are run in full.
func modelSeeds() int {
	if stride(2) == 1 {
		return 3
	}
	return 1
}

// modelOperations is how many operations a seed is: fewer with the race detector, under which each takes several times as long.
func modelOperations() int {
	if raceEnabled {
		return 120
	}
	return 500
}

// TestModel: 500 random operations leave a table with exactly the rows of a map that the same happened to.
func TestModel(t *testing.T) {
	t.Parallel()
	for kind, cfg := range protoTypes {
		for seed := range uint64(modelSeeds()) { // three when sweeps are run in full
			t.Run(fmt.Sprintf("%s, seed %d", kind, seed), func(t *testing.T) {
				t.Parallel()
				m := newTableModel(t, cfg, seed)
				for n := range modelOperations() {
					m.step()
					if t.Failed() {
						t.Fatalf("at operation %d", n)
					}
				}
				m.check(Query{}, m.rows)
				m.dump()
			})
		}
	}
}
