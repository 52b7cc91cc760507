package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

const (
	matrixRows    = 120 // of one commit of new rows
	matrixBuckets = 2
	lastLoser     = 30 // of the rows that a mixed change touches, the first so many get newer rows
	lastUpdate    = 40 // and these older ones, which lose; those behind are deleted
	mixedRows     = 50
)

// tableRow is a row of the model.
type tableRow struct {
	commit  timeline.Instant
	columns columns
}

// state is what a table holds after a commit.
type state struct {
	instant timeline.Instant
	time    timeline.Instant    // by which engines find the state: the instant, or in version 9 when it completed
	rows    map[string]tableRow // by record key
}

// lakeTable is a table that the test writes, and its model.
type lakeTable struct {
	name      string
	version   int
	kind      hudi.TableType
	hive      bool
	bulk      bool // append-only: without a bucket index, and written by bulk inserts
	keep      bool // its writers keep the metadata table
	store     storage.Store
	path      string            // where engines find it
	storage   map[string]string // options with which hudi-rs finds it
	logFormat hudi.LogFormat
	schema    string
	random    *rand.Rand
	made      int64   // rows drawn so far
	offset    int64   // of the stream that the rows are said to come from
	history   []state // after each commit of rows that is still readable, oldest first
	base      map[string]tableRow
	merged    bool // rows were replaced or deleted
}

// newTable makes the model of an empty table in a folder of its own.
func newTable(t *testing.T, name string, version int, kind hudi.TableType, hive bool) *lakeTable {
	t.Helper()
	store, err := storage.NewDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &lakeTable{
		name: name, version: version, kind: kind, hive: hive, store: store, path: store.Root(), schema: matrixSchema,
		random: rand.New(rand.NewPCG(20261124, 4)), base: map[string]tableRow{},
	}
}

// create makes the table and returns its first writer.
func (m *lakeTable) create(ctx context.Context, t *testing.T) *hudi.Writer {
	t.Helper()
	cfg := hudi.TableConfig{
		Database: "lake", Name: "matrix", Version: m.version, Type: m.kind, RecordKeyFields: []string{"session_id", "event_id"}, PartitionFields: []string{"day"},
		OrderingField: "event_time", HiveStylePartitioning: m.hive, Buckets: matrixBuckets, BucketField: "session_id", Schema: matrixSchema,
	}
	if m.bulk {
		cfg.Buckets, cfg.BucketField = 0, ""
	}
	table, err := hudi.Create(ctx, m.store, cfg, m.options()...)
	if err != nil {
		t.Fatal(err)
	}
	return acquire(ctx, t, table)
}

func (m *lakeTable) baseURI() hudi.Option {
	if strings.Contains(m.path, "://") {
		return hudi.WithBaseURI(m.path)
	}
	return hudi.WithBaseURI("file://" + m.path)
}

// options are those with which this library works with the table.
func (m *lakeTable) options() []hudi.Option {
	options := []hudi.Option{m.baseURI()}
	if m.keep {
		options = append(options, hudi.WithMetadataTable(hudi.KeepMetadataTable))
	}
	return options
}

// open opens the table through a store, which is the table's own if none is given.
func (m *lakeTable) open(ctx context.Context, t *testing.T, store storage.Store) *hudi.Table {
	t.Helper()
	if store == nil {
		store = m.store
	}
	table, err := hudi.Open(ctx, store, m.options()...)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func acquire(ctx context.Context, t *testing.T, table *hudi.Table) *hudi.Writer {
	t.Helper()
	writer, err := table.Acquire(ctx, "matrix")
	if err != nil {
		t.Fatal(err)
	}
	return writer
}

// now is what the table holds.
func (m *lakeTable) now() state {
	if len(m.history) == 0 {
		return state{}
	}
	return m.history[len(m.history)-1]
}

// change is what a commit is to do.
type change struct {
	upserts []columns
	deletes []columns
}

// fresh draws new rows.
func (m *lakeTable) fresh(n int) change {
	var c change
	for range n {
		row := drawColumns(m.random, m.made, m.schema == evolvedSchema)
		c.upserts = append(c.upserts, row)
		m.made++
	}
	return c
}

// mixed draws ten new rows, thirty that replace others, ten that are older than what is there and so lose, and deletes ten.
func (m *lakeTable) mixed() change {
	c := m.fresh(10)
	rows := m.now().rows
	for n, key := range slices.Sorted(maps.Keys(rows)) {
		old := rows[key].columns
		row := maps.Clone(old)
		switch {
		case n >= mixedRows:
			return c
		case n >= lastUpdate:
			c.deletes = append(c.deletes, old)
			continue
		case n >= lastLoser:
			row["event_time"], row["amount"] = old.eventTime()-5, int64(-1)
		default:
			row["event_time"], row["amount"] = old.eventTime()+1e9, int64(n)
		}
		c.upserts = append(c.upserts, row)
	}
	return c
}

// key and partition are what the table says of a row.
func (m *lakeTable) key(t *testing.T, c columns) string {
	t.Helper()
	key, err := keys.ComplexKey(keys.Field{Name: "session_id", Value: c.text("session_id")}, keys.Field{Name: "event_id", Value: c.text("event_id")})
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (m *lakeTable) partition(t *testing.T, c columns) string {
	t.Helper()
	partition, err := keys.PartitionPath(m.hive, keys.Field{Name: "day", Value: c.text("day")})
	if err != nil {
		t.Fatal(err)
	}
	return partition
}

// apply is what a commit of any writer does to the model.
func (m *lakeTable) apply(ctx context.Context, t *testing.T, instant timeline.Instant, c change) {
	t.Helper()
	rows := maps.Clone(m.now().rows)
	if rows == nil {
		rows = map[string]tableRow{}
	}
	for _, row := range c.upserts {
		key := m.key(t, row)
		old, there := rows[key]
		if there {
			m.merged = true
		}
		if !there || row.eventTime() >= old.columns.eventTime() {
			rows[key] = tableRow{instant, row}
		}
	}
	for _, row := range c.deletes {
		m.merged = true
		delete(rows, m.key(t, row))
	}
	if m.kind == hudi.CopyOnWrite || m.bulk || len(m.history) == 0 {
		m.base = rows
	}
	at := instant
	if m.version == hudi.Version9 {
		completion, ok := m.timeline(ctx, t).CompletionOf(instant)
		if !ok {
			t.Fatalf("commit %s has no completion time", instant)
		}
		at = completion
	}
	m.history = append(m.history, state{instant, at, rows})
}

// timeline is the table's timeline as it is now.
func (m *lakeTable) timeline(ctx context.Context, t *testing.T) *timeline.Timeline {
	t.Helper()
	tl, err := m.open(ctx, t, nil).Timeline(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return tl
}

// request is the change as this library takes it.
func (m *lakeTable) request(t *testing.T, c change) hudi.CommitRequest {
	t.Helper()
	schema, err := avro.ParseWithCache(m.schema, "", &avro.SchemaCache{})
	if err != nil {
		t.Fatal(err)
	}
	next := m.offset + int64(len(c.upserts)+len(c.deletes))
	req := hudi.CommitRequest{
		Operation: hudi.Upsert, WriterSchemas: []string{m.schema}, Watermark: time.UnixMilli(next),
		Progress: hudi.Progress{"matrix": {0: {From: m.offset, Next: next}}},
	}
	req.LogFormat = m.logFormat
	if m.schema != matrixSchema {
		req.TableSchema = m.schema
	}
	if m.kind == hudi.CopyOnWrite && len(m.history) == 0 {
		req.Operation = hudi.Insert
	}
	if m.bulk {
		req.Operation = hudi.BulkInsert
	}
	groups := map[string]*hudi.Group{}
	add := func(row columns, record hudi.Record) {
		partition, bucket := m.partition(t, row), keys.Bucket(matrixBuckets, row.text("session_id"))
		place := fmt.Sprint(partition, bucket)
		if groups[place] == nil {
			groups[place] = &hudi.Group{Partition: partition, Bucket: bucket}
		}
		record.Key = m.key(t, row)
		groups[place].Records = append(groups[place].Records, record)
	}
	for _, row := range c.upserts {
		add(row, hudi.Record{Payload: appendAvro(t, nil, schema, row)})
	}
	for _, row := range c.deletes {
		add(row, hudi.Record{Delete: true})
	}
	for _, place := range slices.Sorted(maps.Keys(groups)) {
		req.Groups = append(req.Groups, *groups[place])
	}
	return req
}

// commit lets this library commit a change.
func (m *lakeTable) commit(ctx context.Context, t *testing.T, w *hudi.Writer, c change) {
	t.Helper()
	req := m.request(t, c)
	result, err := w.Commit(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	m.offset = req.Progress["matrix"][0].Next
	m.apply(ctx, t, result.Instant, c)
}

// compact lets this library compact everything.
func (m *lakeTable) compact(ctx context.Context, t *testing.T, w *hudi.Writer) {
	t.Helper()
	result, err := w.Compact(ctx, hudi.CompactOptions{})
	if err != nil || result == nil {
		t.Fatalf("compaction: %+v, %v", result, err)
	}
	m.base = m.now().rows
}

// tableQuery is a question to an engine, and which rows answer it.
type tableQuery struct {
	request
	feature string
	rows    map[string]tableRow
	holds   func(r tableRow) bool
}

// queries are the questions to an engine; with filters, the longer ones too.
func (m *lakeTable) queries(spark, filters bool) []tableQuery {
	all := func(tableRow) bool { return true }
	first, last := m.history[0], m.now()
	list := []tableQuery{
		{request{Type: "snapshot"}, "snapshot", last.rows, all},
		{request{Type: "snapshot", AsOf: string(first.time)}, "as of", first.rows, all},
	}
	// In a merge-on-read table engines answer from the logs of the window alone, so that a record which lost is listed too.
	if len(m.history) > 1 && !(m.merged && m.kind == hudi.MergeOnRead) {
		after := func(r tableRow) bool { return r.commit > first.instant }
		list = append(list, tableQuery{request{Type: "incremental", Begin: string(first.time)}, "incremental", last.rows, after})
	}
	if spark && m.kind == hudi.MergeOnRead {
		list = append(list, tableQuery{request{Type: "read_optimized"}, "read optimised", m.base, all})
	}
	for i := range list {
		list[i].ID = m.name + ", " + list[i].feature
	}
	if spark && filters {
		for _, f := range rowFilters {
			list = append(list, tableQuery{
				request{ID: m.name + ", filter " + f.id, Type: "snapshot", Where: f.where, Options: map[string]string{"hoodie.enable.data.skipping": "true"}},
				"filters", last.rows, func(r tableRow) bool { return f.holds(r.columns) },
			})
		}
	}
	for i := range list {
		list[i].Path, list[i].Storage = m.path, m.storage
	}
	return list
}

// check compares an engine's answer with the model: as many rows, each key once, every column equal. It returns the first differences.
func (m *lakeTable) check(t *testing.T, q tableQuery, answer []map[string]any) error {
	t.Helper()
	want := 0
	for _, r := range q.rows {
		if q.holds(r) {
			want++
		}
	}
	if want == 0 || len(answer) != want {
		return fmt.Errorf("%s: %d rows, want %d (and more than none)", q.ID, len(answer), want)
	}
	seen := map[string]bool{}
	for _, got := range answer {
		key, _ := got["_hoodie_record_key"].(string)
		r, ok := q.rows[key]
		if !ok || seen[key] || !q.holds(r) {
			return fmt.Errorf("%s: row %q is unknown, twice or not asked for", q.ID, key)
		}
		seen[key] = true
		want := map[string]any{
			"_hoodie_record_key": key, "_hoodie_partition_path": m.partition(t, r.columns), "_hoodie_commit_time": string(r.commit),
		}
		maps.Copy(want, r.columns)
		if _, evolved := got["note"]; evolved && want["note"] == nil {
			want["note"] = nil // the row is older than the column
		}
		for name, value := range want {
			if have, ok := got[name]; !ok || !equal(have, value) {
				return fmt.Errorf("%s: %s: %s is %v, want %v", q.ID, key, name, have, value)
			}
		}
		if len(got) != len(want)+2 { // _hoodie_commit_seqno and _hoodie_file_name
			return fmt.Errorf("%s: %s: columns %v", q.ID, key, slices.Sorted(maps.Keys(got)))
		}
	}
	return nil
}

// ask asks an engine and compares its answer with the model.
func (m *lakeTable) ask(ctx context.Context, t *testing.T, s *session, q tableQuery) error {
	t.Helper()
	if !s.engine.spark() {
		q.Path = strings.Replace(q.Path, "s3a://", "s3://", 1)
	}
	lines, err := s.query(ctx, t, q.request)
	if err != nil {
		return err
	}
	answer := make([]map[string]any, len(lines))
	for i, line := range lines {
		decoder := json.NewDecoder(strings.NewReader(line))
		decoder.UseNumber()
		if err := decoder.Decode(&answer[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.check(t, q, answer); err != nil {
		return fmt.Errorf("%s: %w", s.engine.name, err)
	}
	return nil
}

// scan lets this library answer the query.
func (m *lakeTable) scan(ctx context.Context, t *testing.T, q tableQuery) error {
	t.Helper()
	types := map[string]hudi.QueryType{"snapshot": hudi.Snapshot, "incremental": hudi.Incremental, "read_optimized": hudi.ReadOptimized}
	query := hudi.Query{Type: types[q.Type], AsOf: timeline.Instant(q.AsOf), From: timeline.Instant(q.Begin)}
	var answer []map[string]any
	for row, err := range m.open(ctx, t, nil).Scan(ctx, query) {
		if err != nil {
			return fmt.Errorf("%s: %w", q.ID, err)
		}
		answer = append(answer, canonical(row).(map[string]any))
	}
	if err := m.check(t, q, answer); err != nil {
		return fmt.Errorf("this library: %w", err)
	}
	return nil
}
