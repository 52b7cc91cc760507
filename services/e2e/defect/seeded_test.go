package defect

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	ingestv1 "github.com/playhead-pipeline/playhead/proto/ingest/v1"

	"github.com/playhead-pipeline/playhead/services/e2e/load"
	"github.com/playhead-pipeline/playhead/services/e2e/model"
	"github.com/playhead-pipeline/playhead/services/e2e/stack"
	"github.com/playhead-pipeline/playhead/services/e2e/trial"
)

// seeded is one way to make the pipeline wrong. The zero value is the control: all proxies are in place and change nothing.
type seeded struct {
	name     string
	router   RouterFault
	registry []string
	store    StoreFault
	// late holds the first lake-writer's commit back until a second one has taken the table over.
	late bool
	// count returns the events of the class that must catch it.
	count func(*model.Result) uint64
}

func lost(r *model.Result) uint64    { return r.Lost }
func corrupt(r *model.Result) uint64 { return r.Corrupt }

func defects() []seeded {
	early := lossy{each: 7}
	return []seeded{
		{name: "ack before produce", router: early.fault(), count: early.lost},
		{name: "offsets before data", store: StoreFault{DropPut: eachDataFile(3)}, count: lost},
		{name: "put instead of conditional put", store: StoreFault{Unconditional: true, Spare: isProbe}, late: true, count: lost},
		{name: "masking lost", registry: unmask, count: corrupt},
		{name: "verdicts dropped", router: verdictsDropped(), count: wrongVerdicts},
		{name: "values changed", router: valuesChanged(), count: corrupt},
		{name: "events invented", router: eventsInvented(), count: phantom},
		{name: "batches swapped", router: batchesSwapped(), count: outOfOrder},
	}
}

// lossy acks batches at once and loses every each-th.
type lossy struct {
	each, batches uint64
	gone          atomic.Uint64 // events
}

func (l *lossy) fault() RouterFault {
	return RouterFault{AckAtOnce: true, Request: func(b *ingestv1.Batch) []*ingestv1.Batch {
		if l.batches++; l.batches%l.each == 0 {
			l.gone.Add(uint64(b.GetCount()))
			return nil
		}
		return []*ingestv1.Batch{b}
	}}
}

// lost returns the lost events if the proxy can have lost so many; some that it lost were sent again by the client, on purpose.
func (l *lossy) lost(r *model.Result) uint64 {
	if r.Lost > l.gone.Load() {
		return 0
	}
	return r.Lost
}

// tally counts batches behind a RouterFault.
type tally struct{ forwarded, acked atomic.Uint64 }

// around returns fault with the counting added.
func (c *tally) around(fault RouterFault) RouterFault {
	request, response := fault.Request, fault.Response
	fault.Request = func(b *ingestv1.Batch) []*ingestv1.Batch {
		forward := []*ingestv1.Batch{b}
		if request != nil {
			forward = request(b)
		}
		c.forwarded.Add(uint64(len(forward)))
		return forward
	}
	fault.Response = func(r *ingestv1.IngestResponse) {
		c.acked.Store(r.GetAckedSeq()) // by the router's own numbers
		if response != nil {
			response(r)
		}
	}
	return fault
}

// settle waits for the router's acks, so that what was acked too early and is only late is not taken for lost.
func (c *tally) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for c.acked.Load() < c.forwarded.Load() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the router acked %d of %d batches: %w", c.acked.Load(), c.forwarded.Load(), ctx.Err())
		}
	}
	return nil
}

// eachDataFile picks every n-th data file.
func eachDataFile(n int64) func(path string) bool {
	var files atomic.Int64
	return func(path string) bool {
		return (strings.HasSuffix(path, ".parquet") || strings.Contains(path, ".log.")) && files.Add(1)%n == 0
	}
}

// isProbe tells objects with which a lake-writer tries the store when it starts.
func isProbe(path string) bool { return strings.Contains(path, "/probe/") }

// TestSeededDefects makes the pipeline of real processes wrong in each way, and the ledger must notice with the right class. Before that it
// must hold with the same proxies and the same late commit when nothing is wrong, or it would prove nothing.
func TestSeededDefects(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	bin := t.TempDir()
	if err := stack.Build(ctx, bin); err != nil {
		t.Fatal(err)
	}
	t.Run("store without conditional put is refused", func(t *testing.T) { refusedAtStart(ctx, t, bin) })
	t.Run("control", func(t *testing.T) {
		result := judge(ctx, t, bin, seeded{late: true})
		if result.Verdict != "ok" || result.OK == 0 || result.DLQ == 0 {
			t.Errorf("verdict without a defect: %+v", result)
		}
	})
	caught, ran := 0, 0
	for _, d := range defects() {
		t.Run(d.name, func(t *testing.T) {
			ran++
			result := judge(ctx, t, bin, d)
			if result.Verdict != "failed" || d.count(result) == 0 {
				t.Errorf("not caught: %+v", result)
				return
			}
			caught++
		})
	}
	fmt.Printf("defects caught %d/%d\n", caught, ran) // a subtest that did not catch its defect has failed
}

// refusedAtStart shows the defence before the defect: a lake-writer does not start on a store that has no conditional PUT.
func refusedAtStart(ctx context.Context, t *testing.T, bin string) {
	w := newWorld(ctx, t, seeded{store: StoreFault{Unconditional: true}}, nil)
	pipeline, err := stack.StartProcesses(ctx, w.options, bin)
	if err == nil {
		t.Fatalf("the lake-writer started; stopping: %v", pipeline.Stop())
	}
	log, readErr := os.ReadFile(filepath.Join(w.options.Dir, "logs", string(stack.LakeWriter)+".log"))
	if readErr != nil || !strings.Contains(string(log), "does not honour If-None-Match") {
		t.Errorf("start: %v; the log does not tell why (%v):\n%s", err, readErr, log)
	}
}

// world is the backends of one run with the proxies in front of them.
type world struct {
	options stack.Options
	ids     []int
}

// newWorld starts them. hold, when not nil, is asked at every PUT in front of the store.
func newWorld(ctx context.Context, t *testing.T, d seeded, hold *hold) world {
	t.Helper()
	dir := t.TempDir()
	embedded, err := stack.StartEmbedded(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := embedded.Stop(); err != nil {
			t.Error(err)
		}
	})
	w := world{options: stack.Options{
		Dir: filepath.Join(dir, "services"), Backends: embedded.Backends,
		// Commits are made by Flush alone, so that a run is the same every time.
		CommitInterval: time.Minute,
		Through: func(address string) (string, error) {
			proxy, err := NewRouter(address, d.router)
			return closed(t, proxy, err).Addr(), nil
		},
	}}
	if w.ids, err = stack.RegisterSchemas(ctx, embedded.Registry); err != nil {
		t.Fatal(err)
	}
	if hold != nil {
		d.store.Hold = hold.put
	}
	store, err := NewStore(storeOf(embedded.S3), d.store)
	w.options.Backends.S3.Endpoint = closed(t, store, err).URL()
	registry, err := NewRegistry(embedded.Registry, d.registry...)
	w.options.Backends.Registry = closed(t, registry, err).URL()
	return w
}

// judge runs load through a pipeline with a defect and returns the verdict.
func judge(ctx context.Context, t *testing.T, bin string, d seeded) *model.Result {
	t.Helper()
	began := time.Now()
	h, batches := newHold(), new(tally)
	d.router = batches.around(d.router)
	w := newWorld(ctx, t, d, h)
	pipeline, err := stack.StartProcesses(ctx, w.options, bin)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(t, pipeline, d) })
	params := load.DefaultParams(1, 1, time.Now())
	params.SchemaIDs, params.Bad = w.ids, 200
	if d.router.AckAtOnce {
		params.Bad = 0 // the verdicts are lost with the acks' truth; only the lost events shall count
	}
	e, ledgers := pipeline.Endpoints(), filepath.Join(w.options.Dir, "ledgers")
	_, _, err = trial.Send(ctx, e.WebSocket, trial.Load{
		Params: params, Pace: load.Pace{Events: 6000, Batch: 20, Window: 8}, Ledgers: ledgers,
	})
	if err != nil {
		t.Fatal(err)
	}
	if d.router.AckAtOnce {
		if err := batches.settle(ctx); err != nil {
			t.Fatal(err)
		}
	}
	flush := pipeline.Flush
	if d.late {
		flush = h.overtake(ctx, t, pipeline)
	}
	settled := trial.Settled{Brokers: w.options.Backends.Kafka, Topic: stack.Topic, Table: e.Table, Flush: flush, Patience: trial.Patience}
	if d.count != nil {
		settled.Patience = 3 * time.Second // a damaged table may stop the lake-writer; what it committed is judged all the same
	}
	if err := settled.Await(ctx); err != nil {
		if d.count == nil {
			t.Error(err)
		}
		t.Log(err)
	}
	result, err := trial.Judge(ctx, e, ledgers)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("verdict %s after %.1f s: acked %d, ok %d, lost %d, duplicate %d, phantom %d, corrupt %d, out of order %d, wrong verdicts %d, commits %d",
		result.Verdict, time.Since(began).Seconds(), result.Acked, result.OK, result.Lost, result.Duplicate, result.Phantom, result.Corrupt,
		result.OutOfOrder, result.WrongVerdicts, result.Commits)
	return result
}

// end stops a pipeline. With a defect the lake-writer may not be able to make its last commit, and is not waited for.
func end(t *testing.T, pipeline *stack.Processes, d seeded) {
	t.Helper()
	if d.count != nil {
		if err := pipeline.Kill(stack.LakeWriter); err != nil {
			t.Error(err)
		}
	}
	if err := pipeline.Stop(); err != nil {
		t.Error(err)
	}
}
