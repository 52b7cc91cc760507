package forward

import (
	"math/bits"
	"slices"
	"sync"
	"time"

	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/frame"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/handoff"
)

// batch is a run of events with one key. It is filled, sealed with a seq, sent, perhaps sent again, acknowledged.
type batch struct {
	key      handoff.Key
	seq      uint64
	opened   time.Time
	sent     bool // on this stream or an earlier one
	count    uint32
	events   []byte // count times (uvarint length, event)
	segments []segment
	verdicts []positioned
}

// segment is the part of a sender's message that lies in a batch: events [start, end) are events first, first+1 ... of the message.
type segment struct {
	sender     handoff.Sender
	seq        uint64 // the sender's
	start, end uint32
	first      uint32
	charge     int64 // to give back; on the last segment of a message only
}

// positioned is a verdict by its position in the batch.
type positioned struct {
	index       uint32
	cause, path string
}

// eventBuffers recycles the bytes of acknowledged batches.
var eventBuffers = sync.Pool{New: func() any { return new([]byte) }}

func newBatch(key handoff.Key, now time.Time) *batch {
	return &batch{key: key, opened: now, events: (*eventBuffers.Get().(*[]byte))[:0]}
}

// release hands the bytes back. Nobody may hold on to them.
func (b *batch) release() {
	buffer := b.events
	b.events = nil
	eventBuffers.Put(&buffer)
}

// fits says whether an event of n bytes may join. The first event always may.
func (b *batch) fits(n, limit int) bool {
	return b.count == 0 || len(b.events)+n+uvarintLength(n) <= limit
}

func (b *batch) addEvent(event []byte) {
	b.events = frame.AppendEvent(b.events, event)
	b.count++
}

// addSegment closes a segment after the message's event next-1. An empty segment is left out.
func (b *batch) addSegment(s segment, next uint32) {
	if s.end = s.start + next - s.first; s.end > s.start {
		b.segments = append(b.segments, s)
	}
}

// settle tells every sender of the batch the fate of its events and returns the bytes of budget that are free again.
func (b *batch) settle() (charge int64) {
	slices.SortStableFunc(b.verdicts, func(x, y positioned) int { return int(x.index) - int(y.index) })
	verdicts := b.verdicts
	for _, s := range b.segments {
		var rejected []handoff.Verdict
		for len(verdicts) > 0 && verdicts[0].index < s.end {
			v := verdicts[0]
			rejected = append(rejected, handoff.Verdict{Index: s.first + v.index - s.start, Cause: v.cause, Path: v.path})
			verdicts = verdicts[1:]
		}
		s.sender.Settled(s.seq, int(s.end-s.start), rejected)
		charge += s.charge
	}
	return charge
}

func uvarintLength(n int) int {
	return max(1, (bits.Len(uint(n))+6)/7)
}
