package hudi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/txn"
)

type tableNote = meta.TableNote

// Create makes a table, or finishes one whose making was interrupted. A table that is there already is returned when it is the same but
// for its schema, which may have grown since; else a *MismatchError says in what it differs.
//
// A new table begins with an empty commit. Readers take a file for committed when it is older than the first commit of the timeline
// (Hudi supposes it archived), so nothing may ever be attempted before one.
func Create(ctx context.Context, store storage.Store, cfg TableConfig, opts ...Option) (*Table, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("create table: %w", err)
	}
	t := &Table{store: store, options: newOptions(opts)}
	note, err := t.settleNote(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("create table: %w", err)
	}
	t.props = properties(note)
	head, err := t.createHead(ctx, note)
	if err != nil {
		return nil, fmt.Errorf("create table: %w", err)
	}
	if err := t.putProperties(ctx); err != nil {
		return nil, fmt.Errorf("create table: %w", err)
	}
	if head.Head.Sequence == 0 {
		if err := txn.Project(ctx, store, head.Head); err != nil {
			return nil, fmt.Errorf("create table: %w", err)
		}
	}
	return Open(ctx, store, opts...)
}

func (c TableConfig) check() error {
	invalid := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
	}
	schema, err := parseTableSchema(c.Schema)
	if err != nil {
		return err
	}
	switch {
	case c.Name == "" || strings.ContainsAny(c.Database+c.Name, "/\\ \t\r\n."):
		return invalid("table name %q.%q", c.Database, c.Name)
	case c.Type != "" && c.Type != CopyOnWrite && c.Type != MergeOnRead:
		return invalid("table type %q", c.Type)
	case c.Version != 0 && c.Version != Version6 && c.Version != Version9:
		return invalid("table version %d, want %d or %d", c.Version, Version6, Version9)
	}
	if err := c.checkBuckets(); err != nil {
		return err
	}
	for _, f := range slices.Concat(c.RecordKeyFields, c.PartitionFields, []string{c.OrderingField}) {
		if schema.field(f) == nil {
			return invalid("field %q is not in the schema", f)
		}
	}
	return c.checkGenerator(schema)
}

// bucketFields are the fields that decide the bucket, in the order in which they are hashed.
func bucketFields(list string) []string { return strings.Split(list, ",") }

// note is the table note of a table that is made so.
func (c TableConfig) note() tableNote {
	n := tableNote{
		Format: meta.TableNoteFormat, Database: c.Database, Name: c.Name, RecordKeyFields: c.RecordKeyFields,
		PartitionFields: c.PartitionFields, OrderingField: c.OrderingField, HiveStyle: c.HiveStylePartitioning,
		Buckets: c.Buckets, BucketField: c.BucketField, Schema: c.Schema,
		URLEncode: c.URLEncodePartitions, PartitionTimeUnit: string(c.PartitionTime.Unit), PartitionTimeFormat: c.PartitionTime.Pattern,
	}
	if c.Type == MergeOnRead { // notes of before there was a choice have no type and no version
		n.Type = string(c.Type)
	}
	if c.Version != Version6 {
		n.Version = c.Version
	}
	return n
}

// settleNote writes the table note, or returns the one that is there: what it says is what the rest of the table is made from.
func (t *Table) settleNote(ctx context.Context, cfg TableConfig) (tableNote, error) {
	want := cfg.note()
	have, err := loadNote(ctx, t.store)
	if err == nil {
		return have, compareNotes(have, want)
	}
	if !errors.Is(err, storage.ErrNotExist) {
		return tableNote{}, err
	}
	_, _, err = loadProperties(ctx, t.store)
	if err == nil { // a table, and the note is made before one: read again, since another creator may have been between the two
		if have, err = loadNote(ctx, t.store); err == nil {
			return have, compareNotes(have, want)
		}
		if errors.Is(err, storage.ErrNotExist) {
			err = errNotOurs
		}
		return tableNote{}, err
	}
	if !errors.Is(err, ErrNotFound) {
		return tableNote{}, err
	}
	if err := checkNewSchema(cfg.Schema); err != nil {
		return tableNote{}, err
	}
	data, err := want.Encode()
	if err != nil {
		return tableNote{}, err
	}
	_, err = t.store.Put(ctx, meta.TableNoteKey, data, storage.Condition{IfAbsent: true})
	if storage.Classify(err) == storage.Precondition { // another creator was faster
		have, err := loadNote(ctx, t.store)
		if err != nil {
			return tableNote{}, err
		}
		return have, compareNotes(have, want)
	}
	if err != nil {
		return tableNote{}, fmt.Errorf("write table note: %w", err)
	}
	return want, nil
}

var errNotOurs = &UnsupportedError{meta.TableNoteKey, "", "the table was not created by this library, so its buckets are not known; Adopt takes it over"}

func loadNote(ctx context.Context, store storage.Store) (tableNote, error) {
	data, _, err := store.Get(ctx, meta.TableNoteKey)
	if err != nil {
		return tableNote{}, fmt.Errorf("read table note: %w", err)
	}
	n, err := meta.ParseTableNote(data)
	if err != nil {
		return tableNote{}, fmt.Errorf("read table note: %w", err)
	}
	return n, nil
}

// compareNotes compares all but the schema and the format.
func compareNotes(have, want tableNote) error {
	h, w := reflect.ValueOf(have), reflect.ValueOf(want)
	for i := range h.NumField() {
		name, _, _ := strings.Cut(h.Type().Field(i).Tag.Get("json"), ",")
		a, b := fmt.Sprint(h.Field(i).Interface()), fmt.Sprint(w.Field(i).Interface())
		if name != "schema" && name != "format" && a != b {
			return &MismatchError{name, a, b}
		}
	}
	return nil
}

// createHead makes the HEAD of an empty table, with its empty first commit, or returns the one that is there.
func (t *Table) createHead(ctx context.Context, note tableNote) (txn.Stored, error) {
	stored, err := txn.Load(ctx, t.store)
	if !errors.Is(err, storage.ErrNotExist) {
		return stored, err
	}
	now, id := t.options.now(), t.options.newID()
	h := txn.Head{
		Format: txn.FormatVersion, WriteID: id, CommitID: id, History: []string{id},
		Instant: timeline.At(now), Action: timeline.Commit, CompletedAt: now.UTC(),
	}
	if TableType(note.Type) == MergeOnRead {
		h.Action = timeline.DeltaCommit
	}
	if t.layout() == timeline.Layout2 {
		h.Completion = timeline.Next(now, h.Instant)
	}
	text, err := meta.CommitNote{CommitID: id, CompletedMillis: now.UnixMilli()}.Encode()
	if err != nil {
		return txn.Stored{}, err
	}
	h.Completed, err = t.encodeCommit(meta.Commit{
		ExtraMetadata: map[string]string{meta.SchemaKey: note.Schema, meta.PlayheadKey: text},
		OperationType: meta.OperationUpsert,
	})
	if err != nil {
		return txn.Stored{}, err
	}
	return txn.Create(ctx, t.store, h)
}

// eventTimeStrategy is the id of merging by the ordering field (HoodieRecordMerger.EVENT_TIME_BASED_MERGE_STRATEGY_UUID).
const eventTimeStrategy = "eeb8d96f-b1e4-49fd-bbf8-28ac514178e5"

// properties are hoodie.properties of a new table, but for its checksum.
func properties(n tableNote) meta.Properties {
	p := meta.Properties{
		meta.TableName: n.Name, meta.DatabaseName: n.Database, meta.TableType: string(CopyOnWrite), meta.TimelineTimezone: "UTC", meta.DropPartitionColumns: "false",
		meta.PopulateMetaFields: "true", meta.BaseFileFormat: "PARQUET", meta.CreateSchema: n.Schema,
	}
	if n.Type != "" {
		p[meta.TableType] = n.Type
	}
	if n.Version == Version9 {
		addVersion9(p, n)
	} else {
		addVersion6(p, n)
	}
	addKeyGenerator(p, n)
	return p
}

// addVersion6 adds the keys that Hudi 0.15 writes and 0.15 to 1.2 read.
func addVersion6(p meta.Properties, n tableNote) {
	maps.Copy(p, meta.Properties{
		meta.TableVersion: "6", meta.TimelineLayout: timeline.Layout1.String(), meta.ArchiveFolder: "archived", meta.PrecombineField: n.OrderingField,
		meta.PayloadClass: defaultPayload,
	})
	if TableType(n.Type) == MergeOnRead {
		p[meta.MergerStrategy] = eventTimeStrategy
	}
}

// addVersion9 adds the keys that Hudi 1.1 and 1.2 write. The archive folder is left out: the history has a path of its own.
func addVersion9(p meta.Properties, n tableNote) {
	maps.Copy(p, meta.Properties{
		meta.TableVersion: "9", meta.InitialVersion: "9", meta.TimelineLayout: timeline.Layout2.String(), meta.TimelinePath: "timeline",
		meta.HistoryPath: "history", meta.TableFormat: "native", meta.OrderingFields: n.OrderingField, meta.MergeMode: "EVENT_TIME_ORDERING",
	})
}

// putProperties makes the place a table for everybody else.
func (t *Table) putProperties(ctx context.Context) error {
	p := maps.Clone(t.props)
	p[meta.Checksum] = p.TableChecksum()
	data := p.Encode("Properties saved on", t.options.now())
	_, err := t.store.Put(ctx, meta.PropertiesKey, data, storage.Condition{IfAbsent: true})
	if err != nil && storage.Classify(err) != storage.Precondition {
		return fmt.Errorf("write %s: %w", meta.PropertiesKey, err)
	}
	return nil
}
