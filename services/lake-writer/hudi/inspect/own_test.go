package inspect

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

const ownSchema = `{"type":"record","name":"t","fields":[
 {"name":"session_id","type":["null","string"],"default":null},{"name":"event_id","type":["null","string"],"default":null},
 {"name":"event_time","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null},
 {"name":"day","type":["null","string"],"default":null}]}`

// ownTable makes a table of this library with three commits of 40 new rows each, ten of them repeated in the next.
func ownTable(tb testing.TB) storage.Store {
	tb.Helper()
	return ownTableOf(tb, hudi.CopyOnWrite)
}

func ownTableOf(tb testing.TB, kind hudi.TableType) storage.Store {
	tb.Helper()
	store := storage.NewMem()
	ctx := tb.Context()
	table, err := hudi.Create(ctx, store, hudi.TableConfig{
		Database: "lake", Name: "t", Type: kind, RecordKeyFields: []string{"session_id", "event_id"}, PartitionFields: []string{"day"},
		OrderingField: "event_time", HiveStylePartitioning: true, Buckets: 2, BucketField: "session_id", Schema: ownSchema,
	})
	if err != nil {
		tb.Fatal(err)
	}
	w, err := table.Acquire(ctx, "test")
	if err != nil {
		tb.Fatal(err)
	}
	schema, err := avro.ParseWithCache(ownSchema, "", &avro.SchemaCache{})
	if err != nil {
		tb.Fatal(err)
	}
	for commit := range 3 {
		groups := make(map[string]*hudi.Group)
		for i := commit * 40; i < commit*40+50; i++ {
			session, event, day := fmt.Sprintf("s-%d", i%9), fmt.Sprintf("e-%d", i), fmt.Sprintf("2026-11-2%d", i%2)
			payload, err := avro.Marshal(schema, map[string]any{
				"session_id": map[string]any{"string": session}, "event_id": map[string]any{"string": event},
				"event_time": nil, "day": map[string]any{"string": day},
			})
			if err != nil {
				tb.Fatal(err)
			}
			bucket := keys.Bucket(2, session)
			id := fmt.Sprint(day, bucket)
			if groups[id] == nil {
				groups[id] = &hudi.Group{Partition: "day=" + day, Bucket: bucket}
			}
			groups[id].Records = append(groups[id].Records, hudi.Record{Key: "session_id:" + session + ",event_id:" + event, Payload: payload})
		}
		req := hudi.CommitRequest{
			WriterSchemas: []string{ownSchema},
			Progress:      hudi.Progress{"topic": {0: {From: int64(commit * 50), Next: int64(commit*50 + 50)}}},
		}
		if kind == hudi.MergeOnRead {
			req.Operation = hudi.Upsert
		}
		for _, id := range slices.Sorted(maps.Keys(groups)) {
			req.Groups = append(req.Groups, *groups[id])
		}
		if _, err := w.Commit(ctx, req); err != nil {
			tb.Fatal(err)
		}
	}
	return store
}

func TestVerifyOwnTable(t *testing.T) {
	t.Parallel()
	r, err := Verify(t.Context(), ownTable(t))
	if err != nil {
		t.Fatal(err)
	}
	if r.Rows != 130 || r.Partitions != 2 || r.Files != 4 || len(r.Faults)+len(r.Orphans)+len(r.Pending) > 0 {
		t.Errorf("report %+v", r)
	}
}

// TestVerifyLogs: the log files of a merge-on-read table are looked at too.
func TestVerifyLogs(t *testing.T) {
	t.Parallel()
	check := func(spoil func(store storage.Store, log string)) *Report {
		t.Helper()
		store := ownTableOf(t, hudi.MergeOnRead)
		var log string
		for info, err := range store.List(t.Context(), "day=") {
			if err != nil {
				t.Fatal(err)
			}
			if _, err := fileslice.ParseLogKey(info.Key); err == nil {
				log = info.Key
			}
		}
		spoil(store, log)
		r, err := Verify(t.Context(), store)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := check(func(storage.Store, string) {})
	if r.Rows != 130 || r.Files != 4 || r.Logs != 8 || len(r.Faults)+len(r.Orphans)+len(r.Pending) > 0 {
		t.Errorf("report %+v", r)
	}
	r = check(func(store storage.Store, log string) {
		if err := store.Delete(t.Context(), log); err != nil {
			t.Fatal(err)
		}
	})
	if len(r.Faults) != 1 || !strings.Contains(r.Faults[0].What, "is missing") {
		t.Errorf("a log is gone: %q", r.Faults)
	}
	r = check(func(store storage.Store, log string) {
		data, _, err := store.Get(t.Context(), log)
		if err == nil {
			data[len(data)/2] ^= 0xff
			data = data[:len(data)-3]
			_, err = store.Put(t.Context(), log, data, storage.Condition{})
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	if len(r.Faults) != 2 || !strings.Contains(r.Faults[0].What, "bytes, commit") || !strings.Contains(r.Faults[1].What, "corrupt") {
		t.Errorf("a log is cut off: %q", r.Faults)
	}
}

func TestVerifyFindsDefectsOfOwnTable(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, key, from, to string
		where, what         string
	}{
		{"another commit", ".hoodie/playhead/HEAD", `"instant":"20`, `"instant":"21`, ".hoodie/playhead/HEAD", "the timeline's is"},
		{"another offset", ".hoodie/playhead/HEAD", `"offsets":{"topic":{"0":150}}`, `"offsets":{"topic":{"0":151}}`, ".hoodie/playhead/HEAD", "offsets"},
		{"another bucket count", ".hoodie/playhead/table.json", `"buckets": 2`, `"buckets": 3`, "day=2026-11-2", "belongs into bucket"},
		{"another bucket field", ".hoodie/playhead/table.json", `"bucket_field": "session_id"`, `"bucket_field": "nothing"`, "day=2026-11-2", "has no field"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			store := ownTable(t)
			data, _, err := store.Get(t.Context(), tc.key)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(data, []byte(tc.from)) {
				t.Fatalf("no %s in %s", tc.from, data)
			}
			if _, err := store.Put(t.Context(), tc.key, bytes.Replace(data, []byte(tc.from), []byte(tc.to), 1), storage.Condition{}); err != nil {
				t.Fatal(err)
			}
			r, err := Verify(t.Context(), store)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(r.Faults, func(f Fault) bool { return strings.HasPrefix(f.Where, tc.where) && strings.Contains(f.What, tc.what) }) {
				t.Errorf("not among the faults %q", r.Faults)
			}
		})
	}
}
