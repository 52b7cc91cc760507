package hudi

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storagetest"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/txn"
)

// sparkIndex is the index that the golden tables were written with: Hudi's default fields.
var sparkIndex = BucketIndex{Buckets: 2, Field: "session_id,event_id"}

// sparkRequest upserts a golden table: one row that it has and that becomes newer, and one that it has not.
func sparkRequest() CommitRequest {
	const schema = `{"type":"record","name":"r","fields":[{"name":"session_id","type":"string"},{"name":"event_id","type":"string"},` +
		`{"name":"event_ts","type":"long"},{"name":"title","type":"string"},{"name":"dt","type":"string"},{"name":"hr","type":"string"}]}`
	const session = "s003"
	var groups []Group
	for _, event := range []string{"e0002", "other"} {
		var payload []byte
		text := func(s string) { payload = append(binary.AppendVarint(payload, int64(len(s))), s...) }
		text(session)
		text(event)
		payload = binary.AppendVarint(payload, 1<<42) // later than every row of the table
		text("ours")
		text("2026-01-01")
		text("00")
		groups = append(groups, Group{
			Partition: "dt=2026-01-01/hr=00", Bucket: keys.Bucket(sparkIndex.Buckets, session, event),
			Records: []Record{{Key: "session_id:" + session + ",event_id:" + event, Payload: payload}},
		})
	}
	return CommitRequest{
		Operation: Upsert, WriterSchemas: []string{schema}, Groups: groups, Progress: Progress{"s": {0: {From: 0, Next: 2}}},
	}
}

func TestAdopt(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"v6-cow-015", "v6-mor-015", "v9-mor-12"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := goldenTable(t, name)
			before := len(scanAll(t, store, Query{}))
			for range 2 { // the second time it is one of ours
				if _, err := Adopt(t.Context(), store, sparkIndex); err != nil {
					t.Fatal(err)
				}
			}
			w, err := mustOpen(t, store).Acquire(t.Context(), "adopter")
			if err != nil {
				t.Fatal(err)
			}
			mustCommit(t, w, sparkRequest())
			rows, ours := scanAll(t, store, Query{}), 0
			for _, row := range rows {
				if title, _ := row.Get("title"); title == "ours" {
					ours++
				}
			}
			if len(rows) != before+1 || ours != 2 {
				t.Errorf("%d rows after an update and an insert into %d, %d of them ours", len(rows), before, ours)
			}
		})
	}
}

func mustOpen(t *testing.T, store storage.Store) *Table {
	t.Helper()
	table, err := Open(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// What the files contradict, and what Acquire would refuse, is not adopted: nothing of it is written.
func TestAdoptRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, table string
		index       BucketIndex
		spoil       func(t *testing.T, store storage.Store)
		mismatch    bool
	}{
		{"more buckets", "v6-cow-015", BucketIndex{4, "session_id,event_id"}, nil, true},
		{"fewer buckets", "v6-mor-015", BucketIndex{1, "session_id,event_id"}, nil, true},
		{"one field", "v6-cow-015", BucketIndex{2, "session_id"}, nil, true},
		{"no key field", "v6-cow-015", BucketIndex{2, "session_id,title"}, nil, false},
		{"no bucket index", "v6-cow-015-bloom-nohive", sparkIndex, nil, true},
		{"one key field", "v6_nonpartitioned", sparkIndex, nil, false},
		{"another payload", "v6-mor-015", sparkIndex, func(t *testing.T, store storage.Store) {
			setProperty(t, store, "hoodie.compaction.payload.class", "org.example.Payload")
		}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			store := goldenTable(t, tc.table)
			if tc.spoil != nil {
				tc.spoil(t, store)
			}
			_, err := Adopt(t.Context(), store, tc.index)
			if err == nil {
				t.Fatal("adopted")
			}
			if _, ok := errors.AsType[*MismatchError](err); ok != tc.mismatch {
				t.Errorf("%v", err)
			}
			if left := storagetest.ListKeys(t, store, ".hoodie/playhead/"); len(left) > 0 {
				t.Errorf("left %v", left)
			}
		})
	}
}

// TestAdoptInterrupted fails every call of an adoption, before and after its effect; the next one succeeds.
func TestAdoptInterrupted(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		for n := 0; ; n++ {
			store := goldenTable(t, "v6-mor-015")
			failing := storagetest.FailNth(store, storagetest.Fault{N: n, After: after, Err: storagetest.ErrDown, Down: true})
			_, err := Adopt(t.Context(), failing, sparkIndex)
			if !failing.Fired() {
				break
			}
			if err == nil {
				t.Errorf("call %d failed and nobody noticed", n)
			}
			table, err := Adopt(t.Context(), store, sparkIndex)
			if err != nil {
				t.Fatalf("after call %d failed: %v", n, err)
			}
			if _, err := table.Acquire(t.Context(), "adopter"); err != nil {
				t.Fatalf("after call %d failed: %v", n, err)
			}
		}
	}
}

// Of two adopters that mean different indexes, the note decides.
func TestAdoptByTwo(t *testing.T) {
	t.Parallel()
	store := goldenTable(t, "v6-mor-015")
	if _, err := Adopt(t.Context(), store, sparkIndex); err != nil {
		t.Fatal(err)
	}
	first, err := txn.Load(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Adopt(t.Context(), store, BucketIndex{2, "event_id"})
	if mismatch, ok := errors.AsType[*MismatchError](err); !ok || mismatch.Property != "bucket_field" {
		t.Errorf("adopted with another index: %v", err)
	}
	if second, err := txn.Load(t.Context(), store); err != nil || second.ETag != first.ETag {
		t.Errorf("HEAD changed: %v, %v", second, err)
	}
}

func TestKeyField(t *testing.T) {
	t.Parallel()
	fields := []string{"a", "b", "c"}
	for _, tc := range []struct {
		key, field, want string
		ok               bool
	}{
		{"a:1,b:2,c:3", "a", "1", true},
		{"a:1,b:2,c:3", "b", "2", true},
		{"a:1,b:2,c:3", "c", "3", true},
		{"a:x,y:z,b:,c:3,d:4", "a", "x,y:z", true},
		{"a:x,y:z,b:,c:3,d:4", "b", "", true},
		{"a:x,y:z,b:,c:3,d:4", "c", "3,d:4", true},
		{"a:1,c:3", "a", "", false},
		{"1", "a", "", false},
		{"a:1,b:2,c:3", "d", "", false},
	} {
		if have, ok := keyField(tc.key, fields, tc.field); have != tc.want || ok != tc.ok {
			t.Errorf("field %s of %q is %q, %t", tc.field, tc.key, have, ok)
		}
	}
}
