package history_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/history"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storagetest"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

func TestMalformedHistories(t *testing.T) {
	t.Parallel()
	for what, spoil := range map[string]func(t *testing.T, store storage.Store){
		"version": func(t *testing.T, store storage.Store) { putBytes(t, store, "_version_", []byte("x")) },
		"no JSON": func(t *testing.T, store storage.Store) { putBytes(t, store, "manifest_1", []byte("{")) },
		"foreign name": func(t *testing.T, store storage.Store) {
			putManifest(t, store, 1, history.ManifestFile{Name: "../../a", Size: 9})
		},
		"empty file": func(t *testing.T, store storage.Store) { putFile(t, store, nil) },
		"no Parquet": func(t *testing.T, store storage.Store) { putFile(t, store, bytes.Repeat([]byte("PAR1"), 9)) },
		"version of a row": func(t *testing.T, store storage.Store) {
			r := row(at(1), timeline.Commit, nil)
			r.Version = 2
			putRow(t, store, r)
		},
		"no action": func(t *testing.T, store storage.Store) {
			r := row(at(1), timeline.Commit, nil)
			r.Action = nil
			putRow(t, store, r)
		},
		"no instant": func(t *testing.T, store storage.Store) {
			r := row(at(1), timeline.Commit, nil)
			word := "20260101x000000000"
			r.CompletionTime = &word
			putRow(t, store, r)
		},
		"longer in the manifest": func(t *testing.T, store storage.Store) {
			f := put(t, store, 0, row(at(1), timeline.Commit, nil))
			f.Size++
			putManifest(t, store, 1, f)
		},
	} {
		store := storage.NewMem()
		putRow(t, store, row(at(1), timeline.Commit, nil))
		if all, err := readAll(t.Context(), store); err != nil || len(all) != 1 {
			t.Fatalf("unspoiled: %q, %v", names(all), err)
		}
		spoil(t, store)
		var file *history.FileError
		if all, err := readAll(t.Context(), store); !errors.Is(err, history.ErrMalformed) || !errors.As(err, &file) || file.Key == "" {
			t.Errorf("%s: %q, %v", what, names(all), err)
		}
	}
}

func putRow(t *testing.T, store storage.Store, r lsmRow) {
	t.Helper()
	putManifest(t, store, 1, put(t, store, 0, r))
}

func putFile(t testing.TB, store storage.Store, data []byte) {
	t.Helper()
	const name = "20261123050918040_20261123050943407_0.parquet"
	putBytes(t, store, name, data)
	manifest, err := json.Marshal(history.Manifest{Files: []history.ManifestFile{{Name: name, Size: int64(len(data))}}})
	if err != nil {
		t.Fatal(err)
	}
	putBytes(t, store, "manifest_1", manifest)
	putBytes(t, store, "_version_", []byte("1"))
}

// TestStoreErrors: whichever read fails, the error is the store's, by which a caller decides to try again, and the instants before it are
// right.
func TestStoreErrors(t *testing.T) {
	t.Parallel()
	store := storage.NewMem()
	var large []lsmRow
	for i := range 200 {
		large = append(large, row(at(100+i), timeline.Commit, noise(i, 32<<10)))
	}
	putManifest(t, store, 1, put(t, store, 0, row(at(1), timeline.Commit, nil), row(at(2), timeline.Commit, nil)), put(t, store, 0, large...))
	want, err := readAll(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; ; n++ {
		failing := storagetest.FailNth(store, storagetest.Fault{N: n, Err: storagetest.ErrRetryable})
		got, err := readAll(t.Context(), failing)
		if !failing.Fired() {
			if err != nil || len(got) != len(want) || n < 10 {
				t.Errorf("%d calls, of which none failed: %d instants, %v", n, len(got), err)
			}
			return
		}
		if storage.Classify(err) != storage.Retryable || errors.Is(err, history.ErrMalformed) {
			t.Errorf("call %d failed: %v", n, err)
		}
		for i := range got {
			if got[i].Instant != want[i].Instant {
				t.Errorf("call %d failed: instant %d is %s", n, i, got[i].Instant)
			}
		}
	}
}

// TestFileGone: a file that a concurrent compaction of the tree took away is told from damage.
func TestFileGone(t *testing.T) {
	t.Parallel()
	store := storage.NewMem()
	f := put(t, store, 0, row(at(1), timeline.Commit, nil))
	putManifest(t, store, 1, f)
	if err := store.Delete(t.Context(), history.Folder+f.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(t.Context(), store); !errors.Is(err, storage.ErrNotExist) || errors.Is(err, history.ErrMalformed) {
		t.Errorf("file gone: %v", err)
	}
}

// FuzzFile: bytes in the place of a data file give instants or an error, never a panic.
func FuzzFile(f *testing.F) {
	for _, pattern := range []string{"testdata/v8-mor-102/*.parquet", "testdata/v9-cow-12/*.parquet"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) != 1 {
			f.Fatal(paths, err)
		}
		data, err := os.ReadFile(paths[0])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		store := storage.NewMem()
		putFile(t, store, data)
		all, err := readAll(t.Context(), store)
		if err != nil && !errors.Is(err, history.ErrMalformed) {
			t.Errorf("%v", err)
		}
		for _, in := range all {
			if in.Instant == "" || in.Action == "" {
				t.Errorf("instant %+v", in)
			}
		}
	})
}

// FuzzParseManifest: what parses survives a round trip, and names files of the folder only.
func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(`{"files" : [ {"fileName" : "20261123050632281_20261123050711146_0.parquet", "fileLen" : 3831} ]}`))
	f.Add([]byte(`{"files":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := history.ParseManifest(data)
		if err != nil {
			return
		}
		for _, file := range m.Files {
			if filepath.Base(file.Name) != file.Name {
				t.Errorf("file %q", file.Name)
			}
		}
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := history.ParseManifest(text); err != nil || len(again.Files) != len(m.Files) {
			t.Errorf("%+v became %+v, %v", m, again, err)
		}
	})
}
