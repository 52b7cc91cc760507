package lakewriter

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	tablev1 "github.com/playhead-pipeline/playhead/proto/table/v1"
	"github.com/playhead-pipeline/playhead/services/internal/configfile"
	"github.com/playhead-pipeline/playhead/services/internal/rpcserver"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storagetest"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/tableservice"
)

// actions counts the completed instants of a table's active timeline.
func (w *world) actions(store storage.Store) map[timeline.Action]int {
	w.t.Helper()
	table, err := hudi.Open(w.t.Context(), store)
	if err != nil {
		w.t.Fatal(err)
	}
	tl, err := table.Timeline(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	n := make(map[timeline.Action]int)
	for _, e := range tl.Entries() {
		if e.State == timeline.Completed {
			n[e.Action]++
		}
	}
	return n
}

// archived tells whether instants left the active timeline.
func (w *world) archived(store storage.Store) bool {
	w.t.Helper()
	table, err := hudi.Open(w.t.Context(), store)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, err := range table.Archived(w.t.Context()) {
		if err != nil {
			w.t.Fatal(err)
		}
		return true
	}
	return false
}

// TestMergeOnReadStaysHealthy: while events come, logs are compacted, old slices cleaned and old commits archived.
func TestMergeOnReadStaysHealthy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store := storage.NewMem()
	in := w.start(w.mergeOnRead(), store)
	for round := 0; ; round++ {
		w.send(0, fmt.Sprint("round", round), 5)
		w.waitCommitted(store)
		if n := w.actions(store); n[timeline.Commit] > 0 && n[timeline.Clean] > 0 && w.archived(store) {
			break
		}
		if round > 200 {
			t.Fatalf("after %d rounds: %v, services %+v", round, w.actions(store), in.tables[0].services.Status())
		}
	}
	w.send(0, "round0", 5) // duplicates
	w.waitCommitted(store)
	w.wantOnce(store)
	report, err := in.tables[0].services.Do(t.Context(), tableservice.Compaction, false)
	if err != nil {
		t.Fatalf("compaction on demand: %v", err)
	}
	if got := w.query(store, hudi.ReadOptimized); len(got) != len(w.sent) {
		t.Errorf("base files alone hold %d events after %+v, want %d", len(got), report, len(w.sent))
	}
	if err := in.stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	w.wantOnce(store)
}

// TestPausedServiceRests: a paused service does not begin by itself, but an operator can run it, and a dry run changes nothing.
func TestPausedServiceRests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store := storage.NewMem()
	cfg := w.unarchived()
	in := w.start(cfg, store)
	services := in.tables[0].services
	services.Pause(tableservice.Compaction)
	for round := range 5 {
		w.send(0, fmt.Sprint("round", round), 2)
		w.waitCommitted(store)
	}
	if n := w.actions(store)[timeline.Commit]; n != 0 {
		t.Errorf("%d compactions while paused", n)
	}
	plan, err := services.Do(t.Context(), tableservice.Compaction, true)
	if err != nil || plan.Groups == 0 || plan.LogFiles == 0 || plan.Instant != "" || w.actions(store)[timeline.Commit] != 0 {
		t.Errorf("dry run: %+v, %v", plan, err)
	}
	done, err := services.Do(t.Context(), tableservice.Compaction, false)
	if err != nil || done.Groups != plan.Groups || done.Pieces == 0 || done.Instant == "" {
		t.Errorf("on demand: %+v, %v; planned %+v", done, err, plan)
	}
	before := services.Status()[0].Last
	services.Resume(tableservice.Compaction)
	w.eventually("the resumed service runs again", func() bool {
		w.send(0, "again", 1)
		w.waitCommitted(store)
		return services.Status()[0].Last.After(before)
	})
	w.wantOnce(store)
	if err := in.stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if _, err := services.Do(t.Context(), tableservice.Clean, false); !errors.Is(err, tableservice.ErrIdle) {
		t.Errorf("a service ran on a table that is not ours: %v", err)
	}
}

// TestTableAPI: an operator lists, runs, pauses and resumes services, a repeated request runs once, and commits tell their offsets.
func TestTableAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store := storage.NewMem()
	cfg := w.unarchived()
	cfg.TableServices.Compaction.Commits = 0
	in := w.start(cfg, store)
	for round := range 3 {
		w.send(0, fmt.Sprint("round", round), 2)
		w.waitCommitted(store)
	}
	conn, err := rpcserver.NewClient(rpcserver.ClientConfig{Address: in.Addrs().Admin})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	api := tablev1.NewTableServiceClient(conn)
	run := func(id string, dry bool) *tablev1.RunServiceResponse {
		t.Helper()
		out, err := api.RunService(t.Context(), &tablev1.RunServiceRequest{Table: "lake.events", Service: tablev1.Service_SERVICE_COMPACTION, DryRun: dry, RequestId: id})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	plan := run("1", true)
	done, again := run("2", false), run("2", false)
	if plan.GetGroups() == 0 || plan.GetInstant() != "" || done.GetGroups() != plan.GetGroups() || done.GetInstant() == "" || !proto.Equal(done, again) {
		t.Errorf("planned %v, done %v, again %v", plan, done, again)
	}
	if n := w.actions(store)[timeline.Commit]; int64(n) != done.GetPieces() {
		t.Errorf("%d compactions, the answer tells of %d", n, done.GetPieces())
	}
	if _, err := api.PauseService(t.Context(), &tablev1.PauseServiceRequest{Table: "lake.events", Service: tablev1.Service_SERVICE_CLEAN, Reason: "a look"}); err != nil {
		t.Error(err)
	}
	listed, err := api.ListServices(t.Context(), &tablev1.ListServicesRequest{Table: "lake.events"})
	if err != nil || len(listed.GetServices()) != 3 || listed.GetServices()[0].GetPaused() || !listed.GetServices()[1].GetPaused() || listed.GetServices()[0].GetLastAtMicros() == 0 {
		t.Errorf("services %v, %v", listed, err)
	}
	if _, err := api.ResumeService(t.Context(), &tablev1.ResumeServiceRequest{Table: "lake.events", Service: tablev1.Service_SERVICE_CLEAN}); err != nil {
		t.Error(err)
	}
	commits, err := api.ListCommits(t.Context(), &tablev1.ListCommitsRequest{Table: "lake.events", Limit: 2})
	if err != nil || len(commits.GetCommits()) != 2 || len(commits.GetCommits()[0].GetOffsets()) != partitions || commits.GetCommits()[0].GetOffsets()[0].GetNext() != 6 ||
		commits.GetCommits()[0].GetOperation() != "COMPACT" && commits.GetCommits()[0].GetOperation() != "COMPACTION" {
		t.Errorf("commits %v, %v", commits, err)
	}
	for _, r := range []*tablev1.RunServiceRequest{
		{Table: "lake.other", Service: tablev1.Service_SERVICE_CLEAN, RequestId: "3"}, {Table: "lake.events", RequestId: "3"}, {Table: "lake.events", Service: tablev1.Service_SERVICE_CLEAN},
	} {
		if _, err := api.RunService(t.Context(), r); status.Code(err) != codes.NotFound && status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v: %v", r, err)
		}
	}
}

// nestedTexts are two versions of an event of which the newer one has a field more within a record.
var nestedTexts = func() [2]string {
	device := func(more string) string {
		return strings.TrimSuffix(schemaTexts[0], "]}") + `,{"name":"device","type":["null",{"type":"record","name":"Device","fields":[
			{"name":"os","type":["null","string"],"default":null,"playhead.pii":"none"}` + more + `]}],"default":null}]}`
	}
	return [2]string{device(""), device(`,{"name":"model","type":["null","string"],"default":null,"playhead.pii":"none"}`)}
}()

// TestNestedFieldCompactsFirst: a change that readers of old logs could not take is preceded by a compaction, in mid-stream.
func TestNestedFieldCompactsFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store := storage.NewMem()
	cfg := w.unarchived()
	cfg.TableServices.Compaction.Commits = 0
	cfg.Tables[0].LogFormat = "avro"
	send := func(version int, prefix string, device map[string]any) {
		for p := range int32(partitions) {
			id := fmt.Sprintf("%s-%d", prefix, p)
			w.sent[id] = true
			w.buffer(p, w.encode(version, map[string]any{"id": id, "session": fmt.Sprintf("session-%d", p), "at": testTime, "note": "note of " + id, "device": map[string]any{"test.Device": device}}))
		}
		w.produce()
		w.waitCommitted(store)
	}
	w.register(nestedTexts[0])
	w.start(cfg, store)
	for round := range 3 {
		send(1, fmt.Sprint("old", round), map[string]any{"os": "tv"})
	}
	w.register(nestedTexts[1])
	send(2, "new", map[string]any{"os": "tv", "model": "x1"})
	send(1, "late", map[string]any{"os": "tv"})
	w.wantOnce(store)
	if n := w.actions(store)[timeline.Commit]; n != 1 {
		t.Errorf("%d compactions before the schema changed, want 1", n)
	}
}

// TestMergeOnReadKilledAtStoreCalls: as TestKilledAtEveryStoreCall, with table services under way. What they do when is up to the
// scheduler, so that calls are sampled.
func TestMergeOnReadKilledAtStoreCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for round := range 6 {
		w.send(0, fmt.Sprint("round", round), 2)
	}
	cfg := w.mergeOnRead()
	cfg.CommitRows, cfg.CommitInterval = 4, configfile.Duration(5*time.Millisecond)
	cfg.TableServices.Compaction.Commits = 1
	cfg.TableServices.Clean.Interval, cfg.TableServices.Archive.Interval = configfile.Duration(time.Millisecond), configfile.Duration(time.Millisecond)
	for n := 0; n < 400; n += 13 {
		for _, fault := range []storagetest.Fault{
			{Down: true, Err: storagetest.ErrDown},
			{Down: true, Err: storagetest.ErrDown, After: true},
			{Err: storage.ErrUnknownOutcome, Ops: storagetest.Writes},
			{Err: storage.ErrUnknownOutcome, Ops: storagetest.Writes, After: true},
		} {
			fault.N = n
			w.lifeWith(cfg, fault)
		}
	}
}

// lifeWith runs an instance whose store has a fault, then another on the healthy store, and checks what the table holds.
func (w *world) lifeWith(cfg Config, fault storagetest.Fault) {
	w.t.Helper()
	mem := storage.NewMem()
	failing := storagetest.FailNth(mem, fault)
	drain := cfg.DrainTimeout
	cfg.DrainTimeout = configfile.Duration(10 * time.Millisecond)
	in := w.start(cfg, failing)
	w.eventually("the fault or the commit", func() bool { return failing.Fired() || w.covered(mem) })
	_ = in.stop() // what was killed cannot drain
	cfg.DrainTimeout = drain
	next := w.start(cfg, mem)
	w.eventually("the next instance has committed", func() bool { return next.Snapshot().GetActive() && w.covered(mem) })
	w.eventually("a compaction", func() bool {
		_, err := next.tables[0].services.Do(w.t.Context(), tableservice.Compaction, false)
		if err != nil && !errors.Is(err, tableservice.ErrIdle) { // services begin a moment after the instance is active
			w.t.Errorf("fault %+v: compaction: %v", fault, err)
		}
		return err == nil || w.t.Failed()
	})
	if err := next.stop(); err != nil {
		w.t.Errorf("fault %+v: the next instance: %v", fault, err)
	}
	w.wantOnce(mem)
	if w.t.Failed() {
		w.t.Fatalf("fault %+v", fault)
	}
}
