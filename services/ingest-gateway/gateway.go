// Package gateway is the ingest-gateway: it takes playback events in over WebSocket, from clients that connect and from feeds that it
// dials, and hands them to the router. A client's ack says that Kafka has its events. The package wires the service together; what the
// parts do is in internal.
package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"google.golang.org/grpc"

	controlv1 "github.com/playhead-pipeline/playhead/proto/control/v1"
	gatewayv1 "github.com/playhead-pipeline/playhead/proto/gateway/v1"
	ingestv1 "github.com/playhead-pipeline/playhead/proto/ingest/v1"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/admin"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/admit"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/feed"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/forward"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/registry"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/session"
	"github.com/playhead-pipeline/playhead/services/internal/configfile"
	"github.com/playhead-pipeline/playhead/services/internal/control"
	"github.com/playhead-pipeline/playhead/services/internal/lifecycle"
	"github.com/playhead-pipeline/playhead/services/internal/rpcserver"
	"github.com/playhead-pipeline/playhead/services/internal/telemetry"
)

// serviceName names the service in logs, metrics and the control API.
const serviceName = "ingest-gateway"

// Params is what code passes.
type Params struct {
	Logger  *slog.Logger
	Level   *slog.LevelVar // of Logger
	Version string         // may be empty
}

// Addrs are the addresses that the listeners got.
type Addrs struct{ WebSocket, Admin, Debug string }

// Gateway is the service.
type Gateway struct {
	cfg     Config
	logger  *slog.Logger
	started time.Time

	health  *telemetry.Health
	serving *telemetry.Check
	group   *lifecycle.Group

	router   *grpc.ClientConn
	forward  *forward.Forwarder
	registry *registry.Registry[*session.Session]
	feeds    *feed.Metrics

	listener  net.Listener // WebSocket
	webServer *http.Server
	admin     *rpcserver.Server
	debug     *telemetry.DebugServer
}

// New builds the service and binds its listeners. It connects nowhere.
func New(cfg Config, p Params) (_ *Gateway, err error) {
	g := &Gateway{cfg: cfg, logger: p.Logger, started: time.Now(), health: telemetry.NewHealth()}
	defer func() {
		if err != nil {
			g.close()
		}
	}()
	if g.cfg.Name == "" {
		if g.cfg.Name, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("name this instance: %w", err)
		}
	}
	g.serving = g.health.Check("serving")
	// The forwarder and the listeners end together with the inner ring's deadline plus the time to cut what is left.
	g.group = lifecycle.New(p.Logger, lifecycle.Options{DrainTimeout: cfg.Timeouts.Drain.D() + cfg.Timeouts.Close.D() + 5*time.Second})
	metrics := telemetry.NewRegistry(serviceName)

	if g.router, err = rpcserver.NewClient(cfg.Router); err != nil {
		return nil, fmt.Errorf("set up the router's client: %w", err)
	}
	g.forward, err = forward.New(forward.Params{
		Config: cfg.forward(), Client: ingestv1.NewIngestServiceClient(g.router), Gateway: g.cfg.Name,
		Epoch:  uint64(g.started.UnixMicro()), // two starts of one instance are more than a microsecond apart
		Health: g.health.Check("router"), Logger: p.Logger, Registerer: metrics,
	})
	if err != nil {
		return nil, err
	}
	g.registry = registry.New[*session.Session](cfg.checkInterval())
	sessions, err := session.New(session.Params{
		Config: cfg.session(), Forwarder: g.forward, Gate: admit.New(cfg.admit()), Registry: g.registry, Logger: p.Logger, Registerer: metrics,
	})
	if err != nil {
		return nil, err
	}
	if err := g.listenWebSocket(sessions); err != nil {
		return nil, err
	}
	g.admin, err = rpcserver.NewServer(rpcserver.ServerParams{
		Config: rpcserver.ServerConfig{Listen: cfg.Listen.Admin, TLS: cfg.TLS, Insecure: cfg.Insecure},
		Logger: p.Logger, Registerer: metrics, Service: "gateway", Name: "admin", Health: g.health,
	})
	if err != nil {
		return nil, err
	}
	controlv1.RegisterControlServiceServer(g.admin, control.New(control.Params{
		Service: serviceName, Version: p.Version, Health: g.health, Level: p.Level, ConfigDigest: configfile.Digest(cfg),
		Drain: g.Drain, Started: g.started,
	}))
	gatewayv1.RegisterGatewayAdminServiceServer(g.admin, admin.New(g.status))
	g.debug, err = telemetry.NewDebugServer(telemetry.DebugConfig{Listen: cfg.Listen.Debug, Insecure: cfg.Insecure}, metrics, g.health, p.Logger)
	if err != nil {
		return nil, err
	}
	if g.feeds, err = feed.NewMetrics(metrics); err != nil {
		return nil, err
	}
	return g, g.register()
}

// register puts the components into their rings: the inner one takes events in and ends first, the outer one gets them out.
func (g *Gateway) register() error {
	g.group.Inner("websocket", g.serveWebSocket)
	for _, c := range g.cfg.Feeds {
		f, err := g.newFeed(c)
		if err != nil {
			return err
		}
		g.group.Inner("feed "+c.Name, f.Run)
	}
	g.group.Outer("registry", g.registry.Run)
	g.group.Outer("forward", g.forward.Run)
	g.group.Outer("admin", g.admin.Run)
	g.group.Outer("debug", g.debug.Run)
	return nil
}

// Run serves until ctx ends or Drain is called, then drains. It returns nil after a clean stop.
func (g *Gateway) Run(ctx context.Context) error {
	defer g.close()
	return g.group.Run(ctx)
}

// Drain starts an orderly stop: not ready, no new connections, outstanding acks, then the end. It returns at once.
func (g *Gateway) Drain() { g.group.Drain() }

// Addrs returns the addresses that the listeners got.
func (g *Gateway) Addrs() Addrs {
	return Addrs{WebSocket: g.listener.Addr().String(), Admin: g.admin.Addr(), Debug: g.debug.Addr()}
}

// close gives up whatever New has opened.
func (g *Gateway) close() {
	var closers []io.Closer
	if g.listener != nil {
		closers = append(closers, g.listener)
	}
	if g.admin != nil {
		closers = append(closers, g.admin)
	}
	if g.debug != nil {
		closers = append(closers, g.debug)
	}
	if g.router != nil {
		closers = append(closers, g.router)
	}
	for _, c := range closers {
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			g.logger.Debug("close", "error", err)
		}
	}
}

func (g *Gateway) status() *gatewayv1.GetStatusResponse {
	s := g.forward.Status()
	response := &gatewayv1.GetStatusResponse{
		Connections:    uint32(g.registry.Len()),
		EventsReceived: s.EventsReceived,
		EventsAcked:    s.EventsSettled,
		EventsRejected: s.EventsRejected,
		InFlightBytes:  uint64(s.InFlightBytes),
		Router: &gatewayv1.RouterStream{
			Connected: s.Connected, Address: g.cfg.Router.Address, SentSeq: s.SentSeq, AckedSeq: s.AckedSeq,
			CreditLeftBytes: s.CreditLeft, LastError: s.LastError,
		},
	}
	for _, f := range g.feeds.Statuses() {
		response.Feeds = append(response.Feeds, &gatewayv1.Feed{
			Name: f.Name, Connected: f.Connected, Messages: f.Messages, Reconnects: f.Reconnects, LastError: f.LastError,
		})
	}
	return response
}

// checkInterval is how often connections' clocks are looked at: often enough that the shortest limit is kept within a quarter.
func (c Config) checkInterval() time.Duration {
	shortest := min(c.Timeouts.Message.D(), c.Timeouts.PingInterval.D())
	return max(time.Millisecond, min(shortest/4, time.Second))
}

func (c Config) admit() admit.Limits {
	return admit.Limits{
		Connections: c.Limits.Connections, PerAddress: c.Limits.ConnectionsPerAddress, HandshakesPerSecond: c.Limits.HandshakesPerSecond,
	}
}

func (c Config) forward() forward.Config {
	return forward.Config{
		MaxBatchBytes: int(c.Batch.MaxBytes), MaxBatchDelay: c.Batch.MaxDelay.D(), MaxOpen: c.Batch.MaxOpen, MaxInFlight: int64(c.Limits.InFlight),
		BackoffBase: backoffBase, BackoffMax: cmp.Or(c.Timeouts.BackoffMax.D(), backoffBase), HelloTimeout: c.Timeouts.RouterHello.D(),
	}
}

func (c Config) session() session.Config {
	return session.Config{
		Tenant: c.Tenant, Source: c.Source, MaxMessageBytes: int(c.Limits.MessageBytes), MaxMessageEvents: c.Limits.MessageEvents,
		MaxInFlight: int64(c.Limits.InFlightPerConnection), MaxReadBuffers: int64(c.Limits.ReadBuffers),
		BackpressureLimit: c.Timeouts.Backpressure.D(), MessageLimit: c.Timeouts.Message.D(), MinBytesPerSecond: int(c.Limits.MinBytesPerSecond),
		WriteLimit: c.Timeouts.Write.D(), PingInterval: c.Timeouts.PingInterval.D(), PingLimit: c.Timeouts.Ping.D(), CloseGrace: c.Timeouts.Close.D(),
		MaxPingsPerSecond: c.Limits.PingsPerSecond, RetryAfter: c.Timeouts.RetryAfter.D(), OriginPatterns: c.Origins,
	}
}

// backoffBase bounds the first random wait before a reconnect.
const backoffBase = 100 * time.Millisecond
