package hudi

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// TestAppendOnlyEveryCallFails is TestEveryCallFails for a table without a bucket index, whose commits are bulk inserts and an overwrite.
func TestAppendOnlyEveryCallFails(t *testing.T) {
	t.Parallel()
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fault.Ops = opsOf(name)
			failEveryCall(t, protoAppendConfig(), fault, stride(1), sweepStore)
		})
	}
}

// TestAppendOnlyZombie pauses a writer of such a table before each of its calls, while another does its work.
func TestAppendOnlyZombie(t *testing.T) {
	t.Parallel()
	for n := 0; awakeZombie(t, protoAppendConfig(), n, -1); n += stride(1) {
		if t.Failed() {
			t.Fatalf("at call %d", n)
		}
	}
}

// bulkConfigs are append-only tables of each type and version.
func bulkConfigs() map[string]TableConfig {
	configs := make(map[string]TableConfig)
	for kind, cfg := range protoTypes {
		cfg.Buckets, cfg.BucketField = 0, ""
		configs[kind] = cfg
	}
	return configs
}

// bulkRequest is the events of a session as a bulk insert.
func bulkRequest(t *testing.T, from int64, session string, events ...string) CommitRequest {
	t.Helper()
	req := eventRequest(t, from, session, events...)
	req.Operation = BulkInsert
	return req
}

// TestAppendOnly: every commit adds file groups, and no row is looked up; overwriting, cleaning and reading are as in other tables.
func TestAppendOnly(t *testing.T) {
	t.Parallel()
	for kind, cfg := range bulkConfigs() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			table, w := acquiredOf(t, cfg)
			first := mustCommit(t, w, bulkRequest(t, 0, "s1", "e1", "e2"))
			req := bulkRequest(t, 2, "s1", "e3")
			other := bulkRequest(t, 0, "s2", "e1", "e1").Groups[0] // the same key twice
			other.Bucket = req.Groups[0].Bucket + 1_000_000
			req.Groups = append(req.Groups, other)
			second := mustCommit(t, w, req)
			if first.Files != 1 || second.Files != 2 || second.Rows != 3 {
				t.Errorf("results %+v, %+v", first, second)
			}
			if n := countRows(t, table, Query{}); n != 5 {
				t.Errorf("%d rows", n)
			}
			if n := countRows(t, table, Query{Type: Incremental, From: first.Instant}); n != 3 {
				t.Errorf("%d rows of the second commit", n)
			}
			checkBulkCommit(t, table, second)
			over := bulkRequest(t, 3, "s1", "e1", "e2", "e3", "e3")
			over.Operation = InsertOverwrite
			if r := mustCommit(t, w, over); r.Replaced != 3 || r.Rows != 3 {
				t.Errorf("overwrite %+v", r)
			}
			want := slices.Sorted(maps.Keys(rowsByKey(t, table)))
			mustCommit(t, w, bulkRequest(t, 7, "s3", "e1"))
			if r, err := w.Clean(t.Context(), CleanOptions{Retain: 1, Full: true}); err != nil || len(r.Files) != 3 {
				t.Errorf("clean: %+v, %v", r, err)
			}
			want = append(want, "session_id:s3,event_id:e1")
			if got := slices.Sorted(maps.Keys(rowsByKey(t, table))); !slices.Equal(got, want) || len(got) != 4 {
				t.Errorf("rows %q, want %q", got, want)
			}
			for _, op := range []Operation{Insert, Upsert} {
				req := bulkRequest(t, 8, "s1", "e1")
				req.Operation = op
				if _, err := w.Commit(t.Context(), req); !errors.Is(err, ErrInvalid) {
					t.Errorf("operation %d: %v", op, err)
				}
			}
			if _, err := Create(t.Context(), table.store, cfg); err != nil {
				t.Errorf("opened again: %v", err)
			}
		})
	}
}

func countRows(t *testing.T, table *Table, q Query) (n int) {
	t.Helper()
	for _, err := range table.Scan(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// checkBulkCommit looks at what a bulk insert of two groups says of itself.
func checkBulkCommit(t *testing.T, table *Table, r *CommitResult) {
	t.Helper()
	tl := timelineOf(t, table.store)
	c, err := table.Commit(t.Context(), tl.Commits()[len(tl.Commits())-1])
	if err != nil {
		t.Fatal(err)
	}
	stats := c.PartitionToWriteStats["day=1"]
	if c.OperationType != meta.OperationBulkInsert || len(stats) != 2 || stats[0].FileID == stats[1].FileID {
		t.Fatalf("operation %s, stats %+v", c.OperationType, stats)
	}
	for _, s := range stats {
		if s.PrevCommit != "null" || s.NumInserts != s.NumWrites || s.LogStat != nil || len(s.FileID) != len(keys.FileID("", 0)) {
			t.Errorf("stat %+v of %s", s, r.Instant)
		}
	}
}

// TestBulkInsertIntoBuckets: buckets are filled once, and go on by upserts.
func TestBulkInsertIntoBuckets(t *testing.T) {
	t.Parallel()
	for kind, cfg := range protoTypes {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			table, w := acquiredOf(t, cfg)
			mustCommit(t, w, bulkRequest(t, 0, "s1", "e1", "e2"))
			if _, err := w.Commit(t.Context(), bulkRequest(t, 2, "s1", "e3")); !errors.Is(err, ErrInvalid) {
				t.Errorf("into a bucket that has rows: %v", err)
			}
			req := eventRequest(t, 2, "s1", "e2", "e3")
			req.Operation = Upsert
			mustCommit(t, w, req)
			if got := rowsByKey(t, table); len(got) != 3 {
				t.Errorf("rows %v", got)
			}
		})
	}
}

// TestSortByKey: the rows of a file are in the order of their keys, and the caller's records stay in theirs.
func TestSortByKey(t *testing.T) {
	t.Parallel()
	table, w := acquiredOf(t, protoAppendConfig())
	var events []string
	for i := range 300 {
		events = append(events, fmt.Sprint("e", i*7919%300))
	}
	req := bulkRequest(t, 0, "s1", events...)
	req.SortByKey = true
	given := slices.Clone(req.Groups[0].Records)
	mustCommit(t, w, req)
	if !slices.EqualFunc(given, req.Groups[0].Records, func(a, b Record) bool { return a.Key == b.Key }) {
		t.Error("the request's records were moved")
	}
	var got []string
	for row, err := range table.Scan(t.Context(), Query{Columns: []string{basefile.RecordKeyColumn}}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, row.Values[0].(string))
	}
	if len(got) != 300 || !slices.IsSorted(got) {
		t.Errorf("keys %q", got)
	}
	req.Operation = Upsert
	if _, err := w.Commit(t.Context(), req); !errors.Is(err, ErrInvalid) {
		t.Errorf("a sorted upsert: %v", err)
	}
}

// TestBucketConfigs: a bucket index is whole or not there.
func TestBucketConfigs(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*TableConfig){
		"field without buckets": func(c *TableConfig) { c.Buckets = 0 },
		"buckets without field": func(c *TableConfig) { c.BucketField = "" },
		"negative":              func(c *TableConfig) { c.Buckets, c.BucketField = -1, "" },
		"too many":              func(c *TableConfig) { c.Buckets = maxBuckets + 1 },
	} {
		cfg := protoConfig
		change(&cfg)
		if _, err := Create(t.Context(), storage.NewMem(), cfg); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
