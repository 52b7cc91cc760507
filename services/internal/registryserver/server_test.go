package registryserver

import (
	"encoding/json"
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
	} {
		if got := ask(t, web.URL, c.call); got.answer != c.want {
			t.Errorf("%s: %s, want %s", c.call, got.answer, c.want)
		}
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
