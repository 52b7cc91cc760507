// Package trial is one run of load against a pipeline and its verdict: send, wait until everything acked is committed, judge. It knows the
// pipeline by its endpoints only; who starts the pipeline, and what is done to it meanwhile, is the caller's business.
package trial

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/playhead-pipeline/playhead/services/e2e/load"
	"github.com/playhead-pipeline/playhead/services/e2e/model"
	"github.com/playhead-pipeline/playhead/services/e2e/stack"
)

// Load is what to send and how.
type Load struct {
	Params load.Params
	Pace   load.Pace
	// Duration ends the sending; 0 leaves that to Pace.Events or the end of the context.
	Duration time.Duration
	// Ledgers is the folder of the ledgers of all runs on the same table.
	Ledgers string
	// Progress, when set, is called every second.
	Progress func(load.Totals)
}

const (
	// ackGrace bounds how long the last acks may take after sending has ended: longer than any restart of a service.
	ackGrace = 60 * time.Second
	// saveInterval is how much of a ledger a crash of the sender can lose.
	saveInterval = time.Second
)

// Send runs the load and keeps its ledger. The end of ctx ends the sending early and in good order: what was sent is still waited for.
// The ledger is saved and returned also when not everything was acked in time.
func Send(ctx context.Context, websocket string, l Load) (*load.Ledger, *load.Fleet, error) {
	fleet, err := load.NewFleet(websocket, l.Params, l.Pace)
	if err != nil {
		return nil, nil, err
	}
	path := filepath.Join(l.Ledgers, fmt.Sprintf("%08x.json", l.Params.Run))
	if err := load.NewLedger(l.Params).Save(path); err != nil {
		return nil, nil, err // before the first event: rows of an unknown run would be phantoms
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- fleet.Run(work) }()

	if l.Duration > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, l.Duration)
		defer stop()
	}
	tick := time.NewTicker(saveInterval)
	defer tick.Stop()
	ended := ctx.Done()
	for {
		select {
		case err := <-done:
			ledger := fleet.Ledger(true)
			if err != nil {
				err = fmt.Errorf("send: %w", err)
			}
			return ledger, fleet, errors.Join(err, ledger.Save(path))
		case <-ended:
			ended = nil
			fleet.Stop()
			grace := time.AfterFunc(ackGrace, cancel)
			defer grace.Stop()
		case <-tick.C:
			if err := fleet.Ledger(false).Save(path); err != nil {
				cancel()
				<-done
				return nil, nil, err
			}
			if l.Progress != nil {
				l.Progress(fleet.Totals())
			}
		}
	}
}

// Settled describes how to wait for a pipeline.
type Settled struct {
	Brokers []string
	Topic   string
	Table   string
	// Flush makes the lake-writer commit now; nil leaves it to its commit interval.
	Flush func(ctx context.Context) error
	// Patience is how long nothing may move before Await gives up.
	Patience time.Duration
}

// Await waits until the table's newest commit covers everything that the topic held when Await began.
func (s Settled) Await(ctx context.Context) error {
	ends, err := model.EndOffsets(ctx, s.Brokers, s.Topic)
	if err != nil {
		return err
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var best int64 = -1
	var flushErr error
	moved := time.Now()
	for {
		missing, covered, err := s.missing(ends)
		if err != nil {
			return err
		}
		if missing == "" {
			return nil
		}
		if covered > best {
			best, moved = covered, time.Now()
		}
		if time.Since(moved) > s.Patience {
			return errors.Join(fmt.Errorf("nothing was committed for %s; %s", s.Patience, missing), flushErr)
		}
		if s.Flush != nil {
			flushErr = s.Flush(ctx) // a lake-writer that is just starting refuses; the next round asks again
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for commits: %w; %s", ctx.Err(), missing)
		case <-tick.C:
		}
	}
}

// missing names the first partition whose events are not all committed, and counts the offsets that are.
func (s Settled) missing(ends map[int32]int64) (text string, covered int64, err error) {
	snapshot, err := model.ReadSnapshot(s.Table)
	damage := new(model.DamageError)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.As(err, &damage) {
		return "", 0, err
	}
	next := snapshot.Next[s.Topic]
	for partition, end := range ends {
		covered += min(next[partition], end)
		if next[partition] < end {
			text = fmt.Sprintf("partition %d of %s is committed to offset %d of %d", partition, s.Topic, next[partition], end)
		}
	}
	return text, covered, nil
}

// Patience is enough for a lake-writer that was killed and whose successor waits for the table to be quiet.
const Patience = 60 * time.Second

// Await waits until a stack has committed everything.
func Await(ctx context.Context, s stack.Stack) error {
	e := s.Endpoints()
	return Settled{
		Brokers: strings.Split(e.Kafka, ","), Topic: stack.Topic, Table: e.Table, Flush: s.Flush, Patience: Patience,
	}.Await(ctx)
}

// Judge makes the verdict over all ledgers in a folder.
func Judge(ctx context.Context, e stack.Endpoints, ledgers string) (*model.Result, error) {
	all, err := load.LoadLedgers(ledgers)
	if err != nil {
		return nil, err
	}
	brokers := strings.Split(e.Kafka, ",")
	ends, err := model.EndOffsets(ctx, brokers, stack.Topic)
	if err != nil {
		return nil, err
	}
	return model.Check(ctx, model.Inputs{
		Ledgers: all, Table: e.Table, Partitions: int32(len(ends)),
		Masking:     model.Masking{KeyID: stack.MaskingKeyID, Key: []byte(stack.MaskingKey), Tenant: stack.Tenant},
		DeadLetters: model.KafkaDeadLetters(brokers, stack.DeadLetterTopic), Records: model.KafkaRecords(brokers, stack.Topic),
	})
}

// Report is the verdict of a run as the tools print it.
type Report struct {
	*model.Result
	EventsPerSecond float64 `json:"events_per_second"` // acked by this run, over its time from the first send to the last ack
	AckP50Millis    float64 `json:"ack_p50_ms"`
	AckP99Millis    float64 `json:"ack_p99_ms"`
	Runs            int     `json:"runs"` // on this table, this one included: the counts are of all
	Table           string  `json:"table"`
}

// Print writes the report to w: as one JSON object on one line, or as text.
func (r Report) Print(w io.Writer, format string) error {
	if format == "json" {
		text, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("encode report: %w", err)
		}
		_, err = fmt.Fprintf(w, "%s\n", text)
		return err
	}
	rate := ""
	if r.EventsPerSecond > 0 { // of this run; a later judge does not know it
		rate = fmt.Sprintf(" (%.0f/s, p50 %.1f ms, p99 %.1f ms)", r.EventsPerSecond, r.AckP50Millis, r.AckP99Millis)
	}
	_, err := fmt.Fprintf(w, `verdict       %s
sent          %d events in %d run(s), %d sent again after a broken connection, %d on purpose
acked         %d%s
rows          %d in %d commits
dead letters  %d
lost %d, duplicate %d, phantom %d, corrupt %d, out of order %d, wrong verdicts %d
table         %s
`, r.Verdict, r.Sent, r.Runs, r.Resent, r.DuplicatesSent, r.Acked, rate, r.Rows, r.Commits, r.DeadLetters, r.Lost, r.Duplicate, r.Phantom,
		r.Corrupt, r.OutOfOrder, r.WrongVerdicts, r.Table)
	for _, problem := range r.Problems {
		if err == nil {
			_, err = fmt.Fprintf(w, "problem       %s\n", problem)
		}
	}
	return err
}
