package meta_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
)

// TestRestoresOfHudi reads what Hudi 0.15 and 1.2 wrote and writes the same record with the same embedded schema.
func TestRestoresOfHudi(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, action, to, newest string }{
		{"v6-cow-015", "commit", "20261124182812039", "20261124182835730"},
		{"v9-mor-12", "deltacommit", "20261124182909062", "20261124182938015"},
	} {
		data := golden(t, tc.name+".restore.requested")
		plan, err := meta.ParseRestorePlan(data)
		if err != nil {
			t.Fatal(err)
		}
		newest := meta.InstantInfo{CommitTime: tc.newest, Action: tc.action}
		if *plan.Version != meta.RestoreVersion || *plan.To != tc.to || len(plan.InstantsToRollback) != 2 || plan.InstantsToRollback[0] != newest {
			t.Errorf("%s: plan %+v", tc.name, plan)
		}
		ours, err := plan.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := meta.ParseRestorePlan(ours); err != nil || !reflect.DeepEqual(again, plan) || ocfSchema(ours) != ocfSchema(data) {
			t.Errorf("%s: plan became %+v, %v", tc.name, again, err)
		}
	}
	data := golden(t, "v9-mor-12.restore")
	done, err := meta.ParseRestoreMetadata(data)
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for _, rollbacks := range done.Rollbacks {
		files += rollbacks[0].TotalFilesDeleted
	}
	if done.StartRestoreTime != "20261124183004854" || len(done.Rollbacks) != 2 || len(done.RestoreInstantInfo) != 2 || files != 4 ||
		done.InstantsToRollback[0] != "20261124182938015" {
		t.Errorf("metadata %+v", done)
	}
	ours, err := done.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := meta.ParseRestoreMetadata(ours); err != nil || !reflect.DeepEqual(again, done) || ocfSchema(ours) != ocfSchema(data) {
		t.Errorf("metadata became %+v, %v", again, err)
	}
	for _, bad := range []string{"", "Obj\x01", "{}"} {
		_, planErr := meta.ParseRestorePlan([]byte(bad))
		_, doneErr := meta.ParseRestoreMetadata([]byte(bad))
		if !errors.Is(planErr, meta.ErrRestore) || !errors.Is(doneErr, meta.ErrRestore) {
			t.Errorf("parsed %q: %v, %v", bad, planErr, doneErr)
		}
	}
}

// FuzzRestore: outside bytes give an error, or what can be written again, never a panic.
func FuzzRestore(f *testing.F) {
	f.Add(golden(f, "v6-cow-015.restore.requested"))
	f.Add(golden(f, "v9-mor-12.restore"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if p, err := meta.ParseRestorePlan(data); err == nil {
			if _, err := p.Encode(); err != nil {
				t.Error(err)
			}
		}
		if m, err := meta.ParseRestoreMetadata(data); err == nil {
			if _, err := m.Encode(); err != nil {
				t.Error(err)
			}
		}
	})
}
