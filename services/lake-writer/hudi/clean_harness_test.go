package hudi

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storagetest"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// The tests of the table services work on tables of the protocol tests: rows are JSON.

// servicesTable is a table of n commits of two rows each, which take turns in writing to two of its four file groups. It returns the
// instants of the commits; the first is the creation.
func servicesTable(t *testing.T, n int) (*storage.Mem, []timeline.Instant) {
	t.Helper()
	store := storage.NewMem()
	w := acquire(t, store, "setup")
	instants := []timeline.Instant{w.Head().Instant}
	for i := range int64(n) {
		result, err := w.Commit(t.Context(), protoRequest(2*i, 2*i+2))
		if err != nil {
			t.Fatal(err)
		}
		instants = append(instants, result.Instant)
	}
	return store, instants
}

// servicesMergeTable is a merge-on-read table of 8 commits that was compacted before the sixth. It returns the instants of all commits.
func servicesMergeTable(t *testing.T, cfg TableConfig) (*storage.Mem, []timeline.Instant) {
	t.Helper()
	store := storage.NewMem()
	table, err := Create(t.Context(), store, cfg, protoOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	w, err := table.Acquire(t.Context(), "setup")
	if err != nil {
		t.Fatal(err)
	}
	instants := []timeline.Instant{w.Head().Instant}
	for i := range int64(8) {
		if i == 5 {
			result, err := w.Compact(t.Context(), CompactOptions{})
			if err != nil || result == nil {
				t.Fatalf("compact: %+v, %v", result, err)
			}
			instants = append(instants, result.Instant)
		}
		req := protoRequest(2*i, 2*i+2)
		req.Operation = Upsert
		result, err := w.Commit(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		instants = append(instants, result.Instant)
	}
	return store, instants
}

// acquire creates or opens the table and becomes its owner.
func acquire(t *testing.T, store storage.Store, owner string) *Writer {
	t.Helper()
	w, err := acquireFrom(t.Context(), store, owner)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func acquireFrom(ctx context.Context, store storage.Store, owner string) (*Writer, error) {
	opts := protoOptions()
	opts[1] = WithIDs(namedIDs(owner))
	table, err := Open(ctx, store, opts...)
	if errors.Is(err, ErrNotFound) {
		table, err = Create(ctx, store, protoConfig, opts...)
	}
	if err != nil {
		return nil, err
	}
	return table.Acquire(ctx, owner)
}

// rowsAsOf are the keys of the rows that a reader of an instant sees; "" is now.
func rowsAsOf(t *testing.T, store storage.Store, asOf timeline.Instant) []string {
	t.Helper()
	table, err := Open(t.Context(), store, protoOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	v, err := table.View(t.Context(), asOf, nil)
	if err != nil {
		t.Fatalf("view as of %q: %v", asOf, err)
	}
	for _, key := range v.Missing {
		t.Errorf("as of %q %s is missing", asOf, key)
	}
	var seen []string
	for _, s := range v.Slices {
		rows, err := protoRows(t.Context(), store, s.Base.Key())
		for _, l := range s.Logs {
			logged, logErr := protoRows(t.Context(), store, l.Key())
			rows, err = append(rows, protoCommitted(logged, v.Timeline)...), errors.Join(err, logErr)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			seen = append(seen, r.Key)
		}
	}
	slices.Sort(seen)
	return seen
}

// keysIn are the keys of a store that begin with a prefix.
func keysIn(t *testing.T, store storage.Store, prefix string) []string {
	t.Helper()
	var keys []string
	for info, err := range store.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

// dataFiles are the keys of the data files.
func dataFiles(t *testing.T, store storage.Store) []string {
	t.Helper()
	return slices.DeleteFunc(keysIn(t, store, ""), func(key string) bool {
		_, err := fileslice.ParseKey(key)
		_, logErr := fileslice.ParseLogKey(key)
		return strings.HasPrefix(key, timeline.Folder) || err != nil && logErr != nil
	})
}

// put writes an object.
func put(t *testing.T, store storage.Store, key string, data []byte) {
	t.Helper()
	if _, err := store.Put(t.Context(), key, data, storage.Condition{}); err != nil {
		t.Fatal(err)
	}
}

// sweepService fails call N of a service, for every N and in every way. Whatever happens, each reader of the instants of before sees the
// same rows; a run without faults then comes to the end, which done judges.
func sweepService(t *testing.T, base storage.Store, readable []timeline.Instant, run func(context.Context, *Writer) error, done func(*testing.T, storage.Store)) {
	t.Helper()
	before := make(map[timeline.Instant][]string)
	for _, instant := range append(readable, "") {
		before[instant] = rowsAsOf(t, base, instant)
	}
	same := func(t *testing.T, store storage.Store) {
		t.Helper()
		for instant, want := range maps.All(before) {
			if got := rowsAsOf(t, store, instant); !slices.Equal(got, want) {
				t.Errorf("rows as of %q are %v, were %v", instant, got, want)
			}
		}
	}
	serve := func(ctx context.Context, store storage.Store) error {
		w, err := acquireFrom(ctx, store, "a")
		if err != nil {
			return err
		}
		return run(ctx, w)
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fault.Ops = opsOf(name)
			for fault.N = 0; ; fault.N++ {
				mem := copyOf(t, base)
				store := storagetest.FailNth(mem, fault)
				err := serve(t.Context(), store)
				if !store.Fired() {
					if err != nil || fault.N < 3 {
						t.Fatalf("after %d calls: %v", fault.N, err)
					}
					t.Logf("%d faults", fault.N)
					return
				}
				same(t, mem)
				if !fault.Down && err != nil { // what one fault left undone a second try does
					if err := serve(t.Context(), store); err != nil {
						t.Errorf("call %d: one fault cannot be overcome: %v", fault.N, err)
					}
				}
				if err := serve(t.Context(), mem); err != nil {
					t.Errorf("call %d: next run: %v", fault.N, err)
				}
				same(t, mem)
				done(t, mem)
				if t.Failed() {
					t.Fatalf("at call %d", fault.N)
				}
			}
		})
	}
}

// asService makes a table service what start can pause: an owner that acquires the table and runs it.
func asService(run func(context.Context, *Writer) error) func(context.Context, storage.Store, string, []Option) error {
	return func(ctx context.Context, store storage.Store, owner string, _ []Option) error {
		w, err := acquireFrom(ctx, store, owner)
		if err != nil {
			return err
		}
		return run(ctx, w)
	}
}
