// Package inprocess makes the three services as programs for stack.StartInProcess. It is the only package of the end-to-end tests that
// imports the services; everything else meets them on the wire.
package inprocess

import (
	"context"
	"io"
	"log/slog"

	gateway "github.com/playhead-pipeline/playhead/services/ingest-gateway"
	"github.com/playhead-pipeline/playhead/services/internal/configfile"
	"github.com/playhead-pipeline/playhead/services/internal/telemetry"
	lakewriter "github.com/playhead-pipeline/playhead/services/lake-writer"
	"github.com/playhead-pipeline/playhead/services/router"

	"github.com/playhead-pipeline/playhead/services/e2e/stack"
)

// Programs returns the three services.
func Programs() map[stack.Service]stack.Program {
	return map[stack.Service]stack.Program{
		stack.Gateway: func(configuration string, log io.Writer) (func(context.Context) error, error) {
			cfg := gateway.DefaultConfig()
			logger, level, err := prepare(stack.Gateway, configuration, &cfg, log, func() string { return cfg.Log.Level })
			if err != nil {
				return nil, err
			}
			g, err := gateway.New(cfg, gateway.Params{Logger: logger, Level: level})
			if err != nil {
				return nil, err
			}
			return g.Run, nil
		},
		stack.Router: func(configuration string, log io.Writer) (func(context.Context) error, error) {
			cfg := router.DefaultConfig()
			logger, level, err := prepare(stack.Router, configuration, &cfg, log, func() string { return cfg.Log.Level })
			if err != nil {
				return nil, err
			}
			r, err := router.New(cfg, router.Params{Logger: logger, Level: level})
			if err != nil {
				return nil, err
			}
			return r.Run, nil
		},
		stack.LakeWriter: func(configuration string, log io.Writer) (func(context.Context) error, error) {
			cfg := lakewriter.DefaultConfig()
			logger, level, err := prepare(stack.LakeWriter, configuration, &cfg, log, func() string { return cfg.Log.Level })
			if err != nil {
				return nil, err
			}
			w, err := lakewriter.New(cfg, lakewriter.Params{Logger: logger, Level: level})
			if err != nil {
				return nil, err
			}
			return w.Run, nil
		},
	}
}

// prepare reads the configuration into cfg and makes the service's logger, whose level the configuration gives.
func prepare(service stack.Service, configuration string, cfg any, log io.Writer, level func() string) (*slog.Logger, *slog.LevelVar, error) {
	if err := configfile.Parse(string(service)+".yaml", []byte(configuration), cfg); err != nil {
		return nil, nil, err
	}
	threshold := new(slog.LevelVar)
	if err := threshold.UnmarshalText([]byte(level())); err != nil {
		return nil, nil, err
	}
	return telemetry.NewLogger(log, string(service), threshold), threshold, nil
}
