package inspect

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/internal/goldentest"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storagetest"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/txn"
)

// What Spark wrote is whole.
func TestVerifySparkTables(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		table                   string
		buckets                 int
		rows                    int64
		files, logs, partitions int
	}{
		{"../testdata/v6-cow-015.zip", 2, 63, 8, 0, 4},
		{"../testdata/v6-mor-015.zip", 2, 63, 8, 16, 4},
		{"../testdata/v9-mor-12.zip", 2, 63, 8, 8, 4},
		{"testdata/v6-cow-015-meta.zip", 2, 63, 8, 0, 4},
		{"../testdata/v6-cow-015-bloom-nohive.zip", 0, 70, 4, 0, 4},
		{"../testdata/v6_complexkeygen_hivestyle.zip", 0, 4, 3, 0, 3},
		{"../testdata/v6_nonpartitioned.zip", 0, 4, 1, 0, 1},
		{"../testdata/v6_timebasedkeygen_nonhivestyle.zip", 0, 4, 4, 0, 4},
	} {
		t.Run(tc.table, func(t *testing.T) {
			t.Parallel()
			r := verify(t, goldentest.Table(t, tc.table), Options{Buckets: tc.buckets, Now: instantsNow})
			if r.Rows != tc.rows || r.Files != tc.files || r.Logs != tc.logs || r.Partitions != tc.partitions {
				t.Errorf("report %+v", r)
			}
			for _, f := range r.Findings {
				t.Error(f)
			}
			if unknown := tc.buckets == 0; (len(r.NotChecked) > 0) != unknown {
				t.Errorf("not checked: %q", r.NotChecked)
			}
		})
	}
}

// TestVerifyForeignBuckets: with another number of buckets than the table was written with, its keys are in the wrong ones.
func TestVerifyForeignBuckets(t *testing.T) {
	t.Parallel()
	store := goldentest.Table(t, "../testdata/v6-cow-015.zip")
	for _, o := range []Options{{Buckets: 4}, {Buckets: 2, BucketField: "session_id"}} {
		if r := verify(t, store, o); !r.Has(CodeKeyBucket) {
			t.Errorf("%+v: %v", o, r.Findings)
		}
	}
	if r := verify(t, store, Options{Buckets: 2, BucketField: "session_id,event_id"}); len(r.Findings) > 0 {
		t.Errorf("findings %v", r.Findings)
	}
}

// TestVerifyWithoutBuckets: where buckets do not keep keys apart, a key in two groups of a partition is found all the same.
func TestVerifyWithoutBuckets(t *testing.T) {
	t.Parallel()
	const (
		one = "dt=2026-01-01/hr=01/00000000-3140-4f0b-bd7d-8d29e6d192df-0_0-115-189_20261123045630340.parquet"
		two = "dt=2026-01-01/hr=01/00000001-5f4c-40c8-b081-d32bec1784d5-0_1-115-190_20261123045630340.parquet"
	)
	store := goldentest.Table(t, "../testdata/v6-cow-015.zip")
	v := victim{t, store}
	v.put(one, v.get(two))
	r := verify(t, store, Options{})
	if !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Code == CodeKeyDuplicate && f.Key == two }) {
		t.Errorf("findings %v", r.Findings)
	}
}

// A table that is not there is no report.
func TestVerifyWithoutTable(t *testing.T) {
	t.Parallel()
	if r, err := Verify(t.Context(), storage.NewMem(), Options{}); !errors.Is(err, hudi.ErrNotFound) {
		t.Errorf("report %+v, error %v", r, err)
	}
}

// TestVerifyBesideAWriter: what a commit does while Verify looks is no error of the table.
func TestVerifyBesideAWriter(t *testing.T) {
	t.Parallel()
	table := newOwnTable(t, hudi.MergeOnRead).commits(t, 2)
	for _, at := range []string{txn.Key, "day=2026-11-20/" + fileslice.PartitionMetafile} {
		r := verify(t, &writtenMeanwhile{Store: table, at: at, write: func() { table.commit(t) }}, Options{})
		if r.Errors > 0 || !slices.ContainsFunc(r.NotChecked, func(s string) bool { return strings.Contains(s, "written to meanwhile") }) {
			t.Errorf("a commit before %s is read: %+v", at, r)
		}
	}
}

// writtenMeanwhile is a store that something is written to just before a key is read.
type writtenMeanwhile struct {
	storage.Store
	at    string
	write func()
	once  sync.Once
}

func (w *writtenMeanwhile) Get(ctx context.Context, key string) ([]byte, storage.Info, error) {
	if key == w.at {
		w.once.Do(w.write)
	}
	return w.Store.Get(ctx, key)
}

// A store that does not answer is no defect of the table.
func TestVerifyPassesStoreErrorsOn(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		store storage.Store
		step  int // of the calls that fail; a table with many calls gets a sample
	}{
		{"foreign", goldentest.Table(t, "../testdata/v6_nonpartitioned.zip"), 1},
		{"ours", compactedOnce(t), 3},
		{"metadata table", withMetadata(t), 13},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for n := 0; ; n += tc.step {
				failing := storagetest.FailNth(tc.store, storagetest.Fault{N: n, Err: storagetest.ErrRetryable})
				r, err := Verify(t.Context(), failing, Options{})
				if !failing.Fired() {
					if err != nil || len(r.Findings) > 0 {
						t.Fatalf("without a fault: report %+v, error %v", r, err)
					}
					return
				}
				if err == nil || storage.Classify(err) != storage.Retryable {
					t.Fatalf("call %d fails: report %+v, error %v", n, r, err)
				}
			}
		})
	}
}

// compactedOnce is a table with compacted logs and others behind them.
func compactedOnce(t *testing.T) storage.Store {
	table := newOwnTable(t, hudi.MergeOnRead).commits(t, 2)
	if _, err := table.writer.Compact(t.Context(), hudi.CompactOptions{}); err != nil {
		t.Fatal(err)
	}
	return table.commits(t, 1).Store
}

// TestVerifyDamage: whatever single file is cut in half, Verify ends with a report or refuses the table.
func TestVerifyDamage(t *testing.T) {
	t.Parallel()
	store := compactedOnce(t)
	v := victim{t, store}
	for info, err := range store.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		whole := v.get(info.Key)
		v.put(info.Key, whole[:len(whole)/2])
		r := verify(t, store, Options{})
		if len(whole) > 1 && len(r.Findings) == 0 {
			t.Errorf("%s is cut in half, and nothing is found", info.Key)
		}
		v.put(info.Key, whole)
	}
}

// TestVerifyAdopted: a table of Spark's that this library took up is whole, before its first commit too.
func TestVerifyAdopted(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"v6-cow-015", "v6-mor-015", "v9-mor-12"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := goldentest.Table(t, "../testdata/"+name+".zip")
			table, err := hudi.Adopt(t.Context(), store, hudi.BucketIndex{Buckets: 2, Field: "session_id,event_id"})
			if err != nil {
				t.Fatal(err)
			}
			for _, step := range []string{"adopted", "acquired"} {
				if r := verify(t, store, Options{}); r.Rows != 63 || len(r.Findings)+len(r.NotChecked) > 0 {
					t.Errorf("%s: report %+v", step, r)
				}
				if _, err := table.Acquire(t.Context(), "test"); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
