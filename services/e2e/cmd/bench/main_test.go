package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/playhead-pipeline/playhead/services/internal/lifecycle"
)

func TestFlags(t *testing.T) {
	t.Parallel()
	for args, want := range map[string][]string{
		"":                                stages,
		"router":                          {"router"},
		"router --output json":            {"router"},
		"-output json gateway pipeline":   {"gateway", "pipeline"},
		"gateway --events 10 lake-writer": {"gateway", "lake-writer"},
	} {
		s, err := parse(strings.Fields(args), io.Discard)
		if err != nil || !slices.Equal(s.stages, want) {
			t.Errorf("%q: %v, %v", args, s, err)
		}
	}
	for _, args := range []string{"nothing", "--events 0", "--output xml", "--no-such-flag"} {
		_, err := parse(strings.Fields(args), io.Discard)
		var usage lifecycle.UsageError
		if !errors.As(err, &usage) {
			t.Errorf("%q: error %v", args, err)
		}
	}
}

func TestReadMetric(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "# HELP a b\na_total 1\na 2.5e+06\n")
	}))
	defer server.Close()
	if v, err := readMetric(server.URL, "a"); err != nil || v != 2.5e6 {
		t.Errorf("a is %v, %v", v, err)
	}
	if _, err := readMetric(server.URL, "b"); err == nil {
		t.Error("b is not there")
	}
}
