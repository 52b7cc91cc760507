package tableservice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
)

// Params is what a Runner needs.
type Params struct {
	// Table names the table in metrics and logs.
	Table   string
	Policy  Policy
	Metrics *Metrics
	Logger  *slog.Logger
}

// Runner runs the services of one table, one at a time, while this instance owns the table. It is safe for concurrent use and outlives
// the times of ownership: what an operator paused stays paused.
type Runner struct {
	p    Params
	wake chan struct{}

	mu struct {
		sync.Mutex
		active   bool
		services map[Kind]*service
		commits  int   // since the last compaction
		logBytes int64 // since the last compaction
		asked    []*request
	}
}

type service struct {
	status   Status
	failures int
	retryAt  time.Time
}

// request is a run that somebody waits for.
type request struct {
	kind   Kind
	dryRun bool
	ctx    context.Context
	done   chan struct{}
	report Report
	err    error
}

// maxAsked bounds the runs that wait for their turn.
const maxAsked = 16

// Failed runs come again after a time that doubles between these.
const (
	minRetry = time.Second
	maxRetry = 5 * time.Minute
)

// New returns a Runner that has no table yet.
func New(p Params) *Runner {
	r := &Runner{p: p, wake: make(chan struct{}, 1)}
	r.mu.services = make(map[Kind]*service)
	for _, k := range Kinds() {
		r.mu.services[k] = &service{status: Status{Kind: k}}
	}
	return r
}

// Run works on a table until ctx ends, and returns why the table was lost, or nil.
func (r *Runner) Run(ctx context.Context, target Target) error {
	r.enter(target)
	defer r.leave()
	for ctx.Err() == nil {
		if q := r.next(); q != nil {
			if r.serve(ctx, target, q); errors.Is(q.err, hudi.ErrFenced) {
				return q.err
			}
			continue
		}
		kind, at := r.due(time.Now(), target.Type)
		if kind == "" {
			r.sleep(ctx, at)
			continue
		}
		if _, err := r.run(ctx, target, kind, false, false); errors.Is(err, hudi.ErrFenced) {
			return err
		}
	}
	return nil
}

// serve runs what was asked for, for as long as both the asker and the owner of the table wait for it.
func (r *Runner) serve(ctx context.Context, target Target, q *request) {
	both, cancel := context.WithCancel(q.ctx)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	q.report, q.err = r.run(both, target, q.kind, true, q.dryRun)
	close(q.done)
}

// Do runs a service now, also a paused one, and returns when it has ended. A dry run only tells what would be done.
func (r *Runner) Do(ctx context.Context, kind Kind, dryRun bool) (Report, error) {
	q := &request{kind: kind, dryRun: dryRun, ctx: ctx, done: make(chan struct{})}
	if err := r.ask(q); err != nil {
		return Report{}, err
	}
	select {
	case <-q.done:
		return q.report, q.err
	case <-ctx.Done():
		return Report{}, ctx.Err()
	}
}

func (r *Runner) ask(q *request) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case !r.mu.active:
		return ErrIdle
	case len(r.mu.asked) >= maxAsked:
		return fmt.Errorf("%d runs wait already", len(r.mu.asked))
	}
	r.mu.asked = append(r.mu.asked, q)
	r.kick()
	return nil
}

// Pause keeps a service from beginning by itself, and ends a run between two of its pieces. Resume takes that back.
func (r *Runner) Pause(kind Kind) { r.setPaused(kind, true) }

// Resume lets a paused service begin by itself again.
func (r *Runner) Resume(kind Kind) { r.setPaused(kind, false) }

func (r *Runner) setPaused(kind Kind, paused bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.services[kind].status.Paused = paused
	r.kick()
}

// Committed counts a commit of rows, which may make a compaction due.
func (r *Runner) Committed(bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.commits++
	r.mu.logBytes += bytes
	if r.pressed() {
		r.kick()
	}
}

// pressed tells whether commits have made a compaction due before its time. The caller holds the lock.
func (r *Runner) pressed() bool {
	c := r.p.Policy.Compaction
	return c.Commits > 0 && r.mu.commits >= c.Commits || c.LogBytes > 0 && r.mu.logBytes >= c.LogBytes
}

// Status tells about all services, in their order.
func (r *Runner) Status() []Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Status, 0, len(r.mu.services))
	for _, k := range Kinds() {
		all = append(all, r.mu.services[k].status)
	}
	return all
}

func (r *Runner) enter(target Target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.active = true
	now := time.Now()
	for kind, s := range r.mu.services {
		last, known := target.Last[kind]
		if !known {
			last = now // a new table, or a service that leaves no trace
		}
		s.status.Last, s.status.LastError, s.failures, s.retryAt = last, "", 0, time.Time{}
		s.status.Due = last.Add(r.every(kind))
	}
}

func (r *Runner) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.active = false
	for _, q := range r.mu.asked {
		q.err = ErrIdle
		close(q.done)
	}
	r.mu.asked = nil
	for _, s := range r.mu.services {
		s.status.Due = time.Time{}
	}
}

func (r *Runner) every(kind Kind) time.Duration {
	switch kind {
	case Compaction:
		return r.p.Policy.Compaction.Every
	case Clean:
		return r.p.Policy.Clean.Every
	default:
		return r.p.Policy.Archive.Every
	}
}

func (r *Runner) next() *request {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.mu.asked) == 0 {
		return nil
	}
	q := r.mu.asked[0]
	r.mu.asked = r.mu.asked[1:]
	return q
}

// due returns the service that should have begun first, or when the next one should. A compaction that is due again at once does not
// keep the others from their turn.
func (r *Runner) due(now time.Time, table hudi.TableType) (Kind, time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first, at := Kind(""), now.Add(time.Hour)
	for _, k := range Kinds() {
		s := r.mu.services[k]
		if s.status.Paused || k == Compaction && table != hudi.MergeOnRead {
			continue
		}
		due := s.status.Due
		if k == Compaction && r.pressed() && due.After(now) {
			due = now
		}
		if due.Before(s.retryAt) {
			due = s.retryAt
		}
		if due.Before(at) {
			first, at = k, due
		}
	}
	if at.After(now) {
		return "", at
	}
	return first, now
}

// run runs a service once and keeps the books.
func (r *Runner) run(ctx context.Context, target Target, kind Kind, asked, dryRun bool) (Report, error) {
	r.begin(kind)
	started := time.Now()
	j := &job{r: r, target: target, asked: asked, report: Report{Kind: kind, DryRun: dryRun}, pace: newPace(r.p.Policy)}
	err := j.do(ctx)
	j.report.Took = time.Since(started)
	r.end(ctx, &j.report, err)
	if err != nil {
		return j.report, fmt.Errorf("%s of table %s: %w", kind, r.p.Table, err)
	}
	return j.report, nil
}

func (r *Runner) begin(kind Kind) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.services[kind].status.Running = true
	if kind == Compaction {
		r.mu.commits, r.mu.logBytes = 0, 0
	}
}

func (r *Runner) end(ctx context.Context, report *Report, err error) {
	r.mu.Lock()
	s := r.mu.services[report.Kind]
	s.status.Running = false
	now := time.Now()
	outcome := "done"
	switch {
	case report.DryRun:
	case err == nil:
		s.status.Last, s.status.LastError, s.failures = now, "", 0
		s.status.Due = now.Add(r.every(report.Kind))
	case errors.Is(err, errPaused):
		outcome = "paused"
	case ctx.Err() != nil:
		outcome = "stopped"
	default:
		outcome = "failed"
		s.status.LastError = err.Error()
		s.retryAt = now.Add(min(minRetry<<min(s.failures, 20), maxRetry))
		s.failures++
	}
	r.mu.Unlock()
	if report.DryRun {
		return
	}
	r.p.Metrics.observe(r.p.Table, report, outcome)
	logger := r.p.Logger.With("table", r.p.Table, "service", report.Kind, "outcome", outcome, "duration_ms", report.Took.Milliseconds(), "pieces", report.Pieces)
	switch {
	case outcome == "failed":
		logger.Warn("table service", "error", err)
	case report.Pieces > 0 || report.Archived > 0:
		logger.Info("table service", "groups", report.Groups, "log_files", report.LogFiles, "bytes", report.Bytes, "deleted", report.Deleted,
			"deleted_bytes", report.DeletedBytes, "archived", report.Archived, "held", report.Held)
	}
}

func (r *Runner) paused(kind Kind) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.services[kind].status.Paused
}

func (r *Runner) kick() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *Runner) sleep(ctx context.Context, until time.Time) {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-r.wake:
	case <-timer.C:
	}
}
