package inspect

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/internal/goldentest"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

func opened(tb testing.TB, store storage.Store) *Table {
	tb.Helper()
	table, err := Open(tb.Context(), store)
	if err != nil {
		tb.Fatal(err)
	}
	return table
}

func TestInstants(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		table            string
		active, archived int
		last             string
	}{
		{"v6-cow-015", 5, 5, "20261123045630340 commit completed UPSERT 2"},
		{"v6-mor-015", 8, 4, "20261123045125727 deltacommit completed UPSERT 2"},
		{"v9-mor-12", 8, 4, "20261123050626285 deltacommit completed UPSERT 2"},
	} {
		t.Run(tc.table, func(t *testing.T) {
			t.Parallel()
			table := opened(t, goldentest.Table(t, "../testdata/"+tc.table+".zip"))
			active, err := table.Instants(t.Context(), false)
			if err != nil {
				t.Fatal(err)
			}
			all, err := table.Instants(t.Context(), true)
			if err != nil {
				t.Fatal(err)
			}
			i := active[len(active)-1]
			last := fmt.Sprintf("%s %s %s %s %d", i.Instant, i.Action, i.State, i.Operation, i.Files)
			if len(active) != tc.active || len(all)-len(active) != tc.archived || last != tc.last {
				t.Errorf("%d active instants and %d archived, the last %s", len(active), len(all)-len(active), last)
			}
			for n, i := range all {
				if archived := n < len(all)-len(active); i.Archived != archived || archived && i.State != timeline.Completed || n > 0 && archived && i.Instant < all[n-1].Instant {
					t.Errorf("instant %d of the list: %+v", n, i)
				}
			}
		})
	}
}

// TestShowInstant: whatever an instant did, all its files are shown with the names of their fields.
func TestShowInstant(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"v6-cow-015", "v6-mor-015", "v9-mor-12"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			table := opened(t, goldentest.Table(t, "../testdata/"+table+".zip"))
			instants, err := table.Instants(t.Context(), true)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range instants {
				shown, err := table.ShowInstant(t.Context(), i.Instant)
				if err != nil || len(shown) != 1 {
					t.Fatalf("instant %s: %d actions, error %v", i.Instant, len(shown), err)
				}
				s := shown[0]
				if s.Action != i.Action || s.State != i.State || s.Archived != i.Archived || len(s.Files) == 0 {
					t.Errorf("instant %+v shown as %+v", i, s)
				}
				last := s.Files[len(s.Files)-1]
				if _, ok := last.Content[contentOf[i.Action]]; !ok || last.State != timeline.Completed {
					t.Errorf("%s %s: no %s in %v", i.Action, i.Instant, contentOf[i.Action], last.Content)
				}
				if _, err := json.Marshal(shown); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// contentOf is a field that a completed file of an action has.
var contentOf = map[timeline.Action]string{
	timeline.Commit: "partitionToWriteStats", timeline.DeltaCommit: "partitionToWriteStats", timeline.ReplaceCommit: "partitionToReplaceFileIds",
	timeline.Clean: "partitionMetadata", timeline.Rollback: "commitsRollback", timeline.Savepoint: "savepointedBy",
}

func TestShowInstantOfOwnTable(t *testing.T) {
	t.Parallel()
	table := newOwnTable(t, hudi.MergeOnRead).commits(t, 2)
	done, err := table.writer.Compact(t.Context(), hudi.CompactOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := table.writer.Savepoint(t.Context(), done.Instant, "somebody", "why"); err != nil {
		t.Fatal(err)
	}
	const pending = "20991231235959000"
	if _, err := table.Put(t.Context(), ".hoodie/"+pending+".rollback.inflight", nil, storage.Condition{}); err != nil {
		t.Fatal(err)
	}
	shown, err := opened(t, table).ShowInstant(t.Context(), done.Instant)
	if err != nil || len(shown) != 2 {
		t.Fatalf("%d actions, error %v", len(shown), err)
	}
	compaction, savepoint := shown[0], shown[1]
	if len(compaction.Files) != 3 || compaction.Files[0].Content["operations"] == nil || compaction.Files[2].Content["operationType"] != "COMPACT" {
		t.Errorf("compaction %+v", compaction)
	}
	note, err := json.Marshal(compaction.Files[2].Content["extraMetadata"])
	if err != nil || !strings.Contains(string(note), `"playhead.commit":{"commit_id":`) {
		t.Errorf("the note is no JSON: %s", note)
	}
	if len(savepoint.Files) != 2 || savepoint.Files[1].Content["savepointedBy"] != "somebody" {
		t.Errorf("savepoint %+v", savepoint)
	}
	shown, err = opened(t, table).ShowInstant(t.Context(), pending)
	if err != nil || len(shown) != 1 || shown[0].State != timeline.Inflight || shown[0].Files[0].Content != nil {
		t.Errorf("pending instant %+v, error %v", shown, err)
	}
	if _, err := opened(t, table).ShowInstant(t.Context(), "20200101000000000"); !errors.Is(err, ErrNoInstant) {
		t.Errorf("no instant: %v", err)
	}
}

func TestShowLog(t *testing.T) {
	t.Parallel()
	store := goldentest.Table(t, "../testdata/v6-mor-015.zip")
	var blocks, records, commands int
	for info, err := range store.List(t.Context(), "dt=") {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fileslice.ParseLogKey(info.Key); err != nil {
			continue
		}
		left := int64(0) // records of the last block
		err := opened(t, store).ShowLog(t.Context(), info.Key, func(b Block) error {
			if left != 0 {
				t.Errorf("%s: %d records of a block are not shown", info.Key, left)
			}
			blocks++
			left = b.Records
			if b.Target != "" {
				commands++
			}
			if b.Instant == "" || b.Header["INSTANT_TIME"] != string(b.Instant) {
				t.Errorf("block %+v", b)
			}
			return nil
		}, func(r Record) error {
			left--
			records++
			if v, ok := r.Row.Get("event_id"); !ok || v == nil || r.Key == "" || r.Delete {
				t.Errorf("record %+v", r)
			}
			return nil
		})
		if err != nil || left != 0 {
			t.Errorf("%s: %d records left, error %v", info.Key, left, err)
		}
	}
	if blocks == 0 || records == 0 || commands == 0 {
		t.Errorf("%d blocks with %d records, and %d rollbacks", blocks, records, commands)
	}
	stop := errors.New("enough")
	key := victim{t, store}.last("dt=", ".*.log.*")
	if err := opened(t, store).ShowLog(t.Context(), key, func(Block) error { return stop }, nil); !errors.Is(err, stop) {
		t.Errorf("the caller's error: %v", err)
	}
	if err := opened(t, store).ShowLog(t.Context(), "dt=2026-01-01/.none", func(Block) error { return nil }, nil); !errors.Is(err, storage.ErrNotExist) {
		t.Errorf("no log: %v", err)
	}
}

// TestShowLogKinds: deletions, Parquet blocks and damage are shown too.
func TestShowLogKinds(t *testing.T) {
	t.Parallel()
	store := newOwnTable(t, hudi.MergeOnRead).commits(t, 1)
	v := victim{t, store}
	file := v.get(v.last("day=2026-11-20", "*.parquet"))
	schema, err := basefile.WithMetaFields(ownSchema)
	if err != nil {
		t.Fatal(err)
	}
	log := logfile.AppendBlock(nil, logfile.DeleteBlock("20261124000000001", schema, []logfile.DeleteRecord{
		{Key: "a", Partition: "p", Ordering: logfile.LongOrdering(5)}, {Key: "b", Partition: "p", Ordering: logfile.IntOrdering(0)},
	}))
	damaged := logfile.AppendBlock(nil, logfile.ParquetBlock("20261124000000002", schema, file))
	log = append(log, damaged[:len(damaged)-40]...)
	log = logfile.AppendBlock(log, logfile.ParquetBlock("20261124000000002", schema, file))
	v.put("day=2026-11-20/.some.log", log)
	var lines []string
	var rows int
	err = opened(t, store).ShowLog(t.Context(), "day=2026-11-20/.some.log", func(b Block) error {
		lines = append(lines, fmt.Sprintf("%s of %s: %d", b.Type, b.Instant, b.Records))
		return nil
	}, func(r Record) error {
		if r.Delete {
			lines = append(lines, fmt.Sprintf("%s %s %v", r.Key, r.Partition, r.Ordering))
			return nil
		}
		rows++
		_, err := json.Marshal(r)
		return err
	})
	want := fmt.Sprintf("DELETE_BLOCK of 20261124000000001: 2|a p 5|b p 0|CORRUPT_BLOCK of : 0|PARQUET_DATA_BLOCK of 20261124000000002: %d", rows)
	if got := strings.Join(lines, "|"); err != nil || got != want || rows == 0 {
		t.Errorf("%s\nwant %s, error %v", got, want, err)
	}
}

func TestSlices(t *testing.T) {
	t.Parallel()
	table := newOwnTable(t, hudi.MergeOnRead).commits(t, 2)
	early := table.writer.Head().Instant
	if _, err := table.writer.Compact(t.Context(), hudi.CompactOptions{}); err != nil {
		t.Fatal(err)
	}
	table.commit(t)
	for _, tc := range []struct {
		query  SliceQuery
		slices string // of group 0: "latest" or "older" with the number of logs
		groups int
	}{
		{SliceQuery{Partition: "day=2026-11-20"}, "latest 1", 2},
		{SliceQuery{Partition: "day=2026-11-20", AsOf: early}, "latest 1", 2},
		{SliceQuery{Partition: "day=2026-11-20", History: true}, "older 1, latest 1", 2},
		{SliceQuery{All: true, History: true}, "older 1, latest 1", 4},
		{SliceQuery{Partition: "day=2026-11-2"}, "", 0},
		{SliceQuery{}, "", 0},
	} {
		found, err := opened(t, table).Slices(t.Context(), tc.query)
		if err != nil {
			t.Fatal(err)
		}
		groups := make(map[string][]string)
		for _, s := range found {
			kind := "older"
			if s.Latest {
				kind = "latest"
			}
			if s.Base == nil || s.Base.Bytes == 0 || s.Instant == "" || !strings.Contains(s.Base.Name, string(s.Instant)) {
				t.Errorf("slice %+v", s)
			}
			id := path.Join(s.Partition, s.FileID)
			groups[id] = append(groups[id], fmt.Sprintf("%s %d", kind, len(s.Logs)))
		}
		if len(groups) != tc.groups {
			t.Errorf("%+v: %d groups", tc.query, len(groups))
		}
		for id, slices := range groups {
			if text := strings.Join(slices, ", "); text != tc.slices {
				t.Errorf("%+v: group %s has %s, want %s", tc.query, id, text, tc.slices)
			}
		}
	}
	if _, err := opened(t, table).Slices(t.Context(), SliceQuery{AsOf: "20200101000000000"}); !errors.Is(err, hudi.ErrTimeTravel) {
		t.Errorf("before everything: %v", err)
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	table := newOwnTable(t, hudi.MergeOnRead).commits(t, 2)
	first := table.writer.Head().Instant
	record := func(session, event string, i int, remove bool) hudi.Record {
		return hudi.Record{Key: "session_id:" + session + ",event_id:" + event, Payload: ownPayload(session, event, "2026-11-20", i), Delete: remove}
	}
	req := hudi.CommitRequest{
		Operation: hudi.Upsert, WriterSchemas: []string{ownSchema},
		Progress: hudi.Progress{"topic": {0: {From: 100, Next: 104}}},
		Groups: []hudi.Group{{Partition: "day=2026-11-20", Bucket: table.bucketOf("s-0"), Records: []hudi.Record{
			record("s-0", "e-18", 5, false),  // another price than 18 gives
			record("s-0", "e-36", 36, false), // as it was
			record("s-0", "e-54", 54, true),
			record("s-0", "new", 1, false),
		}}},
	}
	if _, err := table.writer.Commit(ctx, req); err != nil {
		t.Fatal(err)
	}
	second := table.writer.Head().Instant
	compacted, err := table.writer.Compact(ctx, hudi.CompactOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var changes []string
	d, err := Diff(ctx, table, first, second, func(c Change) error {
		changes = append(changes, fmt.Sprintf("%s %s %s %t %t", c.Change, c.Partition, c.Key, c.Before != nil, c.After != nil))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "updated day=2026-11-20 session_id:s-0,event_id:e-18 true true|added day=2026-11-20 session_id:s-0,event_id:new false true|" +
		"deleted day=2026-11-20 session_id:s-0,event_id:e-54 true false"
	if got := strings.Join(changes, "|"); got != want {
		t.Errorf("changes %s", got)
	}
	if d.RowsAdded != 1 || d.RowsUpdated != 1 || d.RowsDeleted != 1 || len(d.FilesAdded) != 1 || len(d.FilesRemoved) != 0 {
		t.Errorf("difference %+v", d)
	}
	d, err = Diff(ctx, table, second, compacted.Instant, nil)
	if err != nil || d.RowsAdded+d.RowsUpdated+d.RowsDeleted != 0 || len(d.FilesAdded) != 4 || len(d.FilesRemoved) < 5 {
		t.Errorf("a compaction: %+v, error %v", d, err)
	}
	back, err := Diff(ctx, table, second, first, nil)
	if err != nil || back.RowsAdded != 1 || back.RowsUpdated != 1 || back.RowsDeleted != 1 {
		t.Errorf("backwards: %+v, error %v", back, err)
	}
	if _, err := Diff(ctx, table, "20200101000000000", first, nil); !errors.Is(err, hudi.ErrTimeTravel) {
		t.Errorf("before everything: %v", err)
	}
}
