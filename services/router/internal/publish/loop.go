package publish

import (
	"context"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/playhead-pipeline/playhead/services/router/internal/record"
)

// loop is the state of the producer's only loop.
type loop struct {
	busy     []*partition // may have something to send
	spare    []*partition // buffer for the next busy
	conns    map[int32]*conn
	metadata *metadata
	answers  []answer // buffer
	building map[*conn]*request
	turn     int // where the next pass over busy begins, so that no partition is last for ever
	wg       sync.WaitGroup
}

// runLoop owns all lanes until ctx ends.
func (p *Producer) runLoop(ctx context.Context, conf *sarama.Config) {
	l := &p.loop
	l.conns = make(map[int32]*conn)
	l.building = make(map[*conn]*request)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		now := time.Now()
		p.readMail(now)
		if l.metadata != nil {
			timer.Reset(p.dispatch(now, conf).Sub(now))
		}
		select {
		case <-ctx.Done():
		case <-p.mail.notify:
		case <-timer.C:
		}
	}
	for _, c := range l.conns {
		p.retire(c)
	}
	l.wg.Wait()
	p.readMail(time.Now())
}

// readMail handles answers and metadata, and takes over partitions that have become active.
func (p *Producer) readMail(now time.Time) {
	l := &p.loop
	answers, md := p.mail.take(l.answers[:0])
	for _, a := range answers {
		p.handleAnswer(now, a)
	}
	clear(answers)
	l.answers = answers
	if md != nil {
		p.adopt(md)
	}
	p.activated.Lock()
	l.busy = append(l.busy, p.activated.list...)
	clear(p.activated.list)
	p.activated.list = p.activated.list[:0]
	p.activated.Unlock()
}

// adopt takes over leaders. One with a lower epoch comes from a broker that is behind.
func (p *Producer) adopt(md *metadata) {
	p.loop.metadata = md
	for name, t := range p.topics {
		for i, part := range t.partitions {
			lead, ok := md.leaders[partitionKey{name, int32(i)}]
			if ok && lead.epoch >= part.epoch {
				part.leader, part.epoch = lead.broker, lead.epoch
			}
		}
	}
}

// dispatch sends what may be sent, and returns when to look again if nothing happens before.
func (p *Producer) dispatch(now time.Time, conf *sarama.Config) time.Time {
	l := &p.loop
	next := now.Add(time.Minute)
	kept := l.spare[:0]
	l.turn++
	for i := range l.busy {
		part := l.busy[(i+l.turn)%len(l.busy)]
		due, idle := p.collect(part, now)
		if idle {
			continue
		}
		kept = append(kept, part)
		if part.lane.ready(now) {
			p.offer(part, now, conf)
		}
		if !part.lane.inFlight && !part.lane.stalled {
			if len(part.lane.queue) > 0 {
				due = part.lane.retryAt
			}
			if due.After(now) && due.Before(next) {
				next = due
			}
		}
	}
	l.busy, l.spare = kept, l.busy
	for c, req := range l.building {
		c.outstanding++
		c.work <- req
		p.metrics.requests.Inc()
	}
	clear(l.building)
	return next
}

// collect moves closed batches into the lane, closes the open one when its time has come and the lane has nothing better to do, and
// returns when that will be. idle means that there is nothing left: the partition has left the loop's list.
func (p *Producer) collect(part *partition, now time.Time) (due time.Time, idle bool) {
	part.mu.Lock()
	defer part.mu.Unlock()
	for _, b := range part.mu.full {
		b.seal(p.codec, p.level)
		part.lane.push(b)
	}
	clear(part.mu.full)
	part.mu.full = part.mu.full[:0]
	if len(part.lane.queue) == 0 && part.mu.open != nil {
		due = part.mu.open.opened.Add(p.p.Config.Linger.D())
		if !due.After(now) {
			b := part.mu.open
			part.mu.open = nil
			b.seal(p.codec, p.level)
			part.lane.push(b)
		}
	}
	if len(part.lane.queue) == 0 && part.mu.open == nil {
		part.mu.active = false
		return due, true
	}
	return due, false
}

// offer puts the head of a ready lane into the request for its leader, if there is room.
func (p *Producer) offer(part *partition, now time.Time, conf *sarama.Config) {
	c := p.connTo(part, conf)
	if c == nil {
		part.lane.postpone(now, "no leader is known")
		p.publishStatus(part)
		p.askRefresh()
		return
	}
	if c.outstanding >= maxOutstanding {
		return // its next answer wakes the loop
	}
	size := part.lane.queue[0].size()
	req := p.loop.building[c]
	if req != nil && req.bytes+size > int(p.p.Config.RequestBytes) {
		return // the loop comes back when an answer is there, at the latest that of this request
	}
	head := part.lane.send(now, p.loop.metadata.producerID, p.p.Config.resendLimit())
	if head == nil {
		p.stalled(part)
		return
	}
	if req == nil {
		req = &request{conn: c, wire: &sarama.ProduceRequest{
			RequiredAcks: sarama.WaitForAll,
			Timeout:      int32(conf.Producer.Timeout / time.Millisecond),
			Version:      produceVersion,
		}}
		p.loop.building[c] = req
	}
	req.wire.AddBatch(part.lane.topic, part.lane.partition, &head.wire)
	req.parts = append(req.parts, part)
	req.bytes += size
}

// connTo returns the connection to the partition's leader, nil when no leader is known.
func (p *Producer) connTo(part *partition, conf *sarama.Config) *conn {
	if part.leader < 0 {
		return nil
	}
	lead := p.loop.metadata.leaders[partitionKey{part.lane.topic, part.lane.partition}]
	c := p.loop.conns[part.leader]
	if c != nil && lead.broker == part.leader && lead.addr != c.addr {
		p.retire(c) // the broker has moved
		c = nil
	}
	if c == nil {
		if lead.broker != part.leader || lead.addr == "" {
			return nil
		}
		c = newConn(lead.addr)
		p.loop.conns[part.leader] = c
		p.loop.wg.Go(func() { c.run(conf, p.mail.postAnswer) })
	}
	return c
}

// retire gives a connection up. Its outstanding requests still get their answers.
func (p *Producer) retire(c *conn) {
	if c.retired {
		return
	}
	c.retired = true
	close(c.work)
	for id, other := range p.loop.conns {
		if other == c {
			delete(p.loop.conns, id)
		}
	}
}

// handleAnswer gives every lane of the request its part of the answer.
func (p *Producer) handleAnswer(now time.Time, a answer) {
	a.req.conn.outstanding--
	if a.err != nil {
		p.retire(a.req.conn)
	}
	for _, part := range a.req.parts {
		r := reply{lost: true}
		if a.err == nil {
			if block := a.resp.GetBlock(part.lane.topic, part.lane.partition); block != nil {
				r = reply{code: block.Err, offset: block.Offset}
				for _, e := range block.RecordErrors {
					r.refused = append(r.refused, e.BatchIndex)
				}
			}
		}
		p.apply(part, r, part.lane.answer(now, r), now)
	}
}

// apply carries out what a lane answered.
func (p *Producer) apply(part *partition, r reply, e effect, now time.Time) {
	if e.refresh {
		p.askRefresh()
	}
	if e.done != nil {
		p.metrics.delivered(part.lane.topic, e.done, now)
		for _, run := range e.done.runs {
			run.owner.Acked(run.n)
		}
		p.pool.put(e.done)
	} else {
		p.metrics.failures.WithLabelValues(part.lane.topic, r.meaning().name).Inc()
	}
	for _, i := range e.refused {
		m := r.meaning()
		err := &record.RefusedError{Topic: part.lane.topic, Partition: part.lane.partition, Reason: m.name, TooLarge: m.class == tooLarge}
		e.refusedFrom.owner(i).Refused(e.refusedFrom.entries[i].tag, err)
	}
	if e.stalled {
		p.stalled(part)
	}
	p.publishStatus(part)
}

// stalled raises the alarm. It happens once per partition.
func (p *Producer) stalled(part *partition) {
	p.metrics.stalled.Inc()
	p.p.Logger.Error("partition stopped; its records are not acknowledged until an operator restarts the router",
		"topic", part.lane.topic, "partition", part.lane.partition, "reason", part.lane.trouble)
	p.publishStatus(part)
}

func (p *Producer) publishStatus(part *partition) {
	part.status.Store(&PartitionStatus{
		Topic:      part.lane.topic,
		Partition:  part.lane.partition,
		Queued:     len(part.lane.queue),
		NextOffset: part.lane.nextOffset,
		Trouble:    part.lane.trouble,
		Stalled:    part.lane.stalled,
	})
}
