package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	ingestv1 "github.com/playhead-pipeline/playhead/proto/ingest/v1"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/feed"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/handoff"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/session"
	"github.com/playhead-pipeline/playhead/services/internal/netlisten"
	"github.com/playhead-pipeline/playhead/services/internal/tlsfile"
)

const (
	maxHeaderBytes = 16 << 10
	// handshakeSockets is how many sockets there may be beside those of admitted connections: in the middle of a handshake, being
	// refused, or doing nothing.
	handshakeSockets = 1024
)

// listenWebSocket binds the listener for clients.
func (g *Gateway) listenWebSocket(sessions *session.Server) error {
	config, err := g.cfg.TLS.Load(tls.VersionTLS13, []string{"http/1.1"}, g.logger)
	if err != nil {
		return fmt.Errorf("set up the WebSocket listener: %w", err)
	}
	listener, err := netlisten.Listen(context.Background(), g.cfg.Listen.WebSocket, config != nil, g.cfg.Insecure)
	if err != nil {
		return fmt.Errorf("set up the WebSocket listener: %w", err)
	}
	g.listener = listener
	if g.cfg.Limits.Connections > 0 {
		g.listener = &cappedListener{Listener: listener, limit: int64(g.cfg.Limits.Connections) + handshakeSockets}
	}
	if config != nil {
		g.listener = tls.NewListener(g.listener, config)
	}
	mux := http.NewServeMux()
	mux.Handle(session.Path, sessions)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // the upgrade of RFC 6455
	g.webServer = &http.Server{
		Handler:           mux,
		Protocols:         protocols,
		ConnContext:       session.ConnContext,
		ReadHeaderTimeout: g.cfg.Timeouts.Handshake.D(),
		IdleTimeout:       g.cfg.Timeouts.Handshake.D(),
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(g.logger.Handler(), slog.LevelDebug), // what strangers send is no warning
	}
	return nil
}

// serveWebSocket serves clients until ctx ends, then takes them out of service: not ready, nobody new, outstanding acks, close.
func (g *Gateway) serveWebSocket(ctx context.Context) error {
	g.serving.OK()
	served := make(chan error, 1)
	go func() { served <- g.webServer.Serve(g.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve WebSocket: %w", err)
	case <-ctx.Done():
	}
	g.serving.Fail("draining")
	patience, cancel := context.WithTimeout(context.Background(), g.cfg.Timeouts.Drain.D())
	defer cancel()
	open := g.registry.Len()
	cut := g.registry.Drain(patience) // meanwhile newcomers get a 503 that says when to come again
	g.logger.Info("clients drained", "connections", open, "cut", cut)
	if err := g.webServer.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close the WebSocket listener: %w", err)
	}
	<-served
	return nil
}

// cappedListener bounds the sockets of a listener. What comes beyond is closed at once: there is nothing left to answer with.
type cappedListener struct {
	net.Listener
	limit int64
	open  atomic.Int64
}

func (l *cappedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.limit {
			return &countedConn{Conn: c, leave: sync.OnceFunc(func() { l.open.Add(-1) })}, nil
		}
		l.open.Add(-1)
		_ = c.Close()
	}
}

type countedConn struct {
	net.Conn
	leave func()
}

func (c *countedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}

// newFeed builds a feed from its configuration.
func (g *Gateway) newFeed(c FeedConfig) (*feed.Feed, error) {
	config, err := tlsfile.Client(tlsfile.Files{Cert: c.TLS.CertFile, Key: c.TLS.KeyFile, CA: c.TLS.CAFile}, c.TLS.ServerName, tls.VersionTLS12)
	if err != nil {
		return nil, fmt.Errorf("set up feed %s: %w", c.Name, err)
	}
	key := handoff.Key{Tenant: g.cfg.Tenant, Source: c.Name, Encoding: ingestv1.Encoding_ENCODING_JSON, Schema: c.Schema}
	if !c.isJSON() {
		key.Encoding = ingestv1.Encoding_ENCODING_AVRO
	}
	t := &g.cfg.Timeouts
	return feed.New(feed.Params{
		Config: feed.Config{
			Name: c.Name, URL: c.URL, Subscribe: c.Subscribe, Framing: feed.Framing(c.Framing), Key: key,
			SequencePath: splitPath(c.SequencePath), Ack: c.Ack,
			MaxMessageBytes: int(g.cfg.Limits.MessageBytes), MaxMessageEvents: g.cfg.Limits.MessageEvents, MaxInFlight: int64(g.cfg.Limits.InFlightPerFeed),
			DialLimit: t.Handshake.D(), WriteLimit: t.Write.D(), PingInterval: t.PingInterval.D(), PingLimit: t.Ping.D(), DrainLimit: t.Drain.D(),
			BackoffBase: backoffBase, BackoffMax: t.BackoffMax.D(),
		},
		Forwarder: g.forward,
		Client: &http.Client{
			Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, DisableKeepAlives: true},
			// A redirect would carry the credentials to whom the upstream names.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		Header:  c.header,
		Logger:  g.logger,
		Metrics: g.feeds,
	}), nil
}

func (c FeedConfig) header() (http.Header, error) {
	header := make(http.Header, len(c.HeaderFiles))
	for name, file := range c.HeaderFiles {
		value, err := file.Read()
		if err != nil {
			return nil, err
		}
		header.Set(name, string(value))
	}
	return header, nil
}

func indexed(key string, i int) string { return key + "[" + strconv.Itoa(i) + "]" }

func splitPath(path string) []string {
	if path == "" {
		return nil
	}
	return strings.Split(path, ".")
}
