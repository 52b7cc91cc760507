// Command lake-writer runs the lake-writer service.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/playhead-pipeline/playhead/services/internal/configfile"
	"github.com/playhead-pipeline/playhead/services/internal/lifecycle"
	"github.com/playhead-pipeline/playhead/services/internal/telemetry"
	lakewriter "github.com/playhead-pipeline/playhead/services/lake-writer"
)

// version is set by the linker.
var version = "devel"

func main() { lifecycle.Main(run) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("lake-writer", flag.ContinueOnError)
	flags.SetOutput(stderr)
	file := flags.String("config", "", "configuration `file` (YAML)")
	check := flags.Bool("check-config", false, "check the configuration and exit")
	reference := flags.Bool("print-config-reference", false, "print every configuration key and exit")
	if err := flags.Parse(args); err != nil {
		return lifecycle.UsageError{Err: err}
	}
	cfg := lakewriter.DefaultConfig()
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
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(cfg.MemoryLimit())
	}
	logger := telemetry.NewLogger(stderr, "lake-writer", level)
	w, err := lakewriter.New(cfg, lakewriter.Params{Logger: logger, Level: level, Version: version})
	if err != nil {
		return err
	}
	addrs := w.Addrs()
	logger.Info("listening", "name", "admin", "address", addrs.Admin)
	logger.Info("listening", "name", "debug", "address", addrs.Debug)
	return w.Run(ctx)
}
