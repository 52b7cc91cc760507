package consume

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

// loop fetches the partitions of one leader over a connection of its own: a fetch holds the
// connection until its answer is there, so nothing else may share it.
type loop struct {
	c      *Consumer
	addr   string
	config *sarama.Config
	cancel context.CancelFunc
	wake   chan struct{}

	broker *sarama.Broker
	// isolate makes the loop fetch one partition at a time: sarama gives up a whole answer when one
	// batch in it does not decode.
	isolate bool

	mu struct {
		sync.Mutex
		partitions []*partition
		waiting    bool
	}
}

func (l *loop) add(p *partition) {
	l.mu.Lock()
	l.mu.partitions = append(l.mu.partitions, p)
	l.mu.Unlock()
	select { // a full channel means that the loop looks again anyway
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *loop) drop(p *partition) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.partitions = slices.DeleteFunc(l.mu.partitions, func(q *partition) bool { return q == p })
}

func (l *loop) owned() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.mu.partitions)
}

func (l *loop) addWaiting(into map[key]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.mu.waiting {
		return
	}
	for _, p := range l.mu.partitions {
		into[p.key] = true
	}
}

func (l *loop) setWaiting(waiting bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.waiting = waiting
}

func (l *loop) run(ctx context.Context) {
	defer l.cancel()
	defer l.disconnect()
	for ctx.Err() == nil {
		due, at := l.due(time.Now())
		if len(due) == 0 {
			l.sleep(ctx, at)
			continue
		}
		if !l.charge(ctx) {
			return
		}
		if l.isolate {
			l.fetchAlone(ctx, due)
		} else {
			l.fetchAll(ctx, due)
		}
		l.c.p.Gate.Release(maxAnswerBytes)
	}
}

// charge reserves room for one answer and tells the caller's Blocked when it has to wait for it.
func (l *loop) charge(ctx context.Context) bool {
	gate := l.c.p.Gate
	if gate.TryAcquire(maxAnswerBytes) {
		return true
	}
	l.setWaiting(true)
	l.c.p.Metrics.waiting.Inc()
	defer l.setWaiting(false)
	defer l.c.p.Metrics.waiting.Dec()
	l.c.p.Blocked()
	return gate.Acquire(ctx, maxAnswerBytes) == nil
}

// due returns the partitions to fetch now, or when the next one is due.
func (l *loop) due(now time.Time) ([]*partition, time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := now.Add(time.Hour)
	var due []*partition
	for _, p := range l.mu.partitions {
		if p.notBefore.After(now) {
			if p.notBefore.Before(at) {
				at = p.notBefore
			}
			continue
		}
		due = append(due, p)
	}
	return due, at
}

func (l *loop) sleep(ctx context.Context, until time.Time) {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-l.wake:
	case <-timer.C:
	}
}

func (l *loop) fetchAll(ctx context.Context, due []*partition) {
	response, err := l.fetch(due)
	if err == nil {
		l.handle(ctx, due, response)
		return
	}
	if undecodable(err) {
		l.isolate = len(due) > 1
		if !l.isolate {
			l.refuse(due[0], err)
		}
		return
	}
	l.lost(ctx, due, err)
}

// fetchAlone fetches partitions one by one, once round, to find the one that spoils the answers.
func (l *loop) fetchAlone(ctx context.Context, due []*partition) {
	bad := false
	for _, p := range due {
		if ctx.Err() != nil {
			return
		}
		one := []*partition{p}
		response, err := l.fetch(one)
		switch {
		case err == nil:
			p.undecodable = 0
			l.handle(ctx, one, response)
		case undecodable(err):
			bad = true
			l.refuse(p, err)
		default:
			l.lost(ctx, one, err)
		}
	}
	l.isolate = bad
}

// refuse counts an answer that does not decode and halts the partition when it happens again and again.
func (l *loop) refuse(p *partition, err error) {
	p.undecodable++
	if p.undecodable < undecodableLimit {
		p.notBefore = time.Now().Add(backOff(p.undecodable))
		return
	}
	l.drop(p)
	l.c.halt(p, fmt.Sprintf("the batch at offset %d does not decode: %v", p.next, err))
}

// lost handles a connection that failed: the leader may be elsewhere by now.
func (l *loop) lost(ctx context.Context, due []*partition, err error) {
	if ctx.Err() != nil {
		return
	}
	for _, p := range due {
		l.drop(p)
		l.c.giveBack(p, fmt.Sprintf("fetch from %s: %v", l.addr, err))
	}
}

// undecodable tells answers that came whole but hold bytes that sarama refuses from failures of the connection.
func undecodable(err error) bool {
	if errors.Is(err, sarama.ErrDecompressedBatchTooLarge) || errors.Is(err, sarama.ErrInsufficientData) {
		return true
	}
	_, ok := errors.AsType[sarama.PacketDecodingError](err)
	return ok
}

// fetch sends one request and waits for its answer. The connection is closed after an error.
func (l *loop) fetch(due []*partition) (*sarama.FetchResponse, error) {
	if l.broker == nil {
		l.broker = sarama.NewBroker(l.addr)
		if err := l.broker.Open(l.config); err != nil {
			l.broker = nil
			return nil, fmt.Errorf("open connection: %w", err)
		}
	}
	request := &sarama.FetchRequest{
		Version: fetchVersion, MinBytes: 1, MaxBytes: maxAnswerBytes,
		MaxWaitTime: int32(maxWait / time.Millisecond), Isolation: sarama.ReadCommitted,
		SessionID: 0, SessionEpoch: -1, // a full fetch outside a session (KIP-227)
	}
	for _, p := range due {
		request.AddBlock(p.topic, p.id, p.next, p.maxBytes, p.leaderEpoch)
	}
	response, err := l.broker.Fetch(request)
	if err == nil && response.ErrorCode != 0 {
		err = sarama.KError(response.ErrorCode)
	}
	if err != nil {
		l.c.p.Metrics.fetches.WithLabelValues("error").Inc()
		l.disconnect()
		return nil, err
	}
	l.c.p.Metrics.fetches.WithLabelValues("ok").Inc()
	return response, nil
}

func (l *loop) disconnect() {
	if l.broker != nil {
		_ = l.broker.Close()
		l.broker = nil
	}
}

func (l *loop) handle(ctx context.Context, due []*partition, response *sarama.FetchResponse) {
	for _, p := range due {
		block := response.GetBlock(p.topic, p.id)
		if block == nil || ctx.Err() != nil {
			continue
		}
		if block.Err != sarama.ErrNoError {
			l.refused(p, block)
			continue
		}
		l.deliver(ctx, p, block)
	}
}

// refused handles an error of one partition. Every one but an offset out of range is a matter of
// leaders, replicas or rights, which change; the partition tries again and tells why it waits.
func (l *loop) refused(p *partition, block *sarama.FetchResponseBlock) {
	l.c.p.Metrics.fetches.WithLabelValues("partition_error").Inc()
	l.drop(p)
	if block.Err == sarama.ErrOffsetOutOfRange {
		l.c.halt(p, l.outOfRange(p))
		return
	}
	l.c.giveBack(p, block.Err.Error())
}

// outOfRange names the range that the broker has, so that the loss is known and not guessed.
func (l *loop) outOfRange(p *partition) string {
	oldest, errOldest := l.offset(p, sarama.OffsetOldest)
	newest, errNewest := l.offset(p, sarama.OffsetNewest)
	switch {
	case errOldest != nil || errNewest != nil:
		return fmt.Sprintf("offset %d is out of range", p.next)
	case p.next < oldest:
		return fmt.Sprintf("offset %d is out of range: the log begins at %d, %d events were deleted before they were read",
			p.next, oldest, oldest-p.next)
	default:
		return fmt.Sprintf("offset %d is out of range: the log ends at %d, it was truncated or the topic was made anew", p.next, newest)
	}
}

func (l *loop) offset(p *partition, at int64) (int64, error) {
	request := &sarama.OffsetRequest{Version: 1}
	request.AddBlock(p.topic, p.id, at, 1)
	response, err := l.broker.GetAvailableOffsets(request)
	if err != nil {
		return 0, fmt.Errorf("list offsets: %w", err)
	}
	block := response.GetBlock(p.topic, p.id)
	if block == nil || block.Err != sarama.ErrNoError {
		return 0, errors.New("list offsets: no answer for the partition")
	}
	return block.Offset, nil
}

// deliver hands the events of block to the caller and moves the partition as far as they were taken.
func (l *loop) deliver(ctx context.Context, p *partition, block *sarama.FetchResponseBlock) {
	w, fault := walk(block, p.next, p.epoch)
	var err error
	if w.next > p.next {
		chunk := w.chunk(p.topic, p.id, p.next)
		p.next, err = l.c.p.Deliver(ctx, chunk)
		p.maxBytes = maxPartitionBytes
		if err == nil {
			p.epoch = w.epoch
			l.c.p.Metrics.records.Add(float64(chunk.Count))
			l.c.p.Metrics.bytes.Add(float64(chunk.Bytes))
		}
	} else if w.truncated && fault == nil {
		fault = p.grow()
	}
	if err == nil {
		err = fault
	}
	l.settle(ctx, p, block.HighWaterMarkOffset, err)
}

// grow widens the share of a partition whose next batch did not fit.
func (p *partition) grow() error {
	if p.maxBytes >= maxBatchBytes {
		return halt("the batch at offset %d is larger than %d bytes", p.next, maxBatchBytes)
	}
	p.maxBytes *= 2
	return nil
}

func (l *loop) settle(ctx context.Context, p *partition, highWatermark int64, err error) {
	if reason, ok := isHalt(err); ok {
		l.drop(p)
		l.c.note(p, func(s *Status) { s.HighWatermark = highWatermark })
		l.c.halt(p, reason)
		return
	}
	reason := ""
	if err != nil && ctx.Err() == nil {
		p.notBefore = time.Now().Add(backOff(p.failures + 3))
		p.failures++
		reason = err.Error()
	}
	if err == nil {
		p.failures = 0
	}
	l.c.note(p, func(s *Status) { s.HighWatermark, s.Reason = highWatermark, reason })
}
