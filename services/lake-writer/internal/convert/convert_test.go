package convert

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/record"
)

func eventSchema(extra ...string) string {
	return `{"type":"record","name":"Event","namespace":"test","fields":[` + strings.Join(append([]string{
		`{"name":"id","type":"string","playhead.role":"event_id","playhead.pii":"none"}`,
		`{"name":"session","type":"string","playhead.role":"session_id","playhead.pii":"none"}`,
		`{"name":"at","type":{"type":"long","logicalType":"timestamp-micros"},"playhead.role":"event_time"}`,
		`{"name":"note","type":["null","string"],"default":null,"playhead.pii":"none"}`,
	}, extra...), ",") + `]}`
}

const (
	v1, v2, broken, foreign = 1, 2, 3, 4
)

var registry = map[int]string{
	v1:      eventSchema(),
	v2:      eventSchema(`{"name":"pop","type":["null","string"],"default":null,"playhead.pii":"none"}`),
	broken:  strings.Replace(eventSchema(), `{"type":"long","logicalType":"timestamp-micros"}`, `"string","playhead.pii":"none"`, 1),
	foreign: `{"type":"record","name":"X","fields":[{"name":"a","type":"int"}]}`,
}

var errAway = errors.New("registry is away")

func lookup(_ context.Context, id int) (string, error) {
	if text, ok := registry[id]; ok {
		return text, nil
	}
	return "", errAway
}

func newConverter(t testing.TB, kafkaColumns bool) *Converter {
	t.Helper()
	table, err := TableSchema(registry[v1], kafkaColumns)
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Params{Schemas: lookup, Table: table, SessionField: "session", EventField: "id", Buckets: 4, KafkaColumns: kafkaColumns})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var at = time.Date(2026, 11, 22, 8, 59, 59, 999_999_000, time.UTC)

// frame encodes an event with the given schema.
func frame(t testing.TB, id int, event map[string]any) []byte {
	t.Helper()
	schema, err := avro.ParseWithCache(registry[id], "", &avro.SchemaCache{})
	if err != nil {
		t.Fatal(err)
	}
	body, err := avro.Marshal(schema, event)
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(id)), body...)
}

func event(session, id string, at time.Time) map[string]any {
	return map[string]any{"id": id, "session": session, "at": at, "note": nil}
}

func chunk(values ...[]byte) record.Chunk {
	c := record.Chunk{Topic: "events", Partition: 3, From: 100, Next: 100 + int64(len(values)), Count: len(values)}
	for _, v := range values {
		c.Bytes += len(v)
	}
	c.Records = func(yield func(record.Record) bool) {
		for i, v := range values {
			if !yield(record.Record{Offset: 100 + int64(i), Timestamp: 5000 + int64(i), Value: v}) {
				return
			}
		}
	}
	return c
}

// decode reads a row back with the schema that it claims to be written with.
func decode(t *testing.T, c *Converter, row Row) map[string]any {
	t.Helper()
	schema, err := avro.ParseWithCache(c.Writers()[row.Record.Writer], "", &avro.SchemaCache{})
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := avro.Unmarshal(schema, row.Record.Payload, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestConvert(t *testing.T) {
	t.Parallel()
	c := newConverter(t, true)
	e2 := event("s2", "e2", at.Add(time.Microsecond))
	e2["pop"] = "fra"
	in := chunk(frame(t, v1, event("s1", "e1", at)), frame(t, v2, e2))
	rows, next, err := c.Convert(t.Context(), in)
	if err != nil || next != in.Next || len(rows.Rows) != 2 {
		t.Fatalf("Convert: %d rows, next %d, %v", len(rows.Rows), next, err)
	}
	if rows.First != 5000 || rows.Last != 5001 || rows.Bytes < int64(in.Bytes) {
		t.Errorf("first %d, last %d, bytes %d", rows.First, rows.Last, rows.Bytes)
	}
	first, second := rows.Rows[0], rows.Rows[1]
	if first.Partition != "event_date=2026-11-22/event_hour=08" || second.Partition != "event_date=2026-11-22/event_hour=09" {
		t.Errorf("partitions are %s and %s", first.Partition, second.Partition)
	}
	if first.Record.Key != "session:s1,id:e1" || second.Record.Key != "session:s2,id:e2" {
		t.Errorf("keys are %s and %s", first.Record.Key, second.Record.Key)
	}
	if want := keys.Bucket(4, "s2"); second.Bucket != want {
		t.Errorf("bucket is %d, want %d", second.Bucket, want)
	}
	got := decode(t, c, second)
	for name, want := range map[string]any{
		"id": "e2", "session": "s2", "pop": "fra", "note": nil, "event_date": "2026-11-22", "event_hour": "09",
		ColumnPartition: 3, ColumnOffset: int64(101), ColumnTimestamp: int64(5001),
	} {
		if fmt.Sprint(got[name]) != fmt.Sprint(want) {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if !strings.Contains(c.TableSchema(), `"pop"`) {
		t.Error("the table did not get the column of the newer schema")
	}
}

func TestConvertWithoutKafkaColumns(t *testing.T) {
	t.Parallel()
	c := newConverter(t, false)
	rows, _, err := c.Convert(t.Context(), chunk(frame(t, v1, event("s", "e", at))))
	if err != nil {
		t.Fatal(err)
	}
	if got := decode(t, c, rows.Rows[0]); len(got) != 6 || got["event_hour"] != "08" {
		t.Errorf("row is %v", got)
	}
}

// TestRefusals: an event that can never become a row is handed out with its cause, and the events around it become rows; where nothing takes
// refused events, the rows before it are good, it is named, and none behind it is taken.
func TestRefusals(t *testing.T) {
	t.Parallel()
	good := frame(t, v1, event("s", "e", at))
	tests := []struct {
		name   string
		value  []byte
		cause  string // none means: not now
		detail string
		id     string
	}{
		{"empty", nil, CauseMalformedFrame, "no schema id", ""},
		{"foreign bytes", []byte(`{"event":"start"}`), CauseMalformedFrame, "no schema id", ""},
		{"truncated", good[:len(good)-1], CauseMalformedAvro, "of the body", ""},
		{"trailing bytes", append(slices.Clone(good), 0), CauseTrailingBytes, "of the body", ""},
		{"comma in key", frame(t, v1, event("a,b", "e", at)), CauseInvalidKey, "a comma", "e"},
		{"control character in key", frame(t, v1, event("s", "a\nb", at)), CauseInvalidKey, "a control character", ""},
		{"empty key", frame(t, v1, event("", "e", at)), CauseInvalidKey, "0 bytes", "e"},
		{"long key", frame(t, v1, event("s", strings.Repeat("x", 1025), at)), CauseInvalidKey, "1025 bytes", ""},
		{"year 10000", frame(t, v1, event("s", "e", time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC))), CauseInvalidTime, "outside the years", "e"},
		{"changed field", frame(t, broken, map[string]any{"id": "e", "session": "s", "at": "x", "note": nil}), CauseIncompatibleSchema, "schema 3", ""},
		{"no roles", frame(t, foreign, map[string]any{"a": 1}), CauseIncompatibleSchema, "schema 4", ""},
		{"schema not to be had", []byte{0, 0, 0, 0, 99, 1}, "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newConverter(t, true)
			in := chunk(good, tt.value, good)
			rows, next, err := c.Convert(t.Context(), in)
			if next != 101 || len(rows.Rows) != 1 || len(rows.Refused) != 0 {
				t.Errorf("%d rows, next offset %d; want 1 row, 101", len(rows.Rows), next)
			}
			h, halted := errors.AsType[*record.HaltError](err)
			switch notNow := tt.cause == ""; {
			case notNow && !errors.Is(err, errAway):
				t.Errorf("error is %v, want the registry's", err)
			case !notNow && (!halted || !strings.Contains(h.Reason, tt.detail) || !strings.Contains(h.Reason, "offset 101 cannot become a row")):
				t.Errorf("error is %v, want a halt with %q at offset 101", err, tt.detail)
			case notNow:
				return
			}
			c.p.Refuse = true
			rows, next, err = c.Convert(t.Context(), in)
			if err != nil || next != in.Next || len(rows.Rows) != 2 || len(rows.Refused) != 1 {
				t.Fatalf("%d rows, %d refused, next offset %d, %v", len(rows.Rows), len(rows.Refused), next, err)
			}
			got := rows.Refused[0]
			if got.Offset != 101 || got.Partition != 3 || got.Topic != "events" || got.Timestamp != 5001 || !bytes.Equal(got.Value, tt.value) ||
				got.Cause != tt.cause || !strings.Contains(got.Detail, tt.detail) || got.EventID != tt.id {
				t.Errorf("refused %+v, want %s of event %q with %q", got, tt.cause, tt.id, tt.detail)
			}
		})
	}
}

// TestClamp: what is too far from the record's own time in Kafka is refused, whatever the clock says when it is read.
func TestClamp(t *testing.T) {
	t.Parallel()
	c := newConverter(t, false)
	c.p.Refuse, c.p.Clamp = true, Clamp{Past: time.Hour, Future: time.Minute}
	kafka := time.UnixMilli(5000)
	var values [][]byte
	for _, d := range []time.Duration{-time.Hour, -time.Hour - time.Second, time.Minute, time.Minute + time.Second} {
		values = append(values, frame(t, v1, event("s", d.String(), kafka.Add(d))))
	}
	rows, _, err := c.Convert(t.Context(), chunk(values...))
	if err != nil || len(rows.Rows) != 2 || len(rows.Refused) != 2 {
		t.Fatalf("%d rows, %d refused, %v", len(rows.Rows), len(rows.Refused), err)
	}
	for i, want := range []string{"-1h0m1s", "1m1s"} {
		if r := rows.Refused[i]; r.EventID != want || r.Cause != "INVALID_TIME" {
			t.Errorf("refused %q for %s, want %q", r.EventID, r.Cause, want)
		}
	}
}

func TestBefore1970(t *testing.T) {
	t.Parallel()
	c := newConverter(t, true)
	rows, _, err := c.Convert(t.Context(), chunk(frame(t, v1, event("s", "e", time.Date(1969, 12, 31, 23, 30, 0, 0, time.UTC)))))
	if err != nil || rows.Rows[0].Partition != "event_date=1969-12-31/event_hour=23" {
		t.Errorf("partition %v, %v", rows.Rows, err)
	}
}

func BenchmarkConvert(b *testing.B) {
	c := newConverter(b, true)
	const n = 1000
	var values [][]byte
	for i := range n {
		e := event(fmt.Sprintf("5f0c5e9e-8a53-4b9e-9d0e-%012d", i%50), fmt.Sprintf("0b0f2c1a-77aa-4a7b-8a53-%012d", i), at)
		e["note"] = strings.Repeat("x", 150)
		values = append(values, frame(b, v1, e))
	}
	in := chunk(values...)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		rows, _, err := c.Convert(b.Context(), in)
		if err != nil || len(rows.Rows) != n {
			b.Fatal(len(rows.Rows), err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/event")
	b.SetBytes(int64(in.Bytes))
}

func FuzzConvert(f *testing.F) {
	f.Add(frame(f, v1, event("s", "e", at)))
	f.Add([]byte{0, 0, 0, 0, 1})
	f.Add([]byte{})
	c := newConverter(f, true)
	f.Fuzz(func(t *testing.T, value []byte) {
		rows, next, err := c.Convert(t.Context(), chunk(value))
		if (err == nil) != (len(rows.Rows) == 1) || (err == nil) != (next == 101) {
			t.Fatalf("%d rows, next %d, %v", len(rows.Rows), next, err)
		}
		if err == nil && len(rows.Rows[0].Record.Payload) < len(value)-frameBytes {
			t.Errorf("the payload is shorter than the event")
		}
	})
}
