package interop

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/inspect"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storagetest"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// stage is a state of a table at which engines read it.
type stage struct {
	name  string
	long  bool // filters are tried too, and plain partition paths
	write func(ctx context.Context, t *testing.T, m *lakeTable)
}

// matrixStages are the stages of each type of table. Each writes a table of its own, since one that went on would hide what a later stage
// repairs.
var matrixStages = map[hudi.TableType][]stage{
	hudi.CopyOnWrite: {
		{"inserts", false, writeInserts},
		{"second commit", false, writeSecond},
		{"upserts", true, writeUpserts},
		{"clean", false, writeClean},
		{"evolution", true, writeEvolution},
		{"failed attempt", false, writeFailed},
		{"rollback", false, writeRollback},
		{"savepoint and archive", false, writeArchive},
		{"restore", false, writeRestore},
		{"append-only, clustered", false, writeClustered},
		{"append-only, failed clustering", false, writeFailedClustering},
	},
	hudi.MergeOnRead: {
		{"inserts", false, writeInserts},
		{"second commit", false, writeSecond},
		{"upserts", true, writeUpserts},
		{"Parquet log blocks", true, writeParquetLogs},
		{"compaction", true, writeCompaction},
		{"appends after compaction", true, writeAppends},
		{"clean", false, writeClean},
		{"evolution", true, writeEvolution},
		{"failed attempt", false, writeFailed},
		{"rollback", false, writeRollback},
		{"savepoint and archive", false, writeArchive},
		{"restore", false, writeRestore},
		{"append-only, clustered", false, writeClustered},
		{"append-only, failed clustering", false, writeFailedClustering},
	},
}

func writeInserts(ctx context.Context, t *testing.T, m *lakeTable) {
	m.commit(ctx, t, m.create(ctx, t), m.fresh(matrixRows))
}

func writeSecond(ctx context.Context, t *testing.T, m *lakeTable) {
	w := m.create(ctx, t)
	m.commit(ctx, t, w, m.fresh(matrixRows))
	m.commit(ctx, t, w, m.fresh(matrixRows))
}

func writeUpserts(ctx context.Context, t *testing.T, m *lakeTable) {
	w := m.create(ctx, t)
	m.commit(ctx, t, w, m.fresh(matrixRows))
	m.commit(ctx, t, w, m.mixed())
	m.commit(ctx, t, w, m.mixed())
}

// writeParquetLogs appends blocks of both formats.
func writeParquetLogs(ctx context.Context, t *testing.T, m *lakeTable) {
	w := m.create(ctx, t)
	m.commit(ctx, t, w, m.fresh(matrixRows))
	m.logFormat = hudi.LogFormatParquet
	m.commit(ctx, t, w, m.mixed())
	m.logFormat = hudi.LogFormatAvro
	m.commit(ctx, t, w, m.mixed())
	m.logFormat = hudi.LogFormatParquet
	m.commit(ctx, t, w, m.mixed())
}

// writeRestore goes back over a commit and on from there.
func writeRestore(ctx context.Context, t *testing.T, m *lakeTable) {
	w := m.create(ctx, t)
	m.commit(ctx, t, w, m.fresh(matrixRows))
	m.commit(ctx, t, w, m.mixed())
	back := m.now().instant
	m.commit(ctx, t, w, m.fresh(matrixRows))
	m.commit(ctx, t, w, m.mixed())
	if _, err := w.Restore(ctx, hudi.RestoreOptions{To: back}); err != nil {
		t.Fatal(err)
	}
	m.history = m.history[:2]
	m.offset = w.Head().Offsets["matrix"][0]
	if m.kind == hudi.CopyOnWrite {
		m.base = m.now().rows
	}
	m.commit(ctx, t, w, m.mixed())
}

func writeCompaction(ctx context.Context, t *testing.T, m *lakeTable) {
	w := m.create(ctx, t)
	m.commit(ctx, t, w, m.fresh(matrixRows))
	m.commit(ctx, t, w, m.fresh(matrixRows))
	m.commit(ctx, t, w, m.mixed())
	m.compact(ctx, t, w)
}

func writeAppends(ctx context.Context, t *testing.T, m *lakeTable) {
	writeCompaction(ctx, t, m)
	m.commit(ctx, t, acquire(ctx, t, m.open(ctx, t, nil)), m.mixed())
}

// writeClean ends with a clean, after which the first commit cannot be read any more.
func writeClean(ctx context.Context, t *testing.T, m *lakeTable) {
	w := m.create(ctx, t)
	m.commit(ctx, t, w, m.fresh(matrixRows))
	m.commit(ctx, t, w, m.fresh(matrixRows))
	if m.kind == hudi.MergeOnRead {
		m.compact(ctx, t, w)
	}
	m.commit(ctx, t, w, m.fresh(matrixRows))
	result, err := w.Clean(ctx, hudi.CleanOptions{Policy: hudi.CleanByVersions, Retain: 1})
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Files) == 0 {
		t.Fatal("clean deleted nothing, so the stage proves nothing")
	}
	m.history = m.history[2:]
}

func writeEvolution(ctx context.Context, t *testing.T, m *lakeTable) {
	w := m.create(ctx, t)
	m.commit(ctx, t, w, m.fresh(matrixRows))
	m.schema = evolvedSchema
	m.commit(ctx, t, w, m.fresh(matrixRows))
	m.commit(ctx, t, w, m.mixed())
}

// writeFailed leaves what a writer left that died before the decision: data files, markers, an inflight instant. Nobody may see a row.
func writeFailed(ctx context.Context, t *testing.T, m *lakeTable) {
	w := m.create(ctx, t)
	m.commit(ctx, t, w, m.fresh(matrixRows))
	m.commit(ctx, t, w, m.mixed())
	m.crash(ctx, t)
}

// writeRollback goes on from there as the next owner does: it rolls the attempt back and commits.
func writeRollback(ctx context.Context, t *testing.T, m *lakeTable) {
	writeFailed(ctx, t, m)
	w := acquire(ctx, t, m.open(ctx, t, nil))
	m.commit(ctx, t, w, m.mixed())
	if !m.hasInstant(ctx, t, timeline.Rollback) {
		t.Fatal("no rollback on the timeline")
	}
}

// crash lets a writer begin a commit and die when its data files are written and before it is decided.
func (m *lakeTable) crash(ctx context.Context, t *testing.T) {
	t.Helper()
	before := m.dataFiles(t)
	dying := &dyingStore{Store: m.store, last: ".hoodie/playhead/HEAD"}
	w := acquire(ctx, t, m.open(ctx, t, dying))
	dying.armed = true
	c := m.fresh(matrixRows)
	if _, err := w.Commit(ctx, m.request(t, c)); err == nil {
		t.Fatal("the commit succeeded, so there is no failed attempt")
	}
	if after := m.dataFiles(t); after != before+4 { // two days, two buckets
		t.Fatalf("the failed attempt left %d data files, want 4", after-before)
	}
}

func (m *lakeTable) dataFiles(t *testing.T) int {
	t.Helper()
	n := 0
	for _, key := range storagetest.ListKeys(t, m.store, "") {
		if !strings.HasPrefix(key, ".hoodie/") && (strings.HasSuffix(key, ".parquet") || strings.Contains(key, ".log.")) {
			n++
		}
	}
	return n
}

// dyingStore is a store whose process dies when it is about to put a certain object, once armed.
type dyingStore struct {
	storage.Store
	last  string
	armed bool
	dead  bool
}

func (s *dyingStore) Put(ctx context.Context, key string, data []byte, cond storage.Condition) (storage.Info, error) {
	if s.dead = s.dead || s.armed && key == s.last; s.dead {
		return storage.Info{}, storagetest.ErrDown
	}
	return s.Store.Put(ctx, key, data, cond)
}

func (s *dyingStore) Get(ctx context.Context, key string) ([]byte, storage.Info, error) {
	if s.dead {
		return nil, storage.Info{}, storagetest.ErrDown
	}
	return s.Store.Get(ctx, key)
}

func (s *dyingStore) Delete(ctx context.Context, key string) error {
	if s.dead {
		return storagetest.ErrDown
	}
	return s.Store.Delete(ctx, key)
}

// writeArchive makes more commits than the active timeline keeps, with a savepoint among them.
func writeArchive(ctx context.Context, t *testing.T, m *lakeTable) {
	w := m.create(ctx, t)
	for range 3 {
		m.commit(ctx, t, w, m.fresh(matrixRows/2))
	}
	if m.kind == hudi.MergeOnRead {
		m.compact(ctx, t, w)
	}
	for range 4 {
		m.commit(ctx, t, w, m.mixed())
	}
	saved := m.history[4].instant
	if _, err := w.Savepoint(ctx, saved, "matrix", "before the archive"); err != nil {
		t.Fatal(err)
	}
	result, err := w.Archive(ctx, hudi.ArchiveOptions{KeepMin: 2, KeepMax: 3})
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Archived) == 0 || result.Held != saved {
		t.Fatalf("archived %d instants, held at %q, want some and %s", len(result.Archived), result.Held, saved)
	}
	m.history = m.history[4:]
}

var (
	tableVersions = []int{hudi.Version6, hudi.Version9}
	tableTypes    = []hudi.TableType{hudi.CopyOnWrite, hudi.MergeOnRead}
)

// typeName is a type of table in words.
func typeName(kind hudi.TableType) string {
	return strings.ToLower(strings.ReplaceAll(string(kind), "_", "-"))
}

func stageRow(version int, kind hudi.TableType, s stage) string {
	return fmt.Sprintf("version %d, %s: %s", version, typeName(kind), s.name)
}

// writeTable writes a table up to a stage.
func writeTable(ctx context.Context, t *testing.T, version int, kind hudi.TableType, s stage, hive bool) *lakeTable {
	t.Helper()
	paths := "plain paths"
	if hive {
		paths = "hive-style paths"
	}
	m := newTable(t, fmt.Sprintf("%s, %s", stageRow(version, kind, s), paths), version, kind, hive)
	s.write(ctx, t, m)
	report, err := inspect.Verify(ctx, m.store, inspect.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if report.Errors > 0 || len(report.NotChecked) > 0 && !m.bulk { // which has no buckets to check
		t.Errorf("%s: %+v, not checked: %v", m.name, report.Findings, report.NotChecked)
	}
	return m
}

// TestMatrix lets every engine, and this library, read tables that the library wrote, at several stages of their life.
func TestMatrix(t *testing.T) {
	install := peersDir(t)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	t.Cleanup(cancel)
	cells := writeMatrix(ctx, t)
	for _, e := range engines(t, install) {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			asked := 0
			for _, c := range cells {
				if !e.knows(c.table.version) {
					continue
				}
				for _, q := range c.table.queries(e.spark(), c.stage.long && c.table.hive) {
					asked++
					err := c.table.ask(ctx, t, shared.of(t, e), q)
					if err != nil {
						t.Error(err)
					}
					outcome.note(stageRow(c.table.version, c.table.kind, c.stage), e.name, err)
					outcome.note(q.feature, e.name, err)
				}
			}
			t.Logf("%d queries on %d tables", asked, len(cells))
		})
	}
}

// cell is a table of the matrix and the stage at which it is.
type cell struct {
	table *lakeTable
	stage stage
}

// writeMatrix writes all tables and lets this library read them. Plain partition paths are tried at the long stages of version 6; at all
// of both in the full form.
func writeMatrix(ctx context.Context, t *testing.T) []cell {
	t.Helper()
	var cells []cell
	for _, version := range tableVersions {
		for _, hive := range []bool{true, false} {
			for _, kind := range tableTypes {
				for _, s := range matrixStages[kind] {
					if hive || s.long && version == hudi.Version6 || full() {
						cells = append(cells, cell{writeTable(ctx, t, version, kind, s, hive), s})
					}
				}
			}
		}
	}
	for _, c := range cells {
		for _, q := range c.table.queries(true, false) {
			if err := c.table.scan(ctx, t, q); err != nil {
				t.Error(err)
			}
		}
	}
	return cells
}
