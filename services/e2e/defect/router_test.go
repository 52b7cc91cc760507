package defect

import (
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/playhead-pipeline/playhead/proto/ingest/v1"
)

// fakeRouter takes batches in order and answers what it is told, which is no ack of its own accord.
type fakeRouter struct {
	ingestv1.UnimplementedIngestServiceServer
	received chan *ingestv1.Batch
	answers  chan *ingestv1.IngestResponse // closed: the stream ends with code Aborted
}

func (f *fakeRouter) Ingest(stream ingestv1.IngestService_IngestServer) error {
	go func() {
		for {
			request, err := stream.Recv()
			if err != nil {
				return
			}
			if batch := request.GetBatch(); batch != nil {
				f.received <- batch
			}
		}
	}()
	for {
		select {
		case answer, ok := <-f.answers:
			if !ok {
				return status.Error(codes.Aborted, "as told")
			}
			if err := stream.Send(answer); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return nil
		}
	}
}

// startStream opens a stream through a proxy to a fake router, which gives a credit of 1000 bytes.
func startStream(t *testing.T, fault RouterFault) (*fakeRouter, ingestv1.IngestService_IngestClient) {
	t.Helper()
	router := &fakeRouter{received: make(chan *ingestv1.Batch, 16), answers: make(chan *ingestv1.IngestResponse, 16)}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	ingestv1.RegisterIngestServiceServer(server, router)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	proxy, err := NewRouter(listener.Addr().String(), fault)
	closed(t, proxy, err)
	conn, err := grpc.NewClient(proxy.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	closed(t, conn, err)
	stream, err := ingestv1.NewIngestServiceClient(conn).Ingest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	open := &ingestv1.IngestRequest{Message: &ingestv1.IngestRequest_Open{Open: &ingestv1.Open{Gateway: "g"}}}
	if err := stream.Send(open); err != nil {
		t.Fatal(err)
	}
	router.answers <- &ingestv1.IngestResponse{CreditBytes: 1000}
	if first := receive(t, stream); first.GetCreditBytes() != 1000 || first.GetAckedSeq() != 0 {
		t.Fatalf("first response: %v", first)
	}
	return router, stream
}

func receive(t *testing.T, stream ingestv1.IngestService_IngestClient) *ingestv1.IngestResponse {
	t.Helper()
	response, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return response
}

func sendBatch(t *testing.T, stream ingestv1.IngestService_IngestClient, seq uint64, events string) {
	t.Helper()
	batch := &ingestv1.Batch{Seq: seq, Count: 1, Events: []byte(events)}
	if err := stream.Send(&ingestv1.IngestRequest{Message: &ingestv1.IngestRequest_Batch{Batch: batch}}); err != nil {
		t.Fatal(err)
	}
}

// loseEach drops every n-th batch.
func loseEach(n int) func(*ingestv1.Batch) []*ingestv1.Batch {
	batches := 0
	return func(b *ingestv1.Batch) []*ingestv1.Batch {
		if batches++; batches%n == 0 {
			return nil
		}
		return []*ingestv1.Batch{b}
	}
}

func TestRouterAcksWhatItLoses(t *testing.T) {
	t.Parallel()
	router, stream := startStream(t, RouterFault{AckAtOnce: true, Request: loseEach(3)})
	lost := uint64(0)
	for seq := uint64(7); seq < 13; seq++ { // a stream may begin anywhere
		sendBatch(t, stream, seq, string(rune('a'+seq-7)))
		if seq == 9 || seq == 12 {
			lost++
		}
		want := &ingestv1.IngestResponse{CreditBytes: 1000 + lost, AckedSeq: seq, Level: ingestv1.Level_LEVEL_REPLICATED}
		if got := receive(t, stream); !proto.Equal(got, want) {
			t.Fatalf("answer to batch %d: %v, want %v", seq, got, want)
		}
	}
	for i, want := range []string{"a", "b", "d", "e"} {
		if got := <-router.received; got.GetSeq() != 1+uint64(i) || string(got.GetEvents()) != want {
			t.Errorf("router got batch %d with %q, want %d with %q", got.GetSeq(), got.GetEvents(), 1+i, want)
		}
	}
	router.answers <- &ingestv1.IngestResponse{CreditBytes: 2000, AckedSeq: 8, Level: ingestv1.Level_LEVEL_REPLICATED, Verdicts: []*ingestv1.Verdict{{Seq: 8}}}
	if got := receive(t, stream); got.GetCreditBytes() != 2002 || got.GetAckedSeq() != 12 || len(got.GetVerdicts()) != 0 {
		t.Errorf("after more credit: %v", got)
	}
}

func TestRouterWithoutFaultPassesOn(t *testing.T) {
	t.Parallel()
	router, stream := startStream(t, RouterFault{})
	for seq := uint64(1); seq <= 3; seq++ {
		sendBatch(t, stream, seq, "x")
		if got := <-router.received; got.GetSeq() != seq {
			t.Errorf("router got batch %d, want %d", got.GetSeq(), seq)
		}
	}
	want := &ingestv1.IngestResponse{
		CreditBytes: 1500, AckedSeq: 2, Level: ingestv1.Level_LEVEL_REPLICATED,
		Verdicts: []*ingestv1.Verdict{{Seq: 2, Cause: ingestv1.Cause_CAUSE_TOO_LARGE}},
	}
	router.answers <- want
	if got := receive(t, stream); !proto.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	close(router.answers)
	if _, err := stream.Recv(); status.Code(err) != codes.Aborted {
		t.Errorf("end of the stream: %v, want the router's", err)
	}
}
