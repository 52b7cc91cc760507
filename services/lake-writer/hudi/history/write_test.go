package history_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/history"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storagetest"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// TestAppendWritesAsHudi: what Hudi archived, archived by Append, is the same tree: names, manifest, Parquet schema and footer keys.
func TestAppendWritesAsHudi(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"v8-mor-102", "v9-mor-12", "v9-cow-12"} {
		golden := goldenStore(t, table)
		all, err := readAll(t.Context(), golden)
		if err != nil {
			t.Fatal(err)
		}
		store := storage.NewMem()
		backwards := slices.Clone(all)
		slices.Reverse(backwards)
		key, err := history.Append(t.Context(), store, history.Folder, backwards)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := keys(t, store), keys(t, golden); !slices.Equal(got, want) || !slices.Contains(got, key) {
			t.Errorf("%s: objects %q, Hudi has %q; appended %s", table, got, want, key)
		}
		if got, err := readAll(t.Context(), store); err != nil || !slices.EqualFunc(got, all, equal) {
			t.Errorf("%s: read %q, %v", table, names(got), err)
		}
		ours, theirs := get(t, store, key), get(t, golden, key)
		for _, name := range []string{"manifest_1", "_version_"} {
			want := get(t, golden, history.Folder+name)
			want = bytes.Replace(want, fmt.Appendf(nil, `"fileLen" : %d`, len(theirs)), fmt.Appendf(nil, `"fileLen" : %d`, len(ours)), 1)
			if got := get(t, store, history.Folder+name); !bytes.Equal(got, want) {
				t.Errorf("%s: %s\n%s\nHudi has\n%s", table, name, got, want)
			}
		}
		if got, want := shape(t, ours), shape(t, theirs); got != want {
			t.Errorf("%s: file\n%s\nHudi has\n%s", table, got, want)
		}
	}
}

// shape is what a file's footer says of columns and writer, values and encodings aside.
func shape(t *testing.T, data []byte) string {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)), parquet.SkipPageIndex(true))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	m := f.Metadata()
	for _, e := range m.Schema {
		fmt.Fprintf(&b, "%+v\n", e)
	}
	for _, c := range m.RowGroups[0].Columns {
		fmt.Fprintln(&b, c.MetaData.PathInSchema, c.MetaData.Codec, c.MetaData.NumValues, c.MetaData.Statistics.NullCount)
	}
	var footer []string
	for _, kv := range m.KeyValueMetadata {
		footer = append(footer, kv.Key+" = "+kv.Value)
	}
	slices.Sort(footer)
	return b.String() + strings.Join(footer, "\n")
}

func equal(a, b history.Instant) bool {
	return a.Instant == b.Instant && a.Completion == b.Completion && a.Action == b.Action && bytes.Equal(a.Metadata, b.Metadata) && bytes.Equal(a.Plan, b.Plan)
}

func keys(t testing.TB, store storage.Store) (list []string) {
	t.Helper()
	for info, err := range store.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, info.Key)
	}
	return list
}

func get(t testing.TB, store storage.Store, key string) []byte {
	t.Helper()
	data, _, err := store.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// batchOf are n instants from a number on.
func batchOf(from, n int) (batch []history.Instant) {
	for i := from; i < from+n; i++ {
		batch = append(batch, history.Instant{
			Instant: at(i), Completion: at(i) + "9", Action: timeline.DeltaCommit, Metadata: fmt.Appendf(nil, "commit %d", i), Plan: []byte("plan"),
		})
	}
	return batch
}

func TestAppendTwice(t *testing.T) {
	t.Parallel()
	store := storage.NewMem()
	batch := append(batchOf(1, 3), history.Instant{Instant: at(2), Action: timeline.Savepoint}, batchOf(3, 1)[0]) // one of them twice
	first, err := history.Append(t.Context(), store, history.Folder, batch)
	if err != nil {
		t.Fatal(err)
	}
	before := keys(t, store)
	second, err := history.Append(t.Context(), store, history.Folder, batch)
	if err != nil || second != first || !slices.Equal(keys(t, store), before) {
		t.Errorf("again: %s, then %s, %v; objects %q", first, second, err, keys(t, store))
	}
	batch[1].Metadata = []byte("other") // of the same instants, so that the file's name is taken
	third, err := history.Append(t.Context(), store, history.Folder, batch)
	if err != nil || third == first || path.Base(third) != fmt.Sprintf("%s_%s_1.parquet", at(1), at(3)) {
		t.Errorf("other content: %s, %v", third, err)
	}
	if all, err := readAll(t.Context(), store); err != nil || len(all) != 4 {
		t.Errorf("history %q, %v", names(all), err)
	}
}

func TestAppendRefuses(t *testing.T) {
	t.Parallel()
	for what, batch := range map[string][]history.Instant{
		"nothing":    nil,
		"no time":    {{Instant: "2026", Action: timeline.Commit}},
		"no action":  {{Instant: at(1)}},
		"completion": {{Instant: at(1), Completion: "x", Action: timeline.Commit}},
	} {
		store := storage.NewMem()
		if key, err := history.Append(t.Context(), store, history.Folder, batch); !errors.Is(err, history.ErrInstants) || len(keys(t, store)) > 0 {
			t.Errorf("%s: %q, %v", what, key, err)
		}
	}
}

// TestCompact: a history of many batches has few files, of rising levels, few manifests, and every instant.
func TestCompact(t *testing.T) {
	t.Parallel()
	store := storage.NewMem()
	const batches, merge = 60, 3
	merged := 0
	for i := range batches {
		if _, err := history.Append(t.Context(), store, history.Folder, batchOf(10*i, 12)); err != nil { // two of them are in the next, too
			t.Fatal(err)
		}
		result, err := history.Compact(t.Context(), store, history.Folder, history.CompactOptions{Files: merge})
		if err != nil {
			t.Fatal(err)
		}
		merged += len(result.Merged)
		if n := len(keys(t, store)); n > 40 {
			t.Fatalf("%d objects after %d batches: %q", n, i+1, keys(t, store))
		}
	}
	all, err := readAll(t.Context(), store)
	if err != nil || len(all) != 10*batches+2 {
		t.Fatalf("%d instants, %v", len(all), err)
	}
	for i, want := range batchOf(0, len(all)) {
		if !equal(all[i], want) {
			t.Fatalf("instant %d is %+v", i, all[i])
		}
	}
	// 60 batches are 20 of level 1, of which 18 became 6 of level 2, and those 2 of level 3.
	counts := make(map[string]int)
	for _, f := range current(t, store).Files {
		counts[f.Name[strings.LastIndexByte(f.Name, '_')+1:]]++
	}
	if want := map[string]int{"1.parquet": 2, "3.parquet": 2}; merged != 28 || fmt.Sprint(counts) != fmt.Sprint(want) {
		t.Errorf("%d merges, files %v, want %v", merged, counts, want)
	}
}

// current is the manifest that counts.
func current(t testing.TB, store storage.Store) *history.Manifest {
	t.Helper()
	m, err := history.ParseManifest(get(t, store, history.Folder+"manifest_"+string(get(t, store, history.Folder+"_version_"))))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestCompactKeepsLargeFiles: what is large already is not merged again, and a merged file is not larger than was asked for.
func TestCompactKeepsLargeFiles(t *testing.T) {
	t.Parallel()
	store := storage.NewMem()
	const limit = 100 << 10
	for i := range 12 {
		batch := batchOf(10*i, 1)
		batch[0].Metadata = noise(i, 20<<10)
		if i == 0 {
			batch[0].Metadata = noise(i, 60<<10)
		}
		if _, err := history.Append(t.Context(), store, history.Folder, batch); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if _, err := history.Compact(t.Context(), store, history.Folder, history.CompactOptions{Files: 4, MaxBytes: limit}); err != nil {
			t.Fatal(err)
		}
	}
	files := current(t, store).Files
	if len(files) >= 12 || files[0].Name != fmt.Sprintf("%s_%s_0.parquet", at(0), at(0)) {
		t.Errorf("files %+v", files)
	}
	for _, f := range files {
		if f.Size > limit {
			t.Errorf("%s has %d bytes", f.Name, f.Size)
		}
	}
	if all, err := readAll(t.Context(), store); err != nil || len(all) != 12 {
		t.Errorf("%d instants, %v", len(all), err)
	}
}

var writeFaults = map[string]storagetest.Fault{
	"refused":           {Err: storagetest.ErrRetryable},
	"unknown, not done": {Err: storage.ErrUnknownOutcome, Ops: storagetest.Writes},
	"unknown, done":     {Err: storage.ErrUnknownOutcome, Ops: storagetest.Writes, After: true},
	"died before":       {Err: storagetest.ErrDown, Down: true},
	"died after":        {Err: storagetest.ErrDown, Down: true, After: true},
}

var small = history.CompactOptions{Files: 2}

// archive appends batches of two instants, compacting after each, and returns how many batches were acknowledged.
func archive(ctx context.Context, store storage.Store, from, n int) (done int, err error) {
	for i := range n {
		if _, err := history.Append(ctx, store, history.Folder, batchOf(2*(from+i), 2)); err != nil {
			return i, err
		}
		if _, err := history.Compact(ctx, store, history.Folder, small); err != nil {
			return i + 1, err
		}
	}
	return n, nil
}

// TestEveryCallFails fails call N of a history's life for all N: what was acknowledged is there, what is there is whole, the next writer
// goes on, and afterwards no file lies about that nobody needs.
func TestEveryCallFails(t *testing.T) {
	t.Parallel()
	const batches = 6
	for name, fault := range writeFaults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for fault.N = 0; ; fault.N++ {
				mem := storage.NewMem()
				failing := storagetest.FailNth(mem, fault)
				done, err := archive(t.Context(), failing, 0, batches)
				if !failing.Fired() {
					if err != nil || fault.N < 20 {
						t.Fatalf("%d calls: %v", fault.N, err)
					}
					return
				}
				all, readErr := readAll(t.Context(), mem)
				if readErr != nil || len(all) != 2*done && len(all) != 2*done+2 {
					t.Fatalf("call %d failed: %d batches acknowledged, %v; %q, %v", fault.N, done, err, names(all), readErr)
				}
				if _, err := archive(t.Context(), mem, done, batches-done+4); err != nil {
					t.Fatalf("call %d failed: going on: %v", fault.N, err)
				}
				checkTree(t, mem, 2*(batches+4), fmt.Sprintf("call %d failed", fault.N))
			}
		})
	}
}

// checkTree checks that a history has the first n instants, and no files but those that its manifests name.
func checkTree(t *testing.T, store storage.Store, n int, when string) {
	t.Helper()
	all, err := readAll(t.Context(), store)
	if err != nil || !slices.EqualFunc(all, batchOf(0, n), equal) {
		t.Fatalf("%s: %d instants %q, %v", when, n, names(all), err)
	}
	named := make(map[string]bool)
	manifests := 0
	for _, key := range keys(t, store) {
		if name := path.Base(key); strings.HasPrefix(name, "manifest_") {
			manifests++
			m, err := history.ParseManifest(get(t, store, key))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range m.Files {
				named[f.Name] = true
			}
		}
	}
	for _, key := range keys(t, store) {
		if name := path.Base(key); strings.HasSuffix(name, ".parquet") && !named[name] {
			t.Errorf("%s: %s is named by no manifest: %q", when, name, keys(t, store))
		}
	}
	if manifests > 8 {
		t.Errorf("%s: %d manifests", when, manifests)
	}
}

// interrupted is a store that does something before its call n.
type interrupted struct {
	storage.Store
	n, calls int
	do       func()
}

func (s *interrupted) call() {
	if s.calls++; s.calls-1 == s.n {
		s.do()
	}
}

func (s *interrupted) Get(ctx context.Context, key string) ([]byte, storage.Info, error) {
	s.call()
	return s.Store.Get(ctx, key)
}

func (s *interrupted) Put(ctx context.Context, key string, data []byte, cond storage.Condition) (storage.Info, error) {
	s.call()
	return s.Store.Put(ctx, key, data, cond)
}

func (s *interrupted) List(ctx context.Context, prefix string) iter.Seq2[storage.Info, error] {
	s.call()
	return s.Store.List(ctx, prefix)
}

func (s *interrupted) Delete(ctx context.Context, key string) error {
	s.call()
	return s.Store.Delete(ctx, key)
}

// TestPausedWriters: a writer is paused before each of its calls, and meanwhile others sweep what it has written, or archive so much that
// its version is swept. Nothing that either was told is archived is lost.
func TestPausedWriters(t *testing.T) {
	t.Parallel()
	for what, work := range map[string]func(ctx context.Context, store storage.Store) error{
		"append": func(ctx context.Context, store storage.Store) error {
			_, err := history.Append(ctx, store, history.Folder, batchOf(6, 2))
			return err
		},
		"compact": func(ctx context.Context, store storage.Store) error {
			_, err := history.Compact(ctx, store, history.Folder, small)
			if storage.Classify(err) == storage.Precondition || storage.Classify(err) == storage.NotExist { // others were faster
				err = nil
			}
			if err == nil {
				_, err = history.Append(ctx, store, history.Folder, batchOf(6, 2))
			}
			return err
		},
	} {
		for _, others := range []int{0, 1, 6} {
			for n := 0; ; n++ {
				mem := storage.NewMem()
				for i := range 3 {
					if _, err := history.Append(t.Context(), mem, history.Folder, batchOf(2*i, 2)); err != nil {
						t.Fatal(err)
					}
				}
				store := &interrupted{Store: mem, n: n, do: func() {
					if _, err := history.Compact(t.Context(), mem, history.Folder, history.CompactOptions{}); err != nil {
						t.Fatal(err)
					}
					if _, err := archive(t.Context(), mem, 4, others); err != nil {
						t.Fatal(err)
					}
				}}
				if err := work(t.Context(), store); err != nil {
					t.Fatalf("%s paused before call %d: %v", what, n, err)
				}
				if store.calls <= n {
					if n < 4 {
						t.Fatalf("%s has %d calls", what, n)
					}
					break
				}
				if _, err := archive(t.Context(), mem, 4+others, 5); err != nil {
					t.Fatal(err)
				}
				checkTree(t, mem, 2*(4+others+5), fmt.Sprintf("%s paused before call %d for %d batches", what, n, others))
			}
		}
	}
}

// FuzzAppend: whatever an instant holds is read back.
func FuzzAppend(f *testing.F) {
	f.Add("commit", []byte("Obj\x01"), []byte(nil), uint16(1))
	f.Add("", []byte{0}, []byte("plan"), uint16(300))
	f.Fuzz(func(t *testing.T, action string, metadata, plan []byte, n uint16) {
		var batch []history.Instant
		for i := range int(n%400) + 1 {
			batch = append(batch, history.Instant{Instant: at(i), Action: timeline.Action(action), Metadata: metadata, Plan: plan})
		}
		store := storage.NewMem()
		_, err := history.Append(t.Context(), store, history.Folder, batch)
		if errors.Is(err, history.ErrInstants) && action == "" {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if all, err := readAll(t.Context(), store); err != nil || !slices.EqualFunc(all, batch, equal) {
			t.Errorf("read %d of %d instants, %v", len(all), len(batch), err)
		}
	})
}
