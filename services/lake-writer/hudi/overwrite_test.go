package hudi

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// Sweeps, interleavings and random operations over insert overwrites are those of all commits: driveTable ends with one, the model has them.

// overwritten is a table of two partitions, of which the first was overwritten after three commits, and the results of the commits.
func overwritten(t *testing.T, cfg TableConfig) (*Table, *Writer, []*CommitResult) {
	t.Helper()
	table, err := Create(t.Context(), storage.NewMem(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	w, err := table.Acquire(t.Context(), "writer")
	if err != nil {
		t.Fatal(err)
	}
	upsert := func(from int64, partition string, events ...string) CommitRequest {
		req := eventRequest(t, from, "s1", events...)
		req.Operation, req.Groups[0].Partition = Upsert, partition
		return req
	}
	results := []*CommitResult{
		mustCommit(t, w, upsert(0, "day=1", "e1", "e2")),
		mustCommit(t, w, upsert(2, "day=1", "e3")), // into a log, where there are logs
		mustCommit(t, w, upsert(3, "day=2", "e1")),
	}
	req := upsert(4, "day=1", "e2", "e9", "e9")
	req.Operation = InsertOverwrite
	return table, w, append(results, mustCommit(t, w, req))
}

func TestInsertOverwrite(t *testing.T) {
	t.Parallel()
	for kind, cfg := range protoTypes {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			table, w, results := overwritten(t, cfg)
			last := results[3]
			if last.Rows != 2 || last.Replaced != 1 || last.Files != 1 {
				t.Errorf("result %+v", last)
			}
			want := map[string]string{
				"session_id:s1,event_id:e2": string(last.Instant), "session_id:s1,event_id:e9": string(last.Instant),
				"session_id:s1,event_id:e1": string(results[2].Instant), // of the other partition
			}
			if got := rowsByKey(t, table); !maps.Equal(got, want) {
				t.Errorf("rows %v\nwant %v", got, want)
			}
			checkReplaceCommit(t, table, last)
			// The bucket's next rows go to the new group, and its old rows can be read as of before.
			next := eventRequest(t, 7, "s1", "e10")
			next.Operation = Upsert
			want["session_id:s1,event_id:e10"] = string(mustCommit(t, w, next).Instant)
			if got := rowsByKey(t, table); !maps.Equal(got, want) {
				t.Errorf("rows %v\nwant %v", got, want)
			}
			n := 0
			for _, err := range table.Scan(t.Context(), Query{AsOf: results[2].Instant}) {
				if err != nil {
					t.Fatal(err)
				}
				n++
			}
			if n != 4 {
				t.Errorf("%d rows as of before the overwrite", n)
			}
		})
	}
}

func replaceEntry(t *testing.T, table *Table, r *CommitResult) timeline.Entry {
	t.Helper()
	e, ok := timelineOf(t, table.store).Find(r.Instant, timeline.ReplaceCommit)
	if !ok {
		t.Fatalf("%s is not on the timeline", r.Instant)
	}
	return e
}

// checkReplaceCommit looks at what the timeline says of an overwrite.
func checkReplaceCommit(t *testing.T, table *Table, r *CommitResult) {
	t.Helper()
	e := replaceEntry(t, table, r)
	c, err := table.Commit(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	old := keys.FileID("day=1", keys.Bucket(protoConfig.Buckets, "s1"))
	if got := c.PartitionToReplaceFileIDs; len(got) != 1 || !slices.Equal(got["day=1"], []string{old}) || c.OperationType != "INSERT_OVERWRITE" {
		t.Errorf("%s replaces %v", c.OperationType, got)
	}
	stats := c.PartitionToWriteStats["day=1"]
	if len(stats) != 1 || stats[0].FileID == old || stats[0].PrevCommit != "null" || stats[0].NumInserts != 2 {
		t.Fatalf("stats %+v", stats)
	}
	a, _ := keys.BucketOf(old)
	if b, ok := keys.BucketOf(stats[0].FileID); !ok || a != b {
		t.Errorf("file id %s is not of bucket %d", stats[0].FileID, a)
	}
	for state, check := range map[timeline.State]func([]byte) error{
		timeline.Requested: func(b []byte) error { _, err := meta.ParseRequestedReplace(b); return err },
		timeline.Inflight:  func(b []byte) error { _, err := meta.ParseCommit(b); return err },
	} {
		data, _, err := table.store.Get(t.Context(), e.In(state).Key())
		if err == nil {
			err = check(data)
		}
		if err != nil || len(data) == 0 {
			t.Errorf("%s: %d bytes, %v", state, len(data), err)
		}
	}
}

// TestOverwriteAway: a partition of which the request has no rows loses them, and gets others later.
func TestOverwriteAway(t *testing.T) {
	t.Parallel()
	for _, cfg := range protoTypes {
		table, w, results := overwritten(t, cfg)
		r := mustCommit(t, w, CommitRequest{Operation: InsertOverwrite, Groups: []Group{{Partition: "day=1"}, {Partition: "day=3"}}})
		if r.Rows != 0 || r.Replaced != 1 || r.Files != 0 {
			t.Errorf("result %+v", r)
		}
		c, err := table.Commit(t.Context(), replaceEntry(t, table, r))
		if err != nil || c.OperationType != "DELETE_PARTITION" || len(c.PartitionToReplaceFileIDs) != 1 {
			t.Errorf("operation %s of %v, %v", c.OperationType, c.PartitionToReplaceFileIDs, err)
		}
		want := map[string]string{"session_id:s1,event_id:e1": string(results[2].Instant)}
		if got := rowsByKey(t, table); !maps.Equal(got, want) {
			t.Errorf("rows %v\nwant %v", got, want)
		}
		req := eventRequest(t, 7, "s1", "e5")
		req.Operation = Upsert
		want["session_id:s1,event_id:e5"] = string(mustCommit(t, w, req).Instant)
		if got := rowsByKey(t, table); !maps.Equal(got, want) {
			t.Errorf("rows %v\nwant %v", got, want)
		}
		if _, err := table.store.Stat(t.Context(), "day=3/"+fileslice.PartitionMetafile); !errors.Is(err, storage.ErrNotExist) {
			t.Errorf("a partition without rows was made: %v", err)
		}
	}
}

// TestOverwriteIsCleaned: what was replaced stays as long as commits before the overwrite are retained, then its files go, and after them
// the replacecommit may be archived.
func TestOverwriteIsCleaned(t *testing.T) {
	t.Parallel()
	for _, cfg := range protoTypes {
		table, w, _ := overwritten(t, cfg)
		id := keys.FileID("day=1", keys.Bucket(protoConfig.Buckets, "s1"))
		files := func() (n int) {
			for _, key := range keysIn(t, table.store, "day=1/") {
				if strings.Contains(key, id) {
					n++
				}
			}
			return n
		}
		before := files()
		clean := func(retain int) {
			t.Helper()
			if _, err := w.Clean(t.Context(), CleanOptions{Retain: retain, Full: true}); err != nil {
				t.Fatal(err)
			}
		}
		if clean(2); files() == 0 {
			t.Errorf("of %d replaced files none is left, and a retained commit needs them", before)
		}
		for i := range int64(3) {
			req := eventRequest(t, 7+i, "s1", "e9")
			req.Operation = Upsert
			mustCommit(t, w, req)
		}
		rows := rowsByKey(t, table)
		if clean(2); files() != 0 {
			t.Errorf("%d of %d replaced files are left", files(), before)
		}
		if r, err := w.Archive(t.Context(), ArchiveOptions{KeepMin: 2, KeepMax: 2}); err != nil || len(r.Archived) == 0 {
			t.Errorf("archive: %+v, %v", r, err)
		}
		if got := rowsByKey(t, table); !maps.Equal(got, rows) {
			t.Errorf("rows %v, were %v", got, rows)
		}
		if got := archived(t, table.store); !slices.ContainsFunc(got, func(e *meta.ArchivedEntry) bool { return e.Action == timeline.ReplaceCommit }) {
			t.Errorf("%d archived entries, none of the overwrite", len(got))
		}
		req := eventRequest(t, 10, "s1", "e7")
		req.Operation = InsertOverwrite
		if r := mustCommit(t, w, req); r.Replaced != 1 {
			t.Errorf("overwritten again: %+v", r)
		}
		if got := rowsByKey(t, table); len(got) != 2 {
			t.Errorf("rows %v", got)
		}
	}
}

// TestOverwriteRefused: plans of other engines, deletions and requests for nothing.
func TestOverwriteRefused(t *testing.T) {
	t.Parallel()
	table, w, _ := overwritten(t, protoMergeConfig())
	req := eventRequest(t, 7, "s1", "e1")
	req.Operation = InsertOverwrite
	req.Groups[0].Records[0].Delete = true
	for _, bad := range []CommitRequest{req, {Operation: InsertOverwrite}, {Operation: BulkInsert + 1}} {
		if _, err := w.Commit(t.Context(), bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	req.Groups[0].Records[0].Delete = false
	pending := timeline.Entry{Instant: timeline.Next(time.Now(), w.Head().Instant), Action: timeline.Compaction, State: timeline.Requested}
	data, err := meta.NewCompactionPlan(nil).Encode()
	if err != nil {
		t.Fatal(err)
	}
	putObject(t, table.store, pending.Key(), data)
	var unsupported *UnsupportedError
	if _, err := w.Commit(t.Context(), req); !errors.As(err, &unsupported) || unsupported.Property != pending.FileName() {
		t.Errorf("with a pending compaction: %v", err)
	}
}
