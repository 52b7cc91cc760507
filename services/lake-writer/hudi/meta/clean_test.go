package meta_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
)

// TestCleansOfHudi reads what Hudi 0.15 and 1.2 wrote and writes the same record with the same embedded schema.
func TestCleansOfHudi(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, instant, earliest string
		files                   int
	}{
		{"v6-cow-015", "20261123045604961", "20261123045521496", 6},
		{"v6-cow-12", "20261123050348924", "20261123050342197", 8},
	} {
		plan, err := meta.ParseCleanPlan(golden(t, tc.name+".clean.requested"))
		if err != nil {
			t.Fatal(err)
		}
		files := 0
		for _, infos := range *plan.Files {
			files += len(infos)
		}
		want := meta.ActionInstant{Timestamp: tc.earliest, Action: "commit", State: "COMPLETED"}
		if *plan.EarliestInstantToRetain != want || files != tc.files || plan.Policy != meta.CleanByCommits || *plan.Version != meta.CleanVersion {
			t.Errorf("%s: plan %+v", tc.name, plan)
		}
		done, err := meta.ParseCleanMetadata(golden(t, tc.name+".clean"))
		if err != nil {
			t.Fatal(err)
		}
		if done.StartCleanTime != tc.instant || done.TotalFilesDeleted != tc.files || done.EarliestToRetain != tc.earliest {
			t.Errorf("%s: metadata %+v", tc.name, done)
		}
		data, err := plan.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := meta.ParseCleanPlan(data); err != nil || !reflect.DeepEqual(again, plan) {
			t.Errorf("%s: plan became %+v, %v", tc.name, again, err)
		}
		data, err = done.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := meta.ParseCleanMetadata(data); err != nil || !reflect.DeepEqual(again, done) {
			t.Errorf("%s: metadata became %+v, %v", tc.name, again, err)
		}
	}
}

// TestCleanSchemas: the embedded schemas are Hudi 0.15's to the letter.
func TestCleanSchemas(t *testing.T) {
	t.Parallel()
	plan, err := meta.ParseCleanPlan(golden(t, "v6-cow-015.clean.requested"))
	if err != nil {
		t.Fatal(err)
	}
	done, err := meta.ParseCleanMetadata(golden(t, "v6-cow-015.clean"))
	if err != nil {
		t.Fatal(err)
	}
	for name, encode := range map[string]func() ([]byte, error){
		"v6-cow-015.clean.requested": plan.Encode, "v6-cow-015.clean.inflight": plan.Encode, "v6-cow-015.clean": done.Encode,
	} {
		data, err := encode()
		if err != nil {
			t.Fatal(err)
		}
		want := golden(t, name)
		if ocfSchema(data) != ocfSchema(want) {
			t.Errorf("schema of %s: %q\nwant %q", name, ocfSchema(data), ocfSchema(want))
		}
	}
	for _, bad := range []string{"", "Obj\x01", "{}"} {
		_, err := meta.ParseCleanPlan([]byte(bad))
		if _, err2 := meta.ParseCleanMetadata([]byte(bad)); !errors.Is(err, meta.ErrClean) || !errors.Is(err2, meta.ErrClean) {
			t.Errorf("parsed %q: %v, %v", bad, err, err2)
		}
	}
}

// FuzzClean: outside bytes give an error or a record that can be written again, never a panic.
func FuzzClean(f *testing.F) {
	f.Add(golden(f, "v6-cow-015.clean.requested"))
	f.Add(golden(f, "v6-cow-015.clean"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if plan, err := meta.ParseCleanPlan(data); err == nil {
			if _, err := plan.Encode(); err != nil {
				t.Error(err)
			}
		}
		if done, err := meta.ParseCleanMetadata(data); err == nil {
			if _, err := done.Encode(); err != nil {
				t.Error(err)
			}
		}
	})
}
