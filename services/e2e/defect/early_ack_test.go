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
func startStream(t *testing.T, loseEach uint64) (*fakeRouter, ingestv1.IngestService_IngestClient) {
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
	proxy := must[*EarlyAck](t)(NewEarlyAck(func() (string, error) { return listener.Addr().String(), nil }, loseEach))
	serve(t, proxy)
	conn := must[*grpc.ClientConn](t)(grpc.NewClient(proxy.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials())))
	t.Cleanup(func() { _ = conn.Close() })
	stream := must[ingestv1.IngestService_IngestClient](t)(ingestv1.NewIngestServiceClient(conn).Ingest(t.Context()))
	open := &ingestv1.IngestRequest{Message: &ingestv1.IngestRequest_Open{Open: &ingestv1.Open{Gateway: "g"}}}
	if err := stream.Send(open); err != nil {
		t.Fatal(err)
	}
	router.answers <- &ingestv1.IngestResponse{CreditBytes: 1000}
	if first := must[*ingestv1.IngestResponse](t)(stream.Recv()); first.GetCreditBytes() != 1000 || first.GetAckedSeq() != 0 {
		t.Fatalf("first response: %v", first)
	}
	return router, stream
}

func sendBatch(t *testing.T, stream ingestv1.IngestService_IngestClient, seq uint64, events string) {
	t.Helper()
	batch := &ingestv1.Batch{Seq: seq, Count: 1, Events: []byte(events)}
	if err := stream.Send(&ingestv1.IngestRequest{Message: &ingestv1.IngestRequest_Batch{Batch: batch}}); err != nil {
		t.Fatal(err)
	}
}

func TestEarlyAckLosesAckedBatches(t *testing.T) {
	t.Parallel()
	router, stream := startStream(t, 3)
	lost := uint64(0)
	for seq := uint64(7); seq < 13; seq++ { // a stream may begin anywhere
		sendBatch(t, stream, seq, string(rune('a'+seq-7)))
		if seq == 9 || seq == 12 {
			lost++
		}
		want := &ingestv1.IngestResponse{CreditBytes: 1000 + lost, AckedSeq: seq, Level: ingestv1.Level_LEVEL_REPLICATED}
		if got := must[*ingestv1.IngestResponse](t)(stream.Recv()); !proto.Equal(got, want) {
			t.Fatalf("answer to batch %d: %v, want %v", seq, got, want)
		}
	}
	for i, want := range []string{"a", "b", "d", "e"} {
		if got := <-router.received; got.GetSeq() != 7+uint64(i) || string(got.GetEvents()) != want {
			t.Errorf("router got batch %d with %q, want %d with %q", got.GetSeq(), got.GetEvents(), 7+i, want)
		}
	}
	router.answers <- &ingestv1.IngestResponse{CreditBytes: 2000, AckedSeq: 8, Level: ingestv1.Level_LEVEL_REPLICATED, Verdicts: []*ingestv1.Verdict{{Seq: 8}}}
	if got := must[*ingestv1.IngestResponse](t)(stream.Recv()); got.GetCreditBytes() != 2002 || got.GetAckedSeq() != 12 || len(got.GetVerdicts()) != 0 {
		t.Errorf("after more credit: %v", got)
	}
}

func TestEarlyAckWithoutDefectPassesOn(t *testing.T) {
	t.Parallel()
	router, stream := startStream(t, 0)
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
	if got := must[*ingestv1.IngestResponse](t)(stream.Recv()); !proto.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	close(router.answers)
	if _, err := stream.Recv(); status.Code(err) != codes.Aborted {
		t.Errorf("end of the stream: %v, want the router's", err)
	}
}
