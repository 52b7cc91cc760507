package meta_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
)

// TestCompactionPlansOfHudi reads what Hudi 0.15 and 1.2 wrote; what is written again says the same under the schema of 1.2.
func TestCompactionPlansOfHudi(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"v6-mor-015.compaction.requested", "v9-mor-12.compaction.requested"} {
		plan, err := meta.ParseCompactionPlan(golden(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if len(plan.Operations) != 2 || *plan.Version != meta.CompactionVersion || plan.Strategy != nil || *plan.PreserveHoodieMetadata {
			t.Errorf("%s: plan %+v", name, plan)
		}
		for _, op := range plan.Operations {
			if *op.PartitionPath != "dt=2026-01-01/hr=00" || len(op.DeltaFilePaths) != 3 || op.DataFilePath == nil || (*op.Metrics)[meta.MetricLogFiles] != 3 {
				t.Errorf("%s: operation %+v", name, op)
			}
		}
		data, err := plan.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := meta.ParseCompactionPlan(data); err != nil || !reflect.DeepEqual(again, plan) {
			t.Errorf("%s became %+v, %v", name, again, err)
		}
		if got, want := ocfSchema(data), ocfSchema(golden(t, "v9-mor-12.compaction.requested")); got != want {
			t.Errorf("schema %q\nwant %q", got, want)
		}
	}
}

func TestCompactionPlanOfOurs(t *testing.T) {
	t.Parallel()
	plan := meta.NewCompactionPlan([]meta.CompactionOperation{
		meta.NewCompactionOperation("dt=1", "f-0", "20260101000000000", "f-0_0-0-0_20260101000000000.parquet", []string{".a", ".b"}, map[string]float64{meta.MetricLogFiles: 2}),
		meta.NewCompactionOperation("", "g-0", "20260101000000001", "", []string{".c"}, nil),
	})
	data, err := plan.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := meta.ParseCompactionPlan(data)
	if err != nil {
		t.Fatal(err)
	}
	logOnly := got.Operations[1]
	if got.Operations[0].DataFilePath == nil || logOnly.DataFilePath != nil || *logOnly.BaseInstantTime != "20260101000000001" || !slices.Equal(logOnly.DeltaFilePaths, []string{".c"}) {
		t.Errorf("plan became %+v", got)
	}
	nameless, err := meta.NewCompactionPlan([]meta.CompactionOperation{{}}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]byte{nil, []byte("Obj\x01"), []byte("{}"), nameless, data[:len(data)-40]} {
		if p, err := meta.ParseCompactionPlan(bad); !errors.Is(err, meta.ErrCompaction) {
			t.Errorf("parsed %q as %+v, %v", bad, p, err)
		}
	}
}

// TestLogStatsOfHudi: a log append's stat has what Hudi 0.15 writes, and a base file's has none of it.
func TestLogStatsOfHudi(t *testing.T) {
	t.Parallel()
	c, err := meta.ParseCommit(golden(t, "v6-mor-015.deltacommit"))
	if err != nil {
		t.Fatal(err)
	}
	logs, bases := 0, 0
	for _, stats := range c.PartitionToWriteStats {
		for _, s := range stats {
			if s.LogStat == nil {
				bases++
				continue
			}
			logs++
			if s.LogVersion < 1 || len(s.LogFiles) == 0 {
				t.Errorf("stat %+v", s.LogStat)
			}
		}
	}
	if logs == 0 || bases == 0 {
		t.Errorf("%d logs, %d base files", logs, bases)
	}
	text, err := json.Marshal(meta.WriteStat{LogStat: &meta.LogStat{LogVersion: 1, LogFiles: []string{".x"}}})
	if err != nil {
		t.Fatal(err)
	}
	const tail = `"runtimeStats":null,"logVersion":1,"logOffset":0,"baseFile":"","logFiles":[".x"],"recordsStats":{"val":null}}`
	if len(text) < len(tail) || string(text[len(text)-len(tail):]) != tail {
		t.Errorf("a log's stat ends with %s", text)
	}
}

// FuzzCompactionPlan: outside bytes give an error or a plan that survives a round trip, never a panic.
func FuzzCompactionPlan(f *testing.F) {
	f.Add(golden(f, "v6-mor-015.compaction.requested"))
	f.Add(golden(f, "v9-mor-12.compaction.requested"))
	f.Fuzz(func(t *testing.T, data []byte) {
		plan, err := meta.ParseCompactionPlan(data)
		if err != nil {
			return
		}
		text, err := plan.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := meta.ParseCompactionPlan(text); err != nil || len(again.Operations) != len(plan.Operations) {
			t.Errorf("%+v became %+v, %v", plan, again, err)
		}
	})
}
