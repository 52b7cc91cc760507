package publish

import (
	"fmt"
	"math"
	"time"

	"github.com/IBM/sarama"
)

// lane is the state machine of one partition: a FIFO of sealed batches, of which at most one, the head, is in flight. It performs no
// effects and reads no clock; the loop does what it answers.
//
// What makes it safe (observed on Apache Kafka 4.3.1, see the README):
//   - The broker recognises a repeated batch by producer id, epoch, first and last sequence. A batch that was sent once is therefore never
//     changed, except after an answer that proves that it was refused as a whole.
//   - After a crash a broker remembers one batch per producer and partition. A second batch must not be sent before the first is answered.
//   - The sequence advances when a batch is acknowledged. A refused batch leaves its sequence to the next one, so there is never a hole.
//   - The broker forgets a producer after producer.id.expiration.ms, and would then take a repeated batch as a new one: a batch whose outcome is
//     unknown is not sent again after resendLimit.
type lane struct {
	topic     string
	partition int32

	queue    []*batch
	sequence int32
	epoch    int16
	inFlight bool
	attempts int // failed ones of the head in a row
	retryAt  time.Time
	// trouble is why the head did not pass at the last attempt, empty when it did or was not tried yet; stalled is set when only an operator can help.
	trouble string
	stalled bool
	// nextOffset is the offset after the last acknowledged record, -1 before the first.
	nextOffset int64
}

// Back-off between attempts of one partition.
const (
	firstBackoff  = 100 * time.Millisecond
	maxBackoff    = time.Second
	deniedBackoff = 5 * time.Second
)

// reply is the end of an attempt.
type reply struct {
	// lost: there was no answer for the partition.
	lost   bool
	code   sarama.KError
	offset int64
	// refused are the indexes of the records that the broker named.
	refused []int32
}

func (r reply) meaning() meaning {
	if r.lost {
		return transport
	}
	return meaningOf(r.code)
}

// effect is what the loop has to do after a reply.
type effect struct {
	// done is a batch to acknowledge to its owners and to recycle.
	done *batch
	// refusedFrom and refused name records to hand back to their owners as refused.
	refusedFrom *batch
	refused     []int
	// refresh: ask who leads.
	refresh bool
	// stalled: the lane has just stopped for good.
	stalled bool
}

func (l *lane) push(b *batch) { l.queue = append(l.queue, b) }

// ready tells whether the head may be sent at now.
func (l *lane) ready(now time.Time) bool {
	return len(l.queue) > 0 && !l.inFlight && !l.stalled && !now.Before(l.retryAt)
}

// send returns the head, stamped with its sequence, as an attempt that begins at now. It returns nil when the head must not be sent any more;
// the lane has stalled then.
func (l *lane) send(now time.Time, producerID int64, resendLimit time.Duration) *batch {
	head := l.queue[0]
	if head.ambiguous && now.Sub(head.firstSent) > resendLimit {
		l.stall(fmt.Sprintf("a batch without an answer is older than %s: the broker may have forgotten the producer, a resend could repeat it", resendLimit))
		return nil
	}
	if head.firstSent.IsZero() {
		head.firstSent = now
	}
	head.wire.ProducerID, head.wire.ProducerEpoch, head.wire.FirstSequence = producerID, l.epoch, l.sequence
	l.inFlight = true
	return head
}

// postpone sets the time of the next attempt after one that did not pass, or that could not begin.
func (l *lane) postpone(now time.Time, why string) {
	l.attempts++
	l.retryAt = now.Add(backoff(l.attempts))
	l.trouble = why
}

// answer takes the end of the attempt that send began.
func (l *lane) answer(now time.Time, r reply) effect {
	l.inFlight = false
	head := l.queue[0]
	m := r.meaning()
	switch m.class {
	case delivered:
		return l.deliver(head, r.offset)
	case lostState:
		l.stall(fmt.Sprintf("the broker answered %s: it has lost acknowledged records or its memory of them", m.name))
		return effect{stalled: true}
	case tooLarge:
		if head.len() > 1 {
			half := head.len() / 2
			l.replaceHead(head.subset(func(i int) bool { return i < half }), head.subset(func(i int) bool { return i >= half }))
			return effect{}
		}
		return l.refuse(head, []int{0})
	case invalid:
		return l.refuseInvalid(head, r.refused)
	case retryRefresh, retry, denied:
	}
	head.ambiguous = head.ambiguous || m.ambiguous
	l.postpone(now, m.name)
	if m.class == denied {
		l.retryAt = now.Add(deniedBackoff)
	}
	return effect{refresh: m.class == retryRefresh}
}

func (l *lane) deliver(head *batch, offset int64) effect {
	l.pop()
	l.sequence = addSequence(l.sequence, head.len())
	if offset >= 0 { // sarama answers -1 for an unknown one
		l.nextOffset = max(l.nextOffset, offset+int64(head.len()))
	}
	return effect{done: head}
}

// refuseInvalid hands the named records back and keeps the others. Without names it halves the batch until the record stands alone.
func (l *lane) refuseInvalid(head *batch, named []int32) effect {
	var refused []int
	for _, i := range named {
		if i >= 0 && int(i) < head.len() {
			refused = append(refused, int(i))
		}
	}
	if len(refused) > 0 {
		return l.refuse(head, refused)
	}
	if head.len() == 1 {
		return l.refuse(head, []int{0})
	}
	half := head.len() / 2
	l.replaceHead(head.subset(func(i int) bool { return i < half }), head.subset(func(i int) bool { return i >= half }))
	return effect{}
}

func (l *lane) refuse(head *batch, refused []int) effect {
	gone := make(map[int]bool, len(refused))
	for _, i := range refused {
		gone[i] = true
	}
	if rest := head.subset(func(i int) bool { return !gone[i] }); rest != nil {
		l.replaceHead(rest)
		return effect{refusedFrom: head, refused: refused}
	}
	l.pop()
	if head.ambiguous {
		// An earlier attempt may have been appended before the topic's limits changed. Then the next batch, were it to get the same
		// sequences, would be taken for a repetition and dropped by the broker. A new epoch rules that out.
		l.epoch++
		l.sequence = 0
	}
	return effect{refusedFrom: head, refused: refused}
}

// replaceHead puts batches in the place of the head, which was refused as a whole. They take over its sequence; if the head was in the log after
// all, the broker answers OUT_OF_ORDER, since no length matches, and the lane stalls instead of repeating records. The batches are as
// old as the head, and as uncertain.
func (l *lane) replaceHead(with ...*batch) {
	head := l.queue[0]
	for _, b := range with {
		b.ambiguous, b.firstSent = head.ambiguous, head.firstSent
	}
	l.queue = append(with, l.queue[1:]...)
	l.progress()
}

func (l *lane) pop() {
	l.queue[0] = nil
	l.queue = l.queue[1:]
	l.progress()
}

func (l *lane) progress() {
	l.attempts, l.retryAt, l.trouble = 0, time.Time{}, ""
}

func (l *lane) stall(reason string) {
	l.stalled, l.trouble = true, reason
}

// addSequence advances a sequence number as Kafka does: after 2^31-1 comes 0.
func addSequence(s int32, n int) int32 { return int32((int64(s) + int64(n)) % (math.MaxInt32 + 1)) }

func backoff(attempts int) time.Duration {
	return min(maxBackoff, firstBackoff<<min(attempts-1, 10))
}
