package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

const schema = `{"type":"record","name":"t","fields":[
 {"name":"session_id","type":["null","string"],"default":null},{"name":"event_id","type":["null","string"],"default":null},
 {"name":"event_time","type":["null","long"],"default":null},{"name":"day","type":["null","string"],"default":null}]}`

// newTable makes a merge-on-read table by the program itself, and gives it some commits.
func newTable(t *testing.T, version, commits int) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "table")
	config := filepath.Join(t.TempDir(), "table.json")
	text := `{"Database":"lake","Name":"x","Type":"COPY_ON_WRITE","RecordKeyFields":["session_id","event_id"],"PartitionFields":["day"],
		"OrderingField":"event_time","HiveStylePartitioning":true,"Buckets":2,"BucketField":"session_id"}`
	avro := filepath.Join(t.TempDir(), "events.avsc")
	for file, text := range map[string]string{config: text, avro: schema} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := fmt.Sprintf("create DIR --config %s --schema %s --name events --type mor --table-version %d", config, avro, version)
	if out := done(t, dir, args+" --dry-run"); !strings.Contains(out, "would write .hoodie/hoodie.properties") {
		t.Errorf("dry run: %s", out)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("a dry run made the folder")
	}
	if out := done(t, dir, args); out != "table lake.events\n" {
		t.Errorf("created: %s", out)
	}
	store, err := storage.NewDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	table, err := hudi.Open(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	w, err := table.Acquire(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	for i := range commits {
		commit(t, w, i)
	}
	return dir
}

// commit upserts a row for each of some sessions, the same ones each time.
func commit(t *testing.T, w *hudi.Writer, n int) {
	t.Helper()
	groups := make(map[int]*hudi.Group)
	for i := range 8 {
		session := fmt.Sprintf("s-%d", i)
		b := keys.Bucket(2, session)
		if groups[b] == nil {
			groups[b] = &hudi.Group{Partition: "day=2026-11-22", Bucket: b}
		}
		text := func(dst []byte, s string) []byte {
			return append(binary.AppendVarint(append(dst, 2), int64(len(s))), s...)
		}
		payload := binary.AppendVarint(append(text(text(nil, session), "e"), 2), int64(n))
		groups[b].Records = append(groups[b].Records, hudi.Record{
			Key: "session_id:" + session + ",event_id:e", Payload: text(payload, "2026-11-22"),
		})
	}
	req := hudi.CommitRequest{
		Operation: hudi.Upsert, WriterSchemas: []string{schema}, Groups: []hudi.Group{*groups[0], *groups[1]},
		Progress: hudi.Progress{"topic": {0: {From: int64(n), Next: int64(n) + 1}}},
	}
	if _, err := w.Commit(t.Context(), req); err != nil {
		t.Fatal(err)
	}
}

// value reads the JSON that a command writes.
func value(t *testing.T, dir, args string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(done(t, dir, args+" --output json")), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// instants are those of the timeline's commits.
func instants(t *testing.T, dir string) (found []string) {
	t.Helper()
	var list []struct{ Instant, Action string }
	if err := json.Unmarshal([]byte(done(t, dir, "timeline DIR --output json")), &list); err != nil {
		t.Fatal(err)
	}
	for _, i := range list {
		if strings.HasSuffix(i.Action, "commit") {
			found = append(found, i.Instant)
		}
	}
	return found
}

// TestServices runs every service, first dry, when nothing may change, then in earnest, and the table stays whole and has its rows.
func TestServices(t *testing.T) {
	t.Parallel()
	for _, version := range []int{hudi.Version6, hudi.Version9} {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			services(t, version)
		})
	}
}

func services(t *testing.T, version int) {
	dir := newTable(t, version, 5)
	last := instants(t, dir)[5]
	for _, step := range []struct{ args, dry, field, text string }{
		{"savepoint create DIR " + last + " --user me --comment why", `"files": 10`, "files", "me"},
		{"compact DIR", `"logs": 4`, "files", "compaction 20"},
		{"clean DIR --retain 1 --policy versions", `"files": []`, "bytes", "0 files, 0 bytes"},
		{"savepoint delete DIR " + last, `"deleted": "` + last, "deleted", "deleted"},
		{"clean DIR --retain 1 --policy versions", `.log.`, "bytes", "10 files"},
		{"archive DIR --keep-min 2 --keep-max 3", `"action": "deltacommit"`, "files", "instants archived in 1 files"},
		{"compact DIR", `"plan": []`, "files", "nothing to compact"},
		{"rollback DIR", `"gone": []`, "left", "0 attempts rolled back"},
	} {
		before := content(t, dir)
		dry := done(t, dir, step.args+" --dry-run --output json")
		if !strings.Contains(dry, step.dry) || !strings.Contains(dry, `"dry_run": true`) || !strings.Contains(dry, `"`+step.field+`"`) {
			t.Errorf("%s, dry: no %s or %s in %s", step.args, step.dry, step.field, dry)
		}
		if text := done(t, dir, step.args+" --dry-run"); !strings.Contains(text, "dry run: nothing was changed") {
			t.Errorf("%s, dry: %s", step.args, text)
		}
		if !maps.Equal(before, content(t, dir)) {
			t.Errorf("%s changed something in a dry run", step.args)
		}
		if out := done(t, dir, step.args); !strings.Contains(out, step.text) {
			t.Errorf("%s: no %s in %s", step.args, step.text, out)
		}
		if strings.HasPrefix(step.args, "savepoint create") {
			if list := done(t, dir, "savepoint list DIR"); !strings.Contains(list, last+" by me at 20") || !strings.Contains(list, "10 files: why") {
				t.Errorf("savepoints: %s", list)
			}
		}
		if out := done(t, dir, "verify DIR --strict"); !strings.Contains(out, ": 8 rows in 2 files") {
			t.Errorf("after %s: %s", step.args, out)
		}
	}
	code, _, stderr := hudictl(t, "savepoint", "delete", dir, last)
	if code != exitError || !strings.Contains(stderr, "no savepoint") {
		t.Errorf("a savepoint that is not there: exit %d, %s", code, stderr)
	}
}

// TestRollback undoes an attempt that died after it had written its files.
func TestRollback(t *testing.T) {
	t.Parallel()
	dir := newTable(t, 6, 2)
	commits := instants(t, dir)
	last := commits[len(commits)-1]
	head := filepath.Join(dir, ".hoodie", "playhead", "HEAD")
	store, err := storage.NewDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	table, err := hudi.Open(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	w, err := table.Acquire(t.Context(), "dying")
	if err != nil {
		t.Fatal(err)
	}
	// The commit is made one that died before it was decided.
	early, err := os.ReadFile(head)
	if err != nil {
		t.Fatal(err)
	}
	commit(t, w, 2)
	dead := instants(t, dir)[len(commits)]
	if err := os.WriteFile(head, early, 0o600); err != nil {
		t.Fatal(err)
	}
	forget(t, dir, dead)
	before := content(t, dir)
	dry := value(t, dir, "rollback DIR --dry-run")
	if gone := fmt.Sprint(dry["gone"]); gone != "["+dead+".deltacommit.inflight]" || len(dry["changes"].([]any)) < 5 {
		t.Errorf("dry run: %v", dry)
	}
	if !maps.Equal(before, content(t, dir)) {
		t.Error("the dry run changed something")
	}
	r := value(t, dir, "rollback DIR")
	if len(r["gone"].([]any)) != 1 || len(r["rollbacks"].([]any)) != 1 || len(r["left"].([]any)) != 0 {
		t.Errorf("rollback: %v", r)
	}
	if have := instants(t, dir); have[len(have)-1] != last {
		t.Errorf("commits %q, the last was %s", have, last)
	}
	if out := done(t, dir, "verify DIR --strict"); !strings.Contains(out, ": 8 rows in 2 files and 2 logs") {
		t.Error(out)
	}
	again := value(t, dir, "rollback DIR")
	if len(again["gone"].([]any)) != 0 {
		t.Errorf("again: %v", again)
	}
}

// TestRestore goes back to a savepoint.
func TestRestore(t *testing.T) {
	t.Parallel()
	dir := newTable(t, 6, 4)
	commits := instants(t, dir)
	done(t, dir, "savepoint create DIR "+commits[2])
	before := content(t, dir)
	if out := done(t, dir, "rollback DIR "+commits[4]+" --dry-run"); !strings.Contains(out, "would undo deltacommit "+commits[4]) {
		t.Errorf("rollback of the newest commit, dry: %s", out)
	}
	undo := func(args string) string {
		v := value(t, dir, args)
		if v["last"] != commits[2] {
			t.Errorf("%s: %v", args, v)
		}
		return fmt.Sprint(v["undone"])
	}
	want := fmt.Sprintf("[map[action:deltacommit instant:%s] map[action:deltacommit instant:%s]]", commits[4], commits[3])
	if got := undo("restore DIR " + commits[2] + " --dry-run"); got != want || !maps.Equal(before, content(t, dir)) {
		t.Errorf("dry run: %s", got)
	}
	if got := undo("restore DIR " + commits[2]); got != want {
		t.Errorf("restore: %s", got)
	}
	if got := instants(t, dir); len(got) != 3 {
		t.Errorf("commits %q", got)
	}
	if out := done(t, dir, "restore DIR "+commits[2]); !strings.Contains(out, "0 instants undone") {
		t.Errorf("again: %s", out)
	}
	if out := done(t, dir, "verify DIR --strict"); !strings.Contains(out, ": 8 rows in 2 files and 2 logs") {
		t.Error(out)
	}
	list := value(t, dir, "rows DIR --limit 1 --columns event_time")
	if list["event_time"] != 1.0 {
		t.Errorf("row %v", list)
	}
}

// TestAdopt takes a table of Spark's up.
func TestAdopt(t *testing.T) {
	t.Parallel()
	dir := unzip(t, "v6-cow-015")
	before := content(t, dir)
	const args = "adopt DIR --buckets 2 --bucket-field session_id,event_id"
	if out := done(t, dir, args+" --dry-run"); !strings.Contains(out, "would write .hoodie/playhead/HEAD") || !maps.Equal(before, content(t, dir)) {
		t.Errorf("dry run: %s", out)
	}
	if out := done(t, dir, args); out != "table default.playback\n" {
		t.Error(out)
	}
	if out := done(t, dir, "verify DIR --strict"); strings.Contains(out, "not checked") {
		t.Error(out)
	}
	done(t, dir, "clean DIR --retain 1")
}

// forget takes the completed file of a commit away, and puts the markers back that its success deleted.
func forget(t *testing.T, dir, instant string) {
	t.Helper()
	completed := filepath.Join(dir, ".hoodie", instant+".deltacommit")
	data, err := os.ReadFile(completed)
	if err != nil {
		t.Fatal(err)
	}
	c, err := meta.ParseCommit(data)
	if err != nil {
		t.Fatal(err)
	}
	var markers []meta.Marker
	for _, stats := range c.PartitionToWriteStats {
		for _, s := range stats {
			markers = append(markers, meta.Marker{File: *s.Path, Kind: meta.MarkerAppend})
		}
	}
	at := timeline.Instant(instant)
	for key, data := range map[string][]byte{meta.MarkerTypeKey(at): []byte(meta.MarkerType), meta.MarkerListKey(at): meta.EncodeMarkers(markers)} {
		file := filepath.Join(dir, filepath.FromSlash(key))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(completed); err != nil {
		t.Fatal(err)
	}
}

// TestCreateTwice: the same table is no error, another one is.
func TestCreateTwice(t *testing.T) {
	t.Parallel()
	dir := newTable(t, 6, 0)
	avro := filepath.Join(t.TempDir(), "events.avsc")
	if err := os.WriteFile(avro, []byte(schema), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := "create DIR --database lake --name events --type mor --record-key session_id,event_id --partition-by day --hive-style" +
		" --ordering event_time --bucket-field session_id --schema " + avro
	before := content(t, dir)
	if out := value(t, dir, flags+" --buckets 2 --dry-run"); out["table"] != "lake.events" || out["changes"] != nil {
		t.Errorf("dry run: %v", out)
	}
	done(t, dir, flags+" --buckets 2")
	if !maps.Equal(before, content(t, dir)) {
		t.Error("the same table was changed")
	}
	code, _, stderr := hudictl(t, strings.Fields(strings.ReplaceAll(flags+" --buckets 4", "DIR", dir))...)
	if code != exitError || !strings.Contains(stderr, "uckets") {
		t.Errorf("other buckets: exit %d, %s", code, stderr)
	}
	code, _, stderr = hudictl(t, strings.Fields(strings.ReplaceAll(flags, "DIR", filepath.Join(t.TempDir(), "other")))...)
	if code != exitUsage {
		t.Errorf("no buckets: exit %d, %s", code, stderr)
	}
	if bytes.Contains([]byte(stderr), []byte("panic")) {
		t.Error(stderr)
	}
}
