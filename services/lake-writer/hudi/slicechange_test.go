package hudi

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// changedTable is a table whose one file group got e1 to e3; then e1 with a later time, e2 as it was, e3's deletion and e4; and its commits.
func changedTable(t *testing.T, cfg TableConfig) (table *Table, w *Writer, first, second *CommitResult) {
	t.Helper()
	table, w = acquiredOf(t, cfg)
	req := eventRequest(t, 0, "s1", "e1", "e2", "e3")
	req.Operation = Upsert
	first = mustCommit(t, w, req)
	req = eventRequest(t, 3, "s1", "e1", "e2", "e3", "e4")
	req.Operation = Upsert
	records := req.Groups[0].Records
	var err error
	records[0].Payload, err = avro.Marshal(avro.MustParse(eventSchema), map[string]any{
		"session_id": "s1", "event_id": "e1", "event_time": time.UnixMicro(1_700_000_000_000_001), "day": "1",
	})
	if err != nil {
		t.Fatal(err)
	}
	records[2] = Record{Key: records[2].Key, Delete: true}
	return table, w, first, mustCommit(t, w, req)
}

// changesOf are the changes as texts, sorted; images are event times.
func changesOf(t *testing.T, table *Table, q SliceQuery) (changes []string) {
	t.Helper()
	q.Partition, q.FileID = "day=1", keys.FileID("day=1", keys.Bucket(protoConfig.Buckets, "s1"))
	micros := func(r *Row) any {
		if r == nil {
			return "-"
		}
		v, _ := r.Get("event_time")
		at, _ := v.(time.Time)
		return at.UnixMicro() % 1000
	}
	for c, err := range table.SliceChanges(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		changes = append(changes, fmt.Sprint(c.Kind, " ", c.Key[len(c.Key)-2:], " ", micros(c.Before), " ", micros(c.After)))
	}
	slices.Sort(changes)
	return changes
}

func TestSliceChanges(t *testing.T) {
	t.Parallel()
	for kind, cfg := range protoTypes {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			table, w, first, second := changedTable(t, cfg)
			want := []string{"added e4 - 0", "deleted e3 0 -", "updated e1 0 1"}
			check := func(name string, q SliceQuery, want []string) {
				t.Helper()
				if got := changesOf(t, table, q); !slices.Equal(got, want) {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			check("between two commits", SliceQuery{From: first.Instant, To: second.Instant}, want)
			check("of one commit", SliceQuery{To: second.Instant}, want)
			check("of the first commit", SliceQuery{To: first.Instant}, []string{"added e1 - 0", "added e2 - 0", "added e3 - 0"})
			check("backwards", SliceQuery{From: second.Instant, To: first.Instant}, []string{"added e3 - 0", "deleted e4 0 -", "updated e1 1 0"})
			check("of a column", SliceQuery{To: second.Instant, Columns: []string{"event_id"}}, []string{
				"added e4 - " + fmt.Sprint(time.Time{}.UnixMicro()%1000), "deleted e3 " + fmt.Sprint(time.Time{}.UnixMicro()%1000) + " -",
			})
			last := second
			if cfg.Type == MergeOnRead {
				var err error
				if last, err = w.Compact(t.Context(), CompactOptions{}); err != nil {
					t.Fatal(err)
				}
				check("of a compaction", SliceQuery{To: last.Instant}, nil)
			}
			over := eventRequest(t, 7, "s1", "e9")
			over.Operation = InsertOverwrite
			gone := mustCommit(t, w, over)
			check("of an overwrite", SliceQuery{From: last.Instant, To: gone.Instant}, []string{"deleted e1 1 -", "deleted e2 0 -", "deleted e4 0 -"})
			if _, err := w.Clean(t.Context(), CleanOptions{Retain: 1, Full: true, Policy: CleanByVersions}); err != nil {
				t.Fatal(err)
			}
			q := SliceQuery{Partition: "day=1", FileID: keys.FileID("day=1", keys.Bucket(protoConfig.Buckets, "s1")), From: first.Instant, To: second.Instant}
			for _, q.To = range []timeline.Instant{second.Instant, "20990101000000000"} {
				if q.From != "" && q.To > gone.Instant {
					q.From = "" // an instant that is no commit has none before it
				}
				failed := false
				for _, err := range table.SliceChanges(t.Context(), q) {
					failed = errors.Is(err, ErrTimeTravel)
				}
				if !failed {
					t.Errorf("changes to %s: no error", q.To)
				}
			}
		})
	}
}

// TestSliceChangesStop: a caller that has seen enough gets no more.
func TestSliceChangesStop(t *testing.T) {
	t.Parallel()
	table, _, _, second := changedTable(t, protoConfig)
	q := SliceQuery{Partition: "day=1", FileID: keys.FileID("day=1", keys.Bucket(protoConfig.Buckets, "s1")), To: second.Instant}
	n := 0
	for range table.SliceChanges(t.Context(), q) {
		n++
		break
	}
	q.Columns = []string{"amount"}
	for _, err := range table.SliceChanges(t.Context(), q) {
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("an unknown column: %v", err)
		}
		n++
	}
	if n != 2 {
		t.Errorf("%d changes and errors", n)
	}
}
