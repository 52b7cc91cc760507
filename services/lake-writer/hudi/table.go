package hudi

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/txn"
)

// TableType is how a table takes updates.
type TableType string

// The types, as hoodie.properties has them.
const (
	CopyOnWrite TableType = "COPY_ON_WRITE" // a commit rewrites the base files that it touches
	MergeOnRead TableType = "MERGE_ON_READ" // a commit adds log files, which readers merge and compaction folds in
)

// The table versions that can be written. Hudi's releases before 1.0 and many other engines read no later version than 6; version 9 is read
// and written by Hudi 1.1 and later.
const (
	Version6 = 6
	Version9 = 9
)

// TableConfig describes a table to create.
type TableConfig struct {
	Database, Name        string
	Type                  TableType // "": CopyOnWrite
	Version               int       // of Hudi's tables: Version6 or Version9; 0: Version6
	RecordKeyFields       []string  // one for simple keys, two or more for complex ones
	PartitionFields       []string  // none for a table without partitions; one with simple keys
	OrderingField         string    // of two rows of one key, readers of other table types keep the one where it is greater
	HiveStylePartitioning bool      // a=1/b=2, else 1/2
	URLEncodePartitions   bool      // values in partition paths are escaped
	// PartitionTime makes the partition path from the number of one long field, in UTC. Zero: fields are taken as they are.
	PartitionTime keys.TimeFormat
	Buckets       int    // file groups per partition; cannot change later. 0, without a BucketField, makes an append-only table
	BucketField   string // the record key field that decides the bucket; of several, with commas between
	Schema        string // Avro record, every field nullable, without meta columns
}

// Table is an open table. It holds no state of the store but hoodie.properties as it was when opened, and of the archived timeline what never
// changes.
type Table struct {
	store   storage.Store
	props   meta.Properties
	options options

	completions completions
}

type options struct {
	now         func() time.Time
	newID       func() string
	parallelism int
	baseURI     string
	metadata    MetadataTable
	// metadataLogs is how many updates a kept metadata table gets before it is built anew.
	metadataLogs int
	parquetFrom  int // records that make a log block Parquet; 0: none do
	writeFile    fileWriter
	writers      *writerPool
	// writeCluster is the same for the files of a clustering.
	writeCluster clusterWriter
	logInstants  func(ctx context.Context, t *Table, l fileslice.LogFile) ([]timeline.Instant, error)
}

// Option changes how a table is worked with.
type Option func(*options)

// WithClock sets the clock that instants are taken from; the default is time.Now.
func WithClock(now func() time.Time) Option { return func(o *options) { o.now = now } }

// WithIDs sets where unique ids come from; the default are random UUIDs.
func WithIDs(newID func() string) Option { return func(o *options) { o.newID = newID } }

// WithParallelism bounds how many data files a commit builds and puts at a time, each held in memory; the default is 4.
func WithParallelism(n int) Option { return func(o *options) { o.parallelism = max(1, n) } }

// WithBaseURI names the table's base path as other engines know it, such as s3a://bucket/lake/events. It is written into rollback plans,
// whose paths are absolute, so that Hudi can finish a rollback of ours.
func WithBaseURI(uri string) Option {
	return func(o *options) { o.baseURI = strings.TrimSuffix(uri, "/") + "/" }
}

func newOptions(opts []Option) options {
	o := options{
		now: time.Now, newID: uuid.NewString, parallelism: 4, metadataLogs: maxMetadataLogs,
		writeFile: writeDataFile, writeCluster: writeClusterFiles, writers: new(writerPool), logInstants: readLogInstants,
	}
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// Open opens a table. It is strict: a table whose reading would need what this package does not know is refused with an
// *UnsupportedError. No table is ErrNotFound.
func Open(ctx context.Context, store storage.Store, opts ...Option) (*Table, error) {
	p, _, err := loadProperties(ctx, store)
	if err != nil {
		return nil, fmt.Errorf("open table: %w", err)
	}
	if err := checkReadable(p); err != nil {
		return nil, fmt.Errorf("open table: %w", err)
	}
	return &Table{store: store, props: p, options: newOptions(opts)}, nil
}

// Name is the table's name, database.name or name alone.
func (t *Table) Name() string {
	return strings.TrimPrefix(t.props[meta.DatabaseName]+"."+t.props[meta.TableName], ".")
}

// Properties are the table's properties as of Open. The map is the caller's.
func (t *Table) Properties() map[string]string {
	c := make(map[string]string, len(t.props))
	for k, v := range t.props {
		c[k] = v
	}
	return c
}

// Type is how the table takes updates.
func (t *Table) Type() TableType {
	if t.props[meta.TableType] == string(MergeOnRead) {
		return MergeOnRead
	}
	return CopyOnWrite
}

// commitAction is the action of the table's ordinary commits.
func (t *Table) commitAction() timeline.Action {
	if t.Type() == MergeOnRead {
		return timeline.DeltaCommit
	}
	return timeline.Commit
}

// Head is the table's HEAD: owner, offsets and the last commit of this library. A table that this library does not write has none.
func (t *Table) Head(ctx context.Context) (Head, error) {
	stored, err := txn.Load(ctx, t.store)
	if errors.Is(err, storage.ErrNotExist) {
		return Head{}, &UnsupportedError{txn.Key, "", "the table was not created by this library"}
	}
	return stored.Head, err
}

// Head is the state of a table as its writers see it.
type Head = txn.Head

// Timeline lists the table's active timeline.
func (t *Table) Timeline(ctx context.Context) (*timeline.Timeline, error) {
	var names []string
	for info, err := range t.store.List(ctx, t.layout().Prefix()) {
		if err != nil {
			return nil, fmt.Errorf("list timeline: %w", err)
		}
		names = append(names, strings.TrimPrefix(info.Key, t.layout().Folder()))
	}
	if len(names) == 0 { // an upgrade moves the timeline, and a table without one would read as empty
		return timeline.NewLayout(t.layout(), nil), t.checkVersion(ctx)
	}
	return timeline.NewLayout(t.layout(), names), nil
}

// layout is the layout of the table's timeline. Which it is was checked when the table was opened.
func (t *Table) layout() timeline.Layout {
	l, _ := timeline.ParseLayout(t.props[meta.TimelineLayout])
	return l
}

// checkVersion makes sure that the table's version is still the one it was opened with.
func (t *Table) checkVersion(ctx context.Context) error {
	p, _, err := loadProperties(ctx, t.store)
	if err != nil {
		return err
	}
	return sameVersion(p, t.props)
}

func sameVersion(have, want meta.Properties) error {
	for _, key := range []string{meta.TableVersion, meta.TimelineLayout} {
		if have[key] != want[key] {
			return &MismatchError{key, have[key], want[key]}
		}
	}
	return nil
}

// entry is an instant of the table's timeline.
func (t *Table) entry(i timeline.Instant, a timeline.Action, s timeline.State) timeline.Entry {
	return timeline.Entry{Instant: i, Action: a, State: s, Layout: t.layout()}
}

// encodeCommit is commit metadata as the table's version has them.
func (t *Table) encodeCommit(c meta.Commit) ([]byte, error) {
	if t.layout() == timeline.Layout2 {
		return c.EncodeOCF()
	}
	return c.Encode()
}

// Commit reads the metadata of a completed write.
func (t *Table) Commit(ctx context.Context, e timeline.Entry) (*meta.Commit, error) {
	data, _, err := t.store.Get(ctx, e.Key())
	if err != nil {
		return nil, fmt.Errorf("read instant %s: %w", e.FileName(), err)
	}
	c, err := meta.ParseCommit(data)
	if err != nil {
		return nil, fmt.Errorf("read instant %s: %w", e.FileName(), err)
	}
	return c, nil
}

// compactionPlan reads the plan of a compaction, pending or completed.
func (t *Table) compactionPlan(ctx context.Context, e timeline.Entry) (*meta.CompactionPlan, error) {
	requested := t.entry(e.Instant, timeline.Compaction, timeline.Requested)
	data, _, err := t.store.Get(ctx, requested.Key())
	if err != nil {
		return nil, fmt.Errorf("read plan of compaction %s: %w", e.Instant, err)
	}
	plan, err := meta.ParseCompactionPlan(data)
	if err != nil {
		return nil, fmt.Errorf("read plan of compaction %s: %w", e.Instant, err)
	}
	return plan, nil
}

// Schema is the table schema as of a timeline: that of the newest commit which names one, else the one of the creation.
func (t *Table) Schema(ctx context.Context, tl *timeline.Timeline) (string, error) {
	commits := tl.Commits()
	for i := len(commits) - 1; i >= 0; i-- {
		c, err := t.Commit(ctx, commits[i])
		if err != nil {
			return "", err
		}
		if schema := c.ExtraMetadata[meta.SchemaKey]; schema != "" {
			return schema, nil
		}
	}
	if schema := t.props[meta.CreateSchema]; schema != "" {
		return schema, nil
	}
	return "", &UnsupportedError{meta.CreateSchema, "", "neither a commit nor the table names a schema"}
}

// Replaced are the file groups, by partition, that completed replacecommits of the timeline took away.
func (t *Table) Replaced(ctx context.Context, tl *timeline.Timeline) (map[string][]string, error) {
	replaced := make(map[string][]string)
	for _, e := range tl.Commits() {
		if e.Action != timeline.ReplaceCommit {
			continue
		}
		c, err := t.Commit(ctx, e)
		if err != nil {
			return nil, err
		}
		for partition, ids := range c.PartitionToReplaceFileIDs {
			replaced[partition] = append(replaced[partition], ids...)
		}
	}
	return replaced, nil
}

// loadProperties reads hoodie.properties. Where it is missing or half written, the copy that a change of it leaves for its time counts, as
// for Hudi (HoodieTableConfig.fetchConfigs).
func loadProperties(ctx context.Context, store storage.Store) (meta.Properties, storage.Info, error) {
	var first error
	for _, key := range []string{meta.PropertiesKey, meta.PropertiesBackupKey} {
		data, info, err := store.Get(ctx, key)
		var p meta.Properties
		if err == nil {
			p, err = meta.ParseProperties(data)
		}
		if err == nil {
			err = p.CheckTable()
		}
		if err == nil {
			return p, info, nil
		}
		if first == nil {
			first = fmt.Errorf("read %s: %w", key, err)
		}
		if c := storage.Classify(err); c == storage.Retryable {
			break
		}
	}
	if errors.Is(first, storage.ErrNotExist) {
		first = fmt.Errorf("%w: %w", ErrNotFound, first)
	}
	return nil, storage.Info{}, first
}
