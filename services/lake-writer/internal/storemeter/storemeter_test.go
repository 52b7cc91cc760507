package storemeter

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storagetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	storagetest.Conformance(t, func(*testing.T) storage.Store {
		return New(prometheus.NewRegistry()).Wrap(storage.NewMem())
	})
}

func TestCountsByKindAndOutcome(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	store := New(reg).Wrap(storage.NewMem())
	for range 2 { // the second one finds the object there
		_, _ = store.Put(t.Context(), "a", nil, storage.Condition{IfAbsent: true})
	}
	_, _, _ = store.Get(t.Context(), "b")
	for range store.List(t.Context(), "") {
	}
	want := `
# HELP playhead_lakewriter_store_requests_total Requests to the lake's store by kind and outcome (ok or the class of the error).
# TYPE playhead_lakewriter_store_requests_total counter
playhead_lakewriter_store_requests_total{kind="get",outcome="not-exist"} 1
playhead_lakewriter_store_requests_total{kind="list",outcome="ok"} 1
playhead_lakewriter_store_requests_total{kind="put_if_absent",outcome="ok"} 1
playhead_lakewriter_store_requests_total{kind="put_if_absent",outcome="precondition"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "playhead_lakewriter_store_requests_total"); err != nil {
		t.Error(err)
	}
}
