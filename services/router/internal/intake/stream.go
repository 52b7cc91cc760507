package intake

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	ingestv1 "github.com/playhead-pipeline/playhead/proto/ingest/v1"
	"github.com/playhead-pipeline/playhead/services/internal/apierr"
	"github.com/playhead-pipeline/playhead/services/router/internal/prepare"
)

const (
	// maxBatchEvents bounds the verdicts of one batch to what a gateway takes in one message.
	maxBatchEvents = 400_000
	// maxNameBytes bounds tenant, source and schema names, which are copied into every event or its headers.
	maxNameBytes = 256
	// maxVerdicts bounds how many verdicts are gathered over several batches into one response.
	maxVerdicts = 8192
	// What a batch is charged with besides its bytes, which are there twice: as received, and as records.
	chargePerEvent = 256
)

// stream is one stream of a gateway. Three kinds of goroutines use it: one that receives, one that sends, and one per batch under way, of
// which there are as many as the window allows.
type stream struct {
	server *Server
	ctx    context.Context
	notify chan struct{} // of capacity 1: there is something to send
	ended  chan error    // of capacity 1: receiving has ended; nil when the gateway has nothing more to send
	wg     sync.WaitGroup

	mu struct {
		sync.Mutex
		jobs []*job // not acknowledged, in the order of their numbers
		// acked is the number and ackedBytes the size of everything acknowledged.
		acked      uint64
		ackedBytes uint64
		refuseNew  bool
	}

	// lanes holds the jobs that were not handed on. Its lock is held while records are copied, which must not hold up the producer's loop
	// when it reports what is done; neither lock is taken inside the other.
	lanes struct {
		sync.Mutex
		byKey map[string]*lane
	}

	// Of the receiver.
	lastSeq  uint64
	received uint64 // bytes
}

// lane keeps the order of one tenant's and source's batches.
type lane struct{ jobs []*job }

func newStream(s *Server, ctx context.Context) *stream {
	st := &stream{server: s, ctx: ctx, notify: make(chan struct{}, 1), ended: make(chan error, 1)}
	st.lanes.byKey = make(map[string]*lane)
	return st
}

// receive takes batches until the stream ends, then waits for the work on them and lets go of what was not handed on.
func (st *stream) receive(in ingestv1.IngestService_IngestServer) {
	for {
		req, err := in.Recv()
		if err == nil {
			err = st.take(req)
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			st.ended <- err
			break
		}
	}
	st.wg.Wait()
	st.abandon()
}

// take checks a batch and starts the work on it. An error ends the stream.
func (st *stream) take(req *ingestv1.IngestRequest) error {
	b := req.GetBatch()
	if b == nil {
		return apierr.New(apierr.Invalid, "expected a batch")
	}
	events, err := st.check(b)
	if err != nil {
		return err
	}
	charge := min(2*int64(len(b.GetEvents()))+chargePerEvent*int64(len(events)), int64(st.server.p.Config.BudgetBytes))
	if err := st.server.budget.Acquire(st.ctx, charge); err != nil {
		return err
	}
	st.server.metrics.inFlight.Add(float64(charge))
	j := &job{
		stream: st, seq: b.GetSeq(), bytes: len(b.GetEvents()), charge: charge, count: len(events),
		batch: prepare.Batch{
			Tenant: b.GetTenant(), Source: b.GetSource(), Schema: b.GetSchema(), JSON: b.GetEncoding() == ingestv1.Encoding_ENCODING_JSON,
			Events: events, ReceivedAtMicros: b.GetReceivedAtMicros(),
		},
	}
	if !st.enqueue(j) {
		j.free()
		return nil // the stream is being drained; the gateway sends it again elsewhere
	}
	st.server.metrics.received(len(events))
	st.wg.Go(j.work)
	return nil
}

// check applies the rules of the protocol.
func (st *stream) check(b *ingestv1.Batch) ([][]byte, error) {
	if b.GetSeq() == 0 || st.lastSeq > 0 && b.GetSeq() != st.lastSeq+1 {
		return nil, apierr.New(apierr.Invalid, "batch %d follows batch %d", b.GetSeq(), st.lastSeq)
	}
	st.lastSeq = b.GetSeq()
	size := uint64(len(b.GetEvents()))
	if size > uint64(st.server.p.Config.MaxBatchBytes) || b.GetCount() > maxBatchEvents {
		return nil, apierr.New(apierr.Invalid, "batch %d has %d events in %d bytes, the limit is %d events and %d bytes",
			b.GetSeq(), b.GetCount(), size, maxBatchEvents, st.server.p.Config.MaxBatchBytes)
	}
	st.received += size
	st.mu.Lock()
	credit := st.credit()
	st.mu.Unlock()
	if st.received > credit {
		return nil, apierr.New(apierr.Invalid, "batch %d goes beyond the credit by %d bytes", b.GetSeq(), st.received-credit)
	}
	switch b.GetEncoding() {
	case ingestv1.Encoding_ENCODING_JSON, ingestv1.Encoding_ENCODING_AVRO:
	default:
		return nil, apierr.New(apierr.Invalid, "batch %d has the unknown encoding %d", b.GetSeq(), b.GetEncoding())
	}
	if b.GetReceivedAtMicros() <= 0 {
		return nil, apierr.New(apierr.Invalid, "batch %d does not say when it was received", b.GetSeq())
	}
	if max(len(b.GetTenant()), len(b.GetSource()), len(b.GetSchema())) > maxNameBytes {
		return nil, apierr.New(apierr.Invalid, "batch %d has a tenant, source or schema name of more than %d bytes", b.GetSeq(), maxNameBytes)
	}
	events, err := prepare.Split(b.GetEvents(), b.GetCount())
	if err != nil {
		return nil, apierr.New(apierr.Invalid, "batch %d: %v", b.GetSeq(), err)
	}
	return events, nil
}

// enqueue gives a job its place. It tells whether the stream still takes any.
func (st *stream) enqueue(j *job) bool {
	st.mu.Lock()
	refuse := st.mu.refuseNew
	if !refuse {
		st.mu.jobs = append(st.mu.jobs, j)
	}
	st.mu.Unlock()
	if refuse {
		return false
	}
	j.laneKey = j.batch.Tenant + "\x00" + j.batch.Source
	st.lanes.Lock()
	defer st.lanes.Unlock()
	l := st.lanes.byKey[j.laneKey]
	if l == nil {
		l = &lane{}
		st.lanes.byKey[j.laneKey] = l
	}
	l.jobs = append(l.jobs, j)
	return true
}

// prepared takes the outcome of a job and hands on what is at the head of its lane. Handing on does not block.
func (st *stream) prepared(j *job, out *prepare.Output) {
	st.lanes.Lock()
	defer st.lanes.Unlock()
	j.output = out
	if st.ctx.Err() != nil {
		return // abandon lets go of it
	}
	l := st.lanes.byKey[j.laneKey]
	for len(l.jobs) > 0 && l.jobs[0].output != nil {
		head := l.jobs[0]
		l.jobs[0] = nil
		l.jobs = l.jobs[1:]
		head.submit()
	}
	if len(l.jobs) == 0 {
		delete(st.lanes.byKey, j.laneKey)
	}
}

// abandon lets go of the jobs that were not handed on. The gateway sends them again.
func (st *stream) abandon() {
	st.lanes.Lock()
	defer st.lanes.Unlock()
	for _, l := range st.lanes.byKey {
		for _, j := range l.jobs {
			if j.output != nil {
				st.server.p.Preparer.Release(j.output)
			}
			j.free()
		}
	}
	clear(st.lanes.byKey)
}

// completed is called when all of a job is durable.
func (st *stream) completed(j *job) {
	st.mu.Lock()
	j.done = true
	st.mu.Unlock()
	st.wake()
}

func (st *stream) wake() {
	select {
	case st.notify <- struct{}{}:
	default:
	}
}

// credit returns the cumulative credit. The caller holds mu.
func (st *stream) credit() uint64 {
	return uint64(st.server.p.Config.WindowBytes) + st.mu.ackedBytes
}

// response acknowledges what is durable, as far as one message takes the verdicts. It tells whether nothing is under way any more.
func (st *stream) response() (*ingestv1.IngestResponse, bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	resp := &ingestv1.IngestResponse{}
	for len(st.mu.jobs) > 0 && st.mu.jobs[0].done {
		if len(resp.Verdicts) > maxVerdicts {
			st.wake() // the rest goes into the next message
			break
		}
		head := st.mu.jobs[0]
		st.mu.jobs[0] = nil
		st.mu.jobs = st.mu.jobs[1:]
		st.mu.acked = head.seq
		st.mu.ackedBytes += uint64(head.bytes)
		resp.Verdicts = append(resp.Verdicts, head.takeVerdicts()...)
	}
	resp.CreditBytes, resp.AckedSeq = st.credit(), st.mu.acked
	if st.mu.acked > 0 {
		resp.Level = ingestv1.Level_LEVEL_REPLICATED
	}
	return resp, len(st.mu.jobs) == 0
}

// send sends responses until the stream is over, and returns why it is.
func (st *stream) send(out ingestv1.IngestService_IngestServer) error {
	first, _ := st.response()
	if err := out.Send(first); err != nil {
		return err
	}
	var closing bool // end as soon as everything is acknowledged
	var reason error // with this
	var patience <-chan time.Time
	ended, draining := st.ended, st.server.draining
	for {
		select {
		case <-st.ctx.Done():
			return context.Cause(st.ctx)
		case <-patience:
			return reason
		case err := <-ended:
			if err != nil {
				return err
			}
			closing, ended = true, nil
		case <-draining:
			st.mu.Lock()
			st.mu.refuseNew = true
			st.mu.Unlock()
			closing, reason, draining = true, errDraining(), nil
			timer := time.NewTimer(st.server.p.Config.DrainTimeout.D())
			defer timer.Stop()
			patience = timer.C
		case <-st.notify:
		}
		resp, idle := st.response()
		if err := out.Send(resp); err != nil {
			return err
		}
		if closing && idle {
			return reason
		}
	}
}
