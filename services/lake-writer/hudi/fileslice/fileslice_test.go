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
	if len(view.Slices[0].Logs) != 1 || view.Slices[0].Base.Size != 1 || len(view.Slices[1].Logs) != 0 {
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

func TestLogNames(t *testing.T) {
	t.Parallel()
	key := "dt=2026-01-01/hr=00/." + id0 + "_20261123045510285.log.12_1-9-1"
	f, err := fileslice.ParseLogKey(key)
	want := fileslice.LogFile{
		Partition: "dt=2026-01-01/hr=00", FileID: id0, Instant: "20261123045510285", Version: 12, Token: fileslice.Token{A: 1, B: 9, C: 1},
	}
	if err != nil || f != want || f.Key() != key {
		t.Errorf("ParseLogKey = %+v, %v", f, err)
	}
	for _, name := range []string{
		"", ".log.1", id0 + "_20261123045510285.log.1_1-0-1", "." + id0 + "_20261123045510285.log.1", "." + id0 + "_20261123045510285.log.0_1-0-1",
		"." + id0 + "_20261123045510285.log.01_1-0-1", "." + id0 + "_20261123045510285.log.1_1-0-1.cdc", "." + id0 + "_1.log.1_1-0-1",
		"." + id0 + "_20261123045510285.log.1_1-0", "." + id0 + "_20261123045510285.log.-1_1-0-1",
	} {
		if f, err := fileslice.ParseLogName(name); !errors.Is(err, fileslice.ErrLogName) {
			t.Errorf("ParseLogName(%q) = %+v, %v", name, f, err)
		}
	}
}

func TestLatestOfMergeOnRead(t *testing.T) {
	t.Parallel()
	tl := timeline.New([]string{
		"20260101000000000.deltacommit", "20260102000000000.commit", "20260103000000000.deltacommit", "20260104000000000.compaction.requested",
	})
	base := func(id, instant string) string { return "p/" + id + "_0-1-2_" + instant + ".parquet" }
	log := func(id, instant, version string) string { return "p/." + id + "_" + instant + ".log." + version }
	keys := []string{
		base(id0, "20260101000000000"), base(id0, "20260102000000000"), base(id0, "20260104000000000"),
		log(id0, "20260101000000000", "1_0-1-1"), log(id0, "20260102000000000", "10_0-1-1"), log(id0, "20260102000000000", "9_0-1-1"),
		log(id0, "20260104000000000", "1_0-1-1"), log(id0, "20260102000000000", "1_0-1-1") + ".cdc",
		log(id1, "20260101000000000", "2_0-1-1"), log(id1, "20260101000000000", "1_0-1-1"), "p/.x.log.y",
	}
	var objects []fileslice.Object
	for _, k := range keys {
		objects = append(objects, fileslice.Object{Key: k})
	}
	view := fileslice.Latest(objects, tl, nil)
	if len(view.Slices) != 2 || len(view.Dangling) != 1 || !slices.Equal(view.Unnamed, []string{"p/.x.log.y"}) {
		t.Fatalf("view %+v", view)
	}
	var got []string
	for _, s := range view.Slices {
		for _, l := range s.Logs {
			got = append(got, l.Key())
		}
	}
	if want := []string{keys[5], keys[4], keys[6], keys[9], keys[8]}; !slices.Equal(got, want) {
		t.Errorf("logs %q, want %q", got, want)
	}
	if s := view.Slices[0]; !s.HasBase || s.Base.Key() != keys[1] || s.FileID != id0 || s.Partition != "p" {
		t.Errorf("slice %+v", s)
	}
	if s := view.Slices[1]; s.HasBase || s.FileID != id1 {
		t.Errorf("slice without base file %+v", s)
	}
	before := fileslice.Latest(objects, tl.Until("20260101000000000"), nil)
	if s := before.Slices[0]; s.Base.Key() != keys[0] || len(s.Logs) != 1 {
		t.Errorf("as of the first commit: %+v", s)
	}
}

// TestLatestOfLayout2: a log is on top of the base files that were requested before its own instant completed.
func TestLatestOfLayout2(t *testing.T) {
	t.Parallel()
	const before, during, compaction, after, failed = timeline.Instant("20260101000000001"), timeline.Instant("20260101000000002"),
		timeline.Instant("20260101000000003"), timeline.Instant("20260101000000006"), timeline.Instant("20260101000000008")
	tl := timeline.NewLayout(timeline.Layout2, []string{
		"20260101000000000_20260101000000001.deltacommit", string(before) + "_20260101000000002.deltacommit",
		string(during) + "_20260101000000005.deltacommit", // while the compaction ran
		string(compaction) + "_20260101000000004.commit", string(after) + "_20260101000000007.deltacommit", string(failed) + ".deltacommit.inflight",
	})
	objects := []fileslice.Object{
		{Key: "p/" + id0 + "_0-1-2_20260101000000000.parquet"}, {Key: "p/" + id0 + "_0-1-2_" + string(compaction) + ".parquet"},
	}
	for _, i := range []timeline.Instant{before, during, after, failed} {
		objects = append(objects, fileslice.Object{Key: "p/." + id0 + "_" + string(i) + ".log.1_0-1-1"})
	}
	logs := func(view fileslice.View) (instants []timeline.Instant) {
		for _, l := range view.Slices[0].Logs {
			instants = append(instants, l.Instant)
		}
		return instants
	}
	view := fileslice.Latest(objects, tl, nil)
	if got := logs(view); !slices.Equal(got, []timeline.Instant{during, after}) || view.Slices[0].Base.Instant != compaction {
		t.Errorf("logs %v on %s", got, view.Slices[0].Base.Instant)
	}
	if len(view.DanglingLogs) != 1 || view.DanglingLogs[0].Instant != failed {
		t.Errorf("dangling %v", view.DanglingLogs)
	}
	if got := logs(fileslice.Latest(objects, tl.Until(during), nil)); !slices.Equal(got, []timeline.Instant{before, during}) {
		t.Errorf("as of the second: logs %v", got)
	}
	// When what came before the compaction is archived, only the history tells one from the other.
	late := timeline.NewLayout(timeline.Layout2, []string{string(compaction) + "_20260101000000004.commit"})
	if got := logs(fileslice.Latest(objects[:4], late, nil)); len(got) != 0 {
		t.Errorf("without the history: logs %v", got)
	}
	late = late.WithArchived(map[timeline.Instant]timeline.Instant{during: "20260101000000005"})
	if got := logs(fileslice.Latest(objects[:4], late, nil)); !slices.Equal(got, []timeline.Instant{during}) {
		t.Errorf("with the history: logs %v", got)
	}
}

// FuzzParseLogKey: a key that parses is the key that is written.
func FuzzParseLogKey(f *testing.F) {
	f.Add("dt=2026-01-01/hr=00/." + id0 + "_20261123045510285.log.1_1-9-1")
	f.Add("._20261123045510.log.9_0-0-0")
	f.Fuzz(func(t *testing.T, key string) {
		if file, err := fileslice.ParseLogKey(key); err == nil && file.Key() != key {
			t.Errorf("%q became %q", key, file.Key())
		}
	})
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
