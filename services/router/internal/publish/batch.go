package publish

import (
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/playhead-pipeline/playhead/services/router/internal/record"
)

// entry is one record of a batch: where its key and value lie in the batch's arena, and whose it is.
type entry struct {
	start, value, end int
	millis            int64
	tag               uint32
	hasKey            bool
	headers           []*sarama.RecordHeader
}

// run is a number of neighbouring entries of one owner.
type run struct {
	owner record.Owner
	n     int
}

// batch is a sequence of records for one partition. It is filled by callers under the lock of its partition, then sealed and used by the loop
// only. Its records stay in memory until it is acknowledged, because a refusal for size splits it.
type batch struct {
	arena   []byte
	entries []entry
	runs    []run
	opened  time.Time

	// Of the sealed batch. wire keeps the compressed bytes after the first send, so that a resend costs no compression.
	records  []sarama.Record
	pointers []*sarama.Record
	wire     sarama.RecordBatch

	// Of the attempts to send it.
	firstSent time.Time
	ambiguous bool // an attempt ended without telling whether it was carried out

	// shared: the arena is that of other batches too.
	shared bool
}

// recordOverhead is the size of a record's frame at its largest with the lengths that occur here.
const recordOverhead = 24

// maxPooledBytes keeps one giant dead letter from staying in the pool.
const maxPooledBytes = 1 << 20

type batchPool struct{ pool sync.Pool }

func (p *batchPool) get() *batch {
	if b, ok := p.pool.Get().(*batch); ok {
		return b
	}
	return &batch{}
}

func (p *batchPool) put(b *batch) {
	if b.shared || cap(b.arena) > maxPooledBytes {
		return
	}
	clear(b.runs) // let go of the owners
	clear(b.entries)
	clear(b.records)
	*b = batch{arena: b.arena[:0], entries: b.entries[:0], runs: b.runs[:0], records: b.records[:0], pointers: b.pointers[:0]}
	p.pool.Put(b)
}

func (b *batch) len() int { return len(b.entries) }

// size estimates the batch's bytes before compression.
func (b *batch) size() int { return len(b.arena) + len(b.entries)*recordOverhead }

// add copies a record into the batch.
func (b *batch) add(owner record.Owner, r *record.Record) {
	start := len(b.arena)
	b.arena = append(b.arena, r.Key...)
	value := len(b.arena)
	b.arena = append(b.arena, r.Value...)
	e := entry{start: start, value: value, end: len(b.arena), millis: r.Millis, tag: r.Tag, hasKey: r.Key != nil}
	for _, h := range r.Headers {
		e.headers = append(e.headers, &sarama.RecordHeader{Key: []byte(h.Key), Value: h.Value})
	}
	b.entries = append(b.entries, e)
	b.own(owner, 1)
}

func (b *batch) own(owner record.Owner, n int) {
	if last := len(b.runs) - 1; last >= 0 && b.runs[last].owner == owner {
		b.runs[last].n += n
		return
	}
	b.runs = append(b.runs, run{owner: owner, n: n})
}

// seal makes the wire form. Nothing may be added afterwards.
func (b *batch) seal(codec sarama.CompressionCodec, level int) {
	n := len(b.entries)
	if cap(b.records) < n {
		b.records, b.pointers = make([]sarama.Record, n), make([]*sarama.Record, n)
	}
	b.records, b.pointers = b.records[:n], b.pointers[:n]
	first, latest := b.entries[0].millis, b.entries[0].millis
	for i := range b.entries {
		e := &b.entries[i]
		r := &b.records[i]
		*r = sarama.Record{
			Headers:        e.headers,
			OffsetDelta:    int64(i),
			TimestampDelta: time.Duration(e.millis-first) * time.Millisecond,
			Value:          b.arena[e.value:e.end:e.end],
		}
		if e.hasKey {
			r.Key = b.arena[e.start:e.value:e.value]
		}
		b.pointers[i] = r
		latest = max(latest, e.millis)
	}
	b.wire = sarama.RecordBatch{
		Version:          2,
		Codec:            codec,
		CompressionLevel: level,
		LastOffsetDelta:  int32(n - 1),
		FirstTimestamp:   time.UnixMilli(first),
		MaxTimestamp:     time.UnixMilli(latest),
		Records:          b.pointers,
	}
}

// owner returns whose the entry at index i is.
func (b *batch) owner(i int) record.Owner {
	for _, r := range b.runs {
		if i < r.n {
			return r.owner
		}
		i -= r.n
	}
	panic("publish: entry without an owner")
}

// subset returns a new, sealed batch of the entries that keep says yes to, nil when there are none. The new batch shares the arena.
func (b *batch) subset(keep func(i int) bool) *batch {
	s := &batch{arena: b.arena, opened: b.opened, shared: true}
	i := 0
	for _, r := range b.runs {
		for range r.n {
			if keep(i) {
				s.entries = append(s.entries, b.entries[i])
				s.own(r.owner, 1)
			}
			i++
		}
	}
	if len(s.entries) == 0 {
		return nil
	}
	s.seal(b.wire.Codec, b.wire.CompressionLevel)
	return s
}
