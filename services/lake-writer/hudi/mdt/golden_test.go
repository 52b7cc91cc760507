package mdt

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

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// goldenTables are the packed tables, with the instant of their last write.
var goldenTables = map[string]string{
	"v6-cow-015-meta": "20261123045816899", "v6-mor-015-meta": "20261123045246558", "v6-mor-12-meta": "20261123050317523",
	"v8-mor-102-meta": "20261123051613136", "v9-cow-12-meta": "20261123051032618", "v9-mor-12-meta": "20261123050824289",
}

// unpack reads a packed table: content by key.
func unpack(tb testing.TB, name string) map[string][]byte {
	tb.Helper()
	packed, err := os.ReadFile("testdata/" + name + ".tar.gz")
	if err != nil {
		tb.Fatal(err)
	}
	zr, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		tb.Fatal(err)
	}
	contents := make(map[string][]byte)
	for r := tar.NewReader(zr); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return contents
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
		contents[strings.TrimPrefix(h.Name, name+"/")] = data
	}
}

// golden unpacks a table into a store of its own.
func golden(tb testing.TB, name string) storage.Store {
	tb.Helper()
	store := storage.NewMem()
	for key, data := range unpack(tb, name) {
		put(tb, store, key, data)
	}
	return store
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

func files(tb testing.TB, store storage.Store) Listing {
	tb.Helper()
	l, err := Files(tb.Context(), store)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// TestGolden: the listing is what is stored, file by file. Replaced files that wait to be cleaned and, in version 6, the logs of a rolled back
// instant are in both; cleaned files, and in later versions rolled back ones, are in neither.
func TestGolden(t *testing.T) {
	t.Parallel()
	for name, newest := range goldenTables {
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
			objects := stored(t, store)
			if len(objects) != len(want) || l.Instant != newest {
				t.Errorf("%d partitions stored, listing as of %s", len(objects), l.Instant)
			}
			for _, d := range Compare(l, objects) {
				t.Error(d)
			}
		})
	}
}
