// Command ingest-gateway runs the ingest-gateway service.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"

	gateway "github.com/playhead-pipeline/playhead/services/ingest-gateway"
	"github.com/playhead-pipeline/playhead/services/internal/configfile"
	"github.com/playhead-pipeline/playhead/services/internal/lifecycle"
	"github.com/playhead-pipeline/playhead/services/internal/telemetry"
)

// version is set by the linker.
var version = ""

func main() { lifecycle.Main(run) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("ingest-gateway", flag.ContinueOnError)
	flags.SetOutput(stderr)
	file := flags.String("config", "", "configuration `file` (YAML)")
	check := flags.Bool("check-config", false, "check the configuration and exit")
	reference := flags.Bool("print-config-reference", false, "print every configuration key and exit")
	if err := flags.Parse(args); err != nil {
		return lifecycle.UsageError{Err: err}
	}
	cfg := gateway.DefaultConfig()
	if *reference {
		_, err := fmt.Fprint(stdout, configfile.Reference(cfg))
		return err
	}
	if err := configfile.Load(*file, &cfg); err != nil || *check {
		return err
	}
	level := new(slog.LevelVar)
	if err := level.UnmarshalText([]byte(cfg.Log.Level)); err != nil {
		return lifecycle.UsageError{Err: fmt.Errorf("log.level: %w", err)}
	}
	logger := telemetry.NewLogger(stderr, "ingest-gateway", level)
	g, err := gateway.New(cfg, gateway.Params{Logger: logger, Level: level, Version: version})
	if err != nil {
		return err
	}
	addrs := g.Addrs()
	logger.Info("listening", "name", "websocket", "address", addrs.WebSocket)
	logger.Info("listening", "name", "admin", "address", addrs.Admin)
	logger.Info("listening", "name", "debug", "address", addrs.Debug)
	return g.Run(ctx)
}
