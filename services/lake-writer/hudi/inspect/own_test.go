package inspect

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

const ownSchema = `{"type":"record","name":"t","fields":[
 {"name":"session_id","type":["null","string"],"default":null},{"name":"event_id","type":["null","string"],"default":null},
 {"name":"event_time","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null},
 {"name":"price","type":["null",{"type":"fixed","name":"price_t","size":8,"logicalType":"decimal","precision":18,"scale":4}],"default":null},
 {"name":"day","type":["null","string"],"default":null}]}`

// ownTable is a table of this library with commits of 50 rows each, ten of them repeated in the next.
type ownTable struct {
	storage.Store
	table  *hudi.Table
	writer *hudi.Writer
	next   int // commit
	// operation is that of commits; the zero value is the one that fits the table.
	operation hudi.Operation
	// bucketOf is what the writer takes for the bucket of a session.
	bucketOf    func(session string) int
	eventBucket func(event string) int // where the bucket is that of the event
	// key and partition are the texts of a row.
	key       func(session, event string) string
	partition func(day string) string
	suffix    string // of days in rows
}

// ownConfig is the table's configuration, with what a test changes of it.
func ownConfig(kind hudi.TableType, version int) hudi.TableConfig {
	return hudi.TableConfig{
		Database: "lake", Name: "t", Type: kind, Version: version, RecordKeyFields: []string{"session_id", "event_id"},
		PartitionFields: []string{"day"}, OrderingField: "event_time", HiveStylePartitioning: true, Buckets: 2, BucketField: "session_id",
		Schema: ownSchema,
	}
}

func newOwnTable(tb testing.TB, kind hudi.TableType) *ownTable {
	tb.Helper()
	return ownTableIn(tb, storage.NewMem(), ownConfig(kind, hudi.Version6))
}

func ownTableIn(tb testing.TB, store storage.Store, cfg hudi.TableConfig) *ownTable {
	tb.Helper()
	table, err := hudi.Create(tb.Context(), store, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	w, err := table.Acquire(tb.Context(), "test")
	if err != nil {
		tb.Fatal(err)
	}
	return &ownTable{
		Store: store, table: table, writer: w, bucketOf: func(s string) int { return keys.Bucket(2, s) },
		key:       func(session, event string) string { return "session_id:" + session + ",event_id:" + event },
		partition: func(day string) string { return "day=" + day },
	}
}

// commits adds so many commits.
func (o *ownTable) commits(tb testing.TB, n int) *ownTable {
	tb.Helper()
	for range n {
		o.commit(tb)
	}
	return o
}

func (o *ownTable) commit(tb testing.TB) {
	tb.Helper()
	groups := make(map[string]*hudi.Group)
	for i := o.next * 40; i < o.next*40+50; i++ {
		session, event, day := fmt.Sprintf("s-%d", i%9), fmt.Sprintf("e-%d", i), fmt.Sprintf("2026-11-2%d", i%2)
		bucket := o.bucketOf(session)
		if o.eventBucket != nil {
			bucket = o.eventBucket(event)
		}
		id := fmt.Sprint(o.partition(day), bucket)
		if groups[id] == nil {
			groups[id] = &hudi.Group{Partition: o.partition(day), Bucket: bucket}
		}
		record := hudi.Record{Key: o.key(session, event), Payload: ownPayload(session, event, day+o.suffix, i)}
		groups[id].Records = append(groups[id].Records, record)
	}
	req := hudi.CommitRequest{
		WriterSchemas: []string{ownSchema},
		Progress:      hudi.Progress{"topic": {0: {From: int64(o.next * 50), Next: int64(o.next*50 + 50)}}},
	}
	req.Operation = o.operation
	if o.operation == hudi.Insert && o.table.Type() == hudi.MergeOnRead {
		req.Operation = hudi.Upsert
	}
	for _, id := range slices.Sorted(maps.Keys(groups)) {
		req.Groups = append(req.Groups, *groups[id])
	}
	if _, err := o.writer.Commit(tb.Context(), req); err != nil {
		tb.Fatal(err)
	}
	o.next++
}

// ownPrice is an unscaled price of either sign, whose bytes are found nowhere else in a file.
func ownPrice(i int) int64 { return int64(i%7-3) * 0x0123456789abcd }

// ownPayload is a record's Avro bytes: each field is a union of null and its type.
func ownPayload(session, event, day string, i int) []byte {
	text := func(dst []byte, s string) []byte {
		return append(binary.AppendVarint(append(dst, 2), int64(len(s))), s...)
	}
	b := append(text(text(nil, session), event), 0)
	if i%10 == 0 {
		b = append(b, 0)
	} else {
		b = binary.BigEndian.AppendUint64(append(b, 2), uint64(ownPrice(i)))
	}
	return text(b, day)
}

// verify verifies and fails on errors.
func verify(tb testing.TB, store storage.Store, o Options) *Report {
	tb.Helper()
	r, err := Verify(tb.Context(), store, o)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func TestVerifyOwnTables(t *testing.T) {
	t.Parallel()
	for _, version := range []int{hudi.Version6, hudi.Version9} {
		for kind, logs := range map[hudi.TableType]int{hudi.CopyOnWrite: 0, hudi.MergeOnRead: 8} {
			t.Run(fmt.Sprint(kind, version), func(t *testing.T) {
				t.Parallel()
				table := ownTableIn(t, storage.NewMem(), ownConfig(kind, version)).commits(t, 3)
				r := verify(t, table, Options{Now: instantsNow})
				if r.Rows != 130 || r.Partitions != 2 || r.Files != 4 || r.Logs != logs || len(r.Findings)+len(r.NotChecked) > 0 {
					t.Errorf("report %+v", r)
				}
				if kind != hudi.MergeOnRead {
					return
				}
				if _, err := table.writer.Compact(t.Context(), hudi.CompactOptions{}); err != nil {
					t.Fatal(err)
				}
				table.commit(t)
				if r := verify(t, table, Options{Now: instantsNow}); r.Rows != 170 || r.Files != 4 || r.Logs != 4 || len(r.Findings)+len(r.NotChecked) > 0 {
					t.Errorf("after a compaction: report %+v", r)
				}
			})
		}
	}
}

// TestVerifyPartitionInKey: a field that is both in the key and in the partition is compared with each.
func TestVerifyPartitionInKey(t *testing.T) {
	t.Parallel()
	for suffix, wrong := range map[string]bool{"": false, "x": true} {
		cfg := ownConfig(hudi.CopyOnWrite, hudi.Version6)
		cfg.RecordKeyFields = append(cfg.RecordKeyFields, "day")
		table := ownTableIn(t, storage.NewMem(), cfg)
		table.suffix = suffix
		table.key = func(session, event string) string {
			number, err := strconv.Atoi(strings.TrimPrefix(event, "e-"))
			if err != nil {
				t.Error(err)
			}
			return fmt.Sprintf("session_id:%s,event_id:%s,day:2026-11-2%d%s", session, event, number%2, suffix)
		}
		r := verify(t, table.commits(t, 1), Options{Now: instantsNow})
		derived := 0
		for _, f := range r.Findings {
			if f.Code == CodeRowDerived {
				derived++
			}
		}
		if r.Rows != 50 || derived != len(r.Findings) || (derived > 0) != wrong {
			t.Errorf("suffix %q: report %+v", suffix, r)
		}
	}
}

// TestVerifyKeyGenerators: keys of one field, tables without partitions and escaped partition paths are judged as the others are.
func TestVerifyKeyGenerators(t *testing.T) {
	t.Parallel()
	single := func(_, event string) string { return event }
	for name, tc := range map[string]struct {
		change     func(cfg *hudi.TableConfig)
		key        func(session, event string) string
		partition  func(day string) string
		partitions int
	}{
		"simple key": {func(cfg *hudi.TableConfig) { cfg.RecordKeyFields, cfg.BucketField = []string{"event_id"}, "event_id" }, single, nil, 2},
		"no partitions": {
			func(cfg *hudi.TableConfig) { cfg.PartitionFields, cfg.HiveStylePartitioning = nil, false }, nil, func(string) string { return "" }, 1,
		},
		"escaped": {
			func(cfg *hudi.TableConfig) { cfg.URLEncodePartitions = true }, nil, func(day string) string { return "day=" + day + "%3A00" }, 2,
		},
		"plain": {func(cfg *hudi.TableConfig) { cfg.HiveStylePartitioning = false }, nil, func(day string) string { return day }, 2},
	} {
		for _, version := range []int{hudi.Version6, hudi.Version9} {
			t.Run(fmt.Sprint(name, version), func(t *testing.T) {
				t.Parallel()
				cfg := ownConfig(hudi.MergeOnRead, version)
				tc.change(&cfg)
				table := ownTableIn(t, storage.NewMem(), cfg)
				if tc.partition != nil {
					table.partition = tc.partition
				}
				if tc.key != nil {
					table.key = tc.key
				}
				buckets := buckets{count: 2, field: cfg.BucketField, keyFields: cfg.RecordKeyFields}
				if cfg.BucketField == "event_id" {
					table.eventBucket = func(event string) int { b, _ := buckets.of(event); return b }
				}
				if cfg.URLEncodePartitions {
					table.suffix = ":00"
				}
				table.commits(t, 2)
				r := verify(t, table, Options{Now: instantsNow})
				if r.Rows != 90 || r.Partitions != tc.partitions || r.Files != 2*tc.partitions || len(r.Findings)+len(r.NotChecked) > 0 {
					t.Errorf("report %+v", r)
				}
			})
		}
	}
}

// TestVerifyAfterServices: cleaning, archiving, a savepoint and a takeover leave nothing to find.
func TestVerifyAfterServices(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		kind    hudi.TableType
		version int
	}{{hudi.CopyOnWrite, hudi.Version6}, {hudi.MergeOnRead, hudi.Version6}, {hudi.CopyOnWrite, hudi.Version9}, {hudi.MergeOnRead, hudi.Version9}} {
		t.Run(fmt.Sprint(tc.kind, tc.version), func(t *testing.T) {
			t.Parallel()
			ctx, kind := t.Context(), tc.kind
			table := ownTableIn(t, storage.NewMem(), ownConfig(kind, tc.version)).commits(t, 6)
			if kind == hudi.MergeOnRead {
				if _, err := table.writer.Compact(ctx, hudi.CompactOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			table.commits(t, 2)
			if _, err := table.writer.Savepoint(ctx, table.writer.Head().Instant, "test", ""); err != nil {
				t.Fatal(err)
			}
			table.commit(t)
			if _, err := table.writer.Clean(ctx, hudi.CleanOptions{Retain: 2}); err != nil {
				t.Fatal(err)
			}
			table.commits(t, 2)
			if _, err := table.writer.Archive(ctx, hudi.ArchiveOptions{KeepMin: 3, KeepMax: 4}); err != nil {
				t.Fatal(err)
			}
			w, err := table.table.Acquire(ctx, "successor")
			if err != nil {
				t.Fatal(err)
			}
			table.writer = w
			table.commit(t)
			if r := verify(t, table, Options{}); r.Rows != 490 || len(r.Findings)+len(r.NotChecked) > 0 {
				t.Errorf("report %+v", r)
			}
		})
	}
}

// TestVerifyAfterOverwrite: replaced file groups are no fault, before and after they are cleaned.
func TestVerifyAfterOverwrite(t *testing.T) {
	t.Parallel()
	for _, version := range []int{hudi.Version6, hudi.Version9} {
		for _, kind := range []hudi.TableType{hudi.CopyOnWrite, hudi.MergeOnRead} {
			t.Run(fmt.Sprint(kind, version), func(t *testing.T) {
				t.Parallel()
				table := ownTableIn(t, storage.NewMem(), ownConfig(kind, version)).commits(t, 2)
				before := table.writer.Head().Instant
				table.operation = hudi.InsertOverwrite
				table.commit(t)
				overwritten := table.writer.Head().Instant
				table.operation = hudi.Insert
				table.commit(t)
				for _, step := range []string{"overwritten", "cleaned"} {
					if r := verify(t, table, Options{Now: instantsNow}); r.Rows != 90 || len(r.Findings)+len(r.NotChecked) > 0 {
						t.Errorf("%s: report %+v", step, r)
					}
					if step == "cleaned" {
						break
					}
					d, err := Diff(t.Context(), table, before, overwritten, nil)
					if err != nil || d.RowsAdded != 40 || d.RowsDeleted != 80 || d.RowsUpdated != 0 || len(d.FilesAdded) != 4 {
						t.Errorf("difference %+v, error %v", d, err)
					}
					if _, err := table.writer.Clean(t.Context(), hudi.CleanOptions{Policy: hudi.CleanByVersions, Retain: 1}); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
}

// TestVerifyAfterRestore: a table that went back to an older commit is whole, and stays so when it is written to again.
func TestVerifyAfterRestore(t *testing.T) {
	t.Parallel()
	for _, version := range []int{hudi.Version6, hudi.Version9} {
		for _, kind := range []hudi.TableType{hudi.CopyOnWrite, hudi.MergeOnRead} {
			t.Run(fmt.Sprint(kind, version), func(t *testing.T) {
				t.Parallel()
				ctx := t.Context()
				table := ownTableIn(t, storage.NewMem(), ownConfig(kind, version)).commits(t, 2)
				point := table.writer.Head().Instant
				if _, err := table.writer.Savepoint(ctx, point, "test", ""); err != nil {
					t.Fatal(err)
				}
				table.commits(t, 2)
				if _, err := table.writer.Restore(ctx, hudi.RestoreOptions{To: point}); err != nil {
					t.Fatal(err)
				}
				table.next = 2
				if r := verify(t, table, Options{Now: instantsNow}); r.Rows != 90 || len(r.Findings)+len(r.NotChecked) > 0 {
					t.Errorf("restored: report %+v", r)
				}
				table.commits(t, 2)
				if r := verify(t, table, Options{Now: instantsNow}); r.Rows != 170 || len(r.Findings)+len(r.NotChecked) > 0 {
					t.Errorf("written again: report %+v", r)
				}
				if _, err := table.writer.Rollback(ctx, table.writer.Head().Instant); err != nil {
					t.Fatal(err)
				}
				if r := verify(t, table, Options{Now: instantsNow}); r.Rows != 130 || len(r.Findings)+len(r.NotChecked) > 0 {
					t.Errorf("newest commit undone: report %+v", r)
				}
				restored := opened(t, table)
				instants, err := restored.Instants(ctx, false)
				if err != nil {
					t.Fatal(err)
				}
				for _, i := range instants {
					if _, err := restored.ShowInstant(ctx, i.Instant); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
}
