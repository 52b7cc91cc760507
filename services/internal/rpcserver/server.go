// Package rpcserver builds gRPC servers and clients the way all services speak: TLS that follows its files, keepalive that both sides agree
// on, flow-control windows for batches of 128 KiB to 1 MiB, bounded messages and streams, metrics, recovery from panics, health and
// reflection. Which services run on a server, and who may call them, is for its callers.
package rpcserver

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/playhead-pipeline/playhead/services/internal/netlisten"
	"github.com/playhead-pipeline/playhead/services/internal/telemetry"
)

// Limits of servers and clients.
const (
	// DefaultMaxRecvBytes takes two batches of the largest size, 4 MiB. Larger messages are refused before they are read.
	DefaultMaxRecvBytes = 8 << 20
	// DefaultMaxStreams is per connection. A gateway needs one; the rest is for admin calls.
	DefaultMaxStreams = 64
	// DefaultStopTimeout is how long streams may go on after Run's context has ended.
	DefaultStopTimeout = 10 * time.Second

	maxHeaderBytes   = 16 << 10
	handshakeTimeout = 5 * time.Second
)

// Flow control. A fixed window switches grpc-go's bandwidth estimator off, which starts at 64 KiB, half of our smallest full batch. Measured on
// loopback, 128 KiB frames, 32 in flight: these windows and buffers cost a fifth less CPU on the receiving side than the defaults.
const (
	streamWindow     = 4 << 20
	connectionWindow = 8 << 20
	socketBuffer     = 256 << 10
)

// Keepalive. A peer that vanished without a word is noticed after time + timeout. The server must accept the client's pings: grpc-go's default
// policy answers a ping more often than every five minutes with GOAWAY too_many_pings.
const (
	keepaliveTime    = 10 * time.Second
	keepaliveTimeout = 5 * time.Second
	// minPingInterval leaves room for pings that the network has pushed together.
	minPingInterval = keepaliveTime / 2
)

// ServerParams is what NewServer takes.
type ServerParams struct {
	Config ServerConfig
	Logger *slog.Logger
	// Registerer gets the metrics of the server. They carry the label server=Name, so one registry serves several servers.
	Registerer prometheus.Registerer
	// Service is the second word of the metrics' names, playhead_<service>_rpc_...; without it they are playhead_rpc_...
	Service string
	// Name tells the servers of one process apart in metrics and errors, for example "admin".
	Name string
	// MaxRecvBytes bounds a received message; zero means DefaultMaxRecvBytes.
	MaxRecvBytes int
	// MaxStreams bounds the open calls of one connection; zero means DefaultMaxStreams.
	MaxStreams uint32
	// StopTimeout bounds the graceful stop; zero means DefaultStopTimeout.
	StopTimeout time.Duration
	// Health, when set, decides what the gRPC health service answers. Without it the answer is SERVING until Run's context ends.
	Health *telemetry.Health
	// Options are added last.
	Options []grpc.ServerOption
}

// Server is a gRPC server with a bound listener. Register services on it, then call Run once.
type Server struct {
	name        string
	listener    net.Listener
	grpc        *grpc.Server
	health      *health.Server
	readiness   *telemetry.Health
	stopTimeout time.Duration
}

var _ grpc.ServiceRegistrar = (*Server)(nil)

// NewServer checks the parameters, reads the TLS files and binds the listener. Call Run to serve, or Close to give the listener up.
func NewServer(p ServerParams) (*Server, error) {
	creds, err := serverCredentials(p)
	if err != nil {
		return nil, fmt.Errorf("set up %s server: %w", p.Name, err)
	}
	m, err := newMetrics(p.Registerer, p.Service, p.Name)
	if err != nil {
		return nil, fmt.Errorf("set up %s server: %w", p.Name, err)
	}
	listener, err := netlisten.Listen(context.Background(), p.Config.Listen, p.Config.TLS.Enabled(), p.Config.Insecure)
	if err != nil {
		return nil, fmt.Errorf("set up %s server: %w", p.Name, err)
	}
	i := interceptor{logger: p.Logger, metrics: m}
	opts := append([]grpc.ServerOption{
		creds,
		grpc.MaxRecvMsgSize(cmp.Or(p.MaxRecvBytes, DefaultMaxRecvBytes)),
		grpc.MaxConcurrentStreams(cmp.Or(p.MaxStreams, DefaultMaxStreams)),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.InitialWindowSize(streamWindow),
		grpc.InitialConnWindowSize(connectionWindow),
		grpc.ReadBufferSize(socketBuffer),
		grpc.WriteBufferSize(socketBuffer),
		// No MaxConnectionAge: it would end streams that have to live for months, and without a grace period never ends at all.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPingInterval, PermitWithoutStream: true}),
		// Run returns when no handler uses what the outer ring is about to close.
		grpc.WaitForHandlers(true),
		grpc.ChainUnaryInterceptor(i.unary),
		grpc.ChainStreamInterceptor(i.stream),
	}, p.Options...)
	s := &Server{
		name:        p.Name,
		listener:    listener,
		grpc:        grpc.NewServer(opts...),
		health:      health.NewServer(),
		readiness:   p.Health,
		stopTimeout: cmp.Or(p.StopTimeout, DefaultStopTimeout),
	}
	healthv1.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
	return s, nil
}

// serverCredentials returns TLS 1.3 when a certificate is configured: both ends are of this product or speak it.
func serverCredentials(p ServerParams) (grpc.ServerOption, error) {
	config, err := p.Config.TLS.Load(tls.VersionTLS13, []string{"h2"}, p.Logger)
	if err != nil {
		return nil, err
	}
	if config == nil {
		return grpc.EmptyServerOption{}, nil
	}
	return grpc.Creds(credentials.NewTLS(config)), nil
}

// RegisterService implements grpc.ServiceRegistrar. It must not be called after Run.
func (s *Server) RegisterService(desc *grpc.ServiceDesc, impl any) {
	s.grpc.RegisterService(desc, impl)
}

// Addr returns the bound address, with the port that was chosen for port 0.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Run serves until ctx ends. Then the health service answers NOT_SERVING, no call is accepted any more, and calls under way may go on for the
// stop timeout before their connections are closed. It returns when all handlers have. Handlers of endless streams have to end them on
// a signal of their own; the contexts of calls end only with the timeout.
func (s *Server) Run(ctx context.Context) error {
	followCtx, stopFollowing := context.WithCancel(ctx)
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		s.followReadiness(followCtx)
	}()
	served := make(chan error, 1)
	go func() { served <- s.grpc.Serve(s.listener) }()

	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
	}
	stopFollowing()
	<-followed
	s.health.Shutdown()
	if ctx.Err() == nil {
		s.grpc.Stop()
		return fmt.Errorf("serve %s listener: %w", s.name, err)
	}
	s.stop()
	if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve %s listener: %w", s.name, err)
	}
	return nil
}

// stop waits for calls under way for the stop timeout, then closes their connections, which ends their contexts.
func (s *Server) stop() {
	done := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(done)
	}()
	timer := time.NewTimer(s.stopTimeout)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		s.grpc.Stop()
		<-done
	}
}

// followReadiness keeps the answer of the health service in step with the readiness of the process until ctx ends.
func (s *Server) followReadiness(ctx context.Context) {
	if s.readiness == nil {
		return
	}
	for {
		changed := s.readiness.Changed()
		answer := healthv1.HealthCheckResponse_NOT_SERVING
		if ready, _ := s.readiness.Ready(); ready {
			answer = healthv1.HealthCheckResponse_SERVING
		}
		s.health.SetServingStatus("", answer)
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// Close gives up a server that Run was not called for.
func (s *Server) Close() error {
	s.grpc.Stop()
	return s.listener.Close()
}
