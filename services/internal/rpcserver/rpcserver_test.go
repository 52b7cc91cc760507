package rpcserver_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	ingestv1 "github.com/playhead-pipeline/playhead/proto/ingest/v1"
	"github.com/playhead-pipeline/playhead/services/internal/apierr"
	"github.com/playhead-pipeline/playhead/services/internal/netlisten"
	"github.com/playhead-pipeline/playhead/services/internal/rpcserver"
	"github.com/playhead-pipeline/playhead/services/internal/telemetry"
	"github.com/playhead-pipeline/playhead/services/internal/tlstest"
)

// ingest is a stream service whose handler is the test's.
type ingest struct {
	ingestv1.UnimplementedIngestServiceServer

	handle func(grpc.BidiStreamingServer[ingestv1.IngestRequest, ingestv1.IngestResponse]) error
}

func (s ingest) Ingest(stream grpc.BidiStreamingServer[ingestv1.IngestRequest, ingestv1.IngestResponse]) error {
	return s.handle(stream)
}

// echo answers each batch with its sequence number.
func echo(stream grpc.BidiStreamingServer[ingestv1.IngestRequest, ingestv1.IngestResponse]) error {
	for {
		req, err := stream.Recv()
		if err != nil {
			return nil //nolint:nilerr // the client has ended the stream
		}
		if err := stream.Send(&ingestv1.IngestResponse{AckedSeq: req.GetBatch().GetSeq()}); err != nil {
			return err
		}
	}
}

// running is a server under test.
type running struct {
	t        *testing.T
	server   *rpcserver.Server
	registry *prometheus.Registry
	log      *lockedBuffer
	stop     context.CancelFunc
	done     chan error
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs a server with p's settings until the test ends.
func start(t *testing.T, p rpcserver.ServerParams, handle func(grpc.BidiStreamingServer[ingestv1.IngestRequest, ingestv1.IngestResponse]) error) *running {
	t.Helper()
	r := &running{t: t, registry: prometheus.NewRegistry(), log: &lockedBuffer{}, done: make(chan error, 1)}
	p.Logger = slog.New(slog.NewJSONHandler(r.log, nil))
	p.Registerer, p.Service, p.Name = r.registry, "router", "ingest"
	if p.Config.Listen == "" {
		p.Config.Listen = "127.0.0.1:0"
	}
	var err error
	if r.server, err = rpcserver.NewServer(p); err != nil {
		t.Fatal(err)
	}
	ingestv1.RegisterIngestServiceServer(r.server, ingest{handle: handle})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	r.stop = cancel
	go func() { r.done <- r.server.Run(ctx) }()
	t.Cleanup(func() { r.wait() })
	return r
}

// wait stops the server and returns what Run returned; it may be called more than once.
func (r *running) wait() error {
	r.stop()
	select {
	case err := <-r.done:
		r.done <- err
		return err
	case <-time.After(20 * time.Second):
		r.t.Error("Run does not return")
		return nil
	}
}

func (r *running) client(cfg rpcserver.ClientConfig) *grpc.ClientConn {
	r.t.Helper()
	if cfg.Address == "" {
		cfg.Address = r.server.Addr()
	}
	conn, err := rpcserver.NewClient(cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			r.t.Error(err)
		}
	})
	return conn
}

// metrics returns what a scrape sees.
func (r *running) metrics() string {
	w := httptest.NewRecorder()
	promhttp.HandlerFor(r.registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

// roundTrip sends one batch of size bytes and waits for its answer.
func roundTrip(t *testing.T, conn grpc.ClientConnInterface, size int) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	stream, err := ingestv1.NewIngestServiceClient(conn).Ingest(ctx)
	if err != nil {
		return err
	}
	batch := &ingestv1.Batch{Seq: 7, Events: make([]byte, size)}
	// An error of Send is io.EOF; the reason comes from Recv.
	_ = stream.Send(&ingestv1.IngestRequest{Message: &ingestv1.IngestRequest_Batch{Batch: batch}})
	resp, err := stream.Recv()
	if err != nil {
		return err
	}
	if resp.GetAckedSeq() != 7 {
		t.Errorf("got %v", resp)
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if _, err := stream.Recv(); err == nil {
		t.Error("the stream goes on")
	}
	return nil
}

func TestMessageSizeIsBounded(t *testing.T) {
	t.Parallel()
	r := start(t, rpcserver.ServerParams{}, echo)
	conn := r.client(rpcserver.ClientConfig{})
	const overhead = 64
	if err := roundTrip(t, conn, rpcserver.DefaultMaxRecvBytes-overhead); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	if err := roundTrip(t, conn, rpcserver.DefaultMaxRecvBytes+1); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("over the limit: got %v", err)
	}
}

func TestStreamsPerConnectionAreBounded(t *testing.T) {
	t.Parallel()
	r := start(t, rpcserver.ServerParams{MaxStreams: 1, StopTimeout: time.Nanosecond}, echo)
	conn := r.client(rpcserver.ClientConfig{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first, err := ingestv1.NewIngestServiceClient(conn).Ingest(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Send(&ingestv1.IngestRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Recv(); err != nil { // the server has the stream and its settings have come
		t.Fatal(err)
	}
	short, cancelShort := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancelShort()
	second, err := ingestv1.NewIngestServiceClient(conn).Ingest(short)
	if err == nil {
		_, err = second.Recv()
	}
	if status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a second stream began: %v", err)
	}
}

func TestPanicBecomesInternal(t *testing.T) {
	t.Parallel()
	r := start(t, rpcserver.ServerParams{}, func(grpc.BidiStreamingServer[ingestv1.IngestRequest, ingestv1.IngestResponse]) error {
		panic("the canary")
	})
	conn := r.client(rpcserver.ClientConfig{})
	err := roundTrip(t, conn, 0)
	if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v", err)
	}
	// The log line is written before the answer is sent.
	if log := r.log.String(); !strings.Contains(log, "the canary") || !strings.Contains(log, "rpcserver_test.go") {
		t.Errorf("the log lacks panic or stack: %s", log)
	}
	for _, want := range []string{
		`playhead_router_rpc_panics_total{server="ingest"} 1`,
		`playhead_router_rpc_requests_total{code="Internal",method="/playhead.ingest.v1.IngestService/Ingest",server="ingest"} 1`,
		`playhead_router_rpc_duration_seconds_count{method="/playhead.ingest.v1.IngestService/Ingest",server="ingest"} 1`,
	} {
		if !strings.Contains(r.metrics(), want+"\n") {
			t.Errorf("metrics lack %s:\n%s", want, r.metrics())
		}
	}
	if err := roundTrip(t, conn, 0); status.Code(err) != codes.Internal {
		t.Errorf("the server did not survive: %v", err)
	}
}

func TestErrorsCrossWithTheirMeaning(t *testing.T) {
	t.Parallel()
	want := apierr.Error{Kind: apierr.Exhausted, Message: "no credit", RetryAfter: 1500 * time.Millisecond}
	r := start(t, rpcserver.ServerParams{}, func(grpc.BidiStreamingServer[ingestv1.IngestRequest, ingestv1.IngestResponse]) error {
		return errors.Join(errors.New("context of the server's log"), &want)
	})
	got := apierr.From(roundTrip(t, r.client(rpcserver.ClientConfig{}), 0))
	if got == nil || *got != want {
		t.Errorf("got %+v", got)
	}
}

func TestUnknownMethodsMakeNoMetrics(t *testing.T) {
	t.Parallel()
	r := start(t, rpcserver.ServerParams{}, echo)
	err := r.client(rpcserver.ClientConfig{}).Invoke(t.Context(), "/x.Y/Z", &ingestv1.Open{}, &ingestv1.Open{})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("got %v", err)
	}
	if strings.Contains(r.metrics(), "x.Y") {
		t.Error("a client made a label value")
	}
}

func TestHealthFollowsReadiness(t *testing.T) {
	t.Parallel()
	health := telemetry.NewHealth()
	kafka := health.Check("kafka")
	r := start(t, rpcserver.ServerParams{Health: health, StopTimeout: time.Second}, echo)
	client := healthv1.NewHealthClient(r.client(rpcserver.ClientConfig{}))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	watch, err := client.Watch(ctx, &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	// Until the first look at readiness the answer may be SERVING, which is the health server's own start.
	until := func(want healthv1.HealthCheckResponse_ServingStatus) {
		t.Helper()
		for {
			resp, err := watch.Recv()
			if err != nil {
				t.Fatalf("waiting for %s: %v", want, err)
			}
			if resp.GetStatus() == want {
				return
			}
		}
	}
	until(healthv1.HealthCheckResponse_NOT_SERVING)
	kafka.OK()
	until(healthv1.HealthCheckResponse_SERVING)
	kafka.Fail("gone")
	until(healthv1.HealthCheckResponse_NOT_SERVING)
	kafka.OK()
	until(healthv1.HealthCheckResponse_SERVING)
	r.stop()
	until(healthv1.HealthCheckResponse_NOT_SERVING)
	cancel()
}

func TestReflection(t *testing.T) {
	t.Parallel()
	r := start(t, rpcserver.ServerParams{}, echo)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	stream, err := reflectionv1.NewServerReflectionClient(r.client(rpcserver.ClientConfig{})).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	resp, err := stream.Recv()
	if err != nil || !strings.Contains(resp.String(), "playhead.ingest.v1.IngestService") {
		t.Errorf("got %v, %v", resp, err)
	}
}

// A call under way may end by itself while the server stops; a call that does not end is cut off by the stop timeout.
func TestStopIsGracefulAndBounded(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	patient := start(t, rpcserver.ServerParams{}, func(s grpc.BidiStreamingServer[ingestv1.IngestRequest, ingestv1.IngestResponse]) error {
		close(entered)
		<-release
		return s.Send(&ingestv1.IngestResponse{AckedSeq: 9})
	})
	stream, err := ingestv1.NewIngestServiceClient(patient.client(rpcserver.ClientConfig{})).Ingest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	patient.stop()
	close(release)
	if resp, err := stream.Recv(); err != nil || resp.GetAckedSeq() != 9 {
		t.Errorf("a call under way was cut off: %v, %v", resp, err)
	}
	if err := patient.wait(); err != nil {
		t.Error(err)
	}

	ended := make(chan error, 1)
	stubborn := start(t, rpcserver.ServerParams{StopTimeout: 50 * time.Millisecond}, func(s grpc.BidiStreamingServer[ingestv1.IngestRequest, ingestv1.IngestResponse]) error {
		<-s.Context().Done()
		ended <- s.Context().Err()
		return s.Context().Err()
	})
	if stream, err = ingestv1.NewIngestServiceClient(stubborn.client(rpcserver.ClientConfig{})).Ingest(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&ingestv1.IngestRequest{}); err != nil {
		t.Fatal(err)
	}
	if err := stubborn.wait(); err != nil {
		t.Error(err)
	}
	select {
	case <-ended:
	default:
		// The handler may not have begun when the server stopped; then the client was refused, which is as good.
		if _, err := stream.Recv(); err == nil {
			t.Error("Run returned before the handler")
		}
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	ca := tlstest.NewAuthority(t)
	cert, key := ca.Issue(t, t.TempDir(), "router")
	clientCert, clientKey := ca.Issue(t, t.TempDir(), "gateway")
	r := start(t, rpcserver.ServerParams{Config: rpcserver.ServerConfig{
		Listen: "0.0.0.0:0", // allowed with TLS
		TLS:    rpcserver.TLSConfig{CertFile: cert, KeyFile: key, ClientCAFile: ca.File},
	}}, echo)
	address := "localhost" + r.server.Addr()[strings.LastIndex(r.server.Addr(), ":"):]
	good := rpcserver.ClientConfig{Address: address, TLS: rpcserver.ClientTLSConfig{CAFile: ca.File, CertFile: clientCert, KeyFile: clientKey}}
	if err := roundTrip(t, r.client(good), 1<<20); err != nil {
		t.Errorf("with a certificate: %v", err)
	}
	for name, cfg := range map[string]rpcserver.ClientConfig{
		"no certificate":   {Address: address, TLS: rpcserver.ClientTLSConfig{CAFile: ca.File}},
		"wrong authority":  {Address: address, TLS: rpcserver.ClientTLSConfig{CAFile: tlstest.NewAuthority(t).File}},
		"wrong name":       {Address: address, TLS: rpcserver.ClientTLSConfig{CAFile: ca.File, CertFile: clientCert, KeyFile: clientKey, ServerName: "other"}},
		"system authority": {Address: address, TLS: rpcserver.ClientTLSConfig{Enabled: true}},
		"plaintext":        {Address: address},
	} {
		if err := roundTrip(t, r.client(cfg), 0); status.Code(err) != codes.Unavailable {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestPlaintextStaysOnLoopback(t *testing.T) {
	t.Parallel()
	params := rpcserver.ServerParams{
		Config: rpcserver.ServerConfig{Listen: "0.0.0.0:0"}, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Name: "admin",
	}
	_, err := rpcserver.NewServer(params)
	if _, ok := errors.AsType[*netlisten.NotLoopbackError](err); !ok {
		t.Errorf("server: got %v", err)
	}
	params.Config.Insecure, params.Registerer = true, prometheus.NewRegistry()
	s, err := rpcserver.NewServer(params)
	if err != nil {
		t.Fatalf("insecure server: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for _, address := range []string{"10.0.0.1:9443", "dns:///router:9443"} {
		_, err := rpcserver.NewClient(rpcserver.ClientConfig{Address: address})
		if _, ok := errors.AsType[*netlisten.NotLoopbackError](err); !ok {
			t.Errorf("client to %s: got %v", address, err)
		}
		conn, err := rpcserver.NewClient(rpcserver.ClientConfig{Address: address, Insecure: true})
		if err != nil {
			t.Fatalf("insecure client to %s: %v", address, err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestNewServerRefuses(t *testing.T) {
	t.Parallel()
	ok := rpcserver.ServerParams{Config: rpcserver.ServerConfig{Listen: "127.0.0.1:0"}, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Name: "admin"}
	noFile := ok
	noFile.Config.TLS = rpcserver.TLSConfig{CertFile: "missing", KeyFile: "missing"}
	if _, err := rpcserver.NewServer(noFile); err == nil {
		t.Error("a certificate that is not there")
	}
	first, err := rpcserver.NewServer(ok)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Close() }()
	if _, err := rpcserver.NewServer(ok); err == nil {
		t.Error("a second server of the same name in one registry")
	}
	other := ok
	other.Name = "ingest"
	second, err := rpcserver.NewServer(other)
	if err != nil {
		t.Fatalf("two servers in one registry: %v", err)
	}
	_ = second.Close()
}
