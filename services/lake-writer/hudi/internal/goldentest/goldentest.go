// Package goldentest gives tests the tables that other engines wrote, from the zip files in the module's testdata folder.
package goldentest

import (
	"archive/zip"
	"io"
	"strings"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// Files reads a zipped table: content by key, relative to the table's base path. What archivers and local Hadoop file systems
// leave beside a table's files is left out.
func Files(tb testing.TB, path string) map[string][]byte {
	tb.Helper()
	z, err := zip.OpenReader(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer z.Close()
	files := make(map[string][]byte)
	for _, f := range z.File {
		_, key, _ := strings.Cut(f.Name, "/") // the first element is the table's name
		if key == "" || strings.HasSuffix(key, "/") || strings.HasPrefix(f.Name, "__MACOSX/") ||
			strings.HasSuffix(key, ".DS_Store") || strings.HasSuffix(key, ".crc") {
			continue
		}
		r, err := f.Open()
		if err != nil {
			tb.Fatal(err)
		}
		if files[key], err = io.ReadAll(r); err != nil {
			tb.Fatal(err)
		}
	}
	return files
}

// Table puts a zipped table into a store of its own.
func Table(tb testing.TB, path string) storage.Store {
	tb.Helper()
	store := storage.NewMem()
	for key, data := range Files(tb, path) {
		if _, err := store.Put(tb.Context(), key, data, storage.Condition{}); err != nil {
			tb.Fatal(err)
		}
	}
	return store
}
