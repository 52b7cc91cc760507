package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/internal/goldentest"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storagetest"
)

var update = flag.Bool("update", false, "write the outputs in testdata anew")

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

// done runs a command that must do it, with DIR for the folder.
func done(t *testing.T, dir, args string) (stdout string) {
	t.Helper()
	code, stdout, stderr := hudictl(t, strings.Fields(strings.ReplaceAll(args, "DIR", dir))...)
	if code != exitOK || stderr != "" {
		t.Fatalf("%s: exit %d, %s", args, code, stderr)
	}
	return stdout
}

// content is the sum of every file of a folder.
func content(t *testing.T, dir string) map[string][sha256.Size]byte {
	t.Helper()
	sums := make(map[string][sha256.Size]byte)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		sums[path] = sha256.Sum256(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}

// TestText: the text forms are those in testdata.
func TestText(t *testing.T) {
	t.Parallel()
	const log = "dt=2026-01-01/hr=01/.00000000-d35d-47b6-a8f5-0ccd2ec9c0f8-0_20261123045040537.log.3_1-0-1"
	for _, tc := range []struct{ file, table, args string }{
		{"help", "", "help"},
		{"help-rows", "", "help rows"},
		{"timeline", "v6-cow-015", "timeline DIR"},
		{"timeline-archived", "v9-mor-12", "timeline DIR --archived"},
		{"show-rollback", "v6-mor-015", "show instant DIR 20261123045115560 --output text"},
		{"show-log", "v6-mor-015", "show log DIR " + log},
		{"slices", "v6-mor-015", "slices DIR dt=2026-01-01/hr=01"},
		{"slices-as-of", "v9-mor-12", "slices DIR dt=2026-01-01/hr=01 --as-of 20261123050608575"},
		{"verify", "v6-mor-015", "verify DIR"},
		{"diff", "v6-mor-015", "diff DIR 20261123045111063 20261123045125727"},
		{"diff-rows", "v6-cow-015", "diff DIR 20261123045611705 20261123045630340 --rows"},
		{"rows-csv-none", "v6-cow-015", "rows DIR --output csv --partition none/"},
		{"rows-csv", "v6-cow-015", "rows DIR --output csv --partition dt=2026-01-01/hr=02/ --columns event_id,bitrate,tags,attrs,_hoodie_commit_time"},
	} {
		t.Run(tc.file, func(t *testing.T) {
			t.Parallel()
			dir := ""
			if tc.table != "" {
				dir = unzip(t, tc.table)
			}
			got := strings.ReplaceAll(done(t, dir, tc.args), dir, "DIR")
			if dir == "" {
				got = done(t, dir, tc.args)
			}
			file := filepath.Join("testdata", tc.file+".txt")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil || got != string(want) {
				t.Errorf("%s: %v\n%s\nwant\n%s", tc.args, err, got, want)
			}
		})
	}
}

// TestJSON: every command has JSON, whatever it says.
func TestJSON(t *testing.T) {
	t.Parallel()
	dir := unzip(t, "v6-cow-015")
	for _, tc := range []struct {
		args  string
		lines int // 0: one value
		want  string
	}{
		{"timeline DIR --output json", 0, `"operation": "UPSERT"`},
		{"show instant DIR 20261123045630340", 0, `"operationType": "UPSERT"`},
		{"slices DIR --output json", 0, `"file_id": "00000000-`},
		{"verify DIR --output json", 0, `"findings": []`},
		{"diff DIR 20261123045611705 20261123045630340 --output json", 0, `"rows_updated":`},
		{"diff DIR 20261123045611705 20261123045630340 --output json --rows", 19, `{"change":"added",`},
		{"rows DIR --output json", 63, `"_hoodie_record_key":"session_id:s002,event_id:e0001"`},
		{"rows DIR --read-optimized", 63, `"dt":"2026-01-01"`},
		{"rows --since 20261123045611705 DIR", 8, `"_hoodie_commit_time":"20261123045630340"`},
		{"rows --since 20261123045611705 --until 20261123045619765 DIR", 3, ""},
		{"rows DIR --since 000", 63, ""},
		{"rows DIR --as-of 20261123045611705", 70, ""},
		{"rows DIR --limit 5", 5, ""},
		{"rows DIR --columns event_id,tags --partition dt=2026-01-01/hr=02/", 3, `{"event_id":"e`},
		{"savepoint list DIR --output json", 0, "[]"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			t.Parallel()
			out := done(t, dir, tc.args)
			if !strings.Contains(out, tc.want) {
				t.Errorf("no %s in %.500s", tc.want, out)
			}
			if tc.lines == 0 && !json.Valid([]byte(out)) {
				t.Errorf("no JSON: %.500s", out)
			}
			for line := range strings.Lines(out) {
				if tc.lines > 0 && !json.Valid([]byte(line)) {
					t.Fatalf("no JSON: %s", line)
				}
			}
			if n := strings.Count(out, "\n"); tc.lines > 0 && n != tc.lines {
				t.Errorf("%d lines, want %d", n, tc.lines)
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
		{"drop DIR", `no command "drop`, exitUsage},
		{"show DIR", `no command "show`, exitUsage},
		{"help drop", `no command "drop"`, exitUsage},
		{"rows", "takes the arguments PATH: there are 0", exitUsage},
		{"rows DIR DIR", "there are 2", exitUsage},
		{"slices DIR a b", "there are 3", exitUsage},
		{"rows DIR --nonsense", "nonsense", exitUsage},
		{"rows DIR --output xml", `output "xml"`, exitUsage},
		{"timeline DIR --output csv", `output "csv"`, exitUsage},
		{"rows DIR --as-of yesterday", "not an instant", exitUsage},
		{"rows DIR --as-of 20240418173551906 --since 0", "do not go with", exitUsage},
		{"diff DIR 0 20240418173551906", "no instant", exitUsage},
		{"verify s3://lake/db/table", "only local folders", exitUsage},
		{"create s3://lake/db/table", "only local folders", exitUsage},
		{"clean DIR", "--retain", exitUsage},
		{"restore DIR", "there are 1", exitUsage},
		{"adopt DIR --buckets 2", "--bucket-field", exitUsage},
		{"adopt DIR --buckets 2 --bucket-field id", "adopt table", exitError},
		{"clean DIR --retain 1 --policy age", `policy "age"`, exitUsage},
		{"archive DIR --keep-min 9 --keep-max 8", "--keep-min", exitUsage},
		{"create DIR --type bag", `type "bag"`, exitUsage},
		{"verify DIR/none", "open table", exitError},
		{"rows DIR --columns nope", "no column", exitError},
		{"rows DIR --as-of 20200101000000000", "before the first active commit", exitError},
		{"show instant DIR 20200101000000000", "no such instant", exitError},
		{"show log DIR .none.log", "does not exist", exitError},
		{"compact DIR", "take the table over", exitError},
		{"create DIR/new --config DIR/none.json", "read table configuration", exitError},
	} {
		t.Run(tc.args, func(t *testing.T) {
			t.Parallel()
			code, _, stderr := hudictl(t, strings.Fields(strings.ReplaceAll(tc.args, "DIR", dir))...)
			if code != tc.code || !strings.Contains(stderr, tc.want) {
				t.Errorf("exit %d, want %d, with %q in %s", code, tc.code, tc.want, stderr)
			}
		})
	}
	for _, name := range []string{"none", "new"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Error("made a folder", name)
		}
	}
}

func TestVerifyExits(t *testing.T) {
	t.Parallel()
	dir := unzip(t, "v6-cow-015")
	if err := os.WriteFile(filepath.Join(dir, ".hoodie", "20261123055630340.commit.requested"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	done(t, dir, "verify DIR")
	code, stdout, _ := hudictl(t, "verify", dir, "--strict")
	if want := "warning timeline-pending: .hoodie/20261123055630340.commit.requested: "; code != exitFindings || !strings.HasPrefix(stdout, want) {
		t.Errorf("a warning, strictly: exit %d: %s", code, stdout)
	}
	if err := os.Remove(filepath.Join(dir, "dt=2026-01-01", "hr=03", ".hoodie_partition_metadata")); err != nil {
		t.Fatal(err)
	}
	code, stdout, _ = hudictl(t, "verify", dir)
	if want := "\nerror partition-metafile: dt=2026-01-01/hr=03/.hoodie_partition_metadata: is missing"; code != exitFindings || !strings.Contains(stdout, want) {
		t.Errorf("an error: exit %d: %s", code, stdout)
	}
	if code, stdout, _ := hudictl(t, "verify", dir, "--output", "json"); code != exitFindings || !json.Valid([]byte(stdout)) {
		t.Errorf("as JSON: exit %d: %s", code, stdout)
	}
}

// TestDocumentation: the package documentation has an example of every command, and each of its examples is one that is understood.
func TestDocumentation(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	examples := make(map[string]int)
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(strings.TrimPrefix(line, "//"))
		if len(words) < 2 || words[0] != "hudictl" {
			continue
		}
		c, rest, ok := find(words[1:])
		if !ok {
			t.Errorf("no command in %s", line)
			continue
		}
		examples[c.name]++
		flags, _ := c.flags()
		if _, err := parse(flags, slices.DeleteFunc(rest, func(w string) bool { return strings.HasSuffix(w, "migration'") || w == "the" })); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	for _, c := range commands() {
		if examples[c.name] == 0 {
			t.Errorf("no example of %s", c.name)
		}
	}
}

func TestDryStore(t *testing.T) {
	t.Parallel()
	storagetest.Conformance(t, func(*testing.T) storage.Store { return newDryStore(storage.NewMem()) })
}

// TestDryStoreOverBase: what the base has is seen until it is changed, and the base stays as it is.
func TestDryStoreOverBase(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	base := storage.NewMem()
	for _, key := range []string{"a", "c", "e"} {
		if _, err := base.Put(ctx, key, []byte(key), storage.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	d := newDryStore(base)
	list := func(s storage.Store) string {
		var keys []string
		for info, err := range s.List(ctx, "") {
			if err != nil {
				t.Fatal(err)
			}
			data, _, err := s.Get(ctx, info.Key)
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, info.Key+"="+string(data))
		}
		return strings.Join(keys, " ")
	}
	_, info, err := d.Get(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	for _, put := range []struct {
		key  string
		cond storage.Condition
		want storage.Class
	}{
		{"a", storage.Condition{IfAbsent: true}, storage.Precondition},
		{"a", storage.Condition{IfMatch: "other"}, storage.Precondition},
		{"x", storage.Condition{IfMatch: "other"}, storage.Precondition},
		{"a", storage.Condition{IfMatch: info.ETag}, storage.Permanent},
		{"a", storage.Condition{IfMatch: info.ETag}, storage.Precondition},
		{"b", storage.Condition{IfAbsent: true}, storage.Permanent},
		{"f", storage.Condition{}, storage.Permanent},
	} {
		_, err := d.Put(ctx, put.key, []byte("new"), put.cond)
		if (err == nil) != (put.want == storage.Permanent) || err != nil && storage.Classify(err) != put.want {
			t.Errorf("put %s by %+v: %v", put.key, put.cond, err)
		}
	}
	for _, key := range []string{"c", "f", "none"} {
		if err := d.Delete(ctx, key); err != nil {
			t.Fatal(err)
		}
	}
	if got := list(d); got != "a=new b=new e=e" {
		t.Errorf("listed %s", got)
	}
	if got := list(base); got != "a=a c=c e=e" {
		t.Errorf("the base has %s", got)
	}
	changes, err := d.changes(ctx)
	if want := []objectChange{{"write", "a", 3}, {"write", "b", 3}, {"delete", "c", 0}}; err != nil || !slices.Equal(changes, want) {
		t.Errorf("changes %v, %v", changes, err)
	}
}
