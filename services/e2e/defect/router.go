package defect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
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
	// AckAtOnce acks batches before the router has seen them. Of the router's answers only the credit is then passed on: its verdicts come
	// after the acks that they belong to.
	AckAtOnce bool
	// Response may change an answer of the router.
	Response func(*ingestv1.IngestResponse)
}

// maxMessage is over the largest message that gateway and router exchange.
const maxMessage = 16 << 20

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
	r := &Router{
		fault: fault, upstream: upstream, listener: listener,
		server: grpc.NewServer(grpc.MaxRecvMsgSize(maxMessage), grpc.WaitForHandlers(true)),
	}
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
	ended := make(chan error, 2)
	go func() {
		if err := s.requests(); err != nil {
			ended <- err
		}
	}()
	go func() { ended <- s.answers() }()
	// The first error is the stream's, and so is the router's orderly end. What still runs ends with the two streams: the router's by cancel,
	// the gateway's by the return.
	return <-ended
}

// stream is one stream of the gateway and the proxy's own stream to the router.
type stream struct {
	fault RouterFault
	down  grpc.BidiStreamingServer[ingestv1.IngestRequest, ingestv1.IngestResponse]
	up    grpc.BidiStreamingClient[ingestv1.IngestRequest, ingestv1.IngestResponse]

	mu struct { // also serializes sends to down
		sync.Mutex
		seqs      []pair // of forwarded batches that the router has not acked, oldest first
		sent      uint64 // forwarded batches
		received  uint64 // bytes of events from the gateway
		forwarded uint64 // bytes of events to the router
		credit    uint64 // of the router
		given     uint64 // credit that the gateway was told; it must not fall
		acked     uint64 // newest batch of the gateway that it was told is acked
	}
}

// pair maps a forwarded batch's number to the gateway's.
type pair struct {
	forwarded, original uint64
	added               bool // the gateway knows nothing of it
}

// requests forwards what the gateway sends, until it has said all (nil).
func (s *stream) requests() error {
	for {
		request, err := s.down.Recv()
		if errors.Is(err, io.EOF) {
			return s.up.CloseSend()
		}
		if err != nil {
			return err
		}
		forward := []*ingestv1.IngestRequest{request}
		if batch := request.GetBatch(); batch != nil {
			if forward, err = s.batch(batch); err != nil {
				return err
			}
		}
		for _, request := range forward {
			if err := s.up.Send(request); err != nil {
				return err
			}
		}
	}
}

// batch returns what to forward for a batch.
func (s *stream) batch(batch *ingestv1.Batch) ([]*ingestv1.IngestRequest, error) {
	original, size := batch.GetSeq(), uint64(len(batch.GetEvents()))
	batches := []*ingestv1.Batch{batch}
	if s.fault.Request != nil {
		batches = s.fault.Request(batch)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.received += size
	var forward []*ingestv1.IngestRequest
	for _, b := range batches {
		s.mu.sent++
		s.mu.forwarded += uint64(len(b.GetEvents()))
		b.Seq = s.mu.sent
		s.mu.seqs = append(s.mu.seqs, pair{b.GetSeq(), original, b != batch})
		forward = append(forward, &ingestv1.IngestRequest{Message: &ingestv1.IngestRequest_Batch{Batch: b}})
	}
	if !s.fault.AckAtOnce {
		return forward, nil
	}
	s.mu.seqs = nil // their acks are not waited for
	s.mu.acked = original
	return forward, s.answer(&ingestv1.IngestResponse{Level: ingestv1.Level_LEVEL_REPLICATED})
}

// answers forwards what the router answers, with the gateway's own numbers, until it ends the stream (nil).
func (s *stream) answers() error {
	for {
		response, err := s.up.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.pass(response); err != nil {
			return err
		}
	}
}

func (s *stream) pass(response *ingestv1.IngestResponse) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.credit = response.GetCreditBytes()
	if s.fault.AckAtOnce {
		response.Verdicts = nil
		if s.mu.acked > 0 {
			response.Level = ingestv1.Level_LEVEL_REPLICATED
		}
	} else {
		s.translate(response)
	}
	if s.fault.Response != nil {
		s.fault.Response(response)
	}
	return s.answer(response)
}

// translate puts the gateway's numbers into an answer's verdicts and moves the ack; s.mu is held.
func (s *stream) translate(response *ingestv1.IngestResponse) {
	response.Verdicts = slices.DeleteFunc(response.Verdicts, func(verdict *ingestv1.Verdict) bool {
		i := slices.IndexFunc(s.mu.seqs, func(p pair) bool { return p.forwarded == verdict.GetSeq() })
		if i < 0 || s.mu.seqs[i].added {
			return true
		}
		verdict.Seq = s.mu.seqs[i].original
		return false
	})
	for len(s.mu.seqs) > 0 && s.mu.seqs[0].forwarded <= response.GetAckedSeq() {
		s.mu.acked = s.mu.seqs[0].original
		s.mu.seqs = s.mu.seqs[1:]
	}
}

// answer tells the gateway what is acked and its credit, which is the router's, moved by what the proxy took out or put in; s.mu is held.
func (s *stream) answer(response *ingestv1.IngestResponse) error {
	s.mu.given = max(s.mu.given, s.mu.credit+s.mu.received-s.mu.forwarded)
	response.CreditBytes, response.AckedSeq = s.mu.given, s.mu.acked
	return s.down.Send(response)
}
