package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestModelState lets the engines read what the table library's own model test leaves after 500 random operations of a seed, on
// merge-on-read tables of both versions: what is in the table must be what is in the model.
func TestModelState(t *testing.T) {
	install := peersDir(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	t.Cleanup(cancel)
	dir := t.TempDir()
	library := exec.CommandContext(ctx, "go", "test", "-count=1", "-run", "^TestModel$/^merge_on_read.*seed_0$", ".")
	library.Dir = filepath.Join("..", "..", "lake-writer", "hudi")
	library.Env = append(os.Environ(), "PLAYHEAD_MODEL_DUMP="+dir)
	if out, err := library.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	models, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(models) != len(tableVersions) {
		t.Fatalf("the model test left %v, want a table of each version", models)
	}
	for _, e := range engines(t, install) {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			for _, model := range models {
				if strings.Contains(model, "version_9") && e.bundle == "0.15.0" {
					continue
				}
				if err := compareModel(ctx, t, shared.of(t, e), model); err != nil {
					t.Errorf("%s: %s: %v", e.name, filepath.Base(model), err)
				}
			}
		})
	}
}

// compareModel compares an engine's answer with the model's rows.
func compareModel(ctx context.Context, t *testing.T, s *session, model string) error {
	t.Helper()
	text, err := os.ReadFile(model)
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]struct {
		Time        int64
		Cdn, Commit string
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	lines, err := s.query(ctx, t, request{ID: filepath.Base(model), Path: strings.TrimSuffix(model, ".json"), Type: "snapshot"})
	if err != nil {
		return err
	}
	if len(want) == 0 || len(lines) != len(want) {
		return fmt.Errorf("%d rows, want %d (and more than none)", len(lines), len(want))
	}
	for _, line := range lines {
		var got struct {
			Key    string  `json:"_hoodie_record_key"`
			Commit string  `json:"_hoodie_commit_time"`
			Time   int64   `json:"event_time"`
			Cdn    *string `json:"cdn"` // null in rows that are older than the column
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			return err
		}
		row, ok := want[got.Key]
		if !ok || got.Commit != row.Commit || got.Time != row.Time || got.Cdn != nil && *got.Cdn != row.Cdn {
			return fmt.Errorf("row %s, want %+v", line, row)
		}
		delete(want, got.Key)
	}
	if len(want) > 0 {
		return fmt.Errorf("%d keys are missing", len(want))
	}
	return nil
}
