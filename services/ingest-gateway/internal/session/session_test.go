package session

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	ingestv1 "github.com/playhead-pipeline/playhead/proto/ingest/v1"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/admit"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/forward"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/forward/ingesttest"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/frame"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type quiet struct{}

func (quiet) OK()         {}
func (quiet) Fail(string) {}

// gateway is everything between a client and a fake router.
type gateway struct {
	t        testing.TB
	router   *ingesttest.Router
	forward  *forward.Forwarder
	registry *registry.Registry[*Session]
	server   *Server
	sessions chan *Session // as they are opened
	url      string
	address  string
}

type options struct {
	session  Config
	forward  forward.Config
	limits   admit.Limits
	sweep    time.Duration
	onSocket func(net.Conn)
}

func defaults() options {
	return options{
		session: Config{
			Tenant: "t", Source: "client", MaxMessageBytes: 64 << 10, MaxMessageEvents: 2000, MaxInFlight: 1 << 20,
			MaxReadBuffers: 1 << 20, BackpressureLimit: 10 * time.Second, MessageLimit: 10 * time.Second, MinBytesPerSecond: 100,
			WriteLimit: 10 * time.Second, PingInterval: 10 * time.Second, PingLimit: 10 * time.Second, CloseGrace: time.Second,
			MaxPingsPerSecond: 100, RetryAfter: 1500 * time.Millisecond,
		},
		forward: forward.Config{
			MaxBatchBytes: 16 << 10, MaxBatchDelay: time.Millisecond, MaxOpen: 8, MaxInFlight: 4 << 20,
			BackoffBase: time.Millisecond, BackoffMax: 5 * time.Millisecond, HelloTimeout: 5 * time.Second,
		},
		sweep: 5 * time.Millisecond,
	}
}

func start(t testing.TB, o options) *gateway {
	t.Helper()
	g := &gateway{t: t, router: ingesttest.New(t), registry: registry.New[*Session](o.sweep)}
	logger, metrics := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	var err error
	g.forward, err = forward.New(forward.Params{
		Config: o.forward, Client: g.router.Client(), Gateway: "gw", Epoch: 1, Health: quiet{}, Logger: logger, Registerer: metrics,
	})
	if err != nil {
		t.Fatal(err)
	}
	g.sessions = make(chan *Session, 100)
	g.server, err = New(Params{
		Config: o.session, Forwarder: g.forward, Gate: admit.New(o.limits), Registry: recorder{g.registry, g.sessions}, Logger: logger, Registerer: metrics,
	})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewUnstartedServer(g.server)
	web.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if o.onSocket != nil {
			o.onSocket(c)
		}
		return ConnContext(ctx, c)
	}
	web.Start()
	g.address = web.Listener.Addr().String()
	g.url = "ws://" + g.address + Path
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- g.forward.Run(ctx) }()
	go func() { done <- g.registry.Run(ctx) }()
	t.Cleanup(func() {
		now, expired := context.WithCancel(context.Background())
		expired()
		g.registry.Drain(now)
		web.Close()
		cancel()
		<-done
		<-done
	})
	return g
}

// recorder shows the sessions that a Registry is given.
type recorder struct {
	*registry.Registry[*Session]
	sessions chan<- *Session
}

func (r recorder) Add(s *Session) error {
	r.sessions <- s
	return r.Registry.Add(s)
}

// client is a WebSocket client that reads all the time.
type client struct {
	t        testing.TB
	conn     *websocket.Conn
	messages chan string
	closed   chan error
}

func (g *gateway) dial(subprotocol string) *client {
	g.t.Helper()
	conn, _, err := websocket.Dial(context.Background(), g.url, &websocket.DialOptions{Subprotocols: []string{subprotocol}})
	if err != nil {
		g.t.Fatal(err)
	}
	c := &client{t: g.t, conn: conn, messages: make(chan string, 10_000), closed: make(chan error, 1)}
	go func() {
		for {
			_, data, err := conn.Read(context.Background())
			if err != nil {
				c.closed <- err
				return
			}
			c.messages <- string(data)
		}
	}()
	g.t.Cleanup(func() { _ = conn.CloseNow() })
	if hello := c.next(); !strings.HasPrefix(hello, `{"hello":{"connection":"`) || !strings.Contains(hello, `"levels":["replicated"]`) {
		g.t.Fatalf("first message %s", hello)
	}
	return c
}

func (c *client) next() string {
	c.t.Helper()
	select {
	case m := <-c.messages:
		return m
	case <-time.After(10 * time.Second):
		c.t.Fatal("no message of the server")
		return ""
	}
}

func (c *client) send(typ websocket.MessageType, data string) {
	c.t.Helper()
	if err := c.conn.Write(context.Background(), typ, []byte(data)); err != nil {
		c.t.Logf("write: %v", err) // the server may have closed; the test looks at that
	}
}

func (c *client) sendJSON(seq uint64, events ...string) {
	c.t.Helper()
	c.send(websocket.MessageText, fmt.Sprintf(`{"seq":%d,"schema":"s","events":[%s]}`, seq, strings.Join(events, ",")))
}

type ack struct {
	Ack      uint64
	Level    string
	Rejected []struct {
		Seq         uint64
		Index       uint32
		Cause, Path string
	}
}

// waitAck reads acks until seq is acknowledged and returns them.
func (c *client) waitAck(seq uint64) []ack {
	c.t.Helper()
	var acks []ack
	for {
		var a ack
		message := c.next()
		if err := json.Unmarshal([]byte(message), &a); err != nil || a.Level != "replicated" || len(message) > maxAckBytes+1024 {
			c.t.Fatalf("ack %s: %v", message, err)
		}
		if len(acks) > 0 && a.Ack < acks[len(acks)-1].Ack {
			c.t.Fatalf("ack %d after %d", a.Ack, acks[len(acks)-1].Ack)
		}
		acks = append(acks, a)
		if a.Ack >= seq {
			return acks
		}
	}
}

func (c *client) waitClose(status websocket.StatusCode, reason string) {
	c.t.Helper()
	select {
	case err := <-c.closed:
		var e websocket.CloseError
		if !errors.As(err, &e) || e.Code != status || e.Reason != reason {
			c.t.Errorf("closed by %v, want %d %q", err, status, reason)
		}
	case <-time.After(10 * time.Second):
		c.t.Fatal("not closed")
	}
}

func TestAckOnlyAfterTheRoutersAck(t *testing.T) {
	t.Parallel()
	g := start(t, defaults())
	g.router.Hold()
	c := g.dial(frame.ProtocolJSON)
	c.sendJSON(1, `{"a":1}`, `{"a":2}`)
	c.sendJSON(2)
	c.sendJSON(3, `{"a":3}`)
	g.router.WaitEvents(3)
	// The pong comes after everything that the server had to say.
	if err := c.conn.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(c.messages) > 0 {
		t.Fatalf("acknowledged what the router has not: %s", <-c.messages)
	}
	g.router.Release()
	c.waitAck(3)
	if got := ingesttest.Events(g.router.Received()); !slices.Equal(got, []string{`{"a":1}`, `{"a":2}`, `{"a":3}`}) {
		t.Errorf("router received %q", got)
	}
	b := g.router.Received()[0].Batch
	if b.GetEncoding() != ingestv1.Encoding_ENCODING_JSON || b.GetSchema() != "s" || b.GetTenant() != "t" || b.GetSource() != "client" {
		t.Errorf("batch %v", b)
	}
}

func TestAvroAndLargeMessages(t *testing.T) {
	t.Parallel()
	g := start(t, defaults())
	c := g.dial(frame.ProtocolAvro)
	sizes := []int{0, 1, smallBuffer - 10, smallBuffer, smallBuffer + 1, 40_000, 60_000}
	var want []string
	for i, size := range sizes {
		event := strings.Repeat(string(rune('a'+i)), size)
		want = append(want, event, "x")
		c.send(websocket.MessageBinary, string(frame.AppendAvro(nil, uint64(i+1), []byte(event), []byte("x"))))
	}
	c.waitAck(uint64(len(sizes)))
	if got := ingesttest.Events(g.router.Received()); !slices.Equal(got, want) {
		t.Errorf("%d events received, want %d, or they differ", len(got), len(want))
	}
	if b := g.router.Received()[0].Batch; b.GetEncoding() != ingestv1.Encoding_ENCODING_AVRO || b.GetSchema() != "" {
		t.Errorf("batch %v %q", b.GetEncoding(), b.GetSchema())
	}
}

func TestRejectedEventsAreNamed(t *testing.T) {
	t.Parallel()
	g := start(t, defaults())
	g.router.Judge(func(event string) (ingestv1.Cause, string) {
		if json.Valid([]byte(event)) {
			return 0, ""
		}
		return ingestv1.Cause_CAUSE_MALFORMED_JSON, ""
	})
	c := g.dial(frame.ProtocolJSON)
	c.sendJSON(1, `{"a":1}`, `{"a":`)
	c.sendJSON(2, `{"a":2}`) // the connection lives on
	acks := c.waitAck(2)
	var got []string
	for _, a := range acks {
		for _, r := range a.Rejected {
			got = append(got, fmt.Sprintf("%d %d %s", r.Seq, r.Index, r.Cause))
		}
	}
	if !slices.Equal(got, []string{"1 1 MALFORMED_JSON"}) {
		t.Errorf("rejected %v", got)
	}
}

func TestManyRejectionsComeInSeveralMessages(t *testing.T) {
	t.Parallel()
	g := start(t, defaults())
	path := strings.Repeat("p\"", 100)
	g.router.Judge(func(string) (ingestv1.Cause, string) { return ingestv1.Cause_CAUSE_TYPE_MISMATCH, path })
	c := g.dial(frame.ProtocolJSON)
	const n = 1000
	c.sendJSON(1, slices.Repeat([]string{"{}"}, n)...)
	acks := c.waitAck(1)
	next := uint32(0)
	for i, a := range acks {
		if last := i == len(acks)-1; (a.Ack == 1) != last {
			t.Errorf("message %d of %d acknowledges %d", i, len(acks), a.Ack)
		}
		for _, r := range a.Rejected {
			if r.Index != next || r.Path != path {
				t.Fatalf("rejection of %d, want %d", r.Index, next)
			}
			next++
		}
	}
	if next != n || len(acks) < 10 {
		t.Errorf("%d rejections in %d messages", next, len(acks))
	}
}

func TestCloseCodes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, protocol string
		typ            websocket.MessageType
		data           string
		status         websocket.StatusCode
		reason         string
	}{
		{"binary for JSON", frame.ProtocolJSON, websocket.MessageBinary, "{}", 1003, "code=wrong_message_type"},
		{"text for Avro", frame.ProtocolAvro, websocket.MessageText, "{}", 1003, "code=wrong_message_type"},
		{"not JSON", frame.ProtocolJSON, websocket.MessageText, "hello", 1007, "code=malformed_message"},
		{"not Avro", frame.ProtocolAvro, websocket.MessageBinary, "\x01\x02\x01", 1007, "code=malformed_message"},
		{"bad seq", frame.ProtocolJSON, websocket.MessageText, `{"seq":2,"schema":"s","events":[]}`, 1007, "code=bad_sequence"},
		{"bad schema", frame.ProtocolJSON, websocket.MessageText, `{"seq":1,"schema":"","events":[]}`, 1007, "code=bad_schema"},
		{"too big", frame.ProtocolAvro, websocket.MessageBinary, strings.Repeat("x", 64<<10+1), 1009, "code=message_too_big"},
		{"far too big", frame.ProtocolAvro, websocket.MessageBinary, strings.Repeat("x", 1<<20), 1009, "code=message_too_big"},
		{"too many events", frame.ProtocolAvro, websocket.MessageBinary, "\x01\xd1\x0f" + strings.Repeat("\x00", 2001), 1009, "code=too_many_events"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g := start(t, defaults())
			c := g.dial(test.protocol)
			c.send(test.typ, test.data)
			c.waitClose(test.status, test.reason)
			waitGone(t, g)
		})
	}
}

func TestMessageOfExactlyTheLimit(t *testing.T) {
	t.Parallel()
	o := defaults()
	g := start(t, o)
	c := g.dial(frame.ProtocolAvro)
	message := frame.AppendAvro(nil, 1, make([]byte, o.session.MaxMessageBytes-5))
	if len(message) != o.session.MaxMessageBytes {
		t.Fatalf("the test's message has %d bytes", len(message))
	}
	c.send(websocket.MessageBinary, string(message))
	c.waitAck(1)
}

func TestHandshakesRefused(t *testing.T) {
	t.Parallel()
	o := defaults()
	o.limits = admit.Limits{PerAddress: 1}
	g := start(t, o)
	request := func(url string, header http.Header) (*http.Response, error) {
		conn, response, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPHeader: header, Subprotocols: header["Offer"]})
		if err == nil {
			_ = conn.CloseNow()
		}
		return response, err
	}
	json := http.Header{"Offer": {frame.ProtocolJSON}}
	for name, test := range map[string]struct {
		url    string
		header http.Header
		status int
	}{
		"no subprotocol":      {g.url, nil, 400},
		"unknown subprotocol": {g.url, http.Header{"Offer": {"playhead.v2.json"}}, 400},
		"token in the URL":    {g.url + "?access_token=secret", json, 400},
		"foreign origin":      {g.url, http.Header{"Offer": {frame.ProtocolJSON}, "Origin": {"https://elsewhere.example"}}, 403},
	} {
		response, err := request(test.url, test.header)
		if err == nil || response == nil || response.StatusCode != test.status {
			t.Errorf("%s: %v %v", name, response, err)
		}
	}
	c := g.dial(frame.ProtocolJSON)
	response, err := request(g.url, json)
	if err == nil || response.StatusCode != 503 || response.Header.Get("Retry-After") == "" {
		t.Errorf("over the limit: %v %v", response, err)
	}
	_ = c.conn.Close(websocket.StatusNormalClosure, "")
	waitGone(t, g)
	g.dial(frame.ProtocolJSON)
}

func TestBackpressure(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]func(*options){
		"of the connection": func(o *options) { o.session.MaxInFlight = 2000 },
		"of the process":    func(o *options) { o.forward.MaxInFlight = 2000 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := defaults()
			limit(&o)
			g := start(t, o)
			g.router.Hold()
			c := g.dial(frame.ProtocolJSON)
			event := `"` + strings.Repeat("x", 700) + `"`
			for seq := range uint64(5) {
				c.sendJSON(seq+1, event)
			}
			g.router.WaitEvents(2) // the third does not fit
			waitMetric(t, g.server.metrics.backpressure, 1)
			if got := len(ingesttest.Events(g.router.Received())); got != 2 {
				t.Errorf("%d events forwarded", got)
			}
			g.router.Release()
			c.waitAck(5)
		})
	}
}

func TestBackpressureThatLasts(t *testing.T) {
	t.Parallel()
	o := defaults()
	o.session.MaxInFlight = 1000
	o.session.BackpressureLimit = 20 * time.Millisecond
	g := start(t, o)
	g.router.Hold()
	c := g.dial(frame.ProtocolJSON)
	event := `"` + strings.Repeat("x", 700) + `"`
	c.sendJSON(1, event)
	c.sendJSON(2, event)
	c.waitClose(1013, "code=backpressure retry_after_ms=1500")
	g.router.Release()
	waitNothingInFlight(t, g)
}

func TestDrain(t *testing.T) {
	t.Parallel()
	g := start(t, defaults())
	g.router.Hold()
	busy, idle := g.dial(frame.ProtocolJSON), g.dial(frame.ProtocolJSON)
	busy.sendJSON(1, "1")
	g.router.WaitEvents(1)
	drained := make(chan int, 1)
	go func() { drained <- g.registry.Drain(context.Background()) }()
	idle.waitClose(1001, "code=drain retry_after_ms=1500")
	busy.sendJSON(2, "2") // not taken any more
	if err := busy.conn.Ping(t.Context()); err != nil {
		t.Fatalf("closed before its ack: %v", err)
	}
	_, response, err := websocket.Dial(t.Context(), g.url, &websocket.DialOptions{Subprotocols: []string{frame.ProtocolJSON}})
	if err == nil || response.StatusCode != 503 || response.Header.Get("Retry-After") != "1" {
		t.Errorf("handshake while draining: %v %v", response, err)
	}
	g.router.Release()
	busy.waitAck(1)
	busy.waitClose(1001, "code=drain retry_after_ms=1500")
	if cut := <-drained; cut != 0 {
		t.Errorf("%d cut", cut)
	}
	if got := ingesttest.Events(g.router.Received()); !slices.Equal(got, []string{"1"}) {
		t.Errorf("router received %q", got)
	}
}

func TestDrainLosesPatience(t *testing.T) {
	t.Parallel()
	o := defaults()
	o.session.CloseGrace = 20 * time.Millisecond
	g := start(t, o)
	g.router.Hold()
	c, mute := g.dial(frame.ProtocolJSON), rawClient(t, g)
	c.sendJSON(1, "1")
	mute.write(clientFrame(0x81, `{"seq":1,"schema":"s","events":[1]}`))
	g.router.WaitEvents(2)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if cut := g.registry.Drain(ctx); cut != 2 {
		t.Errorf("%d cut", cut)
	}
	c.waitClose(1001, "code=drain retry_after_ms=1500")
}

func TestClientVanishes(t *testing.T) {
	t.Parallel()
	g := start(t, defaults())
	g.router.Hold()
	c := g.dial(frame.ProtocolJSON)
	c.sendJSON(1, "1", "2")
	g.router.WaitEvents(2)
	_ = c.conn.CloseNow()
	waitGone(t, g)
	g.router.Release()
	waitNothingInFlight(t, g)
}

func TestStreamLossIsInvisibleToClients(t *testing.T) {
	t.Parallel()
	g := start(t, defaults())
	const messages, perMessage = 60, 20
	clients := []*client{g.dial(frame.ProtocolJSON), g.dial(frame.ProtocolJSON), g.dial(frame.ProtocolJSON)}
	for seq := range uint64(messages) {
		for i, c := range clients {
			events := make([]string, perMessage)
			for j := range events {
				events[j] = fmt.Sprintf("%d%04d%02d", i+1, seq, j)
			}
			c.sendJSON(seq+1, events...)
		}
		if seq%10 == 5 {
			g.router.Hold()
		}
		if seq%10 == 9 {
			g.router.Kill()
			g.router.Release()
		}
	}
	for _, c := range clients {
		c.waitAck(messages)
	}
	seen := map[string]bool{}
	for _, event := range ingesttest.Events(g.router.Received()) {
		seen[event] = true
	}
	if len(seen) != len(clients)*messages*perMessage {
		t.Errorf("%d distinct events, want %d", len(seen), len(clients)*messages*perMessage)
	}
	waitNothingInFlight(t, g)
}

// raw is a client that does only what the test says.
type raw struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

// rawClient does the handshake and reads the hello.
func rawClient(t testing.TB, g *gateway) *raw {
	t.Helper()
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.(*net.TCPConn).SetReadBuffer(4096)
	t.Cleanup(func() { _ = conn.Close() })
	c := &raw{t, conn, bufio.NewReaderSize(conn, 16)}
	c.write("GET " + Path + " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: " + frame.ProtocolJSON + "\r\n\r\n")
	for line := ""; line != "\r\n"; {
		if line, err = c.in.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func (c *raw) write(s string) {
	c.t.Helper()
	if _, err := c.conn.Write([]byte(s)); err != nil {
		c.t.Fatal(err)
	}
}

// clientFrame is a frame with a mask of zeros.
func clientFrame(first byte, payload string) string {
	if len(payload) > 125 {
		return string([]byte{first, 0x80 | 126, byte(len(payload) >> 8), byte(len(payload)), 0, 0, 0, 0}) + payload
	}
	return string([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}) + payload
}

func TestClientThatAnswersNoPing(t *testing.T) {
	t.Parallel()
	o := defaults()
	o.session.PingInterval = 10 * time.Millisecond
	o.session.PingLimit = 100 * time.Millisecond
	g := start(t, o)
	alive := g.dial(frame.ProtocolJSON)
	rawClient(t, g)
	waitMetric(t, g.server.metrics.closed.WithLabelValues("", "idle"), 1)
	eventually(t, "one connection to be gone", func() bool { return g.registry.Len() == 1 })
	alive.sendJSON(1, "1")
	alive.waitAck(1)
}

func TestMessageThatNeverEnds(t *testing.T) {
	t.Parallel()
	for name, beginning := range map[string]string{
		"header only":      "\x81\xfe\x10\x00\x00\x00\x00\x00",
		"endless fragment": clientFrame(0x01, "{") + strings.Repeat(clientFrame(0x00, ""), 1000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := defaults()
			o.session.MessageLimit = 50 * time.Millisecond
			o.session.CloseGrace = 10 * time.Millisecond
			g := start(t, o)
			rawClient(t, g).write(beginning)
			waitMetric(t, g.server.metrics.closed.WithLabelValues("1008", "message_timeout"), 1)
			waitGone(t, g)
		})
	}
}

func TestMessageThatTrickles(t *testing.T) {
	t.Parallel()
	o := defaults()
	o.sweep = time.Hour
	o.session.MinBytesPerSecond = progressStep
	o.session.CloseGrace = 10 * time.Millisecond
	g := start(t, o)
	// A frame of 16 KiB, of which two steps arrive; a third may be on its way.
	rawClient(t, g).write("\x81\xfe\x40\x00\x00\x00\x00\x00" + strings.Repeat("x", 2*progressStep))
	s := <-g.sessions
	eventually(t, "the beginning of the message", func() bool { return s.arrived.Load() == 2*progressStep })
	begun := time.Unix(0, s.begun.Load())
	s.Check(begun.Add(3 * time.Second))
	if n := testutil.ToFloat64(g.server.metrics.closed.WithLabelValues("1008", "too_slow")); n != 0 {
		t.Fatal("closed at the least rate")
	}
	s.Check(begun.Add(3*time.Second + time.Millisecond))
	waitMetric(t, g.server.metrics.closed.WithLabelValues("1008", "too_slow"), 1)
	waitGone(t, g)
}

func TestTooManyPings(t *testing.T) {
	t.Parallel()
	o := defaults()
	o.session.MaxPingsPerSecond = 5
	o.session.CloseGrace = 10 * time.Millisecond
	g := start(t, o)
	rawClient(t, g).write(strings.Repeat(clientFrame(0x89, ""), 6))
	waitMetric(t, g.server.metrics.closed.WithLabelValues("1008", "too_many_pings"), 1)
	waitGone(t, g)
}

func TestClientThatNeverReadsItsAcks(t *testing.T) {
	t.Parallel()
	o := defaults()
	o.session.WriteLimit = 100 * time.Millisecond
	o.onSocket = func(c net.Conn) { _ = c.(*net.TCPConn).SetWriteBuffer(4096) }
	g := start(t, o)
	path := strings.Repeat("p", 200)
	g.router.Judge(func(string) (ingestv1.Cause, string) { return ingestv1.Cause_CAUSE_TYPE_MISMATCH, path })
	c := rawClient(t, g)
	for seq := range 1000 {
		message := fmt.Sprintf(`{"seq":%d,"schema":"s","events":[%s0]}`, seq+1, strings.Repeat("0,", 1000))
		if _, err := c.conn.Write([]byte(clientFrame(0x81, message))); err != nil {
			break // the server has given up
		}
	}
	waitMetric(t, g.server.metrics.closed.WithLabelValues("", "write"), 1)
	waitGone(t, g)
	waitNothingInFlight(t, g)
}

// eventually polls a condition for ten seconds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func waitGone(t testing.TB, g *gateway) {
	t.Helper()
	eventually(t, "the connection to be gone", func() bool { return g.registry.Len() == 0 })
}

func waitNothingInFlight(t testing.TB, g *gateway) {
	t.Helper()
	eventually(t, "nothing in flight", func() bool { return g.forward.Status().InFlightBytes == 0 })
}

func waitMetric(t testing.TB, c prometheus.Collector, least float64) {
	t.Helper()
	eventually(t, "the metric", func() bool { return testutil.ToFloat64(c) >= least })
}
