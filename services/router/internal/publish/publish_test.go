package publish

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/playhead-pipeline/playhead/services/internal/configfile"
	"github.com/playhead-pipeline/playhead/services/internal/kafkaclient"
	"github.com/playhead-pipeline/playhead/services/internal/kafkatest"
	"github.com/playhead-pipeline/playhead/services/internal/telemetry"
	"github.com/playhead-pipeline/playhead/services/router/internal/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testTopic      = "events"
	testPartitions = 6
	testTimeout    = 30 * time.Second
)

// ledger is an owner that waits until every record that was appended in its name has had its answer.
type ledger struct {
	mu      sync.Mutex
	acked   int
	refused map[uint32]*record.RefusedError
	changed chan struct{}
}

func newLedger() *ledger {
	return &ledger{refused: make(map[uint32]*record.RefusedError), changed: make(chan struct{}, 1)}
}

func (l *ledger) Acked(n int) {
	l.mu.Lock()
	l.acked += n
	l.mu.Unlock()
	l.signal()
}

func (l *ledger) Refused(tag uint32, err *record.RefusedError) {
	l.mu.Lock()
	l.refused[tag] = err
	l.mu.Unlock()
	l.signal()
}

func (l *ledger) signal() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

func (l *ledger) answered() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked + len(l.refused)
}

func (l *ledger) wait(t *testing.T, n int) {
	t.Helper()
	deadline := time.After(testTimeout)
	for l.answered() < n {
		select {
		case <-l.changed:
		case <-deadline:
			t.Fatalf("%d of %d records answered in %s", l.answered(), n, testTimeout)
		}
	}
	if got := l.answered(); got != n {
		t.Fatalf("%d answers for %d records", got, n)
	}
}

// start runs a producer against a cluster for the length of the test.
func start(t testing.TB, addrs []string, change func(*Params)) *Producer {
	t.Helper()
	health := telemetry.NewHealth()
	cfg := DefaultConfig()
	cfg.Linger = configfile.Duration(2 * time.Millisecond)
	cfg.BatchRecords = 50
	p := Params{
		Config:           cfg,
		Kafka:            kafkaclient.Config{Brokers: addrs},
		DataTopics:       []string{testTopic},
		DeadLetterTopics: []string{"dlq"},
		Logger:           slog.New(slog.DiscardHandler),
		Registerer:       prometheus.NewRegistry(),
		Check:            health.Check("kafka"),
	}
	if change != nil {
		change(&p)
	}
	producer, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- producer.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	select {
	case <-producer.Ready():
	case <-time.After(testTimeout):
		_, checks := health.Ready()
		t.Fatalf("the producer did not get ready: %v", checks)
	}
	return producer
}

func newCluster(t testing.TB, brokers int) *kafkatest.Cluster {
	return kafkatest.New(t, kafkatest.Options{Brokers: brokers, Partitions: map[string]int32{testTopic: testPartitions, "dlq": 1}})
}

// appendNumbered appends n records, round robin over the partitions; the value of each is its number within its partition.
func appendNumbered(p *Producer, owner record.Owner, n int, next []uint64) {
	topic := testTopic
	for i := range n {
		part := int32(i % testPartitions)
		value := binary.BigEndian.AppendUint64(nil, next[part])
		next[part]++
		p.Append(topic, owner, []record.Record{{Partition: part, Key: []byte("key"), Value: value, Millis: int64(i)}})
	}
}

// readAll reads every partition to its end with another client.
func readAll(t testing.TB, addrs []string, topic string, n int) []*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	var all []*kgo.Record
	for len(all) < n {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("read %d of %d records of %s", len(all), n, topic)
		}
		all = append(all, fetches.Records()...)
	}
	// Whatever is there beyond the wanted number would be a duplicate.
	more, cancelMore := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancelMore()
	return append(all, client.PollFetches(more).Records()...)
}

// verify checks that every record is there once, in order.
func verify(t *testing.T, addrs []string, next []uint64) {
	t.Helper()
	total := 0
	for _, n := range next {
		total += int(n)
	}
	records := readAll(t, addrs, testTopic, total)
	if len(records) != total {
		t.Errorf("read %d records, appended %d", len(records), total)
	}
	seen := make([]uint64, len(next))
	for _, r := range records {
		if got := binary.BigEndian.Uint64(r.Value); got != seen[r.Partition] {
			t.Fatalf("partition %d offset %d holds record %d, want %d", r.Partition, r.Offset, got, seen[r.Partition])
		}
		seen[r.Partition]++
	}
}

func TestRecordsArriveUnchanged(t *testing.T) {
	t.Parallel()
	for codec := range codecs {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 1)
			p := start(t, c.Addrs(), func(p *Params) { p.Config.Compression = codec })
			l := newLedger()
			for i := range 100 {
				p.Append("dlq", l, []record.Record{{
					Key: []byte{byte(i)}, Value: []byte(strings.Repeat("v", i)), Millis: 1_700_000_000_000 - int64(i),
					Headers: []record.Header{{Key: "h", Value: []byte{byte(i)}}},
				}})
			}
			p.Append("dlq", l, []record.Record{{Value: []byte("no key")}})
			l.wait(t, 101)
			records := readAll(t, c.Addrs(), "dlq", 101)
			for i, r := range records[:100] {
				if r.Key[0] != byte(i) || string(r.Value) != strings.Repeat("v", i) || r.Timestamp.UnixMilli() != 1_700_000_000_000-int64(i) ||
					len(r.Headers) != 1 || r.Headers[0].Key != "h" || r.Headers[0].Value[0] != byte(i) {
					t.Fatalf("record %d arrived as %+v", i, r)
				}
			}
			if records[100].Key != nil {
				t.Errorf("a record without a key has the key %q", records[100].Key)
			}
		})
	}
}

func TestFaultsNeitherLoseNorRepeatNorReorder(t *testing.T) {
	t.Parallel()
	produce := []kmsg.Key{kmsg.Produce}
	for name, inject := range map[string]func(c *kafkatest.Cluster){
		"none": func(*kafkatest.Cluster) {},
		"not leader": func(c *kafkatest.Cluster) {
			c.Fake().Fault(kfake.Fault{Keys: produce, Err: kerr.NotLeaderForPartition, Count: 5})
		},
		"timed out after the append": func(c *kafkatest.Cluster) {
			c.Fake().Fault(kfake.Fault{Keys: produce, Err: kerr.RequestTimedOut, Count: 5})
		},
		"not enough replicas": func(c *kafkatest.Cluster) {
			c.Fake().Fault(kfake.Fault{Keys: produce, Err: kerr.NotEnoughReplicas, Count: 5})
		},
		"not enough replicas after the append": func(c *kafkatest.Cluster) {
			c.Fake().Fault(kfake.Fault{Keys: produce, Err: kerr.NotEnoughReplicasAfterAppend, Count: 5})
		},
		"storage error": func(c *kafkatest.Cluster) {
			c.Fake().Fault(kfake.Fault{Keys: produce, Err: kerr.KafkaStorageError, Count: 3})
		},
		"unknown error": func(c *kafkatest.Cluster) { c.Fake().Fault(kfake.Fault{Keys: produce, Count: 3}) },
		"one partition fails": func(c *kafkatest.Cluster) {
			c.Fake().Fault(kfake.Fault{Keys: produce, Topic: testTopic, Partitions: []int32{2}, Err: kerr.RequestTimedOut, Count: 5})
		},
		"connection lost before the append": func(c *kafkatest.Cluster) {
			cut := 4
			c.Fake().ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
				c.Fake().KeepControl() // for good
				if cut--; cut >= 0 {
					return nil, errors.New("cut"), true
				}
				return nil, nil, false
			})
		},
		"too large": func(c *kafkatest.Cluster) {
			c.Fake().Fault(kfake.Fault{Keys: produce, Err: kerr.MessageTooLarge, Count: 4, When: func(r kmsg.Request) bool {
				return len(r.(*kmsg.ProduceRequest).Topics[0].Partitions) > 1 // batches of many records, early on
			}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 3)
			p := start(t, c.Addrs(), nil)
			l := newLedger()
			next := make([]uint64, testPartitions)
			inject(c)
			total := 0
			for range 10 {
				appendNumbered(p, l, 600, next)
				total += 600
			}
			l.wait(t, total)
			if len(l.refused) > 0 {
				t.Fatalf("%d records were refused", len(l.refused))
			}
			verify(t, c.Addrs(), next)
		})
	}
}

func TestLeadersMoveUnderLoad(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	p := start(t, c.Addrs(), nil)
	l := newLedger()
	next := make([]uint64, testPartitions)
	total := 0
	for i := range 30 {
		appendNumbered(p, l, 300, next)
		total += 300
		if err := c.Fake().MoveTopicPartition(testTopic, int32(i%testPartitions), int32(i%3)); err != nil {
			t.Fatal(err)
		}
		if i%10 == 9 {
			l.wait(t, total)
		}
	}
	l.wait(t, total)
	verify(t, c.Addrs(), next)
}

// cuttable is the listener of a broker whose network fails on demand.
type cuttable struct {
	net.Listener
	mu      sync.Mutex
	cut     bool
	answers int // to lose
	conns   []net.Conn
}

func (l *cuttable) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		if l.cut {
			l.mu.Unlock()
			_ = conn.Close()
			continue
		}
		l.conns = append(l.conns, conn)
		l.mu.Unlock()
		return &cuttableConn{Conn: conn, listener: l}, nil
	}
}

// set cuts all connections and refuses new ones, or ends that.
func (l *cuttable) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
	if cut {
		for _, conn := range l.conns {
			_ = conn.Close()
		}
		l.conns = nil
	}
}

// loseAnswers makes the next n large enough answers die together with their connections: the broker has done what it was asked, and the client
// does not know. The answer to ApiVersions, larger than all others here, passes.
func (l *cuttable) loseAnswers(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers = n
}

type cuttableConn struct {
	net.Conn
	listener *cuttable
}

func (c *cuttableConn) Write(b []byte) (int, error) {
	l := c.listener
	l.mu.Lock()
	lose := l.answers > 0 && len(b) < 400
	if lose {
		l.answers--
	}
	l.mu.Unlock()
	if lose {
		_ = c.Close()
		return 0, net.ErrClosed
	}
	return c.Conn.Write(b)
}

// newCuttable starts a cluster of one broker behind a cuttable listener.
func newCuttable(t *testing.T) (*cuttable, []string) {
	t.Helper()
	listener := &cuttable{}
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(testPartitions, testTopic), kfake.SeedTopics(1, "dlq"),
		kfake.ListenFn(func(network, address string) (net.Listener, error) {
			inner, err := net.Listen(network, address)
			listener.Listener = inner
			return listener, err
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	return listener, fake.ListenAddrs()
}

func TestBrokerUnreachableThenBack(t *testing.T) {
	t.Parallel()
	listener, addrs := newCuttable(t)
	health := telemetry.NewHealth()
	p := start(t, addrs, func(p *Params) { p.Check = health.Check("kafka") })
	l := newLedger()
	next := make([]uint64, testPartitions)
	appendNumbered(p, l, 600, next)
	l.wait(t, 600)
	listener.set(true)
	appendNumbered(p, l, 600, next)
	awaitReady(t, health, false)
	if got := l.answered(); got != 600 {
		t.Fatalf("%d records answered while the broker was gone", got)
	}
	listener.set(false)
	l.wait(t, 1200)
	awaitReady(t, health, true)
	verify(t, addrs, next)
}

func TestAnswersLostAfterTheAppend(t *testing.T) {
	t.Parallel()
	listener, addrs := newCuttable(t)
	p := start(t, addrs, nil)
	l := newLedger()
	next := make([]uint64, testPartitions)
	for i := range 5 {
		listener.loseAnswers(3)
		appendNumbered(p, l, 600, next)
		l.wait(t, 600*(i+1))
		listener.mu.Lock()
		if listener.answers > 0 {
			t.Errorf("round %d: %d answers were not lost", i, listener.answers)
		}
		listener.mu.Unlock()
	}
	verify(t, addrs, next)
}

func awaitReady(t *testing.T, health *telemetry.Health, want bool) {
	t.Helper()
	deadline := time.After(testTimeout)
	for {
		changed := health.Changed()
		if ready, _ := health.Ready(); ready == want {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("readiness did not become %t", want)
		}
	}
}

// TestOutOfOrderStallsOnePartition: the alarm case. Nothing more is acknowledged there; other partitions go on.
func TestOutOfOrderStallsOnePartition(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	p := start(t, c.Addrs(), nil)
	c.Fake().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testTopic, Partitions: []int32{3}, Err: kerr.OutOfOrderSequenceNumber})
	l, stuck := newLedger(), newLedger()
	for i := range int32(testPartitions) {
		owner := l
		if i == 3 {
			owner = stuck
		}
		p.Append(testTopic, owner, []record.Record{{Partition: i, Value: []byte("v")}})
	}
	l.wait(t, testPartitions-1)
	deadline := time.Now().Add(testTimeout)
	for {
		var stalled []PartitionStatus
		for _, s := range p.Status() {
			if s.Stalled {
				stalled = append(stalled, s)
			}
		}
		if len(stalled) == 1 && stalled[0].Partition == 3 && strings.Contains(stalled[0].Trouble, "out_of_order_sequence") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("partition 3 did not stall: %+v", p.Status())
		}
		p.Append(testTopic, l, []record.Record{{Partition: 0, Value: []byte("v")}})
	}
	if stuck.answered() != 0 {
		t.Error("a record of the stalled partition was answered")
	}
}

// TestRefusedRecordLeavesNoHole: one record that does not fit goes back to its owner, all others are written.
func TestRefusedRecordLeavesNoHole(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	p := start(t, c.Addrs(), func(p *Params) { p.Config.Compression = "none" })
	// The fake has no size limit of its own for produce: refuse whatever holds the giant.
	giant := strings.Repeat("x", 10_000)
	c.Fake().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.MessageTooLarge, Count: -1, When: func(r kmsg.Request) bool {
		for _, topic := range r.(*kmsg.ProduceRequest).Topics {
			for _, part := range topic.Partitions {
				if strings.Contains(string(part.Records), giant) {
					return true
				}
			}
		}
		return false
	}})
	l := newLedger()
	topic := "dlq"
	for i := range 100 {
		value := fmt.Sprint(i)
		if i == 37 {
			value = giant
		}
		p.Append(topic, l, []record.Record{{Value: []byte(value), Tag: uint32(i)}})
	}
	l.wait(t, 100)
	if err := l.refused[37]; err == nil || !err.TooLarge || len(l.refused) != 1 {
		t.Fatalf("refused %v, want only 37 as too large", l.refused)
	}
	records := readAll(t, c.Addrs(), "dlq", 99)
	if len(records) != 99 {
		t.Fatalf("read %d records, want 99", len(records))
	}
	for i, r := range records {
		want := i
		if i >= 37 {
			want++
		}
		if string(r.Value) != fmt.Sprint(want) {
			t.Fatalf("offset %d holds %q, want %d", i, r.Value, want)
		}
	}
}

func TestCreatesTopics(t *testing.T) {
	t.Parallel()
	c := kafkatest.New(t, kafkatest.Options{Brokers: 1})
	p := start(t, c.Addrs(), func(p *Params) {
		p.CreateTopics = TopicsConfig{Partitions: 4, ReplicationFactor: 1, DeadLetterPartitions: 2}
	})
	if got := p.Partitions(testTopic); got != 4 {
		t.Errorf("%d partitions, want 4", got)
	}
	if got := p.Partitions("dlq"); got != 2 {
		t.Errorf("%d dead-letter partitions, want 2", got)
	}
}

func BenchmarkAppend(b *testing.B) {
	c := kafkatest.New(b, kafkatest.Options{Brokers: 1, Partitions: map[string]int32{testTopic: 24, "dlq": 1}})
	c.Fake().ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.Fake().KeepControl() // answers at once and keeps nothing, so that the client is what is measured
		req := r.(*kmsg.ProduceRequest)
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range req.Topics {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic = topic.Topic
			for _, part := range topic.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition = part.Partition
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
	p := start(b, c.Addrs(), func(p *Params) {
		p.Config.BatchRecords = 500
		p.Config.Linger = configfile.Duration(20 * time.Millisecond)
	})
	l := newLedger()
	topic := testTopic
	value := make([]byte, 290)
	for i := range value {
		value[i] = byte(i * 7 % 61)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p.Append(topic, l, []record.Record{{Partition: int32(i / 500 % 24), Key: value[:16], Value: value, Millis: int64(i)}})
		if i%50_000 == 49_999 {
			for l.answered() < i-100_000 {
				<-l.changed
			}
		}
	}
}
