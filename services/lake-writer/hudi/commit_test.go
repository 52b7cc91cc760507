package hudi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storagetest"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/txn"
)

// Commits with Parquet files, on a directory.

// eventSchema is what producers write; its fields are not nullable, those of the table are.
const eventSchema = `{"type":"record","name":"event","fields":[{"name":"session_id","type":"string"},{"name":"event_id","type":"string"},` +
	`{"name":"event_time","type":{"type":"long","logicalType":"timestamp-micros"}},{"name":"day","type":"string"}]}`

// widerSchema is protoSchema with a column more.
var widerSchema = strings.TrimSuffix(protoSchema, "]}") + `,{"name":"cdn","type":["null","string"],"default":null}]}`

func eventRecord(t *testing.T, session, event string) Record {
	t.Helper()
	payload, err := avro.Marshal(avro.MustParse(eventSchema), map[string]any{
		"session_id": session, "event_id": event, "event_time": time.UnixMicro(1_700_000_000_000_000), "day": "1",
	})
	if err != nil {
		t.Fatal(err)
	}
	key, err := keys.ComplexKey(keys.Field{Name: "session_id", Value: session}, keys.Field{Name: "event_id", Value: event})
	if err != nil {
		t.Fatal(err)
	}
	return Record{Key: key, Payload: payload}
}

// eventRequest holds the events of one session, in its bucket, as the offsets from.. of partition 0.
func eventRequest(t *testing.T, from int64, session string, events ...string) CommitRequest {
	t.Helper()
	g := Group{Partition: "day=1", Bucket: keys.Bucket(protoConfig.Buckets, session)}
	for _, e := range events {
		g.Records = append(g.Records, eventRecord(t, session, e))
	}
	return CommitRequest{
		Groups: []Group{g}, WriterSchemas: []string{eventSchema},
		Progress: Progress{"playback.events": {0: {from, from + int64(len(events))}}},
	}
}

func acquired(t *testing.T, store storage.Store) (*Table, *Writer) {
	t.Helper()
	table, err := Create(t.Context(), store, protoConfig)
	if err != nil {
		t.Fatal(err)
	}
	w, err := table.Acquire(t.Context(), "writer")
	if err != nil {
		t.Fatal(err)
	}
	return table, w
}

func mustCommit(t *testing.T, w *Writer, req CommitRequest) *CommitResult {
	t.Helper()
	r, err := w.Commit(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// rowsByKey scans the table and returns the commit time of each key; a key that is there twice is an error.
func rowsByKey(t *testing.T, table *Table) map[string]string {
	t.Helper()
	rows := make(map[string]string)
	for row, err := range table.Scan(t.Context(), Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		key, _ := row.Get(basefile.RecordKeyColumn)
		at, _ := row.Get(basefile.CommitTimeColumn)
		if _, twice := rows[key.(string)]; twice {
			t.Errorf("row %s is there twice", key)
		}
		rows[key.(string)] = at.(string)
	}
	return rows
}

func TestCommitParquet(t *testing.T) {
	t.Parallel()
	store, err := storage.NewDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	table, w := acquired(t, store)
	first := mustCommit(t, w, eventRequest(t, 0, "s1", "e1", "e2"))
	if first.Rows != 2 || first.Duplicates != 0 || first.Files != 1 || !first.Projected {
		t.Errorf("first commit %+v", first)
	}
	req := eventRequest(t, 2, "s1", "e2", "e3", "e3")
	req.ExtraMetadata, req.Watermark = map[string]string{"note": "x"}, time.UnixMilli(1_700_000_000_000)
	second := mustCommit(t, w, req)
	if second.Rows != 1 || second.Duplicates != 2 || second.Instant <= first.Instant {
		t.Errorf("second commit %+v", second)
	}
	want := map[string]string{
		"session_id:s1,event_id:e1": string(first.Instant), "session_id:s1,event_id:e2": string(first.Instant), // the first one wins
		"session_id:s1,event_id:e3": string(second.Instant),
	}
	if got := rowsByKey(t, table); !maps.Equal(got, want) {
		t.Errorf("rows %v\nwant %v", got, want)
	}
	checkMetadata(t, table, second, first)
	if got := w.Head().Offsets["playback.events"][0]; got != 5 {
		t.Errorf("HEAD ends at %d", got)
	}
}

// checkMetadata checks what a rewriting commit says of itself to Hudi.
func checkMetadata(t *testing.T, table *Table, r, previous *CommitResult) {
	t.Helper()
	c, err := table.Commit(t.Context(), timeline.Entry{Instant: r.Instant, Action: timeline.Commit, State: timeline.Completed})
	if err != nil {
		t.Fatal(err)
	}
	s := c.PartitionToWriteStats["day=1"][0]
	if s.PrevCommit != string(previous.Instant) || s.NumWrites != 3 || s.NumInserts != 1 || s.FileSizeInBytes != r.Bytes || c.OperationType != "UPSERT" {
		t.Errorf("stat %+v of operation %s", s, c.OperationType)
	}
	if got := c.ExtraMetadata[meta.CheckpointKey]; got != "playback.events,0:5" {
		t.Errorf("checkpoint %q", got)
	}
	if c.ExtraMetadata["note"] != "x" || c.ExtraMetadata[meta.SchemaKey] != protoSchema {
		t.Errorf("extra metadata %q", c.ExtraMetadata)
	}
	note, ok := c.Note()
	if !ok || note.CommitID != r.CommitID || note.PreviousCommitID != previous.CommitID || note.Epoch != 1 || note.WatermarkMillis != 1_700_000_000_000 {
		t.Errorf("note %+v", note)
	}
}

func TestAddColumn(t *testing.T) {
	t.Parallel()
	table, w := acquired(t, storage.NewMem())
	mustCommit(t, w, eventRequest(t, 0, "s1", "e1"))
	req := eventRequest(t, 1, "s1", "e2")
	req.TableSchema = widerSchema
	mustCommit(t, w, req)
	mustCommit(t, w, eventRequest(t, 2, "s1", "e3")) // "" leaves the wider one
	tl, err := table.Timeline(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := table.Schema(t.Context(), tl); err != nil || got != widerSchema {
		t.Errorf("schema %s, %v", got, err)
	}
	if got := rowsByKey(t, table); len(got) != 3 {
		t.Errorf("rows %v", got)
	}
	req = eventRequest(t, 3, "s1", "e4")
	req.TableSchema = protoSchema
	var schemaErr *SchemaError
	if _, err := w.Commit(t.Context(), req); !errors.As(err, &schemaErr) || schemaErr.Field != "cdn" {
		t.Errorf("a column was taken away: %v", err)
	}
}

// TestRefusedRequests: what is refused leaves no trace in the store.
func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	store := storage.NewMem()
	_, w := acquired(t, store)
	mustCommit(t, w, eventRequest(t, 0, "s1", "e1"))
	before := storagetest.ListKeys(t, store, "")
	base := func() CommitRequest { return eventRequest(t, 1, "s1", "e2") }
	for name, c := range map[string]struct {
		change func(*CommitRequest)
		want   error
	}{
		"gap":               {func(r *CommitRequest) { r.Progress["playback.events"][0] = Range{2, 3} }, ErrConflict},
		"overlap":           {func(r *CommitRequest) { r.Progress["playback.events"][0] = Range{0, 2} }, ErrConflict},
		"backwards":         {func(r *CommitRequest) { r.Progress["playback.events"][0] = Range{1, 0} }, ErrInvalid},
		"stream name":       {func(r *CommitRequest) { r.Progress["a,b"] = map[int32]Range{0: {0, 1}} }, ErrInvalid},
		"bucket":            {func(r *CommitRequest) { r.Groups[0].Bucket = protoConfig.Buckets }, ErrInvalid},
		"partition":         {func(r *CommitRequest) { r.Groups[0].Partition = "../x" }, ErrInvalid},
		"partition style":   {func(r *CommitRequest) { r.Groups[0].Partition = "1" }, ErrInvalid},
		"group twice":       {func(r *CommitRequest) { r.Groups = append(r.Groups, r.Groups[0]) }, ErrInvalid},
		"no key":            {func(r *CommitRequest) { r.Groups[0].Records[0].Key = "" }, ErrInvalid},
		"writer index":      {func(r *CommitRequest) { r.Groups[0].Records[0].Writer = 1 }, ErrInvalid},
		"our metadata":      {func(r *CommitRequest) { r.ExtraMetadata = map[string]string{meta.SchemaKey: "x"} }, ErrInvalid},
		"writer's schema":   {func(r *CommitRequest) { r.WriterSchemas[0] = `"string"` }, ErrInvalid},
		"table schema":      {func(r *CommitRequest) { r.TableSchema = strings.Replace(protoSchema, `"long"`, `"int"`, 1) }, nil},
		"table schema text": {func(r *CommitRequest) { r.TableSchema = "{" }, nil},
	} {
		req := base()
		c.change(&req)
		_, err := w.Commit(t.Context(), req)
		var schemaErr *SchemaError
		if c.want != nil && !errors.Is(err, c.want) || c.want == nil && !errors.As(err, &schemaErr) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after := storagetest.ListKeys(t, store, ""); !slices.Equal(after, before) {
		t.Errorf("a refused request left objects: %q", after)
	}
	mustCommit(t, w, base())
}

// TestBrokenRecord: bytes that are no record of their schema undo the attempt, by a rollback that Hudi's tools see.
func TestBrokenRecord(t *testing.T) {
	t.Parallel()
	store := storage.NewMem()
	table, err := Create(t.Context(), store, protoConfig, WithBaseURI("s3a://lake/events"))
	if err != nil {
		t.Fatal(err)
	}
	w, err := table.Acquire(t.Context(), "writer")
	if err != nil {
		t.Fatal(err)
	}
	req := eventRequest(t, 0, "s1", "e1")
	req.Groups[0].Records[0].Payload = []byte{0xff}
	if _, err := w.Commit(t.Context(), req); !errors.Is(err, ErrInvalid) {
		t.Fatalf("broken record: %v", err)
	}
	tl, err := table.Timeline(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	last := tl.Entries()[len(tl.Entries())-1]
	if last.Action != timeline.Rollback || last.State != timeline.Completed || len(tl.Pending()) > 0 {
		t.Fatalf("timeline %+v", tl.Entries())
	}
	data, _, err := store.Get(t.Context(), last.In(timeline.Requested).Key())
	if err != nil {
		t.Fatal(err)
	}
	plan, err := meta.ParseRollbackPlan(data)
	if err != nil || len(*plan.Requests) != 1 || !strings.HasPrefix((*plan.Requests)[0].FilesToBeDeleted[0], "s3a://lake/events/day=1/0") {
		t.Errorf("plan %+v, %v", plan, err)
	}
	if r := mustCommit(t, w, eventRequest(t, 0, "s1", "e1")); r.Instant <= last.Instant {
		t.Errorf("commit %s after rollback %s", r.Instant, last.Instant)
	}
}

// TestUnknownOutcome: a commit whose answer is lost, with a store that cannot be read, is undecided until Resolve can read.
func TestUnknownOutcome(t *testing.T) {
	t.Parallel()
	for _, happened := range []bool{true, false} {
		t.Run(fmt.Sprint(happened), func(t *testing.T) {
			t.Parallel()
			store := &unreliable{Store: storage.NewMem(), happens: happened}
			table, w := acquired(t, store)
			req := eventRequest(t, 0, "s1", "e1")
			store.lose = true
			if _, err := w.Commit(t.Context(), req); !errors.Is(err, ErrUnknownOutcome) {
				t.Fatalf("lost answer: %v", err)
			}
			if _, err := w.Commit(t.Context(), req); !errors.Is(err, ErrUnknownOutcome) {
				t.Errorf("commit before resolving: %v", err)
			}
			if _, err := w.Resolve(t.Context()); !errors.Is(err, ErrUnknownOutcome) {
				t.Errorf("resolved without reading: %v", err)
			}
			store.lose = false
			r, err := w.Resolve(t.Context())
			if happened {
				if err != nil || r.Rows != 1 || !r.Projected {
					t.Errorf("resolved: %+v, %v", r, err)
				}
			} else {
				if !errors.Is(err, ErrNotCommitted) {
					t.Errorf("resolved: %+v, %v", r, err)
				}
				mustCommit(t, w, req)
			}
			if got := rowsByKey(t, table); len(got) != 1 {
				t.Errorf("rows %v", got)
			}
			if r, err := w.Resolve(t.Context()); r != nil || err != nil {
				t.Errorf("nothing to resolve: %+v, %v", r, err)
			}
		})
	}
}

// unreliable loses the answers of HEAD's replacements and refuses to read HEAD, while lose is set.
type unreliable struct {
	storage.Store
	lose, happens, lost bool
}

func (u *unreliable) Get(ctx context.Context, key string) ([]byte, storage.Info, error) {
	if u.lose && u.lost && key == txn.Key {
		return nil, storage.Info{}, storagetest.ErrRetryable
	}
	return u.Store.Get(ctx, key)
}

func (u *unreliable) Put(ctx context.Context, key string, data []byte, cond storage.Condition) (storage.Info, error) {
	if !u.lose || key != txn.Key {
		return u.Store.Put(ctx, key, data, cond)
	}
	if u.happens && !u.lost {
		if _, err := u.Store.Put(ctx, key, data, cond); err != nil {
			return storage.Info{}, err
		}
	}
	u.lost = true
	return storage.Info{}, storage.ErrUnknownOutcome
}

// TestLargeCommit: metadata that is too large for HEAD is staged, projected from there and swept.
func TestLargeCommit(t *testing.T) {
	t.Parallel()
	store := storage.NewMem()
	table, w := acquired(t, store)
	req := eventRequest(t, 0, "s1", "e1")
	req.ExtraMetadata = map[string]string{"large": strings.Repeat("x", txn.InlineLimit)}
	r := mustCommit(t, w, req)
	if w.Head().Staged == nil || !r.Projected {
		t.Errorf("HEAD %+v, result %+v", w.Head().Staged, r)
	}
	if left := storagetest.ListKeys(t, store, txn.StagedFolder); len(left) > 0 {
		t.Errorf("left %q", left)
	}
	if _, err := table.Acquire(t.Context(), "next"); err != nil { // must not need the staged copy
		t.Error(err)
	}
}

func TestFenced(t *testing.T) {
	t.Parallel()
	table, old := acquired(t, storage.NewMem())
	mustCommit(t, old, eventRequest(t, 0, "s1", "e1"))
	w, err := table.Acquire(t.Context(), "successor")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.Commit(t.Context(), eventRequest(t, 1, "s1", "e2")); !errors.Is(err, ErrFenced) {
		t.Errorf("fenced writer: %v", err)
	}
	mustCommit(t, w, eventRequest(t, 1, "s1", "e2"))
	if h := w.Head(); h.Epoch != 2 || h.Owner != "successor" || h.Sequence != 2 {
		t.Errorf("HEAD %+v", h)
	}
}

// TestReplacedGroup: rows for a bucket whose file group was taken away by a replacecommit, as Spark's insert overwrite does, go to a group of
// another id: readers pass over the replaced one, whatever is written to it later.
func TestReplacedGroup(t *testing.T) {
	t.Parallel()
	store := storage.NewMem()
	table, w := acquired(t, store)
	first := mustCommit(t, w, eventRequest(t, 0, "s1", "e1"))
	id := keys.FileID("day=1", keys.Bucket(protoConfig.Buckets, "s1"))
	replace := timeline.Entry{Instant: timeline.Next(time.Now(), first.Instant), Action: timeline.ReplaceCommit, State: timeline.Completed}
	data, err := meta.Commit{
		PartitionToReplaceFileIDs: map[string][]string{"day=1": {id}}, OperationType: "DELETE_PARTITION",
		ExtraMetadata: map[string]string{meta.SchemaKey: protoSchema},
	}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	putObject(t, store, replace.Key(), data)
	second := mustCommit(t, w, eventRequest(t, 1, "s1", "e2"))
	third := mustCommit(t, w, eventRequest(t, 2, "s1", "e3"))
	want := map[string]string{"session_id:s1,event_id:e2": string(second.Instant), "session_id:s1,event_id:e3": string(third.Instant)}
	if got := rowsByKey(t, table); !maps.Equal(got, want) {
		t.Errorf("rows %v\nwant %v", got, want)
	}
}
