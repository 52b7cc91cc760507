package main

import (
	"strings"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
)

// TestDiffOfGroup: the changes of a table's file groups are together those of the table.
func TestDiffOfGroup(t *testing.T) {
	t.Parallel()
	dir := newTable(t, 6, 2)
	commits := instants(t, dir)
	from, to := commits[len(commits)-2], commits[len(commits)-1]
	updated := 0
	for bucket := range 2 {
		id := keys.FileID("day=2026-11-22", bucket)
		args := "diff DIR " + from + " " + to + " --file-group day=2026-11-22/" + id
		lines := strings.Split(strings.TrimSpace(done(t, dir, args+" --output json")), "\n")
		updated += len(lines) - 1
		for _, line := range lines[:len(lines)-1] {
			if !strings.Contains(line, `"change":"updated"`) || !strings.Contains(line, `"before":{`) || !strings.Contains(line, `"after":{`) {
				t.Errorf("bucket %d: %s", bucket, line)
			}
		}
		if text := done(t, dir, args); !strings.Contains(text, from+" to "+to+": 0 rows added, ") {
			t.Errorf("bucket %d: %s", bucket, text)
		}
	}
	if updated != 8 {
		t.Errorf("%d rows updated, want 8", updated)
	}
}
