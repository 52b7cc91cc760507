// Command bench measures the services as processes on the embedded stack: events a second, CPU time and allocations per event of each stage
// and of the whole. It prints a figure only after the ledger has passed.
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
	"github.com/playhead-pipeline/playhead/services/e2e/stack"
	"github.com/playhead-pipeline/playhead/services/e2e/trial"
)

func main() {
	lifecycle.Main(func(ctx context.Context, args []string, stdout, stderr io.Writer) error {
		if ran, err := stack.RunRole(); ran {
			return err
		}
		return run(ctx, args, stdout, stderr)
	})
}

// pipeline is the stage of all services together; the others have the services' names.
const pipeline = "pipeline"

var stages = []string{"gateway", "router", "lake-writer", pipeline}

// settings are the command line.
type settings struct {
	events  uint64
	sources int
	output  string
	stages  []string
}

func parse(args []string, stderr io.Writer) (*settings, error) {
	s := new(settings)
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintf(stderr, "Usage: bench [options] [STAGE] ...\nStages: %s (default: all)\n", strings.Join(stages, ", "))
		flags.PrintDefaults()
	}
	flags.Uint64Var(&s.events, "events", 300_000, "events of each phase")
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
	if s.events < 1 || s.sources < 1 || s.sources > 40 || s.output != "text" && s.output != "json" {
		return nil, lifecycle.UsageError{Err: errors.New("-events and -sources must be at least 1, -sources at most 40, -output text or json")}
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
	services, err := stack.StartProcesses(ctx, stack.Options{
		Dir: filepath.Join(dir, "services"), Backends: backends.Backends, LogLevel: "warn",
	}, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, services.Stop()) }()
	b := &bench{settings: s, ids: ids, ledgers: filepath.Join(dir, "ledgers"), services: services, stderr: stderr, stdout: stdout}
	if slices.ContainsFunc(s.stages, func(stage string) bool { return stage != pipeline }) {
		if err := b.alone(ctx); err != nil {
			return err
		}
	}
	if slices.Contains(s.stages, pipeline) {
		return b.whole(ctx)
	}
	return nil
}

// bench runs the phases.
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

// alone measures the way to Kafka while the lake-writer rests, and then the lake-writer on what has piled up.
func (b *bench) alone(ctx context.Context) error {
	if err := b.services.Halt(stack.LakeWriter); err != nil {
		return err
	}
	gateway, router := b.meter(stack.Gateway), b.meter(stack.Router)
	sent, took, err := b.send(ctx)
	if err != nil {
		return err
	}
	figures := []figure{gateway.stop("gateway", sent, took), router.stop("router", sent, took)}

	if err := b.services.Start(stack.LakeWriter); err != nil {
		return err
	}
	began := time.Now()
	writer := &meter{service: stack.LakeWriter, services: b.services} // a new process: from zero
	if err := b.services.Ready(ctx, stack.LakeWriter); err != nil {
		return err
	}
	if err := trial.Await(ctx, b.services); err != nil {
		return err
	}
	figures = append(figures, writer.stop("lake-writer", sent, time.Since(began)))
	return b.print(ctx, figures, errors.Join(gateway.err, router.err, writer.err))
}

// whole measures all services while they run together, until the last event is committed.
func (b *bench) whole(ctx context.Context) error {
	var meters []*meter
	for _, service := range stack.Services {
		meters = append(meters, b.meter(service))
	}
	began := time.Now()
	sent, _, err := b.send(ctx)
	if err != nil {
		return err
	}
	if err := trial.Await(ctx, b.services); err != nil {
		return err
	}
	took := time.Since(began)
	sum, errs := figure{Stage: pipeline, Events: sent, EventsPerSecond: float64(sent) / took.Seconds()}, error(nil)
	for _, m := range meters {
		f := m.stop("", sent, took)
		sum.CPU, sum.Allocs, errs = sum.CPU+f.CPU, sum.Allocs+f.Allocs, errors.Join(errs, m.err)
	}
	return b.print(ctx, []figure{sum}, errs)
}

// send sends the events as fast as acks allow and returns how many were sent, those sent again included, and how long that took.
func (b *bench) send(ctx context.Context) (uint64, time.Duration, error) {
	params := load.DefaultParams(rand.Uint32(), 1, time.Now())
	params.Sources, params.SchemaIDs, params.StepMicros, params.Bad = b.sources, b.ids, 50, 5
	began := time.Now()
	_, fleet, err := trial.Send(ctx, b.services.Endpoints().WebSocket, trial.Load{
		Params: params, Pace: load.Pace{Events: b.events, Batch: 100, Window: 32}, Ledgers: b.ledgers,
		Progress: func(t load.Totals) { fmt.Fprintf(b.stderr, "bench: acked %d of %d\n", t.Acked, b.events) },
	})
	if err != nil {
		return 0, 0, err
	}
	totals := fleet.Totals()
	return totals.Sent + totals.Duplicates + totals.Resent, time.Since(began), nil
}

// print prints the wanted figures if the ledger passes.
func (b *bench) print(ctx context.Context, figures []figure, measured error) error {
	if measured != nil {
		return measured
	}
	result, err := trial.Judge(ctx, b.services.Endpoints(), b.ledgers)
	if err != nil {
		return err
	}
	if result.Verdict != "ok" {
		return fmt.Errorf("the ledger does not hold: %d lost, %d duplicate, %d corrupt; %s", result.Lost, result.Duplicate, result.Corrupt,
			strings.Join(result.Problems, "; "))
	}
	for _, f := range figures {
		if !slices.Contains(b.stages, f.Stage) {
			continue
		}
		f.Ledger = result.Verdict
		if b.output == "json" {
			err = json.NewEncoder(b.stdout).Encode(f)
		} else {
			_, err = fmt.Fprintf(b.stdout, "%-12s %8d events %8.0f events/s %8.0f ns CPU/event %6.2f allocs/event\n", f.Stage, f.Events,
				f.EventsPerSecond, f.CPU, f.Allocs)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
