package timeline_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

func TestLayouts(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]timeline.Layout{"": timeline.Layout1, "1": timeline.Layout1, "2": timeline.Layout2} {
		got, err := timeline.ParseLayout(version)
		if err != nil || got != want || version != "" && got.String() != version {
			t.Errorf("ParseLayout(%q) = %s, %v", version, got, err)
		}
	}
	if l, err := timeline.ParseLayout("3"); !errors.Is(err, timeline.ErrLayout) {
		t.Errorf("layout 3: %v, %v", l, err)
	}
	if timeline.Layout1.Folder() != timeline.Folder || timeline.Layout1.Prefix() != timeline.Prefix || timeline.Layout2.Prefix() != ".hoodie/timeline/2" {
		t.Error("folders and prefixes of the layouts")
	}
}

func TestFileNamesOfLayout2(t *testing.T) {
	t.Parallel()
	const begin, end = timeline.Instant("20261123050722102"), timeline.Instant("20261123050738350")
	for name, want := range map[string]timeline.Entry{
		"20261123050722102_20261123050738350.commit":        {Action: timeline.Commit, State: timeline.Completed, Completion: end},
		"20261123050722102_20261123050738350.deltacommit":   {Action: timeline.DeltaCommit, State: timeline.Completed, Completion: end},
		"20261123050722102_20261123050738350.replacecommit": {Action: timeline.ReplaceCommit, State: timeline.Completed, Completion: end},
		"20261123050722102_20261123050738350.savepoint":     {Action: timeline.Savepoint, State: timeline.Completed, Completion: end},
		"20261123050722102.commit":                          {Action: timeline.Commit, State: timeline.Completed}, // kept by an upgrade
		"20261123050722102.commit.requested":                {Action: timeline.Commit, State: timeline.Requested},
		"20261123050722102.inflight":                        {Action: timeline.Commit, State: timeline.Inflight},
		"20261123050722102.clustering.requested":            {Action: timeline.Clustering, State: timeline.Requested},
		"20261123050722102.clustering.inflight":             {Action: timeline.Clustering, State: timeline.Inflight},
		"20261123050722102.compaction.inflight":             {Action: timeline.Compaction, State: timeline.Inflight},
	} {
		want.Instant, want.Layout = begin, timeline.Layout2
		got, ok := timeline.Layout2.ParseFileName(name)
		if !ok || got != want || got.FileName() != name || got.Key() != ".hoodie/timeline/"+name {
			t.Errorf("%q is %+v, %v", name, got, ok)
		}
		if pending := got.In(timeline.Requested); pending.Completion != "" {
			t.Errorf("%q requested has completed at %s", name, pending.Completion)
		}
	}
	for _, name := range []string{
		"20261123050722102_20261123050738350.clustering", "20261123050722102_20261123050738350.compaction", "20261123050722102_.commit",
		"20261123050722102_20261123050738350.commit.requested", "20261123050722102_20261123050738350.inflight", "20261123050722102_x.commit",
		"_20261123050738350.commit", "20261123050722102_20261123050738350_20261123050738350.commit", "history", "_version_",
	} {
		if e, ok := timeline.Layout2.ParseFileName(name); ok {
			t.Errorf("%q is %+v", name, e)
		}
	}
	if e, ok := timeline.Layout1.ParseFileName("20261123050722102.clustering.requested"); ok {
		t.Errorf("clustering in layout 1: %+v", e)
	}
	clustering := timeline.Entry{Instant: begin, Action: timeline.Clustering, State: timeline.Completed, Layout: timeline.Layout2, Completion: end}
	if got := clustering.FileName(); got != "20261123050722102_20261123050738350.replacecommit" {
		t.Errorf("a completed clustering is %s", got)
	}
}

func TestTimelineOfLayout2(t *testing.T) {
	t.Parallel()
	const (
		pendingDelta = timeline.Instant("20260101000000002") // older than a completed write
		compacted    = timeline.Instant("20260101000000003")
		clustered    = timeline.Instant("20260101000000004")
		upgraded     = timeline.Instant("20260101000000005")
		rolledBack   = timeline.Instant("20260101000000006")
	)
	tl := timeline.NewLayout(timeline.Layout2, []string{
		"20260101000000002.deltacommit.requested", "20260101000000002.deltacommit.inflight",
		"20260101000000003.compaction.requested", "20260101000000003.compaction.inflight",
		"20260101000000003_20260101000000019.commit", "20260101000000003_20260101000000009.commit", // twice: the earlier counts
		"20260101000000004.clustering.requested", "20260101000000004_20260101000000008.replacecommit",
		"20260101000000005.commit",
		"20260101000000006_20260101000000007.rollback",
		"history", "20260101000000003_20260101000000009_0.parquet",
	})
	if tl.Layout() != timeline.Layout2 || tl.Until(clustered).Layout() != timeline.Layout2 {
		t.Error("the timeline lost its layout")
	}
	if got := tl.Pending(); len(got) != 1 || got[0].Instant != pendingDelta || got[0].State != timeline.Inflight {
		t.Errorf("pending %+v", got)
	}
	var commits []timeline.Instant
	for _, e := range tl.Commits() {
		commits = append(commits, e.Instant)
	}
	if !slices.Equal(commits, []timeline.Instant{compacted, clustered, upgraded}) {
		t.Errorf("commits %s", commits)
	}
	for i, want := range map[timeline.Instant]timeline.Instant{
		compacted: "20260101000000009", clustered: "20260101000000008",
		upgraded: "", pendingDelta: "", rolledBack: "", "20250101000000000": "", "20270101000000000": "",
	} {
		if got, ok := tl.CompletionOf(i); got != want || ok != (want != "") {
			t.Errorf("CompletionOf(%s) = %s, %v", i, got, ok)
		}
	}
	for i, want := range map[timeline.Instant]bool{
		"20260101000000001": true, compacted: true, clustered: true, upgraded: true,
		pendingDelta: false, rolledBack: false, "20270101000000000": false,
	} {
		if got := tl.Committed(i); got != want {
			t.Errorf("Committed(%s) = %v", i, got)
		}
	}
	if e, ok := tl.Find(clustered, timeline.Clustering); !ok || e.State != timeline.Completed || e.Completion != "20260101000000008" {
		t.Errorf("find: %+v, %v", e, ok)
	}
}

// TestPendingBeforeTheFirstCommit: in layout 1 an instant before the first completed write counts as archived, as in Hudi; in layout 2 one
// that the timeline shows as pending does not.
func TestPendingBeforeTheFirstCommit(t *testing.T) {
	t.Parallel()
	names := []string{"20260101000000001.deltacommit.inflight", "20260101000000002.deltacommit"}
	if !timeline.New(names).Committed("20260101000000001") {
		t.Error("layout 1")
	}
	if timeline.NewLayout(timeline.Layout2, names).Committed("20260101000000001") {
		t.Error("layout 2")
	}
	if timeline.NewLayout(timeline.Layout2, nil).Committed("20260101000000001") {
		t.Error("an empty timeline has commits")
	}
}

// FuzzParseFileNameOfLayout2: a name that parses is the name that is written, and both times are times of the calendar.
func FuzzParseFileNameOfLayout2(f *testing.F) {
	for _, seed := range []string{
		"20261123050722102_20261123050738350.commit", "20261123050722102.inflight", "20261123050722102.clustering.requested",
		"20261123050722102.commit", "2_2.", "20261123050722102_20261123050738350.commit.inflight",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		e, ok := timeline.Layout2.ParseFileName(name)
		if !ok {
			return
		}
		if e.FileName() != name {
			t.Errorf("%q became %q", name, e.FileName())
		}
		for _, i := range []timeline.Instant{e.Instant, e.Completion} {
			if _, err := i.Time(); err != nil && i != "" {
				t.Errorf("%q: %v", name, err)
			}
		}
	})
}
