package mdt_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/mdt"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

var goldenTables = []string{"v6-cow-015-meta", "v6-mor-015-meta", "v6-mor-12-meta", "v8-mor-102-meta", "v9-cow-12-meta", "v9-mor-12-meta"}

// golden unpacks a table into a store of its own.
func golden(tb testing.TB, name string) storage.Store {
	tb.Helper()
	packed, err := os.ReadFile("testdata/" + name + ".tar.gz")
	if err != nil {
		tb.Fatal(err)
	}
	zr, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		tb.Fatal(err)
	}
	store := storage.NewMem()
	for r := tar.NewReader(zr); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return store
		}
		if err != nil {
			tb.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		data, err := io.ReadAll(r)
		if err != nil {
			tb.Fatal(err)
		}
		put(tb, store, strings.TrimPrefix(h.Name, name+"/"), data)
	}
}

func put(tb testing.TB, store storage.Store, key string, data []byte) {
	tb.Helper()
	if _, err := store.Put(tb.Context(), key, data, storage.Condition{}); err != nil {
		tb.Fatal(err)
	}
}

// stored are all data files of a table, whatever instant they belong to.
func stored(tb testing.TB, store storage.Store) map[string]map[string]int64 {
	tb.Helper()
	objects := make(map[string]map[string]int64)
	for info, err := range store.List(tb.Context(), "") {
		if err != nil {
			tb.Fatal(err)
		}
		partition, name := path.Split(info.Key)
		if strings.HasPrefix(info.Key, ".hoodie/") || name == ".hoodie_partition_metadata" {
			continue
		}
		partition = strings.TrimSuffix(partition, "/")
		if objects[partition] == nil {
			objects[partition] = make(map[string]int64)
		}
		objects[partition][name] = info.Size
	}
	return objects
}

func files(tb testing.TB, store storage.Store) mdt.Listing {
	tb.Helper()
	l, err := mdt.Files(tb.Context(), store)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for _, name := range goldenTables {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := golden(t, name)
			l := files(t, store)
			want := []string{"dt=2026-01-01/hr=00", "dt=2026-01-01/hr=01", "dt=2026-01-01/hr=02", "dt=2026-01-01/hr=03"}
			if !slices.Equal(l.Partitions, want) {
				t.Errorf("partitions %q", l.Partitions)
			}
			if len(l.Damaged) > 0 {
				t.Errorf("damaged %q", l.Damaged)
			}
			for _, d := range mdt.Compare(l, stored(t, store)) {
				t.Error(d)
			}
			t.Log(l.Instant)
		})
	}
}
