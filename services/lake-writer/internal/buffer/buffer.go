// Package buffer holds the rows that wait for the next commit of a table, by table partition and
// bucket, and the events that have none, together with the Kafka offsets that they cover, and says when the commit is due. It is pure:
// the clock is a parameter, nothing is locked, nothing is charged.
package buffer

import (
	"fmt"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/convert"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/record"
)

// Policy says when rows have waited long enough. The first limit that is reached decides.
type Policy struct {
	// Age is the longest time that a row waits.
	Age time.Duration
	// Bytes is the memory and Rows the number of rows of one commit.
	Bytes int64
	Rows  int
}

// Span is what an Add covers: the offsets of one Kafka partition.
type Span struct {
	Topic      string
	Partition  int32
	From, Next int64
}

// Range is a gapless run of offsets of one Kafka partition.
type Range struct {
	From, Next int64
	// Last is the Kafka timestamp of the last event, in milliseconds; zero when there was none.
	Last int64
}

// Stream names a Kafka partition.
type Stream struct {
	Topic     string
	Partition int32
}

// Batch is what one commit takes.
type Batch struct {
	Groups []hudi.Group
	Ranges map[Stream]Range
	Rows   int
	Bytes  int64
	// Refused are events without a row, which the offsets cover all the same.
	Refused []record.Refused
	// First is the Kafka timestamp of the oldest event, in milliseconds.
	First int64
}

// Events is the number of rows and refused events.
func (b *Batch) Events() int { return b.Rows + len(b.Refused) }

// Buffer collects rows. It is not safe for concurrent use.
type Buffer struct {
	policy Policy
	batch  Batch
	index  map[place]int
	since  time.Time // of the first event
}

type place struct {
	partition string
	bucket    int
}

// New returns an empty Buffer.
func New(policy Policy) *Buffer {
	b := &Buffer{policy: policy}
	b.reset()
	return b
}

func (b *Buffer) reset() {
	b.batch = Batch{Ranges: make(map[Stream]Range)}
	b.index = make(map[place]int)
	b.since = time.Time{}
}

// Add appends rows that cover span. The offsets must go on where the ones of the same Kafka partition
// ended; anything else would be committed as a hole or twice, and is refused whole.
func (b *Buffer) Add(now time.Time, span Span, rows convert.Rows) error {
	stream := Stream{span.Topic, span.Partition}
	r, ok := b.batch.Ranges[stream]
	if !ok {
		r = Range{From: span.From, Next: span.From}
	}
	if span.From != r.Next || span.Next < span.From {
		return fmt.Errorf("buffer offsets %d to %d of %s/%d behind offset %d", span.From, span.Next, span.Topic, span.Partition, r.Next)
	}
	r.Next = span.Next
	if len(rows.Rows)+len(rows.Refused) > 0 {
		r.Last = max(r.Last, rows.Last)
		if b.batch.Events() == 0 {
			b.since = now
			b.batch.First = rows.First
		}
		b.batch.First = min(b.batch.First, rows.First)
	}
	b.batch.Ranges[stream] = r
	b.batch.Rows += len(rows.Rows)
	b.batch.Refused = append(b.batch.Refused, rows.Refused...)
	b.batch.Bytes += rows.Bytes
	b.spread(rows.Rows)
	return nil
}

// spread sorts rows into their groups. Neighbours are mostly of the same group.
func (b *Buffer) spread(rows []convert.Row) {
	last, group := place{bucket: -1}, 0
	for i := range rows {
		row := &rows[i]
		if row.Bucket != last.bucket || row.Partition != last.partition {
			last = place{row.Partition, row.Bucket}
			group = b.group(last)
		}
		g := &b.batch.Groups[group]
		g.Records = append(g.Records, row.Record)
	}
}

func (b *Buffer) group(p place) int {
	i, ok := b.index[p]
	if !ok {
		i = len(b.batch.Groups)
		b.index[p] = i
		b.batch.Groups = append(b.batch.Groups, hudi.Group{Partition: p.partition, Bucket: p.bucket})
	}
	return i
}

// Due tells whether what waits should be committed now.
func (b *Buffer) Due(now time.Time) bool {
	if b.batch.Events() == 0 {
		return false // offsets without events (control records) wait for the next event
	}
	return b.batch.Events() >= b.policy.Rows || b.batch.Bytes >= b.policy.Bytes || !now.Before(b.since.Add(b.policy.Age))
}

// Deadline returns when the oldest event reaches the policy's age; false when there is none.
func (b *Buffer) Deadline() (time.Time, bool) {
	return b.since.Add(b.policy.Age), b.batch.Events() > 0
}

// Events returns the number of rows and refused events that wait.
func (b *Buffer) Events() int { return b.batch.Events() }

// Take returns all that waits and leaves the Buffer empty.
func (b *Buffer) Take() Batch {
	taken := b.batch
	b.reset()
	return taken
}
