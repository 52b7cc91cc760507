// Package defect makes a sound pipeline wrong from outside: proxies that stand between two parts and lie, as a wrong implementation of one
// of them would. The services hold no hooks for it. A scenario puts a proxy in place, runs load, and asserts that the ledger fails.
package defect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	ingestv1 "github.com/playhead-pipeline/playhead/proto/ingest/v1"
)

// RouterFault changes what passes between gateway and router. Nil functions pass everything on.
type RouterFault struct {
	// Request may change a batch, drop it from the stream to the router (nil), or put others in its place. The proxy numbers what is
	// forwarded anew.
	Request func(*ingestv1.Batch) []*ingestv1.Batch
	// AckAtOnce answers batches before the router has seen them; the router's answers are then dropped.
	AckAtOnce bool
	// Response may change an answer of the router.
	Response func(*ingestv1.IngestResponse)
}

// maxMessage is over the largest message that gateway and router exchange.
const maxMessage = 16 << 20

// creditWindow is what a proxy that acks by itself lets the gateway have in flight.
const creditWindow = 8 << 20

// Router is a proxy between gateway and router.
type Router struct {
	ingestv1.UnimplementedIngestServiceServer
	fault    RouterFault
	upstream *grpc.ClientConn
	server   *grpc.Server
	listener net.Listener
	served   sync.WaitGroup
}

// NewRouter starts a proxy on a free loopback port that forwards to the router at address.
func NewRouter(address string, fault RouterFault) (*Router, error) {
	upstream, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)))
	if err != nil {
		return nil, fmt.Errorf("dial router: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen: %w", err), upstream.Close())
	}
	r := &Router{fault: fault, upstream: upstream, listener: listener, server: grpc.NewServer(grpc.MaxRecvMsgSize(maxMessage))}
	ingestv1.RegisterIngestServiceServer(r.server, r)
	r.served.Go(func() { _ = r.server.Serve(listener) }) // ends by Close
	return r, nil
}

// Addr returns what the gateway must dial.
func (r *Router) Addr() string { return r.listener.Addr().String() }

// Close cuts all streams.
func (r *Router) Close() error {
	r.server.Stop()
	r.served.Wait()
	return r.upstream.Close()
}

// Ingest implements ingestv1.IngestServiceServer.
func (r *Router) Ingest(down grpc.BidiStreamingServer[ingestv1.IngestRequest, ingestv1.IngestResponse]) error {
	ctx, cancel := context.WithCancel(down.Context())
	defer cancel()
	up, err := ingestv1.NewIngestServiceClient(r.upstream).Ingest(ctx)
	if err != nil {
		return err
	}
	s := &stream{fault: r.fault, down: down, up: up}
	answers := make(chan error, 1)
	go func() {
		answers <- s.answers()
		cancel()
	}()
	err = s.requests()
	cancel()
	return errors.Join(err, <-answers)
}

// stream is one stream of the gateway and the proxy's own stream to the router.
type stream struct {
	fault RouterFault
	down  grpc.BidiStreamingServer[ingestv1.IngestRequest, ingestv1.IngestResponse]
	up    grpc.BidiStreamingClient[ingestv1.IngestRequest, ingestv1.IngestResponse]

	mu       sync.Mutex // guards sends to down and seqs
	seqs     []pair     // of forwarded batches that the router has not acked, oldest first
	sent     uint64     // forwarded batches
	received uint64     // bytes of events from the gateway
}

// pair maps a forwarded batch's number to the gateway's.
type pair struct{ forwarded, original uint64 }

// requests forwards what the gateway sends.
func (s *stream) requests() error {
	for {
		request, err := s.down.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return s.up.CloseSend()
			}
			return err
		}
		batch := request.GetBatch()
		if batch == nil {
			if err := s.up.Send(request); err != nil {
				return err
			}
			continue
		}
		if err := s.batch(batch); err != nil {
			return err
		}
	}
}

func (s *stream) batch(batch *ingestv1.Batch) error {
	original := batch.GetSeq()
	s.received += uint64(len(batch.GetEvents()))
	forward := []*ingestv1.Batch{batch}
	if s.fault.Request != nil {
		forward = s.fault.Request(batch)
	}
	if s.fault.AckAtOnce {
		if err := s.answer(&ingestv1.IngestResponse{
			CreditBytes: s.received + creditWindow, AckedSeq: original, Level: ingestv1.Level_LEVEL_REPLICATED,
		}); err != nil {
			return err
		}
	}
	for _, b := range forward {
		s.mu.Lock()
		s.sent++
		b.Seq = s.sent
		if !s.fault.AckAtOnce {
			s.seqs = append(s.seqs, pair{s.sent, original})
		}
		s.mu.Unlock()
		if err := s.up.Send(&ingestv1.IngestRequest{Message: &ingestv1.IngestRequest_Batch{Batch: b}}); err != nil {
			return err
		}
	}
	return nil
}

func (s *stream) answer(response *ingestv1.IngestResponse) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down.Send(response)
}

// answers forwards what the router answers, with the gateway's own numbers.
func (s *stream) answers() error {
	var acked uint64
	for {
		response, err := s.up.Recv()
		if err != nil {
			return err
		}
		if s.fault.AckAtOnce && response.GetAckedSeq() > 0 {
			continue // the first answer, which carries only credit, passes
		}
		acked = s.translate(response, acked)
		if s.fault.Response != nil {
			s.fault.Response(response)
		}
		if err := s.answer(response); err != nil {
			return err
		}
	}
}

// translate puts the gateway's numbers into an answer and returns what is acked now.
func (s *stream) translate(response *ingestv1.IngestResponse, acked uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, verdict := range response.GetVerdicts() {
		for _, p := range s.seqs {
			if p.forwarded == verdict.GetSeq() {
				verdict.Seq = p.original
			}
		}
	}
	for len(s.seqs) > 0 && s.seqs[0].forwarded <= response.GetAckedSeq() {
		acked = s.seqs[0].original
		s.seqs = s.seqs[1:]
	}
	response.AckedSeq = acked
	return acked
}
