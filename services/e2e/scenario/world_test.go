package scenario

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/services/e2e/load"
	"github.com/playhead-pipeline/playhead/services/e2e/model"
	"github.com/playhead-pipeline/playhead/services/e2e/stack"
	"github.com/playhead-pipeline/playhead/services/e2e/stack/inprocess"
	"github.com/playhead-pipeline/playhead/services/e2e/trial"
)

// limit bounds one scenario.
const limit = 4 * time.Minute

func TestMain(m *testing.M) {
	if ran, err := stack.RunRole(); ran {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	if programs.dir != "" {
		os.RemoveAll(programs.dir)
	}
	os.Exit(code)
}

// programs are the services' binaries, built once.
var programs struct {
	once sync.Once
	dir  string
	err  error
}

func binaries(ctx context.Context, t *testing.T) string {
	t.Helper()
	programs.once.Do(func() {
		if programs.dir, programs.err = os.MkdirTemp("", "playhead-bin-"); programs.err == nil {
			programs.err = stack.Build(ctx, programs.dir)
		}
	})
	if programs.err != nil {
		t.Fatal(programs.err)
	}
	return programs.dir
}

// world is one scenario's backends and ledgers.
type world struct {
	t        *testing.T
	ctx      context.Context
	dir      string
	embedded *stack.Embedded // nil on real servers
	backends stack.Backends
	ids      []int
}

// newWorld starts the embedded backends for a scenario; logs are shown when it fails.
func newWorld(t *testing.T) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	w := &world{t: t, ctx: ctx, dir: t.TempDir()}
	t.Cleanup(w.showLogs)
	w.startBackends()
	return w
}

func (w *world) startBackends() {
	w.t.Helper()
	embedded, err := stack.StartEmbedded(w.ctx, w.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { w.check(embedded.Stop()) })
	w.embedded = embedded
	w.use(embedded.Backends)
}

func (w *world) use(backends stack.Backends) {
	w.t.Helper()
	w.backends = backends
	ids, err := stack.RegisterSchemas(w.ctx, backends.Registry)
	if err != nil {
		w.t.Fatal(err)
	}
	w.ids = ids
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Error(err)
	}
}

// showLogs prints the end of each log of a failed scenario.
func (w *world) showLogs() {
	if !w.t.Failed() {
		return
	}
	for _, pattern := range []string{"logs/*.log", "services/logs/*.log"} {
		paths, err := filepath.Glob(filepath.Join(w.dir, pattern))
		w.check(err)
		for _, path := range paths {
			text, err := os.ReadFile(path)
			w.check(err)
			lines := strings.Split(strings.TrimSpace(string(text)), "\n")
			w.t.Logf("== %s\n%s", filepath.Base(path), strings.Join(lines[max(0, len(lines)-30):], "\n"))
		}
	}
}

func (w *world) options() stack.Options {
	return stack.Options{Dir: filepath.Join(w.dir, "services"), Backends: w.backends, CommitInterval: time.Second}
}

// served are options of a merge-on-read table whose services run all the time.
func (w *world) served() stack.Options {
	options := w.options()
	options.TableType = stack.MergeOnRead
	options.CommitInterval, options.ServiceInterval = 300*time.Millisecond, time.Second
	return options
}

// awaitAction waits until a file of an action is on the table's timeline, "clean" or "compaction.requested"; "archive" is the archive.
func (w *world) awaitAction(s stack.Stack, action string) {
	w.t.Helper()
	pattern := filepath.Join(s.Endpoints().Table, ".hoodie", "*."+action)
	if action == "archive" {
		pattern = filepath.Join(s.Endpoints().Table, ".hoodie", "archived", ".commits_.archive.*")
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		found, err := filepath.Glob(pattern)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(found) > 0 {
			return
		}
		select {
		case <-tick.C:
		case <-w.ctx.Done():
			w.t.Fatalf("no %s", action)
		}
	}
}

func (w *world) processes(options stack.Options) *stack.Processes {
	w.t.Helper()
	s, err := stack.StartProcesses(w.ctx, options, binaries(w.ctx, w.t))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { w.check(s.Stop()) })
	return s
}

func (w *world) inProcess(options stack.Options) *stack.InProcess {
	w.t.Helper()
	s, err := stack.StartInProcess(w.ctx, options, inprocess.Programs())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { w.check(s.Stop()) })
	return s
}

func (w *world) ledgers() string { return filepath.Join(w.dir, "ledgers") }

// sending is load that is under way.
type sending struct {
	w     *world
	fleet *load.Fleet
	path  string
	done  chan error
}

// send starts load of rate events a second, until finish. change, when not nil, adapts the parameters.
func (w *world) send(s stack.Stack, rate float64, change func(*load.Params)) *sending {
	w.t.Helper()
	params := load.DefaultParams(rand.Uint32(), 1, time.Now())
	params.SchemaIDs, params.StepMicros = w.ids, 4e6/int64(rate)
	if change != nil {
		change(&params)
	}
	fleet, err := load.NewFleet(s.Endpoints().WebSocket, params, load.Pace{Rate: rate, Batch: 50, Window: 16})
	if err != nil {
		w.t.Fatal(err)
	}
	l := &sending{w: w, fleet: fleet, path: filepath.Join(w.ledgers(), fmt.Sprintf("%08x.json", params.Run)), done: make(chan error, 1)}
	go func() { l.done <- fleet.Run(w.ctx) }()
	return l
}

// until waits until so many events more have been acked.
func (l *sending) until(more uint64) {
	l.w.t.Helper()
	goal := l.fleet.Totals().Acked + more
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for l.fleet.Totals().Acked < goal {
		select {
		case <-tick.C:
		case err := <-l.done:
			l.w.t.Fatalf("sending ended before %d events were acked: %v", goal, err)
		case <-l.w.ctx.Done():
			l.w.t.Fatalf("only %+v; want %d acked", l.fleet.Totals(), goal)
		}
	}
}

// finish sends nothing new, waits for the last acks and keeps the ledger.
func (l *sending) finish() {
	l.w.t.Helper()
	l.fleet.Stop()
	if err := <-l.done; err != nil {
		l.w.t.Errorf("send: %v; %+v", err, l.fleet.Totals())
	}
	l.w.check(l.fleet.Ledger(true).Save(l.path))
}

// verdict waits until everything is committed and judges.
func (w *world) verdict(s stack.Stack) *model.Result {
	w.t.Helper()
	if err := trial.Await(w.ctx, s); err != nil {
		w.t.Error(err)
	}
	return w.judge(s)
}

func (w *world) judge(s stack.Stack) *model.Result {
	w.t.Helper()
	result, err := trial.Judge(w.ctx, s.Endpoints(), w.ledgers())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Logf("verdict %s: sent %d acked %d resent %d rows %d dead letters %d commits %d, lost %d duplicate %d phantom %d corrupt %d out of order %d",
		result.Verdict, result.Sent, result.Acked, result.Resent, result.Rows, result.DeadLetters, result.Commits, result.Lost, result.Duplicate,
		result.Phantom, result.Corrupt, result.OutOfOrder)
	return result
}

// mustHold fails the test unless the ledger passes and something was sent.
func (w *world) mustHold(result *model.Result) {
	w.t.Helper()
	if result.Verdict != "ok" || result.Rows == 0 {
		w.t.Errorf("verdict %s:\n%s", result.Verdict, strings.Join(result.Problems, "\n"))
	}
}

// again starts a service that was halted or killed and waits for it.
func (w *world) again(s stack.Stack, service stack.Service) {
	w.t.Helper()
	if err := s.Start(service); err != nil {
		w.t.Fatal(err)
	}
	if err := s.Ready(w.ctx, service); err != nil {
		w.t.Fatal(err)
	}
}
