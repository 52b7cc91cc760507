package registryserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func quote(schema string) string {
	text, err := json.Marshal(map[string]string{"schema": schema})
	if err != nil {
		panic(err) // a map of strings always encodes
	}
	return string(text)
}

func recordSchema(fields string) string {
	return `{"type":"record","name":"E","fields":[` + fields + `]}`
}

const (
	fieldA        = `{"name":"a","type":"string"}`
	fieldB        = `{"name":"b","type":"long"}`
	fieldBDefault = `{"name":"b","type":"long","default":0}`
)

func TestCompatibilityLevels(t *testing.T) {
	t.Parallel()
	a, ab, abDefault := recordSchema(fieldA), recordSchema(fieldA+","+fieldB), recordSchema(fieldA+","+fieldBDefault)
	for _, c := range []struct {
		level     Level
		history   []string
		candidate string
		ok        bool
	}{
		{None, []string{a}, recordSchema(`{"name":"a","type":"int"}`), true},
		{Backward, []string{a}, ab, false},
		{Backward, []string{a}, abDefault, true},
		{Backward, []string{ab}, a, true},
		{Forward, []string{ab}, a, false},
		{Forward, []string{a}, ab, true},
		{Full, []string{a}, ab, false},
		{Full, []string{a}, abDefault, true},
		// The oldest version has no b: reading it needs the default that only the newest but one had.
		{Backward, []string{a, abDefault}, ab, true},
		{BackwardTransitive, []string{a, abDefault}, ab, false},
		{Forward, []string{ab, abDefault}, a, true},
		{ForwardTransitive, []string{ab, abDefault}, a, false},
		{FullTransitive, []string{ab, abDefault}, a, false},
		{FullTransitive, []string{a, abDefault}, abDefault, true},
	} {
		web := newTestServer(t, "")
		ask(t, web.URL, call{method: "PUT", path: "/config", body: `{"compatibility":"NONE"}`})
		for _, schema := range c.history {
			if got := ask(t, web.URL, call{method: "POST", path: "/subjects/s/versions", body: quote(schema)}); got.status != 200 {
				t.Fatalf("register: %s", got.answer)
			}
		}
		ask(t, web.URL, call{method: "PUT", path: "/config/s", body: fmt.Sprintf(`{"compatibility":%q}`, c.level)})
		got := ask(t, web.URL, call{method: "POST", path: "/subjects/s/versions", body: quote(c.candidate)})
		if ok := got.status == 200; ok != c.ok {
			t.Errorf("%s: %s after %v: %d %s", c.level, c.candidate, c.history, got.status, got.answer)
		}
	}
}

func TestRestartKeepsEverything(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := New(Params{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	setup := newServerOver(t, first)
	for _, c := range []call{
		{method: "POST", path: "/subjects/s/versions", body: quote(recordSchema(fieldA))},
		{method: "POST", path: "/subjects/s/versions", body: quote(recordSchema(fieldA + "," + fieldBDefault))},
		{method: "POST", path: "/subjects/other/versions", body: quote(recordSchema(fieldA))},
		{method: "DELETE", path: "/subjects/s/versions/1"},
		{method: "PUT", path: "/config/s", body: `{"compatibility":"FULL"}`},
		{method: "PUT", path: "/mode/other", body: `{"mode":"READONLY"}`},
	} {
		if got := ask(t, setup, c); got.status != 200 {
			t.Fatalf("%s: %d %s", c, got.status, got.answer)
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	// A crash in the middle of an append leaves a line without its end.
	file, err := os.OpenFile(filepath.Join(dir, "registry.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(`{"op":"version","subj`); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}

	web := newTestServer(t, dir)
	for _, c := range []struct {
		call
		want string
	}{
		{call{method: "GET", path: "/subjects/s/versions"}, "[2]"},
		{call{method: "GET", path: "/subjects/s/versions?deleted=true"}, "[1,2]"},
		{call{method: "GET", path: "/subjects"}, `["other","s"]`},
		{call{method: "GET", path: "/config/s"}, `{"compatibilityLevel":"FULL"}`},
		{call{method: "GET", path: "/schemas/ids/1/versions"}, `[{"subject":"other","version":1}]`},
		{call{method: "POST", path: "/subjects/new/versions", body: quote(recordSchema(fieldB))}, `{"id":3}`},
		{call{method: "POST", path: "/subjects/other/versions", body: quote(recordSchema(fieldB))}, `{"error_code":42205,"message":"Subject other is in read-only mode"}`},
		{call{method: "DELETE", path: "/subjects/other"}, `{"error_code":42205,"message":"Subject other is in read-only mode"}`},
		{call{method: "DELETE", path: "/subjects/other/versions/1"}, `{"error_code":42205,"message":"Subject other is in read-only mode"}`},
		{call{method: "GET", path: "/subjects/other/versions"}, "[1]"},
	} {
		if got := ask(t, web.URL, c.call); got.answer != c.want {
			t.Errorf("%s: %s, want %s", c.call, got.answer, c.want)
		}
	}
}

// failingFile fails the call that counts down to 0, a write after half of its bytes.
type failingFile struct {
	*os.File
	left int
}

func (f *failingFile) fails() bool { f.left--; return f.left == 0 }

func (f *failingFile) Write(b []byte) (int, error) {
	if f.fails() {
		n, err := f.File.Write(b[:len(b)/2])
		return n, errors.Join(err, errors.New("disk full"))
	}
	return f.File.Write(b)
}

func (f *failingFile) Sync() error {
	if f.fails() {
		return errors.New("input/output error")
	}
	return f.File.Sync()
}

// A failed append leaves nothing behind: not in the answers, not in the file, and not in the way of the next one.
func TestFailedAppend(t *testing.T) {
	t.Parallel()
	for _, failing := range []string{"write", "sync"} {
		t.Run(failing, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			server, err := New(Params{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			web := newServerOver(t, server)
			post := func(subject string) int {
				return ask(t, web, call{method: "POST", path: "/subjects/" + subject + "/versions", body: quote(recordSchema(fieldA))}).status
			}
			if got := post("before"); got != 200 {
				t.Fatalf("status %d", got)
			}
			real := server.journal.file.(*os.File)
			server.journal.file = &failingFile{real, map[string]int{"write": 1, "sync": 2}[failing]}
			if got := post("refused"); got != 500 {
				t.Errorf("status %d while the disk fails, want 500", got)
			}
			if got := post("after"); got != 200 {
				t.Errorf("status %d after the failure, want 200", got)
			}
			want := `["after","before"]`
			if got := ask(t, web, call{method: "GET", path: "/subjects"}).answer; got != want {
				t.Errorf("subjects %s, want %s", got, want)
			}
			if err := server.Close(); err != nil {
				t.Fatal(err)
			}
			if got := ask(t, newTestServer(t, dir).URL, call{method: "GET", path: "/subjects"}).answer; got != want {
				t.Errorf("subjects after a restart %s, want %s", got, want)
			}
		})
	}
}

func TestDamagedFileIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "registry.jsonl"), []byte("not JSON\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Params{Dir: dir, Logger: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "line at byte 0") {
		t.Errorf("error %v, want one that names the line", err)
	}
}

func TestOversizeBodyIsRefused(t *testing.T) {
	t.Parallel()
	web := newTestServer(t, "")
	got := ask(t, web.URL, call{method: "POST", path: "/subjects/s/versions", body: strings.Repeat("x", maxBodyBytes+1)})
	if got.status != 422 {
		t.Errorf("status %d, want 422", got.status)
	}
}
