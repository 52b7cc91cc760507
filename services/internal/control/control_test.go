package control_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	controlv1 "github.com/playhead-pipeline/playhead/proto/control/v1"
	"github.com/playhead-pipeline/playhead/services/internal/apierr"
	"github.com/playhead-pipeline/playhead/services/internal/control"
	"github.com/playhead-pipeline/playhead/services/internal/lifecycle"
	"github.com/playhead-pipeline/playhead/services/internal/rpcserver"
	"github.com/playhead-pipeline/playhead/services/internal/telemetry"
)

// process is a minimal service: the control API on a real server, wired as services wire it.
type process struct {
	client  controlv1.ControlServiceClient
	health  *telemetry.Health
	level   *slog.LevelVar
	started time.Time
	stopped chan error
}

func start(t *testing.T) *process {
	t.Helper()
	p := &process{health: telemetry.NewHealth(), level: &slog.LevelVar{}, started: time.UnixMicro(1_700_000_000_000_001), stopped: make(chan error, 1)}
	logger := telemetry.NewLogger(io.Discard, "test", p.level)
	server, err := rpcserver.NewServer(rpcserver.ServerParams{
		Config: rpcserver.ServerConfig{Listen: "127.0.0.1:0"}, Logger: logger, Registerer: prometheus.NewRegistry(), Service: "test", Name: "admin",
	})
	if err != nil {
		t.Fatal(err)
	}
	group := lifecycle.New(logger, lifecycle.Options{})
	group.Outer("admin", server.Run)
	controlv1.RegisterControlServiceServer(server, control.New(control.Params{
		Service: "test", Version: "v1.2.3", Health: p.health, Level: p.level, ConfigDigest: "abc", Drain: group.Drain, Started: p.started,
	}))
	conn, err := rpcserver.NewClient(rpcserver.ClientConfig{Address: server.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	go func() { p.stopped <- group.Run(ctx) }()
	t.Cleanup(func() {
		closeConn(t, conn)
		cancel()
		if err, ok := <-p.stopped; ok && err != nil {
			t.Error(err)
		}
	})
	p.client = controlv1.NewControlServiceClient(conn)
	return p
}

func closeConn(t *testing.T, conn *grpc.ClientConn) {
	t.Helper()
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}

func TestBuildInfoAndDigest(t *testing.T) {
	t.Parallel()
	p := start(t)
	info, err := p.client.GetBuildInfo(t.Context(), &controlv1.GetBuildInfoRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if info.GetService() != "test" || info.GetVersion() != "v1.2.3" || info.GetGoVersion() != runtime.Version() || info.GetStartedAtMicros() != 1_700_000_000_000_001 {
		t.Errorf("got %v", info)
	}
	digest, err := p.client.GetConfigDigest(t.Context(), &controlv1.GetConfigDigestRequest{})
	if err != nil || digest.GetSha256() != "abc" {
		t.Errorf("got %v, %v", digest, err)
	}
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.health.Check("registry").OK()
	kafka := p.health.Check("kafka")
	get := func() *controlv1.GetReadinessResponse {
		resp, err := p.client.GetReadiness(t.Context(), &controlv1.GetReadinessRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	resp := get()
	if resp.GetReady() || len(resp.GetChecks()) != 2 || resp.GetChecks()[0].GetName() != "kafka" || resp.GetChecks()[0].GetReason() != "starting" || !resp.GetChecks()[1].GetOk() {
		t.Errorf("got %v", resp)
	}
	kafka.OK()
	if resp := get(); !resp.GetReady() {
		t.Errorf("got %v", resp)
	}
}

func TestLogLevel(t *testing.T) {
	t.Parallel()
	p := start(t)
	for _, c := range []struct{ set, previous, now string }{{"debug", "INFO", "DEBUG"}, {"Warn", "DEBUG", "WARN"}, {"ERROR", "WARN", "ERROR"}} {
		set, err := p.client.SetLogLevel(t.Context(), &controlv1.SetLogLevelRequest{Level: c.set})
		if err != nil || set.GetPreviousLevel() != c.previous {
			t.Errorf("set %s: got %v, %v", c.set, set, err)
		}
		got, err := p.client.GetLogLevel(t.Context(), &controlv1.GetLogLevelRequest{})
		if err != nil || got.GetLevel() != c.now || p.level.Level().String() != c.now {
			t.Errorf("after %s: got %v, %v", c.set, got, err)
		}
	}
	for _, level := range []string{"", "verbose", "INFO+2"} {
		_, err := p.client.SetLogLevel(t.Context(), &controlv1.SetLogLevelRequest{Level: level})
		if e := apierr.From(err); e == nil || e.Kind != apierr.Invalid {
			t.Errorf("level %q: got %v", level, err)
		}
	}
	if p.level.Level() != slog.LevelError {
		t.Error("a refused level changed the level")
	}
}

// Drain is answered although it ends the server that answers, and it ends the process cleanly.
func TestDrain(t *testing.T) {
	t.Parallel()
	p := start(t)
	if _, err := p.client.Drain(t.Context(), &controlv1.DrainRequest{}); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-p.stopped:
		close(p.stopped)
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the process did not end")
	}
	_, err := p.client.Drain(t.Context(), &controlv1.DrainRequest{})
	if e := apierr.From(err); e == nil || errors.Is(err, context.Canceled) {
		t.Errorf("after the end: got %v", err)
	}
}
