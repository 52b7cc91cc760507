package gateway

import (
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/feed"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/handoff"
	"github.com/playhead-pipeline/playhead/services/internal/configfile"
	"github.com/playhead-pipeline/playhead/services/internal/netlisten"
	"github.com/playhead-pipeline/playhead/services/internal/rpcserver"
)

// Config is what a user writes in the configuration file.
type Config struct {
	Name     string                 `yaml:"name" doc:"Name of this instance, for the router's logs. Empty means the host name."`
	Listen   ListenConfig           `yaml:"listen" doc:"Addresses to listen on. Port 0 picks a free one."`
	TLS      rpcserver.TLSConfig    `yaml:"tls" doc:"TLS of the WebSocket and the admin listener. With client_ca_file every client must present a certificate."`
	Insecure bool                   `yaml:"insecure" doc:"Allows listeners beyond loopback without TLS."`
	Log      LogConfig              `yaml:"log" doc:"Logging."`
	Auth     AuthConfig             `yaml:"auth" doc:"Who may connect."`
	Tenant   string                 `yaml:"tenant" doc:"Tenant of every event."`
	Source   string                 `yaml:"source" doc:"Source of events of clients; events of feeds have the feed's name."`
	Router   rpcserver.ClientConfig `yaml:"router" doc:"The router's ingest listener."`
	Batch    BatchConfig            `yaml:"batch" doc:"Batches to the router."`
	Limits   LimitsConfig           `yaml:"limits" doc:"Limits of clients and memory."`
	Timeouts TimeoutsConfig         `yaml:"timeouts" doc:"Limits of time."`
	Origins  []string               `yaml:"origins" doc:"Hosts of web pages whose scripts may connect, as patterns such as *.example.com. The gateway's own host always may. Never a proof of identity."`
	Feeds    []FeedConfig           `yaml:"feeds" doc:"Upstream feeds to dial."`
}

// ListenConfig holds the addresses of the listeners.
type ListenConfig struct {
	WebSocket string `yaml:"websocket" doc:"WebSocket, path /v1/events."`
	Admin     string `yaml:"admin" doc:"gRPC admin API."`
	Debug     string `yaml:"debug" doc:"HTTP with /metrics, /livez, /readyz and /debug/pprof."`
}

// LogConfig is about logging.
type LogConfig struct {
	Level string `yaml:"level" doc:"debug, info, warn or error. The admin API changes it at run time."`
}

// AuthConfig is about who may connect.
type AuthConfig struct {
	Mode string `yaml:"mode" doc:"none: everybody who reaches the listener, with tls.client_ca_file everybody with a certificate of that authority."`
}

// BatchConfig is about batches to the router.
type BatchConfig struct {
	MaxBytes configfile.Size     `yaml:"max_bytes" doc:"Size at which a batch is sent. A larger event travels alone."`
	MaxDelay configfile.Duration `yaml:"max_delay" doc:"Longest time that an event waits for its batch to fill."`
	MaxOpen  int                 `yaml:"max_open" doc:"Batches being filled at once, one per encoding, schema and source. Beyond it the oldest is sent as it is."`
}

// LimitsConfig bounds clients and memory.
type LimitsConfig struct {
	MessageBytes          configfile.Size `yaml:"message_bytes" doc:"Largest message. Over it: close 1009."`
	MessageEvents         int             `yaml:"message_events" doc:"Most events in a message. Over it: close 1009."`
	Connections           int             `yaml:"connections" doc:"Client connections at once. Over it: 503. 0 means no limit."`
	ConnectionsPerAddress int             `yaml:"connections_per_address" doc:"Client connections at once from one IPv4 address or IPv6 /64, as the socket shows it. Over it: 503. 0 means no limit, as behind a load balancer."`
	HandshakesPerSecond   int             `yaml:"handshakes_per_second" doc:"New connections a second, and as many in a burst. Over it: 503. 0 means no limit."`
	InFlight              configfile.Size `yaml:"in_flight" doc:"Memory of unacknowledged events of the process, each charged its bytes and 64. When it is used up, sockets are not read."`
	InFlightPerConnection configfile.Size `yaml:"in_flight_per_connection" doc:"The same for one client connection."`
	InFlightPerFeed       configfile.Size `yaml:"in_flight_per_feed" doc:"The same for one feed."`
	ReadBuffers           configfile.Size `yaml:"read_buffers" doc:"Memory for messages over 16KiB that are being received, each charged message_bytes. When it is used up, further ones wait."`
	MinBytesPerSecond     configfile.Size `yaml:"min_bytes_per_second" doc:"Slowest arrival of a message that takes longer than 2s. Under it: close 1008."`
	PingsPerSecond        int             `yaml:"pings_per_second" doc:"Pings that a client may send. Over it: close 1008."`
}

// TimeoutsConfig bounds times.
type TimeoutsConfig struct {
	Handshake    configfile.Duration `yaml:"handshake" doc:"Longest time from the TCP connection to the end of the request's header."`
	Message      configfile.Duration `yaml:"message" doc:"Longest time for one message to arrive. Over it: close 1008."`
	Write        configfile.Duration `yaml:"write" doc:"Longest time for a client to take an ack. Over it the connection is cut."`
	PingInterval configfile.Duration `yaml:"ping_interval" doc:"Silence of a client after which it is pinged."`
	Ping         configfile.Duration `yaml:"ping" doc:"Longest time for the answer. Over it the connection is cut."`
	Close        configfile.Duration `yaml:"close" doc:"Longest time for a client to answer a close frame."`
	Backpressure configfile.Duration `yaml:"backpressure" doc:"Longest time that a socket is not read. Over it: close 1013."`
	RetryAfter   configfile.Duration `yaml:"retry_after" doc:"Hint for clients that are sent away by a drain or by backpressure."`
	Drain        configfile.Duration `yaml:"drain" doc:"Longest time for outstanding acks when the process ends."`
	RouterHello  configfile.Duration `yaml:"router_hello" doc:"Longest time for the router's first answer on a stream."`
	BackoffMax   configfile.Duration `yaml:"backoff_max" doc:"Longest wait before the router or a feed is dialled again. Waits are random up to a bound that doubles from 100ms."`
}

// FeedConfig is one upstream feed.
type FeedConfig struct {
	Name         string                           `yaml:"name" doc:"Name: the source of the feed's events, and a metric label."`
	URL          string                           `yaml:"url" doc:"wss:// URL. ws:// is allowed to loopback, or with insecure."`
	Insecure     bool                             `yaml:"insecure" doc:"Allows ws:// beyond loopback."`
	TLS          rpcserver.ClientTLSConfig        `yaml:"tls" doc:"TLS towards the upstream. Empty means the system's authorities."`
	HeaderFiles  map[string]configfile.SecretFile `yaml:"header_files" doc:"Request headers, for example Authorization, each with the file that holds its value. Read again before every dial."`
	Subscribe    string                           `yaml:"subscribe" doc:"Text message to send after connecting. Empty sends none."`
	Framing      string                           `yaml:"framing" doc:"message (one event each), json_lines, json_array, playhead.v1.json or playhead.v1.avro."`
	Encoding     string                           `yaml:"encoding" doc:"json or avro: of the events when framing is message."`
	Schema       string                           `yaml:"schema" doc:"Schema name of JSON events. With playhead.v1.json the messages name it."`
	SequencePath string                           `yaml:"sequence_path" doc:"Where the upstream's sequence stands in a JSON event, in dots. Needed for ack."`
	Ack          string                           `yaml:"ack" doc:"Text message that acknowledges what is durable, with {{sequence}} for the newest sequence as JSON. Empty sends none. The playhead framings have their own."`
}

// Hard maxima: what a configuration may not go beyond.
const (
	maxMessageBytes = 4 << 20 // a batch with one such event stays under the router's 8 MiB
	maxBatchBytes   = 4 << 20
)

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		Listen: ListenConfig{WebSocket: "127.0.0.1:8080", Admin: "127.0.0.1:9090", Debug: "127.0.0.1:9100"},
		Log:    LogConfig{Level: "info"},
		Auth:   AuthConfig{Mode: "none"},
		Tenant: "default",
		Source: "client",
		Router: rpcserver.ClientConfig{Address: "127.0.0.1:9443"},
		Batch:  BatchConfig{MaxBytes: 256 << 10, MaxDelay: duration(5 * time.Millisecond), MaxOpen: 64},
		Limits: LimitsConfig{
			MessageBytes: 1 << 20, MessageEvents: 10_000, Connections: 20_000, ConnectionsPerAddress: 50, HandshakesPerSecond: 500,
			InFlight: 128 << 20, InFlightPerConnection: 4 << 20, InFlightPerFeed: 16 << 20, ReadBuffers: 64 << 20,
			MinBytesPerSecond: 4 << 10, PingsPerSecond: 5,
		},
		Timeouts: TimeoutsConfig{
			Handshake: duration(5 * time.Second), Message: duration(10 * time.Second), Write: duration(10 * time.Second),
			PingInterval: duration(15 * time.Second), Ping: duration(10 * time.Second), Close: duration(time.Second),
			Backpressure: duration(10 * time.Second), RetryAfter: duration(time.Second), Drain: duration(20 * time.Second),
			RouterHello: duration(10 * time.Second), BackoffMax: duration(5 * time.Second),
		},
	}
}

func duration(d time.Duration) configfile.Duration { return configfile.Duration(d) }

// Validate implements configfile.Validator.
func (c Config) Validate(r *configfile.Report) {
	for key, address := range map[string]string{"listen.websocket": c.Listen.WebSocket, "listen.admin": c.Listen.Admin} {
		if err := netlisten.RequireLoopback(address, c.TLS.Enabled(), c.Insecure); err != nil {
			r.Errorf(key, "%v", err)
		}
	}
	if err := netlisten.RequireLoopback(c.Listen.Debug, false, c.Insecure); err != nil {
		r.Errorf("listen.debug", "%v", err)
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		r.Errorf("log.level", "%q is not debug, info, warn or error", c.Log.Level)
	}
	if c.Auth.Mode != "none" {
		r.Errorf("auth.mode", "%q is not none, the only mode of this version", c.Auth.Mode)
	}
	if !plainName.MatchString(c.Tenant) {
		r.Errorf("tenant", "%q is not a name: 1 to 64 letters, digits, dots, dashes or underscores", c.Tenant)
	}
	if !plainName.MatchString(c.Source) {
		r.Errorf("source", "%q is not a name: 1 to 64 letters, digits, dots, dashes or underscores", c.Source)
	}
	c.validateFeeds(r)
	largest := handoff.Charge(int(c.Limits.MessageBytes), c.Limits.MessageEvents)
	for key, size := range map[string]configfile.Size{
		"limits.in_flight": c.Limits.InFlight, "limits.in_flight_per_connection": c.Limits.InFlightPerConnection, "limits.in_flight_per_feed": c.Limits.InFlightPerFeed,
	} {
		if int64(size) < largest {
			r.Errorf(key, "%v has no room for one message of limits.message_bytes and limits.message_events: at least %v", size, configfile.Size(largest))
		}
	}
	if c.Limits.ReadBuffers <= c.Limits.MessageBytes {
		r.Errorf("limits.read_buffers", "must be more than limits.message_bytes")
	}
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

func (c Config) validateFeeds(r *configfile.Report) {
	names := map[string]bool{c.Source: true}
	for i, f := range c.Feeds {
		if names[f.Name] {
			r.Errorf(indexed("feeds", i)+".name", "%q is taken by another feed or by source", f.Name)
		}
		names[f.Name] = true
	}
}

// Validate implements configfile.Validator.
func (c BatchConfig) Validate(r *configfile.Report) {
	if c.MaxBytes < 1<<10 || c.MaxBytes > maxBatchBytes {
		r.Errorf("max_bytes", "must be 1KiB to %v", configfile.Size(maxBatchBytes))
	}
	if c.MaxDelay < 0 || c.MaxDelay.D() > time.Second {
		r.Errorf("max_delay", "must be 0 to 1s")
	}
	if c.MaxOpen < 1 || c.MaxOpen > 1024 {
		r.Errorf("max_open", "must be 1 to 1024")
	}
}

// Validate implements configfile.Validator.
func (c LimitsConfig) Validate(r *configfile.Report) {
	if c.MessageBytes < 1<<10 || c.MessageBytes > maxMessageBytes {
		r.Errorf("message_bytes", "must be 1KiB to %v", configfile.Size(maxMessageBytes))
	}
	if c.MessageEvents < 1 || c.MessageEvents > 100_000 {
		r.Errorf("message_events", "must be 1 to 100000")
	}
	for key, n := range map[string]int{
		"connections": c.Connections, "connections_per_address": c.ConnectionsPerAddress, "handshakes_per_second": c.HandshakesPerSecond,
	} {
		if n < 0 || n > 1_000_000 {
			r.Errorf(key, "must be 0 to 1000000")
		}
	}
	if c.PingsPerSecond < 1 {
		r.Errorf("pings_per_second", "must be at least 1")
	}
	if c.MinBytesPerSecond < 0 {
		r.Errorf("min_bytes_per_second", "must not be negative")
	}
}

// Validate implements configfile.Validator.
func (c TimeoutsConfig) Validate(r *configfile.Report) {
	for key, d := range map[string]configfile.Duration{
		"handshake": c.Handshake, "message": c.Message, "write": c.Write, "ping_interval": c.PingInterval, "ping": c.Ping, "close": c.Close,
		"backpressure": c.Backpressure, "retry_after": c.RetryAfter, "drain": c.Drain, "router_hello": c.RouterHello, "backoff_max": c.BackoffMax,
	} {
		if d.D() < time.Millisecond || d.D() > 10*time.Minute {
			r.Errorf(key, "must be 1ms to 10m")
		}
	}
}

// Validate implements configfile.Validator.
func (c FeedConfig) Validate(r *configfile.Report) {
	if !plainName.MatchString(c.Name) {
		r.Errorf("name", "%q is not a name: 1 to 64 letters, digits, dots, dashes or underscores", c.Name)
	}
	c.validateURL(r)
	framings := []feed.Framing{feed.FramingMessage, feed.FramingJSONLines, feed.FramingJSONArray, feed.FramingJSON, feed.FramingAvro}
	if !slices.Contains(framings, feed.Framing(c.Framing)) {
		r.Errorf("framing", "%q is not message, json_lines, json_array, playhead.v1.json or playhead.v1.avro", c.Framing)
	}
	if c.Encoding != "" && (feed.Framing(c.Framing) != feed.FramingMessage || c.Encoding != "json" && c.Encoding != "avro") {
		r.Errorf("encoding", "must be json or avro with framing message, and not be set otherwise")
	}
	named := feed.Framing(c.Framing) == feed.FramingJSON
	if c.isJSON() && !named && (c.Schema == "" || len(c.Schema) > 256) {
		r.Errorf("schema", "is needed for JSON events, at most 256 bytes")
	}
	if (!c.isJSON() || named) && c.Schema != "" {
		r.Errorf("schema", "must not be set: the events or messages name their schema")
	}
	if c.Ack != "" && (c.SequencePath == "" || !strings.Contains(c.Ack, feed.Placeholder)) {
		r.Errorf("ack", "needs %s in it, and sequence_path", feed.Placeholder)
	}
	if c.SequencePath != "" && (!c.isJSON() || named) {
		r.Errorf("sequence_path", "is only for framings without a sequence of their own, with JSON events")
	}
}

func (c FeedConfig) validateURL(r *configfile.Report) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "ws" && u.Scheme != "wss" {
		r.Errorf("url", "is not a ws:// or wss:// URL")
		return
	}
	if u.User != nil {
		r.Errorf("url", "must not hold credentials: use header_files")
	}
	host := u.Hostname()
	if u.Scheme == "ws" && !c.Insecure && !netlisten.IsLoopbackHost(host) {
		r.Errorf("url", "is plaintext beyond loopback: use wss://, or set insecure beside it (host %s)", net.JoinHostPort(host, u.Port()))
	}
}

func (c FeedConfig) isJSON() bool {
	return feed.Framing(c.Framing) != feed.FramingAvro && c.Encoding != "avro"
}
