// Package control implements playhead.control.v1.ControlService, the admin API that every service serves: what the process is, whether it
// is ready, its log level, and the request to drain. How to drain is for the service.
package control

import (
	"context"
	"log/slog"
	"strings"
	"time"

	controlv1 "github.com/playhead-pipeline/playhead/proto/control/v1"
	"github.com/playhead-pipeline/playhead/services/internal/apierr"
	"github.com/playhead-pipeline/playhead/services/internal/telemetry"
)

// Params is what the API shows and changes.
type Params struct {
	// Service is the name of the service, for example "router".
	Service string
	// Version overrides the module version that the linker recorded; may be empty.
	Version string
	Health  *telemetry.Health
	// Level is the level of the process's logger.
	Level *slog.LevelVar
	// ConfigDigest is configfile.Digest of the effective configuration.
	ConfigDigest string
	// Drain starts an orderly stop. It must return at once and may be called more than once.
	Drain func()
	// Started is when the process started.
	Started time.Time
}

type server struct {
	controlv1.UnimplementedControlServiceServer

	p     Params
	build telemetry.BuildInfo
}

// New returns the API over p. Register it on the admin server.
func New(p Params) controlv1.ControlServiceServer {
	s := &server{p: p, build: telemetry.ReadBuildInfo()}
	if p.Version != "" {
		s.build.Version = p.Version
	}
	return s
}

func (s *server) GetBuildInfo(context.Context, *controlv1.GetBuildInfoRequest) (*controlv1.GetBuildInfoResponse, error) {
	return &controlv1.GetBuildInfoResponse{
		Service:         s.p.Service,
		Version:         s.build.Version,
		Revision:        s.build.Revision,
		GoVersion:       s.build.GoVersion,
		StartedAtMicros: s.p.Started.UnixMicro(),
	}, nil
}

func (s *server) GetReadiness(context.Context, *controlv1.GetReadinessRequest) (*controlv1.GetReadinessResponse, error) {
	ready, checks := s.p.Health.Ready()
	resp := &controlv1.GetReadinessResponse{Ready: ready}
	for _, c := range checks {
		resp.Checks = append(resp.Checks, &controlv1.ReadinessCheck{Name: c.Name, Ok: c.OK, Reason: c.Reason})
	}
	return resp, nil
}

func (s *server) Drain(context.Context, *controlv1.DrainRequest) (*controlv1.DrainResponse, error) {
	s.p.Drain()
	return &controlv1.DrainResponse{}, nil
}

func (s *server) GetLogLevel(context.Context, *controlv1.GetLogLevelRequest) (*controlv1.GetLogLevelResponse, error) {
	return &controlv1.GetLogLevelResponse{Level: s.p.Level.Level().String()}, nil
}

// levels are the names that the API takes. slog would take "INFO+2" as well, which no log line shows.
var levels = map[string]slog.Level{
	"DEBUG": slog.LevelDebug,
	"INFO":  slog.LevelInfo,
	"WARN":  slog.LevelWarn,
	"ERROR": slog.LevelError,
}

func (s *server) SetLogLevel(_ context.Context, req *controlv1.SetLogLevelRequest) (*controlv1.SetLogLevelResponse, error) {
	level, ok := levels[strings.ToUpper(req.GetLevel())]
	if !ok {
		return nil, apierr.New(apierr.Invalid, "level %q is none of DEBUG, INFO, WARN, ERROR", req.GetLevel())
	}
	previous := s.p.Level.Level()
	s.p.Level.Set(level)
	return &controlv1.SetLogLevelResponse{PreviousLevel: previous.String()}, nil
}

func (s *server) GetConfigDigest(context.Context, *controlv1.GetConfigDigestRequest) (*controlv1.GetConfigDigestResponse, error) {
	return &controlv1.GetConfigDigestResponse{Sha256: s.p.ConfigDigest}, nil
}
