package router

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	ingestv1 "github.com/playhead-pipeline/playhead/proto/ingest/v1"
	routerv1 "github.com/playhead-pipeline/playhead/proto/router/v1"
	"github.com/playhead-pipeline/playhead/services/internal/apierr"
	"github.com/playhead-pipeline/playhead/services/internal/configfile"
	"github.com/playhead-pipeline/playhead/services/router/internal/eventtest"
	"github.com/playhead-pipeline/playhead/services/router/internal/route"
)

func TestGoodEventsAreMaskedAndPartitioned(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	g := s.open(t)
	var avro, json [][]byte
	for i := range 100 {
		avro = append(avro, s.framed(t, i))
		json = append(json, eventtest.JSON(t, eventtest.Event(100+i)))
	}
	g.send(batch(1, "acme", ingestv1.Encoding_ENCODING_AVRO, avro...))
	g.send(batch(2, "acme", ingestv1.Encoding_ENCODING_JSON, json...))
	g.await(2)
	if len(g.verdicts) > 0 {
		t.Fatalf("verdicts %v", g.verdicts)
	}
	records := s.read(t, eventtest.Topic, 200)
	ids := make(map[any]bool)
	for _, r := range records {
		if id := binary.BigEndian.Uint32(r.Value[1:]); r.Value[0] != 0 || id != uint32(s.schemaID) {
			t.Fatalf("a value begins with % x", r.Value[:5])
		}
		event := s.encoder.Decode(t, r.Value[5:])
		ids[event["event_id"]] = true
		if string(r.Key) != event["session_id"] || r.Partition != route.Partition(r.Key, testPartitions) {
			t.Errorf("session %v has key %q in partition %d", event["session_id"], r.Key, r.Partition)
		}
		if !r.Timestamp.Equal(eventtest.ReceivedAt.Truncate(time.Millisecond)) || len(r.Headers) > 0 {
			t.Errorf("timestamp %v, headers %v", r.Timestamp, r.Headers)
		}
		for _, canary := range eventtest.Canaries {
			if bytes.Contains(r.Value, []byte(canary)) {
				t.Errorf("the personal value %q reached Kafka", canary)
			}
		}
	}
	if len(records) != 200 || len(ids) != 200 {
		t.Errorf("%d records with %d ids, want 200", len(records), len(ids))
	}
	status, err := s.admin.GetStatus(t.Context(), &routerv1.GetStatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if status.GetEventsProduced() != 200 || status.GetEventsReceived() != 200 || status.GetStreams() != 1 ||
		len(status.GetSchemas()) != 1 || len(status.GetPartitions()) == 0 {
		t.Errorf("status %v", status)
	}
}

// TestEventsOfAHostileSchema: the registry took a schema that contains itself. It can never be used, so its events are bad.
func TestEventsOfAHostileSchema(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	id := s.register(t, strings.Replace(eventtest.Schema(t), `"fields": [`,
		`"fields": [{"name":"next","type":["null","playhead.playback.PlaybackEvent"],"default":null},`, 1))
	event := s.encoder.Framed(t, id, eventtest.Event(1))
	g := s.open(t)
	g.send(batch(1, "acme", ingestv1.Encoding_ENCODING_AVRO, event, s.framed(t, 2)))
	g.await(1)
	if len(g.verdicts) != 1 || g.verdicts[0].GetCause() != ingestv1.Cause_CAUSE_UNKNOWN_SCHEMA || !strings.Contains(g.verdicts[0].GetDetail(), "cannot be used") {
		t.Errorf("verdicts %v", g.verdicts)
	}
	letter := s.read(t, deadLetters, 1)[0]
	if !bytes.Equal(letter.Value, event) || header(letter, "playhead.schema") != strconv.Itoa(id) || header(letter, "playhead.cause") != "UNKNOWN_SCHEMA" {
		t.Errorf("dead letter with headers %v", letter.Headers)
	}
	s.read(t, eventtest.Topic, 1)
}

// TestBadEvents sends every kind of bad event between good ones.
func TestBadEvents(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	unrouted, err := s.registry.Register(t.Context(), "unrouted-value", strings.Replace(eventtest.Schema(t), `"PlaybackEvent"`, `"Other"`, 1))
	if err != nil {
		t.Fatal(err)
	}
	with := func(field string, value any) map[string]any {
		e := eventtest.Event(7)
		e[field] = value
		return e
	}
	without := func(field string) map[string]any {
		e := eventtest.Event(7)
		delete(e, field)
		return e
	}
	good := s.framed(t, 0)
	avro := []struct {
		event       []byte
		cause, path string
	}{
		{good, "", ""},
		{good[:len(good)-3], "MALFORMED_AVRO", "*"},
		{append(bytes.Clone(good), 1), "TRAILING_BYTES", ""},
		{s.encoder.Framed(t, 4242, eventtest.Event(7)), "UNKNOWN_SCHEMA", ""},
		{s.encoder.Framed(t, unrouted, eventtest.Event(7)), "UNKNOWN_SCHEMA", ""},
		{[]byte("{}"), "MALFORMED_FRAME", ""},
		{append(bytes.Clone(good[:5]), bytes.Repeat([]byte{0xff}, 300)...), "MALFORMED_AVRO", "event_id"},
		{bytes.Repeat([]byte("x"), 300<<10), "TOO_LARGE", ""},
		{s.encoder.Framed(t, s.schemaID, with("session_id", "a,b")), "INVALID_KEY", "session_id"},
		{s.encoder.Framed(t, s.schemaID, with("event_time", int64(5))), "INVALID_TIME", "event_time"},
		{s.encoder.Framed(t, s.schemaID, with("ip", "CANARY")), "TYPE_MISMATCH", "ip"},
		{s.encoder.Framed(t, s.schemaID, with("title_id", "a\xff")), "INVALID_UTF8", "title_id"},
		{good, "", ""},
	}
	json := []struct {
		event       []byte
		cause, path string
	}{
		{eventtest.JSON(t, eventtest.Event(1)), "", ""},
		{[]byte(`{"event_id":`), "MALFORMED_JSON", "*"},
		{[]byte(`[1]`), "MALFORMED_JSON", "*"},
		{eventtest.JSON(t, with("bitrate_kbps", "fast")), "TYPE_MISMATCH", "bitrate_kbps"},
		{eventtest.JSON(t, with("bitrate_kbps", 1<<40)), "TYPE_MISMATCH", "bitrate_kbps"},
		{eventtest.JSON(t, without("account_id")), "MISSING_FIELD", "account_id"},
		{eventtest.JSON(t, with("surprise", 1)), "UNKNOWN_FIELD", "surprise"},
		{eventtest.JSON(t, with("error", map[string]any{"code": 5, "fatal": true})), "TYPE_MISMATCH", "error.code"},
		{[]byte(`{"event_id":"a","event_id":"b"}`), "DUPLICATE_FIELD", "event_id"},
		{eventtest.JSON(t, with("title_id", strings.Repeat("x", 300<<10))), "TOO_LARGE", ""},
		{eventtest.JSON(t, eventtest.Event(2)), "", ""},
	}
	g := s.open(t)
	type expectation struct {
		seq      uint64
		index    int
		original []byte
		cause    string
		path     string
		encoding string
	}
	var want []expectation
	var events [][]byte
	for i, c := range avro {
		events = append(events, c.event)
		if c.cause != "" {
			want = append(want, expectation{1, i, c.event, c.cause, c.path, "avro"})
		}
	}
	g.send(batch(1, "acme", ingestv1.Encoding_ENCODING_AVRO, events...))
	events = nil
	for i, c := range json {
		events = append(events, c.event)
		if c.cause != "" {
			want = append(want, expectation{2, i, c.event, c.cause, c.path, "json"})
		}
	}
	g.send(batch(2, "acme", ingestv1.Encoding_ENCODING_JSON, events...))
	unnamed := batch(3, "acme", ingestv1.Encoding_ENCODING_JSON, []byte("{}"))
	unnamed.Schema = "no-such-schema"
	g.send(unnamed)
	want = append(want, expectation{3, 0, []byte("{}"), "UNKNOWN_SCHEMA", "", "json"})
	g.await(3)

	if len(g.verdicts) != len(want) {
		t.Errorf("%d verdicts, want %d", len(g.verdicts), len(want))
	}
	letters := s.read(t, deadLetters, len(want))
	if len(letters) != len(want) {
		t.Errorf("%d dead letters, want %d", len(letters), len(want))
	}
	for i, w := range want {
		if i < len(g.verdicts) {
			v := g.verdicts[i]
			if v.GetSeq() != w.seq || int(v.GetIndex()) != w.index || v.GetCause().String() != "CAUSE_"+w.cause || w.path != "*" && v.GetPath() != w.path {
				t.Errorf("verdict %v, want %d/%d %s at %q", v, w.seq, w.index, w.cause, w.path)
			}
		}
		j := slices.IndexFunc(letters, func(r *kgo.Record) bool {
			return bytes.Equal(r.Value, w.original) && header(r, "playhead.encoding") == w.encoding
		})
		if j < 0 {
			t.Errorf("no dead letter holds the bytes of event %d/%d (%s)", w.seq, w.index, w.cause)
			continue
		}
		r := letters[j]
		if header(r, "playhead.cause") == "UNKNOWN_SCHEMA" && string(r.Value) == "{}" {
			continue // the two events "{}" are told apart by their encoding only
		}
		if header(r, "playhead.cause") != w.cause || w.path != "*" && header(r, "playhead.path") != w.path || header(r, "playhead.tenant") != "acme" ||
			header(r, "playhead.source") != "client" || header(r, "playhead.received_at") != strconv.FormatInt(eventtest.ReceivedAt.UnixMicro(), 10) {
			t.Errorf("dead letter of event %d/%d has headers %v", w.seq, w.index, r.Headers)
		}
		if d := header(r, "playhead.detail"); d == "" || strings.Contains(d, "CANARY") {
			t.Errorf("detail of event %d/%d is %q", w.seq, w.index, d)
		}
		if w.cause == "INVALID_TIME" && header(r, "playhead.event_id") != "event-000007" {
			t.Errorf("dead letter of event %d/%d names the event %q", w.seq, w.index, header(r, "playhead.event_id"))
		}
	}
	if got := len(s.read(t, eventtest.Topic, 4)); got != 4 {
		t.Errorf("%d good events, want 4", got)
	}
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// TestResendAfterALostStream: what was not acknowledged is sent again; nothing is missing, and the first copies are in order.
func TestResendAfterALostStream(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	const batches, perBatch = 40, 50
	make1 := func(seq uint64) *ingestv1.Batch {
		var events [][]byte
		for i := range perBatch {
			events = append(events, s.framed(t, (int(seq)-1)*perBatch+i))
		}
		return batch(seq, "acme", ingestv1.Encoding_ENCODING_AVRO, events...)
	}
	next := uint64(1)
	for attempt := 0; next <= batches; attempt++ {
		g := s.open(t)
		for seq := next; seq <= batches; seq++ {
			g.send(make1(seq))
		}
		stop := min(next+7, batches)
		if attempt > 5 {
			stop = batches
		}
		g.await(stop)
		next = g.acked + 1
		g.cancel()
	}
	last := make(map[string]int64) // the newest sequence number per session, of first copies
	seen := make(map[int64]bool)
	for _, r := range s.read(t, eventtest.Topic, batches*perBatch) {
		event := s.encoder.Decode(t, r.Value[5:])
		sequence, _ := event["sequence"].(int64)
		if seen[sequence] {
			continue
		}
		seen[sequence] = true
		session, _ := event["session_id"].(string)
		if before, ok := last[session]; ok && sequence < before {
			t.Errorf("session %s has event %d after %d", session, sequence, before)
		}
		last[session] = sequence
	}
	for i := range int64(batches * perBatch) {
		if !seen[i] {
			t.Errorf("event %d was acknowledged and is missing", i)
		}
	}
}

// TestParkedSchemaHoldsUpItsTenantOnly: a schema that breaks the contract. Its events neither pass nor become dead letters.
func TestParkedSchemaHoldsUpItsTenantOnly(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	unclassified := strings.Replace(eventtest.Schema(t), `"fields": [`, `"fields": [{"name":"leak","type":["null","string"],"default":null},`, 1)
	id := s.register(t, unclassified)
	leaky := eventtest.NewEncoder(t, unclassified)
	g := s.open(t)
	g.send(batch(1, "leaky", ingestv1.Encoding_ENCODING_AVRO, leaky.Framed(t, id, eventtest.Event(1))))
	g.send(batch(2, "leaky", ingestv1.Encoding_ENCODING_AVRO, s.framed(t, 2))) // behind it: the same sessions
	g.send(batch(3, "other", ingestv1.Encoding_ENCODING_AVRO, s.framed(t, 3)))
	for _, r := range s.read(t, eventtest.Topic, 1) {
		if event := s.encoder.Decode(t, r.Value[5:]); event["event_id"] != "event-000003" {
			t.Errorf("event %v passed", event["event_id"])
		}
	}
	deadline := time.Now().Add(testTimeout)
	for {
		status, err := s.admin.GetStatus(t.Context(), &routerv1.GetStatusRequest{})
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(status.GetSchemas(), func(sc *routerv1.Schema) bool { return sc.GetId() == int32(id) })
		if i >= 0 && strings.Contains(status.GetSchemas()[i].GetRefusedReason(), "leak") && status.GetEventsProduced() <= 1 && status.GetEventsDeadLettered() == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("status %v", status)
		}
	}
	if g.acked != 0 {
		t.Errorf("acknowledged %d", g.acked)
	}
}

func TestRegistryOutageParksUnknownIDs(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	g := s.open(t)
	g.send(batch(1, "acme", ingestv1.Encoding_ENCODING_AVRO, s.framed(t, 1)))
	g.await(1)
	v2 := strings.Replace(eventtest.Schema(t), `"fields": [`, `"fields": [{"name":"extra","type":["null","int"],"default":null},`, 1)
	id := s.register(t, v2)
	s.registryDown.Store(true)
	g.send(batch(2, "acme", ingestv1.Encoding_ENCODING_AVRO, eventtest.NewEncoder(t, v2).Framed(t, id, eventtest.Event(2))))
	g.send(batch(3, "other", ingestv1.Encoding_ENCODING_AVRO, s.framed(t, 3)))
	s.read(t, eventtest.Topic, 2) // known ids need no registry
	s.registryDown.Store(false)
	g.await(3)
	if len(g.verdicts) > 0 {
		t.Errorf("an outage refused events: %v", g.verdicts)
	}
}

func TestProtocolErrorsEndTheStream(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *Config) { c.Intake.MaxBatchBytes = 512 << 10; c.Intake.WindowBytes = 512 << 10 })
	good := s.framed(t, 1)
	for name, change := range map[string]func(b *ingestv1.Batch){
		"hole":        func(b *ingestv1.Batch) { b.Seq = 9 },
		"repetition":  func(b *ingestv1.Batch) { b.Seq = 5 },
		"no encoding": func(b *ingestv1.Batch) { b.Encoding = 0 },
		"no events":   func(b *ingestv1.Batch) { b.Events, b.Count = nil, 0 },
		"wrong count": func(b *ingestv1.Batch) { b.Count = 2 },
		"bad length":  func(b *ingestv1.Batch) { b.Events = []byte{200, 1, 1} },
		"no time":     func(b *ingestv1.Batch) { b.ReceivedAtMicros = 0 },
		"long tenant": func(b *ingestv1.Batch) { b.Tenant = strings.Repeat("t", 300) },
		"too large":   func(b *ingestv1.Batch) { b.Events = make([]byte, 600<<10); b.Count = 600 << 10 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := s.open(t)
			g.send(batch(5, "acme", ingestv1.Encoding_ENCODING_AVRO, good)) // any first number will do
			g.await(5)
			b := batch(6, "acme", ingestv1.Encoding_ENCODING_AVRO, good)
			change(b)
			g.send(b)
			if e := g.failure(); e == nil || e.Kind != apierr.Invalid {
				t.Errorf("the stream ended with %v", e)
			}
		})
	}
	g := s.open(t)
	if err := g.stream.Send(&ingestv1.IngestRequest{Message: &ingestv1.IngestRequest_Open{Open: &ingestv1.Open{}}}); err != nil {
		t.Fatal(err)
	}
	if e := g.failure(); e == nil || e.Kind != apierr.Invalid {
		t.Errorf("a second Open ended the stream with %v", e)
	}
}

func TestGatewayMustKeepToItsCredit(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *Config) { c.Intake.MaxBatchBytes = 256 << 10; c.Intake.WindowBytes = 256 << 10 })
	s.registryDown.Store(true)
	unknown := s.encoder.Framed(t, 4242, eventtest.Event(1)) // waits, so that nothing is acknowledged
	g := s.open(t)
	var sent uint64
	for seq := uint64(1); sent <= g.credit; seq++ {
		b := batch(seq, "acme", ingestv1.Encoding_ENCODING_AVRO, slices.Repeat([][]byte{unknown}, 300)...)
		sent += uint64(len(b.GetEvents()))
		g.send(b)
	}
	if e := g.failure(); e == nil || e.Kind != apierr.Invalid || !strings.Contains(e.Message, "credit") {
		t.Errorf("the stream ended with %v", e)
	}
}

// TestKafkaRefusesRecords: a record that its topic does not take becomes a dead letter, a dead letter that is too large for its topic is cut.
func TestKafkaRefusesRecords(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *Config) { c.Produce.Compression = "none" })
	big := strings.Repeat("x", 100<<10)
	s.kafka.Fake().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.MessageTooLarge, Count: -1, When: func(r kmsg.Request) bool {
		for _, topic := range r.(*kmsg.ProduceRequest).Topics {
			for _, part := range topic.Partitions {
				if bytes.Contains(part.Records, []byte(big)) {
					return true
				}
			}
		}
		return false
	}})
	// The fault hits whole requests: all events are of one session, hence in one partition, or the others would be refused with the big one.
	event := eventtest.Event(17)
	event["title_id"] = big
	original := s.encoder.Framed(t, s.schemaID, event)
	g := s.open(t)
	g.send(batch(1, "acme", ingestv1.Encoding_ENCODING_AVRO, s.framed(t, 0), original, s.framed(t, 34)))
	g.await(1)
	if len(g.verdicts) != 1 || g.verdicts[0].GetIndex() != 1 || g.verdicts[0].GetCause() != ingestv1.Cause_CAUSE_TOO_LARGE {
		t.Errorf("verdicts %v", g.verdicts)
	}
	if got := len(s.read(t, eventtest.Topic, 2)); got != 2 {
		t.Errorf("%d good events, want 2", got)
	}
	letter := s.read(t, deadLetters, 1)[0]
	sum := sha256.Sum256(original)
	if !bytes.Equal(letter.Value, original[:64<<10]) || header(letter, "playhead.original_bytes") != strconv.Itoa(len(original)) ||
		header(letter, "playhead.original_sha256") != hex.EncodeToString(sum[:]) || header(letter, "playhead.schema") != strconv.Itoa(s.schemaID) {
		t.Errorf("dead letter of %d bytes with headers %v", len(letter.Value), letter.Headers)
	}
}

// TestDrainAcknowledgesWhatWasReceived: after Drain the gateway gets its acknowledgements and is sent away.
func TestDrainAcknowledgesWhatWasReceived(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *Config) { c.Produce.Linger = configfile.Duration(300 * time.Millisecond) })
	g := s.open(t)
	g.send(batch(1, "acme", ingestv1.Encoding_ENCODING_AVRO, s.framed(t, 1)))
	deadline := time.Now().Add(testTimeout)
	for s.router.intake.Totals().Received == 0 {
		if time.Now().After(deadline) {
			t.Fatal("the batch was not received")
		}
	}
	s.router.Drain()
	g.await(1)
	if e := g.failure(); e == nil || e.Kind != apierr.Unavailable {
		t.Errorf("the stream ended with %v", e)
	}
}

// TestCreditFollowsAcknowledgements sends more than the window holds.
func TestCreditFollowsAcknowledgements(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *Config) {
		c.Intake.MaxBatchBytes = 256 << 10
		c.Intake.WindowBytes = 256 << 10
		c.Intake.BudgetBytes = 1 << 20
	})
	g := s.open(t)
	var sent uint64
	for seq := uint64(1); seq <= 30; seq++ {
		var events [][]byte
		for i := range 200 {
			events = append(events, s.framed(t, i))
		}
		b := batch(seq, "acme", ingestv1.Encoding_ENCODING_AVRO, events...)
		for sent+uint64(len(b.GetEvents())) > g.credit {
			g.await(g.acked + 1)
		}
		sent += uint64(len(b.GetEvents()))
		g.send(b)
	}
	g.await(30)
}
