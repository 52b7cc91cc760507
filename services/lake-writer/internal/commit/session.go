package commit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/buffer"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/convert"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/record"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/tableservice"
)

// session is the time between taking a table over and losing it. What it buffers dies with it: its
// successor reads it again from the offsets in HEAD.
type session struct {
	t      *Table
	table  *hudi.Table
	writer *hudi.Writer
	conv   *convert.Converter
	wake   chan struct{}
	ended  chan struct{}
	turn   chan struct{} // holds one token: who has it writes to the table
	from   Offsets       // of HEAD when the session began
	schema string        // of the table, as committed
	// lastServices tells when each table service last ran.
	lastServices map[tableservice.Kind]time.Time

	mu struct {
		sync.Mutex
		buffer  *buffer.Buffer
		hurry   bool
		flushes []chan struct{}
	}
}

func newSession(t *Table, table *hudi.Table, writer *hudi.Writer, conv *convert.Converter, last map[tableservice.Kind]time.Time) *session {
	s := &session{
		t: t, table: table, writer: writer, conv: conv, from: writer.Head().Offsets, schema: conv.TableSchema(), lastServices: last,
		wake: make(chan struct{}, 1), ended: make(chan struct{}), turn: make(chan struct{}, 1),
	}
	s.turn <- struct{}{}
	s.mu.buffer = buffer.New(t.p.Policy)
	return s
}

// run reads and commits until ctx ends, then commits what is left with work. It returns nil or why the
// table was lost.
func (s *session) run(ctx, work context.Context) error {
	beside, stop := context.WithCancel(ctx)
	defer stop()
	var companions sync.WaitGroup
	companions.Go(func() {
		if err := s.t.p.Effects.Read(beside, s.start, s.deliver); err != nil {
			s.t.note(fmt.Errorf("read topic %s: %w", s.t.p.Topic, err))
		}
	})
	lost := make(chan error, 1)
	companions.Go(func() {
		if err := s.t.p.Services.Run(beside, s.target()); err != nil {
			lost <- err
		}
	})
	err := s.loop(ctx, work, lost)
	stop()
	companions.Wait()
	if err == nil {
		err = s.commitBuffered(work)
	}
	s.drop()
	close(s.ended)
	return err
}

// start is where reading begins: HEAD alone decides. A partition is asked for before anything of it is
// committed by this session, so HEAD as it was at the session's begin is right also for one found later.
func (s *session) start(topic string, partition int32) (int64, bool) {
	next, ok := s.from[topic][partition]
	return next, ok
}

// deliver makes rows of a chunk and buffers them.
func (s *session) deliver(ctx context.Context, chunk record.Chunk) (int64, error) {
	rows, next, err := s.conv.Convert(ctx, chunk)
	if next == chunk.From {
		return next, err
	}
	span := buffer.Span{Topic: chunk.Topic, Partition: chunk.Partition, From: chunk.From, Next: next}
	if fault := s.add(span, rows); fault != nil {
		return chunk.From, &record.HaltError{Reason: fault.Error()}
	}
	return next, err
}

func (s *session) add(span buffer.Span, rows convert.Rows) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	first := s.mu.buffer.Events() == 0
	if err := s.mu.buffer.Add(now, span, rows); err != nil {
		return err
	}
	s.t.p.Account.Charge(rows.Bytes)
	if first || s.mu.buffer.Due(now) {
		s.kick()
	}
	return nil
}

func (s *session) kick() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *session) relieve() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.hurry = true
	s.kick()
}

// flush returns when all that is buffered at the call is committed.
func (s *session) flush(ctx context.Context) error {
	done := make(chan struct{})
	s.mu.Lock()
	s.mu.flushes = append(s.mu.flushes, done)
	s.mu.Unlock()
	s.kick()
	select {
	case <-done:
		return nil
	case <-s.ended:
		return ErrStandby
	case <-ctx.Done():
		return ctx.Err()
	}
}

// target is the table as its services see it.
func (s *session) target() tableservice.Target {
	return tableservice.Target{Writer: s.writer, Type: s.table.Type(), Exclusive: s.exclusive, Last: s.lastServices}
}

// exclusive runs f while nothing else of this session writes to the table.
func (s *session) exclusive(ctx context.Context, f func() error) error {
	select {
	case <-s.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { s.turn <- struct{}{} }()
	return f()
}

// loop commits whenever rows are due. It returns nil when ctx ends.
func (s *session) loop(ctx, work context.Context, lost <-chan error) error {
	for {
		if err := s.wait(ctx, lost); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		due, idle, flushes := s.look(time.Now())
		if due {
			if err := s.commitBuffered(work); err != nil {
				return err
			}
		}
		if idle {
			if err := s.stillOwner(ctx); err != nil {
				return err
			}
		}
		for _, done := range flushes {
			close(done)
		}
	}
}

// wait returns when there may be something to do, or with the reason when the table was lost.
func (s *session) wait(ctx context.Context, lost <-chan error) error {
	s.mu.Lock()
	at, waiting := s.mu.buffer.Deadline()
	s.mu.Unlock()
	if !waiting {
		at = time.Now().Add(s.t.p.Policy.Age)
	}
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-s.wake:
	case <-timer.C:
	case err := <-lost:
		return err
	}
	return nil
}

// look tells whether to commit, or that nothing waits, and who waits for the commit.
func (s *session) look(now time.Time) (due, idle bool, flushes []chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	flushes, s.mu.flushes = s.mu.flushes, nil
	due = s.mu.buffer.Due(now) || s.mu.hurry || len(flushes) > 0
	s.mu.hurry = false
	return due, s.mu.buffer.Events() == 0, flushes
}

// stillOwner looks whether another instance has taken the table, which an idle one would not notice.
func (s *session) stillOwner(ctx context.Context) error {
	head, err := s.table.Head(ctx)
	if err != nil {
		return nil // the next commit will tell
	}
	if head.Epoch != s.writer.Head().Epoch {
		return fmt.Errorf("epoch %d after %d: %w", head.Epoch, s.writer.Head().Epoch, hudi.ErrFenced)
	}
	return nil
}

// drop forgets what is buffered.
func (s *session) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.t.p.Account.Release(s.mu.buffer.Take().Bytes)
}

// commitBuffered commits the rows that wait, if any.
func (s *session) commitBuffered(ctx context.Context) error {
	s.mu.Lock()
	if s.mu.buffer.Events() == 0 {
		s.mu.Unlock()
		return nil
	}
	batch := s.mu.buffer.Take()
	s.mu.Unlock()
	defer s.t.p.Account.Release(batch.Bytes)
	return s.commit(ctx, batch)
}

// commit makes one commit, however often it has to try. An error means that the session is over: the
// table is lost, HEAD is not where it was left, or ctx has ended. The rows are then read again by
// whoever comes next, and are in the table once whatever became of this attempt.
func (s *session) commit(ctx context.Context, batch buffer.Batch) error {
	return s.exclusive(ctx, func() error {
		// A table service that was cut off may have left an attempt undecided, whose outcome is not this commit's.
		if _, err := s.resolve(ctx); err != nil && !errors.Is(err, hudi.ErrNotCommitted) {
			return fmt.Errorf("settle table %s: %w", s.t.label, err)
		}
		if err := s.refuse(ctx, batch.Refused); err != nil {
			return err
		}
		req := s.request(batch)
		started := time.Now()
		result, err := s.insist(ctx, req)
		if err != nil {
			return err
		}
		s.committed(batch, req, result, started)
		return s.show(ctx, result)
	})
}

// refuse makes the refused events of a batch durable where dead letters go, for as long as it takes: the commit's offsets pass them. When
// that commit fails they are refused again, so a dead letter can be there twice; it names its place in Kafka.
func (s *session) refuse(ctx context.Context, events []record.Refused) error {
	for attempt := 0; len(events) > 0; attempt++ {
		err := s.t.p.Effects.Refuse(ctx, events)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return fmt.Errorf("refuse events of table %s: %w; last error: %v", s.t.label, context.Cause(ctx), err)
		}
		s.t.fail(fmt.Errorf("write %d dead letters: %w", len(events), err))
		s.t.pause(ctx, attempt)
	}
	for i := range events {
		s.t.p.Metrics.refused.WithLabelValues(s.t.label, events[i].Cause).Inc()
	}
	return nil
}

// insist commits until it is done or must not be tried again.
func (s *session) insist(ctx context.Context, req hudi.CommitRequest) (*hudi.CommitResult, error) {
	for attempt := 0; ; attempt++ {
		result, err := s.writer.Commit(ctx, req)
		if errors.Is(err, hudi.ErrUnknownOutcome) {
			result, err = s.resolve(ctx)
		}
		if errors.Is(err, hudi.ErrCompactFirst) {
			err = s.compactAll(ctx)
			if err == nil {
				continue
			}
		}
		switch {
		case err == nil:
			return result, nil
		case errors.Is(err, hudi.ErrFenced):
			s.t.p.Metrics.commits.WithLabelValues(s.t.label, "fenced").Inc()
			return nil, err
		case errors.Is(err, hudi.ErrConflict):
			return nil, fmt.Errorf("commit to table %s: %w", s.t.label, err)
		case ctx.Err() != nil:
			return nil, fmt.Errorf("commit to table %s: %w; last error: %v", s.t.label, context.Cause(ctx), err)
		}
		s.t.p.Metrics.commits.WithLabelValues(s.t.label, "retried").Inc()
		s.t.fail(fmt.Errorf("commit: %w", err))
		s.t.pause(ctx, attempt)
	}
}

// compactAll folds in every log of the older schema, without which the table's schema may not change.
func (s *session) compactAll(ctx context.Context) error {
	s.t.p.Logger.Info("compacting before the schema changes", "table", s.t.label)
	_, err := s.writer.Compact(ctx, hudi.CompactOptions{})
	if errors.Is(err, hudi.ErrUnknownOutcome) {
		_, err = s.resolve(ctx)
	}
	if err != nil {
		return fmt.Errorf("compact before the schema changes: %w", err)
	}
	return nil
}

// resolve finds out what became of an attempt whose answer was lost, for as long as it takes: until that
// is known, nothing else may happen to the table. Without such an attempt it returns nothing.
func (s *session) resolve(ctx context.Context) (*hudi.CommitResult, error) {
	for attempt := 0; ; attempt++ {
		result, err := s.writer.Resolve(ctx)
		if result != nil || err != nil {
			s.t.p.Metrics.commits.WithLabelValues(s.t.label, "unknown").Inc()
		}
		if !errors.Is(err, hudi.ErrUnknownOutcome) || ctx.Err() != nil {
			return result, err
		}
		s.t.fail(fmt.Errorf("find out what became of a commit: %w", err))
		s.t.pause(ctx, attempt)
	}
}

// show puts a commit on the timeline, where readers look, when the commit itself could not. Nothing
// more is committed before that.
func (s *session) show(ctx context.Context, result *hudi.CommitResult) error {
	for attempt := 0; !result.Projected; attempt++ {
		err := s.writer.Redo(ctx)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return fmt.Errorf("show commit %s of table %s: %w; last error: %v", result.Instant, s.t.label, context.Cause(ctx), err)
		}
		s.t.fail(fmt.Errorf("show commit %s: %w", result.Instant, err))
		s.t.pause(ctx, attempt)
	}
	s.t.healthy()
	return nil
}

// request describes the commit of a batch.
func (s *session) request(batch buffer.Batch) hudi.CommitRequest {
	req := hudi.CommitRequest{
		Operation: s.operation(), LogFormat: s.t.p.LogFormat,
		Groups: batch.Groups, WriterSchemas: s.conv.Writers(),
		Progress: make(hudi.Progress), Watermark: watermark(batch),
	}
	if schema := s.conv.TableSchema(); schema != s.schema {
		req.TableSchema = schema
	}
	for stream, r := range batch.Ranges {
		if req.Progress[stream.Topic] == nil {
			req.Progress[stream.Topic] = make(map[int32]hudi.Range)
		}
		req.Progress[stream.Topic][stream.Partition] = hudi.Range{From: r.From, Next: r.Next}
	}
	return req
}

// operation is how the table takes an event that it has already. Logs are written without a look at what the table holds; where the base
// file is rewritten anyway, the first one can win.
func (s *session) operation() hudi.Operation {
	if s.table.Type() == hudi.MergeOnRead {
		return hudi.Upsert
	}
	return hudi.Insert
}

// watermark is the Kafka time up to which every partition of the batch was read: the earliest of their
// last rows.
func watermark(batch buffer.Batch) time.Time {
	var lowest int64
	for _, r := range batch.Ranges {
		if r.Last != 0 && (lowest == 0 || r.Last < lowest) {
			lowest = r.Last
		}
	}
	return time.UnixMilli(lowest).UTC()
}

// committed tells everybody about a commit.
func (s *session) committed(batch buffer.Batch, req hudi.CommitRequest, result *hudi.CommitResult, started time.Time) {
	if req.TableSchema != "" {
		s.schema = req.TableSchema
	}
	t, m, took := s.t, s.t.p.Metrics, time.Since(started)
	head := s.writer.Head()
	t.seeHead(head)
	t.mu.Lock()
	t.mu.status.Commits++
	t.mu.status.Rows += uint64(result.Rows)
	t.mu.status.Duplicates += uint64(result.Duplicates)
	t.mu.status.Refused += uint64(len(batch.Refused))
	t.mu.Unlock()
	fresh := time.Since(time.UnixMilli(batch.First))
	m.commits.WithLabelValues(t.label, "committed").Inc()
	m.rows.WithLabelValues(t.label).Add(float64(result.Rows))
	m.duplicates.WithLabelValues(t.label).Add(float64(result.Duplicates))
	m.bytes.WithLabelValues(t.label).Add(float64(result.Bytes))
	m.duration.WithLabelValues(t.label).Observe(took.Seconds())
	m.freshness.WithLabelValues(t.label).Observe(fresh.Seconds())
	t.p.Effects.Committed(head.Offsets)
	t.p.Services.Committed(result.Bytes)
	t.p.Logger.Info("committed", "table", t.label, "instant", result.Instant, "rows", result.Rows,
		"duplicates", result.Duplicates, "refused", len(batch.Refused), "files", result.Files, "bytes", result.Bytes,
		"duration_ms", took.Milliseconds(), "oldest_ms", fresh.Milliseconds())
}
