// Package feed dials upstream WebSocket feeds and hands what they send to the forwarder, as events whose source is the feed. It
// reconnects for ever, slows an upstream down when there is no room, and acknowledges upstream only what is durable. It does not
// resume a feed at a position: after a reconnect the upstream sends what its own protocol makes it send.
package feed

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	ingestv1 "github.com/playhead-pipeline/playhead/proto/ingest/v1"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/frame"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/handoff"
)

// Framing says how events lie in the messages of a feed.
type Framing string

// The framings.
const (
	FramingMessage   Framing = "message"    // every message is one event
	FramingJSONLines Framing = "json_lines" // every line that is not empty is an event
	FramingJSONArray Framing = "json_array" // every message is a JSON array of events
	FramingJSON      Framing = frame.ProtocolJSON
	FramingAvro      Framing = frame.ProtocolAvro
)

// Placeholder stands in an ack template for the sequence, which is put in as the JSON text that the upstream sent.
const Placeholder = "{{sequence}}"

// Config is one feed and its limits.
type Config struct {
	Name         string // also the source of its events
	URL          string
	Subscribe    string // text message to send after connecting; empty sends none
	Framing      Framing
	Key          handoff.Key // of its events; the schema is the message's own with FramingJSON
	SequencePath []string    // where the sequence is in an event; none when empty
	Ack          string      // text message that acknowledges up to Placeholder; empty sends none

	MaxMessageBytes  int
	MaxMessageEvents int
	MaxInFlight      int64 // charge of unacknowledged messages; at it, reading stops
	DialLimit        time.Duration
	WriteLimit       time.Duration
	PingInterval     time.Duration
	PingLimit        time.Duration
	DrainLimit       time.Duration // at the end, for acks of what was taken in
	BackoffBase      time.Duration
	BackoffMax       time.Duration
}

// Forwarder takes events to the router.
type Forwarder interface {
	// Reserve waits for room in the budget of the process.
	Reserve(ctx context.Context, charge int64) error
	// Submit hands over a message whose charge is reserved. It does not block.
	Submit(m handoff.Message)
}

// Params is what a Feed needs.
type Params struct {
	Config    Config
	Forwarder Forwarder
	Client    *http.Client                // dials; must not follow redirects with credentials
	Header    func() (http.Header, error) // credentials, read before every dial
	Logger    *slog.Logger
	Metrics   *Metrics
	Jitter    func() float64 // in [0,1); nil means random
}

// Feed is one upstream connection, kept for ever.
type Feed struct {
	p  Params
	mu struct {
		sync.Mutex
		status Status
	}
}

// Status is a snapshot of a Feed.
type Status struct {
	Name       string
	Connected  bool
	Messages   uint64 // received since start
	Reconnects uint64 // since start
	LastError  string
}

// New returns a Feed that is not connected.
func New(p Params) *Feed {
	if p.Jitter == nil {
		p.Jitter = rand.Float64
	}
	f := &Feed{p: p}
	f.mu.status.Name = p.Config.Name
	p.Metrics.add(f)
	return f
}

// Status returns a snapshot.
func (f *Feed) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.status
}

func (f *Feed) update(change func(*Status)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.mu.status)
}

// Run keeps the feed connected until ctx ends, then waits for the acks of what was taken in, as long as the drain limit allows.
func (f *Feed) Run(ctx context.Context) error {
	cfg := &f.p.Config
	backoff := cfg.BackoffBase
	for {
		before := f.Status().Messages
		err := f.connect(ctx)
		f.update(func(s *Status) { s.Connected = false })
		if ctx.Err() != nil {
			return nil
		}
		f.update(func(s *Status) {
			s.LastError = err.Error()
			s.Reconnects++
		})
		f.p.Logger.Warn("feed lost", "feed", cfg.Name, "error", err)
		if f.Status().Messages > before {
			backoff = cfg.BackoffBase
		}
		// Full jitter: gateways that lost the same upstream must not come back all at once.
		timer := time.NewTimer(time.Duration(f.p.Jitter() * float64(backoff)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		backoff = min(2*backoff, cfg.BackoffMax)
	}
}

// connect serves one connection to its end. Its error is never nil.
func (f *Feed) connect(ctx context.Context) error {
	conn, err := f.dial(ctx)
	if err != nil {
		return err
	}
	l := &link{feed: f, conn: conn, decoder: frame.NewDecoder(f.p.Config.MaxMessageEvents), key: f.p.Config.Key}
	l.due, l.room = make(chan struct{}, 1), make(chan struct{}, 1)
	f.update(func(s *Status) {
		s.Connected = true
		s.LastError = ""
	})
	f.p.Logger.Info("feed connected", "feed", f.p.Config.Name)
	return l.serve(ctx)
}

func (f *Feed) dial(ctx context.Context) (*websocket.Conn, error) {
	cfg := &f.p.Config
	ctx, cancel := context.WithTimeout(ctx, cfg.DialLimit)
	defer cancel()
	header, err := f.p.Header()
	if err != nil {
		return nil, fmt.Errorf("read credentials of feed %s: %w", cfg.Name, err)
	}
	options := &websocket.DialOptions{HTTPClient: f.p.Client, HTTPHeader: header}
	if cfg.Framing == FramingJSON || cfg.Framing == FramingAvro {
		options.Subprotocols = []string{string(cfg.Framing)}
	}
	conn, _, err := websocket.Dial(ctx, cfg.URL, options) //nolint:bodyclose // the library closes it
	if err != nil {
		return nil, fmt.Errorf("dial feed %s: %w", cfg.Name, err)
	}
	conn.SetReadLimit(int64(cfg.MaxMessageBytes))
	if cfg.Subscribe != "" {
		if err := conn.Write(ctx, websocket.MessageText, []byte(cfg.Subscribe)); err != nil {
			_ = conn.CloseNow()
			return nil, fmt.Errorf("subscribe to feed %s: %w", cfg.Name, err)
		}
	}
	return conn, nil
}

// isJSON says whether the events are JSON text.
func (c *Config) isJSON() bool { return c.Key.Encoding == ingestv1.Encoding_ENCODING_JSON }
