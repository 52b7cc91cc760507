package sweeptest_test

import (
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/sweeptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestStores sweeps over the stores of the library.
func TestStores(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, store := range map[string]struct {
		stride int
		open   func(t *testing.T, name string) storage.Store
	}{
		"mem": {5, func(*testing.T, string) storage.Store { return storage.NewMem() }},
		"dir": {31, func(t *testing.T, name string) storage.Store { // which waits for the disk at every put
			store, err := storage.NewDir(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			return store
		}},
	} {
		for _, kind := range []hudi.TableType{hudi.CopyOnWrite, hudi.MergeOnRead} {
			t.Run(name+", "+string(kind), func(t *testing.T) {
				t.Parallel()
				sweeptest.Run(t, sweeptest.Options{Type: kind, Kinds: sweeptest.Kinds(), Stride: store.stride}, store.open)
			})
		}
	}
}
