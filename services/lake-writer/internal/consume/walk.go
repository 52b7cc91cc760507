package consume

import (
	"encoding/binary"
	"fmt"
	"iter"

	"github.com/IBM/sarama"

	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/record"
)

// abortMarker is the type of a control record that ends an aborted transaction (KIP-98).
const abortMarker = 0

// walked is what one partition's part of a fetch answer holds from the wanted offset on.
type walked struct {
	next      int64
	epoch     int32
	count     int
	bytes     int
	batches   []*sarama.RecordBatch
	truncated bool
}

// walk checks that the batches of block continue at want without a hole, a repetition or a fall of
// the leader epoch, and collects those that carry events. A truncated last batch is left for the next
// fetch. The error is a *record.HaltError; what was good before the fault is in the result.
func walk(block *sarama.FetchResponseBlock, want int64, epoch int32) (walked, error) {
	w := walked{next: want, epoch: epoch}
	aborted := newAborted(block.AbortedTransactions)
	begun := false
	for _, set := range block.RecordsSet {
		if set.MsgSet != nil && len(set.MsgSet.Messages) > 0 {
			return w, halt("offset %d is in a message format older than v2, which has no leader epoch and no dense offsets", w.next)
		}
		batch := set.RecordBatch
		if batch == nil {
			continue
		}
		if batch.PartialTrailingRecord {
			w.truncated = true
			return w, nil
		}
		hidden := aborted.hides(batch)
		if !begun && batch.LastOffset() < want {
			continue // brokers answer with whole batches: one below the wanted offset was read before
		}
		if err := w.checkPlace(batch, begun); err != nil {
			return w, err
		}
		begun = true
		w.epoch = max(w.epoch, batch.PartitionLeaderEpoch)
		if hidden {
			w.next = batch.LastOffset() + 1
			continue
		}
		if err := checkDense(batch); err != nil {
			return w, err
		}
		w.take(batch)
	}
	return w, nil
}

func (w *walked) checkPlace(batch *sarama.RecordBatch, begun bool) error {
	first := batch.FirstOffset
	switch {
	case first > w.next:
		return halt("hole: wanted offset %d, the log goes on at %d: %d events are missing", w.next, first, first-w.next)
	case begun && first < w.next:
		return halt("regression: wanted offset %d, the log goes back to %d", w.next, first)
	case batch.PartitionLeaderEpoch < w.epoch:
		return halt("leader epoch fell from %d to %d at offset %d: the log was truncated below what was read",
			w.epoch, batch.PartitionLeaderEpoch, first)
	}
	return nil
}

// checkDense refuses a batch from which records were removed, as compaction of the topic would do.
func checkDense(batch *sarama.RecordBatch) error {
	if len(batch.Records) != int(batch.LastOffsetDelta)+1 {
		return halt("hole: the batch at offsets %d to %d holds %d records", batch.FirstOffset, batch.LastOffset(), len(batch.Records))
	}
	for i, r := range batch.Records {
		if r.OffsetDelta != int64(i) {
			return halt("hole: the batch at offset %d has offset delta %d at record %d", batch.FirstOffset, r.OffsetDelta, i)
		}
	}
	return nil
}

func (w *walked) take(batch *sarama.RecordBatch) {
	for _, r := range batch.Records {
		if batch.FirstOffset+r.OffsetDelta < w.next {
			continue
		}
		w.count++
		w.bytes += len(r.Value)
	}
	w.batches = append(w.batches, batch)
	w.next = batch.LastOffset() + 1
}

// chunk returns the events from offset from on.
func (w *walked) chunk(topic string, partition int32, from int64) record.Chunk {
	return record.Chunk{
		Topic: topic, Partition: partition, From: from, Next: w.next, Count: w.count, Bytes: w.bytes,
		Records: records(w.batches, from),
	}
}

func records(batches []*sarama.RecordBatch, from int64) iter.Seq[record.Record] {
	return func(yield func(record.Record) bool) {
		for _, batch := range batches {
			base := batch.FirstTimestamp.UnixMilli()
			for _, r := range batch.Records {
				offset := batch.FirstOffset + r.OffsetDelta
				if offset < from {
					continue
				}
				millis := base + r.TimestampDelta.Milliseconds()
				if batch.LogAppendTime {
					millis = batch.MaxTimestamp.UnixMilli()
				}
				if !yield(record.Record{Offset: offset, Timestamp: millis, Value: r.Value}) {
					return
				}
			}
		}
	}
}

// aborted hides the batches of aborted transactions: a broker lists them beside the data and leaves
// the filtering to the reader (KIP-98).
type aborted struct {
	pending []*sarama.AbortedTransaction
	open    map[int64]bool
}

func newAborted(list []*sarama.AbortedTransaction) *aborted {
	return &aborted{pending: list}
}

// hides tells whether batch is a control batch or belongs to an aborted transaction. Batches must come in the order of
// their offsets; the broker lists the transactions in the order of their first offsets.
func (a *aborted) hides(batch *sarama.RecordBatch) bool {
	for len(a.pending) > 0 && a.pending[0].FirstOffset <= batch.LastOffset() {
		if a.open == nil {
			a.open = make(map[int64]bool)
		}
		a.open[a.pending[0].ProducerID] = true
		a.pending = a.pending[1:]
	}
	if batch.Control {
		if controlType(batch) == abortMarker {
			delete(a.open, batch.ProducerID)
		}
		return true
	}
	return batch.IsTransactional && a.open[batch.ProducerID]
}

// controlType reads the type from a control record's key: version int16, type int16.
func controlType(batch *sarama.RecordBatch) int {
	if len(batch.Records) != 1 || len(batch.Records[0].Key) < 4 {
		return -1
	}
	return int(binary.BigEndian.Uint16(batch.Records[0].Key[2:4]))
}

func halt(format string, args ...any) error {
	return &record.HaltError{Reason: fmt.Sprintf(format, args...)}
}
