package hudi

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/internal/goldentest"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// TestVictims: of one group, which slices go under which policy.
func TestVictims(t *testing.T) {
	t.Parallel()
	const c1, c2, c3, c4, c5 = "20261124000000001", "20261124000000002", "20261124000000003", "20261124000000004", "20261124000000005"
	held := func(instants ...timeline.Instant) (s []heldSlice) {
		for _, i := range instants {
			s = append(s, heldSlice{i, []fileslice.Object{{Key: "p/" + string(i)}}})
		}
		return s
	}
	for name, tc := range map[string]struct {
		c    cleaner
		held []heldSlice
		want []string
	}{
		"by commits":                   {cleaner{earliest: c4}, held(c1, c2, c3, c4, c5), []string{c1, c2}},
		"no slice of the earliest":     {cleaner{earliest: c4}, held(c1, c2, c5), []string{c1}},
		"only the newest":              {cleaner{earliest: c4}, held(c1), nil},
		"newest is old":                {cleaner{earliest: c5}, held(c1, c2), []string{c1}},
		"savepoint":                    {cleaner{earliest: c5, savepoints: savepointOf(c1)}, held(c1, c2, c3, c5), []string{c2}},
		"replaced before the earliest": {cleaner{earliest: c5, replaced: replacedAt(c4)}, held(c1, c2), []string{c1, c2}},
		"replaced at the earliest":     {cleaner{earliest: c4, replaced: replacedAt(c4)}, held(c1, c2), nil},
		"replaced, in a savepoint":     {cleaner{earliest: c5, replaced: replacedAt(c4), savepoints: savepointOf(c2)}, held(c1, c2), []string{c1}},
		"written again after":          {cleaner{earliest: c5, replaced: replacedAt(c2)}, held(c1, c4), []string{c1}},
		"by versions":                  {cleaner{policy: CleanByVersions, retain: 2}, held(c1, c2, c3), []string{c1}},
		"by versions, few":             {cleaner{policy: CleanByVersions, retain: 4}, held(c1, c2, c3), nil},
		"by versions, replaced":        {cleaner{policy: CleanByVersions, retain: 4, replaced: replacedAt(c4)}, held(c1, c2), []string{c1, c2}},
		"by versions, with savepoint":  {cleaner{policy: CleanByVersions, retain: 1, savepoints: savepointOf(c1)}, held(c1, c2, c3), []string{c2}},
	} {
		if tc.c.savepoints == nil {
			tc.c.savepoints = &savepointed{}
		}
		var got []string
		for _, o := range tc.c.victims(fileGroup{"p", "f"}, tc.held) {
			got = append(got, path.Base(o.Key))
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v go, want %v", name, got, tc.want)
		}
	}
}

func savepointOf(name string) *savepointed {
	return &savepointed{files: map[string]map[string]bool{"p": {name: true}}}
}

func replacedAt(i timeline.Instant) map[fileGroup]timeline.Instant {
	return map[fileGroup]timeline.Instant{{"p", "f"}: i}
}

// TestEarliestRetained: what pending instants, hours and counts make of the first commit that stays readable.
func TestEarliestRetained(t *testing.T) {
	t.Parallel()
	var commits []timeline.Entry
	for hour := range 6 {
		commits = append(commits, timeline.Entry{Instant: timeline.At(protoStart.Add(time.Duration(hour) * time.Hour)), Action: timeline.Commit, State: timeline.Completed})
	}
	now := protoStart.Add(6 * time.Hour)
	for name, tc := range map[string]struct {
		o       CleanOptions
		barrier timeline.Instant
		want    int // index, -1 for none
	}{
		"two commits":               {CleanOptions{Retain: 2}, "", 4},
		"as many as there are":      {CleanOptions{Retain: 6}, "", -1},
		"pending after":             {CleanOptions{Retain: 2}, commits[5].Instant + "0", 4},
		"pending before":            {CleanOptions{Retain: 2}, timeline.At(protoStart.Add(150 * time.Minute)), 2},
		"pending before the second": {CleanOptions{Retain: 2}, timeline.At(protoStart.Add(30 * time.Minute)), -1},
		"three hours":               {CleanOptions{Policy: CleanByHours, Retain: 3}, "", 3},
		"a day":                     {CleanOptions{Policy: CleanByHours, Retain: 24}, "", -1},
		"all older":                 {CleanOptions{Policy: CleanByHours, Retain: 3}, "", 5},
	} {
		at := now
		if name == "all older" {
			at = now.Add(24 * time.Hour)
		}
		got, ok := earliestRetained(commits, tc.barrier, tc.o, at)
		if ok != (tc.want >= 0) || ok && got != commits[tc.want] {
			t.Errorf("%s: %v, %v; want number %d", name, got, ok, tc.want)
		}
	}
}

// TestHeldSlices: logs belong to the newest slice that their name allows; uncommitted base files belong to none.
func TestHeldSlices(t *testing.T) {
	t.Parallel()
	const c1, c2, pending, c4 = "20261124000000001", "20261124000000002", "20261124000000003", "20261124000000004"
	tl := timeline.New([]string{c1 + ".commit", c2 + ".commit", pending + ".compaction.requested", c4 + ".deltacommit"})
	objects := []fileslice.Object{
		{Key: "p/.f-0_" + c1 + ".log.1_0-1-0"},
		{Key: "p/.f-0_" + c2 + ".log.1_0-1-0"},
		{Key: "p/.f-0_" + pending + ".log.1_0-1-0"},
		{Key: "p/.g-0_" + c2 + ".log.1_0-1-0"},
		{Key: "p/f-0_0-1-0_" + c1 + ".parquet"},
		{Key: "p/f-0_0-1-0_" + c2 + ".parquet"},
		{Key: "p/f-0_0-1-0_" + pending + ".parquet"},
		{Key: "p/.hoodie_partition_metadata"},
		{Key: "p/note.txt"},
	}
	got := fmt.Sprint(heldSlices(objects, tl)[fileGroup{"p", "f-0"}])
	want := fmt.Sprint([]heldSlice{
		{c1, []fileslice.Object{objects[4], objects[0]}},
		{c2, []fileslice.Object{objects[5], objects[1], objects[2]}},
	})
	if got != want {
		t.Errorf("slices %v\nwant %v", got, want)
	}
	if got := heldSlices(objects, tl)[fileGroup{"p", "g-0"}]; len(got) != 1 || got[0].instant != c2 {
		t.Errorf("slices of a group without base file: %v", got)
	}
}

// TestClean: the files that go, what the timeline says of it, and that a second clean has nothing to do.
func TestClean(t *testing.T) {
	t.Parallel()
	store, instants := servicesTable(t, 8)
	w := acquire(t, store, "cleaner")
	all, rows := dataFiles(t, store), rowsAsOf(t, store, instants[7])
	o := CleanOptions{Retain: 2, DryRun: true}
	planned, err := w.Clean(t.Context(), o)
	if err != nil || planned.Instant != "" || !slices.Equal(dataFiles(t, store), all) {
		t.Fatalf("dry run: %+v, %v", planned, err)
	}
	o.DryRun = false
	result, err := w.Clean(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if result.Earliest != instants[7] || !slices.Equal(result.Files, planned.Files) || len(result.Files) != 8 || result.Bytes <= 0 {
		t.Errorf("cleaned %+v, planned %+v", result, planned)
	}
	left := slices.DeleteFunc(all, func(key string) bool { return slices.Contains(result.Files, key) })
	if got := dataFiles(t, store); !slices.Equal(got, left) {
		t.Errorf("left %v, want %v", got, left)
	}
	if got := rowsAsOf(t, store, instants[7]); !slices.Equal(got, rows) {
		t.Errorf("rows as of the earliest retained commit: %v, were %v", got, rows)
	}
	checkCleanFiles(t, store, result)
	again, err := w.Clean(t.Context(), o)
	if err != nil || again.Instant != "" || len(again.Files) != 0 {
		t.Errorf("again: %+v, %v", again, err)
	}
	next, err := w.Commit(t.Context(), protoRequest(16, 18))
	if err != nil || next.Instant <= result.Instant {
		t.Errorf("commit after: %+v, %v", next, err)
	}
}

// checkCleanFiles compares the three files of a clean with what Hudi writes: the golden clean has the same fields.
func checkCleanFiles(t *testing.T, store storage.Store, result *CleanResult) {
	t.Helper()
	e := timeline.Entry{Instant: result.Instant, Action: timeline.Clean}
	files := make(map[timeline.State][]byte)
	for _, state := range []timeline.State{timeline.Requested, timeline.Inflight, timeline.Completed} {
		data, _, err := store.Get(t.Context(), e.In(state).Key())
		if err != nil {
			t.Fatal(err)
		}
		files[state] = data
	}
	if !slices.Equal(files[timeline.Requested], files[timeline.Inflight]) {
		t.Error("the inflight file is no copy of the plan")
	}
	plan, err := meta.ParseCleanPlan(files[timeline.Requested])
	if err != nil {
		t.Fatal(err)
	}
	done, err := meta.ParseCleanMetadata(files[timeline.Completed])
	if err != nil {
		t.Fatal(err)
	}
	golden := goldentest.Files(t, "testdata/v6-cow-015.zip")
	hudiPlan, err := meta.ParseCleanPlan(golden[".hoodie/20261123045604961.clean.requested"])
	if err != nil {
		t.Fatal(err)
	}
	hudiDone, err := meta.ParseCleanMetadata(golden[".hoodie/20261123045604961.clean"])
	if err != nil {
		t.Fatal(err)
	}
	if plan.EarliestInstantToRetain.Action != "commit" || plan.EarliestInstantToRetain.State != hudiPlan.EarliestInstantToRetain.State ||
		plan.Policy != hudiPlan.Policy || *plan.Version != *hudiPlan.Version || len(*plan.FilesOld) != len(*hudiPlan.FilesOld) ||
		len(*plan.Partitions) != 0 || len(*plan.ExtraMetadata) != 0 || plan.LastCompletedCommit == "" {
		t.Errorf("plan %+v, Hudi's %+v", plan, hudiPlan)
	}
	if done.StartCleanTime != string(result.Instant) || done.TotalFilesDeleted != len(result.Files) || done.EarliestToRetain != string(result.Earliest) ||
		*done.Version != *hudiDone.Version || done.Bootstrap == nil || done.ExtraMetadata == nil || done.LastCompletedCommit != plan.LastCompletedCommit {
		t.Errorf("metadata %+v, Hudi's %+v", done, hudiDone)
	}
	var names []string
	for partition, p := range done.Partitions {
		for i, info := range (*plan.Files)[partition] {
			if *info.IsBootstrapBaseFile || path.Base(*info.FilePath) != p.DeletePathPatterns[i] {
				t.Errorf("plan of %s: %s, metadata: %s", partition, *info.FilePath, p.DeletePathPatterns[i])
			}
		}
		if p.PartitionPath != partition || p.Policy != plan.Policy || p.FailedDeleteFiles == nil || *p.IsPartitionDeleted ||
			!slices.Equal(p.DeletePathPatterns, p.SuccessDeleteFiles) {
			t.Errorf("metadata of %s: %+v", partition, p)
		}
		for _, name := range p.SuccessDeleteFiles {
			names = append(names, path.Join(partition, name))
		}
	}
	slices.Sort(names)
	if want := slices.Sorted(slices.Values(result.Files)); !slices.Equal(names, want) {
		t.Errorf("metadata names %v, want %v", names, want)
	}
}

// TestCleanSweep fails every call of a clean in every way.
func TestCleanSweep(t *testing.T) {
	t.Parallel()
	base, instants := servicesTable(t, 8)
	clean := func(ctx context.Context, w *Writer) error {
		_, err := w.Clean(ctx, CleanOptions{Retain: 3})
		return err
	}
	once := copyOf(t, base)
	if err := clean(t.Context(), acquire(t, once, "a")); err != nil {
		t.Fatal(err)
	}
	want := dataFiles(t, once)
	sweepService(t, base, instants[6:], clean, func(t *testing.T, store storage.Store) {
		if got := dataFiles(t, store); !slices.Equal(got, want) {
			t.Errorf("left %v, want %v", got, want)
		}
		for _, key := range keysIn(t, store, timeline.Prefix) {
			if at, found := strings.CutSuffix(key, ".clean.requested"); found {
				for _, suffix := range []string{".clean.inflight", ".clean"} {
					if _, err := store.Stat(t.Context(), at+suffix); err != nil {
						t.Errorf("clean is not complete: %v", err)
					}
				}
			}
		}
	})
}

// TestCleanIncremental: a clean lists only the partitions that were written to since the last one, and a full one all.
func TestCleanIncremental(t *testing.T) {
	t.Parallel()
	store, _ := servicesTable(t, 8)
	w := acquire(t, store, "cleaner")
	if _, err := w.Clean(t.Context(), CleanOptions{Retain: 1}); err != nil {
		t.Fatal(err)
	}
	// An older slice that nobody wrote, in a partition without commits since.
	first := dataFiles(t, store)[0]
	f, err := fileslice.ParseKey(first)
	if err != nil {
		t.Fatal(err)
	}
	f.Instant = timeline.At(protoStart.Add(-time.Hour))
	put(t, store, f.Key(), []byte("[]"))
	result, err := w.Clean(t.Context(), CleanOptions{Retain: 1})
	if err != nil || len(result.Files) != 0 {
		t.Errorf("incremental: %+v, %v", result, err)
	}
	result, err = w.Clean(t.Context(), CleanOptions{Retain: 1, Full: true})
	if err != nil || !slices.Equal(result.Files, []string{f.Key()}) {
		t.Errorf("full: %+v, %v; want %s", result, err, f.Key())
	}
}

// TestCleanOfHudi: a clean that Spark left pending is completed, whatever place it knows the table by, and its plan cannot take what is
// needed.
func TestCleanOfHudi(t *testing.T) {
	t.Parallel()
	store, instants := servicesTable(t, 8)
	files := dataFiles(t, store)
	newest := files[len(files)-1]
	at := timeline.Next(protoStart, instants[8])
	infos := make(map[string][]meta.CleanFileInfo)
	for _, key := range []string{files[0], newest, "day=0/note.txt"} {
		uri := "s3a://elsewhere/lake/" + key
		infos[path.Dir(key)] = append(infos[path.Dir(key)], meta.CleanFileInfo{FilePath: &uri})
	}
	plan := meta.CleanPlan{Policy: meta.CleanByCommits, Files: &infos}
	data, err := plan.Encode()
	if err != nil {
		t.Fatal(err)
	}
	put(t, store, "day=0/note.txt", nil)
	put(t, store, timeline.Folder+string(at)+".clean.requested", data)
	put(t, store, timeline.Folder+string(at)+".clean.inflight", nil) // as Hudi 1.2 writes it
	empty := timeline.Next(protoStart, at)
	put(t, store, timeline.Folder+string(empty)+".clean.requested", nil)
	result, err := acquire(t, store, "a").Clean(t.Context(), CleanOptions{Retain: 8})
	if err != nil || !slices.Equal(result.Finished, []timeline.Instant{at}) {
		t.Fatalf("%+v, %v", result, err)
	}
	if got := dataFiles(t, store); !slices.Equal(got, files[1:]) {
		t.Errorf("left %v, want %v", got, files[1:])
	}
	done, _, err := store.Get(t.Context(), timeline.Folder+string(at)+".clean")
	if err != nil {
		t.Fatal(err)
	}
	m, err := meta.ParseCleanMetadata(done)
	if err != nil || m.TotalFilesDeleted != 1 || len(m.Partitions[path.Dir(newest)].FailedDeleteFiles) == 0 {
		t.Errorf("metadata %+v, %v", m, err)
	}
	for _, key := range keysIn(t, store, timeline.Prefix) {
		if strings.Contains(key, string(empty)) {
			t.Errorf("%s is left", key)
		}
	}
	if _, err := store.Stat(t.Context(), "day=0/note.txt"); err != nil {
		t.Error(err)
	}
}

type failingPace struct{ left int }

var errPace = errors.New("enough")

func (p *failingPace) Wait(_ context.Context, bytes int64) error {
	if p.left--; p.left < 0 || bytes <= 0 {
		return errPace
	}
	return nil
}

// TestCleanPace: the caller's pace is asked before each file, and its error leaves a clean that the next one completes.
func TestCleanPace(t *testing.T) {
	t.Parallel()
	store, _ := servicesTable(t, 8)
	w := acquire(t, store, "a")
	all := dataFiles(t, store)
	if _, err := w.Clean(t.Context(), CleanOptions{Retain: 2, Pace: &failingPace{2}}); !errors.Is(err, errPace) {
		t.Errorf("clean: %v", err)
	}
	if got := dataFiles(t, store); len(got) != len(all)-2 {
		t.Errorf("%d files are left of %d", len(got), len(all))
	}
	result, err := w.Clean(t.Context(), CleanOptions{Retain: 2})
	if err != nil || len(result.Finished) != 1 || result.Instant != "" {
		t.Errorf("next: %+v, %v", result, err)
	}
}

// TestCleanFenced: an owner of the past deletes nothing, and what it requested is executed by its successor.
func TestCleanFenced(t *testing.T) {
	t.Parallel()
	base, instants := servicesTable(t, 8)
	for n := 0; ; n++ {
		store := copyOf(t, base)
		p := newPausing(store, n)
		ended, paused := start(t, p, "old", asService(func(ctx context.Context, w *Writer) error {
			_, err := w.Clean(ctx, CleanOptions{Retain: 2})
			return err
		}))
		if !paused {
			err := <-ended
			if err != nil {
				t.Fatal(err)
			}
			return
		}
		w := acquire(t, store, "new")
		if _, err := w.Clean(t.Context(), CleanOptions{Retain: 2}); err != nil {
			t.Fatalf("call %d: %v", n, err)
		}
		if _, err := w.Commit(t.Context(), protoRequest(16, 18)); err != nil {
			t.Fatalf("call %d: %v", n, err)
		}
		want := rowsAsOf(t, store, "")
		close(p.release)
		if err := <-ended; err != nil && !errors.Is(err, ErrFenced) && storage.Classify(err) == storage.Permanent {
			t.Errorf("call %d: old owner: %v", n, err)
		}
		if got := rowsAsOf(t, store, ""); !slices.Equal(got, want) {
			t.Errorf("call %d: rows %v, were %v", n, got, want)
		}
		if got, want := rowsAsOf(t, store, instants[7]), rowsAsOf(t, base, instants[7]); !slices.Equal(got, want) {
			t.Errorf("call %d: rows as of the earliest retained commit: %v, were %v", n, got, want)
		}
		if t.Failed() {
			return
		}
	}
}

// TestServicesMergeOnRead: a slice goes with its logs, none goes whose logs are needed, and a compaction is archived with its plan.
func TestServicesMergeOnRead(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]TableConfig{"version 6": protoMergeConfig(), "version 9": version9(protoMergeConfig())} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			serveMergeTable(t, cfg)
		})
	}
}

func serveMergeTable(t *testing.T, cfg TableConfig) {
	t.Helper()
	store, instants := servicesMergeTable(t, cfg)
	compaction := instants[6]
	w, err := openAndAcquire(t.Context(), store, "a")
	if err != nil {
		t.Fatal(err)
	}
	var old []string // of the slices before the compaction
	for _, key := range dataFiles(t, store) {
		f, err := fileslice.ParseKey(key)
		l, logErr := fileslice.ParseLogKey(key)
		if err == nil && f.Instant < compaction || logErr == nil && l.Instant < compaction {
			old = append(old, key)
		}
	}
	before := make(map[timeline.Instant][]string)
	for _, instant := range instants[6:] {
		before[instant] = rowsAsOf(t, store, instant)
	}
	same := func() {
		t.Helper()
		for instant, want := range before {
			if got := rowsAsOf(t, store, instant); !slices.Equal(got, want) {
				t.Errorf("rows as of %s are %v, were %v", instant, got, want)
			}
		}
	}
	if result, err := w.Clean(t.Context(), CleanOptions{Retain: 4}); err != nil || len(result.Files) != 0 {
		t.Errorf("as of the compaction the slices before are needed: %+v, %v", result, err)
	}
	result, err := w.Clean(t.Context(), CleanOptions{Retain: 3})
	if err != nil || !slices.Equal(slices.Sorted(slices.Values(result.Files)), old) || len(old) != 10 {
		t.Errorf("cleaned %+v, %v; want %v", result, err, old)
	}
	delete(before, compaction)
	same()
	if cfg.Version == Version9 {
		return
	}
	done, err := w.Archive(t.Context(), ArchiveOptions{KeepMin: 2, KeepMax: 2})
	if err != nil || len(done.Archived) != 7 || len(done.Swept) != 0 {
		t.Errorf("archived %+v, %v", done, err)
	}
	if got := rowsAsOf(t, store, ""); !slices.Equal(got, before[instants[9]]) {
		t.Errorf("rows %v, want %v", got, before[instants[9]])
	}
	same()
	planned := false
	for _, e := range archived(t, store) {
		planned = planned || e.Instant == compaction && e.Action == timeline.Compaction && e.State == timeline.Requested && e.Metadata["operations"] != nil
	}
	if !planned {
		t.Error("the plan of the compaction is not in the archive")
	}
}

func openAndAcquire(ctx context.Context, store storage.Store, owner string) (*Writer, error) {
	table, err := Open(ctx, store, protoOptions()...)
	if err != nil {
		return nil, err
	}
	return table.Acquire(ctx, owner)
}
