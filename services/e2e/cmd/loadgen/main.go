// Command loadgen sends generated playback sessions to any gateway and keeps the ledger of what was acked, for command verify.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/playhead-pipeline/playhead/services/internal/lifecycle"

	"github.com/playhead-pipeline/playhead/services/e2e/load"
	"github.com/playhead-pipeline/playhead/services/e2e/stack"
	"github.com/playhead-pipeline/playhead/services/e2e/trial"
)

func main() { lifecycle.Main(run) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("loadgen", flag.ContinueOnError)
	flags.SetOutput(stderr)
	url := flags.String("url", "ws://127.0.0.1:8080/v1/events", "WebSocket of the gateway")
	registry := flags.String("registry", "http://127.0.0.1:8081", "schema registry, in which the playback schemas are registered when they are not yet")
	ledgers := flags.String("ledgers", "ledgers", "folder that keeps the ledgers")
	duration := flags.Duration("duration", 0, "how long to send; 0 is until interrupted")
	seed := flags.Uint64("seed", 1, "seed of the events")
	sources := flags.Int("sources", 4, "clients, each with one connection")
	encodings := flags.String("encodings", "avro,json", "encodings, dealt to the clients in turn")
	pace := load.Pace{}
	flags.Float64Var(&pace.Rate, "rate", 1000, "events a second of all clients; 0 is as fast as possible")
	flags.Uint64Var(&pace.Events, "events", 0, "stop after so many events; 0 is no limit")
	flags.IntVar(&pace.Batch, "batch", 100, "most events in a message")
	flags.IntVar(&pace.Window, "window", 16, "most unacked messages of a client")
	if err := flags.Parse(args); err != nil {
		return lifecycle.UsageError{Err: err}
	}
	if flags.NArg() > 0 || pace.Rate < 0 || *duration < 0 {
		return lifecycle.UsageError{Err: errors.New("no arguments, and no negative values")}
	}
	ids, err := stack.RegisterSchemas(ctx, *registry)
	if err != nil {
		return err
	}
	params := load.DefaultParams(rand.Uint32(), *seed, time.Now())
	params.Sources, params.SchemaIDs, params.Encodings = *sources, ids, nil
	for _, encoding := range strings.Split(*encodings, ",") {
		params.Encodings = append(params.Encodings, load.Encoding(encoding))
	}
	if pace.Rate > 0 {
		params.StepMicros = max(1, int64(1e6*float64(*sources)/pace.Rate))
	}
	if err := params.Validate(); err != nil {
		return lifecycle.UsageError{Err: err}
	}
	_, fleet, err := trial.Send(ctx, *url, trial.Load{
		Params: params, Pace: pace, Duration: *duration, Ledgers: *ledgers,
		Progress: func(t load.Totals) {
			fmt.Fprintf(stderr, "loadgen: sent %d acked %d rejected %d resent %d\n", t.Sent, t.Acked, t.Rejected, t.Resent)
		},
	})
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(fleet.Totals())
}
