package defect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"google.golang.org/grpc"

	ingestv1 "github.com/playhead-pipeline/playhead/proto/ingest/v1"
	"github.com/playhead-pipeline/playhead/services/internal/rpcserver"
)

// EarlyAck stands between gateway and router and acks batches before they are produced: each at once, as replicated. Of those it forwards all
// but some. The router's verdicts come after the acks that they belong to, so they are dropped.
type EarlyAck struct {
	ingestv1.UnimplementedIngestServiceServer
	router   func() (string, error)
	loseEach uint64
	listener net.Listener
	server   *grpc.Server
}

// NewEarlyAck binds a port of loopback. router returns the router's address and is asked at every stream; every loseEach-th batch is acked
// and not forwarded. With loseEach 0 there is no defect: everything passes as it is, acks too.
func NewEarlyAck(router func() (string, error), loseEach uint64) (*EarlyAck, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	p := &EarlyAck{
		router: router, loseEach: loseEach, listener: listener,
		server: grpc.NewServer(grpc.MaxRecvMsgSize(rpcserver.DefaultMaxRecvBytes), grpc.WaitForHandlers(true)),
	}
	ingestv1.RegisterIngestServiceServer(p.server, p)
	return p, nil
}

// Addr returns the address that the gateway is to dial.
func (p *EarlyAck) Addr() string { return p.listener.Addr().String() }

// Run serves until ctx ends.
func (p *EarlyAck) Run(ctx context.Context) error {
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		p.server.Stop()
	})
	err := p.server.Serve(p.listener)
	if !stop() {
		<-stopped
	}
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// Ingest implements ingestv1.IngestServiceServer.
func (p *EarlyAck) Ingest(gateway ingestv1.IngestService_IngestServer) error {
	address, err := p.router()
	if err != nil {
		return err
	}
	conn, err := rpcserver.NewClient(rpcserver.ClientConfig{Address: address})
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(gateway.Context())
	defer cancel()
	router, err := ingestv1.NewIngestServiceClient(conn).Ingest(ctx)
	if err != nil {
		return err
	}
	s := &ackStream{loseEach: p.loseEach, gateway: gateway, router: router}
	ended := make(chan error, 2)
	go func() {
		if err := s.requests(); err != nil {
			ended <- err
		}
	}()
	go func() { ended <- s.responses() }()
	// The first error is the stream's, and so is the router's orderly end. What still runs ends with the two streams: the router's by cancel,
	// the gateway's by the return.
	return <-ended
}

// ackStream is one stream of the gateway and its counterpart at the router.
type ackStream struct {
	loseEach uint64
	gateway  ingestv1.IngestService_IngestServer
	router   ingestv1.IngestService_IngestClient

	mu struct { // also serializes sending to the gateway
		sync.Mutex
		batches uint64 // of the gateway
		skipped uint64 // batches that the router never sees
		lost    uint64 // bytes of events in them
		credit  uint64 // that the router gave
		acked   uint64 // newest batch that the gateway was told is replicated
	}
}

// requests forwards what the gateway sends, until it has said all (nil).
func (s *ackStream) requests() error {
	for {
		request, err := s.gateway.Recv()
		if errors.Is(err, io.EOF) {
			return s.router.CloseSend()
		}
		if err != nil {
			return err
		}
		if batch := request.GetBatch(); batch != nil && s.loseEach > 0 {
			lose, err := s.ackAtOnce(batch)
			if err != nil {
				return err
			}
			if lose {
				continue
			}
		}
		if err := s.router.Send(request); err != nil {
			return err
		}
	}
}

// ackAtOnce acks a batch and tells whether to lose it. A batch that goes on gets the number that the router expects next: a hole would tell
// on us.
func (s *ackStream) ackAtOnce(batch *ingestv1.Batch) (lose bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.batches++
	s.mu.acked = batch.GetSeq()
	if lose = s.mu.batches%s.loseEach == 0; lose {
		s.mu.skipped++
		s.mu.lost += uint64(len(batch.GetEvents()))
	}
	batch.Seq -= s.mu.skipped
	return lose, s.answer()
}

// responses forwards what the router says, its credit alone when the acks are ours.
func (s *ackStream) responses() error {
	for {
		response, err := s.router.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if s.loseEach == 0 {
			err = s.gateway.Send(response)
		} else {
			err = s.giveCredit(response.GetCreditBytes())
		}
		if err != nil {
			return err
		}
	}
}

func (s *ackStream) giveCredit(credit uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.credit = credit
	return s.answer()
}

// answer tells the gateway its credit and acks; s.mu is held. Lost bytes never reach the router, so its credit does not cover them.
func (s *ackStream) answer() error {
	response := &ingestv1.IngestResponse{CreditBytes: s.mu.credit + s.mu.lost, AckedSeq: s.mu.acked}
	if s.mu.acked > 0 {
		response.Level = ingestv1.Level_LEVEL_REPLICATED
	}
	return s.gateway.Send(response)
}
