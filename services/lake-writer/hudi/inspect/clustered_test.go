package inspect

import (
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// TestVerifyClustered: a clustered table is whole, before its sources are cleaned and after, and Show knows the plan.
func TestVerifyClustered(t *testing.T) {
	t.Parallel()
	for _, version := range []int{hudi.Version6, hudi.Version9} {
		cfg := ownConfig(hudi.CopyOnWrite, version)
		cfg.Buckets, cfg.BucketField = 0, ""
		o := ownTableIn(t, storage.NewMem(), cfg)
		o.operation = hudi.BulkInsert
		o.commits(t, 3)
		r, err := o.writer.Cluster(t.Context(), hudi.ClusterOptions{SortBy: []string{"event_time"}})
		if err != nil || r.Replaced != 12 || r.Files != 2 {
			t.Fatalf("clustering %+v, %v", r, err)
		}
		verify := func() {
			t.Helper()
			report, err := Verify(t.Context(), o.Store, Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range report.Findings {
				if f.Code != CodeKeyDuplicate { // its commits repeat rows, which an append-only table keeps
					t.Errorf("version %d: %+v", version, f)
				}
			}
			if len(report.NotChecked) != 1 { // buckets, which there are none of
				t.Errorf("version %d: not checked: %v", version, report.NotChecked)
			}
		}
		verify()
		o.commit(t)
		if c, err := o.writer.Clean(t.Context(), hudi.CleanOptions{Retain: 1, Full: true}); err != nil || len(c.Files) != 12 {
			t.Errorf("clean %+v, %v", c, err)
		}
		verify()
		view, err := Open(t.Context(), o.Store)
		if err != nil {
			t.Fatal(err)
		}
		shown, err := view.ShowInstant(t.Context(), r.Instant)
		if err != nil || len(shown) != 1 || len(shown[0].Files) != 3 || shown[0].Files[0].Content["clusteringPlan"] == nil {
			t.Errorf("version %d: %s is shown as %+v, %v", version, r.Instant, shown, err)
		}
	}
}
