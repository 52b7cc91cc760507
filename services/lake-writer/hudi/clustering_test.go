package hudi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// TestAppendOnlyVersion9EveryCallFails is TestAppendOnlyEveryCallFails where a clustering is an action of its own.
func TestAppendOnlyVersion9EveryCallFails(t *testing.T) {
	t.Parallel()
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fault.Ops = opsOf(name)
			failEveryCall(t, version9(protoAppendConfig()), fault, stride(3), sweepStore)
		})
	}
}

// TestAppendOnlyVersion9Zombie is TestAppendOnlyZombie where a clustering is an action of its own.
func TestAppendOnlyVersion9Zombie(t *testing.T) {
	t.Parallel()
	for n := 0; awakeZombie(t, version9(protoAppendConfig()), n, -1); n += stride(3) {
		if t.Failed() {
			t.Fatalf("at call %d", n)
		}
	}
}

// bulkTable is an append-only table of three commits with one small file each, and their results.
func bulkTable(t *testing.T, cfg TableConfig) (*Table, *Writer, []*CommitResult) {
	t.Helper()
	table, w := acquiredOf(t, cfg)
	return table, w, []*CommitResult{
		mustCommit(t, w, bulkRequest(t, 0, "s3", "e2", "e1")),
		mustCommit(t, w, bulkRequest(t, 2, "s1", "e4", "e1")),
		mustCommit(t, w, bulkRequest(t, 4, "s2", "e3")),
	}
}

func mustCluster(t *testing.T, w *Writer, o ClusterOptions) *CommitResult {
	t.Helper()
	r, err := w.Cluster(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestCluster: the rows are those from before, under their commits' times, in fewer files and in order; readers of the past, cleans, restores and
// a second clustering find what they should.
func TestCluster(t *testing.T) {
	t.Parallel()
	for kind, cfg := range bulkConfigs() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			table, w, commits := bulkTable(t, cfg)
			want := rowsByKey(t, table)
			order := ClusterOptions{SortBy: []string{"event_id", basefile.RecordKeyColumn}}
			plan, err := w.PlanClustering(t.Context(), order)
			if err != nil || len(plan) != 1 || len(plan[0].FileIDs) != 3 || plan[0].Outputs != 1 || plan[0].Partition != "day=1" {
				t.Fatalf("plan %+v, %v", plan, err)
			}
			r := mustCluster(t, w, order)
			if r.Rows != 5 || r.Files != 1 || r.Replaced != 3 || !r.Projected {
				t.Errorf("result %+v", r)
			}
			if got := rowsByKey(t, table); !maps.Equal(got, want) {
				t.Errorf("rows %v\nwant %v", got, want)
			}
			checkClustering(t, table, r, plan[0])
			if got := eventsOf(t, table); !slices.Equal(got, []string{"s1 e1", "s3 e1", "s3 e2", "s2 e3", "s1 e4"}) {
				t.Errorf("order %q", got)
			}
			if n := countRows(t, table, Query{Type: Incremental, From: commits[2].Instant}); n != 0 {
				t.Errorf("%d rows of the clustering", n)
			}
			if n := countRows(t, table, Query{Type: Incremental, From: commits[1].Instant}); n != 1 {
				t.Errorf("%d rows of the third commit", n)
			}
			if n := countRows(t, table, Query{AsOf: commits[1].Instant}); n != 4 {
				t.Errorf("%d rows as of the second commit", n)
			}
			if again := mustCluster(t, w, order); again != nil {
				t.Errorf("clustered again: %+v", again)
			}
			mustCommit(t, w, bulkRequest(t, 5, "s9", "e9"))
			if c, err := w.Clean(t.Context(), CleanOptions{Retain: 1, Full: true}); err != nil || len(c.Files) != 3 {
				t.Errorf("clean: %+v, %v", c, err)
			}
			if n := countRows(t, table, Query{}); n != 6 {
				t.Errorf("%d rows after the clean", n)
			}
			archiveAll(t, table, w, r)
		})
	}
}

// archiveAll archives a clustering, whose files are cleaned, and reads it back.
func archiveAll(t *testing.T, table *Table, w *Writer, r *CommitResult) {
	t.Helper()
	for i := range 3 {
		mustCommit(t, w, bulkRequest(t, int64(6+i), fmt.Sprintf("t%d", i), "e1"))
	}
	if _, err := w.Archive(t.Context(), ArchiveOptions{KeepMin: 2, KeepMax: 3}); err != nil {
		t.Fatal(err)
	}
	for _, key := range keysIn(t, table.store, table.layout().Folder()+string(r.Instant)) {
		t.Errorf("%s is not archived", key)
	}
	plans, completed := 0, 0
	for e, err := range table.Archived(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case e.Entry.Instant != r.Instant:
		case e.Entry.State == timeline.Requested && strings.Contains(fmt.Sprint(e.Metadata), sortStrategy):
			plans++
		case e.Entry.State == timeline.Completed && e.Metadata["operationType"] == meta.OperationCluster:
			completed++
		}
	}
	if plans != 1 || completed != 1 {
		t.Errorf("the archive has %d plans and %d completed files of the clustering", plans, completed)
	}
	if n := countRows(t, table, Query{}); n != 9 {
		t.Errorf("%d rows after the archive", n)
	}
}

// eventsOf are the table's rows in the order in which they are read.
func eventsOf(t *testing.T, table *Table) (events []string) {
	t.Helper()
	for row, err := range table.Scan(t.Context(), Query{Columns: []string{"session_id", "event_id"}}) {
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, fmt.Sprint(row.Values[0], " ", row.Values[1]))
	}
	return events
}

// checkClustering looks at what the timeline says of a clustering.
func checkClustering(t *testing.T, table *Table, r *CommitResult, plan ClusterGroup) {
	t.Helper()
	e := replaceEntry(t, table, r)
	c, err := table.Commit(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	stats := c.PartitionToWriteStats["day=1"]
	if c.OperationType != "CLUSTER" || !slices.Equal(c.PartitionToReplaceFileIDs["day=1"], plan.FileIDs) || len(stats) != 1 {
		t.Fatalf("metadata %+v", c)
	}
	if s := stats[0]; s.PrevCommit != "null" || s.NumWrites != 5 || s.NumInserts != 5 || s.NumUpdateWrites != 0 || s.PrevBaseFile != nil {
		t.Errorf("stat %+v", s)
	}
	e.Action = table.clusteringAction()
	request, err := table.requestedReplace(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	p := request.ClusteringPlan
	if p.Strategy.StrategyParams["hoodie.clustering.plan.strategy.sort.columns"] != "event_id,_hoodie_record_key" || len(p.InputGroups) != 1 {
		t.Errorf("plan %+v", p)
	}
	for i, s := range p.InputGroups[0].Slices {
		f, err := fileslice.ParseKey(s.DataFilePath)
		if err != nil || f.FileID != s.FileID || s.FileID != plan.FileIDs[i] {
			t.Errorf("slice %+v, %v", s, err)
		}
	}
	data, _, err := table.store.Get(t.Context(), e.In(timeline.Inflight).Key())
	if err != nil || len(data) > 0 {
		t.Errorf("inflight file %q, %v", data, err)
	}
}

// TestClusterUndone: a restore takes a clustering back, and its sources are there again.
func TestClusterUndone(t *testing.T) {
	t.Parallel()
	for kind, cfg := range bulkConfigs() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			table, w, commits := bulkTable(t, cfg)
			want := rowsByKey(t, table)
			mustCluster(t, w, ClusterOptions{})
			if _, err := w.Restore(t.Context(), RestoreOptions{To: commits[2].Instant}); err != nil {
				t.Fatal(err)
			}
			if got := rowsByKey(t, table); !maps.Equal(got, want) {
				t.Errorf("rows %v\nwant %v", got, want)
			}
			if r := mustCluster(t, w, ClusterOptions{}); r == nil || r.Replaced != 3 {
				t.Errorf("clustered again: %+v", r)
			}
			if got := rowsByKey(t, table); !maps.Equal(got, want) {
				t.Errorf("rows %v\nwant %v", got, want)
			}
		})
	}
}

// TestClusterOutputs: rows are spread over as many files as the target size asks for, and older files get the columns that came later.
func TestClusterOutputs(t *testing.T) {
	t.Parallel()
	table, w, commits := bulkTable(t, protoAppendConfig())
	req := bulkRequest(t, 5, "s4", "e5")
	req.TableSchema = widerSchema
	last := mustCommit(t, w, req)
	var pace slowness
	o := ClusterOptions{SortBy: []string{"event_id"}, TargetFileBytes: commits[0].Bytes * 3 / 2, Pace: &pace}
	r := mustCluster(t, w, o)
	if r.Files != 3 || r.Replaced != 4 || r.Rows != 6 {
		t.Errorf("result %+v", r)
	}
	if want := commits[0].Bytes + commits[1].Bytes + commits[2].Bytes + last.Bytes; int64(pace) != want {
		t.Errorf("the pace was told of %d bytes of %d", pace, want)
	}
	got := eventsOf(t, table)
	slices.Sort(got) // file groups come by their ids
	if len(got) != 6 || len(slices.Compact(got)) != 6 {
		t.Errorf("rows %q", got)
	}
	view, err := table.View(t.Context(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range view.Slices {
		f, err := table.OpenFile(t.Context(), s.Base)
		if err != nil {
			t.Fatal(err)
		}
		if f.NumRows() != 2 || !slices.Contains(f.Columns(), "cdn") {
			t.Errorf("%s has %d rows and columns %q", s.FileID, f.NumRows(), f.Columns())
		}
	}
}

// slowness is a Pace that counts.
type slowness int64

func (s *slowness) Wait(_ context.Context, bytes int64) error {
	*s += slowness(bytes)
	return nil
}

func TestClusterPaceEnds(t *testing.T) {
	t.Parallel()
	table, w, _ := bulkTable(t, protoAppendConfig())
	enough := errors.New("enough")
	if _, err := w.Cluster(t.Context(), ClusterOptions{Pace: ending{enough}}); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
	if pending := timelineOf(t, table.store).Pending(); len(pending) > 0 {
		t.Errorf("%v is pending", pending)
	}
	if r := mustCluster(t, w, ClusterOptions{}); r == nil || r.Replaced != 3 {
		t.Errorf("after it: %+v", r)
	}
}

// ending is a Pace that ends its service.
type ending struct{ err error }

func (e ending) Wait(context.Context, int64) error { return e.err }

func TestClusterRefused(t *testing.T) {
	t.Parallel()
	_, bucketed := acquired(t, storage.NewMem())
	if _, err := bucketed.Cluster(t.Context(), ClusterOptions{}); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "bucket index") {
		t.Errorf("a table with a bucket index: %v", err)
	}
	_, w, _ := bulkTable(t, protoAppendConfig())
	for name, o := range map[string]ClusterOptions{
		"no such column":  {SortBy: []string{"amount"}},
		"negative target": {TargetFileBytes: -1},
		"negative groups": {MaxGroups: -1},
	} {
		if _, err := w.Cluster(t.Context(), o); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestClusterGroups: groups are bounded, oldest files first, and what would not become fewer files is left.
func TestClusterGroups(t *testing.T) {
	t.Parallel()
	small := map[string][]fileslice.Slice{}
	add := func(partition string, sizes ...int64) {
		for i, size := range sizes {
			small[partition] = append(small[partition], fileslice.Slice{
				Partition: partition, FileID: keys.FileID(partition, i), HasBase: true,
				Base: fileslice.BaseFile{Instant: timeline.Instant(fmt.Sprint(900 - i)), Size: size},
			})
		}
	}
	add("a", 10, 20, 30, 40)
	add("b", 60)
	add("c", 60, 60)
	add("d", 1, 1)
	for _, tc := range []struct {
		options ClusterOptions
		want    string
	}{
		{ClusterOptions{TargetFileBytes: 100, MaxGroupBytes: 1000, MaxGroups: 9}, "a 40 30 20 10 > 1; d 1 1 > 1"},
		{ClusterOptions{TargetFileBytes: 120, MaxGroupBytes: 1000, MaxGroups: 9}, "a 40 30 20 10 > 1; c 60 60 > 1; d 1 1 > 1"},
		{ClusterOptions{TargetFileBytes: 40, MaxGroupBytes: 1000, MaxGroups: 9}, "a 40 30 20 10 > 3; d 1 1 > 1"},
		{ClusterOptions{TargetFileBytes: 100, MaxGroupBytes: 70, MaxGroups: 9}, "a 40 30 > 1; a 20 10 > 1; d 1 1 > 1"},
		{ClusterOptions{TargetFileBytes: 100, MaxGroupBytes: 70, MaxGroups: 1}, "a 40 30 > 1"},
	} {
		var got []string
		for _, c := range tc.options.clusters(maps.Clone(small)) {
			text := c.partition
			for _, s := range c.sources {
				text += fmt.Sprint(" ", s.Base.Size)
			}
			got = append(got, fmt.Sprint(text, " > ", c.outputs))
		}
		if strings.Join(got, "; ") != tc.want {
			t.Errorf("%+v: %q, want %q", tc.options, got, tc.want)
		}
	}
}

// TestClusterConflicts lets another engine do something while a clustering is under way.
func TestClusterConflicts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		other    func(t *testing.T, w *Writer, at timeline.Instant, source string)
		conflict bool
	}{
		"a new group": {func(t *testing.T, w *Writer, at timeline.Instant, _ string) {
			foreignReplace(t, w, at, "ffffffff-aaaa-4aaa-8aaa-aaaaaaaaaaaa-0")
		}, false},
		"a source taken away": {foreignReplace, true},
		"a source is to be clustered": {func(t *testing.T, w *Writer, at timeline.Instant, source string) {
			data, err := meta.RequestedReplace{OperationType: meta.OperationCluster, ClusteringPlan: &meta.ClusteringPlan{
				InputGroups: []meta.ClusteringGroup{{Slices: []meta.ClusteringSlice{{FileID: source, PartitionPath: "day=0"}}}},
			}}.Encode()
			if err != nil {
				t.Fatal(err)
			}
			put(t, w.table.store, w.table.entry(at, w.table.clusteringAction(), timeline.Requested).Key(), data)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &onPut{Store: storage.NewMem()}
			w := mustAcquireShared(t, store, protoAppendConfig())
			var last timeline.Instant
			for from := int64(0); from < 8; from += 4 {
				req := protoRequest(from, from+4)
				req.Operation = BulkInsert
				last = commitOf(t, w, req)
			}
			plan, err := w.PlanClustering(t.Context(), ClusterOptions{})
			if err != nil || len(plan) != 2 {
				t.Fatalf("plan %+v, %v", plan, err)
			}
			at := timeline.Next(time.Now().Add(time.Second), last)
			store.put = func(key string) {
				if strings.HasPrefix(key, "day=0/") {
					store.put = nil
					tc.other(t, w, at, plan[0].FileIDs[0])
				}
			}
			_, err = w.Cluster(t.Context(), ClusterOptions{})
			var conflict *ConflictError
			if got := errors.As(err, &conflict); got != tc.conflict || !tc.conflict && err != nil {
				t.Fatalf("cluster: %v", err)
			}
			if !tc.conflict {
				return
			}
			if conflict.Instant != at || conflict.FileID != plan[0].FileIDs[0] {
				t.Errorf("conflict %+v", conflict)
			}
			for _, e := range timelineOf(t, store).Pending() {
				if e.Instant != at {
					t.Errorf("%s is left", e.FileName())
				}
			}
			// Again, what the other engine has or plans is left out.
			again, err := w.PlanClustering(t.Context(), ClusterOptions{})
			if err != nil || len(again) != 2 || slices.Contains(again[0].FileIDs, plan[0].FileIDs[0]) {
				t.Errorf("plan %+v, %v", again, err)
			}
		})
	}
}

// foreignReplace is another engine's replacecommit that takes a group of day=0 away.
func foreignReplace(t *testing.T, w *Writer, at timeline.Instant, id string) {
	t.Helper()
	data, err := meta.Commit{
		PartitionToWriteStats: map[string][]meta.WriteStat{}, PartitionToReplaceFileIDs: map[string][]string{"day=0": {id}},
		ExtraMetadata: map[string]string{meta.SchemaKey: protoSchema}, OperationType: "DELETE_PARTITION",
	}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	e := timeline.Entry{Instant: at, Action: timeline.ReplaceCommit, State: timeline.Completed}
	put(t, w.table.store, e.In(timeline.Requested).Key(), nil)
	put(t, w.table.store, e.Key(), data)
}
