package inspect

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/internal/goldentest"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storagetest"
)

func goldenTable(tb testing.TB, name string) storage.Store {
	tb.Helper()
	return goldentest.Table(tb, "../testdata/"+name+".zip")
}

// What Spark wrote is whole.
func TestVerifySparkTables(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		table             string
		rows              int64
		files, partitions int
	}{
		{"v6-cow-015", 63, 8, 4},
		{"v6-cow-015-bloom-nohive", 70, 4, 4},
		{"v6_complexkeygen_hivestyle", 4, 3, 3},
		{"v6_nonpartitioned", 4, 1, 1},
		{"v6_timebasedkeygen_nonhivestyle", 4, 4, 4},
	} {
		t.Run(tc.table, func(t *testing.T) {
			t.Parallel()
			r, err := Verify(t.Context(), goldenTable(t, tc.table))
			if err != nil {
				t.Fatal(err)
			}
			if r.Rows != tc.rows || r.Files != tc.files || r.Partitions != tc.partitions || len(r.Orphans)+len(r.Pending) > 0 {
				t.Errorf("report %+v", r)
			}
			for _, f := range r.Faults {
				t.Errorf("fault: %s", f)
			}
		})
	}
}

const (
	victim      = "dt=2026-01-01/hr=01/00000000-3140-4f0b-bd7d-8d29e6d192df-0_0-115-189_20261123045630340.parquet"
	older       = "dt=2026-01-01/hr=01/00000000-3140-4f0b-bd7d-8d29e6d192df-0_0-92-152_20261123045611705.parquet"
	otherBucket = "dt=2026-01-01/hr=01/00000001-5f4c-40c8-b081-d32bec1784d5-0_1-115-190_20261123045630340.parquet"
	lastCommit  = ".hoodie/20261123045630340.commit"
)

// Each defect is found, at its place.
func TestVerifyFindsDefects(t *testing.T) {
	t.Parallel()
	get := func(t *testing.T, s storage.Store, key string) []byte {
		t.Helper()
		data, _, err := s.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	put := func(t *testing.T, s storage.Store, key string, data []byte) {
		t.Helper()
		if _, err := s.Put(t.Context(), key, data, storage.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	edit := func(key, from, to string) func(*testing.T, storage.Store) {
		return func(t *testing.T, s storage.Store) {
			data := get(t, s, key)
			if !bytes.Contains(data, []byte(from)) {
				t.Fatalf("no %s in %s", from, data)
			}
			put(t, s, key, bytes.Replace(data, []byte(from), []byte(to), 1))
		}
	}
	remove := func(key string) func(*testing.T, storage.Store) {
		return func(t *testing.T, s storage.Store) {
			if err := s.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
	}
	copyTo := func(from, to string) func(*testing.T, storage.Store) {
		return func(t *testing.T, s storage.Store) { put(t, s, to, get(t, s, from)) }
	}
	for _, tc := range []struct {
		name        string
		spoil       func(*testing.T, storage.Store)
		where, what string
	}{
		{"file is gone", remove(victim), victim, "is missing"},
		{"older file instead", remove(victim), older, "the last commit of its group named"},
		{"file is another", copyTo(otherBucket, victim), victim, "bytes, commit 20261123045630340 says"},
		{"rows of another file", copyTo(otherBucket, victim), victim, "names file 00000001"},
		{"rows twice", copyTo(otherBucket, victim), otherBucket, "is in " + victim},
		{"cut off", func(t *testing.T, s storage.Store) { put(t, s, victim, get(t, s, victim)[:400_000]) }, victim, "base file"},
		{"row count", edit(lastCommit, `"numWrites" : 1`, `"numWrites" : 9`), "dt=2026-01-01/hr=01", "commit 20261123045630340 says"},
		{"no partition metafile", remove("dt=2026-01-01/hr=02/.hoodie_partition_metadata"), "dt=2026-01-01/hr=02/.hoodie_partition_metadata", "is missing"},
		{"wrong depth", edit("dt=2026-01-01/hr=02/.hoodie_partition_metadata", "partitionDepth=2", "partitionDepth=1"), "dt=2026-01-01/hr=02/.hoodie_partition_metadata", "depth 1"},
		{"metadata table", edit(".hoodie/hoodie.properties", "hoodie.table.version", "hoodie.table.metadata.partitions=files\nhoodie.table.version"), ".hoodie/hoodie.properties", "metadata table"},
		{"log file", func(t *testing.T, s storage.Store) {
			put(t, s, "dt=2026-01-01/hr=01/.00000000-3140-4f0b-bd7d-8d29e6d192df-0_20261123045630340.log.1_0-1-1", nil)
		}, victim, "1 log files"},
		{"visible orphan", copyTo(victim, strings.Replace(victim, "00000000-3140", "00000003-3140", 1)), strings.Replace(victim, "00000000-3140", "00000003-3140", 1), "whose commit does not name it"},
		{"malformed commit", func(t *testing.T, s storage.Store) { put(t, s, ".hoodie/20261123045611705.commit", []byte("{")) }, "", ""},
		{"malformed HEAD", func(t *testing.T, s storage.Store) { put(t, s, ".hoodie/playhead/HEAD", []byte("{")) }, ".hoodie/playhead/HEAD", "malformed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			store := goldenTable(t, "v6-cow-015")
			tc.spoil(t, store)
			r, err := Verify(t.Context(), store)
			if tc.where == "" {
				if err == nil && len(r.Faults) == 0 {
					t.Error("not found")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(r.Faults, func(f Fault) bool {
				return strings.HasPrefix(f.Where, tc.where) && strings.Contains(f.What, tc.what)
			}) {
				t.Errorf("not among the faults %q", r.Faults)
			}
		})
	}
}

func TestVerifyListsOrphans(t *testing.T) {
	t.Parallel()
	store := goldenTable(t, "v6-cow-015")
	orphan := strings.Replace(victim, "20261123045630340", "20261123045630999", 1)
	for _, key := range []string{orphan, ".hoodie/20261123045630999.commit.requested"} {
		if _, err := store.Put(t.Context(), key, []byte("x"), storage.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Verify(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.Orphans, []string{orphan}) || !slices.Equal(r.Pending, []string{"20261123045630999.commit.requested"}) || len(r.Faults) > 0 {
		t.Errorf("report %+v", r)
	}
}

// A store that does not answer is no defect of the table.
func TestVerifyPassesStoreErrorsOn(t *testing.T) {
	t.Parallel()
	store := goldenTable(t, "v6_nonpartitioned")
	for n := 0; ; n++ {
		failing := storagetest.FailNth(store, storagetest.Fault{N: n, Err: storagetest.ErrRetryable})
		r, err := Verify(t.Context(), failing)
		if !failing.Fired() {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
		if err == nil || storage.Classify(err) != storage.Retryable {
			t.Fatalf("call %d fails: report %+v, error %v", n, r, err)
		}
	}
}

func TestTimelineAndCommit(t *testing.T) {
	t.Parallel()
	table, err := hudi.Open(t.Context(), goldenTable(t, "v6-cow-015"))
	if err != nil {
		t.Fatal(err)
	}
	instants, err := Timeline(t.Context(), table)
	if err != nil {
		t.Fatal(err)
	}
	if len(instants) != 5 || instants[4].Operation != "UPSERT" || instants[4].Files != 2 || instants[3].Action != "replacecommit" {
		t.Errorf("timeline %+v", instants)
	}
	c, err := ShowCommit(t.Context(), table, instants[4].Instant)
	if err != nil || c.Extra["schema"] == nil || len(c.PartitionToWriteStats) != 1 {
		t.Errorf("commit %+v: %v", c, err)
	}
	if _, err := ShowCommit(t.Context(), table, instants[0].Instant); !errors.Is(err, ErrNoCommit) {
		t.Errorf("a rollback as a commit: %v", err)
	}
}
