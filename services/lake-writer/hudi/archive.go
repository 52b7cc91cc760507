package hudi

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// ArchiveOptions say how long the active timeline may become.
type ArchiveOptions struct {
	KeepMin int // commits that stay, at least 1; more than cleaning retains
	KeepMax int // an archive begins when there are more commits than this; not less than KeepMin
}

// ArchiveResult says what an archive did.
type ArchiveResult struct {
	Archived []timeline.Entry // completed instants that left the active timeline, ascending
	Files    []string         // keys of the archive files that were written
	Swept    []string         // keys of orphaned data files that were deleted
	// Held is the first commit that is beyond KeepMin and had to stay, and Reason says why; "" when none had to.
	Held   timeline.Instant
	Reason string
}

// archiveBatch bounds how many instants go into one archive file, and so how many commits' metadata are in memory.
const archiveBatch = 100

// Archive moves the oldest completed commits from the active timeline into the archived one, with the cleans and rollbacks before the
// first that stays. Commits stay from the earliest of these on: a pending instant, a savepoint, what the last clean retained, an attempt
// whose owner may still be alive, a replacecommit whose replaced files are there, HEAD's own. Data files of instants that never
// committed would count as committed once the timeline begins after them; they are deleted first.
//
// In version 9 the archive is the history of layout 2, whose files are merged when there are many. Readers find the instants of data files
// there that they need: those of logs which were written while their group was compacted. hudi-rs 0.5 does not read it.
//
// An archive file is complete before the first of its instants leaves the timeline, and an instant's completed file leaves last, and the oldest
// first, so that a crash loses nothing. The next run finds what is in the archive already and goes on; where it cannot know, an entry is in the archive
// twice, which readers do not show: Hudi collects a set of instants (HoodieArchivedTimeline.loadInstants), and so does Archived.
func (w *Writer) Archive(ctx context.Context, o ArchiveOptions) (*ArchiveResult, error) {
	if o.KeepMin < 1 || o.KeepMax < o.KeepMin {
		return nil, fmt.Errorf("archive: %w: keep %d to %d commits", ErrInvalid, o.KeepMin, o.KeepMax)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	result := &ArchiveResult{}
	if err := w.archive(ctx, o, result); err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	return result, nil
}

func (w *Writer) archive(ctx context.Context, o ArchiveOptions, result *ArchiveResult) error {
	tl, err := w.enterService(ctx)
	if err != nil {
		return err
	}
	commits := tl.Commits()
	if len(commits) == 0 {
		return nil
	}
	known, err := w.table.archivedSince(ctx, tl.Entries()[0].Instant)
	if err != nil {
		return err
	}
	n := 0
	if len(commits) > o.KeepMax {
		n = len(commits) - o.KeepMin
	}
	for i, e := range commits[:max(0, len(commits)-o.KeepMin)] {
		if known[e] { // an earlier run was interrupted
			n = max(n, i+1)
		}
	}
	if n == 0 {
		return nil
	}
	n, err = w.archivable(ctx, tl, n, result)
	if err != nil || n == 0 {
		return err
	}
	going, err := w.instantFiles(ctx, tl, commits[n].Instant)
	if err != nil {
		return err
	}
	for batch := range slices.Chunk(going, archiveBatch) {
		if err := w.moveBatch(ctx, batch, known, result); err != nil {
			return err
		}
	}
	if w.table.layout() == timeline.Layout2 {
		return w.compactHistory(ctx)
	}
	return nil
}

// instantFiles are the files of one completed instant on the timeline.
type instantFiles struct {
	completed timeline.Entry
	files     []timelineFile // in the order of states
}

type timelineFile struct {
	entry timeline.Entry
	info  storage.Info
}

// instantFiles lists the instants that go when the timeline is to begin at a commit: commits, cleans and rollbacks before it, but for the
// last clean, by which the next one knows where to begin.
func (w *Writer) instantFiles(ctx context.Context, tl *timeline.Timeline, begin timeline.Instant) ([]instantFiles, error) {
	var lastClean timeline.Entry
	going := make(map[timeline.Entry]*instantFiles)
	for _, e := range tl.Entries() {
		if e.Action == timeline.Clean && e.State == timeline.Completed {
			lastClean = e
		}
		if e.Instant < begin && (e.Action.Writes() || e.Action == timeline.Clean || e.Action == timeline.Rollback) {
			going[e] = &instantFiles{completed: e}
		}
	}
	delete(going, lastClean)
	layout := tl.Layout()
	for info, err := range w.table.store.List(ctx, layout.Prefix()) {
		if err != nil {
			return nil, fmt.Errorf("list timeline: %w", err)
		}
		e, ok := layout.ParseFileName(info.Key[len(layout.Folder()):])
		if !ok || e.Instant >= begin {
			continue
		}
		if done, ok := tl.Find(e.Instant, e.Action); ok && going[done] != nil {
			going[done].files = append(going[done].files, timelineFile{e, info})
		}
	}
	var sorted []instantFiles
	for _, i := range going {
		slices.SortFunc(i.files, func(a, b timelineFile) int { return cmp.Compare(stateOrder(a.entry), stateOrder(b.entry)) })
		sorted = append(sorted, *i)
	}
	slices.SortFunc(sorted, func(a, b instantFiles) int {
		return cmp.Or(cmp.Compare(a.completed.Instant, b.completed.Instant), cmp.Compare(a.completed.Action, b.completed.Action))
	})
	return sorted, nil
}

func stateOrder(e timeline.Entry) int {
	return slices.Index([]timeline.State{timeline.Requested, timeline.Inflight, timeline.Completed}, e.State)
}

// moveBatch puts instants into the archive, those that are not there yet, and takes them off the timeline.
func (w *Writer) moveBatch(ctx context.Context, batch []instantFiles, known map[timeline.Entry]bool, result *ArchiveResult) error {
	var fresh []instantFiles
	for _, i := range batch {
		if !known[i.completed] {
			fresh = append(fresh, i)
		}
	}
	if len(fresh) > 0 {
		put := w.putStates
		if w.table.layout() == timeline.Layout2 {
			put = w.putHistory
		}
		key, err := put(ctx, fresh)
		if err != nil {
			return err
		}
		result.Files = append(result.Files, key)
	}
	// From here on the archive shows to everybody that these instants are leaving; a savepoint on one of them is refused. An owner who
	// took over before may have made one, so the table must be ours still.
	if err := w.refreshHead(ctx); err != nil {
		return err
	}
	var earlier []fileslice.Object
	for _, i := range batch {
		for _, f := range i.files {
			if f.entry.State != timeline.Completed {
				earlier = append(earlier, fileslice.Object{Key: f.info.Key, Size: f.info.Size})
			}
		}
	}
	if err := w.deleteFiles(ctx, earlier, nil); err != nil {
		return err
	}
	for _, i := range batch {
		if err := w.deleteAll(ctx, []string{i.completed.Key()}); err != nil {
			return err
		}
		result.Archived = append(result.Archived, i.completed)
	}
	return nil
}
