package interop

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// goldenFolders hold tables that other engines wrote, zipped. PLAYHEAD_GOLDEN names one more, for those that are too large to be kept here.
var goldenFolders = []string{"testdata/golden", "../../lake-writer/hudi/testdata"}

// TestGoldenTables compares what this library reads of other engines' tables with what hudi-rs and Spark read of them: every column of every
// row.
func TestGoldenTables(t *testing.T) {
	install := peersDir(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	folders := goldenFolders
	if more := os.Getenv("PLAYHEAD_GOLDEN"); more != "" {
		folders = append(folders, more)
	}
	all := engines(t, install)
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
			name, isZip := strings.CutSuffix(filepath.Base(path), ".zip")
			if err == nil && isZip {
				t.Run(name, func(t *testing.T) { compareGolden(ctx, t, unzip(t, path), []engine{all[0], all[len(all)-1]}) })
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func compareGolden(ctx context.Context, t *testing.T, path string, judges []engine) {
	store, err := storage.NewDir(path)
	if err != nil {
		t.Fatal(err)
	}
	table, err := hudi.Open(ctx, store)
	if err != nil {
		t.Fatal(err)
	}
	ours := map[string]map[string]any{}
	for row, err := range table.Scan(ctx, hudi.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		r := canonical(row).(map[string]any)
		ours[rowID(r)] = r
	}
	for _, e := range judges {
		lines, err := shared.of(t, e).query(ctx, t, request{ID: "golden " + path, Path: path, Type: "snapshot"})
		if err != nil {
			t.Error(err)
			continue
		}
		if len(lines) == 0 || len(lines) != len(ours) {
			t.Errorf("%s: %d rows, this library: %d", e.name, len(lines), len(ours))
		}
		for _, line := range lines {
			var theirs map[string]any
			decoder := json.NewDecoder(strings.NewReader(line))
			decoder.UseNumber()
			if err := decoder.Decode(&theirs); err != nil {
				t.Fatal(err)
			}
			if err := sameRow(ours[rowID(theirs)], theirs); err != nil {
				t.Errorf("%s: row %s: %v", e.name, rowID(theirs), err)
			}
		}
		t.Logf("%s: %d rows", e.name, len(lines))
	}
}

// rowID tells rows of a table apart, also of one that has a key twice.
func rowID(row map[string]any) string {
	return fmt.Sprint(row["_hoodie_partition_path"], " ", row["_hoodie_record_key"], " ", row["_hoodie_commit_seqno"])
}

// sameRow compares a row as this library has it with an engine's. What a row says of its file depends on the reader: some give the file's
// name, others what a log block says.
func sameRow(ours, theirs map[string]any) error {
	if ours == nil {
		return errors.New("is not in this library's answer")
	}
	if len(ours) != len(theirs) {
		return fmt.Errorf("has %d columns, this library has %d", len(theirs), len(ours))
	}
	for name, value := range theirs {
		if name == "_hoodie_file_name" {
			continue
		}
		if have, ok := ours[name]; !ok || !same(have, value) {
			return fmt.Errorf("%s is %#v, this library has %#v", name, value, have)
		}
	}
	return nil
}

// same compares two decoded JSON values. A whole number of a floating-point column may have a fraction in one text and none in the other.
func same(a, b any) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for key := range x {
			if v, ok := y[key]; !ok || !same(x[key], v) {
				return false
			}
		}
		return true
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !same(x[i], y[i]) {
				return false
			}
		}
		return true
	case json.Number:
		y, ok := b.(json.Number)
		if !ok || x == y {
			return ok
		}
		f, err1 := strconv.ParseFloat(x.String(), 64)
		g, err2 := strconv.ParseFloat(y.String(), 64)
		return err1 == nil && err2 == nil && f == g && strings.ContainsAny(x.String()+y.String(), ".eE")
	default:
		return a == b
	}
}

// unzip unpacks a table and returns its folder. The files keep their times: Hudi orders the logs of version 6 by them.
func unzip(t *testing.T, path string) string {
	t.Helper()
	archive, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	dir, table := t.TempDir(), ""
	for _, f := range archive.File {
		if strings.HasSuffix(f.Name, "/") || strings.HasPrefix(f.Name, "__MACOSX/") || strings.HasSuffix(f.Name, ".DS_Store") || !filepath.IsLocal(f.Name) {
			continue
		}
		table, _, _ = strings.Cut(f.Name, "/")
		to := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := unzipFile(f, to); err != nil {
			t.Fatalf("unpack %s: %v", f.Name, err)
		}
	}
	return filepath.Join(dir, table)
}

func unzipFile(f *zip.File, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	from, err := f.Open()
	if err != nil {
		return err
	}
	defer from.Close()
	data, err := io.ReadAll(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to, data, 0o600); err != nil {
		return err
	}
	return os.Chtimes(to, f.Modified, f.Modified)
}
