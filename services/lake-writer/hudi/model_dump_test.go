package hudi

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// dump copies the table and its model into a folder below PLAYHEAD_MODEL_DUMP, if that is set: engines of others confirm the final state in
// the stage interop. The rows go to <folder>.json.
func (m *tableModel) dump() {
	m.t.Helper()
	root := os.Getenv("PLAYHEAD_MODEL_DUMP")
	if root == "" {
		return
	}
	folder := filepath.Join(root, strings.NewReplacer("/", "-", " ", "_", ",", "").Replace(m.t.Name()))
	to, err := storage.NewDir(folder)
	if err != nil {
		m.t.Fatal(err)
	}
	for info, err := range m.store.List(m.t.Context(), "") {
		if err != nil {
			m.t.Fatal(err)
		}
		data, _, err := m.store.Get(m.t.Context(), info.Key)
		if err != nil {
			m.t.Fatal(err)
		}
		if _, err := to.Put(m.t.Context(), info.Key, data, storage.Condition{}); err != nil {
			m.t.Fatal(err)
		}
	}
	rows, err := json.Marshal(m.rows)
	if err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(folder+".json", rows, 0o600); err != nil {
		m.t.Fatal(err)
	}
}
