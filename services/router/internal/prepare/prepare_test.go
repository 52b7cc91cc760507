package prepare_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/schemas/annotation"
	"github.com/playhead-pipeline/playhead/services/internal/avroscan"
	"github.com/playhead-pipeline/playhead/services/router/internal/catalog"
	"github.com/playhead-pipeline/playhead/services/router/internal/eventtest"
	"github.com/playhead-pipeline/playhead/services/router/internal/mask"
	"github.com/playhead-pipeline/playhead/services/router/internal/prepare"
	"github.com/playhead-pipeline/playhead/services/router/internal/route"
	"github.com/playhead-pipeline/playhead/services/router/internal/transcode"
	"github.com/playhead-pipeline/playhead/services/router/internal/validate"
)

// schemas is a catalog of fixed answers.
type schemas map[int32]*catalog.Schema

func (s schemas) ByName(string) (*catalog.Schema, error) { return s.ByID("", 1) }

func (s schemas) ByID(_ string, id int32) (*catalog.Schema, error) {
	if schema, ok := s[id]; ok {
		if schema == nil {
			return nil, &catalog.ParkedError{Reason: "test"}
		}
		return schema, nil
	}
	return nil, catalog.ErrUnknown
}

func compile(t testing.TB, id int32, text string) *catalog.Schema {
	t.Helper()
	program, err := avroscan.Compile([]byte(text), avroscan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	contract, err := annotation.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	checker, err := validate.NewChecker(program, contract)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := mask.Compile(program, contract)
	if err != nil {
		t.Fatal(err)
	}
	return &catalog.Schema{
		ID: id, Route: &route.Route{Topic: "events", DeadLetterTopic: "events.dlq"}, Program: program, Checker: checker, Mask: plan,
		Transcoder: transcode.New(program.Root(), transcode.Limits{}),
	}
}

type panics struct{ count int }

func newPreparer(t testing.TB, s schemas, p *panics) *prepare.Preparer {
	t.Helper()
	key, err := mask.NewKey("k1", bytes.Repeat([]byte("k"), mask.MinKeyBytes))
	if err != nil {
		t.Fatal(err)
	}
	return prepare.New(prepare.Params{
		Schemas: s, Key: key, Times: validate.Limits{MaxPast: 400 * 24 * time.Hour, MaxFuture: 24 * time.Hour}, EventBytes: 256 << 10,
		DeadLetterTopic: "dlq", Partitions: func(string) int32 { return 12 },
		Panicked: func(int32, string) { p.count++ },
	})
}

func batchOf(events ...[]byte) *prepare.Batch {
	return &prepare.Batch{Tenant: "acme", Source: "client", Events: events, ReceivedAtMicros: eventtest.ReceivedAt.UnixMicro()}
}

// TestPanicRefusesOneEvent: a defect costs the event that meets it, not the process and not its neighbours.
func TestPanicRefusesOneEvent(t *testing.T) {
	t.Parallel()
	good := compile(t, 1, eventtest.Schema(t))
	broken := *good
	broken.ID, broken.Mask = 2, nil // masking will dereference it
	p := &panics{}
	preparer := newPreparer(t, schemas{1: good, 2: &broken}, p)
	encoder := eventtest.NewEncoder(t, eventtest.Schema(t))
	out, err := preparer.Prepare(batchOf(
		encoder.Framed(t, 1, eventtest.Event(0)), encoder.Framed(t, 2, eventtest.Event(1)), encoder.Framed(t, 1, eventtest.Event(2))))
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Refusals) != 1 || out.Refusals[0].Index != 1 || out.Refusals[0].Violation.Cause != validate.Unspecified || p.count != 1 {
		t.Errorf("refusals %+v, %d panics", out.Refusals, p.count)
	}
	records := 0
	for _, run := range out.Runs {
		for _, r := range run.Records {
			records++
			if r.Tag == 1 {
				t.Error("the event with the defect became a record")
			}
		}
	}
	if records != 2 {
		t.Errorf("%d records, want 2", records)
	}
}

// TestKeyIsThePublishedSession: the table's bucket is made from what is published, so the partition must be too.
func TestKeyIsThePublishedSession(t *testing.T) {
	t.Parallel()
	text := strings.Replace(eventtest.Schema(t), `"playhead.role": "session_id", "playhead.pii": "none"`, `"playhead.role": "session_id", "playhead.pii": "pseudonym"`, 1)
	if text == eventtest.Schema(t) {
		t.Fatal("the schema was not changed")
	}
	preparer := newPreparer(t, schemas{1: compile(t, 1, text)}, &panics{})
	encoder := eventtest.NewEncoder(t, text)
	out, err := preparer.Prepare(batchOf(encoder.Framed(t, 1, eventtest.Event(3))))
	if err != nil || len(out.Runs) != 1 {
		t.Fatalf("got %+v, %v", out, err)
	}
	r := out.Runs[0].Records[0]
	session, _ := encoder.Decode(t, r.Value[5:])["session_id"].(string)
	if string(r.Key) != session || !strings.HasPrefix(session, "k1.") || r.Partition != route.Partition(r.Key, 12) {
		t.Errorf("session %q has key %q in partition %d", session, r.Key, r.Partition)
	}
}

func TestOneParkedEventParksTheBatch(t *testing.T) {
	t.Parallel()
	preparer := newPreparer(t, schemas{1: compile(t, 1, eventtest.Schema(t)), 2: nil}, &panics{})
	encoder := eventtest.NewEncoder(t, eventtest.Schema(t))
	_, err := preparer.Prepare(batchOf(encoder.Framed(t, 1, eventtest.Event(0)), encoder.Framed(t, 2, eventtest.Event(1))))
	if _, ok := errors.AsType[*catalog.ParkedError](err); !ok {
		t.Errorf("got %v", err)
	}
}

func TestBuffersAreReusedCleanly(t *testing.T) {
	t.Parallel()
	preparer := newPreparer(t, schemas{1: compile(t, 1, eventtest.Schema(t))}, &panics{})
	encoder := eventtest.NewEncoder(t, eventtest.Schema(t))
	var first []byte
	for i := range 5 {
		out, err := preparer.Prepare(batchOf([]byte("bad"), encoder.Framed(t, 1, eventtest.Event(0))))
		if err != nil || len(out.Runs) != 1 || len(out.Runs[0].Records) != 1 || len(out.Refusals) != 1 {
			t.Fatalf("round %d: %+v, %v", i, out, err)
		}
		if value := out.Runs[0].Records[0].Value; first == nil {
			first = bytes.Clone(value)
		} else if !bytes.Equal(first, value) {
			t.Fatalf("round %d gives other bytes", i)
		}
		preparer.Release(out)
	}
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte{1, 'a', 0, 2, 'b', 'c'}, uint32(3))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, uint32(1))
	f.Add([]byte{}, uint32(0))
	f.Fuzz(func(t *testing.T, raw []byte, count uint32) {
		events, err := prepare.Split(raw, count)
		if err != nil {
			return
		}
		var again []byte
		for _, e := range events {
			again = append(binary.AppendUvarint(again, uint64(len(e))), e...)
		}
		// Lengths may be written longer than needed, hence only the number and the bytes are the same.
		if len(events) != int(count) || len(again) > len(raw) {
			t.Errorf("%d events of %d bytes from %d bytes that say %d", len(events), len(again), len(raw), count)
		}
	})
}

func BenchmarkPrepare(b *testing.B) {
	preparer := newPreparer(b, schemas{1: compile(b, 1, eventtest.Schema(b))}, &panics{})
	encoder := eventtest.NewEncoder(b, eventtest.Schema(b))
	const perBatch = 500
	avro, json := make([][]byte, perBatch), make([][]byte, perBatch)
	for i := range perBatch {
		avro[i], json[i] = encoder.Framed(b, 1, eventtest.Event(i)), eventtest.JSON(b, eventtest.Event(i))
	}
	for name, batch := range map[string]*prepare.Batch{"avro": batchOf(avro...), "json": batchOf(json...)} {
		batch.JSON = name == "json"
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				out, err := preparer.Prepare(batch)
				if err != nil || len(out.Refusals) > 0 {
					b.Fatal(err, out.Refusals)
				}
				preparer.Release(out)
				n += perBatch
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/event")
		})
	}
}
