package intake

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	ingestv1 "github.com/playhead-pipeline/playhead/proto/ingest/v1"
	"github.com/playhead-pipeline/playhead/services/router/internal/catalog"
	"github.com/playhead-pipeline/playhead/services/router/internal/deadletter"
	"github.com/playhead-pipeline/playhead/services/router/internal/prepare"
	"github.com/playhead-pipeline/playhead/services/router/internal/record"
	"github.com/playhead-pipeline/playhead/services/router/internal/validate"
)

// job is a batch under way. It owns its records and dead letters towards the producer.
type job struct {
	stream  *stream
	seq     uint64
	bytes   int
	charge  int64
	count   int
	batch   prepare.Batch
	laneKey string

	output *prepare.Output // guarded by the lock of the stream's lanes
	done   bool            // guarded by the stream's mu

	// pending counts events that are not durable yet.
	pending atomic.Int64

	mu struct {
		sync.Mutex
		letters map[uint32]*letter // by index of the event
	}
}

// letter is a dead letter of this job.
type letter struct {
	deadletter.Letter
	topic string
	// attempt counts the refusals of its own topic.
	attempt int
}

var _ record.Owner = (*job)(nil)

// work prepares the job, waiting for as long as its schema makes it wait.
func (j *job) work() {
	st := j.stream
	select {
	case <-st.ctx.Done():
		return
	case <-st.server.p.Publisher.Ready():
	}
	for {
		if st.server.workers.Acquire(st.ctx, 1) != nil {
			return
		}
		out, err := st.server.p.Preparer.Prepare(&j.batch)
		st.server.workers.Release(1)
		if err == nil {
			st.prepared(j, out)
			return
		}
		if !j.park(err) {
			return
		}
	}
}

// park waits until looking again is worth it. It tells whether the stream still lives.
func (j *job) park(err error) bool {
	parked, ok := errors.AsType[*catalog.ParkedError](err)
	if !ok {
		parked = &catalog.ParkedError{RetryAfter: time.Second}
	}
	m := j.stream.server.metrics
	m.parked.Inc()
	defer m.parked.Dec()
	timer := time.NewTimer(parked.RetryAfter)
	defer timer.Stop()
	select {
	case <-j.stream.ctx.Done():
		return false
	case <-parked.Changed:
	case <-timer.C:
	}
	return true
}

// submit hands the prepared records to the producer. It does not block.
func (j *job) submit() {
	out, publisher := j.output, j.stream.server.p.Publisher
	j.output = nil
	j.pending.Store(int64(j.count)) // before the first Append: its answer may come at once
	for _, run := range out.Runs {
		publisher.Append(run.Topic, j, run.Records)
	}
	for _, r := range out.Refusals {
		j.bury(uint32(r.Index), r.Topic, r.Schema, r.EventID, r.Violation)
	}
	j.stream.server.p.Preparer.Release(out)
}

// bury writes a dead letter.
func (j *job) bury(index uint32, topic, schema, eventID string, v *validate.Violation) {
	encoding := "avro"
	if j.batch.JSON {
		encoding = "json"
	}
	l := &letter{topic: topic, Letter: deadletter.Letter{
		Original: j.batch.Events[index], Violation: v, Tenant: j.batch.Tenant, Source: j.batch.Source,
		Schema: schema, Encoding: encoding, ReceivedAtMicros: j.batch.ReceivedAtMicros, EventID: eventID,
	}}
	j.mu.Lock()
	if j.mu.letters == nil {
		j.mu.letters = make(map[uint32]*letter)
	}
	j.mu.letters[index] = l
	j.mu.Unlock()
	publisher := j.stream.server.p.Publisher
	publisher.Append(topic, j, []record.Record{l.Record(publisher.Partitions(topic), index)})
}

// Acked implements record.Owner.
func (j *job) Acked(n int) {
	if j.pending.Add(int64(-n)) > 0 {
		return
	}
	j.mu.Lock()
	buried := len(j.mu.letters)
	for _, l := range j.mu.letters {
		j.stream.server.metrics.refused.WithLabelValues(string(l.Violation.Cause)).Inc()
	}
	j.mu.Unlock()
	j.stream.server.metrics.durable(j.count-buried, buried)
	j.free()
	j.stream.completed(j)
}

// Refused implements record.Owner. An event that its topic does not take becomes a dead letter; a dead letter that its topic does not take is
// cut. If even that does not pass, nobody can make the event durable: it is not acknowledged, and somebody has to look.
func (j *job) Refused(index uint32, err *record.RefusedError) {
	j.mu.Lock()
	l := j.mu.letters[index]
	j.mu.Unlock()
	server := j.stream.server
	if l == nil {
		cause := validate.Unspecified
		if err.TooLarge {
			cause = validate.TooLarge
		}
		schema := j.batch.Schema
		if id, _, frameErr := validate.Frame(j.batch.Events[index]); !j.batch.JSON && frameErr == nil {
			schema = strconv.Itoa(int(id))
		}
		j.bury(index, server.p.DeadLetterFor(err.Topic), schema, "", &validate.Violation{Cause: cause, Detail: "Kafka refused the record: " + err.Reason})
		return
	}
	l.attempt++
	if l.attempt > 1 {
		server.metrics.stuck.Inc()
		server.p.Logger.Error("a dead letter was refused; its batch is not acknowledged until the topic takes it and the gateway sends it again",
			"topic", err.Topic, "partition", err.Partition, "reason", err.Reason)
		return
	}
	r := l.Truncated(server.p.Publisher.Partitions(l.topic), index)
	r.Millis = time.Now().UnixMilli() // the broker may have refused the other one
	server.p.Publisher.Append(l.topic, j, []record.Record{r})
}

// takeVerdicts returns the verdicts in the order of their events. With very many, paths and details are left out: they stand in the dead
// letters, and the gateway takes messages of a limited size.
func (j *job) takeVerdicts() []*ingestv1.Verdict {
	j.mu.Lock()
	defer j.mu.Unlock()
	verdicts := make([]*ingestv1.Verdict, 0, len(j.mu.letters))
	for index, l := range j.mu.letters {
		v := &ingestv1.Verdict{Seq: j.seq, Index: index, Cause: causeOf(l.Violation.Cause)}
		if len(j.mu.letters) <= maxVerdicts {
			v.Path, v.Detail = l.Violation.Path, l.Violation.Detail
		}
		verdicts = append(verdicts, v)
	}
	slices.SortFunc(verdicts, func(a, b *ingestv1.Verdict) int { return cmp.Compare(a.GetIndex(), b.GetIndex()) })
	return verdicts
}

func causeOf(c validate.Cause) ingestv1.Cause {
	return ingestv1.Cause(ingestv1.Cause_value["CAUSE_"+string(c)])
}

// free gives the job's share of the budget back. It is called once.
func (j *job) free() {
	j.stream.server.budget.Release(j.charge)
	j.stream.server.metrics.inFlight.Sub(float64(j.charge))
}
