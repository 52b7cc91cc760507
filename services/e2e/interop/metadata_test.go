package interop

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// metadataTurns are the cells of tables whose metadata table this library keeps; each with one engine, which has it on by default.
var metadataTurns = []struct {
	kind   hudi.TableType
	engine string
}{
	{hudi.CopyOnWrite, "spark-hudi-1.1.1"},
	{hudi.MergeOnRead, "spark-hudi-1.2.0"},
}

func metadataRow(kind hudi.TableType) string {
	return fmt.Sprintf("version 9, %s, metadata table kept by this library", typeName(kind))
}

// TestKeptMetadataTable lets Spark, with its defaults, take the files of a table from the metadata table that this library keeps: no file that is
// not in it, none that is gone. Then both write to the table in turns.
func TestKeptMetadataTable(t *testing.T) {
	install := peersDir(t)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	t.Cleanup(cancel)
	all := engines(t, install)
	for _, o := range metadataTurns {
		e := all[slices.IndexFunc(all, func(e engine) bool { return e.name == o.engine })]
		t.Run(metadataRow(o.kind), func(t *testing.T) {
			t.Cleanup(func() { outcome.note(metadataRow(o.kind), e.name, failure(t)) })
			m := newTable(t, e.name+", "+metadataRow(o.kind), hudi.Version9, o.kind, true)
			m.keep = true
			keptInTurns(ctx, t, m, shared.of(t, e), shared.of(t, all[0]))
		})
	}
}

func keptInTurns(ctx context.Context, t *testing.T, m *lakeTable, spark, rust *session) {
	w := m.create(ctx, t)
	m.commit(ctx, t, w, m.fresh(matrixRows))
	m.commit(ctx, t, w, m.mixed())
	if m.kind == hudi.MergeOnRead {
		m.compact(ctx, t, w)
	}
	m.commit(ctx, t, w, m.mixed())
	if result, err := w.Clean(ctx, hudi.CleanOptions{Policy: hudi.CleanByVersions, Retain: 1}); err != nil || len(result.Files) == 0 {
		t.Fatalf("clean %+v, %v", result, err)
	}
	m.checkKept(ctx, t)
	remove := m.putDecoy(ctx, t)
	q := m.queries(false, false)[0]
	q.ID += ", with a file that only a listing shows"
	if err := m.ask(ctx, t, spark, q); err != nil {
		t.Fatal(err)
	}
	if err := m.scan(ctx, t, q); err == nil {
		t.Fatal("this library, which lists, does not see the file either: it proves nothing")
	}
	remove()
	m.agree(ctx, t, "our commits", spark, rust)
	m.sparkWrites(ctx, t, spark, m.mixed(), nil)
	m.agree(ctx, t, "Spark's upsert and delete", spark, rust)
	m.commit(ctx, t, w, m.mixed())
	m.checkKept(ctx, t)
	m.agree(ctx, t, "our commit on Spark's", spark, rust)
	m.sparkWrites(ctx, t, spark, change{upserts: m.mixed().upserts}, nil)
	m.agree(ctx, t, "Spark's upsert on ours", spark, rust)
}

// checkKept makes sure that engines are told of a metadata table.
func (m *lakeTable) checkKept(ctx context.Context, t *testing.T) {
	t.Helper()
	data, _, err := m.store.Get(ctx, meta.PropertiesKey)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(data, []byte("\nhoodie.table.metadata.partitions=files\n")) {
		t.Fatalf("the metadata table is not kept:\n%s", data)
	}
}

// putDecoy copies a base file under the name of another file group. It is of a committed instant, so whoever lists the folder has its rows
// twice. The result deletes it.
func (m *lakeTable) putDecoy(ctx context.Context, t *testing.T) (remove func()) {
	t.Helper()
	view, err := m.open(ctx, t, nil).View(ctx, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	f := view.Slices[0].Base
	data, _, err := m.store.Get(ctx, f.Key())
	if err != nil {
		t.Fatal(err)
	}
	decoy := fileslice.BaseFile{Partition: f.Partition, FileID: strings.Repeat("f", 8) + f.FileID[8:], Instant: f.Instant, Token: f.Token}
	if path.Base(decoy.Key()) == path.Base(f.Key()) {
		t.Fatalf("the decoy is %s itself", f.Key())
	}
	if _, err := m.store.Put(ctx, decoy.Key(), data, storage.Condition{}); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := m.store.Delete(ctx, decoy.Key()); err != nil {
			t.Fatal(err)
		}
	}
}
