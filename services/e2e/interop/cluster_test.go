package interop

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// clusterOrder is another order than that in which the rows come.
var clusterOrder = hudi.ClusterOptions{SortBy: []string{"price", "_hoodie_record_key"}}

// writeClustered makes many small files into few and goes on; the older files are still there for readers of the past.
func writeClustered(ctx context.Context, t *testing.T, m *lakeTable) {
	w := m.createBulk(ctx, t)
	result, err := w.Cluster(ctx, clusterOrder)
	if err != nil {
		t.Fatal(err)
	}
	if result == nil || result.Files >= result.Replaced || result.Rows != int64(len(m.now().rows)) {
		t.Fatalf("clustering %+v", result)
	}
	m.commit(ctx, t, w, m.fresh(matrixRows))
}

// writeFailedClustering leaves a clustering whose writer died before the decision: its plan, and all of its files. Nobody may see a row twice.
func writeFailedClustering(ctx context.Context, t *testing.T, m *lakeTable) {
	m.createBulk(ctx, t)
	m.crashClustering(ctx, t)
}

// crashClustering lets a writer cluster and die when its files are written and before it is decided.
func (m *lakeTable) crashClustering(ctx context.Context, t *testing.T) {
	t.Helper()
	before := m.dataFiles(t)
	dying := &dyingStore{Store: m.store, last: ".hoodie/playhead/HEAD"}
	w := acquire(ctx, t, m.open(ctx, t, dying))
	dying.armed = true
	_, err := w.Cluster(ctx, clusterOrder)
	if err == nil {
		t.Fatal("the clustering succeeded, so there is no failed one")
	}
	if m.dataFiles(t) <= before || m.pendingClustering(ctx, t) == "" {
		t.Fatalf("the failed clustering left no files, or no plan: %v", err)
	}
}

// createBulk makes an append-only table of two commits.
func (m *lakeTable) createBulk(ctx context.Context, t *testing.T) *hudi.Writer {
	m.bulk = true
	w := m.create(ctx, t)
	m.commit(ctx, t, w, m.fresh(matrixRows))
	m.commit(ctx, t, w, m.fresh(matrixRows))
	return w
}

// clusterTurns are the cells of writing clustered tables in turns; each with one engine.
var clusterTurns = []struct {
	version int
	kind    hudi.TableType
	engine  string
}{
	{hudi.Version6, hudi.CopyOnWrite, "spark-hudi-0.15.0"},
	{hudi.Version9, hudi.CopyOnWrite, "spark-hudi-1.2.0"},
	{hudi.Version9, hudi.MergeOnRead, "spark-hudi-1.1.1"},
}

func clusterRow(version int, kind hudi.TableType) string {
	return fmt.Sprintf("version %d, %s, append-only and clustered", version, typeName(kind))
}

// TestClusterInTurns lets Spark write to a table that we clustered, execute the plan of a clustering of ours that died, and cluster it again;
// and this library go on.
func TestClusterInTurns(t *testing.T) {
	install := peersDir(t)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	t.Cleanup(cancel)
	all := engines(t, install)
	for _, o := range clusterTurns {
		e := all[slices.IndexFunc(all, func(e engine) bool { return e.name == o.engine })]
		row := clusterRow(o.version, o.kind)
		t.Run(fmt.Sprint(o.version, " ", typeName(o.kind)), func(t *testing.T) { // Hudi 0.15 splits the paths of a plan at commas
			t.Cleanup(func() { outcome.note(row, e.name, failure(t)) })
			m := newTable(t, e.name+", "+row, o.version, o.kind, true)
			clusterInTurns(ctx, t, m, shared.of(t, e), shared.of(t, all[0]))
		})
	}
}

func clusterInTurns(ctx context.Context, t *testing.T, m *lakeTable, spark, rust *session) {
	writeClustered(ctx, t, m)
	m.sparkWrites(ctx, t, spark, m.fresh(matrixRows), nil)
	m.agree(ctx, t, "Spark's commit on our clustering", spark, rust)

	m.crashClustering(ctx, t)
	ours := m.pendingClustering(ctx, t)
	m.sparkWrites(ctx, t, spark, m.fresh(matrixRows), map[string]string{
		"hoodie.clustering.inline": "true", "hoodie.clustering.inline.max.commits": "1",
	})
	if pending := m.pendingClustering(ctx, t); pending != "" {
		t.Errorf("clustering %s is pending after Spark's", pending)
	}
	clusterings := m.clusterings(ctx, t)
	if !slices.Contains(clusterings, ours) || len(clusterings) < 2 {
		t.Errorf("clusterings %v, want %s among them", clusterings, ours)
	}
	m.agree(ctx, t, "Spark's clustering of our plan", spark, rust)

	w := acquire(ctx, t, m.open(ctx, t, nil))
	m.commit(ctx, t, w, m.fresh(matrixRows))
	m.agree(ctx, t, "our commit on Spark's clustering", spark, rust)
	result, err := w.Cluster(ctx, clusterOrder)
	if err != nil || result == nil {
		t.Fatalf("clustering %+v, %v", result, err)
	}
	m.agree(ctx, t, "our clustering on Spark's", spark, rust)
}

// pendingClustering is the instant of a clustering that is pending, "" without one.
func (m *lakeTable) pendingClustering(ctx context.Context, t *testing.T) timeline.Instant {
	t.Helper()
	for _, e := range m.timeline(ctx, t).Pending() {
		if e.Action == timeline.Clustering || e.Action == timeline.ReplaceCommit {
			return e.Instant
		}
	}
	return ""
}

// clusterings are the instants of those that completed.
func (m *lakeTable) clusterings(ctx context.Context, t *testing.T) (instants []timeline.Instant) {
	t.Helper()
	table := m.open(ctx, t, nil)
	for _, e := range m.timeline(ctx, t).Commits() {
		c, err := table.Commit(ctx, e)
		if err != nil {
			t.Fatal(err)
		}
		if c.OperationType == meta.OperationCluster {
			instants = append(instants, e.Instant)
		}
	}
	return instants
}
