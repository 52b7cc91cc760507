package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	ingestv1 "github.com/playhead-pipeline/playhead/proto/ingest/v1"
)

// maxPath is the longest field path of a verdict that is passed on. A path can hold a member name that a client made up.
const maxPath = 256

// errEnded says that the router ended the stream in good order, for example to be restarted.
var errEnded = errors.New("stream ended by the router")

// protocolError is a response that no correct router sends. The stream is given up.
type protocolError struct{ what string }

func (e *protocolError) Error() string { return "router broke the protocol: " + e.what }

// Run keeps a stream to the router until ctx ends. What is unacknowledged then stays unacknowledged: its senders send it again.
func (f *Forwarder) Run(ctx context.Context) error {
	delays := make(chan struct{})
	go func() {
		defer close(delays)
		f.runDelays(ctx)
	}()
	defer func() { <-delays }()
	backoff := f.p.Config.BackoffBase
	for ctx.Err() == nil {
		began, acked := f.p.Now(), f.acked()
		err := f.runStream(ctx)
		if ctx.Err() != nil {
			break
		}
		f.note(err)
		// A stream that did no good does not shorten the wait, or a router that answers and then fails would be sent everything
		// again and again.
		if f.acked() > acked || f.p.Now().Sub(began) > f.p.Config.BackoffMax {
			backoff = f.p.Config.BackoffBase
		}
		// Full jitter: gateways that lost the same router spread over the whole interval.
		if !wait(ctx, time.Duration(f.p.Jitter()*float64(backoff))) {
			break
		}
		backoff = min(2*backoff, f.p.Config.BackoffMax)
	}
	if status := f.Status(); status.InFlightBytes > 0 {
		f.p.Logger.Warn("stopping with unacknowledged events", "bytes", status.InFlightBytes)
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// note records the end of a stream.
func (f *Forwarder) note(err error) {
	f.mu.Lock()
	f.mu.lastErr = err.Error()
	f.mu.Unlock()
	f.p.Health.Fail(err.Error())
	f.metrics.reconnects.Inc()
	f.p.Logger.Warn("stream to the router lost", "error", err)
}

// runStream opens one stream and serves it to its end. Its error is never nil.
func (f *Forwarder) runStream(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	hello := time.AfterFunc(f.p.Config.HelloTimeout, func() {
		cancel(fmt.Errorf("no answer of the router within %v", f.p.Config.HelloTimeout))
	})
	defer hello.Stop()

	stream, err := f.p.Client.Ingest(ctx)
	if err != nil {
		return fmt.Errorf("open stream: %w", causeOf(ctx, err))
	}
	f.rewind()
	defer f.rewind()
	open := &ingestv1.Open{Gateway: f.p.Gateway, Epoch: f.p.Epoch}
	if err := stream.Send(&ingestv1.IngestRequest{Message: &ingestv1.IngestRequest_Open{Open: open}}); err != nil {
		return fmt.Errorf("open stream: %w", streamError(ctx, stream, err))
	}

	sender := make(chan struct{})
	go func() {
		defer close(sender)
		f.send(ctx, stream)
	}()
	err = f.receive(ctx, stream, func() { hello.Stop() })
	cancel(nil)
	<-sender
	return err
}

// rewind forgets the stream: whatever is unacknowledged is sent again on the next one, oldest first.
func (f *Forwarder) rewind() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.stream = streamState{}
	f.mu.next = 0
	for _, b := range f.mu.queue {
		b.verdicts = nil // they come again with the next ack
	}
}

func (f *Forwarder) acked() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.acked
}

// streamError returns why a Send did not work: it says EOF itself, the reason comes from Recv (grpc.ClientStream.SendMsg).
func streamError(ctx context.Context, stream ingestv1.IngestService_IngestClient, err error) error {
	if _, recvErr := stream.Recv(); recvErr != nil {
		err = recvErr
	}
	return causeOf(ctx, err)
}

// causeOf prefers the reason why ctx was cancelled over what gRPC made of it.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// send sends batches as credit allows until the stream ends.
func (f *Forwarder) send(ctx context.Context, stream ingestv1.IngestService_IngestClient) {
	for {
		b, resent := f.takeNext()
		if b == nil {
			select {
			case <-f.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		err := stream.Send(&ingestv1.IngestRequest{Message: &ingestv1.IngestRequest_Batch{Batch: &ingestv1.Batch{
			Seq:              b.seq,
			Tenant:           b.key.Tenant,
			Source:           b.key.Source,
			Encoding:         b.key.Encoding,
			Schema:           b.key.Schema,
			Count:            b.count,
			Events:           b.events,
			ReceivedAtMicros: b.opened.UnixMicro(),
		}}})
		if resent {
			f.metrics.resent.Inc()
		}
		if err != nil {
			return // the receiver sees the stream's end and its reason
		}
		f.retire(func(s *streamState) { s.returned = b.seq })
	}
}

// takeNext returns the next batch to send, nil when there is none or the credit is used up. A batch that is over the remaining credit
// waits, unless it is over any credit that the router will ever give: it goes when nothing else is out.
func (f *Forwarder) takeNext() (b *batch, resent bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &f.mu.stream
	if f.mu.next >= len(f.mu.queue) {
		return nil, false
	}
	b = f.mu.queue[f.mu.next]
	size := uint64(len(b.events))
	alone := s.sent == s.settled && s.sent < s.credit
	if s.sent+size > s.credit && !alone {
		f.metrics.creditWaits.Inc()
		return nil, false
	}
	f.mu.next++
	s.sent += size
	if s.firstSent == 0 {
		s.firstSent = b.seq
	}
	resent, b.sent = b.sent, true
	return b, resent
}

// receive applies the router's responses until the stream ends.
func (f *Forwarder) receive(ctx context.Context, stream ingestv1.IngestService_IngestClient, answered func()) error {
	first := true
	for {
		response, err := stream.Recv()
		if err != nil {
			err = causeOf(ctx, err)
			if errors.Is(err, io.EOF) {
				err = errEnded
			}
			return err
		}
		if first {
			first = false
			answered()
			f.p.Health.OK()
			f.p.Logger.Info("stream to the router open", "unacknowledged_batches", f.queued())
		}
		if err := f.apply(response); err != nil {
			f.metrics.protocolErrors.Inc()
			return err
		}
	}
}

func (f *Forwarder) queued() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.mu.queue)
}

// apply takes in one response.
func (f *Forwarder) apply(r *ingestv1.IngestResponse) error {
	if err := f.checkAndStore(r); err != nil {
		return err
	}
	f.retire(func(s *streamState) { s.acked = max(s.acked, r.GetAckedSeq()) })
	signal(f.wake) // more credit, or room for a large batch
	return nil
}

func (f *Forwarder) checkAndStore(r *ingestv1.IngestResponse) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &f.mu.stream
	s.live = true
	if r.GetCreditBytes() < s.credit {
		return &protocolError{fmt.Sprintf("credit fell from %d to %d", s.credit, r.GetCreditBytes())}
	}
	s.credit = r.GetCreditBytes()
	acked := r.GetAckedSeq()
	if acked == 0 && len(r.GetVerdicts()) == 0 {
		return nil
	}
	newest := f.mu.acked
	if f.mu.next > 0 {
		newest = f.mu.queue[f.mu.next-1].seq
	}
	if acked > newest || s.firstSent == 0 {
		return &protocolError{fmt.Sprintf("ack of batch %d, newest sent is %d", acked, newest)}
	}
	if acked > 0 && r.GetLevel() < ingestv1.Level_LEVEL_REPLICATED {
		return &protocolError{"ack at level " + r.GetLevel().String()}
	}
	for _, v := range r.GetVerdicts() {
		if err := f.storeVerdictLocked(v, acked); err != nil {
			return err
		}
	}
	return nil
}

func (f *Forwarder) storeVerdictLocked(v *ingestv1.Verdict, acked uint64) error {
	i := v.GetSeq() - f.mu.acked - 1
	if v.GetSeq() > acked || i >= uint64(f.mu.next) || v.GetIndex() >= f.mu.queue[i].count {
		return &protocolError{fmt.Sprintf("verdict on event %d of batch %d", v.GetIndex(), v.GetSeq())}
	}
	b := f.mu.queue[i]
	if uint32(len(b.verdicts)) >= b.count {
		return &protocolError{fmt.Sprintf("more verdicts than events of batch %d", v.GetSeq())}
	}
	path := v.GetPath()
	b.verdicts = append(b.verdicts, positioned{v.GetIndex(), causeName(v.GetCause()), path[:min(len(path), maxPath)]})
	f.metrics.verdicts.WithLabelValues(causeName(v.GetCause())).Inc()
	return nil
}

// retire updates the stream's state and settles the batches that are acknowledged and no longer in gRPC's hands. Both the sender and
// the receiver of a stream come here; settling is under no lock, so two runs of batches may be settled side by side.
func (f *Forwarder) retire(update func(*streamState)) {
	f.mu.Lock()
	s := &f.mu.stream
	update(s)
	n := 0
	for n < f.mu.next && f.mu.queue[n].seq <= min(s.acked, s.returned) {
		s.settled += uint64(len(f.mu.queue[n].events))
		n++
	}
	if n == 0 {
		f.mu.Unlock()
		return
	}
	done := make([]*batch, n)
	copy(done, f.mu.queue)
	rest := copy(f.mu.queue, f.mu.queue[n:])
	clear(f.mu.queue[rest:])
	f.mu.queue = f.mu.queue[:rest]
	f.mu.next -= n
	f.mu.acked = done[n-1].seq
	empty := rest == 0
	f.mu.Unlock()

	now := f.p.Now()
	for _, b := range done {
		charge := b.settle()
		f.budget.Release(charge)
		f.metrics.inFlight.Add(-charge)
		f.metrics.settled.Add(uint64(b.count))
		f.metrics.rejected.Add(uint64(len(b.verdicts)))
		f.metrics.latency.Observe(now.Sub(b.opened).Seconds())
		b.release()
	}
	if empty {
		signal(f.idle)
	}
}
