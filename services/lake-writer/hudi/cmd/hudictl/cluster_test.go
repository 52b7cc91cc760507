package main

import (
	"encoding/binary"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// bulkTable makes an append-only table of so many commits with one row each.
func bulkTable(t *testing.T, version, commits int) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "table")
	store, err := storage.NewDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	table, err := hudi.Create(t.Context(), store, hudi.TableConfig{
		Database: "lake", Name: "bulk", Version: version, Type: hudi.CopyOnWrite, RecordKeyFields: []string{"session_id", "event_id"},
		PartitionFields: []string{"day"}, OrderingField: "event_time", HiveStylePartitioning: true, Schema: schema,
	})
	if err != nil {
		t.Fatal(err)
	}
	w, err := table.Acquire(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	text := func(dst []byte, s string) []byte {
		return append(binary.AppendVarint(append(dst, 2), int64(len(s))), s...)
	}
	for n := range commits {
		session := string(rune('z' - n))
		payload := text(binary.AppendVarint(append(text(text(nil, session), "e"), 2), int64(n)), "2026-11-22")
		_, err := w.Commit(t.Context(), hudi.CommitRequest{
			Operation: hudi.BulkInsert, WriterSchemas: []string{schema},
			Groups: []hudi.Group{{Partition: "day=2026-11-22", Records: []hudi.Record{{Key: "session_id:" + session + ",event_id:e", Payload: payload}}}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestCluster: a dry run changes nothing, a run puts the rows in order, and another one has nothing to do.
func TestCluster(t *testing.T) {
	t.Parallel()
	for _, version := range []int{hudi.Version6, hudi.Version9} {
		dir := bulkTable(t, version, 3)
		before := content(t, dir)
		if out := done(t, dir, "cluster DIR --sort-by session_id --dry-run"); !strings.Contains(out, "day=2026-11-22: 3 files") ||
			!strings.Contains(out, "dry run: nothing was changed") {
			t.Errorf("version %d: dry run: %s", version, out)
		}
		if !maps.Equal(before, content(t, dir)) {
			t.Errorf("version %d: the dry run changed something", version)
		}
		if out := done(t, dir, "cluster DIR --sort-by session_id"); !strings.Contains(out, "1 files, 3 rows") {
			t.Errorf("version %d: %s", version, out)
		}
		if out := done(t, dir, "rows DIR --columns session_id --output csv"); out != "session_id\nx\ny\nz\n" {
			t.Errorf("version %d: rows %q", version, out)
		}
		if r := value(t, dir, "cluster DIR"); len(r["plan"].([]any)) != 0 || r["instant"] != nil {
			t.Errorf("version %d: again %v", version, r)
		}
	}
	if code, _, stderr := hudictl(t, "cluster", newTable(t, hudi.Version6, 1)); code != exitError || !strings.Contains(stderr, "bucket index") {
		t.Errorf("a table with a bucket index: exit %d, %s", code, stderr)
	}
}
