// Command devstack runs the whole pipeline on this machine, with generated playback sessions through a real WebSocket, and says whether
// every acked event is in the table exactly once. With -serve it runs the pipeline for other people's events.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/playhead-pipeline/playhead/services/internal/lifecycle"

	"github.com/playhead-pipeline/playhead/services/e2e/load"
	"github.com/playhead-pipeline/playhead/services/e2e/stack"
	"github.com/playhead-pipeline/playhead/services/e2e/stack/inprocess"
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

// settings are the command line.
type settings struct {
	duration time.Duration
	rate     float64
	sources  int
	seed     uint64
	dir      string
	output   string
	serve    bool
}

func parse(args []string, stderr io.Writer) (*settings, error) {
	s := new(settings)
	flags := flag.NewFlagSet("devstack", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.DurationVar(&s.duration, "duration", 20*time.Second, "how long to send events")
	flags.Float64Var(&s.rate, "rate", 2000, "events a second; 0 is as fast as possible")
	flags.IntVar(&s.sources, "sources", 4, "WebSocket clients, dealt JSON and Avro in turn")
	flags.Uint64Var(&s.seed, "seed", 1, "seed of the events")
	flags.StringVar(&s.dir, "dir", "", "folder for all state; a later run on the same folder goes on with it (default: a new temporary one, which is kept to look at)")
	flags.StringVar(&s.output, "output", "text", "text or json: how the verdict is printed on standard output")
	flags.BoolVar(&s.serve, "serve", false, "generate nothing, serve until interrupted; addresses are in DIR/endpoints.json")
	if err := flags.Parse(args); err != nil {
		return nil, lifecycle.UsageError{Err: err}
	}
	for _, check := range []struct {
		bad     bool
		message string
	}{
		{flags.NArg() > 0, fmt.Sprintf("unexpected argument %q", flags.Arg(0))},
		{s.duration <= 0, "-duration must be positive"},
		{s.rate < 0 || s.rate > 1e7, "-rate must be 0 to 10000000"},
		{s.sources < 1 || s.sources > 40, "-sources must be 1 to 40"},
		{s.output != "text" && s.output != "json", "-output must be text or json"},
		{s.serve && s.dir == "", "-serve needs -dir"},
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
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "playhead-"); err != nil {
			return fmt.Errorf("create temporary folder: %w", err)
		}
	}
	if s.dir, err = filepath.Abs(s.dir); err != nil {
		return fmt.Errorf("find folder: %w", err)
	}
	unlock, err := lock(s.dir)
	if err != nil {
		return err
	}
	defer unlock()
	backends, err := stack.StartEmbedded(ctx, s.dir)
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
	pipeline, err := stack.StartInProcess(starting, stack.Options{Dir: s.dir, Backends: backends.Backends}, inprocess.Programs())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pipeline.Stop()) }()
	if err := pipeline.Endpoints().Save(filepath.Join(s.dir, "endpoints.json")); err != nil {
		return err
	}
	if s.serve {
		e := pipeline.Endpoints()
		fmt.Fprintf(stderr, "devstack: serving; WebSocket %s, table %s, all addresses in %s\n", e.WebSocket, e.Table, filepath.Join(s.dir, "endpoints.json"))
		<-ctx.Done()
		return nil
	}
	return s.judge(ctx, pipeline, ids, stdout, stderr)
}

// judge sends, waits and prints the verdict; an error unless it is ok.
func (s *settings) judge(ctx context.Context, pipeline stack.Stack, ids []int, stdout, stderr io.Writer) error {
	e, ledgers := pipeline.Endpoints(), filepath.Join(s.dir, "ledgers")
	began := time.Now()
	params := load.DefaultParams(rand.Uint32(), s.seed, began)
	params.Sources, params.SchemaIDs = s.sources, ids
	if s.rate > 0 {
		params.StepMicros = max(1, int64(1e6*float64(s.sources)/s.rate))
	}
	fmt.Fprintf(stderr, "devstack: table %s\n", e.Table)
	_, fleet, err := trial.Send(ctx, e.WebSocket, trial.Load{
		Params: params, Pace: load.Pace{Rate: s.rate, Batch: 100, Window: 16}, Duration: s.duration, Ledgers: ledgers,
		Progress: func(t load.Totals) {
			fmt.Fprintf(stderr, "devstack: %3.0fs sent %d acked %d dead letters %d resent %d\n", time.Since(began).Seconds(), t.Sent, t.Acked, t.Rejected, t.Resent)
		},
	})
	if err != nil {
		return err
	}
	took, acked := time.Since(began), fleet.Totals().Acked
	// An interrupt ended the sending; the verdict over what was sent is still due.
	ctx = context.WithoutCancel(ctx)
	if err := trial.Await(ctx, pipeline); err != nil {
		fmt.Fprintf(stderr, "devstack: %v\n", err)
	}
	result, err := trial.Judge(ctx, e, ledgers)
	if err != nil {
		return err
	}
	runs, err := filepath.Glob(filepath.Join(ledgers, "*.json"))
	if err != nil {
		return err
	}
	report := trial.Report{
		Result: result, Table: e.Table, Runs: len(runs), EventsPerSecond: float64(acked) / took.Seconds(),
		AckP50Millis: millis(fleet.Latency().Quantile(0.5)), AckP99Millis: millis(fleet.Latency().Quantile(0.99)),
	}
	if err := report.Print(stdout, s.output); err != nil {
		return err
	}
	if result.Verdict != "ok" {
		return errors.New("the ledger does not hold")
	}
	return nil
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
