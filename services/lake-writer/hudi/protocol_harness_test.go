package hudi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/txn"
)

// The protocol tests write rows as JSON instead of Parquet: the commit protocol does not look into the files, and a sweep over every
// store call runs in a blink. Commits with real files are in commit_test.go.

const (
	protoSchema = `{"type":"record","name":"event","fields":[` +
		`{"name":"session_id","type":["null","string"],"default":null},{"name":"event_id","type":["null","string"],"default":null},` +
		`{"name":"event_time","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null},` +
		`{"name":"day","type":["null","string"],"default":null}]}`
	protoStream = "events"
)

var protoConfig = TableConfig{
	Database: "lake", Name: "events", RecordKeyFields: []string{"session_id", "event_id"}, PartitionFields: []string{"day"},
	OrderingField: "event_time", HiveStylePartitioning: true, Buckets: 2, BucketField: "session_id", Schema: protoSchema,
}

var protoStart = time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)

type protoRow struct {
	Key    string
	Commit timeline.Instant
}

// protoOptions give every table of a test a clock that does not advance but by the instants taken, and countable ids.
func protoOptions() []Option {
	var ids atomic.Int64
	return []Option{
		WithClock(func() time.Time { return protoStart }),
		WithIDs(func() string { return fmt.Sprintf("id-%d", ids.Add(1)) }),
		WithParallelism(1), // so that store calls come in one order
		func(o *options) { o.writeFile, o.writeCluster, o.logInstants = protoFile, protoCluster, protoInstants },
	}
}

// protoInstants are the instants of a log file's rows.
func protoInstants(ctx context.Context, table *Table, l fileslice.LogFile) ([]timeline.Instant, error) {
	rows, err := protoRows(ctx, table.store, l.Key())
	var instants []timeline.Instant
	for _, r := range rows {
		instants = append(instants, r.Commit)
	}
	return instants, err
}

// protoFile is a fileWriter whose files are JSON lists. A log file's rows tell their instant by their commit time, as blocks do.
func protoFile(ctx context.Context, table *Table, job fileJob) (fileResult, error) {
	var rows []protoRow
	if job.slice.HasBase && job.kind != appendLog {
		var err error
		if rows, err = protoRows(ctx, table.store, job.slice.Base.Key()); err != nil {
			return fileResult{}, err
		}
	}
	var r fileResult
	if job.kind == compact {
		for _, l := range job.slice.Logs {
			logged, err := protoRows(ctx, table.store, l.Key())
			if err != nil {
				return fileResult{}, err
			}
			rows = append(rows, protoCommitted(logged, job.timeline)...)
		}
		data, err := json.Marshal(protoUnique(rows))
		r.data, r.rows = data, int64(len(rows))
		return r, err
	}
	for _, rec := range job.records {
		if slices.ContainsFunc(rows, func(row protoRow) bool { return row.Key == rec.Key }) {
			r.duplicates++
			continue
		}
		r.added++
		rows = append(rows, protoRow{rec.Key, job.instant})
	}
	if r.added == 0 {
		return r, nil
	}
	data, err := json.Marshal(rows)
	r.data, r.rows = data, int64(len(rows))
	return r, err
}

func protoRows(ctx context.Context, store storage.Store, key string) ([]protoRow, error) {
	data, _, err := store.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	var rows []protoRow
	return rows, json.Unmarshal(data, &rows)
}

// protoCommitted are the rows of a log file that count for a reader.
func protoCommitted(rows []protoRow, tl *timeline.Timeline) []protoRow {
	return slices.DeleteFunc(rows, func(r protoRow) bool { return !tl.Committed(r.Commit) })
}

// protoUnique merges by key; the last one wins.
func protoUnique(rows []protoRow) []protoRow {
	var unique []protoRow
	for i, r := range rows {
		if !slices.ContainsFunc(rows[i+1:], func(later protoRow) bool { return later.Key == r.Key }) {
			unique = append(unique, r)
		}
	}
	return unique
}

func protoKey(offset int64) string {
	return fmt.Sprintf("session_id:s%d,event_id:e%d", offset%3, offset)
}

// protoPlace spreads offsets over two partitions and two buckets.
func protoPlace(offset int64) (partition string, bucket int) {
	return fmt.Sprintf("day=%d", offset/2%2), int(offset % 2)
}

// protoRequest holds the rows of the offsets from..next.
func protoRequest(from, next int64) CommitRequest {
	req := CommitRequest{
		WriterSchemas: []string{protoSchema}, Watermark: time.UnixMilli(next),
		Progress: Progress{protoStream: {0: {from, next}}},
	}
	for o := from; o < next; o++ {
		partition, bucket := protoPlace(o)
		i := slices.IndexFunc(req.Groups, func(g Group) bool { return g.Partition == partition && g.Bucket == bucket })
		if i < 0 {
			i = len(req.Groups)
			req.Groups = append(req.Groups, Group{Partition: partition, Bucket: bucket})
		}
		req.Groups[i].Records = append(req.Groups[i].Records, Record{Key: protoKey(o)})
	}
	return req
}

// protoGoal is how many rows a driven table gets, in commits of protoBatch.
const protoGoal, protoBatch = 10, 4

// drive works as a caller does: it creates or opens, acquires, and commits from where HEAD says until the goal is reached. It repeats what
// may be repeated, a bounded number of times, and gives up when fenced.
func drive(ctx context.Context, store storage.Store, owner string, opts []Option) error {
	return driveOn(ctx, store, owner, opts, protoConfig)
}

func driveOn(ctx context.Context, store storage.Store, owner string, opts []Option, cfg TableConfig) error {
	var err error
	for range 4 {
		if err = driveTable(ctx, store, owner, opts, cfg, nil); err == nil || errors.Is(err, ErrFenced) {
			return err
		}
	}
	return err
}

func driveOnce(ctx context.Context, store storage.Store, owner string, opts []Option) error {
	return driveWith(ctx, store, owner, opts, nil)
}

// driveLarge is driveOnce with commits whose metadata does not fit into HEAD.
func driveLarge(ctx context.Context, store storage.Store, owner string, opts []Option) error {
	return driveWith(ctx, store, owner, opts, map[string]string{"large": strings.Repeat("x", txn.InlineLimit)})
}

func driveWith(ctx context.Context, store storage.Store, owner string, opts []Option, extra map[string]string) error {
	return driveTable(ctx, store, owner, opts, protoConfig, extra)
}

// protoMergeConfig is protoConfig as a merge-on-read table.
func protoMergeConfig() TableConfig {
	cfg := protoConfig
	cfg.Type = MergeOnRead
	return cfg
}

func version9(cfg TableConfig) TableConfig {
	cfg.Version = Version9
	return cfg
}

// protoAppendConfig is protoConfig without a bucket index.
func protoAppendConfig() TableConfig {
	cfg := protoConfig
	cfg.Buckets, cfg.BucketField = 0, ""
	return cfg
}

func protoAppendOnly(t *testing.T, store storage.Store) bool {
	t.Helper()
	note, err := loadNote(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	return note.Buckets == 0
}

// driveTable compacts a merge-on-read table after each commit but the first, and clusters an append-only one. The last commit overwrites all partitions with all rows.
func driveTable(ctx context.Context, store storage.Store, owner string, opts []Option, cfg TableConfig, extra map[string]string) error {
	t, err := Create(ctx, store, cfg, opts...)
	if err != nil {
		return err
	}
	w, err := t.Acquire(ctx, owner)
	if err != nil {
		return err
	}
	for {
		from := w.Head().Offsets[protoStream][0]
		if from >= protoGoal {
			return w.Redo(ctx)
		}
		req := protoRequest(from, min(protoGoal, from+protoBatch))
		req.ExtraMetadata = extra
		if cfg.Buckets == 0 {
			req.Operation = BulkInsert
			if from > protoBatch {
				if err := settled(ctx, w, func() (*CommitResult, error) { return w.Cluster(ctx, ClusterOptions{}) }); err != nil {
					return err
				}
			}
		}
		if cfg.Type == MergeOnRead {
			req.Operation = Upsert
			if from > protoBatch { // so that one commit's logs are met by the next
				if err := settled(ctx, w, func() (*CommitResult, error) { return w.Compact(ctx, CompactOptions{}) }); err != nil {
					return err
				}
			}
		}
		if from+protoBatch >= protoGoal {
			progress := req.Progress
			req = protoRequest(0, protoGoal)
			req.Operation, req.Progress, req.ExtraMetadata = InsertOverwrite, progress, extra
		}
		if err := settled(ctx, w, func() (*CommitResult, error) { return w.Commit(ctx, req) }); err != nil {
			return err
		}
	}
}

// settled does what a caller does whose commit may or may not have happened.
func settled(ctx context.Context, w *Writer, commit func() (*CommitResult, error)) error {
	_, err := commit()
	if errors.Is(err, ErrUnknownOutcome) {
		_, err = w.Resolve(ctx)
	}
	return err
}

// checkState holds for a table at any moment: what the timeline shows is whole, every row is there once, and rows and offsets agree.
// It returns the number of rows that readers see.
func checkState(t *testing.T, store storage.Store) int64 {
	t.Helper()
	table, err := Open(t.Context(), store, protoOptions()...)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	tl, err := table.Timeline(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	offsets, sizes := checkCommits(t, table, tl)
	var objects []fileslice.Object
	for info, err := range store.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, fileslice.Object{Key: info.Key, Size: info.Size})
	}
	seen := make(map[string]bool)
	replaced, err := table.Replaced(t.Context(), tl)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range fileslice.Latest(objects, tl, replaced).Slices {
		if sizes[s.Base.Key()] != s.Base.Size {
			t.Errorf("%s has %d bytes, its commit says %d", s.Base.Key(), s.Base.Size, sizes[s.Base.Key()])
		}
		rows, err := protoRows(t.Context(), store, s.Base.Key())
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range s.Logs {
			logged, err := protoRows(t.Context(), store, l.Key())
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, protoCommitted(logged, tl)...)
		}
		for _, r := range protoUnique(rows) {
			if seen[r.Key] {
				t.Errorf("row %s is there twice", r.Key)
			}
			seen[r.Key] = true
			if !tl.Committed(r.Commit) {
				t.Errorf("row %s is of %s, which is not committed", r.Key, r.Commit)
			}
		}
	}
	for o := range offsets {
		if !seen[protoKey(o)] {
			t.Errorf("row of offset %d is lost: the newest commit ends at %d", o, offsets)
		}
	}
	if int64(len(seen)) != offsets {
		t.Errorf("%d rows, but the newest commit ends at %d", len(seen), offsets)
	}
	return offsets
}

// checkCommits checks that every file a commit names is there, and that commits follow each other without gap; it returns the offset that
// the newest ends at and the files' sizes.
func checkCommits(t *testing.T, table *Table, tl *timeline.Timeline) (next int64, sizes map[string]int64) {
	t.Helper()
	sizes = make(map[string]int64)
	previous := ""
	for _, e := range tl.Commits() {
		c, err := table.Commit(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		note, ok := c.Note()
		if !ok || note.PreviousCommitID != previous {
			t.Errorf("commit %s follows %q, not %q", e.Instant, note.PreviousCommitID, previous)
		}
		previous = note.CommitID
		if got := note.Offsets[protoStream][0]; got < next {
			t.Errorf("commit %s takes the offset back from %d to %d", e.Instant, next, got)
		} else {
			next = got
		}
		for partition, stats := range c.PartitionToWriteStats {
			if _, err := table.store.Stat(t.Context(), partition+"/"+fileslice.PartitionMetafile); err != nil {
				t.Errorf("partition of commit %s: %v", e.Instant, err)
			}
			for _, s := range stats {
				info, err := table.store.Stat(t.Context(), *s.Path)
				if err != nil || info.Size != s.FileSizeInBytes {
					t.Errorf("file of commit %s: %+v, %v; want %d bytes", e.Instant, info, err, s.FileSizeInBytes)
				}
				sizes[*s.Path] = s.FileSizeInBytes
				f, err := fileslice.ParseKey(*s.Path)
				if l, logErr := fileslice.ParseLogKey(*s.Path); logErr == nil {
					f, err = fileslice.BaseFile{FileID: l.FileID, Instant: e.Instant}, nil
				}
				b, ok := keys.BucketOf(f.FileID)
				inBucket := ok && b < protoConfig.Buckets || protoAppendOnly(t, table.store)
				if err != nil || !inBucket || f.Instant != e.Instant {
					t.Errorf("name of a file of commit %s: %s, %v", e.Instant, *s.Path, err)
				}
			}
		}
	}
	return next, sizes
}

// checkSettled holds after a successor has come to the goal: all rows, and nothing left of any attempt but completed rollbacks.
func checkSettled(t *testing.T, store storage.Store) {
	t.Helper()
	if got := checkState(t, store); got != protoGoal {
		t.Errorf("readers see %d rows, want %d", got, protoGoal)
	}
	table, err := Open(t.Context(), store, protoOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	head, err := table.Head(t.Context())
	if err != nil || head.Offsets[protoStream][0] != protoGoal {
		t.Errorf("HEAD ends at %v, %v", head.Offsets, err)
	}
	tl, err := table.Timeline(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range tl.Pending() {
		t.Errorf("%s is pending", e.FileName())
		for info, err := range store.List(t.Context(), ".hoodie/") {
			t.Log(info.Key, err)
		}
	}
	for _, e := range tl.Commits() {
		if table.Type() == MergeOnRead && e.Action == timeline.Commit {
			e.Action = timeline.Compaction // which completes as a commit
		}
		if c, err := table.Commit(t.Context(), e); err != nil {
			t.Fatal(err)
		} else if c.OperationType == meta.OperationCluster {
			e.Action = table.clusteringAction()
		}
		for _, state := range []timeline.State{timeline.Requested, timeline.Inflight} {
			if _, err := store.Stat(t.Context(), e.In(state).Key()); err != nil {
				t.Errorf("completed without %s: %v", e.In(state).FileName(), err)
			}
		}
	}
	newest := newestBase(t, store, tl)
	for info, err := range store.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(info.Key, meta.TempFolder) || strings.HasPrefix(info.Key, txn.StagedFolder) {
			t.Errorf("%s is left", info.Key)
		}
		if f, err := fileslice.ParseKey(info.Key); err == nil && !tl.Committed(f.Instant) {
			t.Errorf("%s is left", info.Key)
		}
		l, err := fileslice.ParseLogKey(info.Key)
		if err == nil && tl.Layout() == timeline.Layout2 && !tl.Committed(l.Instant) {
			t.Errorf("%s is left", info.Key)
		}
		if err == nil && newest[l.FileID] == l.Instant { // else hidden under a later base file
			if rows, err := protoRows(t.Context(), store, info.Key); err != nil || len(protoCommitted(rows, tl)) == 0 {
				t.Errorf("%s is left: %v", info.Key, err)
			}
		}
	}
}

// newestBase are the instants of the newest base files by file id.
func newestBase(t *testing.T, store storage.Store, tl *timeline.Timeline) map[string]timeline.Instant {
	t.Helper()
	newest := make(map[string]timeline.Instant)
	for info, err := range store.List(t.Context(), "day=") {
		if err != nil {
			t.Fatal(err)
		}
		if f, err := fileslice.ParseKey(info.Key); err == nil && tl.Committed(f.Instant) {
			newest[f.FileID] = max(newest[f.FileID], f.Instant)
		}
	}
	return newest
}

// sweepStore makes the store of one case of a sweep: in memory, or files in a folder when PLAYHEAD_HUDI_SWEEP_STORE=dir asks for them.
func sweepStore(t *testing.T) storage.Store {
	t.Helper()
	if os.Getenv("PLAYHEAD_HUDI_SWEEP_STORE") != "dir" {
		return storage.NewMem()
	}
	return dirStore(t)
}

// dirStore makes a store in a folder of its own.
func dirStore(t *testing.T) storage.Store {
	t.Helper()
	store, err := storage.NewDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// copyOf is a store with the same objects.
func copyOf(t *testing.T, from storage.Store) storage.Store {
	t.Helper()
	to := sweepStore(t)
	for info, err := range from.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		data, _, err := from.Get(t.Context(), info.Key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := to.Put(t.Context(), info.Key, data, storage.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// finishAlone lets a successor without faults bring the table to its goal, touching every partition at the end.
func finishAlone(t *testing.T, store storage.Store) {
	t.Helper()
	finishAloneOn(t, store, protoConfig)
}

func finishAloneOn(t *testing.T, store storage.Store, cfg TableConfig) {
	t.Helper()
	opts := protoOptions()
	opts[0] = WithClock(func() time.Time { return protoStart.Add(2 * reservationLife) }) // so that nothing needs to be kept
	opts[1] = WithIDs(namedIDs("successor"))
	if err := driveOn(t.Context(), store, "successor", opts, cfg); err != nil {
		t.Fatalf("successor: %v", err)
	}
	table, err := Open(t.Context(), store, opts...)
	if err != nil {
		t.Fatal(err)
	}
	w, err := table.Acquire(t.Context(), "successor")
	if err != nil {
		t.Fatalf("acquire: %v", err)
	}
	again := protoRequest(0, protoGoal) // every row once more, as after a lost checkpoint of the caller's
	again.Progress = nil
	if cfg.Type == MergeOnRead {
		again.Operation = Upsert
	}
	if cfg.Buckets == 0 { // where the same rows would be there twice
		again.Operation = InsertOverwrite
	}
	result, err := w.Commit(t.Context(), again)
	if err != nil || again.Operation == Insert && (result.Rows != 0 || result.Duplicates != protoGoal || result.Files != 0) {
		t.Errorf("the same rows once more: %+v, %v", result, err)
	}
	if _, err := table.Acquire(t.Context(), "successor"); err != nil { // what was staged for the HEAD before is swept now
		t.Fatalf("acquire: %v", err)
	}
}
