package hudi

import (
	"context"
	"errors"
	"fmt"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/txn"
)

// acquireAttempts bounds how often Acquire tries again when HEAD moves between reading and replacing it.
const acquireAttempts = 10

// Acquire makes owner the table's writer. It raises HEAD's epoch, so that nothing which an older owner has under way can be committed any
// more, then puts the last commit on the timeline if it is not there, and rolls back what older owners left. An error leaves nothing to
// be undone: acquire again.
func (t *Table) Acquire(ctx context.Context, owner string, opts ...AcquireOption) (*Writer, error) {
	p, _, err := loadProperties(ctx, t.store)
	if err != nil {
		return nil, fmt.Errorf("acquire table: %w", err)
	}
	if err := checkWritable(p); err != nil {
		return nil, fmt.Errorf("acquire table: %w", err)
	}
	if err := sameVersion(p, t.props); err != nil {
		return nil, fmt.Errorf("acquire table: %w", err)
	}
	note, err := loadNote(ctx, t.store)
	if errors.Is(err, storage.ErrNotExist) {
		err = errNotOurs
	}
	if err != nil {
		return nil, fmt.Errorf("acquire table: %w", err)
	}
	if err := checkType(p, note); err != nil {
		return nil, fmt.Errorf("acquire table: %w", err)
	}
	stored, err := t.raiseEpoch(ctx, owner)
	if err != nil {
		return nil, fmt.Errorf("acquire table: %w", err)
	}
	w := &Writer{table: t, config: note, epoch: stored.Head.Epoch}
	w.mu.head = stored
	for _, o := range opts {
		o(w)
	}
	if p[meta.MetadataPartitions] != "" { // before settle puts a commit on the timeline that is not in it
		if err := w.guardProperties(ctx); err != nil {
			return nil, fmt.Errorf("acquire table: %w", err)
		}
	}
	if _, err := w.settle(ctx); err != nil {
		return nil, fmt.Errorf("acquire table: %w", err)
	}
	if err := w.sweepStaged(ctx); err != nil {
		return nil, fmt.Errorf("acquire table: %w", err)
	}
	return w, nil
}

// checkType refuses a table that became one of the other type since its creation, or whose keys and partition paths are made in another way.
func checkType(p meta.Properties, note tableNote) error {
	created := CopyOnWrite
	if note.Type != "" {
		created = TableType(note.Type)
	}
	if have := p[meta.TableType]; have != string(created) {
		return &UnsupportedError{meta.TableType, have, "the table was created as " + string(created)}
	}
	return checkGenerator(p, note)
}

// raiseEpoch makes owner the owner.
func (t *Table) raiseEpoch(ctx context.Context, owner string) (txn.Stored, error) {
	for range acquireAttempts {
		stored, err := txn.Load(ctx, t.store)
		if err != nil {
			return txn.Stored{}, err
		}
		next := stored.Head.Clone()
		next.Epoch, next.Owner, next.WriteID = next.Epoch+1, owner, t.options.newID()
		stored, err = txn.CompareAndSwap(ctx, t.store, stored, next)
		if err == nil {
			return stored, nil
		}
		if !errors.Is(err, txn.ErrMoved) {
			return txn.Stored{}, err
		}
	}
	return txn.Stored{}, storage.MarkRetryable(fmt.Errorf("raise epoch: %w", txn.ErrMoved))
}

// sweepStaged deletes completed files that older owners staged and that are not HEAD's: of commits that went on, and of attempts that are
// fenced.
func (w *Writer) sweepStaged(ctx context.Context) error {
	var stale []string
	for info, err := range w.table.store.List(ctx, txn.StagedFolder) {
		if err != nil {
			return fmt.Errorf("list staged files: %w", err)
		}
		epoch, ok := txn.StagedEpoch(info.Key)
		if staged := w.mu.head.Head.Staged; ok && epoch < w.epoch && (staged == nil || staged.Key != info.Key) {
			stale = append(stale, info.Key)
		}
	}
	return w.deleteAll(ctx, stale)
}

// deleteAll deletes objects, the first first, and stops at an error.
func (w *Writer) deleteAll(ctx context.Context, keys []string) error {
	for _, key := range keys {
		if err := w.table.store.Delete(ctx, key); err != nil {
			return fmt.Errorf("delete %s: %w", key, err)
		}
	}
	return nil
}

// guardProperties reads hoodie.properties anew, as every commit must: another engine may have upgraded the table or switched on its
// metadata table. A metadata table that we do not write to would hide our rows from its readers without a sign, so it is dropped, or what
// we do not keep of it: first the property, by which readers decide, then the files. Hudi builds it anew.
func (w *Writer) guardProperties(ctx context.Context) error {
	p, info, err := loadProperties(ctx, w.table.store)
	if err != nil {
		return err
	}
	if err := checkWritable(p); err != nil {
		return err
	}
	if err := checkType(p, w.config); err != nil {
		return err
	}
	if err := sameVersion(p, w.table.props); err != nil {
		return err
	}
	for _, key := range []string{meta.TableName, meta.RecordKeyFields, meta.PartitionFields, meta.HiveStyle} {
		if have, want := p[key], w.table.props[key]; have != want {
			return &MismatchError{key, have, want}
		}
	}
	partitions, sweep := w.metadataChange(p)
	w.mu.metadata.listed = partitions != ""
	if sweep == nil && p[meta.TimelineTimezone] != "" {
		return nil
	}
	if sweep != nil {
		delete(p, meta.MetadataPartitions)
		delete(p, meta.MetadataPartitionsInflight)
		if partitions != "" {
			p[meta.MetadataPartitions] = partitions
		}
	}
	p[meta.TimelineTimezone] = "UTC" // SQL of Hudi 0.15 loses it, and without it Hudi takes its machine's zone
	if err := w.changeProperties(ctx, p, info); err != nil {
		return err
	}
	if sweep == nil {
		return nil
	}
	return sweep(ctx, w.table.store)
}

// changeProperties replaces hoodie.properties as Hudi does, with a copy beside it while that lasts; here the main file is never missing.
func (w *Writer) changeProperties(ctx context.Context, p meta.Properties, old storage.Info) error {
	p[meta.Checksum] = p.TableChecksum()
	data := p.Encode("Updated at", w.table.options.now())
	if _, err := w.table.store.Put(ctx, meta.PropertiesBackupKey, data, storage.Condition{}); err != nil {
		return fmt.Errorf("back up %s: %w", meta.PropertiesKey, err)
	}
	cond := storage.Condition{IfMatch: old.ETag}
	if old.Key != meta.PropertiesKey { // what was read is the copy: the change of another was interrupted
		cond = storage.Condition{}
	}
	if _, err := w.table.store.Put(ctx, meta.PropertiesKey, data, cond); err != nil {
		return fmt.Errorf("change %s: %w", meta.PropertiesKey, err)
	}
	if err := w.table.store.Delete(ctx, meta.PropertiesBackupKey); err != nil {
		return fmt.Errorf("delete backup of %s: %w", meta.PropertiesKey, err)
	}
	return nil
}

// deleteFolder deletes every object below a folder, in the order of their keys.
func (w *Writer) deleteFolder(ctx context.Context, folder string) error {
	var found []string
	for info, err := range w.table.store.List(ctx, folder) {
		if err != nil {
			return fmt.Errorf("list %s: %w", folder, err)
		}
		found = append(found, info.Key)
	}
	return w.deleteAll(ctx, found)
}
