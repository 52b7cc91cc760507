package router

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	ingestv1 "github.com/playhead-pipeline/playhead/proto/ingest/v1"
	routerv1 "github.com/playhead-pipeline/playhead/proto/router/v1"
	"github.com/playhead-pipeline/playhead/services/internal/apierr"
	"github.com/playhead-pipeline/playhead/services/internal/configfile"
	"github.com/playhead-pipeline/playhead/services/internal/kafkatest"
	"github.com/playhead-pipeline/playhead/services/internal/registryserver"
	"github.com/playhead-pipeline/playhead/services/internal/rpcserver"
	"github.com/playhead-pipeline/playhead/services/internal/schemaregistry"
	"github.com/playhead-pipeline/playhead/services/router/internal/eventtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testTimeout    = 30 * time.Second
	testPartitions = 6
	deadLetters    = "playback.events.dlq"
)

// stack is a router with a real registry and a fake Kafka, and a gateway's connection to it.
type stack struct {
	router       *Router
	kafka        *kafkatest.Cluster
	registry     *schemaregistry.Client
	registryDown atomic.Bool
	ingest       ingestv1.IngestServiceClient
	admin        routerv1.RouterAdminServiceClient
	encoder      *eventtest.Encoder
	schemaID     int
	stopped      chan error
}

func start(t testing.TB, change func(*Config)) *stack {
	t.Helper()
	s := &stack{stopped: make(chan error, 1)}
	s.kafka = kafkatest.New(t, kafkatest.Options{Partitions: map[string]int32{eventtest.Topic: testPartitions, deadLetters: 2}})
	url := s.startRegistry(t)
	keyFile := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(keyFile, bytes.Repeat([]byte("k"), 40), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	text := fmt.Sprintf(`
listen: {ingest: "127.0.0.1:0", admin: "127.0.0.1:0", debug: "127.0.0.1:0"}
kafka: {brokers: [%q]}
registry: {url: %q, refresh: 50ms, unknown_ttl: 50ms}
masking: {key_id: k1, key_file: %q}
produce: {linger: 2ms}
`, s.kafka.Addrs()[0], url, keyFile)
	if err := configfile.Parse("test.yaml", []byte(text), &cfg); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if s.router, err = New(cfg, Params{Logger: slog.New(slog.DiscardHandler), Level: new(slog.LevelVar)}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { s.stopped <- s.router.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-s.stopped; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	s.connect(t)
	return s
}

func (s *stack) startRegistry(t testing.TB) string {
	registry, err := registryserver.New(registryserver.Params{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.registryDown.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		registry.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.registry, err = schemaregistry.New(schemaregistry.Params{
		URL: server.URL, Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.registry.Close)
	s.schemaID = s.register(t, eventtest.Schema(t))
	s.encoder = eventtest.NewEncoder(t, eventtest.Schema(t))
	return server.URL
}

func (s *stack) register(t testing.TB, text string) int {
	t.Helper()
	id, err := s.registry.Register(t.Context(), eventtest.Subject, text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (s *stack) connect(t testing.TB) {
	for _, c := range []struct {
		address string
		use     func(*rpcserver.ClientConfig)
	}{{s.router.Addrs().Ingest, nil}, {s.router.Addrs().Admin, nil}} {
		conn, err := rpcserver.NewClient(rpcserver.ClientConfig{Address: c.address})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if c.address == s.router.Addrs().Ingest {
			s.ingest = ingestv1.NewIngestServiceClient(conn)
			continue
		}
		s.admin = routerv1.NewRouterAdminServiceClient(conn)
	}
}

// gateway is one stream, as a gateway uses it.
type gateway struct {
	t        testing.TB
	stream   ingestv1.IngestService_IngestClient
	cancel   context.CancelFunc
	credit   uint64
	acked    uint64
	verdicts []*ingestv1.Verdict
}

func (s *stack) open(t testing.TB) *gateway {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	t.Cleanup(cancel)
	stream, err := s.ingest.Ingest(ctx)
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{t: t, stream: stream, cancel: cancel}
	if err := stream.Send(&ingestv1.IngestRequest{Message: &ingestv1.IngestRequest_Open{Open: &ingestv1.Open{Gateway: "test", Epoch: 1}}}); err != nil {
		t.Fatal(err)
	}
	resp, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if resp.GetCreditBytes() == 0 || resp.GetAckedSeq() != 0 {
		t.Fatalf("the first response is %v, want credit only", resp)
	}
	g.credit = resp.GetCreditBytes()
	return g
}

func batch(seq uint64, tenant string, encoding ingestv1.Encoding, events ...[]byte) *ingestv1.Batch {
	b := &ingestv1.Batch{
		Seq: seq, Tenant: tenant, Source: "client", Encoding: encoding, Count: uint32(len(events)), ReceivedAtMicros: eventtest.ReceivedAt.UnixMicro(),
	}
	if encoding == ingestv1.Encoding_ENCODING_JSON {
		b.Schema = "playback-event"
	}
	for _, e := range events {
		b.Events = append(binary.AppendUvarint(b.Events, uint64(len(e))), e...)
	}
	return b
}

func (g *gateway) send(b *ingestv1.Batch) {
	g.t.Helper()
	if err := g.stream.Send(&ingestv1.IngestRequest{Message: &ingestv1.IngestRequest_Batch{Batch: b}}); err != nil {
		g.t.Fatalf("send batch %d: %v", b.GetSeq(), err)
	}
}

// await receives until everything up to seq is acknowledged.
func (g *gateway) await(seq uint64) {
	g.t.Helper()
	for g.acked < seq {
		resp, err := g.stream.Recv()
		if err != nil {
			g.t.Fatalf("acknowledged up to %d of %d: %v", g.acked, seq, err)
		}
		if resp.GetAckedSeq() < g.acked || resp.GetCreditBytes() < g.credit {
			g.t.Fatalf("acknowledgement or credit falls: %v after %d and %d", resp, g.acked, g.credit)
		}
		for _, v := range resp.GetVerdicts() {
			if v.GetSeq() <= g.acked || v.GetSeq() > resp.GetAckedSeq() {
				g.t.Errorf("verdict of batch %d comes with the acknowledgement of (%d, %d]", v.GetSeq(), g.acked, resp.GetAckedSeq())
			}
		}
		g.acked, g.credit = resp.GetAckedSeq(), resp.GetCreditBytes()
		g.verdicts = append(g.verdicts, resp.GetVerdicts()...)
		if resp.GetLevel() != ingestv1.Level_LEVEL_REPLICATED && g.acked > 0 {
			g.t.Errorf("acknowledged at level %v", resp.GetLevel())
		}
	}
}

// failure receives until the stream ends, and returns why.
func (g *gateway) failure() *apierr.Error {
	g.t.Helper()
	for {
		if _, err := g.stream.Recv(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return apierr.From(err)
		}
	}
}

// read returns n records of a topic, and whatever comes with them, read by another client.
func (s *stack) read(t testing.TB, topic string, n int) []*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.kafka.Addrs()...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	var all []*kgo.Record
	for len(all) < n {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("read %d of %d records of %s", len(all), n, topic)
		}
		all = append(all, fetches.Records()...)
	}
	return all
}

func (s *stack) framed(t testing.TB, n int) []byte {
	return s.encoder.Framed(t, s.schemaID, eventtest.Event(n))
}
