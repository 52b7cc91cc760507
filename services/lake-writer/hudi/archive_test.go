package hudi

import (
	"bytes"
	"context"
	"errors"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/internal/goldentest"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// activeCommits are the instants of the commits on the timeline.
func activeCommits(t *testing.T, store storage.Store) (instants []timeline.Instant) {
	t.Helper()
	for _, e := range timelineOf(t, store).Commits() {
		instants = append(instants, e.Instant)
	}
	return instants
}

func timelineOf(t *testing.T, store storage.Store) *timeline.Timeline {
	t.Helper()
	table, err := Open(t.Context(), store, protoOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	tl, err := table.Timeline(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tl
}

// archived reads the archived timeline.
func archived(t *testing.T, store storage.Store) (entries []*meta.ArchivedEntry) {
	t.Helper()
	table, err := Open(t.Context(), store, protoOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range table.Archived(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	return entries
}

// everyCommit are the instants of the commits on the timeline and in the archive, ascending, each as often as it is there.
func everyCommit(t *testing.T, store storage.Store) []timeline.Instant {
	t.Helper()
	all := activeCommits(t, store)
	for _, e := range archived(t, store) {
		if e.State == timeline.Completed && e.Action == timeline.Commit {
			all = append(all, e.Instant)
		}
	}
	slices.Sort(all)
	return all
}

// TestArchive: the oldest commits leave the timeline and are in the archive with everything that their files said.
func TestArchive(t *testing.T) {
	t.Parallel()
	store, instants := servicesTable(t, 8)
	w := acquire(t, store, "archiver")
	if _, err := w.Clean(t.Context(), CleanOptions{Retain: 2}); err != nil {
		t.Fatal(err)
	}
	rows := rowsAsOf(t, store, "")
	table, tl := w.table, timelineOf(t, store)
	before := make(map[timeline.Instant]*meta.Commit)
	for _, e := range tl.Commits() {
		c, err := table.Commit(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		before[e.Instant] = c
	}
	nothing, err := w.Archive(t.Context(), ArchiveOptions{KeepMin: 4, KeepMax: 9})
	if err != nil || len(nothing.Archived) != 0 || len(nothing.Files) != 0 {
		t.Errorf("no more commits than allowed: %+v, %v", nothing, err)
	}
	result, err := w.Archive(t.Context(), ArchiveOptions{KeepMin: 4, KeepMax: 8})
	if err != nil || len(result.Archived) != 5 || result.Held != "" || !slices.Equal(result.Files, []string{".hoodie/archived/.commits_.archive.1_1-0-1"}) {
		t.Fatalf("archive: %+v, %v", result, err)
	}
	if got := activeCommits(t, store); !slices.Equal(got, instants[5:]) {
		t.Errorf("%v are active, want %v", got, instants[5:])
	}
	if got := everyCommit(t, store); !slices.Equal(got, instants) {
		t.Errorf("%v are active or archived, want %v", got, instants)
	}
	if got := rowsAsOf(t, store, ""); !slices.Equal(got, rows) {
		t.Errorf("rows %v, were %v", got, rows)
	}
	for _, key := range keysIn(t, store, timeline.Prefix) {
		if strings.HasPrefix(key, timeline.Folder+string(instants[4])) {
			t.Errorf("%s is left", key)
		}
	}
	checkArchive(t, store, result.Files[0], before)
	if _, err := w.Commit(t.Context(), protoRequest(16, 18)); err != nil {
		t.Errorf("commit after: %v", err)
	}
	if _, err := w.Clean(t.Context(), CleanOptions{Retain: 2}); err != nil {
		t.Errorf("clean after: %v", err)
	}
}

// checkArchive compares an archive file with the commits that are in it, and its frame with what Hudi writes.
func checkArchive(t *testing.T, store storage.Store, key string, commits map[timeline.Instant]*meta.Commit) {
	t.Helper()
	states := make(map[timeline.Instant][]timeline.State)
	for _, e := range archived(t, store) {
		states[e.Instant] = append(states[e.Instant], e.State)
		if e.State != timeline.Completed {
			continue
		}
		c := commits[e.Instant]
		extra, _ := e.Metadata["extraMetadata"].(map[string]any)
		stats, _ := e.Metadata["partitionToWriteStats"].(map[string]any)
		if extra[meta.PlayheadKey] != c.ExtraMetadata[meta.PlayheadKey] || len(stats) != len(c.PartitionToWriteStats) ||
			e.Metadata["operationType"] != c.OperationType || e.Transition == "" {
			t.Errorf("%s is archived as %+v", e.Instant, e)
		}
		for partition, want := range c.PartitionToWriteStats {
			for i, v := range stats[partition].([]any) {
				s := v.(map[string]any)
				if s["path"] != *want[i].Path || s["fileSizeInBytes"] != want[i].FileSizeInBytes || s["prevCommit"] != want[i].PrevCommit {
					t.Errorf("%s: file %v, want %+v", e.Instant, s, want[i])
				}
			}
		}
	}
	for instant, got := range states {
		if want := []timeline.State{timeline.Requested, timeline.Inflight, timeline.Completed}; !slices.Equal(got, want) {
			t.Errorf("states of %s: %v", instant, got)
		}
	}
	data, _, err := store.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	golden := goldentest.Files(t, "testdata/v6-cow-015.zip")[".hoodie/archived/.commits_.archive.1_1-0-1"]
	for _, file := range [][]byte{data, golden} {
		for b, err := range logfile.Scan(bytes.NewReader(file), int64(len(file)), logfile.ScanOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			if n := b.Content[7]; b.Type != logfile.AvroData || len(b.Header) != 1 || b.Header[logfile.Schema] == "" || b.Content[3] != 3 || n > 10 {
				t.Errorf("block at %d: type %v, %d headers, content version %d, %d entries", b.Offset, b.Type, len(b.Header), b.Content[3], n)
			}
		}
	}
}

// TestArchiveSweep fails every call of an archive in every way. Commits are never lost, and never twice where they are read.
func TestArchiveSweep(t *testing.T) {
	t.Parallel()
	base, instants := servicesTable(t, 8)
	if _, err := acquire(t, base, "setup").Clean(t.Context(), CleanOptions{Retain: 2}); err != nil {
		t.Fatal(err)
	}
	archive := func(ctx context.Context, w *Writer) error {
		_, err := w.Archive(ctx, ArchiveOptions{KeepMin: 3, KeepMax: 4})
		return err
	}
	sweepService(t, base, instants[7:], archive, func(t *testing.T, store storage.Store) {
		if got := activeCommits(t, store); !slices.Equal(got, instants[6:]) {
			t.Errorf("%v are active, want %v", got, instants[6:])
		}
		if got := everyCommit(t, store); !slices.Equal(got, instants) {
			t.Errorf("%v are active or archived, want %v", got, instants)
		}
		if files := keysIn(t, store, ".hoodie/archived/"); len(files) != 1 {
			t.Errorf("a repeated run has written another archive: %v", files)
		}
	})
}

// TestArchiveInterrupted: at every moment of an archive each commit is on the timeline or in the archive, whole.
func TestArchiveInterrupted(t *testing.T) {
	t.Parallel()
	base, instants := servicesTable(t, 8)
	for n := 0; ; n++ {
		store := copyOf(t, base)
		p := newPausing(store, n)
		ended, paused := start(t, p, "a", asService(func(ctx context.Context, w *Writer) error {
			_, err := w.Archive(ctx, ArchiveOptions{KeepMin: 3, KeepMax: 4})
			return err
		}))
		if !paused {
			err := <-ended
			if err != nil {
				t.Fatal(err)
			}
			return
		}
		got := slices.Compact(everyCommit(t, store))
		states := make(map[timeline.Instant]int)
		for _, e := range archived(t, store) {
			states[e.Instant]++
		}
		if !slices.Equal(got, instants) {
			t.Errorf("call %d: %v, want %v", n, got, instants)
		}
		for instant, count := range states {
			if count != 3 {
				t.Errorf("call %d: %d states of %s", n, count, instant)
			}
		}
		if pending := timelineOf(t, store).Pending(); len(pending) != 0 {
			t.Errorf("call %d: pending %v", n, pending)
		}
		if got, want := rowsAsOf(t, store, ""), rowsAsOf(t, base, ""); !slices.Equal(got, want) {
			t.Errorf("call %d: rows %v, were %v", n, got, want)
		}
		close(p.release)
		if err := <-ended; err != nil {
			t.Errorf("call %d: %v", n, err)
		}
		if t.Failed() {
			return
		}
	}
}

// TestArchiveLimits: what keeps commits on the timeline.
func TestArchiveLimits(t *testing.T) {
	t.Parallel()
	encode := func(t *testing.T, e interface{ Encode() ([]byte, error) }) []byte {
		t.Helper()
		data, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for name, tc := range map[string]struct {
		prepare func(t *testing.T, store storage.Store, at timeline.Instant)
		first   int // number of the commit that the timeline then begins with
	}{
		"nothing": {func(*testing.T, storage.Store, timeline.Instant) {}, 6},
		"another engine's pending clean": {func(t *testing.T, store storage.Store, at timeline.Instant) {
			put(t, store, timeline.Folder+string(at)+".clean.requested", nil)
		}, 3},
		"another engine's pending compaction": {func(t *testing.T, store storage.Store, at timeline.Instant) {
			put(t, store, timeline.Folder+string(at)+".logcompaction.requested", nil)
		}, 3},
		"a savepoint": {func(t *testing.T, store storage.Store, at timeline.Instant) {
			put(t, store, timeline.Folder+string(at)+".savepoint.inflight", nil)
			put(t, store, timeline.Folder+string(at)+".savepoint", encode(t, meta.Savepoint{}))
		}, 3},
		"a savepoint under way": {func(t *testing.T, store storage.Store, at timeline.Instant) {
			put(t, store, timeline.Folder+string(at)+".savepoint.inflight", nil)
		}, 3},
		"the last clean": {func(t *testing.T, store storage.Store, at timeline.Instant) {
			clean := timeline.Folder + "20261124000001000.clean"
			put(t, store, clean+".requested", nil)
			put(t, store, clean+".inflight", nil)
			put(t, store, clean, encode(t, meta.CleanMetadata{EarliestToRetain: string(at)}))
		}, 3},
		"markers of a completed commit": {func(t *testing.T, store storage.Store, at timeline.Instant) {
			put(t, store, meta.MarkerFolder(at)+"MARKERS.type", nil)
		}, 6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, instants := servicesTable(t, 8)
			tc.prepare(t, store, instants[3])
			result, err := acquire(t, store, "a").Archive(t.Context(), ArchiveOptions{KeepMin: 3, KeepMax: 4})
			if err != nil {
				t.Fatal(err)
			}
			if got := activeCommits(t, store); !slices.Equal(got, instants[tc.first:]) {
				t.Errorf("the timeline begins with %v, want %v", got, instants[tc.first:])
			}
			if held := tc.first < 6; held != (result.Reason != "") || held && result.Held != instants[tc.first] {
				t.Errorf("held %s: %s", result.Held, result.Reason)
			}
		})
	}
}

// TestArchiveReplaced: a replacecommit stays until the files that it replaced are cleaned.
func TestArchiveReplaced(t *testing.T) {
	t.Parallel()
	store, instants := servicesTable(t, 8)
	w := acquire(t, store, "a")
	files := dataFiles(t, store)
	f, err := fileslice.ParseKey(files[len(files)-1])
	if err != nil {
		t.Fatal(err)
	}
	at := timeline.Next(protoStart, instants[8])
	replace := meta.Commit{
		OperationType: "DELETE_PARTITION", PartitionToReplaceFileIDs: map[string][]string{f.Partition: {f.FileID}},
		ExtraMetadata: map[string]string{meta.SchemaKey: protoSchema},
	}
	data, err := replace.Encode()
	if err != nil {
		t.Fatal(err)
	}
	e := timeline.Entry{Instant: at, Action: timeline.ReplaceCommit}
	for _, state := range []timeline.State{timeline.Requested, timeline.Inflight} {
		put(t, store, e.In(state).Key(), nil)
	}
	put(t, store, e.In(timeline.Completed).Key(), data)
	offset := int64(16)
	other := func() {
		t.Helper()
		req := protoRequest(offset, offset+4)
		offset += 4
		req.Groups = slices.DeleteFunc(req.Groups, func(g Group) bool { return g.Partition == f.Partition })
		if _, err := w.Commit(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 {
		other()
	}
	rows := rowsAsOf(t, store, "")
	archive := func() *ArchiveResult {
		t.Helper()
		result, err := w.Archive(t.Context(), ArchiveOptions{KeepMin: 2, KeepMax: 2})
		if err != nil {
			t.Fatal(err)
		}
		if got := rowsAsOf(t, store, ""); !slices.Equal(got, rows) {
			t.Errorf("rows %v, were %v", got, rows)
		}
		return result
	}
	if result := archive(); result.Held != at || !strings.Contains(result.Reason, f.FileID) {
		t.Errorf("held %s: %s", result.Held, result.Reason)
	}
	if _, err := w.Clean(t.Context(), CleanOptions{Retain: 2}); err != nil {
		t.Fatal(err)
	}
	if result := archive(); result.Held != "" {
		t.Errorf("held %s: %s", result.Held, result.Reason)
	}
	if got := activeCommits(t, store); len(got) != 2 {
		t.Errorf("%v are active", got)
	}
}

// TestArchiveOrphans: data files of instants that never committed are gone before the timeline begins after them.
func TestArchiveOrphans(t *testing.T) {
	t.Parallel()
	store, instants := servicesTable(t, 8)
	f, err := fileslice.ParseKey(dataFiles(t, store)[0])
	if err != nil {
		t.Fatal(err)
	}
	orphan := f
	orphan.Instant, orphan.FileID = instants[4], strings.Replace(f.FileID, "00000000", "00000009", 1)
	erase(t, store, instants[4])
	put(t, store, orphan.Key(), []byte(`[{"Key":"orphan","Commit":""}]`))
	log := fileslice.LogFile{Partition: f.Partition, FileID: f.FileID, Instant: instants[7], Version: 1, Token: f.Token}
	put(t, store, log.Key(), logfile.AppendBlock(nil, logfile.ParquetBlock(instants[4], protoSchema, []byte("PAR1"))))
	undone := log
	undone.Version = 2
	put(t, store, undone.Key(), logfile.AppendBlock(nil, logfile.ParquetBlock(instants[4][:16]+"x", protoSchema, nil)))
	undo := log
	undo.Version = 3
	put(t, store, undo.Key(), logfile.AppendBlock(nil, logfile.RollbackBlock(instants[8], instants[4][:16]+"x")))
	result, err := acquire(t, store, "a").Archive(t.Context(), ArchiveOptions{KeepMin: 2, KeepMax: 3})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{log.Key(), orphan.Key()}; !slices.Equal(slices.Sorted(slices.Values(result.Swept)), slices.Sorted(slices.Values(want))) {
		t.Errorf("swept %v, want %v", result.Swept, want)
	}
	for _, key := range []string{undone.Key(), undo.Key()} {
		if _, err := store.Stat(t.Context(), key); err != nil {
			t.Error(err)
		}
	}
	if got := activeCommits(t, store); !slices.Equal(got, instants[7:]) {
		t.Errorf("%v are active, want %v; held by %s", got, instants[7:], result.Reason)
	}
}

// erase makes a gap between the instants: one commit is taken away with its files.
func erase(t *testing.T, store storage.Store, instant timeline.Instant) {
	t.Helper()
	for _, key := range keysIn(t, store, "") {
		if !strings.Contains(key, string(instant)) {
			continue
		}
		if err := store.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
}

// TestArchiveReserved: the timeline does not pass an instant whose owner may still come back.
func TestArchiveReserved(t *testing.T) {
	t.Parallel()
	store, instants := servicesTable(t, 8)
	erase(t, store, instants[4])
	data, err := meta.Reservation{CommitID: "lost", Epoch: 1, Owner: "zombie"}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	put(t, store, meta.MarkerFolder(instants[4])+meta.ReservationName, data)
	result, err := acquire(t, store, "a").Archive(t.Context(), ArchiveOptions{KeepMin: 2, KeepMax: 3})
	if err != nil || result.Held != instants[5] {
		t.Errorf("%+v, %v", result, err)
	}
	if got := activeCommits(t, store); !slices.Equal(got, instants[5:]) {
		t.Errorf("%v are active, want %v", got, instants[5:])
	}
}

// TestArchiveFenced pauses an archiver before each of its calls while a successor makes a savepoint on the oldest commit. Whichever of them
// was first, the savepoint's commit is on the timeline as long as the savepoint is.
func TestArchiveFenced(t *testing.T) {
	t.Parallel()
	base, instants := servicesTable(t, 8)
	refused := 0
	for n := 0; ; n++ {
		store := copyOf(t, base)
		p := newPausing(store, n)
		ended, paused := start(t, p, "old", asService(func(ctx context.Context, w *Writer) error {
			_, err := w.Archive(ctx, ArchiveOptions{KeepMin: 3, KeepMax: 4})
			return err
		}))
		if !paused {
			err := <-ended
			if err != nil || refused == 0 {
				t.Fatalf("%d savepoints were refused, %v", refused, err)
			}
			return
		}
		_, pointErr := acquire(t, store, "new").Savepoint(t.Context(), instants[1], "ops", "")
		if pointErr != nil && !errors.Is(pointErr, ErrTimeTravel) {
			t.Errorf("call %d: savepoint: %v", n, pointErr)
		}
		close(p.release)
		if err := <-ended; err != nil && !errors.Is(err, ErrFenced) && storage.Classify(err) == storage.Permanent {
			t.Errorf("call %d: old owner: %v", n, err)
		}
		if pointErr != nil {
			refused++
		} else if !slices.Contains(activeCommits(t, store), instants[1]) {
			t.Errorf("call %d: commit %s is archived under its savepoint", n, instants[1])
		}
		if got := slices.Compact(everyCommit(t, store)); !slices.Equal(got, instants) {
			t.Errorf("call %d: %v, want %v", n, got, instants)
		}
		if t.Failed() {
			return
		}
	}
}

// TestArchiveOfHudi: a table of Hudi's has its archive read, and where the folder is called otherwise it is found.
func TestArchiveOfHudi(t *testing.T) {
	t.Parallel()
	store := goldentest.Table(t, "testdata/v6-cow-015.zip")
	table, err := Open(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for e, err := range table.Archived(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; e.State == timeline.Completed && e.Metadata["operationType"] == nil {
			t.Errorf("entry %+v", e)
		}
	}
	if n != 15 {
		t.Errorf("%d entries, want 15", n)
	}
	table.props[meta.ArchiveFolder] = "history"
	if got := path.Clean(table.archiveFolder()); got != ".hoodie/history" {
		t.Errorf("archive in %s", got)
	}
}
