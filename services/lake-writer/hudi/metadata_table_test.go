package hudi

import (
	"context"
	"errors"
	"fmt"
	"path"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/mdt"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storagetest"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

func keepOptions() []Option { return append(protoOptions(), WithMetadataTable(KeepMetadataTable)) }

// checkListing compares the metadata table, if hoodie.properties names one, with what is stored, as engines would. It returns whether it
// is named.
func checkListing(t *testing.T, store storage.Store, when string) bool {
	t.Helper()
	p, _, err := loadProperties(t.Context(), store)
	if errors.Is(err, ErrNotFound) || err == nil && p[meta.MetadataPartitions] == "" {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	if p[meta.MetadataPartitions] != metadataFiles {
		t.Errorf("%s: partitions %q", when, p[meta.MetadataPartitions])
	}
	table, err := Open(t.Context(), store, protoOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	tl, err := table.Timeline(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want, err := (&Writer{table: table}).storedFiles(t.Context(), tl)
	if err != nil {
		t.Fatal(err)
	}
	listing, err := mdt.Files(t.Context(), store)
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	for _, d := range mdt.Compare(listing, want) {
		t.Errorf("%s: %s", when, d)
	}
	return true
}

func boundedLogs(n int) Option { return func(o *options) { o.metadataLogs = n } }

func keeper(t *testing.T, store storage.Store, cfg TableConfig, owner string, more ...Option) *Writer {
	t.Helper()
	w, err := keeperOn(t.Context(), store, cfg, owner, more...)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func keeperOn(ctx context.Context, store storage.Store, cfg TableConfig, owner string, more ...Option) (*Writer, error) {
	table, err := Create(ctx, store, version9(cfg), append(keepOptions(), more...)...)
	if err != nil {
		return nil, err
	}
	return table.Acquire(ctx, owner)
}

// TestKeepMetadataTable: after everything that a writer does the metadata table lists what is stored.
func TestKeepMetadataTable(t *testing.T) {
	t.Parallel()
	for name, cfg := range historyTypes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := storage.NewMem()
			w := keeper(t, store, cfg, "a")
			step := func(what string, err error) {
				t.Helper()
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				if !checkListing(t, store, what) {
					t.Errorf("%s: no metadata table", what)
				}
			}
			for i := range int64(6) {
				req := protoRequest(2*i, 2*i+2)
				req.Operation = Upsert
				_, err := w.Commit(t.Context(), req)
				step(fmt.Sprintf("commit %d", i), err)
			}
			if cfg.Type == MergeOnRead {
				_, err := w.Compact(t.Context(), CompactOptions{})
				step("compact", err)
			}
			result, err := w.Clean(t.Context(), CleanOptions{Retain: 1})
			step("clean", err)
			if result == nil {
				t.Error("nothing was cleaned")
			}
			to := activeCommits(t, store)
			_, err = w.Archive(t.Context(), ArchiveOptions{KeepMin: 2, KeepMax: 2})
			step("archive", err)
			w = keeper(t, store, cfg, "b")
			req := protoRequest(12, 14)
			req.Operation = Upsert
			_, err = w.Commit(t.Context(), req)
			step("commit of a successor", err)
			if _, err := w.Restore(t.Context(), RestoreOptions{To: to[len(to)-1]}); err != nil {
				t.Fatal(err)
			}
			checkListing(t, store, "restore")
			_, err = w.Commit(t.Context(), req)
			step("commit after a restore", err)
		})
	}
}

// TestMetadataTableOfOthers: one that another writer left stale or with more partitions is put right, and a writer that keeps none drops it.
func TestMetadataTableOfOthers(t *testing.T) {
	t.Parallel()
	store := storage.NewMem()
	w := keeper(t, store, protoConfig, "a")
	commit := func(w *Writer, from int64) {
		t.Helper()
		if _, err := w.Commit(t.Context(), protoRequest(from, from+2)); err != nil {
			t.Fatal(err)
		}
	}
	commit(w, 0)
	p, info, err := loadProperties(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	p[meta.MetadataPartitions] = "column_stats,files"
	if err := w.changeProperties(t.Context(), p, info); err != nil {
		t.Fatal(err)
	}
	put(t, store, mdt.Folder+"column_stats/x.hfile", nil)
	commit(w, 2)
	if left := keysIn(t, store, mdt.Folder+"column_stats/"); len(left) > 0 || !checkListing(t, store, "narrowed") {
		t.Errorf("left %v", left)
	}
	put(t, store, string(timeline.Layout2.Folder())+"20270101000000000_20270101000000001.commit", nil) // by a writer that does not know of it
	commit(w, 4)
	if checkListing(t, store, "stale") {
		t.Error("a stale metadata table is kept")
	}
	commit(w, 6)
	if !checkListing(t, store, "after it was dropped") {
		t.Error("the metadata table is not built anew")
	}
	commit(acquire(t, store, "b"), 8)
	if left := keysIn(t, store, mdt.Folder); len(left) > 0 || checkListing(t, store, "dropped") {
		t.Errorf("left %v", left)
	}
	if w := acquireVersion6(t); w.keepsMetadata() {
		t.Error("version 6 keeps a metadata table")
	}
}

func acquireVersion6(t *testing.T) *Writer {
	t.Helper()
	table, err := Create(t.Context(), storage.NewMem(), protoConfig, keepOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	w, err := table.Acquire(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestMetadataTableOfADeadCommit: what another engine wrote of a commit that it never completed goes with that.
func TestMetadataTableOfADeadCommit(t *testing.T) {
	t.Parallel()
	store := storage.NewMem()
	w := keeper(t, store, protoMergeConfig(), "a")
	req := protoRequest(0, 4)
	req.Operation = Upsert
	if _, err := w.Commit(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	instant := timeline.Next(protoStart, w.mu.head.Head.Last())
	dead, left := foreignAttempt(t, store, w, instant, true, 0)
	added := make(map[string]map[string]int64)
	for _, key := range left {
		added[path.Dir(key)] = map[string]int64{path.Base(key): 1}
	}
	if err := mdt.Append(t.Context(), store, mdt.Update{Instant: instant, Completion: instant, Added: added}); err != nil {
		t.Fatal(err)
	}
	checkListing(t, store, "pending")
	if err := w.rollBackForeign(t.Context(), dead); err != nil {
		t.Fatal(err)
	}
	if !checkListing(t, store, "rolled back") {
		t.Error("the metadata table was dropped")
	}
}

// TestMetadataTableIsBoundedInLogs: with so many updates it is built anew, and lists what is stored before, then and after. A death on the way
// leaves none, which the next owner builds.
func TestMetadataTableIsBoundedInLogs(t *testing.T) {
	t.Parallel()
	const limit = 4
	store := storage.NewMem()
	w := keeper(t, store, protoConfig, "a", boundedLogs(limit))
	commit := func(w *Writer) error {
		from := w.Head().Offsets[protoStream][0]
		_, err := w.Commit(t.Context(), protoRequest(from, from+1))
		return err
	}
	logs := 0
	for i := 0; logs < limit+2; i++ { // until the next commit builds it anew; the first log is that of the start
		if i > 2*limit {
			t.Fatalf("%d logs after %d commits", logs, i)
		}
		if err := commit(w); err != nil {
			t.Fatal(err)
		}
		var err error
		if logs, err = mdt.Logs(t.Context(), store); err != nil {
			t.Fatal(err)
		}
	}
	if !checkListing(t, store, "before it is built anew") {
		t.Error("no metadata table before it is built anew")
	}
	died := 0
	for n := 0; ; n += stride(3) {
		mem := copyOf(t, store)
		failing := storagetest.FailNth(mem, storagetest.Fault{N: n, Err: storagetest.ErrDown, Down: true, Ops: storagetest.Writes})
		if err := func() error {
			w, err := keeperOn(t.Context(), failing, protoConfig, "b", boundedLogs(limit))
			if err != nil {
				return err
			}
			return commit(w)
		}(); err == nil && !failing.Fired() {
			break
		}
		died++
		checkListing(t, mem, fmt.Sprintf("died at write %d", n))
		if err := commit(keeper(t, mem, protoConfig, "c", boundedLogs(limit))); err != nil {
			t.Fatal(err)
		}
		if !checkListing(t, mem, fmt.Sprintf("died at write %d, then a successor", n)) {
			t.Errorf("died at write %d: the successor has no metadata table", n)
		}
	}
	if died == 0 {
		t.Error("nothing died")
	}
	if err := commit(w); err != nil {
		t.Fatal(err)
	}
	if logs, err := mdt.Logs(t.Context(), store); err != nil || logs > 2 || !checkListing(t, store, "built anew") {
		t.Errorf("%d logs, %v", logs, err)
	}
}

// TestKeepMetadataTableSweep fails every call of a table's life: engines that trust the metadata table see what others see,
// always.
func TestKeepMetadataTableSweep(t *testing.T) {
	t.Parallel()
	cfg := version9(protoMergeConfig())
	for _, name := range []string{"refused", "unknown, done", "died after"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fault := faults[name]
			fault.Ops = opsOf(name)
			for fault.N = 0; ; fault.N += stride(1) {
				mem := sweepStore(t)
				store := storagetest.FailNth(mem, fault)
				err := driveOn(t.Context(), store, "a", keepOptions(), cfg)
				checkListing(t, mem, fmt.Sprintf("call %d failed", fault.N))
				if !store.Fired() {
					if err != nil || fault.N < 20 {
						t.Fatalf("after %d calls: %v", fault.N, err)
					}
					t.Logf("%d faults", fault.N/stride(1))
					return
				}
				if err := driveOn(t.Context(), mem, "b", keepOptions(), cfg); err != nil {
					t.Errorf("call %d failed: successor: %v", fault.N, err)
				}
				checkListing(t, mem, fmt.Sprintf("call %d failed, then a successor", fault.N))
				if t.Failed() {
					t.FailNow()
				}
			}
		})
	}
}
