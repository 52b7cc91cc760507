package hudi

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/history"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// The archive of layout 2 is package history's tree. It holds, of each instant, the content of the completed file as it was, and that of the
// requested file where there is any.

// historyEntry is the completed entry of an archived instant, as the timeline had it.
func historyEntry(in history.Instant) timeline.Entry {
	return timeline.Entry{Instant: in.Instant, Action: in.Action, State: timeline.Completed, Layout: timeline.Layout2, Completion: in.Completion}
}

// archivedHistory is Archived for layout 2.
func (t *Table) archivedHistory(ctx context.Context) iter.Seq2[*meta.ArchivedEntry, error] {
	return func(yield func(*meta.ArchivedEntry, error) bool) {
		for in, err := range history.Read(ctx, t.store, t.historyFolder()) {
			if err != nil {
				yield(nil, fmt.Errorf("read archive: %w", err))
				return
			}
			e := historyEntry(in)
			for _, state := range []struct {
				entry   timeline.Entry
				content []byte
			}{{e.In(timeline.Requested), in.Plan}, {e, in.Metadata}} {
				if state.entry.State != timeline.Completed && len(state.content) == 0 {
					continue
				}
				metadata, err := meta.DecodeFile(state.content)
				if err != nil {
					yield(nil, fmt.Errorf("read archived instant %s: %w", in.Instant, err))
					return
				}
				entry := &meta.ArchivedEntry{Entry: state.entry, Transition: state.entry.Completion, Metadata: metadata}
				if !yield(entry, nil) {
					return
				}
			}
		}
	}
}

// historySince is archivedSince for layout 2.
func (t *Table) historySince(ctx context.Context, first timeline.Instant) (map[timeline.Entry]bool, error) {
	since := make(map[timeline.Entry]bool)
	for in, err := range history.ReadFrom(ctx, t.store, t.historyFolder(), first) {
		if err != nil {
			return nil, fmt.Errorf("read archive: %w", err)
		}
		since[historyEntry(in)] = true
	}
	return since, nil
}

// putHistory writes instants into the history. It returns the key of their file.
func (w *Writer) putHistory(ctx context.Context, fresh []instantFiles) (string, error) {
	var batch []history.Instant
	for _, i := range fresh {
		in := history.Instant{Instant: i.completed.Instant, Completion: i.completed.Completion, Action: i.completed.Action}
		for _, f := range i.files {
			content := &in.Metadata
			switch f.entry.State {
			case timeline.Requested:
				content = &in.Plan
			case timeline.Inflight: // a profile of what was to come; Hudi does not keep it either
				continue
			}
			data, info, err := w.table.store.Get(ctx, f.info.Key)
			if err != nil {
				return "", fmt.Errorf("read %s: %w", f.entry.FileName(), err)
			}
			*content = data
			// A file that kept its name in an upgrade does not say when it completed. Hudi takes the time of its modification, which is gone
			// with it.
			if f.entry.State == timeline.Completed && in.Completion == "" {
				in.Completion = timeline.At(info.ModTime)
			}
		}
		batch = append(batch, in)
	}
	return history.Append(ctx, w.table.store, w.table.historyFolder(), batch)
}

// compactHistory merges the history's files and deletes old versions. Another writer that changes the history meanwhile does it as well.
func (w *Writer) compactHistory(ctx context.Context) error {
	_, err := history.Compact(ctx, w.table.store, w.table.historyFolder(), history.CompactOptions{})
	if errors.Is(err, storage.ErrPrecondition) {
		return nil
	}
	return err
}
