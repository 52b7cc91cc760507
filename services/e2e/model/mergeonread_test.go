package model

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storagetest"
)

// lakeSchema is the table's schema as the lake-writer makes it: every field nullable.
const lakeSchema = `{"type":"record","name":"playback","fields":[
{"name":"event_id","type":["null","string"],"default":null},{"name":"session_id","type":["null","string"],"default":null},
{"name":"event_type","type":["null","string"],"default":null},
{"name":"event_time","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null},
{"name":"session_start","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null},
{"name":"sequence","type":["null","long"],"default":null},
{"name":"received_at","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null},
{"name":"source","type":["null","string"],"default":null},{"name":"tenant","type":["null","string"],"default":null},
{"name":"account_id","type":["null","string"],"default":null},{"name":"profile_id","type":["null","string"],"default":null},
{"name":"device_id","type":["null","string"],"default":null},
{"name":"device","type":["null",{"type":"record","name":"Device","fields":[{"name":"type","type":["null","string"],"default":null},
  {"name":"model","type":["null","string"],"default":null},{"name":"os","type":["null","string"],"default":null},
  {"name":"os_version","type":["null","string"],"default":null}]}],"default":null},
{"name":"title_id","type":["null","string"],"default":null},{"name":"position_ms","type":["null","long"],"default":null},
{"name":"bitrate_kbps","type":["null","int"],"default":null},{"name":"buffer_ms","type":["null","int"],"default":null},
{"name":"cdn","type":["null","string"],"default":null},{"name":"country","type":["null","string"],"default":null},
{"name":"app_version","type":["null","string"],"default":null},{"name":"ip","type":["null","string"],"default":null},
{"name":"network_type","type":["null","string"],"default":null},{"name":"drm","type":["null","string"],"default":null},
{"name":"playback_rate","type":["null","double"],"default":null},
{"name":"price","type":["null",{"type":"fixed","name":"Price","size":8,"logicalType":"decimal","precision":18,"scale":4}],"default":null},
{"name":"error","type":["null",{"type":"record","name":"Error","fields":[{"name":"code","type":["null","string"],"default":null},
  {"name":"message","type":["null","string"],"default":null},{"name":"fatal","type":["null","boolean"],"default":null}]}],"default":null},
{"name":"tags","type":["null",{"type":"map","values":"string"}],"default":null},
{"name":"audio_tracks","type":["null",{"type":"array","items":"string"}],"default":null},
{"name":"experiment_cells","type":["null",{"type":"array","items":{"type":"record","name":"Cell","fields":[
  {"name":"name","type":["null","string"],"default":null},{"name":"cell","type":["null","int"],"default":null}]}}],"default":null},
{"name":"email","type":["null","string"],"default":null},{"name":"cdn_pop","type":["null","string"],"default":null},
{"name":"event_date","type":["null","string"],"default":null},{"name":"event_hour","type":["null","string"],"default":null},
{"name":"_hoodie_kafka_source_partition","type":["null","int"],"default":null},
{"name":"_hoodie_kafka_source_offset","type":["null","long"],"default":null},
{"name":"_hoodie_kafka_source_timestamp","type":["null","long"],"default":null}]}`

const lakeBuckets = 4

// lake is a merge-on-read table that the Hudi library writes in a scene's folder.
type lake struct {
	t      *testing.T
	s      *scene
	dir    storage.Store
	table  *hudi.Table
	writer *hudi.Writer
	format hudi.LogFormat
	next   int64 // offset; every row of a scene is at its own, and commits must follow each other in one partition
	wrong  func(row *handRow, bucket int) int
}

func newLake(t *testing.T, s *scene, format hudi.LogFormat) *lake {
	t.Helper()
	dir, err := storage.NewDir(s.table.base)
	if err != nil {
		t.Fatal(err)
	}
	table, err := hudi.Create(t.Context(), dir, hudi.TableConfig{
		Database: "lake", Name: "playback_events", Type: hudi.MergeOnRead, RecordKeyFields: []string{"session_id", "event_id"},
		PartitionFields: []string{"event_date", "event_hour"}, OrderingField: "event_time", HiveStylePartitioning: true,
		Buckets: lakeBuckets, BucketField: "session_id", Schema: lakeSchema,
	})
	if err != nil {
		t.Fatal(err)
	}
	l := &lake{t: t, s: s, dir: dir, table: table, format: format}
	l.acquire(dir)
	return l
}

// acquire opens the table through store and takes it over.
func (l *lake) acquire(store storage.Store) {
	l.t.Helper()
	table, err := hudi.Open(l.t.Context(), store)
	if err != nil {
		l.t.Fatal(err)
	}
	if l.writer, err = table.Acquire(l.t.Context(), "test"); err != nil {
		l.t.Fatal(err)
	}
}

// request holds rows of the scene, whose offsets go up, as everything that was new in all Kafka partitions.
func (l *lake) request(rows []handRow) hudi.CommitRequest {
	l.t.Helper()
	schema, err := avro.ParseWithCache(lakeSchema, "", new(avro.SchemaCache))
	if err != nil {
		l.t.Fatal(err)
	}
	groups := make(map[string]*hudi.Group)
	next := l.next
	for i := range rows {
		row := &rows[i]
		bucket := int(bucketHash(row.event.SessionID) % lakeBuckets)
		if l.wrong != nil {
			bucket = l.wrong(row, bucket)
		}
		name := fmt.Sprint(partitionPath(&row.event), bucket)
		if groups[name] == nil {
			groups[name] = &hudi.Group{Partition: partitionPath(&row.event), Bucket: bucket}
		}
		payload, err := avro.Marshal(schema, avroValues(row))
		if err != nil {
			l.t.Fatal(err)
		}
		groups[name].Records = append(groups[name].Records, hudi.Record{Key: row.values()["_hoodie_record_key"].(string), Payload: payload})
		next = max(next, row.offset+1)
	}
	progress := make(map[int32]hudi.Range)
	for p := range int32(partitions) {
		progress[p] = hudi.Range{From: l.next, Next: next}
	}
	req := hudi.CommitRequest{
		Operation: hudi.Upsert, WriterSchemas: []string{lakeSchema}, LogFormat: l.format, Progress: hudi.Progress{"playback.events": progress},
	}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		req.Groups = append(req.Groups, *groups[name])
	}
	return req
}

func (l *lake) commit(rows []handRow) {
	l.t.Helper()
	req := l.request(rows)
	if _, err := l.writer.Commit(l.t.Context(), req); err != nil {
		l.t.Fatal(err)
	}
	l.next = req.Progress["playback.events"][0].Next
}

func (l *lake) compact() {
	l.t.Helper()
	if _, err := l.writer.Compact(l.t.Context(), hudi.CompactOptions{}); err != nil {
		l.t.Fatal(err)
	}
}

// cycle writes the scene's rows in pieces with every table service between them, so that the table ends with base files, logs, deleted
// slices and an archive.
func (l *lake) cycle() {
	l.t.Helper()
	quarter := len(l.s.rows) / 4
	l.commit(l.s.rows[:quarter])
	l.commit(l.s.rows[quarter : 2*quarter])
	l.compact()
	l.commit(l.s.rows[2*quarter : 3*quarter])
	if _, err := l.writer.Clean(l.t.Context(), hudi.CleanOptions{Policy: hudi.CleanByCommits, Retain: 1}); err != nil {
		l.t.Fatal(err)
	}
	if _, err := l.writer.Archive(l.t.Context(), hudi.ArchiveOptions{KeepMin: 2, KeepMax: 2}); err != nil {
		l.t.Fatal(err)
	}
	l.commit(l.s.rows[3*quarter:])
}

// avroValues are a row's values as hamba encodes them.
func avroValues(row *handRow) map[string]any {
	v := row.values()
	names := map[string][]string{"device": {"type", "model", "os", "os_version"}, "error": {"code", "message", "fatal"}}
	for name, fields := range names {
		if list, ok := v[name].([]any); ok {
			v[name] = named(fields, list)
		}
	}
	cells := []any{}
	for _, cell := range v["experiment_cells"].([]any) {
		cells = append(cells, named([]string{"name", "cell"}, cell.([]any)))
	}
	tags := map[string]any{}
	for _, tag := range row.event.Tags {
		tags[tag.Key] = tag.Value
	}
	v["experiment_cells"], v["tags"] = cells, tags
	for _, name := range []string{"event_time", "session_start", "received_at"} {
		v[name] = time.UnixMicro(v[name].(int64))
	}
	for name, branch := range map[string]string{"device": "Device", "error": "Error", "price": "Price", "tags": "map", "audio_tracks": "array", "experiment_cells": "array"} {
		if unscaled, ok := v[name].(int64); ok {
			v[name] = map[string]any{branch: [8]byte(binary.BigEndian.AppendUint64(nil, uint64(unscaled)))}
		} else if v[name] != nil {
			v[name] = map[string]any{branch: v[name]}
		}
	}
	return v
}

func named(fields []string, values []any) map[string]any {
	m := make(map[string]any)
	for i, field := range fields {
		m[field] = values[i]
	}
	return m
}

var logFormats = map[string]hudi.LogFormat{"avro": hudi.LogFormatAvro, "parquet": hudi.LogFormatParquet}

// Logs of both formats with compaction, clean and archive hold the run, and the commits' chain is followed.
func TestServedMergeOnReadTableIsOK(t *testing.T) {
	t.Parallel()
	for name, format := range logFormats {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			newLake(t, s, format).cycle()
			r := s.verdict(t)
			if r.Verdict != "ok" || r.Rows != uint64(len(s.rows)) || r.BaseRows == 0 || r.BaseRows >= r.Rows {
				t.Errorf("verdict %+v", r)
			}
			snapshot, err := ReadSnapshot(s.table.base)
			if err != nil || len(snapshot.taken) == 0 || snapshot.buckets != lakeBuckets || len(snapshot.Instants) > 3 {
				t.Errorf("snapshot %+v: %v", snapshot, err)
			}
		})
	}
}

// A later version of an event replaces the earlier one, in logs and over a base file; an older event time does not.
func TestNewestVersionCounts(t *testing.T) {
	t.Parallel()
	for name, format := range logFormats {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			l := newLake(t, s, format)
			l.commit(s.rows)
			again := slices.Clone(s.rows[:20])
			for i := range again {
				again[i].offset = l.next + int64(i)
			}
			l.compact()
			l.commit(again)
			// What the topic says: every event was there first at its own number.
			r := s.verdictWith(t, func(in *Inputs) {
				in.Records = func(_ context.Context, yield func([]byte, int64)) error {
					for i := range s.rows {
						yield([]byte(s.rows[i].event.EventID), s.rows[i].offset)
					}
					return nil
				}
			})
			if r.Verdict != "ok" || r.Rows != uint64(len(s.rows)) || r.BaseRows != r.Rows {
				t.Errorf("verdict %+v", r)
			}
			if r := s.verdict(t); r.OutOfOrder == 0 {
				t.Errorf("without the topic: %+v", r)
			}
		})
	}
}

// A commit that fails at one of its writes leaves nothing that counts, before and after the next owner has rolled it back.
func TestFailedCommitsAreInvisible(t *testing.T) {
	t.Parallel()
	failed, left := 0, 0
	for n := 1; n < 14; n += 4 {
		s := newScene(t)
		l := newLake(t, s, hudi.LogFormatAvro)
		half := len(s.rows) / 2
		l.commit(s.rows[:half])
		l.acquire(storagetest.FailNth(l.dir, storagetest.Fault{N: n, Down: true, Err: storagetest.ErrDown, Ops: storagetest.Writes}))
		files := countLogs(t, s)
		if _, err := l.writer.Commit(t.Context(), l.request(s.rows[half:])); err != nil {
			failed++
		}
		if r := s.verdict(t); r.Duplicate+r.Phantom+r.Corrupt+r.OutOfOrder > 0 {
			t.Errorf("fault at write %d: verdict %+v", n, r)
		}
		if countLogs(t, s) > files {
			left++
		}
		l.acquire(l.dir)
		if l.writer.Head().Offsets["playback.events"][0] == l.next { // it did not happen
			l.commit(s.rows[half:])
		}
		if r := s.verdict(t); r.Verdict != "ok" || r.Rows != uint64(len(s.rows)) {
			t.Errorf("after a fault at write %d: verdict %+v", n, r)
		}
	}
	if failed == 0 || left == 0 {
		t.Errorf("%d commits failed, %d of them left log files behind: the faults miss them", failed, left)
	}
}

// countLogs counts the log files in the folder, whether they count or not.
func countLogs(t *testing.T, s *scene) int {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(s.table.base, "*", "*", ".*.log.*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(logs)
}

// Each case breaks a sound table by hand; the verdict says so and names what it saw.
func TestBrokenMergeOnReadTables(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		damage func(t *testing.T, s *scene, l *lake)
		count  func(*Result) uint64
		says   string
	}{
		"log gone": {func(t *testing.T, s *scene, _ *lake) { remove(t, lastLog(t, s)) }, (*Result).lostRows, "is not there"},
		"log cut": {func(t *testing.T, s *scene, _ *lake) {
			edit(t, lastLog(t, s), func(b []byte) []byte { return b[:len(b)-9] })
		}, (*Result).lostRows, "read log block"},
		"log empty": {func(t *testing.T, s *scene, _ *lake) {
			edit(t, lastLog(t, s), func([]byte) []byte { return nil })
		}, (*Result).lostRows, "no block of commit"},
		"byte changed": {func(t *testing.T, s *scene, _ *lake) {
			edit(t, lastLog(t, s), func(b []byte) []byte { return bytes.Replace(b, []byte("\x0edefault"), []byte("\x0edefaulx"), 1) })
		}, (*Result).corruptRows, "tenant"},
		"base file gone": {func(t *testing.T, s *scene, _ *lake) {
			remove(t, glob(t, s, "*.parquet")[0])
		}, (*Result).lostRows, "is acked"}, // a file without logs on top leaves nothing else that could be named
		"commit gone": {func(t *testing.T, s *scene, _ *lake) {
			commits, _ := filepath.Glob(filepath.Join(s.table.base, ".hoodie", "*.deltacommit"))
			remove(t, commits[len(commits)-1])
		}, (*Result).lostRows, "is acked"},
		"phantom in a log": {func(_ *testing.T, s *scene, _ *lake) {
			s.ledger.Sources[0].Next -= 2
		}, func(r *Result) uint64 { return r.Phantom }, "which nobody sent"},
		"event in two groups": {func(t *testing.T, s *scene, l *lake) {
			l.wrong = func(_ *handRow, bucket int) int { return (bucket + 1) % lakeBuckets }
			row := s.rows[0]
			row.offset = l.next
			l.commit([]handRow{row})
		}, func(r *Result) uint64 { return r.Duplicate }, "is not the first"},
		"event in two base files": {func(t *testing.T, s *scene, l *lake) {
			l.wrong = func(_ *handRow, bucket int) int { return (bucket + 1) % lakeBuckets }
			row := s.rows[0]
			row.offset = l.next
			l.commit([]handRow{row})
			l.compact()
		}, func(r *Result) uint64 { return r.Duplicate }, ".parquet is not the first"},
		"offset of another commit": {func(t *testing.T, s *scene, l *lake) {
			l.commit(s.rows[len(s.rows)-1:]) // its offset was taken before
		}, (*Result).corruptRows, "took"},
		"chain goes back": {func(t *testing.T, s *scene, _ *lake) {
			commits, _ := filepath.Glob(filepath.Join(s.table.base, ".hoodie", "*.deltacommit"))
			edit(t, commits[len(commits)-1], func(b []byte) []byte {
				return bytes.ReplaceAll(b, []byte(`\"offsets\":{\"playback.events\":{\"0\":`), []byte(`\"offsets\":{\"playback.events\":{\"0\":-`))
			})
		}, (*Result).corruptRows, "its predecessor was at"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			l := newLake(t, s, hudi.LogFormatAvro)
			l.cycle()
			c.damage(t, s, l)
			r := s.verdict(t)
			if r.Verdict != "failed" || c.count(r) == 0 || !strings.Contains(strings.Join(r.Problems, "\n"), c.says) {
				t.Errorf("verdict %+v", r)
			}
		})
	}
}

func (r *Result) lostRows() uint64    { return r.Lost }
func (r *Result) corruptRows() uint64 { return r.Corrupt }

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func edit(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := change(data)
	if bytes.Equal(changed, data) {
		t.Fatalf("%s is as it was", path)
	}
	if err := os.WriteFile(path, changed, 0o644); err != nil {
		t.Fatal(err)
	}
}

// glob finds data files that a snapshot reads.
func glob(t *testing.T, s *scene, pattern string) []string {
	t.Helper()
	snapshot, err := ReadSnapshot(s.table.base)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, slice := range snapshot.Slices {
		for _, name := range append(slices.Clone(slice.Logs), slice.Path) {
			if ok, _ := filepath.Match(pattern, filepath.Base(name)); ok {
				found = append(found, filepath.Join(s.table.base, name))
			}
		}
	}
	if len(found) == 0 {
		t.Fatalf("no %s", pattern)
	}
	return found
}

// lastLog is a log file of the newest slice of a group.
func lastLog(t *testing.T, s *scene) string {
	t.Helper()
	logs := glob(t, s, ".*.log.*")
	return logs[len(logs)-1]
}

// Blocks of a log that was cut or changed anywhere are refused or read, never a crash.
func FuzzReadBlock(f *testing.F) {
	f.Add([]byte("#HUDI#\x00\x00\x00\x00\x00\x00\x00\x20\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x26"))
	f.Add([]byte("#HUDI#"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		block, err := readBlock(bytes.NewReader(data))
		if err != nil {
			return
		}
		_, _ = readAvroBlock(block)
		_, _ = readDeleteBlock(block)
	})
}

// FuzzAvroContent gives the two decoders content behind a sound schema.
func FuzzAvroContent(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x03\x00\x00\x00\x01\x00\x00\x00\x01\x00"))
	f.Add([]byte("\x00\x00\x00\x03\x00\x00\x00\x07\x02\x02\x02k\x02\x00\x04\x00\x00"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = readAvroBlock(&logBlock{headers: map[int32]string{headerSchema: lakeSchema}, content: data})
		_, _ = readDeleteBlock(&logBlock{content: data})
	})
}
