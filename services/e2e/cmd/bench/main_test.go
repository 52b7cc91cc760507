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

	"github.com/playhead-pipeline/playhead/services/e2e/model"
)

func TestFlags(t *testing.T) {
	t.Parallel()
	for args, want := range map[string][]string{
		"":                              stages,
		"router":                        {"router"},
		"router --output json":          {"router"},
		"-output json gateway pipeline": {"gateway", "pipeline"},
		"gateway --duration 1s --rate 10 lake-writer": {"gateway", "lake-writer"},
	} {
		s, err := parse(strings.Fields(args), io.Discard)
		if err != nil || !slices.Equal(s.stages, want) {
			t.Errorf("%q: %v, %v", args, s, err)
		}
	}
	for _, args := range []string{"nothing", "--duration 0s", "--rate -1", "--sources 0", "--duration 1s gateway -x", "--output xml", "--no-such-flag"} {
		_, err := parse(strings.Fields(args), io.Discard)
		var usage lifecycle.UsageError
		if !errors.As(err, &usage) {
			t.Errorf("%q: error %v", args, err)
		}
	}
}

func TestPrint(t *testing.T) {
	t.Parallel()
	figures := []figure{{Stage: "router", Events: 10, CPU: 1500.5, EventsPerSecond: 1000, Allocs: 0.25}, {Stage: pipeline, Events: 10}}
	for name, test := range map[string]struct {
		output, verdict, want string
	}{
		"json": {"json", "ok", `{"stage":"router","events":10,"cpu_ns_per_event":1500.5,"events_per_second":1000,"allocs_per_event":0.25,"ledger":"ok"}` + "\n"},
		"text": {
			"text", "ok", "stage            events   cpu ns/event   events/s allocs/event\n" +
				"router               10           1500       1000         0.25\n",
		},
		"no figure of a failed run": {"json", "failed", ""},
	} {
		var out strings.Builder
		s := &settings{output: test.output, stages: []string{"router"}}
		err := s.print(&out, &model.Result{Verdict: test.verdict, Lost: 1}, figures)
		if out.String() != test.want || (err == nil) != (test.verdict == "ok") {
			t.Errorf("%s: error %v, output\n%s", name, err, out.String())
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
