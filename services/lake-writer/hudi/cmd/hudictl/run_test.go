package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/internal/goldentest"
)

// unzip puts a golden table into a folder.
func unzip(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	for key, data := range goldentest.Files(t, "../../testdata/"+name+".zip") {
		file := filepath.Join(dir, filepath.FromSlash(key))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func hudictl(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestCommands(t *testing.T) {
	t.Parallel()
	dir := unzip(t, "v6-cow-015")
	for _, tc := range []struct {
		args  string
		lines int
		want  string // in the output
	}{
		{"timeline DIR --output json", 5, `{"instant":"20261123045630340","action":"commit","state":"completed","operation":"UPSERT","files":2,`},
		{"timeline DIR", 6, "20261123045619765  replacecommit  completed"},
		{"rows DIR --query snapshot --output json", 63, `"_hoodie_record_key":"session_id:s002,event_id:e0001"`},
		{"rows DIR --query read-optimized", 63, `"dt":"2026-01-01"`},
		{"rows --query incremental --from 20261123045611705 DIR", 8, `"_hoodie_commit_time":"20261123045630340"`},
		{"rows DIR --query incremental --from 000", 63, ""},
		{"rows DIR --as-of 20261123045611705", 70, ""},
		{"rows DIR --columns event_id,tags --partitions dt=2026-01-01/hr=02/", 3, `{"event_id":"e`},
		{"show commit DIR 20261123045630340", 0, `"operationType": "UPSERT"`},
		{"verify DIR", 2, "63 rows in 8 files and 0 logs of 4 partitions"},
		{"verify DIR --output json", 1, `"findings":[]`},
		{"--help", 0, "usage:"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			t.Parallel()
			args := strings.Fields(strings.ReplaceAll(tc.args, "DIR", dir))
			code, stdout, stderr := hudictl(t, args...)
			if code != exitOK || stderr != "" || !strings.Contains(stdout, tc.want) {
				t.Errorf("exit %d, no %s in %.500s, errors %s", code, tc.want, stdout, stderr)
			}
			if n := strings.Count(stdout, "\n"); tc.lines > 0 && n != tc.lines {
				t.Errorf("%d lines, want %d", n, tc.lines)
			}
			if args[0] == "rows" {
				for line := range strings.Lines(stdout) {
					if !json.Valid([]byte(line)) {
						t.Fatalf("no JSON: %s", line)
					}
				}
			}
		})
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	dir := unzip(t, "v6_nonpartitioned")
	for _, tc := range []struct {
		args, want string
		code       int
	}{
		{"", "no command", exitUsage},
		{"drop DIR", `no command "drop"`, exitUsage},
		{"show DIR", `no command "show"`, exitUsage},
		{"rows", "0 arguments, want 1", exitUsage},
		{"rows DIR DIR", "2 arguments, want 1", exitUsage},
		{"rows DIR --nonsense", "nonsense", exitUsage},
		{"rows DIR --query all", `query "all"`, exitUsage},
		{"rows DIR --output xml", `output "xml"`, exitUsage},
		{"rows DIR --as-of yesterday", "not an instant", exitUsage},
		{"rows DIR --from 20240418173550988", "--query incremental", exitUsage},
		{"verify s3://lake/db/table", "only local folders", exitUsage},
		{"verify DIR/none", "open table", exitFailure},
		{"rows DIR --columns nope", "no column", exitFailure},
		{"rows DIR --as-of 20200101000000000", "before the first active commit", exitFailure},
		{"show commit DIR 20200101000000000", "no completed write", exitFailure},
	} {
		t.Run(tc.args, func(t *testing.T) {
			t.Parallel()
			code, _, stderr := hudictl(t, strings.Fields(strings.ReplaceAll(tc.args, "DIR", dir))...)
			if code != tc.code || !strings.Contains(stderr, tc.want) {
				t.Errorf("exit %d, want %d, with %q in %s", code, tc.code, tc.want, stderr)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "none")); err == nil {
		t.Error("made a folder")
	}
}

func TestVerifyExitsWithAFaultALine(t *testing.T) {
	t.Parallel()
	dir := unzip(t, "v6-cow-015")
	if err := os.Remove(filepath.Join(dir, "dt=2026-01-01", "hr=03", ".hoodie_partition_metadata")); err != nil {
		t.Fatal(err)
	}
	code, stdout, _ := hudictl(t, "verify", dir)
	if want := "error partition-metafile: dt=2026-01-01/hr=03/.hoodie_partition_metadata: is missing"; code != exitFailure || !strings.HasPrefix(stdout, want) {
		t.Errorf("exit %d: %s", code, stdout)
	}
	if code, stdout, _ := hudictl(t, "verify", dir, "--output", "json"); code != exitFailure || !json.Valid([]byte(stdout)) {
		t.Errorf("exit %d: %s", code, stdout)
	}
}
