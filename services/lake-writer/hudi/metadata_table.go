package hudi

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/mdt"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/txn"
)

// MetadataTable says what becomes of a table's metadata table, from which engines take the table's files instead of listing them.
type MetadataTable int

// What becomes of it. Both are right for every engine; a table changes from one to the other with its next commit.
const (
	// DropMetadataTable drops it before a commit. Engines list directories, until one that writes builds it anew.
	DropMetadataTable MetadataTable = iota
	// KeepMetadataTable keeps its partition "files", builds it where there is none, and drops other partitions. It is for tables of version
	// 9; on others it is DropMetadataTable. When something is not right with it, it is dropped and built anew.
	KeepMetadataTable
)

// WithMetadataTable chooses what becomes of the metadata table; the default is DropMetadataTable.
func WithMetadataTable(m MetadataTable) Option { return func(o *options) { o.metadata = m } }

const (
	metadataFiles = "files"
	// maxMetadataLogs is how many updates its readers merge, about: with so many the metadata table is built anew, which takes a listing of
	// the whole table. Hudi compacts it after 10.
	maxMetadataLogs = 100
)

// metadataState is what a writer knows of the metadata table it keeps.
type metadataState struct {
	listed  bool // hoodie.properties has it, as of the last guardProperties
	counted bool
	logs    int // when counted
}

func (w *Writer) keepsMetadata() bool {
	return w.table.options.metadata == KeepMetadataTable && w.table.layout() == timeline.Layout2
}

// metadataChange is what hoodie.table.metadata.partitions has to be, given what it is, and what has to be deleted after that.
func (w *Writer) metadataChange(p meta.Properties) (partitions string, sweep func(context.Context, storage.Store) error) {
	list, building := p.List(meta.MetadataPartitions), p[meta.MetadataPartitionsInflight] != ""
	switch {
	case len(list) == 0 && !building:
		return "", nil
	case w.keepsMetadata() && slices.Equal(list, []string{metadataFiles}) && !building:
		return metadataFiles, nil
	case w.keepsMetadata() && slices.Contains(list, metadataFiles):
		return metadataFiles, mdt.Narrow
	default:
		return "", mdt.Drop
	}
}

// ensureMetadata builds the metadata table that is to be kept, if there is none or it has grown too long. It is called when nothing of ours
// is under way; while another engine is at work, it waits for the next time.
func (w *Writer) ensureMetadata(ctx context.Context, tl *timeline.Timeline) error {
	if !w.keepsMetadata() {
		return nil
	}
	state := &w.mu.metadata
	if state.listed && !state.counted {
		logs, err := mdt.Logs(ctx, w.table.store)
		if err != nil {
			return err
		}
		state.logs, state.counted = logs, true
	}
	if state.listed && state.logs <= w.table.options.metadataLogs || len(tl.Pending()) > 0 {
		return nil
	}
	if err := w.dropMetadata(ctx); err != nil {
		return err
	}
	files, err := w.storedFiles(ctx, tl)
	if err != nil {
		return err
	}
	last := max(tl.Last(), w.mu.head.Head.Last())
	for _, e := range tl.Entries() {
		last = max(last, e.Completion)
	}
	if err := mdt.Create(ctx, w.table.store, mdt.Start{Files: files, Completion: timeline.Next(w.table.options.now(), last)}); err != nil {
		return err
	}
	// A later owner may have committed since the listing.
	if err := w.refreshHead(ctx); err != nil {
		return err
	}
	p, info, err := loadProperties(ctx, w.table.store)
	if err != nil {
		return err
	}
	p[meta.MetadataPartitions] = metadataFiles
	if err := w.changeProperties(ctx, p, info); err != nil {
		return err
	}
	*state = metadataState{listed: true, counted: true}
	return nil
}

// storedFiles are the sizes of all data files of committed instants, by partition and name.
func (w *Writer) storedFiles(ctx context.Context, tl *timeline.Timeline) (map[string]map[string]int64, error) {
	files := make(map[string]map[string]int64)
	for objects, err := range w.table.partitions(ctx, "") {
		if err != nil {
			return nil, err
		}
		for _, o := range objects {
			var partition string
			var instant timeline.Instant
			if l, err := fileslice.ParseLogKey(o.Key); err == nil {
				partition, instant = l.Partition, l.Instant
			} else if f, err := fileslice.ParseKey(o.Key); err == nil {
				partition, instant = f.Partition, f.Instant
			} else {
				continue
			}
			if !tl.Committed(instant) {
				continue
			}
			if files[partition] == nil {
				files[partition] = make(map[string]int64)
			}
			files[partition][path.Base(o.Key)] = o.Size
		}
	}
	return files, nil
}

// dropMetadata drops the metadata table: the property first, by which engines decide.
func (w *Writer) dropMetadata(ctx context.Context) error {
	p, info, err := loadProperties(ctx, w.table.store)
	if err != nil {
		return err
	}
	w.mu.metadata = metadataState{}
	if p[meta.MetadataPartitions] != "" || p[meta.MetadataPartitionsInflight] != "" {
		delete(p, meta.MetadataPartitions)
		delete(p, meta.MetadataPartitionsInflight)
		if err := w.changeProperties(ctx, p, info); err != nil {
			return err
		}
	}
	return mdt.Drop(ctx, w.table.store)
}

// project puts the last commit on the timeline by way of put, and before that into the metadata table, if that is kept.
func (w *Writer) project(ctx context.Context, head txn.Head, put func(context.Context, txn.Store, txn.Head) error) error {
	if w.keepsMetadata() {
		if err := w.noteCommit(ctx, head); err != nil {
			return err
		}
	}
	return put(ctx, w.table.store, head)
}

// noteCommit writes the files of the last commit into the metadata table.
func (w *Writer) noteCommit(ctx context.Context, head txn.Head) error {
	data, err := txn.CompletedFile(ctx, w.table.store, head)
	if errors.Is(err, storage.ErrNotExist) { // a staged copy goes when the commit is on the timeline
		return nil
	}
	if err != nil {
		return err
	}
	c, err := meta.ParseCommit(data)
	if err != nil {
		return fmt.Errorf("read commit %s: %w", head.Instant, err)
	}
	added := make(map[string]map[string]int64)
	for partition, stats := range c.PartitionToWriteStats {
		added[partition] = make(map[string]int64)
		for _, s := range stats {
			if s.Path != nil {
				added[partition][path.Base(*s.Path)] = s.FileSizeInBytes
			}
		}
	}
	return w.noteUpdate(ctx, mdt.Update{Instant: head.Instant, Completion: head.Completion, Added: added})
}

// noteClean writes what a clean deleted into the metadata table, if that is kept.
func (w *Writer) noteClean(ctx context.Context, e timeline.Entry, m meta.CleanMetadata) error {
	if !w.keepsMetadata() {
		return nil
	}
	deleted := make(map[string][]string)
	for partition, p := range m.Partitions {
		for _, name := range p.SuccessDeleteFiles {
			deleted[partition] = append(deleted[partition], path.Base(name))
		}
	}
	return w.noteUpdate(ctx, mdt.Update{Instant: e.Instant, Completion: e.Completion, Deleted: deleted})
}

// noteUpdate writes an update into the metadata table. One that is not in use is passed over, and one that is not right is dropped.
func (w *Writer) noteUpdate(ctx context.Context, u mdt.Update) error {
	err := mdt.Append(ctx, w.table.store, u)
	var stale *mdt.StaleError
	var others *mdt.OthersError
	switch {
	case err == nil:
		w.mu.metadata.logs++
		return nil
	case errors.Is(err, mdt.ErrAbsent):
		return nil
	case errors.As(err, &stale), errors.As(err, &others), errors.Is(err, mdt.ErrUpdate), errors.Is(err, meta.ErrProperties):
		return w.dropMetadata(ctx)
	default:
		return fmt.Errorf("write the metadata table: %w", err)
	}
}

// revertMetadata takes what another engine wrote of an instant that never completed out of the metadata table, if that is kept. Hudi writes
// there before it decides, and once the instant has left the timeline it would count.
func (w *Writer) revertMetadata(ctx context.Context, instant timeline.Instant) error {
	if !w.keepsMetadata() {
		return nil
	}
	if err := mdt.Revert(ctx, w.table.store, instant); err != nil {
		return fmt.Errorf("take %s out of the metadata table: %w", instant, err)
	}
	return nil
}
