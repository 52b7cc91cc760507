package lakewriter

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	lakewriterv1 "github.com/playhead-pipeline/playhead/proto/lakewriter/v1"
	"github.com/playhead-pipeline/playhead/services/internal/configfile"
	"github.com/playhead-pipeline/playhead/services/internal/kafkatest"
	"github.com/playhead-pipeline/playhead/services/internal/registryserver"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/deadletter"
)

// sarama counts fetches per topic in go-metrics' default registry, whatever its configuration says; the
// one goroutine of that registry lives as long as the process. The breaker of its producers, once open, sleeps for ten seconds, closed or not.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"),
		goleak.IgnoreAnyFunction("github.com/eapache/go-resiliency/breaker.(*Breaker).timer"))
}

const (
	testTopic  = "events"
	partitions = 4
)

var schemaTexts = []string{
	`{"type":"record","name":"Event","namespace":"test","fields":[
		{"name":"id","type":"string","playhead.role":"event_id","playhead.pii":"none"},
		{"name":"session","type":"string","playhead.role":"session_id","playhead.pii":"none"},
		{"name":"at","type":{"type":"long","logicalType":"timestamp-micros"},"playhead.role":"event_time"},
		{"name":"note","type":["null","string"],"default":null,"playhead.pii":"none"}]}`,
	`{"type":"record","name":"Event","namespace":"test","fields":[
		{"name":"id","type":"string","playhead.role":"event_id","playhead.pii":"none"},
		{"name":"session","type":"string","playhead.role":"session_id","playhead.pii":"none"},
		{"name":"at","type":{"type":"long","logicalType":"timestamp-micros"},"playhead.role":"event_time"},
		{"name":"note","type":["null","string"],"default":null,"playhead.pii":"none"},
		{"name":"pop","type":["null","string"],"default":null,"playhead.pii":"none"}]}`,
}

// world is everything around the service: Kafka, the registry and the lake.
type world struct {
	t        testing.TB
	kafka    *kafkatest.Cluster
	registry *httptest.Server
	schemas  []avro.Schema
	ids      []uint32
	producer *kgo.Client
	records  []*kgo.Record
	// instances are shown when a wait fails.
	instances []*instance
	sent      map[string]bool // event ids
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldOf(t, 1)
}

func newWorldOf(t testing.TB, brokers int) *world {
	t.Helper()
	w := &world{t: t, kafka: kafkatest.New(t, kafkatest.Options{Partitions: map[string]int32{testTopic: partitions}, Brokers: brokers}), sent: make(map[string]bool)}
	server, err := registryserver.New(registryserver.Params{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	w.registry = httptest.NewServer(server.Handler())
	t.Cleanup(w.registry.Close)
	for _, text := range schemaTexts[:1] {
		w.register(text)
	}
	if w.producer, err = kgo.NewClient(kgo.SeedBrokers(w.kafka.Addrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.producer.Close)
	return w
}

// register adds a version to the topic's subject and to w.schemas.
func (w *world) register(text string) {
	w.t.Helper()
	body, err := json.Marshal(map[string]string{"schema": text})
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := http.Post(w.registry.URL+"/subjects/"+testTopic+"-value/versions", "application/json", bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		ID uint32 `json:"id"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.ID == 0 {
		w.t.Fatalf("register schema: status %s, %v", resp.Status, err)
	}
	schema, err := avro.ParseWithCache(text, "", &avro.SchemaCache{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.schemas, w.ids = append(w.schemas, schema), append(w.ids, answer.ID)
}

// setCompatibilityNone lets the registry take any schema.
func (w *world) setCompatibilityNone() {
	w.t.Helper()
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPut, w.registry.URL+"/config", strings.NewReader(`{"compatibility":"NONE"}`))
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		w.t.Fatalf("set compatibility: %s", resp.Status)
	}
}

var testTime = time.Date(2026, 11, 22, 8, 30, 0, 0, time.UTC)

// value encodes an event in the given version.
func (w *world) value(version int, session, id string) []byte {
	w.t.Helper()
	return w.encode(version, map[string]any{"id": id, "session": session, "at": testTime, "note": "note of " + id, "pop": "pop of " + id})
}

// encode frames an event of any shape.
func (w *world) encode(version int, event map[string]any) []byte {
	w.t.Helper()
	body, err := avro.Marshal(w.schemas[version], event)
	if err != nil {
		w.t.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, w.ids[version]), body...)
}

// send produces events named by prefix and number, n to every partition.
func (w *world) send(version int, prefix string, n int) {
	w.t.Helper()
	for p := range int32(partitions) {
		for i := range n {
			id := fmt.Sprintf("%s-%d-%d", prefix, p, i)
			w.sent[id] = true
			w.buffer(p, w.value(version, fmt.Sprintf("session-%d", p), id))
		}
	}
	w.produce()
}

// buffer adds a value to the next produce.
func (w *world) buffer(partition int32, value []byte) {
	w.records = append(w.records, &kgo.Record{Topic: testTopic, Partition: partition, Value: value})
}

// produce sends what was buffered.
func (w *world) produce() {
	w.t.Helper()
	if err := w.producer.ProduceSync(context.Background(), w.records...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
	w.records = nil
}

// letter is a dead letter.
type letter struct {
	value   []byte
	headers map[string]string
}

// letters reads n dead letters, by their origin.
func (w *world) letters(n int) map[string]letter {
	w.t.Helper()
	reader, err := kgo.NewClient(kgo.SeedBrokers(w.kafka.Addrs()...), kgo.ConsumeTopics(testTopic+".dlq"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer reader.Close()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	out := make(map[string]letter)
	for len(out) < n && ctx.Err() == nil {
		reader.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			l := letter{value: r.Value, headers: make(map[string]string)}
			for _, h := range r.Headers {
				l.headers[h.Key] = string(h.Value)
			}
			out[l.headers[deadletter.HeaderOrigin]] = l
		})
	}
	return out
}

// config returns the configuration of an instance.
func (w *world) config() Config {
	cfg := DefaultConfig()
	cfg.Listen = ListenConfig{Admin: "127.0.0.1:0", Debug: "127.0.0.1:0"}
	cfg.Kafka.Brokers = w.kafka.Addrs()
	cfg.Registry.URL = w.registry.URL
	cfg.Lake = LakeConfig{Store: storeDir, Dir: w.t.TempDir()}
	cfg.Tables = []TableConfig{{Topic: testTopic, Database: "lake", Name: "events", Buckets: 2, Type: string(hudi.CopyOnWrite)}}
	cfg.CommitInterval = configfile.Duration(100 * time.Millisecond)
	cfg.DrainTimeout = configfile.Duration(5 * time.Second)
	cfg.Takeover = configfile.Duration(300 * time.Millisecond)
	return cfg
}

// mergeOnRead is config for a merge-on-read table whose services have much to do.
func (w *world) mergeOnRead() Config {
	cfg := w.config()
	cfg.Tables[0].Type = string(hudi.MergeOnRead)
	cfg.TableServices.Share = 1
	cfg.TableServices.Compaction = CompactionConfig{Interval: configfile.Duration(time.Hour), Commits: 3, StepBytes: 1}
	cfg.TableServices.Clean = CleanConfig{Interval: configfile.Duration(50 * time.Millisecond), RetainCommits: 2}
	cfg.TableServices.Archive = ArchiveConfig{Interval: configfile.Duration(70 * time.Millisecond), KeepMin: 3, KeepMax: 4}
	return cfg
}

// unarchived is mergeOnRead with a timeline that keeps every instant, for tests that count them.
func (w *world) unarchived() Config {
	cfg := w.mergeOnRead()
	cfg.TableServices.Archive.Interval = configfile.Duration(time.Hour)
	return cfg
}

// instance is a running service.
type instance struct {
	*LakeWriter
	w      *world
	cancel context.CancelFunc
	done   chan error
}

// start runs an instance on the given store until stop or the end of the test.
func (w *world) start(cfg Config, store storage.Store) *instance {
	w.t.Helper()
	level := new(slog.LevelVar)
	service, err := New(cfg, Params{
		Logger: slog.New(slog.DiscardHandler), Level: level,
		WrapStore: func(storage.Store) storage.Store { return store },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	in := &instance{LakeWriter: service, w: w, cancel: cancel, done: make(chan error, 1)}
	w.instances = append(w.instances, in)
	go func() { in.done <- service.Run(ctx) }()
	w.t.Cleanup(func() { _ = in.stop() })
	return in
}

// stop ends the instance and returns what Run did.
func (in *instance) stop() error {
	in.cancel()
	err := <-in.done
	in.done <- err
	return err
}

func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			for _, in := range w.instances {
				_, checks := in.health.Ready()
				w.t.Logf("instance: %v; %v", in.Snapshot(), checks)
			}
			w.t.Fatalf("not in time: %s", what)
		}
		<-tick.C
	}
}

// head reads the offsets of the table's HEAD; none when there is no table yet.
func (w *world) head(store storage.Store) map[int32]int64 {
	table, err := hudi.Open(context.Background(), store)
	if err != nil {
		return nil
	}
	head, err := table.Head(context.Background())
	if err != nil {
		return nil
	}
	return head.Offsets[testTopic]
}

// covered tells whether HEAD covers all events of all partitions but the given ones.
func (w *world) covered(store storage.Store, but ...int32) bool {
	head := w.head(store)
	for _, p := range w.kafka.Fake().PartitionInfos(testTopic) {
		if !slices.Contains(but, p.Partition) && head[p.Partition] != p.HighWatermark {
			return false
		}
	}
	return true
}

// waitCommitted waits until HEAD covers all events of all partitions but the given ones.
func (w *world) waitCommitted(store storage.Store, but ...int32) {
	w.t.Helper()
	w.eventually("everything is committed", func() bool { return w.covered(store, but...) })
}

// status returns what the instance tells of a partition.
func (in *instance) status(partition int32) *lakewriterv1.Partition {
	for _, p := range in.Snapshot().GetPartitions() {
		if p.GetPartition() == partition {
			return p
		}
	}
	return nil
}

// waitHalt waits until the instance gives a reason for a partition's rest.
func (in *instance) waitHalt(partition int32, reason string) {
	in.w.t.Helper()
	in.w.eventually("partition halts: "+reason, func() bool {
		return strings.Contains(in.status(partition).GetHaltedReason(), reason)
	})
}

// rows reads the table and returns the rows by event id.
func (w *world) rows(store storage.Store) map[string][]hudi.Row {
	w.t.Helper()
	return w.query(store, hudi.Snapshot)
}

func (w *world) query(store storage.Store, query hudi.QueryType) map[string][]hudi.Row {
	w.t.Helper()
	table, err := hudi.Open(w.t.Context(), store)
	if err != nil {
		w.t.Fatal(err)
	}
	out := make(map[string][]hudi.Row)
	for row, err := range table.Scan(w.t.Context(), hudi.Query{Type: query}) {
		if err != nil {
			w.t.Fatal(err)
		}
		id := text(row, "id")
		out[id] = append(out[id], row)
	}
	return out
}

// wantOnce checks that the table holds every event sent exactly once, with its own bytes, and no other.
func (w *world) wantOnce(store storage.Store) {
	w.t.Helper()
	got := w.rows(store)
	for id := range w.sent {
		if n := len(got[id]); n != 1 {
			w.t.Errorf("event %s is in the table %d times", id, n)
			continue
		}
		row := got[id][0]
		if note := text(row, "note"); note != "note of "+id {
			w.t.Errorf("event %s has note %q", id, note)
		}
		if key := text(row, "_hoodie_record_key"); !strings.HasSuffix(key, ",id:"+id) {
			w.t.Errorf("event %s has key %q", id, key)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(got)) {
		if !w.sent[id] {
			w.t.Errorf("event %s was never sent", id)
		}
	}
}

// text returns a column as text, empty when it is null or not there.
func text(row hudi.Row, column string) string {
	value, _ := row.Get(column)
	if s, ok := value.(string); ok {
		return s
	}
	return ""
}
