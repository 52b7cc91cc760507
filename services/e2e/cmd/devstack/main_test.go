package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/playhead-pipeline/playhead/services/internal/lifecycle"
)

func TestFlags(t *testing.T) {
	t.Parallel()
	for args, good := range map[string]bool{
		"":                         true,
		"--duration 5s --rate 100": true,
		"-output json -dir /x":     true,
		"--serve --dir x":          true,
		"--serve":                  false,
		"--rate -1":                false,
		"--rate x":                 false,
		"--duration 0s":            false,
		"--output yaml":            false,
		"--sources 0":              false,
		"--no-such-flag":           false,
		"argument":                 false,
	} {
		_, err := parse(strings.Fields(args), io.Discard)
		var usage lifecycle.UsageError
		if good != (err == nil) || err != nil && !errors.As(err, &usage) {
			t.Errorf("%q: error %v", args, err)
		}
	}
}

func TestLockTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	unlock, err := lock(filepath.Join(dir, "new"))
	if err != nil {
		t.Skip(err) // a file system without extended attributes
	}
	if _, err := lock(filepath.Join(dir, "new")); err == nil || !strings.Contains(err.Error(), "in use by another devstack") {
		t.Errorf("second lock: %v", err)
	}
	unlock()
	again, err := lock(filepath.Join(dir, "new"))
	if err != nil {
		t.Fatalf("lock after unlock: %v", err)
	}
	again()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := lock(filepath.Join(dir, "file")); err == nil || !strings.Contains(err.Error(), "file") {
		t.Errorf("lock of a file: %v", err)
	}
}
