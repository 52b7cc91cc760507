package fileslice_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

const (
	id0 = "00000000-e79a-4264-a3cb-ff154ee5ee9c-0"
	id1 = "00000001-06c7-4803-9715-a5e815c1ba86-0"
)

func TestNames(t *testing.T) {
	t.Parallel()
	key := "dt=2026-01-01/hr=00/" + id0 + "_0-40-55_20261123045510285.parquet"
	f, err := fileslice.ParseKey(key)
	want := fileslice.BaseFile{
		Partition: "dt=2026-01-01/hr=00", FileID: id0, Token: fileslice.Token{A: 0, B: 40, C: 55}, Instant: "20261123045510285",
	}
	if err != nil || f != want || f.Key() != key {
		t.Errorf("ParseKey = %+v, %v", f, err)
	}
	for _, name := range []string{
		"", ".parquet", "a.parquet", "__.parquet", id0 + "_0-40-55_20261123045510285.orc", id0 + "_0-40_20261123045510285.parquet",
		id0 + "_0-40-055_20261123045510285.parquet", "a.b_0-1-2_20261123045510285.parquet", id0 + "_0-1-2_20261323045510285.parquet",
		"." + id0 + "_20261123045510285.log.1_0-1-2", ".hoodie_partition_metadata", "a_b_0-1-2_20261123045510285.parquet",
	} {
		if f, err := fileslice.ParseName(name); !errors.Is(err, fileslice.ErrName) {
			t.Errorf("ParseName(%q) = %+v, %v", name, f, err)
		}
	}
}

func TestLatest(t *testing.T) {
	t.Parallel()
	tl := timeline.New([]string{"20260102000000000.commit", "20260103000000000.inflight", "20260104000000000.commit", "20260105000000000.rollback"})
	key := func(partition, id, instant string) string {
		return partition + "/" + id + "_0-1-2_" + instant + ".parquet"
	}
	old, current := key("p", id0, "20260101000000000"), key("p", id0, "20260102000000000")
	pending, orphan, other := key("p", id0, "20260103000000000"), key("p", id1, "20260103120000000"), key("q", id1, "20260104000000000")
	gone := key("r", id1, "20260102000000000")
	objects := []fileslice.Object{{Key: "p/.hoodie_partition_metadata", Size: 96}, {Key: "p/." + id0 + "_20260102000000000.log.1_0-1-2", Size: 5}}
	for n, k := range []string{old, current, pending, orphan, other, gone} {
		objects = append(objects, fileslice.Object{Key: k, Size: int64(n)})
	}
	view := fileslice.Latest(objects, tl, map[string][]string{"r": {id1}})
	var got []string
	for _, s := range view.Slices {
		got = append(got, s.Base.Key())
	}
	if want := []string{current, other}; !slices.Equal(got, want) {
		t.Errorf("slices %q, want %q", got, want)
	}
	if view.Slices[0].Logs != 1 || view.Slices[0].Base.Size != 1 || view.Slices[1].Logs != 0 {
		t.Errorf("slices %+v", view.Slices)
	}
	var dangling []string
	for _, f := range view.Dangling {
		dangling = append(dangling, f.Key())
	}
	if want := []string{pending, orphan}; !slices.Equal(dangling, want) {
		t.Errorf("dangling %q, want %q", dangling, want)
	}
	if before := fileslice.Latest(objects, tl.Until("20260102000000000"), nil); len(before.Slices) != 2 || before.Slices[1].Base.Key() != gone {
		t.Errorf("as of the first commit: %+v", before.Slices)
	}
}

// FuzzParseKey: a key that parses is the key that is written.
func FuzzParseKey(f *testing.F) {
	f.Add("dt=2026-01-01/hr=00/" + id0 + "_0-40-55_20261123045510285.parquet")
	f.Add(id1 + "_9223372036854775807-0-0_20261123045510.parquet")
	f.Add("/_0-0-0_20261123045510.parquet")
	f.Fuzz(func(t *testing.T, key string) {
		if file, err := fileslice.ParseKey(key); err == nil && file.Key() != key {
			t.Errorf("%q became %q", key, file.Key())
		}
	})
}
