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
	from   Offsets // of HEAD when the session began
	schema string  // of the table, as committed

	mu struct {
		sync.Mutex
		buffer  *buffer.Buffer
		hurry   bool
		flushes []chan struct{}
	}
}

func newSession(t *Table, table *hudi.Table, writer *hudi.Writer, conv *convert.Converter) *session {
	s := &session{
		t: t, table: table, writer: writer, conv: conv, from: writer.Head().Offsets, schema: conv.TableSchema(),
		wake: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	s.mu.buffer = buffer.New(t.p.Policy)
	return s
}

// run reads and commits until ctx ends, then commits what is left with work. It returns nil or why the
// table was lost.
func (s *session) run(ctx, work context.Context) error {
	reading, stop := context.WithCancel(ctx)
	defer stop()
	var reader sync.WaitGroup
	reader.Go(func() {
		if err := s.t.p.Effects.Read(reading, s.start, s.deliver); err != nil {
			s.t.note(fmt.Errorf("read topic %s: %w", s.t.p.Topic, err))
		}
	})
	err := s.loop(ctx, work)
	stop()
	reader.Wait()
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
	first := s.mu.buffer.Rows() == 0
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

// loop commits whenever rows are due. It returns nil when ctx ends.
func (s *session) loop(ctx, work context.Context) error {
	for {
		s.wait(ctx)
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

// wait returns when there may be something to do.
func (s *session) wait(ctx context.Context) {
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
	}
}

// look tells whether to commit, or that nothing waits, and who waits for the commit.
func (s *session) look(now time.Time) (due, idle bool, flushes []chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	flushes, s.mu.flushes = s.mu.flushes, nil
	due = s.mu.buffer.Due(now) || s.mu.hurry || len(flushes) > 0
	s.mu.hurry = false
	return due, s.mu.buffer.Rows() == 0, flushes
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
	if s.mu.buffer.Rows() == 0 {
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
	req := s.request(batch)
	started := time.Now()
	for attempt := 0; ; attempt++ {
		result, err := s.writer.Commit(ctx, req)
		if errors.Is(err, hudi.ErrUnknownOutcome) {
			result, err = s.resolve(ctx)
		}
		switch {
		case err == nil:
			s.committed(batch, req, result, started)
			return s.show(ctx, result)
		case errors.Is(err, hudi.ErrFenced):
			s.t.p.Metrics.commits.WithLabelValues(s.t.label, "fenced").Inc()
			return err
		case errors.Is(err, hudi.ErrConflict):
			return fmt.Errorf("commit to table %s: %w", s.t.label, err)
		case ctx.Err() != nil:
			return fmt.Errorf("commit to table %s: %w; last error: %v", s.t.label, context.Cause(ctx), err)
		}
		s.t.p.Metrics.commits.WithLabelValues(s.t.label, "retried").Inc()
		s.t.fail(fmt.Errorf("commit: %w", err))
		s.t.pause(ctx, attempt)
	}
}

// resolve finds out what became of a commit whose answer was lost, for as long as it takes: until that
// is known, nothing else may happen to the table.
func (s *session) resolve(ctx context.Context) (*hudi.CommitResult, error) {
	for attempt := 0; ; attempt++ {
		s.t.p.Metrics.commits.WithLabelValues(s.t.label, "unknown").Inc()
		result, err := s.writer.Resolve(ctx)
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
	t.mu.Unlock()
	fresh := time.Since(time.UnixMilli(batch.First))
	m.commits.WithLabelValues(t.label, "committed").Inc()
	m.rows.WithLabelValues(t.label).Add(float64(result.Rows))
	m.duplicates.WithLabelValues(t.label).Add(float64(result.Duplicates))
	m.bytes.WithLabelValues(t.label).Add(float64(result.Bytes))
	m.duration.WithLabelValues(t.label).Observe(took.Seconds())
	m.freshness.WithLabelValues(t.label).Observe(fresh.Seconds())
	t.p.Effects.Committed(head.Offsets)
	t.p.Logger.Info("committed", "table", t.label, "instant", result.Instant, "rows", result.Rows,
		"duplicates", result.Duplicates, "files", result.Files, "bytes", result.Bytes,
		"duration_ms", took.Milliseconds(), "oldest_ms", fresh.Milliseconds())
}
