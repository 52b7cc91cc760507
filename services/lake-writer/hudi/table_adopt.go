package hudi

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/txn"
)

// BucketIndex is what a table with a bucket index does not say of itself: Hudi keeps it in its writers' options alone.
type BucketIndex struct {
	Buckets int    // hoodie.bucket.index.num.buckets
	Field   string // hoodie.bucket.index.hash.field; Hudi's default are all record key fields, with commas between
}

// Adopt makes a table that another engine created one that this library writes to, or returns it when it is one already. It adds the
// table note and HEAD and changes nothing else, so the other engine can go on as well, though not at the same time. A table that Acquire
// would refuse is refused; so is an index that the files contradict (*MismatchError), since a wrong one makes a second row of every key
// that is written again. An error leaves nothing to be undone: adopt again.
func Adopt(ctx context.Context, store storage.Store, index BucketIndex, opts ...Option) (*Table, error) {
	t, err := Open(ctx, store, opts...)
	if err == nil {
		err = t.adopt(ctx, index)
	}
	if err != nil {
		return nil, fmt.Errorf("adopt table: %w", err)
	}
	return t, nil
}

func (t *Table) adopt(ctx context.Context, index BucketIndex) error {
	if err := checkWritable(t.props); err != nil {
		return err
	}
	note, err := loadNote(ctx, t.store)
	if err == nil {
		err = index.compare(note)
	} else if errors.Is(err, storage.ErrNotExist) {
		err = t.adoptNote(ctx, index)
	}
	if err != nil {
		return err
	}
	if _, err := txn.Load(ctx, t.store); !errors.Is(err, storage.ErrNotExist) {
		return err
	}
	return t.adoptHead(ctx)
}

// compare refuses a note of another index.
func (x BucketIndex) compare(note tableNote) error {
	if note.Buckets != x.Buckets {
		return &MismatchError{"buckets", fmt.Sprint(note.Buckets), fmt.Sprint(x.Buckets)}
	}
	if note.BucketField != x.Field {
		return &MismatchError{"bucket_field", note.BucketField, x.Field}
	}
	return nil
}

// adoptNote writes down what hoodie.properties, the newest commit and the caller say of the table.
func (t *Table) adoptNote(ctx context.Context, index BucketIndex) error {
	view, err := t.View(ctx, "", nil)
	if err != nil {
		return err
	}
	ordering, _, err := mergeRule(t.props)
	if err != nil {
		return err
	}
	g, err := readGenerator(t.props)
	if err != nil {
		return err
	}
	config := TableConfig{
		Database: t.props[meta.DatabaseName], Name: t.props[meta.TableName], Type: t.Type(), Version: Version6,
		RecordKeyFields: g.KeyFields, PartitionFields: g.PartitionFields, OrderingField: ordering, HiveStylePartitioning: g.HiveStyle,
		URLEncodePartitions: g.URLEncode, PartitionTime: g.Time, Buckets: index.Buckets, BucketField: index.Field, Schema: view.Schema,
	}
	if t.layout() == timeline.Layout2 {
		config.Version = Version9
	}
	if err := config.check(); err != nil {
		return err
	}
	note := config.note()
	for _, slice := range view.Slices {
		if err := t.checkIndex(ctx, slice, note); err != nil {
			return err
		}
	}
	data, err := note.Encode()
	if err != nil {
		return err
	}
	_, err = t.store.Put(ctx, meta.TableNoteKey, data, storage.Condition{IfAbsent: true})
	if storage.Classify(err) != storage.Precondition {
		return err
	}
	have, err := loadNote(ctx, t.store) // of another adopter, who was faster
	if err != nil {
		return err
	}
	return index.compare(have)
}

// checkIndex compares a file group's bucket with what the index makes of two of its keys, the least and the greatest.
func (t *Table) checkIndex(ctx context.Context, s fileslice.Slice, note tableNote) error {
	bucket, ok := keys.BucketOf(s.FileID)
	if !ok || bucket >= note.Buckets {
		return &MismatchError{"buckets", s.FileID, fmt.Sprint(note.Buckets)}
	}
	if !s.HasBase {
		return nil
	}
	file, err := t.OpenFile(ctx, s.Base)
	if err != nil {
		return err
	}
	for _, key := range []string{file.Footer().MinKey, file.Footer().MaxKey} {
		if key == "" { // the footer need not have them
			continue
		}
		var values []string
		for _, field := range bucketFields(note.BucketField) {
			value, ok := keyField(key, note.RecordKeyFields, field)
			if !ok {
				return &UnsupportedError{s.Base.Key(), key, "the record key is not made of " + strings.Join(note.RecordKeyFields, ", ")}
			}
			values = append(values, value)
		}
		if want := keys.Bucket(note.Buckets, values...); want != bucket {
			return &MismatchError{"bucket of " + key, fmt.Sprint(bucket), fmt.Sprint(want)}
		}
	}
	return nil
}

// keyField is the text of one field of a complex key, "a:1,b:2". Where a value looks like the next field's name, keys are ambiguous and
// Hudi splits them as here.
func keyField(key string, fields []string, name string) (value string, ok bool) {
	for i, f := range fields {
		rest, found := strings.CutPrefix(key, f+":")
		if !found {
			return "", false
		}
		value, key = rest, ""
		if i+1 < len(fields) {
			at := strings.Index(rest, ","+fields[i+1]+":")
			if at < 0 {
				return "", false
			}
			value, key = rest[:at], rest[at+1:]
		}
		if f == name {
			return value, true
		}
	}
	return "", false
}

// adoptHead makes a HEAD whose last commit is the timeline's. It carries its completed file as of one's own, should the timeline lose it.
func (t *Table) adoptHead(ctx context.Context) error {
	tl, err := t.Timeline(ctx)
	if err != nil {
		return err
	}
	commits := tl.Commits()
	if len(commits) == 0 {
		// Files of a first attempt would count as committed as soon as a second one is; see Create.
		return &UnsupportedError{timeline.Folder, "", "nothing was ever committed to the table"}
	}
	last := commits[len(commits)-1]
	data, _, err := t.store.Get(ctx, last.Key())
	if err != nil {
		return fmt.Errorf("read instant %s: %w", last.FileName(), err)
	}
	id := t.options.newID()
	h := txn.Head{
		Format: txn.FormatVersion, WriteID: id, CommitID: id, History: []string{id}, Instant: last.Instant, Action: last.Action,
		Completion: last.Completion, CompletedAt: t.options.now().UTC().Truncate(time.Millisecond),
	}
	if t.layout() == timeline.Layout2 && last.Completion == "" {
		return &UnsupportedError{last.FileName(), "", "the last commit is older than the table's upgrade and does not say when it completed"}
	}
	if err := txn.SetCompleted(ctx, t.store, &h, data); err != nil {
		return err
	}
	_, err = txn.Create(ctx, t.store, h)
	return err
}
