package storagetest_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storagetest"
)

func TestFailNth(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fault storagetest.Fault
		want  []string // objects after three puts
		errs  []bool
	}{
		{"before", storagetest.Fault{N: 1, Err: storagetest.ErrRetryable}, []string{"0", "2"}, []bool{false, true, false}},
		{"after", storagetest.Fault{N: 1, After: true, Err: storage.ErrUnknownOutcome}, []string{"0", "1", "2"}, []bool{false, true, false}},
		{"down", storagetest.Fault{N: 1, Down: true, Err: storage.ErrUnknownOutcome}, []string{"0"}, []bool{false, true, true}},
		{"other kind", storagetest.Fault{N: 0, Ops: []storagetest.Op{storagetest.Delete}, Err: storagetest.ErrDown}, []string{"0", "1", "2"}, []bool{false, false, false}},
		{"not reached", storagetest.Fault{N: 3, Err: storagetest.ErrDown}, []string{"0", "1", "2"}, []bool{false, false, false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			mem := storage.NewMem()
			f := storagetest.FailNth(mem, c.fault)
			fired := false
			for i, key := range []string{"0", "1", "2"} {
				_, err := f.Put(t.Context(), key, nil, storage.Condition{})
				if (err != nil) != c.errs[i] {
					t.Errorf("put %d: %v", i, err)
				}
				fired = fired || err != nil
			}
			if got := storagetest.ListKeys(t, mem, ""); !slices.Equal(got, c.want) {
				t.Errorf("objects %q, want %q", got, c.want)
			}
			if f.Fired() != fired {
				t.Errorf("Fired() = %v", f.Fired())
			}
		})
	}
}

func TestFailNthPassesEveryMethod(t *testing.T) {
	t.Parallel()
	storagetest.Conformance(t, func(*testing.T) storage.Store {
		return storagetest.FailNth(storage.NewMem(), storagetest.Fault{N: -1, Err: errors.New("never")})
	})
}
