package consume

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/playhead-pipeline/playhead/services/internal/kafkaclient"
	"github.com/playhead-pipeline/playhead/services/internal/kafkatest"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/budget"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/record"
)

// sarama counts fetches per topic in go-metrics' default registry, whatever its configuration says; the
// one goroutine of that registry lives as long as the process.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
}

const topic = "events"

// fixture is a fake cluster, a producer, and what a consumer delivered.
type fixture struct {
	t        *testing.T
	cluster  *kfake.Cluster
	config   *sarama.Config
	budget   *budget.Budget
	start    map[int32]int64
	refuse   func(record.Record) error
	blocked  chan struct{}
	consumer *Consumer

	connectFault func() error

	mu struct {
		sync.Mutex
		got  map[int32][]string // values by partition
		next map[int32]int64
	}
}

func newFixture(t *testing.T, brokers int, partitions int32) *fixture {
	t.Helper()
	cluster := kafkatest.New(t, kafkatest.Options{Partitions: map[string]int32{topic: partitions}, Brokers: brokers})
	config, err := kafkaclient.NewConfig(kafkaclient.Config{Brokers: cluster.Addrs()})
	if err != nil {
		t.Fatal(err)
	}
	config.Metadata.Retry.Max, config.Metadata.Retry.Backoff = 1, 10*time.Millisecond
	f := &fixture{t: t, cluster: cluster.Fake(), config: config, budget: budget.New(64 << 20), blocked: make(chan struct{}, 1)}
	f.mu.got, f.mu.next = make(map[int32][]string), make(map[int32]int64)
	return f
}

func (f *fixture) connect() (sarama.Client, error) {
	if f.connectFault != nil {
		if err := f.connectFault(); err != nil {
			return nil, err
		}
	}
	return sarama.NewClient(f.cluster.ListenAddrs(), f.config)
}

// produce appends n values to a partition.
func (f *fixture) produce(partition int32, n int) {
	f.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(f.cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		f.t.Fatal(err)
	}
	defer client.Close()
	var records []*kgo.Record
	for range n {
		records = append(records, &kgo.Record{Topic: topic, Partition: partition, Value: []byte("v")})
	}
	if err := client.ProduceSync(f.t.Context(), records...).FirstErr(); err != nil {
		f.t.Fatal(err)
	}
}

// run starts a consumer that ends with the test.
func (f *fixture) run() {
	f.t.Helper()
	f.consumer = New(Params{
		Connect: f.connect, Topics: []string{topic},
		Start:   func(_ string, p int32) (int64, bool) { at, ok := f.start[p]; return at, ok },
		Deliver: f.deliver, Gate: f.budget, Metrics: NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler),
		Blocked: func() {
			select {
			case f.blocked <- struct{}{}:
			default:
			}
		},
	})
	f.consumer.metadataEvery = 50 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.consumer.Run(ctx) }()
	f.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Errorf("Run: %v", err)
		}
		f.consumer.Close()
		if used := f.budget.Used(); used != 0 {
			f.t.Errorf("%d bytes of the budget were not given back", used)
		}
	})
}

func (f *fixture) deliver(_ context.Context, chunk record.Chunk) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if want, ok := f.mu.next[chunk.Partition]; ok && want != chunk.From {
		f.t.Errorf("partition %d: chunk from %d, want %d", chunk.Partition, chunk.From, want)
	}
	for r := range chunk.Records {
		if f.refuse != nil {
			if err := f.refuse(r); err != nil {
				f.mu.next[chunk.Partition] = r.Offset
				return r.Offset, err
			}
		}
		f.mu.got[chunk.Partition] = append(f.mu.got[chunk.Partition], fmt.Sprint(r.Offset))
	}
	f.mu.next[chunk.Partition] = chunk.Next
	return chunk.Next, nil
}

func (f *fixture) offsets(partition int32) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.mu.got[partition])
}

// eventually polls until ok says so.
func (f *fixture) eventually(what string, ok func() bool) {
	f.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			f.t.Fatalf("not in time: %s; status %+v", what, f.consumer.Status())
		}
		<-tick.C
	}
}

func (f *fixture) wantOffsets(partition int32, from, next int) {
	f.t.Helper()
	var want []string
	for i := from; i < next; i++ {
		want = append(want, fmt.Sprint(i))
	}
	f.eventually(fmt.Sprintf("offsets %d to %d of partition %d", from, next, partition), func() bool {
		return len(f.offsets(partition)) >= len(want)
	})
	if got := f.offsets(partition); !slices.Equal(got, want) {
		f.t.Errorf("partition %d: offsets %v, want %v", partition, got, want)
	}
}

func (f *fixture) status(partition int32) Status {
	for _, s := range f.consumer.Status() {
		if s.Partition == partition {
			return s
		}
	}
	return Status{}
}

func (f *fixture) wantHalt(partition int32, reason string) {
	f.t.Helper()
	f.eventually("halt: "+reason, func() bool { return f.status(partition).Halted })
	if got := f.status(partition).Reason; !strings.Contains(got, reason) {
		f.t.Errorf("reason is %q, want %q", got, reason)
	}
}

func TestReadsFromStart(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1, 3)
	f.produce(0, 5)
	f.produce(1, 5)
	f.start = map[int32]int64{1: 3} // within a batch
	f.run()
	f.wantOffsets(0, 0, 5)
	f.wantOffsets(1, 3, 5)
	f.produce(0, 2)
	f.produce(2, 1)
	f.wantOffsets(0, 0, 7)
	f.wantOffsets(2, 0, 1)
	f.eventually("high watermark", func() bool { s := f.status(0); return s.HighWatermark == 7 && s.Next == 7 && s.Reason == "" })
}

func TestFindsNewPartitions(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1, 1)
	f.run()
	f.produce(0, 1)
	f.wantOffsets(0, 0, 1)
	config := *f.config
	config.Metadata.Full = true // the admin client has no topics of its own
	admin, err := sarama.NewClusterAdmin(f.cluster.ListenAddrs(), &config)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	if err := admin.CreatePartitions(topic, 2, nil, false); err != nil {
		t.Fatal(err)
	}
	f.produce(1, 3)
	f.wantOffsets(1, 0, 3)
}

func TestOutOfRangeHalts(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1, 3)
	f.produce(0, 5)
	for range 5 {
		f.produce(1, 1)
	}
	f.produce(2, 1)
	if err := f.cluster.DeleteRecords(topic, 1, 4); err != nil {
		t.Fatal(err)
	}
	f.start = map[int32]int64{0: 9, 1: 2}
	f.run()
	f.wantHalt(0, "offset 9 is out of range: the log ends at 5")
	f.wantHalt(1, "offset 2 is out of range: the log begins at 4, 2 events were deleted")
	f.wantOffsets(2, 0, 1) // the others go on
	if len(f.offsets(0))+len(f.offsets(1)) != 0 {
		t.Error("a halted partition delivered events")
	}
}

func TestFollowsTheLeader(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 3, 2)
	f.produce(0, 3)
	f.run()
	f.wantOffsets(0, 0, 3)
	for i := range int32(3) {
		if err := f.cluster.MoveTopicPartition(topic, 0, i); err != nil {
			t.Fatal(err)
		}
		f.produce(0, 2)
		f.wantOffsets(0, 0, 3+2*(int(i)+1))
	}
}

func TestSurvivesLostConnections(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1, 2)
	left := 3
	f.cluster.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		f.cluster.KeepControl()
		f.mu.Lock()
		defer f.mu.Unlock()
		if left--; left >= 0 {
			return nil, errors.New("cut"), true
		}
		return nil, nil, false
	})
	f.produce(0, 3)
	f.produce(1, 3)
	f.run()
	f.wantOffsets(0, 0, 3)
	f.wantOffsets(1, 0, 3)
}

func TestRefusedRecordHaltsItsPartition(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1, 2)
	f.refuse = func(r record.Record) error {
		if r.Offset == 3 {
			return &record.HaltError{Reason: "foreign bytes"}
		}
		return nil
	}
	f.produce(0, 5)
	f.produce(1, 2)
	f.run()
	f.wantHalt(0, "foreign bytes")
	f.wantOffsets(0, 0, 3)
	f.wantOffsets(1, 0, 2)
	if s := f.status(0); s.Next != 3 {
		t.Errorf("next offset is %d, want the refused one, 3", s.Next)
	}
}

func TestTriesAgainAfterAPassingError(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1, 1)
	left := 2
	f.refuse = func(r record.Record) error {
		if r.Offset == 2 && left > 0 {
			left--
			return errors.New("registry is away")
		}
		return nil
	}
	f.produce(0, 4)
	f.run()
	f.wantOffsets(0, 0, 4)
	f.eventually("no reason is left", func() bool { return f.status(0).Reason == "" })
}

func TestPausesWhenTheBudgetIsUsedUp(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1, 1)
	f.budget.Charge(60 << 20)
	f.produce(0, 4)
	f.run()
	select {
	case <-f.blocked:
	case <-time.After(10 * time.Second):
		t.Fatal("Blocked was not called")
	}
	f.eventually("the partition is paused", func() bool { return strings.Contains(f.status(0).Reason, "byte budget") })
	if got := f.offsets(0); len(got) != 0 {
		t.Errorf("offsets %v were read without budget", got)
	}
	f.budget.Release(60 << 20)
	f.wantOffsets(0, 0, 4)
}

// TestUndecodableBatchHaltsOnlyItsPartition: sarama fails a whole answer for one bad batch.
func TestUndecodableBatchHaltsOnlyItsPartition(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1, 2)
	f.produce(0, 2)
	f.produce(1, 2)
	f.cluster.ControlKey(int16(kmsg.Fetch), func(k kmsg.Request) (kmsg.Response, error, bool) {
		f.cluster.KeepControl()
		request := k.(*kmsg.FetchRequest)
		response := request.ResponseKind().(*kmsg.FetchResponse)
		spoilt := false
		for _, t := range request.Topics {
			answer := kmsg.NewFetchResponseTopic()
			answer.Topic = t.Topic
			for _, p := range t.Partitions {
				part := kmsg.NewFetchResponseTopicPartition()
				part.Partition, part.HighWatermark = p.Partition, 2
				if p.Partition == 1 {
					part.RecordBatches = garbage()
					spoilt = true
				}
				answer.Partitions = append(answer.Partitions, part)
			}
			response.Topics = append(response.Topics, answer)
		}
		return response, nil, spoilt
	})
	f.run()
	f.wantHalt(1, "the batch at offset 0 does not decode")
	f.wantOffsets(0, 0, 2)
}

// garbage is a record batch of version 2 with a wrong checksum.
func garbage() []byte {
	b := kmsg.RecordBatch{Magic: 2, Length: 49, CRC: 12345, NumRecords: 0}
	return b.AppendTo(nil)
}

func TestWaitsForTheCluster(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1, 1)
	f.produce(0, 1)
	left := 2
	f.connectFault = func() error {
		if left--; left >= 0 {
			return errors.New("no route")
		}
		return nil
	}
	f.run()
	f.wantOffsets(0, 0, 1)
}
