package hudi

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storagetest"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// undoCase is a table and what takes it back to one of its commits.
type undoCase struct {
	base     *storage.Mem
	instants []timeline.Instant // of all commits, ascending
	to       int                // the commit that becomes the last one
	offset   int64              // where the stream stands then
	cfg      TableConfig
	run      func(context.Context, *Writer) (*RestoreResult, error)
	action   timeline.Action
	stride   int // of sweeps over its calls
}

// undoCases are a restore to a savepoint that a clean and an archive passed by, one over a compaction, and rollbacks of the newest commit.
func undoCases(t *testing.T) map[string]undoCase {
	t.Helper()
	cow, cowInstants := servicesTable(t, 5)
	w := acquire(t, cow, "setup")
	if _, err := w.Savepoint(t.Context(), cowInstants[3], "ops", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Clean(t.Context(), CleanOptions{Retain: 2}); err != nil {
		t.Fatal(err)
	}
	mor, morInstants := servicesMergeTable(t, protoMergeConfig()) // compacted before the sixth of eight commits, so its index is 6
	mor9, mor9Instants := servicesMergeTable(t, version9(protoMergeConfig()))
	rollback := func(newest timeline.Instant) func(context.Context, *Writer) (*RestoreResult, error) {
		return func(ctx context.Context, w *Writer) (*RestoreResult, error) { return w.Rollback(ctx, newest) }
	}
	restore := func(to timeline.Instant) func(context.Context, *Writer) (*RestoreResult, error) {
		return func(ctx context.Context, w *Writer) (*RestoreResult, error) {
			return w.Restore(ctx, RestoreOptions{To: to})
		}
	}
	return map[string]undoCase{
		"restore, copy on write":  {cow, cowInstants, 3, 6, protoConfig, restore(cowInstants[3]), timeline.Restore, stride(5)},
		"restore, merge on read":  {mor, morInstants, 5, 10, protoMergeConfig(), restore(morInstants[5]), timeline.Restore, stride(7)},
		"rollback, copy on write": {cow, cowInstants, 4, 8, protoConfig, rollback(cowInstants[5]), timeline.Rollback, stride(5)},
		"rollback, merge on read": {mor, morInstants, 8, 14, protoMergeConfig(), rollback(morInstants[9]), timeline.Rollback, stride(9)},
		"restore, version 9":      {mor9, mor9Instants, 5, 10, version9(protoMergeConfig()), restore(mor9Instants[5]), timeline.Restore, stride(11)},
		"rollback, version 9":     {mor9, mor9Instants, 8, 14, version9(protoMergeConfig()), rollback(mor9Instants[9]), timeline.Rollback, stride(9)},
	}
}

func (c undoCase) acquire(ctx context.Context, store storage.Store, owner string, more ...Option) (*Writer, error) {
	opts := protoOptions()
	opts[1] = WithIDs(namedIDs(owner))
	table, err := Open(ctx, store, append(opts, more...)...)
	if err != nil {
		return nil, err
	}
	return table.Acquire(ctx, owner)
}

// acquireCalls are how many calls to the store opening and acquiring a table takes. Who is paused after them has become the owner.
func (c undoCase) acquireCalls(t *testing.T, base storage.Store) int {
	t.Helper()
	p := newPausing(copyOf(t, base), -1)
	if _, err := c.acquire(t.Context(), p, "counted"); err != nil {
		t.Fatal(err)
	}
	return p.calls
}

func (c undoCase) serve(ctx context.Context, store storage.Store, owner string) error {
	w, err := c.acquire(ctx, store, owner)
	if err != nil {
		return err
	}
	_, err = c.run(ctx, w)
	if errors.Is(err, ErrUnknownOutcome) {
		_, err = w.Resolve(ctx)
	}
	return err
}

// states are the rows as of each commit that a reader may see while the undo goes on.
func (c undoCase) states(t *testing.T) [][]string {
	t.Helper()
	var states [][]string
	for _, i := range c.instants[c.to:] {
		states = append(states, rowsAsOf(t, c.base, i))
	}
	return states
}

// settled checks a table after the undo: it reads as of the commit, before and after the next commits, and nothing is left of the others.
func (c undoCase) settled(t *testing.T, store storage.Store) {
	t.Helper()
	if got, want := rowsAsOf(t, store, ""), rowsAsOf(t, c.base, c.instants[c.to]); !slices.Equal(got, want) {
		t.Errorf("rows %v, want %v", got, want)
	}
	w, err := c.acquire(t.Context(), store, "next", WithClock(func() time.Time { return protoStart.Add(2 * reservationLife) }))
	if err != nil {
		t.Fatal(err)
	}
	head := w.Head()
	if head.Offsets[protoStream][0] != c.offset || head.Instant != c.instants[c.to] || head.Watermark.UnixMilli() != c.offset {
		t.Errorf("HEAD is at %v of %s, watermark %s", head.Offsets, head.Instant, head.Watermark)
	}
	tl, err := w.table.Timeline(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	done := 0
	for _, e := range tl.Entries() {
		if e.State != timeline.Completed || e.Action.Writes() && e.Instant > c.instants[c.to] {
			t.Errorf("%s is left", e.FileName())
		}
		if e.Action == c.action {
			done++
		}
	}
	if done != 1 {
		t.Errorf("%d of %s on the timeline", done, c.action)
	}
	for _, key := range dataFiles(t, store) {
		if at := instantOf(key); at > c.instants[c.to] {
			t.Errorf("%s is left", key)
		}
	}
	if left := keysIn(t, store, meta.TempFolder); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
	for range 2 {
		req := protoRequest(c.offset, c.offset+4)
		if c.cfg.Type == MergeOnRead {
			req.Operation = Upsert
		}
		if _, err := w.Commit(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		c.offset += 4
		checkRows(t, store, c.offset)
	}
}

// checkRows checks that a reader sees the row of each offset before next, once. Unlike checkState it allows for cleaned files.
func checkRows(t *testing.T, store storage.Store, next int64) {
	t.Helper()
	var want []string
	for o := range next {
		want = append(want, protoKey(o))
	}
	slices.Sort(want)
	if got := rowsAsOf(t, store, ""); !slices.Equal(got, want) {
		t.Errorf("rows %v, want those of %d offsets", got, next)
	}
}

// TestUndo: commits are taken back with the offsets, once, whatever is repeated.
func TestUndo(t *testing.T) {
	t.Parallel()
	for name, c := range undoCases(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := copyOf(t, c.base)
			w, err := c.acquire(t.Context(), store, "a")
			if err != nil {
				t.Fatal(err)
			}
			result, err := c.run(t.Context(), w)
			if err != nil {
				t.Fatal(err)
			}
			var undone []timeline.Instant
			for _, e := range result.Undone {
				undone = append(undone, e.Instant)
			}
			slices.Reverse(undone)
			if result.Instant == "" || result.To != c.instants[c.to] || !slices.Equal(undone, c.instants[c.to+1:]) {
				t.Errorf("result %+v", result)
			}
			for range 2 {
				if again, err := c.run(t.Context(), w); err != nil || again.Instant != "" || again.To != result.To {
					t.Errorf("once more: %+v, %v", again, err)
				}
				if w, err = c.acquire(t.Context(), store, "b"); err != nil {
					t.Fatal(err)
				}
			}
			c.settled(t, store)
		})
	}
}

// TestUndoSweep fails every call of an undo in every way. Readers always see one of the commits; after the next run it is the right one.
func TestUndoSweep(t *testing.T) {
	t.Parallel()
	for name, c := range undoCases(t) {
		states := c.states(t)
		for kind, fault := range faults {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				fault.Ops = opsOf(kind)
				for fault.N = 0; ; fault.N += c.stride {
					mem := copyOf(t, c.base)
					store := storagetest.FailNth(mem, fault)
					err := c.serve(t.Context(), store, "a")
					if !store.Fired() {
						if err != nil || fault.N < 3 {
							t.Fatalf("after %d calls: %v", fault.N, err)
						}
						t.Logf("%d faults", fault.N/c.stride)
						return
					}
					oneOf(t, mem, states)
					if !fault.Down && err != nil { // what one fault left undone a second try does
						if err := c.serve(t.Context(), store, "a2"); err != nil {
							t.Errorf("call %d: one fault cannot be overcome: %v", fault.N, err)
						}
					}
					if err := c.serve(t.Context(), mem, "b"); err != nil {
						t.Errorf("call %d: next run: %v", fault.N, err)
					}
					c.settled(t, mem)
					if t.Failed() {
						t.Fatalf("at call %d", fault.N)
					}
				}
			})
		}
	}
}

// oneOf checks that a table reads as of one of its commits.
func oneOf(t *testing.T, store storage.Store, states [][]string) {
	t.Helper()
	got := rowsAsOf(t, store, "")
	if !slices.ContainsFunc(states, func(s []string) bool { return slices.Equal(s, got) }) {
		t.Errorf("rows %v are those of no commit", got)
	}
}

// TestUndoRecoverySweep kills an undo at each of its writes, and then the successor at each of its own.
func TestUndoRecoverySweep(t *testing.T) {
	t.Parallel()
	for name, c := range undoCases(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			states := c.states(t)
			for n := 0; ; n += stride(7) {
				left := copyOf(t, c.base)
				first := storagetest.FailNth(left, storagetest.Fault{N: n, Ops: storagetest.Writes, After: true, Down: true, Err: storagetest.ErrDown})
				_ = c.serve(t.Context(), first, "a")
				if !first.Fired() {
					return
				}
				for m := n % stride(9); ; m += stride(9) {
					mem := copyOf(t, left)
					second := storagetest.FailNth(mem, storagetest.Fault{N: m, Ops: storagetest.Writes, After: m%2 == 0, Down: true, Err: storagetest.ErrDown})
					_ = c.serve(t.Context(), second, "b")
					if !second.Fired() {
						break
					}
					oneOf(t, mem, states)
					if err := c.serve(t.Context(), mem, "c"); err != nil {
						t.Error(err)
					}
					c.settled(t, mem)
					if t.Failed() {
						t.Fatalf("first at write %d, second at write %d", n, m)
					}
				}
			}
		})
	}
}

// TestUndoZombie pauses an owner before each call of his undo while a successor acquires the table, goes on from where he finds it, and the
// first wakes up: what the successor committed stays.
func TestUndoZombie(t *testing.T) {
	t.Parallel()
	for name, c := range undoCases(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			decided, first := 0, c.acquireCalls(t, c.base)
			for n := first; ; n++ {
				store := copyOf(t, c.base)
				p := newPausing(store, n)
				ended, paused := start(t, p, "old", func(ctx context.Context, store storage.Store, owner string, _ []Option) error {
					return c.serve(ctx, store, owner)
				})
				if !paused {
					if err := <-ended; err != nil || decided == 0 || decided == n-first {
						t.Fatalf("%d of %d pauses were after the decision: %v", decided, n, err)
					}
					return
				}
				w, err := c.acquire(t.Context(), store, "new")
				if err != nil {
					t.Fatalf("call %d: %v", n, err)
				}
				from := w.Head().Offsets[protoStream][0]
				if from == c.offset {
					decided++
				}
				req := protoRequest(from, from+3)
				if c.cfg.Type == MergeOnRead {
					req.Operation = Upsert
				}
				if _, err := w.Commit(t.Context(), req); err != nil {
					t.Fatalf("call %d: commit: %v", n, err)
				}
				close(p.release)
				// An owner that was paused between its look at HEAD and at the timeline may find that its call makes no sense any more.
				if err := <-ended; err != nil && !errors.Is(err, ErrFenced) && !errors.Is(err, ErrNotCommitted) && !errors.Is(err, ErrInvalid) {
					t.Errorf("call %d: old owner: %v", n, err)
				}
				checkRows(t, store, from+3)
				if _, err := c.acquire(t.Context(), store, "third"); err != nil {
					t.Errorf("call %d: third: %v", n, err)
				}
				if checkRows(t, store, from+3); t.Failed() {
					t.Fatalf("at call %d", n)
				}
			}
		})
	}
}

// TestUndoneComesBack pauses a writer before each call of a commit; a successor settles it and undoes it where it was decided. The first wakes up
// and may put its commit on the timeline again: the next owner takes it off.
func TestUndoneComesBack(t *testing.T) {
	t.Parallel()
	for kind, cfg := range protoTypes {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			back, c, base := 0, undoCase{cfg: cfg}, storage.NewMem()
			if err := firstCommits(t.Context(), base, cfg, "setup", 0, 8); err != nil {
				t.Fatal(err)
			}
			for n := c.acquireCalls(t, base); ; n++ {
				store := copyOf(t, base)
				p := newPausing(store, n)
				ended, paused := start(t, p, "old", func(ctx context.Context, store storage.Store, owner string, _ []Option) error {
					return firstCommits(ctx, store, cfg, owner, 8, 12)
				})
				if !paused {
					if err := <-ended; err != nil || back == 0 {
						t.Fatalf("%d undone commits came back: %v", back, err)
					}
					return
				}
				w, err := c.acquire(t.Context(), store, "new")
				if err != nil {
					t.Fatal(err)
				}
				if head := w.Head(); head.Offsets[protoStream][0] == 12 {
					if _, err := w.Rollback(t.Context(), head.Instant); err != nil {
						t.Fatalf("call %d: %v", n, err)
					}
				}
				close(p.release)
				<-ended
				table, err := Open(t.Context(), store, protoOptions()...)
				if err != nil {
					t.Fatal(err)
				}
				tl, err := table.Timeline(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if last := tl.Commits()[len(tl.Commits())-1]; last.Instant > w.Head().Instant {
					back++
				}
				if _, err := c.acquire(t.Context(), store, "third"); err != nil {
					t.Fatal(err)
				}
				if got := checkState(t, store); got != 8 {
					t.Fatalf("call %d: the newest commit ends at %d", n, got)
				}
				if err := firstCommits(t.Context(), store, cfg, "fourth", 8, 12); err != nil || checkState(t, store) != 12 {
					t.Fatalf("call %d: %v", n, err)
				}
			}
		})
	}
}

// firstCommits commits the offsets from..next, four at a time.
func firstCommits(ctx context.Context, store storage.Store, cfg TableConfig, owner string, from, next int64) error {
	opts := protoOptions()
	opts[1] = WithIDs(namedIDs(owner))
	table, err := Create(ctx, store, cfg, opts...)
	if err != nil {
		return err
	}
	w, err := table.Acquire(ctx, owner)
	if err != nil {
		return err
	}
	for ; from < next; from += 4 {
		req := protoRequest(from, from+4)
		if cfg.Type == MergeOnRead {
			req.Operation = Upsert
		}
		if _, err := w.Commit(ctx, req); err != nil {
			return err
		}
	}
	return nil
}

// TestUndoRefuses: what cannot be gone back to is refused before anything changes.
func TestUndoRefuses(t *testing.T) {
	t.Parallel()
	base, instants := servicesTable(t, 7)
	w := acquire(t, base, "setup")
	if _, err := w.Savepoint(t.Context(), instants[3], "ops", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Clean(t.Context(), CleanOptions{Retain: 2}); err != nil {
		t.Fatal(err)
	}
	restoreTo := func(i timeline.Instant) func(*Writer) error {
		return func(w *Writer) error {
			_, err := w.Restore(t.Context(), RestoreOptions{To: i})
			return err
		}
	}
	var unsupported *UnsupportedError
	for name, tc := range map[string]struct {
		prepare func(storage.Store)
		run     func(*Writer) error
		is      func(error) bool
	}{
		"a savepoint is later": {nil, restoreTo(instants[2]), isErr(ErrInvalid)},
		"cleaned":              {nil, restoreTo(instants[4]), isErr(ErrTimeTravel)},
		"archived":             {nil, restoreTo("20200101000000000"), isErr(ErrTimeTravel)},
		"no commit":            {nil, restoreTo(instants[6] + "9"), isErr(ErrInvalid)},
		"no instant":           {nil, restoreTo(""), func(err error) bool { return err != nil }},
		"not the newest": {nil, func(w *Writer) error {
			_, err := w.Rollback(t.Context(), instants[6])
			return err
		}, isErr(ErrInvalid)},
		"another engine is writing": {func(s storage.Store) {
			put(t, s, timeline.Entry{Instant: "29990101000000000", Action: timeline.Commit, State: timeline.Requested}.Key(), nil)
		}, restoreTo(instants[3]), func(err error) bool { return errors.As(err, &unsupported) }},
		"a savepoint's file is gone": {func(s storage.Store) {
			for _, key := range dataFiles(t, s) {
				if strings.Contains(key, string(instants[3])) {
					if err := s.Delete(t.Context(), key); err != nil {
						t.Fatal(err)
					}
				}
			}
		}, restoreTo(instants[3]), isErr(ErrTimeTravel)},
	} {
		t.Run(name, func(t *testing.T) {
			store := copyOf(t, base)
			w := acquire(t, store, "a")
			if tc.prepare != nil {
				tc.prepare(store)
			}
			before := contents(t, store)
			head := w.Head()
			if err := tc.run(w); !tc.is(err) {
				t.Errorf("got %v", err)
			}
			if after := contents(t, store); !maps.Equal(before, after) || w.Head().WriteID != head.WriteID {
				t.Error("the table changed")
			}
		})
	}
}

func isErr(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }

// contents are the ETags of all objects.
func contents(t *testing.T, store storage.Store) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for info, err := range store.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		all[info.Key] = info.ETag
	}
	return all
}

// TestRollbackOfCleanedSlice: a commit whose predecessor's files were cleaned by versions cannot be rolled back.
func TestRollbackOfCleanedSlice(t *testing.T) {
	t.Parallel()
	store, instants := servicesTable(t, 7)
	w := acquire(t, store, "a")
	if _, err := w.Clean(t.Context(), CleanOptions{Policy: CleanByVersions, Retain: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Rollback(t.Context(), instants[7]); !errors.Is(err, ErrTimeTravel) {
		t.Errorf("got %v", err)
	}
}

// TestRestoreFiles: the files on the timeline are as Hudi leaves them.
func TestRestoreFiles(t *testing.T) {
	t.Parallel()
	store, instants := servicesTable(t, 6)
	w := acquire(t, store, "a")
	dry, err := w.Restore(t.Context(), RestoreOptions{To: instants[4], DryRun: true})
	if err != nil || dry.Instant != "" || len(dry.Undone) != 2 {
		t.Fatalf("dry run: %+v, %v", dry, err)
	}
	var waited []int64
	result, err := w.Restore(t.Context(), RestoreOptions{To: instants[4], Pace: paceFunc(func(bytes int64) { waited = append(waited, bytes) })})
	if err != nil {
		t.Fatal(err)
	}
	if len(waited) != 4 || slices.Contains(waited, 0) {
		t.Errorf("waited for files of %v bytes", waited)
	}
	e := timeline.Entry{Instant: result.Instant, Action: timeline.Restore}
	read := func(s timeline.State) []byte {
		data, _, err := store.Get(t.Context(), e.In(s).Key())
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	plan, err := meta.ParseRestorePlan(read(timeline.Requested))
	if err != nil {
		t.Fatal(err)
	}
	infos := []meta.InstantInfo{{CommitTime: string(instants[6]), Action: "commit"}, {CommitTime: string(instants[5]), Action: "commit"}}
	if !slices.Equal(plan.InstantsToRollback, infos) || *plan.To != string(instants[4]) || *plan.Version != meta.RestoreVersion {
		t.Errorf("plan %+v", plan)
	}
	if len(read(timeline.Inflight)) != 0 {
		t.Error("the inflight file is not empty")
	}
	done, err := meta.ParseRestoreMetadata(read(timeline.Completed))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(done.RestoreInstantInfo, infos) || done.StartRestoreTime != string(result.Instant) || len(done.Rollbacks) != 2 {
		t.Errorf("metadata %+v", done)
	}
	for _, info := range infos {
		if r := done.Rollbacks[info.CommitTime]; len(r) != 1 || r[0].TotalFilesDeleted != 2 || r[0].InstantsRollback[0] != info {
			t.Errorf("rollbacks of %s: %+v", info.CommitTime, r)
		}
	}
}

type paceFunc func(bytes int64)

func (f paceFunc) Wait(_ context.Context, bytes int64) error {
	f(bytes)
	return nil
}

// TestRestoreForeignCommit: a commit of another engine is undone too, and gone back to; the progress is that of the newest commit of this
// library that stays.
func TestRestoreForeignCommit(t *testing.T) {
	t.Parallel()
	store, instants := servicesTable(t, 3)
	foreign := foreignCommit(t, store, "29991231000000000", timeline.Commit, nil)
	later := foreignCommit(t, store, "29991231000000001", timeline.Commit, nil)
	w := acquire(t, store, "a")
	if _, err := w.Restore(t.Context(), RestoreOptions{To: foreign}); err != nil {
		t.Fatal(err)
	}
	if head := w.Head(); head.Offsets[protoStream][0] != 6 || head.Instant != foreign {
		t.Errorf("HEAD %+v", head)
	}
	if _, err := w.Commit(t.Context(), protoRequest(6, 8)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Restore(t.Context(), RestoreOptions{To: instants[2]}); err != nil {
		t.Fatal(err)
	}
	tl, err := w.table.Timeline(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if head := w.Head(); head.Offsets[protoStream][0] != 4 || len(tl.Commits()) != 3 || !slices.Contains(head.Undone, later) {
		t.Errorf("HEAD %+v, commits %v", head, tl.Commits())
	}
	if got := checkState(t, store); got != 4 {
		t.Errorf("ends at %d", got)
	}
}

// foreignCommit puts a commit of another engine on the timeline.
func foreignCommit(
	t *testing.T, store storage.Store, instant timeline.Instant, action timeline.Action, stats map[string][]meta.WriteStat,
) timeline.Instant {
	t.Helper()
	if stats == nil {
		stats = map[string][]meta.WriteStat{}
	}
	c := meta.Commit{PartitionToWriteStats: stats, OperationType: meta.OperationUpsert, ExtraMetadata: map[string]string{meta.SchemaKey: protoSchema}}
	data, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	e := timeline.Entry{Instant: instant, Action: action, State: timeline.Completed}
	for _, s := range []timeline.State{timeline.Requested, timeline.Inflight} {
		put(t, store, e.In(s).Key(), nil)
	}
	put(t, store, e.Key(), data)
	return instant
}

// TestRestoreWaits: a pace that ends leaves a decided restore, which the next owner finishes.
func TestRestoreWaits(t *testing.T) {
	t.Parallel()
	store, instants := servicesTable(t, 5)
	w := acquire(t, store, "a")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	result, err := w.Restore(ctx, RestoreOptions{To: instants[2], Pace: endingPace{errors.New("shutting down")}})
	if err == nil || result == nil || result.Instant == "" {
		t.Fatalf("%+v, %v", result, err)
	}
	acquire(t, store, "b")
	if got := checkState(t, store); got != 4 {
		t.Errorf("ends at %d", got)
	}
}

type endingPace struct{ err error }

func (p endingPace) Wait(context.Context, int64) error { return p.err }
