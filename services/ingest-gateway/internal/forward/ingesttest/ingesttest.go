// Package ingesttest is a router for tests: a real gRPC server that speaks ingest/v1 and can hold acks back, refuse events, close its
// credit, and kill streams at any point. It checks the gateway's side of the protocol itself.
package ingesttest

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	ingestv1 "github.com/playhead-pipeline/playhead/proto/ingest/v1"
)

// DefaultWindow is the credit that a Router keeps open until SetWindow.
const DefaultWindow = 1 << 20

// Received is a batch as it came, on which stream, with its events cut apart.
type Received struct {
	Stream int // 1, 2 ...
	Batch  *ingestv1.Batch
	Events []string
}

// Router is a fake router.
type Router struct {
	ingestv1.UnimplementedIngestServiceServer
	t    testing.TB
	addr string

	mu struct {
		sync.Mutex
		held     bool
		silent   bool
		discard  bool
		window   uint64
		judge    func(event string) (ingestv1.Cause, string)
		streams  int
		received []Received
		opens    []*ingestv1.Open
		kill     chan struct{} // closed to end all streams
		changed  chan struct{} // closed at every change
	}
}

// New starts a router on loopback. It stops with the test.
func New(t testing.TB) *Router {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &Router{t: t, addr: listener.Addr().String()}
	r.mu.window = DefaultWindow
	r.mu.kill = make(chan struct{})
	r.mu.changed = make(chan struct{})
	server := grpc.NewServer(grpc.MaxRecvMsgSize(8<<20), grpc.WaitForHandlers(true))
	ingestv1.RegisterIngestServiceServer(server, r)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // ends with Stop
	}()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	return r
}

// Addr returns the address.
func (r *Router) Addr() string { return r.addr }

// Client returns a client of the router, closed with the test.
func (r *Router) Client() ingestv1.IngestServiceClient {
	conn, err := grpc.NewClient(r.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	return ingestv1.NewIngestServiceClient(conn)
}

// Hold keeps acks back from now on; batches are still taken in. Release sends what was kept.
func (r *Router) Hold() { r.change(func() { r.mu.held = true }) }

// Release ends Hold.
func (r *Router) Release() { r.change(func() { r.mu.held = false }) }

// Silence keeps back even the first response of new streams. Speak ends it.
func (r *Router) Silence() { r.change(func() { r.mu.silent = true }) }

// Speak ends Silence.
func (r *Router) Speak() { r.change(func() { r.mu.silent = false }) }

// Discard forgets batches as soon as they are acknowledged, for benchmarks; Received and Wait do not see them.
func (r *Router) Discard() { r.change(func() { r.mu.discard = true }) }

// SetWindow sets the bytes of credit kept open beyond what is acknowledged.
func (r *Router) SetWindow(n uint64) { r.change(func() { r.mu.window = n }) }

// Judge sets who decides about events: a cause other than 0 refuses. It may be nil.
func (r *Router) Judge(judge func(event string) (ingestv1.Cause, string)) {
	r.change(func() { r.mu.judge = judge })
}

// Kill ends all open streams with an error; what was received on them and not acknowledged is as good as lost.
func (r *Router) Kill() {
	r.change(func() {
		close(r.mu.kill)
		r.mu.kill = make(chan struct{})
	})
}

// Received returns all batches so far, on all streams.
func (r *Router) Received() []Received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.mu.received)
}

// Opens returns the Open of each stream so far.
func (r *Router) Opens() []*ingestv1.Open {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.mu.opens)
}

// Wait waits until ok holds for what was received, and fails the test after ten seconds.
func (r *Router) Wait(what string, ok func([]Received) bool) []Received {
	r.t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		r.mu.Lock()
		changed, received := r.mu.changed, slices.Clone(r.mu.received)
		r.mu.Unlock()
		if ok(received) {
			return received
		}
		select {
		case <-changed:
		case <-deadline:
			r.t.Fatalf("router waited in vain for %s; %d batches received", what, len(received))
		}
	}
}

// WaitEvents waits until n events have been received, resent ones counted again.
func (r *Router) WaitEvents(n int) []Received {
	r.t.Helper()
	return r.Wait(fmt.Sprintf("%d events", n), func(all []Received) bool { return len(Events(all)) >= n })
}

// Events returns the events of batches in the order of arrival.
func Events(all []Received) []string {
	var events []string
	for _, b := range all {
		events = append(events, b.Events...)
	}
	return events
}

func (r *Router) change(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	close(r.mu.changed)
	r.mu.changed = make(chan struct{})
}

// stream is one call of Ingest. Its fields are under Router.mu.
type stream struct {
	number   int
	seq      uint64 // newest batch received
	bytes    uint64 // of its batches and all before
	verdicts []*ingestv1.Verdict
	granted  uint64
}

// Ingest implements the service.
func (r *Router) Ingest(call ingestv1.IngestService_IngestServer) error {
	request, err := call.Recv()
	if err != nil {
		return err
	}
	s := &stream{}
	var kill chan struct{}
	r.change(func() {
		r.mu.streams++
		s.number = r.mu.streams
		r.mu.opens = append(r.mu.opens, request.GetOpen())
		kill = r.mu.kill
	})
	if request.GetOpen() == nil {
		r.t.Errorf("the first message of stream %d is not Open", s.number)
		return status.Error(codes.InvalidArgument, "no open")
	}
	ctx, cancel := context.WithCancel(call.Context())
	answers := make(chan struct{})
	go func() {
		defer close(answers)
		r.answer(ctx, call, s)
	}()
	ended := make(chan error, 1)
	go func() { ended <- r.receive(call, s) }() // ends with the call
	select {
	case err = <-ended:
	case <-kill:
		err = status.Error(codes.Unavailable, "killed by the test")
	}
	cancel()
	<-answers
	return err
}

func (r *Router) receive(call ingestv1.IngestService_IngestServer, s *stream) error {
	for {
		request, err := call.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		b := request.GetBatch()
		events, err := split(b)
		if err != nil {
			r.t.Errorf("batch %d: %v", b.GetSeq(), err)
			return status.Error(codes.InvalidArgument, err.Error())
		}
		r.change(func() {
			if s.seq != 0 && b.GetSeq() != s.seq+1 {
				r.t.Errorf("stream %d: batch %d after %d", s.number, b.GetSeq(), s.seq)
			}
			if s.bytes+uint64(len(b.GetEvents())) > s.granted && s.bytes >= s.granted {
				r.t.Errorf("stream %d: batch %d beyond the credit of %d", s.number, b.GetSeq(), s.granted)
			}
			s.seq = b.GetSeq()
			s.bytes += uint64(len(b.GetEvents()))
			for i, event := range events {
				if r.mu.judge == nil {
					break
				}
				if cause, path := r.mu.judge(event); cause != 0 {
					s.verdicts = append(s.verdicts, &ingestv1.Verdict{Seq: s.seq, Index: uint32(i), Cause: cause, Path: path})
				}
			}
			if r.mu.discard {
				return
			}
			r.mu.received = append(r.mu.received, Received{Stream: s.number, Batch: b, Events: events})
		})
	}
}

// answer sends a response whenever one is due.
func (r *Router) answer(ctx context.Context, call ingestv1.IngestService_IngestServer, s *stream) {
	var sent ingestv1.IngestResponse
	var ackedBytes uint64
	first := true
	for {
		r.mu.Lock()
		changed := r.mu.changed
		acked := sent.GetAckedSeq()
		var verdicts []*ingestv1.Verdict
		if !r.mu.held && !r.mu.silent && s.seq > acked {
			acked, ackedBytes = s.seq, s.bytes
			verdicts, s.verdicts = s.verdicts, nil
		}
		s.granted = max(s.granted, ackedBytes+r.mu.window)
		due := !r.mu.silent && (first || acked > sent.GetAckedSeq() || s.granted > sent.GetCreditBytes())
		granted := s.granted
		r.mu.Unlock()
		if due {
			first = false
			sent.AckedSeq, sent.CreditBytes = acked, granted
			response := &ingestv1.IngestResponse{CreditBytes: granted, AckedSeq: acked, Level: ingestv1.Level_LEVEL_REPLICATED, Verdicts: verdicts}
			if err := call.Send(response); err != nil {
				return
			}
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// split cuts a batch into its events.
func split(b *ingestv1.Batch) ([]string, error) {
	var events []string
	for rest := b.GetEvents(); len(rest) > 0; {
		length, n := binary.Uvarint(rest)
		if n <= 0 || length > uint64(len(rest)-n) {
			return nil, fmt.Errorf("event %d is cut", len(events))
		}
		events = append(events, string(rest[n:n+int(length)]))
		rest = rest[n+int(length):]
	}
	if uint32(len(events)) != b.GetCount() || b.GetCount() == 0 {
		return nil, fmt.Errorf("count is %d, events are %d", b.GetCount(), len(events))
	}
	return events, nil
}
