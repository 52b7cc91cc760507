package forward

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	ingestv1 "github.com/playhead-pipeline/playhead/proto/ingest/v1"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/forward/ingesttest"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/frame"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/handoff"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testKey = handoff.Key{Tenant: "t", Source: "client", Encoding: ingestv1.Encoding_ENCODING_JSON, Schema: "s"}

// check is a readiness check that can be waited for.
type check struct{ states chan string }

func (c check) OK()           { c.states <- "" }
func (c check) Fail(r string) { c.states <- r }

// sender records what it is told.
type sender struct {
	mu       sync.Mutex
	settled  map[uint64]int
	rejected map[uint64][]handoff.Verdict
	changed  chan struct{}
}

func newSender() *sender {
	return &sender{settled: map[uint64]int{}, rejected: map[uint64][]handoff.Verdict{}, changed: make(chan struct{}, 1)}
}

func (s *sender) Settled(seq uint64, events int, rejected []handoff.Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settled[seq] += events
	s.rejected[seq] = append(s.rejected[seq], rejected...)
	signal(s.changed)
}

func (s *sender) total() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for events := range maps.Values(s.settled) {
		n += events
	}
	return n
}

func (s *sender) wait(t *testing.T, events int) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for s.total() < events {
		select {
		case <-s.changed:
		case <-deadline:
			t.Fatalf("%d of %d events settled", s.total(), events)
		}
	}
}

func config() Config {
	return Config{
		MaxBatchBytes: 1 << 10, MaxBatchDelay: time.Millisecond, MaxOpen: 4, MaxInFlight: 1 << 20,
		BackoffBase: time.Millisecond, BackoffMax: 10 * time.Millisecond, HelloTimeout: 5 * time.Second,
	}
}

// start runs a Forwarder towards router until the test ends.
func start(t *testing.T, router *ingesttest.Router, cfg Config) (*Forwarder, check) {
	t.Helper()
	health := check{states: make(chan string, 1000)}
	f, err := New(Params{
		Config: cfg, Client: router.Client(), Gateway: "gw", Epoch: 42, Health: health,
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return f, health
}

// submit sends one message of the events given.
func submit(t *testing.T, f *Forwarder, key handoff.Key, s handoff.Sender, seq uint64, events ...string) {
	t.Helper()
	m := handoff.Message{Key: key, Seq: seq, Sender: s}
	for _, event := range events {
		m.Events = append(m.Events, frame.Span{Offset: uint32(len(m.Data)), Length: uint32(len(event))})
		m.Data = append(m.Data, event...)
	}
	m.Charge = handoff.Charge(len(m.Data), len(events))
	if err := f.Reserve(t.Context(), m.Charge); err != nil {
		t.Fatal(err)
	}
	f.Submit(m)
	clear(m.Data) // Submit has copied what it needs
}

func numbered(from, n, size int) []string {
	events := make([]string, n)
	for i := range events {
		events[i] = fmt.Sprintf("%0*d", size, from+i)
	}
	return events
}

func TestNothingIsSettledBeforeTheRouterAcks(t *testing.T) {
	t.Parallel()
	router := ingesttest.New(t)
	router.Hold()
	f, _ := start(t, router, config())
	s := newSender()
	submit(t, f, testKey, s, 1, "a", "b")
	received := router.WaitEvents(2)
	if s.total() != 0 {
		t.Fatal("settled before the ack")
	}
	if b := received[0].Batch; b.GetTenant() != "t" || b.GetSource() != "client" || b.GetSchema() != "s" || b.GetReceivedAtMicros() == 0 || b.GetSeq() != 1 {
		t.Errorf("batch %v", b)
	}
	if status := f.Status(); status.InFlightBytes != handoff.Charge(2, 2) || !status.Connected || status.SentSeq != 1 || status.AckedSeq != 0 {
		t.Errorf("status %+v", status)
	}
	router.Release()
	s.wait(t, 2)
	if err := f.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status := f.Status(); status.InFlightBytes != 0 || status.AckedSeq != 1 || status.EventsReceived != 2 || status.EventsSettled != 2 {
		t.Errorf("status %+v", status)
	}
}

func TestResendAfterLossIsTheSame(t *testing.T) {
	t.Parallel()
	router := ingesttest.New(t)
	f, _ := start(t, router, config())
	s := newSender()
	submit(t, f, testKey, s, 1, numbered(0, 1, 10)...)
	s.wait(t, 1)

	router.Hold()
	submit(t, f, testKey, s, 2, numbered(100, 200, 50)...) // several batches
	router.WaitEvents(1 + 200)
	first := router.Received()
	router.Kill()
	second := router.WaitEvents(1 + 200 + 200)[len(first):]
	router.Release()
	s.wait(t, 201)

	first = first[1:] // the acknowledged batch is not sent again
	if len(first) < 5 || len(first) != len(second) {
		t.Fatalf("%d batches, then %d", len(first), len(second))
	}
	for i := range first {
		a, b := first[i].Batch, second[i].Batch
		if a.GetSeq() != b.GetSeq() || string(a.GetEvents()) != string(b.GetEvents()) || a.GetReceivedAtMicros() != b.GetReceivedAtMicros() {
			t.Errorf("batch %d came again as %d, or changed", a.GetSeq(), b.GetSeq())
		}
	}
	for _, open := range router.Opens() {
		if open.GetEpoch() != 42 || open.GetGateway() != "gw" {
			t.Errorf("open %v", open)
		}
	}
}

// TestKillAtEveryBatch loses the stream at each point of a run; every event is settled exactly once, and the router saw each.
func TestKillAtEveryBatch(t *testing.T) {
	t.Parallel()
	router := ingesttest.New(t)
	f, _ := start(t, router, config())
	s := newSender()
	const messages, perMessage = 30, 40
	for seq := range uint64(messages) {
		if seq%3 == 1 {
			router.Hold()
		}
		submit(t, f, testKey, s, seq+1, numbered(int(seq)*perMessage, perMessage, 60)...)
		router.Wait("the message", func(all []ingesttest.Received) bool {
			return slices.Contains(ingesttest.Events(all), numbered(int(seq)*perMessage+perMessage-1, 1, 60)[0])
		})
		if seq%3 == 2 {
			router.Kill()
			router.Release()
		}
	}
	s.wait(t, messages*perMessage)
	for seq, n := range s.settled {
		if n != perMessage {
			t.Errorf("message %d: %d events settled, want %d", seq, n, perMessage)
		}
	}
	if status := f.Status(); status.InFlightBytes != 0 {
		t.Errorf("%d bytes still in flight", status.InFlightBytes)
	}
}

func TestVerdictsFindTheirMessage(t *testing.T) {
	t.Parallel()
	router := ingesttest.New(t)
	router.Judge(func(event string) (ingestv1.Cause, string) {
		if strings.HasPrefix(event, "bad") {
			return ingestv1.Cause_CAUSE_TYPE_MISMATCH, "path." + event
		}
		return 0, ""
	})
	cfg := config()
	cfg.MaxBatchBytes = 40 // messages are spread over batches, and batches hold parts of several messages
	f, _ := start(t, router, cfg)
	a, b := newSender(), newSender()
	submit(t, f, testKey, a, 7, "good", "bad1", "good", "good", "good", "good", "good", "good", "bad8")
	submit(t, f, testKey, b, 1, "bad0", "good")
	submit(t, f, testKey, a, 8, "good", "good", "bad2")
	a.wait(t, 12)
	b.wait(t, 2)
	want := map[uint64][]handoff.Verdict{
		7: {{Index: 1, Cause: "TYPE_MISMATCH", Path: "path.bad1"}, {Index: 8, Cause: "TYPE_MISMATCH", Path: "path.bad8"}},
		8: {{Index: 2, Cause: "TYPE_MISMATCH", Path: "path.bad2"}},
	}
	if !maps.EqualFunc(a.rejected, want, slices.Equal[[]handoff.Verdict]) {
		t.Errorf("a: %v", a.rejected)
	}
	if got := b.rejected[1]; !slices.Equal(got, []handoff.Verdict{{Index: 0, Cause: "TYPE_MISMATCH", Path: "path.bad0"}}) {
		t.Errorf("b: %v", got)
	}
	if status := f.Status(); status.EventsRejected != 4 {
		t.Errorf("status %+v", status)
	}
}

func TestBatchesByKeyAndSize(t *testing.T) {
	t.Parallel()
	router := ingesttest.New(t)
	cfg := config()
	f, _ := start(t, router, cfg)
	s := newSender()
	keys := make([]handoff.Key, 10) // more than may be open at once
	for i := range keys {
		keys[i] = testKey
		keys[i].Schema = fmt.Sprint("schema", i)
	}
	var seq uint64
	events := 0
	for round := range 20 {
		for _, key := range keys {
			seq++
			submit(t, f, key, s, seq, numbered(round, 1+round, 100)...)
			events += 1 + round
		}
	}
	seq++
	submit(t, f, testKey, s, seq, "small", strings.Repeat("x", 5000), "small")
	s.wait(t, events+3)
	for _, r := range router.Received() {
		if n := len(r.Batch.GetEvents()); n > cfg.MaxBatchBytes && len(r.Events) > 1 {
			t.Errorf("batch %d has %d bytes in %d events", r.Batch.GetSeq(), n, len(r.Events))
		}
	}
	if got := len(ingesttest.Events(router.Received())); got != events+3 {
		t.Errorf("router received %d events, want %d", got, events+3)
	}
}

func TestCreditIsKept(t *testing.T) {
	t.Parallel()
	router := ingesttest.New(t)
	router.SetWindow(300)
	router.Hold()
	f, _ := start(t, router, config())
	s := newSender()
	for seq := range uint64(10) {
		submit(t, f, testKey, s, seq+1, numbered(0, 1, 99)...)
		if seq < 3 { // 100 bytes each: three fill the window
			router.WaitEvents(int(seq) + 1)
		}
	}
	if status := f.Status(); status.CreditLeft != 0 || status.SentSeq != 3 {
		t.Errorf("status %+v", status)
	}
	if got := len(ingesttest.Events(router.Received())); got != 3 {
		t.Errorf("%d events sent on credit for 3", got)
	}
	router.Release()
	s.wait(t, 10)
	// One that is over any credit goes alone.
	submit(t, f, testKey, s, 11, strings.Repeat("x", 2000))
	s.wait(t, 11)
}

func TestRouterThatNeverAnswersIsLeft(t *testing.T) {
	t.Parallel()
	router := ingesttest.New(t)
	router.Silence()
	cfg := config()
	cfg.HelloTimeout = 20 * time.Millisecond
	f, health := start(t, router, cfg)
	if state := <-health.states; !strings.Contains(state, "no answer") {
		t.Errorf("health %q", state)
	}
	if f.Status().Connected {
		t.Error("connected to a silent router")
	}
	router.Speak()
	for state := range health.states {
		if state == "" {
			break
		}
	}
	s := newSender()
	submit(t, f, testKey, s, 1, "a")
	s.wait(t, 1)
}

func TestReserve(t *testing.T) {
	t.Parallel()
	router := ingesttest.New(t)
	router.Hold()
	cfg := config()
	cfg.MaxInFlight = 200
	f, _ := start(t, router, cfg)
	s := newSender()
	submit(t, f, testKey, s, 1, strings.Repeat("x", 36), "") // charge 164
	if f.TryReserve(37) {
		t.Fatal("over the budget")
	}
	if err := f.Reserve(t.Context(), 201); err == nil {
		t.Fatal("more than the whole budget")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := f.Reserve(ctx, 37); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("reserve: %v", err)
	}
	router.WaitEvents(2)
	router.Release()
	if err := f.Reserve(t.Context(), 200); err != nil {
		t.Fatal(err)
	}
	if f.Status().InFlightBytes != 200 {
		t.Errorf("status %+v", f.Status())
	}
}

func TestDrainGivesUp(t *testing.T) {
	t.Parallel()
	router := ingesttest.New(t)
	router.Hold()
	f, _ := start(t, router, config())
	submit(t, f, testKey, newSender(), 1, "a")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := f.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("drain: %v", err)
	}
}

// TestRouterBreaksTheProtocol applies responses that no correct router sends.
func TestRouterBreaksTheProtocol(t *testing.T) {
	t.Parallel()
	replicated := ingestv1.Level_LEVEL_REPLICATED
	for name, response := range map[string]*ingestv1.IngestResponse{
		"credit falls":          {CreditBytes: 99},
		"ack of the unsent":     {CreditBytes: 100, AckedSeq: 2, Level: replicated},
		"ack without level":     {CreditBytes: 100, AckedSeq: 1},
		"verdict of the future": {CreditBytes: 100, AckedSeq: 1, Level: replicated, Verdicts: []*ingestv1.Verdict{{Seq: 2}}},
		"verdict before ack":    {CreditBytes: 100, Verdicts: []*ingestv1.Verdict{{Seq: 1}}},
		"verdict out of range":  {CreditBytes: 100, AckedSeq: 1, Level: replicated, Verdicts: []*ingestv1.Verdict{{Seq: 1, Index: 1}}},
		"verdicts twice":        {CreditBytes: 100, AckedSeq: 1, Level: replicated, Verdicts: []*ingestv1.Verdict{{Seq: 1}, {Seq: 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := New(Params{Config: config(), Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
			if err != nil {
				t.Fatal(err)
			}
			s := newSender()
			submit(t, f, testKey, s, 1, "a")
			f.sealOlder(time.Now())
			if err := f.apply(&ingestv1.IngestResponse{CreditBytes: 100}); err != nil {
				t.Fatal(err)
			}
			f.takeNext()
			var broken *protocolError
			if err := f.apply(response); !errors.As(err, &broken) {
				t.Errorf("error %v", err)
			}
			if s.total() != 0 {
				t.Error("something was settled")
			}
		})
	}
}

// TestAckBeforeSendReturns: the bytes of a batch are not given up while gRPC may still read them.
func TestAckBeforeSendReturns(t *testing.T) {
	t.Parallel()
	f, err := New(Params{Config: config(), Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	s := newSender()
	submit(t, f, testKey, s, 1, "a")
	f.sealOlder(time.Now())
	if err := f.apply(&ingestv1.IngestResponse{CreditBytes: 100}); err != nil {
		t.Fatal(err)
	}
	b, _ := f.takeNext()
	if err := f.apply(&ingestv1.IngestResponse{CreditBytes: 100, AckedSeq: 1, Level: ingestv1.Level_LEVEL_REPLICATED}); err != nil {
		t.Fatal(err)
	}
	if s.total() != 0 || string(b.events) != "\x01a" {
		t.Fatal("settled while being sent")
	}
	f.retire(func(state *streamState) { state.returned = 1 })
	if s.total() != 1 {
		t.Fatal("not settled after the send")
	}
}
