// Package intake serves playhead.ingest.v1: it takes batches of gateways, has them prepared, hands the records and the dead letters to the
// producer, and acknowledges a batch when Kafka has acknowledged all of it.
//
// It owns credit, cumulative acknowledgements, verdicts, the order in which batches are handed on, and waiting batches. What is done to an
// event is for package prepare, how records reach Kafka for package publish.
//
// Order. Batches of one stream, tenant and source are handed on in the order of their sequence numbers, so that events of a session keep
// theirs; they are prepared in parallel. A batch that waits (parks) holds up later ones of its tenant and source only; but the
// acknowledgement is cumulative, so when the window is used up behind it the whole stream waits.
package intake

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	ingestv1 "github.com/playhead-pipeline/playhead/proto/ingest/v1"
	"github.com/playhead-pipeline/playhead/services/internal/apierr"
	"github.com/playhead-pipeline/playhead/services/router/internal/prepare"
	"github.com/playhead-pipeline/playhead/services/router/internal/record"
)

// Publisher writes records. See package publish for what it promises.
type Publisher interface {
	// Ready is closed when Partitions and Append may be called.
	Ready() <-chan struct{}
	Partitions(topic string) int32
	Append(topic string, owner record.Owner, records []record.Record)
}

// Preparer prepares batches. See package prepare.
type Preparer interface {
	Prepare(b *prepare.Batch) (*prepare.Output, error)
	Release(o *prepare.Output)
}

// Params is what New takes.
type Params struct {
	Config    Config
	Preparer  Preparer
	Publisher Publisher
	// DeadLetterFor returns the dead-letter topic that belongs to a data topic.
	DeadLetterFor func(topic string) string
	Logger        *slog.Logger
	Registerer    prometheus.Registerer
}

// Server implements the service. Register it, and run Run beside the gRPC server.
type Server struct {
	ingestv1.UnimplementedIngestServiceServer

	p       Params
	metrics *metrics
	budget  *semaphore.Weighted
	workers *semaphore.Weighted
	streams atomic.Int64

	draining  chan struct{}
	drainOnce sync.Once
	wg        sync.WaitGroup // of receiving goroutines
}

// Totals are counts since the start.
type Totals struct {
	Streams                          int
	Received, Produced, DeadLettered uint64
}

// New returns a server.
func New(p Params) (*Server, error) {
	m, err := newMetrics(p.Registerer)
	if err != nil {
		return nil, err
	}
	if p.Config.Workers == 0 {
		p.Config.Workers = runtime.GOMAXPROCS(0)
	}
	return &Server{
		p:        p,
		metrics:  m,
		budget:   semaphore.NewWeighted(int64(p.Config.BudgetBytes)),
		workers:  semaphore.NewWeighted(int64(p.Config.Workers)),
		draining: make(chan struct{}),
	}, nil
}

// Totals returns the counts.
func (s *Server) Totals() Totals {
	return Totals{
		Streams:      int(s.streams.Load()),
		Received:     s.metrics.totals.received.Load(),
		Produced:     s.metrics.totals.produced.Load(),
		DeadLettered: s.metrics.totals.deadLettered.Load(),
	}
}

// Run waits for the end of ctx, then ends all streams: nothing more is taken, and what was received is acknowledged as far as that is possible
// within the drain timeout. It returns when no stream is left.
func (s *Server) Run(ctx context.Context) error {
	<-ctx.Done()
	s.drainOnce.Do(func() { close(s.draining) })
	s.wg.Wait()
	return nil
}

// errDraining tells the gateway to go elsewhere.
func errDraining() error {
	return apierr.New(apierr.Unavailable, "the router is stopping")
}

// Ingest serves one gateway.
func (s *Server) Ingest(stream ingestv1.IngestService_IngestServer) error {
	if n := s.streams.Add(1); n > int64(s.p.Config.MaxStreams) {
		s.streams.Add(-1)
		return apierr.New(apierr.Exhausted, "the router has %d streams", s.p.Config.MaxStreams)
	}
	s.metrics.streams.Inc()
	defer func() {
		s.streams.Add(-1)
		s.metrics.streams.Dec()
	}()
	select {
	case <-s.draining:
		return errDraining()
	default:
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	open := first.GetOpen()
	if open == nil {
		return apierr.New(apierr.Invalid, "the first message of a stream must be Open")
	}
	s.p.Logger.Info("stream opened", "gateway", open.GetGateway(), "epoch", open.GetEpoch())
	st := newStream(s, stream.Context())
	// Recv ends only when this function returns, so the receiver cannot be waited for here. Run does.
	s.wg.Go(func() { st.receive(stream) })
	err = st.send(stream)
	s.p.Logger.Info("stream closed", "gateway", open.GetGateway(), "epoch", open.GetEpoch(), "error", err)
	return err
}
