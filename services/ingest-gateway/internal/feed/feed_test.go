package feed

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	ingestv1 "github.com/playhead-pipeline/playhead/proto/ingest/v1"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/forward"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/forward/ingesttest"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/frame"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/handoff"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type quiet struct{}

func (quiet) OK()         {}
func (quiet) Fail(string) {}

// upstream is a WebSocket server that does what the test says.
type upstream struct {
	t        *testing.T
	url      string
	accepted chan *peer
	refuse   atomic.Bool
}

// peer is one connection of the feed, seen from the upstream.
type peer struct {
	t        *testing.T
	conn     *websocket.Conn
	request  *http.Request
	messages chan string
	closed   chan error
}

func newUpstream(t *testing.T) *upstream {
	u := &upstream{t: t, accepted: make(chan *peer, 100)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u.refuse.Load() {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
			return
		}
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{frame.ProtocolJSON, frame.ProtocolAvro}})
		if err != nil {
			t.Error(err)
			return
		}
		p := &peer{t: t, conn: conn, request: r, messages: make(chan string, 1000), closed: make(chan error, 1)}
		u.accepted <- p
		for {
			_, data, err := conn.Read(context.Background())
			if err != nil {
				p.closed <- err
				return
			}
			p.messages <- string(data)
		}
	}))
	t.Cleanup(server.Close)
	u.url = "ws" + strings.TrimPrefix(server.URL, "http")
	return u
}

func (u *upstream) accept() *peer {
	u.t.Helper()
	select {
	case p := <-u.accepted:
		return p
	case <-time.After(10 * time.Second):
		u.t.Fatal("the feed did not connect")
		return nil
	}
}

func (p *peer) send(typ websocket.MessageType, data string) {
	p.t.Helper()
	if err := p.conn.Write(context.Background(), typ, []byte(data)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) next() string {
	p.t.Helper()
	select {
	case m := <-p.messages:
		return m
	case <-time.After(10 * time.Second):
		p.t.Fatal("no message of the feed")
		return ""
	}
}

// running is a feed between an upstream and a router.
type running struct {
	*Feed
	router  *ingesttest.Router
	metrics *Metrics
	stop    context.CancelFunc
	ended   chan error
}

func start(t *testing.T, u *upstream, change func(*Config)) *running {
	t.Helper()
	r := &running{router: ingesttest.New(t), ended: make(chan error, 1)}
	reg, logger := prometheus.NewRegistry(), slog.New(slog.DiscardHandler)
	f, err := forward.New(forward.Params{
		Config: forward.Config{
			MaxBatchBytes: 16 << 10, MaxBatchDelay: time.Millisecond, MaxOpen: 8, MaxInFlight: 4 << 20,
			BackoffBase: time.Millisecond, BackoffMax: 5 * time.Millisecond, HelloTimeout: 5 * time.Second,
		},
		Client: r.router.Client(), Gateway: "gw", Epoch: 1, Health: quiet{}, Logger: logger, Registerer: reg,
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.metrics, err = NewMetrics(reg); err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Name: "up", URL: u.url, Framing: FramingMessage, MaxMessageBytes: 64 << 10, MaxMessageEvents: 100, MaxInFlight: 1 << 20,
		Key:       handoff.Key{Tenant: "t", Source: "up", Encoding: ingestv1.Encoding_ENCODING_JSON, Schema: "s"},
		DialLimit: 5 * time.Second, WriteLimit: 5 * time.Second, PingInterval: 5 * time.Second, PingLimit: 5 * time.Second,
		DrainLimit: 5 * time.Second, BackoffBase: time.Millisecond, BackoffMax: 5 * time.Millisecond,
	}
	if change != nil {
		change(&cfg)
	}
	r.Feed = New(Params{
		Config: cfg, Forwarder: f, Logger: logger, Metrics: r.metrics,
		Client: &http.Client{
			Transport:     &http.Transport{DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		Header: func() (http.Header, error) { return http.Header{"Authorization": {"Bearer secret"}}, nil },
	})
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	outer, stopOuter := context.WithCancel(context.Background())
	forwarded := make(chan error, 1)
	go func() { forwarded <- f.Run(outer) }()
	go func() {
		r.ended <- r.Run(ctx)
		close(r.ended)
	}()
	t.Cleanup(func() {
		stop()
		<-r.ended
		stopOuter()
		<-forwarded
	})
	return r
}

func TestFramings(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		framing  Framing
		encoding ingestv1.Encoding
		typ      websocket.MessageType
		message  string
		want     []string
	}{
		"message":        {FramingMessage, ingestv1.Encoding_ENCODING_JSON, websocket.MessageText, ` {"a":1}`, []string{` {"a":1}`}},
		"lines":          {FramingJSONLines, ingestv1.Encoding_ENCODING_JSON, websocket.MessageText, "{\"a\":1}\n\nbroken\n", []string{`{"a":1}`, "broken"}},
		"array":          {FramingJSONArray, ingestv1.Encoding_ENCODING_JSON, websocket.MessageText, `[{"a":1}, 2]`, []string{`{"a":1}`, "2"}},
		"array, broken":  {FramingJSONArray, ingestv1.Encoding_ENCODING_JSON, websocket.MessageText, `[{"a":1}, x]`, []string{`{"a":1}`, "x]"}},
		"array, not one": {FramingJSONArray, ingestv1.Encoding_ENCODING_JSON, websocket.MessageText, `{"a":1}`, []string{`{"a":1}`}},
		"own JSON":       {FramingJSON, ingestv1.Encoding_ENCODING_JSON, websocket.MessageText, `{"seq":1,"schema":"s","events":[1,2]}`, []string{"1", "2"}},
		"own Avro":       {FramingAvro, ingestv1.Encoding_ENCODING_AVRO, websocket.MessageBinary, string(frame.AppendAvro(nil, 1, []byte("x"), []byte("y"))), []string{"x", "y"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t)
			r := start(t, u, func(c *Config) {
				c.Framing, c.Key.Encoding = test.framing, test.encoding
				c.Subscribe = "subscribe please"
				if test.framing == FramingAvro || test.framing == FramingJSON {
					c.Key.Schema = ""
				}
			})
			p := u.accept()
			if p.request.Header.Get("Authorization") != "Bearer secret" || p.next() != "subscribe please" {
				t.Error("no credentials or no subscription")
			}
			p.send(test.typ, test.message)
			received := r.router.WaitEvents(len(test.want))
			if got := ingesttest.Events(received); !slices.Equal(got, test.want) {
				t.Errorf("router received %q, want %q", got, test.want)
			}
			schema := "s"
			if test.framing == FramingAvro {
				schema = ""
			}
			if b := received[0].Batch; b.GetSource() != "up" || b.GetTenant() != "t" || b.GetEncoding() != test.encoding || b.GetSchema() != schema {
				t.Errorf("batch %v", b)
			}
		})
	}
}

func TestUpstreamIsAckedWhenDurable(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	r := start(t, u, func(c *Config) {
		c.SequencePath = []string{"m", "n"}
		c.Ack = `{"done":{{sequence}}}`
	})
	p := u.accept()
	r.router.Hold()
	p.send(websocket.MessageText, `{"m":{"n":"a-1"}}`)
	p.send(websocket.MessageText, `{"m":{"n":"a-2"}}`)
	p.send(websocket.MessageText, `{"no":"sequence"}`)
	r.router.WaitEvents(3)
	if err := p.conn.Ping(t.Context()); err != nil { // the pong comes after all that the feed had to say
		t.Fatal(err)
	}
	if len(p.messages) > 0 {
		t.Fatalf("acknowledged early: %s", <-p.messages)
	}
	r.router.Release()
	for ack := ""; ack != `{"done":"a-2"}`; {
		if ack = p.next(); ack != `{"done":"a-1"}` && ack != `{"done":"a-2"}` {
			t.Fatalf("ack %s", ack)
		}
	}
}

func TestOwnFramingIsAckedWithRejections(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	r := start(t, u, func(c *Config) { c.Framing = FramingJSON })
	r.router.Judge(func(event string) (ingestv1.Cause, string) {
		if event == "2" {
			return ingestv1.Cause_CAUSE_TYPE_MISMATCH, "x"
		}
		return 0, ""
	})
	p := u.accept()
	p.send(websocket.MessageText, `{"seq":1,"schema":"s","events":[]}`)
	p.send(websocket.MessageText, `{"seq":2,"schema":"s","events":[1,2]}`)
	var ack struct {
		Ack      int
		Rejected []frame.Rejection
	}
	for ack.Ack < 2 {
		if err := json.Unmarshal([]byte(p.next()), &ack); err != nil {
			t.Fatal(err)
		}
	}
	if want := []frame.Rejection{{Seq: 2, Index: 1, Cause: "TYPE_MISMATCH", Path: "x"}}; !slices.Equal(ack.Rejected, want) {
		t.Errorf("rejected %v", ack.Rejected)
	}
}

func TestReconnects(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	r := start(t, u, nil)
	p := u.accept()
	p.send(websocket.MessageText, "1")
	r.router.WaitEvents(1)
	_ = p.conn.CloseNow()
	p = u.accept()
	p.send(websocket.MessageText, "2")
	r.router.WaitEvents(2)
	if s := r.Status(); !s.Connected || s.Messages != 2 || s.Reconnects != 1 {
		t.Errorf("status %+v", s)
	}
	want := `
# HELP playhead_gateway_feed_messages_total Messages received from the feed.
# TYPE playhead_gateway_feed_messages_total counter
playhead_gateway_feed_messages_total{feed="up"} 2
`
	if err := testutil.CollectAndCompare(r.metrics, strings.NewReader(want), "playhead_gateway_feed_messages_total"); err != nil {
		t.Error(err)
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.refuse.Store(true)
	r := start(t, u, nil)
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for r.Status().Reconnects < 3 {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("no failed dials")
		}
	}
	if s := r.Status(); !strings.Contains(s.LastError, "302") {
		t.Errorf("status %+v", s)
	}
	u.refuse.Store(false)
	u.accept()
}

func TestFullFeedIsSlowedDown(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	r := start(t, u, func(c *Config) { c.MaxInFlight = 200 })
	r.router.Hold()
	p := u.accept()
	for range 5 {
		p.send(websocket.MessageText, "0")
	}
	r.router.WaitEvents(3) // 65 each: the fourth does not fit
	if n := len(ingesttest.Events(r.router.Received())); n != 3 {
		t.Errorf("%d events forwarded", n)
	}
	r.router.Release()
	r.router.WaitEvents(5)
}

func TestStopWaitsForTheAck(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	r := start(t, u, func(c *Config) {
		c.SequencePath = []string{"n"}
		c.Ack = `ack {{sequence}}`
	})
	r.router.Hold()
	p := u.accept()
	p.send(websocket.MessageText, `{"n":7}`)
	r.router.WaitEvents(1)
	r.stop()
	p.send(websocket.MessageText, `{"n":8}`) // may come too late; if so it is not acknowledged
	if err := p.conn.Ping(t.Context()); err != nil {
		t.Fatalf("closed before the ack: %v", err)
	}
	r.router.Release()
	if ack := p.next(); ack != "ack 7" && ack != "ack 8" {
		t.Errorf("ack %s", ack)
	}
	if err := <-p.closed; websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("closed by %v", err)
	}
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
}

func TestStopLosesPatience(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	r := start(t, u, func(c *Config) { c.DrainLimit = 10 * time.Millisecond })
	r.router.Hold()
	p := u.accept()
	p.send(websocket.MessageText, "1")
	r.router.WaitEvents(1)
	r.stop()
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
}

func TestUnreadableCredentials(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	m, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	f := New(Params{
		Config: Config{Name: "up", URL: u.url, DialLimit: time.Second, BackoffBase: time.Millisecond, BackoffMax: time.Millisecond},
		Client: http.DefaultClient, Logger: slog.New(slog.DiscardHandler), Metrics: m,
		Header: func() (http.Header, error) {
			cancel()
			return nil, errors.New("no such file")
		},
	})
	if err := f.Run(ctx); err != nil {
		t.Error(err)
	}
	if len(u.accepted) > 0 {
		t.Error("dialled without credentials")
	}
}
