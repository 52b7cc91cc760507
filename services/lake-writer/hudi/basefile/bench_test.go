package basefile

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/hamba/avro/v2"
)

// eventSchema is a playback event of 30 fields, as wide as the shipped ones.
const eventSchema = `{"type":"record","name":"event","fields":[
 {"name":"event_id","type":"string"},{"name":"session_id","type":"string"},{"name":"event_type","type":"string"},
 {"name":"event_time","type":{"type":"long","logicalType":"timestamp-micros"}},
 {"name":"session_start","type":{"type":"long","logicalType":"timestamp-micros"}},
 {"name":"sequence","type":"long"},
 {"name":"tenant","type":["null","string"]},{"name":"source","type":["null","string"]},
 {"name":"received_at","type":["null",{"type":"long","logicalType":"timestamp-micros"}]},
 {"name":"account_id","type":"string"},{"name":"profile_id","type":["null","string"]},{"name":"device_id","type":"string"},
 {"name":"device","type":{"type":"record","name":"device","fields":[{"name":"type","type":"string"},{"name":"model","type":"string"},{"name":"os","type":"string"},{"name":"os_version","type":"string"}]}},
 {"name":"title_id","type":"string"},{"name":"position_ms","type":"long"},{"name":"bitrate_kbps","type":["null","int"]},
 {"name":"buffer_ms","type":["null","int"]},{"name":"cdn","type":["null","string"]},{"name":"country","type":["null","string"]},
 {"name":"app_version","type":"string"},{"name":"ip","type":["null","string"]},{"name":"network_type","type":["null","string"]},
 {"name":"drm","type":["null","string"]},{"name":"playback_rate","type":["null","double"]},
 {"name":"price","type":["null",{"type":"fixed","name":"money","size":8,"logicalType":"decimal","precision":18,"scale":4}]},
 {"name":"error","type":["null",{"type":"record","name":"error","fields":[{"name":"code","type":"string"},{"name":"message","type":["null","string"]},{"name":"fatal","type":"boolean"}]}]},
 {"name":"tags","type":{"type":"map","values":"string"}},{"name":"audio_tracks","type":{"type":"array","items":"string"}},
 {"name":"experiment_cells","type":{"type":"array","items":{"type":"record","name":"cell","fields":[{"name":"name","type":"string"},{"name":"cell","type":"int"}]}}},
 {"name":"email","type":["null","string"]}
]}`

func inventEvents(tb testing.TB, n int) []Record { return inventEventsOf(tb, eventSchema, n) }

// benchSession is one that runs.
type benchSession struct {
	events                                                  int // to come
	sequence, start                                         int64
	id, account, device, ip, model, title, country, version string
}

// inventEventsOf makes up events with those of the fields that the schema has.
func inventEventsOf(tb testing.TB, text string, n int) []Record {
	tb.Helper()
	schema, err := avro.ParseWithCache(text, "", &avro.SchemaCache{})
	if err != nil {
		tb.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(7, 7))
	hex := func(n int) string { return fmt.Sprintf("%016x%016x", rng.Uint64(), rng.Uint64())[:n] }
	some := func(kind string, v any) any { return map[string]any{kind: v} }
	records := make([]Record, n)
	pick := func(n int, texts ...string) string { // a few of n are most of them
		i := rand.NewZipf(rng, 1.3, 2, uint64(n-1)).Uint64()
		if len(texts) == n {
			return texts[i]
		}
		return fmt.Sprintf("%s-%d", texts[0], i)
	}
	live := make([]benchSession, max(n/50, 1)) // whose events come in turns
	for i := range records {
		s := &live[rng.IntN(len(live))]
		if s.events == 0 { // the last one ended
			*s = benchSession{
				events: 1 + rng.IntN(13), id: hex(32), account: "k1." + hex(32) + "0123456789a", device: "k1." + hex(32) + "0123456789b",
				ip: fmt.Sprintf("10.%d.%d.0", rng.IntN(256), rng.IntN(256)), model: pick(300, "model"), title: pick(5000, "title"),
				country: pick(40, "C"), version: pick(12, "8.1"), start: int64(1_795_000_000_000_000 + i*8000),
			}
		}
		s.events--
		s.sequence++
		id := hex(32)
		at := int64(1_795_000_000_000_000 + i*8000)
		payload, err := avro.Marshal(schema, map[string]any{
			"event_id": id, "session_id": s.id, "event_type": pick(4, "heartbeat", "pause", "seek", "start"),
			"event_time": at, "session_start": s.start, "sequence": s.sequence,
			"tenant": some("string", "acme"), "source": some("string", pick(8, "edge")), "received_at": some("long.timestamp-micros", at+rng.Int64N(1e6)),
			"account_id": s.account, "profile_id": some("string", s.account), "device_id": s.device,
			"device":   map[string]any{"type": pick(3, "tv", "phone", "web"), "model": s.model, "os": pick(3, "linux", "ios", "android"), "os_version": s.version},
			"title_id": s.title, "position_ms": rng.Int64N(7_200_000), "bitrate_kbps": some("int", int32(800*(1+rng.IntN(8)))),
			"buffer_ms": some("int", rng.Int32N(30000)), "cdn": some("string", pick(4, "cdn")), "country": some("string", s.country),
			"app_version": s.version, "ip": some("string", s.ip), "network_type": some("string", "wifi"),
			"drm": some("string", "widevine"), "playback_rate": some("double", 1.0), "price": nil, "error": nil,
			"tags": map[string]any{"row": fmt.Sprint(rng.IntN(9)), "shelf": "popular"}, "audio_tracks": []any{"de", "en"},
			"experiment_cells": []any{map[string]any{"name": "exp-1", "cell": int32(rng.IntN(4))}, map[string]any{"name": "exp-2", "cell": int32(2)}},
			"email":            nil,
		})
		if err != nil {
			tb.Fatal(err)
		}
		records[i] = Record{Key: "session_id:" + s.id + ",event_id:" + id, Payload: payload}
	}
	return records
}

func eventConfig() Config {
	return Config{
		TableSchema: eventSchema, WriterSchemas: []string{eventSchema}, CommitTime: "20261122080000000",
		PartitionPath: "event_date=2026-11-22/event_hour=08", FileName: "00000001-4366-4566-846a-d3f9e8d81519-0_1-0-0_20261122080000000.parquet",
		UniqueColumns: []string{"event_id"},
	}
}

func writeEvents(tb testing.TB, out io.Writer, records []Record, olds ...*Reader) Footer {
	tb.Helper()
	w, err := NewWriter(out, eventConfig())
	if err != nil {
		tb.Fatal(err)
	}
	for _, old := range olds {
		if _, err := w.CopyFrom(tb.Context(), old, nil); err != nil {
			tb.Fatal(err)
		}
	}
	for _, rec := range records {
		if err := w.Append(rec); err != nil {
			tb.Fatal(err)
		}
	}
	footer, err := w.Close()
	if err != nil {
		tb.Fatal(err)
	}
	return footer
}

const benchEvents = 100_000

// BenchmarkAppend writes files of 100,000 events from a fresh writer each; ns/event and allocs/event are what counts.
func BenchmarkAppend(b *testing.B) {
	records := inventEvents(b, benchEvents)
	b.ResetTimer()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	size := int64(0)
	for range b.N {
		size = writeEvents(b, io.Discard, records).Bytes
	}
	runtime.ReadMemStats(&after)
	events := float64(b.N * benchEvents)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/events, "ns/event")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/events, "allocs/event")
	b.ReportMetric(float64(size)/benchEvents, "fileB/event")
}

// BenchmarkShred is the walk over the Avro bytes alone, into columns that are thrown away.
func BenchmarkShred(b *testing.B) {
	records := inventEvents(b, 128)
	w, err := NewWriter(io.Discard, eventConfig())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := w.batch.run(&w.programs[0], records[i%len(records)].Payload, 0); err != nil {
			b.Fatal(err)
		}
		if i%128 == 127 {
			for leaf := range w.batch.columns {
				w.clearColumn(leaf)
			}
		}
	}
}

// BenchmarkCopyFrom rewrites a file of 100,000 rows.
func BenchmarkCopyFrom(b *testing.B) {
	var out bytes.Buffer
	writeEvents(b, &out, inventEvents(b, benchEvents))
	old, err := OpenReader(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range b.N {
		writeEvents(b, io.Discard, nil, old)
	}
	runtime.ReadMemStats(&after)
	rows := float64(b.N * benchEvents)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/rows, "ns/row")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/rows, "allocs/row")
}

// BenchmarkKeys reads the record keys of a file of 100,000 rows.
func BenchmarkKeys(b *testing.B) {
	var out bytes.Buffer
	writeEvents(b, &out, inventEvents(b, benchEvents))
	b.ResetTimer()
	for range b.N {
		old, err := OpenReader(bytes.NewReader(out.Bytes()), int64(out.Len()))
		if err != nil {
			b.Fatal(err)
		}
		if keys, err := old.Keys(); err != nil || len(keys) != benchEvents {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchEvents), "ns/row")
}
