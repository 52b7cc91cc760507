package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/playhead-pipeline/playhead/services/internal/netlisten"
	"github.com/playhead-pipeline/playhead/services/internal/telemetry"
)

func TestLoggerKeys(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	level := &slog.LevelVar{}
	logger := telemetry.NewLogger(&b, "router", level)
	logger.Debug("hidden")
	logger.Info("listening", "name", "admin", "address", "127.0.0.1:1")
	level.Set(slog.LevelDebug)
	logger.Debug("shown")

	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("got %q", lines)
	}
	var line struct {
		Time                               time.Time
		Level, Msg, Service, Name, Address string
	}
	if err := json.Unmarshal([]byte(lines[0]), &line); err != nil {
		t.Fatal(err)
	}
	if line.Level != "INFO" || line.Msg != "listening" || line.Service != "router" || line.Name != "admin" || line.Address != "127.0.0.1:1" || line.Time.Location() != time.UTC {
		t.Errorf("got %q", lines[0])
	}
}

func TestLoggerNeverShowsSecrets(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	logger := telemetry.NewLogger(&b, "router", &slog.LevelVar{}).With("Authorization", "canary-1")
	logger.Info("m", "password", "canary-2", "refreshToken", "canary-3", slog.Group("kafka", "client_secret", "canary-4"), "cookies", []string{"canary-5"},
		"private_key", []byte("canary-6"), "secret_file", "/run/path")
	if strings.Contains(b.String(), "canary") || strings.Count(b.String(), telemetry.Redacted) != 6 || !strings.Contains(b.String(), "/run/path") {
		t.Errorf("got %s", b.String())
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	h := telemetry.NewHealth()
	if ready, checks := h.Ready(); !ready || len(checks) != 0 {
		t.Error("without checks there is nothing to wait for")
	}
	expect := func(wantReady bool, want ...telemetry.CheckStatus) {
		t.Helper()
		ready, got := h.Ready()
		if ready != wantReady || len(got) != len(want) {
			t.Fatalf("got %v %v", ready, got)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("got %v, want %v", got[i], want[i])
			}
		}
	}
	kafka := h.Check("kafka")
	expect(false, telemetry.CheckStatus{Name: "kafka", Reason: "starting"})
	kafka.OK()
	h.Check("drain").Fail("draining")
	expect(false, telemetry.CheckStatus{Name: "drain", Reason: "draining"}, telemetry.CheckStatus{Name: "kafka", OK: true})
	h.Check("drain").OK()
	expect(true, telemetry.CheckStatus{Name: "drain", OK: true}, telemetry.CheckStatus{Name: "kafka", OK: true})
	kafka.Fail("")
	if ready, _ := h.Ready(); ready {
		t.Error("a failure without a reason passes")
	}
}

func TestHealthChanged(t *testing.T) {
	t.Parallel()
	h := telemetry.NewHealth()
	c := h.Check("kafka")
	closed := func(ch <-chan struct{}) bool {
		select {
		case <-ch:
			return true
		default:
			return false
		}
	}
	for _, step := range []struct {
		name  string
		do    func()
		fires bool
	}{
		{"passes", c.OK, true},
		{"passes again", c.OK, false},
		{"fails", func() { c.Fail("x") }, true},
		{"fails alike", func() { c.Fail("x") }, false},
		{"fails otherwise", func() { c.Fail("y") }, true},
		{"new check", func() { h.Check("lake") }, true},
		{"known check", func() { h.Check("lake") }, false},
	} {
		ch := h.Changed()
		step.do()
		if closed(ch) != step.fires {
			t.Errorf("%s: fired %v", step.name, !step.fires)
		}
	}
}

// startDebug runs a debug server until the test ends.
func startDebug(t *testing.T, gatherer prometheus.Gatherer, health *telemetry.Health) string {
	t.Helper()
	s, err := telemetry.NewDebugServer(telemetry.DebugConfig{Listen: "127.0.0.1:0"}, gatherer, health, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s.Addr()
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestDebugServer(t *testing.T) {
	t.Parallel()
	health := telemetry.NewHealth()
	base := "http://" + startDebug(t, telemetry.NewRegistry("router"), health)

	if code, body := get(t, base+"/livez"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("livez: got %d %q", code, body)
	}
	kafka := health.Check("kafka")
	kafka.Fail("no broker answers")
	if code, body := get(t, base+"/readyz"); code != http.StatusServiceUnavailable || body != `{"ready":false,"checks":[{"name":"kafka","ok":false,"reason":"no broker answers"}]}`+"\n" {
		t.Errorf("readyz: got %d %q", code, body)
	}
	kafka.OK()
	if code, body := get(t, base+"/readyz"); code != http.StatusOK || body != `{"ready":true,"checks":[{"name":"kafka","ok":true}]}`+"\n" {
		t.Errorf("readyz: got %d %q", code, body)
	}
	_, metrics := get(t, base+"/metrics")
	for _, want := range []string{"go_goroutines ", "process_start_time_seconds ", `playhead_build_info{go_version="go1.`, `service="router"`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %q", want)
		}
	}
	if code, body := get(t, base+"/debug/pprof/goroutine?debug=1"); code != http.StatusOK || !strings.Contains(body, "goroutine profile") {
		t.Errorf("pprof: got %d", code)
	}
	if code, _ := get(t, base+"/debug/vars"); code != http.StatusNotFound {
		t.Errorf("the default mux is served: got %d", code)
	}
}

// A client that is slow with its headers, or sends no end of them, loses its connection.
func TestDebugServerBoundsHeaders(t *testing.T) {
	t.Parallel()
	address := startDebug(t, prometheus.NewRegistry(), telemetry.NewHealth())
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	// The server may hang up before all is written.
	_, _ = io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("a", 64<<10)+"\r\n\r\n")
	answer, _ := io.ReadAll(conn)
	if !strings.HasPrefix(string(answer), "HTTP/1.1 431 ") {
		t.Errorf("got %.80q", answer)
	}
}

func TestDebugServerRefusesOpenAddress(t *testing.T) {
	t.Parallel()
	_, err := telemetry.NewDebugServer(telemetry.DebugConfig{Listen: "0.0.0.0:0"}, prometheus.NewRegistry(), telemetry.NewHealth(), slog.New(slog.DiscardHandler))
	if _, ok := errors.AsType[*netlisten.NotLoopbackError](err); !ok {
		t.Errorf("got %v", err)
	}
	s, err := telemetry.NewDebugServer(telemetry.DebugConfig{Listen: "0.0.0.0:0", Insecure: true}, prometheus.NewRegistry(), telemetry.NewHealth(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
