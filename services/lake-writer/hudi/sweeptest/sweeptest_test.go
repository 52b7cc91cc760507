package sweeptest_test

import (
	"fmt"
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
		"mem": {17, func(*testing.T, string) storage.Store { return storage.NewMem() }},
		"dir": {61, func(t *testing.T, name string) storage.Store { // which waits for the disk at every put
			store, err := storage.NewDir(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			return store
		}},
	} {
		for _, version := range []int{hudi.Version6, hudi.Version9} {
			for _, kind := range []hudi.TableType{hudi.CopyOnWrite, hudi.MergeOnRead} {
				t.Run(fmt.Sprintf("%s, version %d, %s", name, version, kind), func(t *testing.T) {
					t.Parallel()
					o := sweeptest.Options{Type: kind, Version: version, Kinds: sweeptest.Kinds(), Stride: store.stride}
					sweeptest.Run(t, o, store.open)
				})
			}
		}
	}
}
