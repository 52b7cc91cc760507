// Command bench measures the services as processes on the embedded stack: events a second, CPU time and allocations per acked event of each
// stage and of the whole, all in one run. It prints a figure only after the ledger has passed. "bench hudi" measures the Hudi library alone.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/playhead-pipeline/playhead/services/internal/lifecycle"

	"github.com/playhead-pipeline/playhead/services/e2e/load"
	"github.com/playhead-pipeline/playhead/services/e2e/model"
	"github.com/playhead-pipeline/playhead/services/e2e/stack"
	"github.com/playhead-pipeline/playhead/services/e2e/trial"
)

func main() {
	lifecycle.Main(func(ctx context.Context, args []string, stdout, stderr io.Writer) error {
		if ran, err := stack.RunRole(); ran {
			return err
		}
		if len(args) > 0 && args[0] == "hudi" {
			return runHudi(ctx, args[1:], stdout, stderr)
		}
		return run(ctx, args, stdout, stderr)
	})
}

// pipeline is the stage of all services together; the others have the services' names.
const pipeline = "pipeline"

var stages = []string{"gateway", "router", "lake-writer", pipeline}

// settings are the command line.
type settings struct {
	duration time.Duration
	rate     float64
	sources  int
	output   string
	stages   []string
}

const usage = `Usage: bench [options] [STAGE] ...
       bench hudi [options] [MEASURE] ...   (see bench hudi --help)

Runs the three services as processes on the embedded broker, registry and object store, sends events through WebSocket clients, waits until
all are committed, and checks the ledger. Only then it prints a line for each stage: %s (default: all).
CPU time and allocations are those of the stage's process per acked event; of the pipeline, the sum over the three. Events a second are
those of the clients' acks; of lake-writer and pipeline, of the time until the last event was committed. Backends and clients share the
machine, so rates compare runs on one machine only. Exit code 1, and no figure, when the ledger does not hold.

`

func parse(args []string, stderr io.Writer) (*settings, error) {
	s := new(settings)
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintf(stderr, usage, strings.Join(stages, ", "))
		flags.PrintDefaults()
	}
	flags.DurationVar(&s.duration, "duration", 20*time.Second, "how long to send events")
	flags.Float64Var(&s.rate, "rate", 0, "events a second; 0 is as fast as acks allow")
	flags.IntVar(&s.sources, "sources", 4, "WebSocket clients")
	flags.StringVar(&s.output, "output", "text", "text or json: one line a stage")
	// The stage may stand before the options.
	for len(args) > 0 && slices.Contains(stages, args[0]) {
		s.stages, args = append(s.stages, args[0]), args[1:]
	}
	if err := flags.Parse(args); err != nil {
		return nil, lifecycle.UsageError{Err: err}
	}
	for _, stage := range flags.Args() {
		if !slices.Contains(stages, stage) {
			return nil, lifecycle.UsageError{Err: fmt.Errorf("unknown stage %q", stage)}
		}
		s.stages = append(s.stages, stage)
	}
	if len(s.stages) == 0 {
		s.stages = stages
	}
	for _, check := range []struct {
		bad     bool
		message string
	}{
		{s.duration <= 0, "-duration must be positive"},
		{s.rate < 0 || s.rate > 1e7, "-rate must be 0 to 10000000"},
		{s.sources < 1 || s.sources > 40, "-sources must be 1 to 40"},
		{s.output != "text" && s.output != "json", "-output must be text or json"},
	} {
		if check.bad {
			return nil, lifecycle.UsageError{Err: errors.New(check.message)}
		}
	}
	return s, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	s, err := parse(args, stderr)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "playhead-bench-")
	if err != nil {
		return fmt.Errorf("create temporary folder: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := stack.Build(ctx, dir); err != nil {
		return err
	}
	backends, err := stack.StartEmbedded(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, backends.Stop()) }()
	ids, err := stack.RegisterSchemas(ctx, backends.Registry)
	if err != nil {
		return err
	}
	starting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	services, err := stack.StartProcesses(starting, stack.Options{
		Dir: filepath.Join(dir, "services"), Backends: backends.Backends, LogLevel: "warn",
	}, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, services.Stop()) }()
	b := &bench{settings: s, ids: ids, ledgers: filepath.Join(dir, "ledgers"), services: services, stderr: stderr, stdout: stdout}
	return b.measure(ctx)
}

// bench is one run.
type bench struct {
	*settings
	ids            []int
	ledgers        string
	services       *stack.Processes
	stdout, stderr io.Writer
}

// figure is one line of output.
type figure struct {
	Stage           string  `json:"stage"`
	Events          uint64  `json:"events"`
	CPU             float64 `json:"cpu_ns_per_event"`
	EventsPerSecond float64 `json:"events_per_second"`
	Allocs          float64 `json:"allocs_per_event"`
	Ledger          string  `json:"ledger"`
}

// measure sends events, waits until all are committed, and prints.
func (b *bench) measure(ctx context.Context) error {
	gateway, router, writer := b.meter(stack.Gateway), b.meter(stack.Router), b.meter(stack.LakeWriter)
	began := time.Now()
	acked, err := b.send(ctx)
	if err != nil {
		return err
	}
	sending := time.Since(began)
	figures := []figure{gateway.stop("gateway", acked, sending), router.stop("router", acked, sending)}
	if err := trial.Await(ctx, b.services); err != nil {
		return err
	}
	took := time.Since(began)
	figures = append(figures, writer.stop("lake-writer", acked, took))
	whole := figure{Stage: pipeline, Events: acked, EventsPerSecond: float64(acked) / took.Seconds()}
	for _, f := range figures {
		whole.CPU, whole.Allocs = whole.CPU+f.CPU, whole.Allocs+f.Allocs
	}
	if err := errors.Join(gateway.err, router.err, writer.err); err != nil {
		return err
	}
	result, err := trial.Judge(ctx, b.services.Endpoints(), b.ledgers)
	if err != nil {
		return err
	}
	return b.print(b.stdout, result, append(figures, whole))
}

// send sends events until the duration is over, and returns how many were acked: all.
func (b *bench) send(ctx context.Context) (uint64, error) {
	params := load.DefaultParams(rand.Uint32(), 1, time.Now())
	params.Sources, params.SchemaIDs, params.StepMicros, params.Bad = b.sources, b.ids, 50, 5
	_, fleet, err := trial.Send(ctx, b.services.Endpoints().WebSocket, trial.Load{
		Params: params, Pace: load.Pace{Rate: b.rate, Batch: 100, Window: 32}, Duration: b.duration, Ledgers: b.ledgers,
		Progress: func(t load.Totals) { fmt.Fprintf(b.stderr, "bench: acked %d\n", t.Acked) },
	})
	if err != nil {
		return 0, err
	}
	acked := fleet.Totals().Acked
	if acked == 0 {
		return 0, errors.New("no event was acked")
	}
	return acked, nil
}

// print prints the wanted figures if the ledger has passed.
func (s *settings) print(w io.Writer, result *model.Result, figures []figure) (err error) {
	if result.Verdict != "ok" {
		return fmt.Errorf("the ledger does not hold: %d lost, %d duplicate, %d phantom, %d corrupt, %d out of order, %d wrong verdicts; %s",
			result.Lost, result.Duplicate, result.Phantom, result.Corrupt, result.OutOfOrder, result.WrongVerdicts,
			strings.Join(result.Problems, "; "))
	}
	if s.output == "text" {
		if _, err := fmt.Fprintf(w, "%-12s %10s %14s %10s %12s\n", "stage", "events", "cpu ns/event", "events/s", "allocs/event"); err != nil {
			return err
		}
	}
	for _, f := range figures {
		if !slices.Contains(s.stages, f.Stage) {
			continue
		}
		f.Ledger = result.Verdict
		if s.output == "json" {
			err = json.NewEncoder(w).Encode(f)
		} else {
			_, err = fmt.Fprintf(w, "%-12s %10d %14.0f %10.0f %12.2f\n", f.Stage, f.Events, f.CPU, f.EventsPerSecond, f.Allocs)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
