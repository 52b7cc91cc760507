// Package model judges a run: given the clients' ledgers it reads the table and the dead-letter topic and says which events are where they
// must be, which are lost, doubled, changed or out of order. It uses none of the services' code: its own timeline reader, another Parquet
// library (arrow-go), a plain consumer and its own masking. It does not wait for anything; the caller says when the system is quiet.
package model

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/playhead-pipeline/playhead/services/e2e/bitmap"
	"github.com/playhead-pipeline/playhead/services/e2e/load"
)

// Inputs are what a verdict is made from.
type Inputs struct {
	Ledgers []*load.Ledger
	Table   string // folder of the table
	// Partitions of the topic that feeds the table; 0 leaves the Kafka partition of rows unchecked.
	Partitions int32
	Masking    Masking
	// DeadLetters calls yield with each record of the dead-letter topic, from its beginning to where it ended at the call.
	DeadLetters func(ctx context.Context, yield func(DeadLetter)) error
	// Records calls yield with each record of the topic that feeds the table, in order within a partition. It is read only when rows are
	// out of order, which is no fault of anybody where an event came to Kafka twice and a merge-on-read table keeps the later one; without
	// it that is not known.
	Records func(ctx context.Context, yield func(value []byte, offset int64)) error
}

// DeadLetter is one record of the dead-letter topic.
type DeadLetter struct {
	Value []byte
	Cause string // header playhead.cause
}

// Result is the verdict. The fields of the first block are counts of distinct events over all ledgers; any of Lost, Duplicate, Phantom,
// Corrupt, OutOfOrder and WrongVerdicts above zero, or a damaged table, makes Verdict "failed".
type Result struct {
	Verdict     string `json:"verdict"` // ok or failed
	Sent        uint64 `json:"sent"`
	Acked       uint64 `json:"acked"`
	Rows        uint64 `json:"rows"`         // of the table, whoever sent them
	BaseRows    uint64 `json:"base_rows"`    // of base files, which is what a read-optimised query shows
	DeadLetters uint64 `json:"dead_letters"` // distinct events of the ledgers

	Lost       uint64 `json:"lost"`      // acked and nowhere, or where they do not belong
	Duplicate  uint64 `json:"duplicate"` // second and further rows of an event
	Phantom    uint64 `json:"phantom"`   // rows and dead letters of events that nobody sent, rows of broken events
	Corrupt    uint64 `json:"corrupt"`   // rows or dead letters with another content
	OutOfOrder uint64 `json:"out_of_order"`

	OK             uint64 `json:"ok"`               // acked, in the table only
	DLQ            uint64 `json:"dlq"`              // acked, in the dead-letter topic only
	Both           uint64 `json:"both"`             // in both, allowed
	UnackedPresent uint64 `json:"unacked_present"`  // allowed
	UnackedAbsent  uint64 `json:"unacked_absent"`   // allowed
	ForeignRows    uint64 `json:"foreign_rows"`     // rows that no generator made
	ForeignLetters uint64 `json:"foreign_letters"`  // dead letters that no generator made
	WrongVerdicts  uint64 `json:"wrong_verdicts"`   // the client was told something else than the event deserves
	Resent         uint64 `json:"resent"`           // because connections broke
	DuplicatesSent uint64 `json:"duplicates_sent"`  // on purpose
	LossBound      string `json:"loss_bound_95pct"` // 3/n: what zero lost events prove
	Commits        int    `json:"commits"`

	Problems []string `json:"problems,omitempty"` // the first few, in words
}

// maxProblems bounds Problems.
const maxProblems = 20

// checker accumulates a verdict.
type checker struct {
	in     Inputs
	result Result
	runs   map[uint32]*run
	now    time.Time
	// inversions are the pairs of events whose rows are out of order.
	inversions []inversion
}

// run is the state of one ledger.
type run struct {
	ledger  *load.Ledger
	gen     *load.Generator
	sources []sourceState
}

type sourceState struct {
	rows, letters bitmap.Set
	based         bitmap.Set // rows of base files: what a read-optimised query shows
	// offsets holds, per event, its Kafka offset + 1 as the row says (0: no row), 4 bytes each.
	offsets []uint32
}

// errMoved is a table that changed while it was read, so that what is wrong with it may only be that.
var errMoved = errors.New("the table changes while it is read")

// Check makes the verdict. An error means that no verdict could be made.
func Check(ctx context.Context, in Inputs) (*Result, error) {
	for attempt := 1; ; attempt++ {
		c, err := newChecker(in)
		if err != nil {
			return nil, err
		}
		err = c.readTable(ctx)
		if errors.Is(err, errMoved) && attempt < maxAttempts {
			continue
		}
		if err != nil {
			return nil, err
		}
		return c.verdict(ctx)
	}
}

func newChecker(in Inputs) (*checker, error) {
	c := &checker{in: in, runs: make(map[uint32]*run), now: time.Now()}
	for _, ledger := range in.Ledgers {
		if c.runs[ledger.Params.Run] != nil {
			return nil, fmt.Errorf("two ledgers of run %08x", ledger.Params.Run)
		}
		c.runs[ledger.Params.Run] = &run{
			ledger: ledger, gen: load.NewGenerator(ledger.Params), sources: make([]sourceState, ledger.Params.Sources),
		}
	}
	return c, nil
}

func (c *checker) verdict(ctx context.Context) (*Result, error) {
	if c.in.DeadLetters != nil {
		if err := c.in.DeadLetters(ctx, c.letter); err != nil {
			return nil, fmt.Errorf("read dead letters: %w", err)
		}
	}
	for _, r := range c.runs {
		c.judge(r)
	}
	if err := c.judgeInversions(ctx); err != nil {
		return nil, err
	}
	c.finish()
	return &c.result, nil
}

func (c *checker) readTable(ctx context.Context) error {
	snapshot, err := ReadSnapshot(c.in.Table)
	damage := new(DamageError)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.problem("there is no table at %s", c.in.Table)
		return nil
	case errors.As(err, &damage):
		c.result.Corrupt++
		c.problem("%v", damage)
	case err != nil:
		return err
	}
	c.result.Commits = len(snapshot.Instants)
	rows := &rowChecker{checker: c, table: snapshot}
	sound := err == nil
	for i := range snapshot.Slices {
		if err := rows.slice(ctx, &snapshot.Slices[i]); err != nil {
			sound = false
			c.result.Corrupt++
			c.problem("%v", err)
		}
	}
	if !sound && snapshot.Changed() {
		return errMoved
	}
	return ctx.Err()
}

// event finds the state of an event of a known run that its client had begun; nil otherwise.
func (c *checker) event(id load.ID) (*run, *sourceState) {
	r := c.runs[id.Run]
	if r == nil || id.Source >= len(r.sources) {
		return nil, nil
	}
	if id.N >= r.ledger.Sources[id.Source].Next && r.ledger.Complete {
		return nil, nil
	}
	return r, &r.sources[id.Source]
}

// letter books one dead letter.
func (c *checker) letter(letter DeadLetter) {
	id, ok := load.FindID(letter.Value)
	if !ok {
		c.result.ForeignLetters++
		return
	}
	r, state := c.event(id)
	if r == nil {
		c.result.Phantom++
		c.problem("dead letter of %s, which nobody sent", id)
		return
	}
	var e load.Event
	if want := r.gen.Letter(nil, &e, id.Source, id.N); string(want) != string(letter.Value) {
		c.result.Corrupt++
		c.problem("dead letter of %s has %d bytes that are not those sent (%d bytes)", id, len(letter.Value), len(want))
	}
	if want := r.gen.Fault(id.Source, id.N).Cause(); letter.Cause != want {
		c.result.Corrupt++
		c.problem("dead letter of %s has cause %q, want %q", id, letter.Cause, want)
	}
	state.letters.Add(id.N)
}

// judge classifies every event of one run.
func (c *checker) judge(r *run) {
	for source := range r.sources {
		state, seen := &r.sources[source], &r.ledger.Sources[source]
		c.result.Sent += seen.Next
		c.result.Acked += seen.Acked.Count()
		c.result.Resent += seen.Resent
		c.result.DuplicatesSent += seen.Duplicates
		c.result.WrongVerdicts += seen.WrongVerdicts
		c.result.DeadLetters += state.letters.Count()
		for _, example := range seen.WrongExamples {
			c.problem("%s", example)
		}
		for n := range seen.Next {
			c.judgeEvent(r, source, n)
		}
	}
}

func (c *checker) judgeEvent(r *run, source int, n uint64) {
	state := &r.sources[source]
	row, letter, broken := state.rows.Has(n), state.letters.Has(n), r.gen.Fault(source, n) != load.NoFault
	id := r.gen.ID(source, n)
	if row && broken {
		c.result.Phantom++
		c.problem("%s is broken (%s) and has a row", id, r.gen.Fault(source, n).Cause())
	}
	switch acked := r.ledger.Sources[source].Acked.Has(n); {
	case !acked && (row || letter):
		c.result.UnackedPresent++
	case !acked:
		c.result.UnackedAbsent++
	case row && letter:
		c.result.Both++
	case broken && letter:
		c.result.DLQ++
	case row && !broken:
		c.result.OK++
	default:
		c.result.Lost++
		c.problem("%s is acked; row %v, dead letter %v, broken %v", id, row, letter, broken)
	}
	if row {
		c.judgeOrder(r, source, n)
	}
}

// inversion is an event whose row has a smaller Kafka offset than an earlier event of its session, or the same.
type inversion struct{ before, after load.ID }

// maxInversions bounds how many pairs are looked up in the topic; what is beyond is out of order.
const maxInversions = 1 << 20

// judgeOrder compares the Kafka position of an event with that of the nearest earlier event of its session that has a row.
func (c *checker) judgeOrder(r *run, source int, n uint64) {
	state := &r.sources[source]
	for before, ok := r.gen.Previous(source, n); ok; before, ok = r.gen.Previous(source, before) {
		if !state.rows.Has(before) {
			continue
		}
		if state.offsets[before] < state.offsets[n] {
			return
		}
		if len(c.inversions) == maxInversions {
			c.result.OutOfOrder++
			return
		}
		c.inversions = append(c.inversions, inversion{r.gen.ID(source, before), r.gen.ID(source, n)})
		return
	}
}

// judgeInversions finds where the events of the inversions came to Kafka first: only that order was promised.
func (c *checker) judgeInversions(ctx context.Context) error {
	first := make(map[load.ID]int64, 2*len(c.inversions))
	for _, pair := range c.inversions {
		first[pair.before], first[pair.after] = -1, -1
	}
	if len(first) > 0 && c.in.Records != nil {
		err := c.in.Records(ctx, func(value []byte, offset int64) {
			id, _ := load.FindID(value)
			if at, wanted := first[id]; wanted && at < 0 {
				first[id] = offset
			}
		})
		if err != nil {
			return fmt.Errorf("read the topic: %w", err)
		}
	}
	for _, pair := range c.inversions {
		before, after := first[pair.before], first[pair.after]
		if before < 0 || after < 0 || before >= after {
			c.result.OutOfOrder++
			c.problem("%s is before %s of the same session, whose rows say so and the topic does not deny it: first at offsets %d and %d",
				pair.after, pair.before, after, before)
		}
	}
	return nil
}

func (c *checker) finish() {
	r := &c.result
	r.Verdict = "ok"
	if r.Lost+r.Duplicate+r.Phantom+r.Corrupt+r.OutOfOrder+r.WrongVerdicts > 0 {
		r.Verdict = "failed"
	}
	if r.Acked > 0 && r.Lost == 0 {
		r.LossBound = fmt.Sprintf("%.2g", 3/float64(r.Acked))
	}
}

func (c *checker) problem(format string, args ...any) {
	if len(c.result.Problems) < maxProblems {
		c.result.Problems = append(c.result.Problems, fmt.Sprintf(format, args...))
	}
}
