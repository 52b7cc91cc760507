package consume

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
)

var base = time.UnixMilli(1_764_000_000_000)

// batch makes a batch of n records from offset first on.
func batch(first int64, n int, epoch int32) *sarama.RecordBatch {
	b := &sarama.RecordBatch{FirstOffset: first, LastOffsetDelta: int32(n - 1), PartitionLeaderEpoch: epoch, Version: 2, FirstTimestamp: base, ProducerID: 7}
	for i := range n {
		b.Records = append(b.Records, &sarama.Record{OffsetDelta: int64(i), TimestampDelta: time.Duration(i) * time.Millisecond, Value: []byte("v")})
	}
	return b
}

func transactional(b *sarama.RecordBatch) *sarama.RecordBatch {
	b.IsTransactional = true
	return b
}

func marker(offset int64, kind byte) *sarama.RecordBatch {
	b := transactional(batch(offset, 1, 0))
	b.Control = true
	b.Records[0].Key = []byte{0, 0, 0, kind}
	return b
}

func block(batches ...*sarama.RecordBatch) *sarama.FetchResponseBlock {
	out := &sarama.FetchResponseBlock{}
	for _, b := range batches {
		out.RecordsSet = append(out.RecordsSet, &sarama.Records{RecordBatch: b})
	}
	return out
}

func aborts(b *sarama.FetchResponseBlock, list ...*sarama.AbortedTransaction) *sarama.FetchResponseBlock {
	b.AbortedTransactions = list
	return b
}

func sparse(b *sarama.RecordBatch) *sarama.RecordBatch {
	b.Records = append(b.Records[:1:1], b.Records[2:]...)
	return b
}

func shuffled(b *sarama.RecordBatch) *sarama.RecordBatch {
	b.Records[0].OffsetDelta, b.Records[1].OffsetDelta = 1, 0
	return b
}

func partial() *sarama.RecordBatch { return &sarama.RecordBatch{PartialTrailingRecord: true} }

func TestWalk(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		block   *sarama.FetchResponseBlock
		offsets []int64 // of the records, wanted offset 10, epoch 3
		next    int64
		halt    string
	}{
		{"nothing", block(), nil, 10, ""},
		{"in order", block(batch(10, 2, 3), batch(12, 1, 3)), []int64{10, 11, 12}, 13, ""},
		{"begins before", block(batch(8, 4, 3)), []int64{10, 11}, 12, ""},
		{"a batch read before", block(batch(7, 3, 3), batch(10, 1, 3)), []int64{10}, 11, ""},
		{"newer leader", block(batch(10, 1, 3), batch(11, 1, 4)), []int64{10, 11}, 12, ""},
		{"truncated end", block(batch(10, 1, 3), partial()), []int64{10}, 11, ""},
		{"hole at the start", block(batch(11, 1, 3)), nil, 10, "hole: wanted offset 10, the log goes on at 11: 1 events"},
		{"hole between batches", block(batch(10, 2, 3), batch(14, 1, 3)), []int64{10, 11}, 12, "hole: wanted offset 12"},
		{"hole in a batch", block(sparse(batch(10, 3, 3))), nil, 10, "holds 2 records"},
		{"order in a batch", block(shuffled(batch(10, 2, 3))), nil, 10, "offset delta 1 at record 0"},
		{"regression", block(batch(10, 2, 3), batch(11, 2, 3)), []int64{10, 11}, 12, "regression: wanted offset 12, the log goes back to 11"},
		{"older leader", block(batch(10, 1, 2)), nil, 10, "leader epoch fell from 3 to 2"},
		{"commit marker", block(transactional(batch(10, 1, 3)), withEpoch(marker(11, 1)), batch(12, 1, 3)), []int64{10, 12}, 13, ""},
		{"aborted", aborts(block(transactional(batch(10, 2, 3)), withEpoch(marker(12, 0)), transactional(batch(13, 1, 3))),
			&sarama.AbortedTransaction{ProducerID: 7, FirstOffset: 9}), []int64{13}, 14, ""},
		{"aborted of another producer", aborts(block(transactional(batch(10, 2, 3))), &sarama.AbortedTransaction{ProducerID: 8, FirstOffset: 9}), []int64{10, 11}, 12, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w, err := walk(tt.block, 10, 3)
			reason, halted := isHalt(err)
			if halted != (tt.halt != "") || !strings.Contains(reason, tt.halt) {
				t.Errorf("halt is %q (%v), want %q", reason, err, tt.halt)
			}
			chunk := w.chunk("events", 0, 10)
			var offsets []int64
			for r := range chunk.Records {
				offsets = append(offsets, r.Offset)
			}
			if !slices.Equal(offsets, tt.offsets) || chunk.Count != len(tt.offsets) || chunk.Bytes != len(tt.offsets) || chunk.Next != tt.next {
				t.Errorf("offsets %v (count %d, bytes %d), next %d; want %v, next %d", offsets, chunk.Count, chunk.Bytes, chunk.Next, tt.offsets, tt.next)
			}
		})
	}
}

func withEpoch(b *sarama.RecordBatch) *sarama.RecordBatch {
	b.PartitionLeaderEpoch = 3
	return b
}

func TestTimestamps(t *testing.T) {
	t.Parallel()
	appended := batch(12, 2, 0)
	appended.LogAppendTime = true
	appended.MaxTimestamp = base.Add(time.Second)
	w, err := walk(block(batch(10, 2, 0), appended), 10, 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []int64
	for r := range w.chunk("events", 0, 10).Records {
		got = append(got, r.Timestamp-base.UnixMilli())
	}
	if want := []int64{0, 1, 1000, 1000}; !slices.Equal(got, want) {
		t.Errorf("timestamps %v, want %v", got, want)
	}
}

func TestLegacyMessagesHalt(t *testing.T) {
	t.Parallel()
	old := &sarama.FetchResponseBlock{RecordsSet: []*sarama.Records{{MsgSet: &sarama.MessageSet{Messages: []*sarama.MessageBlock{{}}}}}}
	if _, halted := isHalt(func() error { _, err := walk(old, 0, -1); return err }()); !halted {
		t.Error("a message set without dense offsets was taken")
	}
}
