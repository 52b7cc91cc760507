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

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"", "-table x", "-kafka x", "-table x -kafka y -output xml", "-no-such-flag"} {
		var usage lifecycle.UsageError
		if err := run(t.Context(), strings.Fields(args), io.Discard, io.Discard); !errors.As(err, &usage) {
			t.Errorf("%q: error %v", args, err)
		}
	}
	if err := run(t.Context(), []string{"-table", "x", "-kafka", "y", "-ledgers", t.TempDir()}, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "no ledger") {
		t.Errorf("without ledgers: error %v", err)
	}
}

func TestEndpointsFillWhatFlagsLeaveOpen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "endpoints.json")
	if err := os.WriteFile(path, []byte(`{"table":"/t","kafka":"h:1"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	s := settings{endpoints: path, kafka: "given:2", output: "text"}
	if err := s.fill(); err != nil || s.table != "/t" || s.kafka != "given:2" {
		t.Errorf("settings %+v, error %v", s, err)
	}
}
