package lakewriter

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	controlv1 "github.com/playhead-pipeline/playhead/proto/control/v1"
	ingestv1 "github.com/playhead-pipeline/playhead/proto/ingest/v1"
	lakewriterv1 "github.com/playhead-pipeline/playhead/proto/lakewriter/v1"
	"github.com/playhead-pipeline/playhead/services/internal/configfile"
	"github.com/playhead-pipeline/playhead/services/internal/rpcserver"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storagetest"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/convert"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/deadletter"
)

func TestEveryEventOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store := storage.NewMem()
	w.send(0, "before", 20)
	in := w.start(w.config(), store)
	w.waitCommitted(store)
	w.send(0, "while", 20)
	w.waitCommitted(store)
	if err := in.stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	w.wantOnce(store)
}

// TestDrainCommits: what was read is in the table when Run returns, however far the next commit was.
func TestDrainCommits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store := storage.NewMem()
	cfg := w.config()
	cfg.CommitInterval = configfile.Duration(time.Hour)
	in := w.start(cfg, store)
	w.send(0, "a", 10)
	w.eventually("everything is read", func() bool {
		for p := range int32(partitions) {
			if in.status(p).GetNextOffset() != 10 {
				return false
			}
		}
		return true
	})
	in.Drain()
	if err := <-in.done; err != nil {
		t.Errorf("Run: %v", err)
	}
	in.done <- nil
	w.waitCommitted(store)
	w.wantOnce(store)
}

// TestDrainThatFailsSaysSo: a store that is away must not make the end look clean, nor last for ever.
func TestDrainThatFailsSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mem := storage.NewMem()
	w.send(0, "a", 3)
	first := w.start(w.config(), mem)
	w.waitCommitted(mem)
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	cfg := w.config()
	cfg.CommitInterval, cfg.DrainTimeout = configfile.Duration(time.Hour), configfile.Duration(100*time.Millisecond)
	failing := storagetest.FailNth(mem, storagetest.Fault{Ops: []storagetest.Op{storagetest.Put}, N: 1, Down: true, Err: storagetest.ErrDown})
	in := w.start(cfg, failing) // its first put takes the table over
	w.send(0, "b", 3)
	w.eventually("everything is read", func() bool { return in.status(3).GetNextOffset() == 6 })
	if err := in.stop(); err == nil || !strings.Contains(err.Error(), "the drain timeout is over") {
		t.Errorf("Run: %v, want the drain timeout", err)
	}
}

func TestFlushCommitsNow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store := storage.NewMem()
	cfg := w.config()
	cfg.CommitInterval = configfile.Duration(time.Hour)
	in := w.start(cfg, store)
	w.send(0, "a", 10)
	w.eventually("everything is read", func() bool { return in.Snapshot().GetBufferedBytes() > 0 && in.status(3).GetNextOffset() == 10 })
	instant, err := in.Flush(t.Context())
	if err != nil || instant == "" {
		t.Fatalf("Flush: %q, %v", instant, err)
	}
	if status := in.Snapshot(); status.GetTables()[0].GetLastInstant() != instant || status.GetTables()[0].GetRows() == 0 || !status.GetActive() {
		t.Errorf("status is %v", status)
	}
	w.eventually("the rest is flushed", func() bool {
		again, err := in.Flush(t.Context())
		if err != nil || again < instant {
			t.Fatalf("Flush: %q after %q, %v", again, instant, err)
		}
		return len(w.rows(store)) == len(w.sent)
	})
	w.wantOnce(store)
}

// TestRestartFromHeadAlone: nothing but the table tells where to go on. The group's offsets lie.
func TestRestartFromHeadAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store := storage.NewMem()
	for round := range 3 {
		in := w.start(w.config(), store)
		w.send(0, fmt.Sprint("round", round), 7)
		w.waitCommitted(store)
		if err := in.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
		w.kafka.CreateGroup(t, in.cfg.GroupID, testTopic)
	}
	w.wantOnce(store)
}

func TestDuplicateEventsAreLeftOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store := storage.NewMem()
	in := w.start(w.config(), store)
	w.send(0, "a", 5)
	w.waitCommitted(store)
	w.send(0, "a", 5)
	w.waitCommitted(store)
	w.wantOnce(store)
	w.eventually("duplicates are counted", func() bool {
		table := in.Snapshot().GetTables()[0]
		return table.GetDuplicates() == 5*partitions && table.GetRows() == 5*partitions
	})
}

func TestSchemaVersionsMix(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store := storage.NewMem()
	w.send(0, "old", 3)
	w.start(w.config(), store)
	w.waitCommitted(store)
	w.register(schemaTexts[1])
	w.send(1, "new", 3)
	w.send(0, "late", 3)
	w.waitCommitted(store)
	w.wantOnce(store)
	for id, rows := range w.rows(store) {
		want := ""
		if strings.HasPrefix(id, "new") {
			want = "pop of " + id
		}
		if got := text(rows[0], "pop"); got != want {
			t.Errorf("event %s has pop %q, want %q", id, got, want)
		}
	}
}

// TestChangedFieldHalts: only partitions with such events rest, with the field's name.
func TestChangedFieldHalts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store := storage.NewMem()
	w.send(0, "a", 3)
	in := w.start(withoutDeadLetters(w.config()), store)
	w.waitCommitted(store)
	changed := strings.Replace(schemaTexts[0], `"name":"note","type":["null","string"],"default":null,"playhead.pii":"none"`, `"name":"note","type":["null","long"],"default":null`, 1)
	w.setCompatibilityNone()
	w.register(changed)
	w.buffer(2, w.encode(1, map[string]any{"id": "x", "session": "s", "at": testTime, "note": int64(1)}))
	w.produce()
	w.send(0, "b", 3)
	in.waitHalt(2, "field note: type string became long")
	for p := range int32(3) {
		delete(w.sent, fmt.Sprintf("b-2-%d", p))
	}
	w.waitCommitted(store, 2)
	w.wantOnce(store)
	if got := in.status(2).GetCommittedOffset(); got != 3 {
		t.Errorf("committed offset of the halted partition is %d, want 3", got)
	}
}

func TestForeignBytesHalt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store := storage.NewMem()
	w.send(0, "a", 3)
	w.buffer(1, []byte("not an event"))
	w.produce()
	in := w.start(withoutDeadLetters(w.config()), store)
	in.waitHalt(1, "the event at offset 3 cannot become a row")
	w.waitCommitted(store, 1)
	w.eventually("the events before it are committed", func() bool { return w.head(store)[1] == 3 })
	w.wantOnce(store)
}

// TestCausesAreTheContracts: the names in dead letters are those of the published enum.
func TestCausesAreTheContracts(t *testing.T) {
	t.Parallel()
	for _, cause := range []string{
		convert.CauseMalformedFrame, convert.CauseMalformedAvro, convert.CauseTrailingBytes, convert.CauseTypeMismatch, convert.CauseMissingField,
		convert.CauseTooLarge, convert.CauseTooDeep, convert.CauseInvalidUTF8, convert.CauseInvalidKey, convert.CauseInvalidTime, convert.CauseIncompatibleSchema,
	} {
		if _, ok := ingestv1.Cause_value["CAUSE_"+cause]; !ok {
			t.Errorf("the contract has no cause %s", cause)
		}
	}
}

func withoutDeadLetters(cfg Config) Config {
	cfg.Tables[0].DeadLetters = new(string)
	return cfg
}

// TestRefusedEventsAreDeadLetters: they are in the dead-letter topic before their offsets are passed, and nothing waits for an operator.
func TestRefusedEventsAreDeadLetters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store := storage.NewMem()
	for p := range int32(partitions) {
		w.buffer(p, []byte("not an event"))
	}
	w.send(0, "a", 3)
	late := w.encode(0, map[string]any{"id": "late", "session": "s", "at": testTime.Add(1000 * time.Hour), "note": nil})
	w.buffer(1, late)
	w.produce()
	in := w.start(w.config(), store)
	w.eventually("the commit waits for the topic", func() bool {
		return strings.Contains(in.Snapshot().GetTables()[0].GetLastError(), "dead letters")
	})
	if head := w.head(store); len(head) != 0 {
		t.Errorf("offsets %v were committed before the dead letters were written", head)
	}
	if err := w.kafka.Fake().CreateTopic(testTopic+".dlq", 2, nil); err != nil {
		t.Fatal(err)
	}
	w.waitCommitted(store)
	w.wantOnce(store)
	if n := in.Snapshot().GetTables()[0].GetRefused(); n != partitions+1 {
		t.Errorf("%d events refused, want %d", n, partitions+1)
	}
	letters := w.letters(partitions + 1)
	for p := range partitions {
		got := letters[fmt.Sprintf("%s/%d/0", testTopic, p)]
		if string(got.value) != "not an event" || got.headers[deadletter.HeaderCause] != "MALFORMED_FRAME" {
			t.Errorf("letter of partition %d is %+v", p, got)
		}
	}
	if got := letters[testTopic+"/1/4"]; !bytes.Equal(got.value, late) || got.headers[deadletter.HeaderCause] != "INVALID_TIME" ||
		got.headers[deadletter.HeaderEventID] != "late" || got.headers[deadletter.HeaderSchema] != fmt.Sprint(w.ids[0]) {
		t.Errorf("letter of the event of the future is %+v", got)
	}
}

// TestLogBelowHeadHalts: a topic that was made anew must not be read as if it went on.
func TestLogBelowHeadHalts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store := storage.NewMem()
	w.send(0, "a", 5)
	first := w.start(w.config(), store)
	w.waitCommitted(store)
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	if err := w.kafka.Fake().DeleteTopic(testTopic); err != nil {
		t.Fatal(err)
	}
	if err := w.kafka.Fake().CreateTopic(testTopic, partitions, nil); err != nil {
		t.Fatal(err)
	}
	in := w.start(w.config(), store)
	for p := range int32(partitions) {
		in.waitHalt(p, "the log ends at 0")
	}
	w.wantOnce(store)
}

// TestLostEventsHalt: events that retention took before they were read are named, not skipped.
func TestLostEventsHalt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store := storage.NewMem()
	w.send(0, "a", 5)
	first := w.start(w.config(), store)
	w.waitCommitted(store)
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		w.send(0, "b", 1)
	}
	if err := w.kafka.Fake().DeleteRecords(testTopic, 0, 7); err != nil {
		t.Fatal(err)
	}
	in := w.start(w.config(), store)
	in.waitHalt(0, "2 events were deleted before they were read")
	w.waitCommitted(store, 0)
	if got := w.head(store)[0]; got != 5 {
		t.Errorf("HEAD has offset %d for the halted partition, want 5", got)
	}
}

// TestTwoInstances: both work at full speed on one table, again and again fencing each other.
func TestTwoInstances(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store := storage.NewMem()
	cfg := w.config()
	for round := range 4 {
		w.start(cfg, store) // takes over from the one before, which goes on as a standby
		w.send(0, fmt.Sprint("round", round), 10)
	}
	w.waitCommitted(store)
	w.wantOnce(store)
}

// TestStandbyTakesOver: the older instance is fenced, stands by ready, and works again when the newer one is gone.
func TestStandbyTakesOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store := storage.NewMem()
	older := w.start(w.config(), store)
	w.send(0, "a", 3)
	w.waitCommitted(store)
	newer := w.start(w.config(), store)
	w.send(0, "b", 3)
	w.waitCommitted(store)
	w.eventually("the older one stands by", func() bool { return newer.Snapshot().GetActive() && !older.Snapshot().GetActive() })
	if ready, checks := older.health.Ready(); !ready {
		t.Errorf("a standby is not ready: %v", checks)
	}
	if _, err := older.Flush(t.Context()); err == nil {
		t.Error("a standby flushed")
	}
	if err := newer.stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	w.send(0, "c", 3)
	w.waitCommitted(store)
	if !older.Snapshot().GetActive() {
		t.Error("the standby did not take over")
	}
	w.wantOnce(store)
}

// TestIdleStandbyStaysQuiet: without work nobody takes anything over.
func TestIdleStandbyStaysQuiet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store := storage.NewMem()
	older := w.start(w.config(), store)
	w.send(0, "a", 3)
	w.waitCommitted(store)
	newer := w.start(w.config(), store)
	w.eventually("the idle older one finds itself fenced", func() bool {
		return newer.Snapshot().GetActive() && !older.Snapshot().GetActive()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 3*w.config().takeover())
	defer cancel()
	<-ctx.Done()
	if older.Snapshot().GetActive() {
		t.Error("a standby took over although nothing was to be done")
	}
}

// TestBudgetPausesAndRecovers: far more events than the budget holds go through it.
func TestBudgetPausesAndRecovers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store := storage.NewMem()
	cfg := w.config()
	cfg.ByteBudget = 16<<20 + 64<<10 // one answer and a few rows
	cfg.CommitInterval = configfile.Duration(time.Hour)
	w.send(0, "a", 500)
	in := w.start(cfg, store)
	w.send(0, "b", 500)
	w.eventually("a commit was forced by the budget", func() bool { return len(w.head(store)) > 0 })
	if err := in.stop(); err != nil { // the last rows wait for the hour, or for this
		t.Errorf("Run: %v", err)
	}
	next := w.start(cfg, store)
	w.eventually("everything is in the table", func() bool { _, _ = next.Flush(t.Context()); return w.covered(store) })
	w.wantOnce(store)
}

func TestKafkaLeaderMoves(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, 3)
	store := storage.NewMem()
	w.start(w.config(), store)
	for round := range int32(3) {
		for p := range int32(partitions) {
			if err := w.kafka.Fake().MoveTopicPartition(testTopic, p, (p+round)%3); err != nil {
				t.Fatal(err)
			}
		}
		w.send(0, fmt.Sprint("round", round), 5)
		w.waitCommitted(store)
	}
	w.wantOnce(store)
}

func TestAdminAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store := storage.NewMem()
	w.send(0, "a", 3)
	in := w.start(w.config(), store)
	w.waitCommitted(store)
	conn, err := rpcserver.NewClient(rpcserver.ClientConfig{Address: in.Addrs().Admin})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	admin := lakewriterv1.NewLakeWriterAdminServiceClient(conn)
	flushed, err := admin.Flush(t.Context(), &lakewriterv1.FlushRequest{})
	if err != nil {
		t.Fatal(err)
	}
	status, err := admin.GetStatus(t.Context(), &lakewriterv1.GetStatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if len(status.GetTables()) != 1 || status.GetTables()[0].GetName() != "lake.events" || status.GetTables()[0].GetLastInstant() != flushed.GetInstant() {
		t.Errorf("tables are %v after flush of %v", status.GetTables(), flushed)
	}
	for i, p := range status.GetPartitions() {
		if p.GetPartition() != int32(i) || p.GetCommittedOffset() != 3 || p.GetHaltedReason() != "" {
			t.Errorf("partition %d is %v", i, p)
		}
	}
	control := controlv1.NewControlServiceClient(conn)
	ready, err := control.GetReadiness(t.Context(), &controlv1.GetReadinessRequest{})
	if err != nil || !ready.GetReady() {
		t.Errorf("readiness is %v, %v", ready, err)
	}
	if _, err := control.Drain(t.Context(), &controlv1.DrainRequest{}); err != nil {
		t.Fatal(err)
	}
	if err := <-in.done; err != nil {
		t.Errorf("Run after Drain: %v", err)
	}
	in.done <- nil
	w.wantOnce(store)
}

// TestKilledAtEveryStoreCall: an instance dies at its nth request to the store, before or after the
// request had its effect; another goes on. Every event is in the table once, whatever n was.
func TestKilledAtEveryStoreCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.send(0, "a", 4)
	for _, after := range []bool{false, true} {
		for n := 0; ; n++ {
			if !w.killAt(n, after) {
				if n < 10 {
					t.Errorf("the service made only %d requests", n)
				}
				break
			}
		}
	}
}

// killAt runs one round of the sweep and tells whether the fault was reached.
func (w *world) killAt(n int, after bool) bool {
	w.t.Helper()
	mem := storage.NewMem()
	failing := storagetest.FailNth(mem, storagetest.Fault{N: n, After: after, Down: true, Err: storagetest.ErrDown})
	cfg := w.config()
	cfg.DrainTimeout, cfg.CommitInterval = configfile.Duration(10*time.Millisecond), configfile.Duration(10*time.Millisecond)
	in := w.start(cfg, failing)
	w.eventually("the fault or the commit", func() bool { return failing.Fired() || w.covered(mem) })
	_ = in.stop() // a killed instance cannot drain
	fired := failing.Fired()
	cfg.DrainTimeout = w.config().DrainTimeout
	next := w.start(cfg, mem)
	// HEAD may cover everything already; then the table is complete once the next instance has taken it over.
	w.eventually("the next instance has committed", func() bool { return next.Snapshot().GetActive() && w.covered(mem) })
	if err := next.stop(); err != nil {
		w.t.Errorf("fault %d (after: %v): the next instance: %v", n, after, err)
	}
	w.wantOnce(mem)
	if w.t.Failed() {
		w.t.Fatalf("fault %d (after: %v)", n, after)
	}
	return fired
}

// TestFaultAtEveryStoreCall: one request fails, the instance lives on and repairs it.
func TestFaultAtEveryStoreCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.send(0, "a", 4)
	faults := map[string]storagetest.Fault{
		"not done":            {Err: storagetest.ErrRetryable},
		"unknown, not done":   {Err: storage.ErrUnknownOutcome, Ops: storagetest.Writes},
		"unknown, but done":   {Err: storage.ErrUnknownOutcome, Ops: storagetest.Writes, After: true},
		"permanent, not done": {Err: storagetest.ErrDown},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			for n, fired := 0, true; fired; n++ {
				fault.N = n
				mem := storage.NewMem()
				failing := storagetest.FailNth(mem, fault)
				cfg := w.config()
				cfg.CommitInterval = configfile.Duration(10 * time.Millisecond)
				in := w.start(cfg, failing)
				w.waitCommitted(mem)
				_ = in.stop()
				w.wantOnce(mem)
				if fired = failing.Fired(); t.Failed() || w.t.Failed() {
					t.Fatalf("fault at call %d", n)
				}
			}
		})
	}
}

// BenchmarkKafkaToCommitted reads a filled topic into a new table in memory with one commit: start, fetch,
// convert, Parquet, commit, stop. The fake cluster's share is in it.
func BenchmarkKafkaToCommitted(b *testing.B) {
	const perPartition = 25_000
	w := newWorld(b)
	value := func(p int32, i int) []byte {
		return w.value(0, fmt.Sprintf("5f0c5e9e-8a53-4b9e-9d0e-%012d", int(p)*1000+i%200), fmt.Sprintf("0b0f2c1a-77aa-4a7b-%d-%012d", p, i))
	}
	for p := range int32(partitions) {
		for i := range perPartition {
			w.buffer(p, value(p, i))
		}
	}
	w.produce()
	b.ReportAllocs()
	for b.Loop() {
		store := storage.NewMem()
		cfg := w.config()
		cfg.CommitInterval, cfg.CommitRows = configfile.Duration(time.Hour), perPartition*partitions
		in := w.start(cfg, store)
		w.waitCommitted(store)
		if err := in.stop(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(perPartition*partitions), "ns/event")
	b.ReportMetric(float64(b.N)*perPartition*partitions/b.Elapsed().Seconds(), "events/s")
}
