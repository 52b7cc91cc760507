// Command router runs the router service.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"

	"github.com/playhead-pipeline/playhead/services/internal/configfile"
	"github.com/playhead-pipeline/playhead/services/internal/lifecycle"
	"github.com/playhead-pipeline/playhead/services/internal/telemetry"
	"github.com/playhead-pipeline/playhead/services/router"
)

// version is set by the linker.
var version = "devel"

func main() { lifecycle.Main(run) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("router", flag.ContinueOnError)
	flags.SetOutput(stderr)
	file := flags.String("config", "", "configuration `file` (YAML)")
	check := flags.Bool("check-config", false, "check the configuration and exit")
	reference := flags.Bool("print-config-reference", false, "print every configuration key and exit")
	if err := flags.Parse(args); err != nil {
		return lifecycle.UsageError{Err: err}
	}
	cfg := router.DefaultConfig()
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
	logger := telemetry.NewLogger(stderr, "router", level)
	r, err := router.New(cfg, router.Params{Logger: logger, Level: level, Version: version})
	if err != nil {
		return err
	}
	addrs := r.Addrs()
	logger.Info("listening", "name", "ingest", "address", addrs.Ingest)
	logger.Info("listening", "name", "admin", "address", addrs.Admin)
	logger.Info("listening", "name", "debug", "address", addrs.Debug)
	return r.Run(ctx)
}
