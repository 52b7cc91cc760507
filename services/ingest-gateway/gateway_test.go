package gateway

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	controlv1 "github.com/playhead-pipeline/playhead/proto/control/v1"
	gatewayv1 "github.com/playhead-pipeline/playhead/proto/gateway/v1"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/forward/ingesttest"
	"github.com/playhead-pipeline/playhead/services/internal/configfile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is a gateway beside a fake router.
type running struct {
	*Gateway
	t      *testing.T
	router *ingesttest.Router
	admin  gatewayv1.GatewayAdminServiceClient
	ctl    controlv1.ControlServiceClient
	ended  chan error
}

func start(t *testing.T, change func(*Config)) *running {
	t.Helper()
	router := ingesttest.New(t)
	cfg := DefaultConfig()
	cfg.Name = "gw-1"
	cfg.Listen = ListenConfig{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"}
	cfg.Router.Address = router.Addr()
	if change != nil {
		change(&cfg)
	}
	g, err := New(cfg, Params{Logger: slog.New(slog.DiscardHandler), Level: new(slog.LevelVar)})
	if err != nil {
		t.Fatal(err)
	}
	r := &running{Gateway: g, t: t, router: router, ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		r.ended <- g.Run(ctx)
		close(r.ended)
	}()
	conn, err := grpc.NewClient(g.Addrs().Admin, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	r.admin, r.ctl = gatewayv1.NewGatewayAdminServiceClient(conn), controlv1.NewControlServiceClient(conn)
	t.Cleanup(func() {
		_ = conn.Close()
		cancel()
		if err := <-r.ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return r
}

func (r *running) eventually(what string, ok func() bool) {
	r.t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			r.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// get returns the status and body of a debug page.
func (r *running) get(path string) (int, string) {
	r.t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := (&http.Client{Transport: transport}).Get("http://" + r.Addrs().Debug + path)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func (r *running) ready() bool {
	status, _ := r.get("/readyz")
	return status == http.StatusOK
}

func (r *running) dial() *websocket.Conn {
	r.t.Helper()
	conn, _, err := websocket.Dial(r.t.Context(), "ws://"+r.Addrs().WebSocket+"/v1/events", &websocket.DialOptions{Subprotocols: []string{"playhead.v1.json"}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.CloseNow() })
	return conn
}

func read(t *testing.T, conn *websocket.Conn) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, data, err := conn.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestFromClientToRouterAndDrain(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	r.eventually("readiness", r.ready)
	conn := r.dial()
	if hello := read(t, conn); !strings.Contains(hello, `"max_message_bytes":1048576,"max_in_flight_bytes":4194304`) {
		t.Errorf("hello %s", hello)
	}
	if err := conn.Write(t.Context(), websocket.MessageText, []byte(`{"seq":1,"schema":"playback-event","events":[{"a":1},{"a":2}]}`)); err != nil {
		t.Fatal(err)
	}
	if ack := read(t, conn); ack != `{"ack":1,"level":"replicated"}` {
		t.Errorf("ack %s", ack)
	}
	status, err := r.admin.GetStatus(t.Context(), &gatewayv1.GetStatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if status.GetConnections() != 1 || status.GetEventsReceived() != 2 || status.GetEventsAcked() != 2 || status.GetInFlightBytes() != 0 ||
		!status.GetRouter().GetConnected() || status.GetRouter().GetAckedSeq() != 1 || status.GetRouter().GetAddress() != r.router.Addr() {
		t.Errorf("status %v", status)
	}
	if _, metrics := r.get("/metrics"); !strings.Contains(metrics, "playhead_gateway_events_settled_total 2") || !strings.Contains(metrics, "playhead_gateway_connections 1") {
		t.Error("metrics lack the events or the connection")
	}

	r.router.Hold()
	if err := conn.Write(t.Context(), websocket.MessageText, []byte(`{"seq":2,"schema":"playback-event","events":[{"a":3}]}`)); err != nil {
		t.Fatal(err)
	}
	r.router.WaitEvents(3)
	if _, err := r.ctl.Drain(t.Context(), &controlv1.DrainRequest{}); err != nil {
		t.Fatal(err)
	}
	r.eventually("no readiness", func() bool {
		status, body := r.get("/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "draining")
	})
	r.router.Release()
	if ack := read(t, conn); ack != `{"ack":2,"level":"replicated"}` {
		t.Errorf("ack %s", ack)
	}
	_, _, err = conn.Read(t.Context())
	if websocket.CloseStatus(err) != websocket.StatusGoingAway || !strings.Contains(err.Error(), "code=drain retry_after_ms=1000") {
		t.Errorf("closed by %v", err)
	}
	if err := <-r.ended; err != nil {
		t.Errorf("run: %v", err)
	}
}

func TestReadyOnlyWithTheRouter(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.Timeouts.RouterHello = duration(20 * time.Millisecond) })
	r.eventually("readiness", r.ready)
	r.router.Silence()
	r.router.Kill()
	r.eventually("no readiness", func() bool { return !r.ready() })
	r.router.Speak()
	r.eventually("readiness again", r.ready)
}

func TestFeedIsShown(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) {
		c.Feeds = []FeedConfig{{Name: "up", URL: "ws://127.0.0.1:1/", Framing: "message", Schema: "s"}}
	})
	r.eventually("a failed dial", func() bool {
		status, err := r.admin.GetStatus(t.Context(), &gatewayv1.GetStatusRequest{})
		return err == nil && len(status.GetFeeds()) == 1 && status.GetFeeds()[0].GetReconnects() > 0 && status.GetFeeds()[0].GetLastError() != ""
	})
}

func TestConfig(t *testing.T) {
	t.Parallel()
	const good = `
listen: {websocket: "127.0.0.1:0", admin: "127.0.0.1:0", debug: "127.0.0.1:0"}
feeds:
- {name: a, url: "wss://up.example/x", framing: json_lines, schema: s, sequence_path: m.seq, ack: '{"ack":{{sequence}}}', header_files: {Authorization: /run/token}}
- {name: b, url: "ws://127.0.0.1:1", framing: playhead.v1.avro}
`
	cfg := DefaultConfig()
	if err := configfile.Parse("good", []byte(good), &cfg); err != nil {
		t.Error(err)
	}
	for name, test := range map[string]struct{ yaml, key string }{
		"public plaintext":   {`listen: {websocket: "0.0.0.0:8080"}`, "listen.websocket"},
		"auth mode":          {`auth: {mode: jwt}`, "auth.mode"},
		"message size":       {`limits: {message_bytes: 5MiB}`, "limits.message_bytes"},
		"no room":            {`limits: {in_flight: 1MiB}`, "limits.in_flight"},
		"tenant":             {`tenant: "a b"`, "tenant"},
		"delay":              {`batch: {max_delay: 2s}`, "batch.max_delay"},
		"timeout":            {`timeouts: {ping: 0s}`, "timeouts.ping"},
		"feed twice":         {"feeds: [{name: a, url: 'wss://x', framing: message, schema: s}, {name: a, url: 'wss://x', framing: message, schema: s}]", "feeds[1].name"},
		"feed in plaintext":  {"feeds: [{name: a, url: 'ws://x.example', framing: message, schema: s}]", "feeds[0].url"},
		"feed credentials":   {"feeds: [{name: a, url: 'wss://u:p@x.example', framing: message, schema: s}]", "feeds[0].url"},
		"feed framing":       {"feeds: [{name: a, url: 'wss://x', framing: xml, schema: s}]", "feeds[0].framing"},
		"feed schema":        {"feeds: [{name: a, url: 'wss://x', framing: json_array}]", "feeds[0].schema"},
		"feed ack":           {"feeds: [{name: a, url: 'wss://x', framing: json_array, schema: s, ack: ok}]", "feeds[0].ack"},
		"feed avro sequence": {"feeds: [{name: a, url: 'wss://x', framing: message, encoding: avro, sequence_path: x}]", "feeds[0].sequence_path"},
		"unknown key":        {"limits: {mesage_bytes: 1MiB}", "limits.mesage_bytes"},
	} {
		cfg := DefaultConfig()
		err := configfile.Parse("bad", []byte(test.yaml), &cfg)
		if err == nil || !strings.Contains(err.Error(), test.key) {
			t.Errorf("%s: %v does not name %s", name, err, test.key)
		}
	}
}

// TestReadmeHasTheReference keeps the README's table true.
func TestReadmeHasTheReference(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(readme), "<!-- config reference -->\n")
	table, _, found := strings.Cut(after, "<!-- end of config reference -->")
	if want := configfile.Reference(DefaultConfig()); !found || strings.TrimSpace(table) != strings.TrimSpace(want) {
		t.Errorf("README.md is not what -print-config-reference prints; want\n%s", want)
	}
}
