package hudi

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/lock"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storagetest"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/txn"
)

// onPut is a Store that calls a function before each put.
type onPut struct {
	storage.Store
	put func(key string)
}

func (h *onPut) Put(ctx context.Context, key string, data []byte, cond storage.Condition) (storage.Info, error) {
	if h.put != nil {
		h.put(key)
	}
	return h.Store.Put(ctx, key, data, cond)
}

// acquireShared creates or opens a table and becomes its owner, besides other engines.
func acquireShared(ctx context.Context, store storage.Store, cfg TableConfig, owner string) (*Writer, error) {
	opts := protoOptions()
	opts[0], opts[1] = WithClock(time.Now), WithIDs(namedIDs(owner))
	table, err := Create(ctx, store, cfg, opts...)
	if err != nil {
		return nil, err
	}
	l, err := lock.New(store, lock.Options{Owner: owner, Validity: 10 * time.Second, Renewal: time.Second})
	if err != nil {
		return nil, err
	}
	return table.Acquire(ctx, owner, WithSharedTable(SharedTable{Lock: l, HeartbeatInterval: time.Second}))
}

func mustAcquireShared(t *testing.T, store storage.Store, cfg TableConfig) *Writer {
	t.Helper()
	w, err := acquireShared(t.Context(), store, cfg, "us")
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// request is protoRequest for a table's type.
func request(cfg TableConfig, from, next int64) CommitRequest {
	req := protoRequest(from, next)
	if cfg.Type == MergeOnRead {
		req.Operation = Upsert
	}
	return req
}

func commitOf(t *testing.T, w *Writer, req CommitRequest) timeline.Instant {
	t.Helper()
	result, err := w.Commit(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return result.Instant
}

// instantNow is an instant of another engine.
func instantNow(after timeline.Instant) timeline.Instant { return timeline.Next(time.Now(), after) }

// TestSharedCommit: an attempt gives signs of life until it has ended, and is decided and shown under the lock.
func TestSharedCommit(t *testing.T) {
	t.Parallel()
	for name, cfg := range protoTypes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &onPut{Store: storage.NewMem()}
			w := mustAcquireShared(t, store, cfg)
			commitOf(t, w, request(cfg, 0, 4))
			held, alive := 0, 0
			store.put = func(key string) {
				_, isLog := fileslice.ParseLogKey(key)
				_, isBase := fileslice.ParseKey(key)
				e, isInstant := w.table.layout().ParseFileName(strings.TrimPrefix(key, w.table.layout().Folder()))
				if key == txn.Key || isInstant && e.Action.Writes() && e.State == timeline.Completed {
					data, _, err := store.Get(t.Context(), lock.Key)
					state, decodeErr := lock.Decode(data)
					if err != nil || decodeErr != nil || state.Expired || state.Owner != "us" {
						t.Errorf("%s is written with the lock %+v, %v", key, state, errors.Join(err, decodeErr))
					}
					held++
				}
				if isLog == nil || isBase == nil || isInstant && e.Action.Writes() {
					if len(keysIn(t, store, heartbeatFolder)) != 1 {
						t.Errorf("%s is written without a sign of life", key)
					}
					alive++
				}
			}
			commitOf(t, w, request(cfg, 4, 8))
			if held != 2 || alive < 5 {
				t.Errorf("saw %d puts under the lock, %d with a heartbeat", held, alive)
			}
			if left := keysIn(t, store, heartbeatFolder); len(left) > 0 {
				t.Errorf("%v are left", left)
			}
			data, _, err := store.Get(t.Context(), lock.Key)
			if state, decodeErr := lock.Decode(data); err != nil || decodeErr != nil || !state.Expired {
				t.Errorf("the lock is left %+v, %v", state, err)
			}
		})
	}
}

// TestConflicts lets another engine do something while an attempt is under way.
func TestConflicts(t *testing.T) {
	t.Parallel()
	bucket1 := keys.FileID("day=0", 1)
	stat := func(partition, id string, instant timeline.Instant) map[string][]meta.WriteStat {
		key := fileslice.BaseFile{Partition: partition, FileID: id, Instant: instant}.Key()
		return map[string][]meta.WriteStat{partition: {{FileID: id, Path: &key, PrevCommit: meta.NoPreviousCommit}}}
	}
	for name, tc := range map[string]struct {
		other    func(t *testing.T, w *Writer, at timeline.Instant)
		conflict bool
	}{
		"the same group": {func(t *testing.T, w *Writer, at timeline.Instant) {
			foreignCommit(t, w.table.store, at, w.table.commitAction(), stat("day=0", bucket1, at))
		}, true},
		"another group of the bucket": {func(t *testing.T, w *Writer, at timeline.Instant) {
			foreignCommit(t, w.table.store, at, w.table.commitAction(), stat("day=0", "00000001-aaaa-4aaa-8aaa-aaaaaaaaaaaa-0", at))
		}, true},
		"another bucket": {func(t *testing.T, w *Writer, at timeline.Instant) {
			foreignCommit(t, w.table.store, at, w.table.commitAction(), stat("day=0", keys.FileID("day=0", 0), at))
		}, false},
		"another partition": {func(t *testing.T, w *Writer, at timeline.Instant) {
			foreignCommit(t, w.table.store, at, w.table.commitAction(), stat("day=9", bucket1, at))
		}, false},
		"a group taken away": {func(t *testing.T, w *Writer, at timeline.Instant) {
			c := meta.Commit{
				PartitionToWriteStats: map[string][]meta.WriteStat{}, PartitionToReplaceFileIDs: map[string][]string{"day=0": {bucket1}},
				ExtraMetadata: map[string]string{meta.SchemaKey: protoSchema}, OperationType: "INSERT_OVERWRITE",
			}
			data, err := c.Encode()
			if err != nil {
				t.Fatal(err)
			}
			e := timeline.Entry{Instant: at, Action: timeline.ReplaceCommit, State: timeline.Completed}
			put(t, w.table.store, e.In(timeline.Requested).Key(), nil)
			put(t, w.table.store, e.Key(), data)
		}, true},
		"a compaction of the group is requested": {func(t *testing.T, w *Writer, at timeline.Instant) {
			requestCompaction(t, w.table.store, at, "day=0", bucket1)
		}, true},
		"a compaction of another group is requested": {func(t *testing.T, w *Writer, at timeline.Instant) {
			requestCompaction(t, w.table.store, at, "day=1", bucket1)
		}, false},
		"the attempt is rolled back": {func(t *testing.T, w *Writer, at timeline.Instant) {
			rollBackAsHudi(t, w, at, func(e timeline.Entry) bool { return e.State != timeline.Completed })
		}, true},
		"what it goes on from is rolled back": {func(t *testing.T, w *Writer, at timeline.Instant) {
			rollBackAsHudi(t, w, at, func(e timeline.Entry) bool { return e.State == timeline.Completed })
		}, true},
		"a commit is begun": {func(t *testing.T, w *Writer, at timeline.Instant) {
			put(t, w.table.store, w.table.entry(at, w.table.commitAction(), timeline.Requested).Key(), nil)
		}, false},
	} {
		for kind, cfg := range map[string]TableConfig{"copy on write": protoConfig, "merge on read": protoMergeConfig()} {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				store := &onPut{Store: storage.NewMem()}
				w := mustAcquireShared(t, store, cfg)
				last := commitOf(t, w, request(cfg, 0, 4))
				at := timeline.Next(time.Now().Add(time.Second), last)
				store.put = func(key string) {
					if strings.HasPrefix(key, "day=0/") {
						store.put = nil
						tc.other(t, w, at)
					}
				}
				req := request(cfg, 5, 6) // of day=0, bucket 1
				req.Progress = Progress{protoStream: {0: {4, 6}}}
				_, err := w.Commit(t.Context(), req)
				var conflict *ConflictError
				if got := errors.As(err, &conflict); got != tc.conflict || !tc.conflict && err != nil {
					t.Fatalf("commit: %v", err)
				}
				if !tc.conflict {
					return
				}
				if undone := conflict.Action == timeline.Rollback; undone {
					return // what is left is between the other's rollback and ours
				}
				if conflict.Instant != at || conflict.Partition != "day=0" || w.Head().Offsets[protoStream][0] != 4 {
					t.Errorf("conflict %+v, HEAD %+v", conflict, w.Head())
				}
				for _, key := range append(keysIn(t, store, heartbeatFolder), keysIn(t, store, meta.TempFolder)...) {
					t.Errorf("%s is left", key)
				}
				tl, err := w.table.Timeline(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range tl.Entries() {
					if e.State != timeline.Completed && e.Instant != at {
						t.Errorf("%s is left", e.FileName())
					}
				}
			})
		}
	}
}

// rollBackAsHudi requests the rollback of the newest write that is chosen, as another engine.
func rollBackAsHudi(t *testing.T, w *Writer, at timeline.Instant, chosen func(timeline.Entry) bool) {
	t.Helper()
	tl, err := w.table.Timeline(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range slices.Backward(tl.Entries()) {
		if e.Action.Writes() && chosen(e) {
			plan, err := w.rollbackPlan(e, nil)
			if err != nil {
				t.Fatal(err)
			}
			put(t, w.table.store, w.table.entry(at, timeline.Rollback, timeline.Requested).Key(), plan)
			return
		}
	}
	t.Fatal("nothing to roll back")
}

// requestCompaction plans the compaction of a group, as another engine.
func requestCompaction(t *testing.T, store storage.Store, at timeline.Instant, partition, id string) {
	t.Helper()
	op := meta.NewCompactionOperation(partition, id, string(at), "", []string{}, map[string]float64{})
	data, err := meta.NewCompactionPlan([]meta.CompactionOperation{op}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	put(t, store, timeline.Entry{Instant: at, Action: timeline.Compaction, State: timeline.Requested}.Key(), data)
}

// TestConflictThenAgain: after a conflict the same request goes on from what the other did.
func TestConflictThenAgain(t *testing.T) {
	t.Parallel()
	store := &onPut{Store: storage.NewMem()}
	w := mustAcquireShared(t, store, protoConfig)
	commitOf(t, w, protoRequest(0, 4))
	id := keys.FileID("day=0", 0) // of offset 0, 4 and 8
	store.put = func(key string) {
		if !strings.HasPrefix(key, "day=0/") {
			return
		}
		store.put = nil
		view, err := w.table.View(t.Context(), "", nil)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(view.Slices, func(s fileslice.Slice) bool { return s.Partition == "day=0" && s.FileID == id })
		rows, err := protoRows(t.Context(), store, view.Slices[i].Base.Key())
		if err != nil {
			t.Fatal(err)
		}
		at := instantNow(view.Timeline.Last())
		data, err := json.Marshal(append(rows, protoRow{protoKey(8), at}))
		if err != nil {
			t.Fatal(err)
		}
		file := fileslice.BaseFile{Partition: "day=0", FileID: id, Instant: at}.Key()
		put(t, store, file, data)
		stat := meta.WriteStat{FileID: id, Path: &file, PrevCommit: string(view.Slices[i].Base.Instant), FileSizeInBytes: int64(len(data))}
		foreignCommit(t, store, at, timeline.Commit, map[string][]meta.WriteStat{"day=0": {stat}})
	}
	req := protoRequest(4, 8)
	var conflict *ConflictError
	if _, err := w.Commit(t.Context(), req); !errors.As(err, &conflict) || conflict.FileID != id {
		t.Fatalf("got %v", err)
	}
	commitOf(t, w, req)
	var want []string
	for o := range int64(9) {
		want = append(want, protoKey(o))
	}
	slices.Sort(want)
	if got := rowsAsOf(t, store, ""); !slices.Equal(got, want) {
		t.Errorf("rows %v, want %v", got, want)
	}
}

// TestSharedUpgrade: a table that another writer upgraded while an attempt was under way is refused before the decision, nothing is lost.
func TestSharedUpgrade(t *testing.T) {
	t.Parallel()
	store := &onPut{Store: storage.NewMem()}
	w := mustAcquireShared(t, store, protoConfig)
	commitOf(t, w, protoRequest(0, 4))
	var old []byte
	store.put = func(key string) {
		if !strings.HasPrefix(key, "day=") {
			return
		}
		store.put = nil
		p, _, err := loadProperties(t.Context(), store)
		if err != nil {
			t.Fatal(err)
		}
		old = p.Encode("as it was", time.Now())
		p[meta.TableVersion], p[meta.TimelineLayout] = "8", "2"
		p[meta.Checksum] = p.TableChecksum()
		put(t, store, meta.PropertiesKey, p.Encode("upgraded", time.Now()))
	}
	var unsupported *UnsupportedError
	if _, err := w.Commit(t.Context(), protoRequest(4, 8)); !errors.As(err, &unsupported) || unsupported.Property != meta.TableVersion {
		t.Fatalf("got %v", err)
	}
	put(t, store, meta.PropertiesKey, old)
	if got := checkState(t, store); got != 4 {
		t.Errorf("ends at %d", got)
	}
}

// TestForeignPending: what another engine has under way is left alone. A compaction waits for it while it lives.
func TestForeignPending(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg, store := protoMergeConfig(), storage.NewMem()
		w := mustAcquireShared(t, store, cfg)
		last := commitOf(t, w, request(cfg, 0, 4))
		pending := w.table.entry(instantNow(last), timeline.DeltaCommit, timeline.Inflight)
		put(t, store, heartbeatKey(pending.Instant), nil)
		for _, s := range []timeline.State{timeline.Requested, timeline.Inflight} {
			put(t, store, pending.In(s).Key(), nil)
		}
		put(t, store, meta.MarkerFolder(pending.Instant)+"day=0/f.marker.APPEND", nil)
		commitOf(t, w, request(cfg, 4, 8))
		w = mustAcquireShared(t, store, cfg)
		var conflict *ConflictError
		if _, err := w.Compact(t.Context(), CompactOptions{}); !errors.As(err, &conflict) || conflict.Instant != pending.Instant {
			t.Errorf("compact: %v", err)
		}
		for _, key := range []string{pending.Key(), heartbeatKey(pending.Instant), meta.MarkerFolder(pending.Instant) + "day=0/f.marker.APPEND"} {
			if _, err := store.Stat(t.Context(), key); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(3 * time.Second) // more than the misses that are tolerated
		if result, err := w.Compact(t.Context(), CompactOptions{}); err != nil || result == nil {
			t.Errorf("compact besides what is dead: %+v, %v", result, err)
		}
		if got := checkState(t, store); got != 8 {
			t.Errorf("ends at %d", got)
		}
	})
}

// TestForeignCompaction: rows that are written while another engine has a compaction pending survive it.
func TestForeignCompaction(t *testing.T) {
	t.Parallel()
	cfg, store := protoMergeConfig(), storage.NewMem()
	w := mustAcquireShared(t, store, cfg)
	commitOf(t, w, request(cfg, 0, 4))
	last := commitOf(t, w, request(cfg, 4, 8))
	id, at := keys.FileID("day=0", 0), instantNow(last)
	requestCompaction(t, store, at, "day=0", id)
	before := rowsAsOf(t, store, "")
	view, err := w.table.View(t.Context(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(view.Slices, func(s fileslice.Slice) bool { return s.Partition == "day=0" && s.FileID == id })
	slice := view.Slices[i]
	for from := int64(8); from < 16; from += 4 {
		commitOf(t, w, request(cfg, from, from+4))
	}
	// The other engine merges what its plan is about.
	rows, err := protoRows(t.Context(), store, slice.Base.Key())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range slice.Logs {
		logged, err := protoRows(t.Context(), store, l.Key())
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, logged...)
	}
	data, err := json.Marshal(rows)
	if err != nil {
		t.Fatal(err)
	}
	file := fileslice.BaseFile{Partition: "day=0", FileID: id, Instant: at}.Key()
	put(t, store, file, data)
	stat := meta.WriteStat{FileID: id, Path: &file, PrevCommit: string(slice.Base.Instant), FileSizeInBytes: int64(len(data))}
	foreignCommit(t, store, at, timeline.Commit, map[string][]meta.WriteStat{"day=0": {stat}})
	commitOf(t, w, request(cfg, 16, 20))
	if len(before) != 8 {
		t.Errorf("%d rows before", len(before))
	}
	checkRows(t, store, 20)
	tl, err := w.table.Timeline(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, err := w.table.Commit(t.Context(), tl.Commits()[4])
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range c.PartitionToWriteStats["day=0"] {
		if s.FileID == id && (s.PrevCommit != string(at) || s.BaseFile != "" || s.LogVersion != 1) {
			t.Errorf("the first log on top of the compaction is described as %+v", s)
		}
	}
}

// TestForeignClustering: nothing can be written to a group that another engine is about to cluster.
func TestForeignClustering(t *testing.T) {
	t.Parallel()
	plan, err := os.ReadFile("meta/testdata/v9-txns.clustering.requested")
	if err != nil {
		t.Fatal(err)
	}
	store := storage.NewMem()
	w := mustAcquireShared(t, store, protoConfig)
	last := commitOf(t, w, protoRequest(0, 4))
	e := timeline.Entry{Instant: instantNow(last), Action: timeline.ReplaceCommit, State: timeline.Requested}
	put(t, store, e.Key(), plan)
	tl, err := w.table.Timeline(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pending, err := w.pendingServices(t.Context(), tl)
	if err != nil || len(pending) == 0 {
		t.Fatalf("%d groups are to be clustered, %v", len(pending), err)
	}
	for g, service := range pending {
		for _, kind := range []planKind{rewrite, appendLog} {
			plan := groupPlan{kind: kind, partition: g.partition, id: g.fileID}
			var conflict *ConflictError
			if err := plan.besides(service); !errors.As(err, &conflict) || conflict.Instant != e.Instant || conflict.FileID != g.fileID {
				t.Errorf("got %v", err)
			}
		}
	}
	commitOf(t, w, protoRequest(4, 8)) // to other groups
}

// TestHeartbeat: signs come as long as the attempt lasts, and one that could give none for too long is not decided.
func TestHeartbeat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem := storage.NewMem()
		store := &failingKey{Store: mem, prefix: heartbeatFolder}
		w := mustAcquireShared(t, store, protoConfig)
		ages := func(silent bool) func(context.Context, *Table, fileJob) (fileResult, error) {
			return func(ctx context.Context, table *Table, job fileJob) (fileResult, error) {
				store.down.Store(silent)
				for range 5 {
					time.Sleep(time.Second + time.Millisecond)
					info, err := mem.Stat(ctx, heartbeatKey(job.instant))
					if age := time.Since(info.ModTime); err != nil || !silent && age > time.Second {
						t.Errorf("the last sign of life is %s old, %v", age, err)
					}
				}
				store.down.Store(false)
				return protoFile(ctx, table, job)
			}
		}
		w.table.options.writeFile = ages(false)
		commitOf(t, w, protoRequest(0, 1))
		w.table.options.writeFile = ages(true)
		if _, err := w.Commit(t.Context(), protoRequest(1, 2)); storage.Classify(err) != storage.Retryable {
			t.Errorf("without a sign of life for 5 intervals: %v", err)
		}
		w.table.options.writeFile = protoFile
		commitOf(t, w, protoRequest(1, 2))
		if left := keysIn(t, mem, heartbeatFolder); len(left) > 0 {
			t.Errorf("%v are left", left)
		}
	})
}

// failingKey is a Store that fails puts below a prefix while it is down.
type failingKey struct {
	storage.Store
	prefix string
	down   atomic.Bool
}

func (f *failingKey) Put(ctx context.Context, key string, data []byte, cond storage.Condition) (storage.Info, error) {
	if f.down.Load() && strings.HasPrefix(key, f.prefix) {
		return storage.Info{}, storagetest.ErrRetryable
	}
	return f.Store.Put(ctx, key, data, cond)
}

// TestSharedSweep fails every call of two commits to a shared table, in every way. The state rules are those of every table.
func TestSharedSweep(t *testing.T) {
	t.Parallel()
	for kind, cfg := range map[string]TableConfig{"copy on write": protoConfig, "merge on read, version 9": version9(protoMergeConfig())} {
		for name, fault := range faults {
			t.Run(kind+", "+name, func(t *testing.T) {
				t.Parallel()
				fault.Ops = opsOf(name)
				for fault.N = 0; sweepShared(t, cfg, fault); fault.N += stride(3) {
					if t.Failed() {
						t.Fatalf("at call %d", fault.N)
					}
				}
				t.Logf("%d faults", fault.N/stride(3))
			})
		}
	}
}

// sweepShared lets an owner commit with a fault, and another go on; it reports whether the fault came.
func sweepShared(t *testing.T, cfg TableConfig, fault storagetest.Fault) (fired bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		mem := sweepStore(t)
		store := storagetest.FailNth(mem, fault)
		drive := func(store storage.Store, owner string, goal int64) error {
			w, err := acquireShared(t.Context(), store, cfg, owner)
			for err == nil && w.Head().Offsets[protoStream][0] < goal {
				from := w.Head().Offsets[protoStream][0]
				err = settled(t.Context(), w, func() (*CommitResult, error) { return w.Commit(t.Context(), request(cfg, from, from+2)) })
			}
			return err
		}
		err := drive(store, "a", 4)
		for range 3 {
			if err != nil && !fault.Down {
				err = drive(store, "again", 4)
			}
		}
		if err != nil && !fault.Down {
			t.Errorf("one fault cannot be overcome: %v", err)
		}
		fired = store.Fired()
		if _, err := Open(t.Context(), mem); err == nil {
			checkState(t, mem)
		}
		time.Sleep(2 * reservationLife) // the lock and the reservations of a dead owner end
		if err := drive(mem, "b", 6); err != nil {
			t.Errorf("successor: %v", err)
		}
		if got := checkState(t, mem); got != 6 {
			t.Errorf("ends at %d", got)
		}
		if left := append(keysIn(t, mem, meta.TempFolder), keysIn(t, mem, heartbeatFolder)...); len(left) > 0 {
			t.Errorf("call %d: %v are left; %v, %v", fault.N, left, err, keysIn(t, mem, ""))
		}
		time.Sleep(heartbeatAfterlife)
	})
	return fired
}

// TestLockHeld: an attempt waits for the lock as long as its caller does, then it is undone.
func TestLockHeld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := storage.NewMem()
		w := mustAcquireShared(t, store, protoConfig)
		commitOf(t, w, protoRequest(0, 2))
		other, err := lock.New(store, lock.Options{Owner: "spark"})
		if err != nil {
			t.Fatal(err)
		}
		lease, err := other.TryAcquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var held *lock.HeldError
		if _, err := w.Commit(ctx, protoRequest(2, 4)); !errors.As(err, &held) || held.Owner != "spark" {
			t.Errorf("got %v", err)
		}
		if got := checkState(t, store); got != 2 {
			t.Errorf("ends at %d", got)
		}
		time.AfterFunc(time.Minute, func() {
			if err := lease.Release(t.Context()); err != nil {
				t.Error(err)
			}
		})
		commitOf(t, w, protoRequest(2, 4))
		if left := append(keysIn(t, store, meta.TempFolder), keysIn(t, store, heartbeatFolder)...); len(left) > 0 {
			t.Errorf("%v are left", left)
		}
	})
}
