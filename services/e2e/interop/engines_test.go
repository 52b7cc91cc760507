package interop

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
)

// TestMain ends the engines' processes, which the tests share: starting one costs more than most of what it is asked. Then it writes down what
// works with which engine, where that is wanted.
func TestMain(m *testing.M) {
	code := m.Run()
	err := shared.close()
	if path := os.Getenv("PLAYHEAD_ENGINE_TABLE"); path != "" {
		err = errors.Join(err, outcome.write(path))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// request is what an engine is asked or told; see engines/spark_engine.py.
type request struct {
	ID      string            `json:"id"`
	Path    string            `json:"path"`
	Options map[string]string `json:"options,omitempty"`

	// A query.
	Type    string            `json:"type,omitempty"`
	Begin   string            `json:"begin,omitempty"`
	AsOf    string            `json:"as_of,omitempty"`
	Where   string            `json:"where,omitempty"`
	Out     string            `json:"out,omitempty"`
	Storage map[string]string `json:"storage,omitempty"` // options of hudi-rs

	// A write.
	Operation string `json:"operation,omitempty"`
	Mode      string `json:"mode,omitempty"`
	Schema    string `json:"schema,omitempty"`
	In        string `json:"in,omitempty"`

	Hadoop map[string]string `json:"hadoop,omitempty"` // settings of Spark's file systems
}

// engine is a program that answers requests.
type engine struct {
	name   string
	bundle string // of Spark; "" for hudi-rs, which only answers queries without "where"
	argv   []string
}

func (e engine) spark() bool { return e.bundle != "" }

// knows reports whether the engine reads tables of a version.
func (e engine) knows(version int) bool { return version == hudi.Version6 || e.bundle != "0.15.0" }

// peersDir is the folder that scripts/peers.sh filled.
func peersDir(t *testing.T) string {
	t.Helper()
	install := os.Getenv("PLAYHEAD_PEERS")
	if install == "" {
		t.Skip("PLAYHEAD_PEERS is not set: engines run in the stage interop of scripts/test.sh")
	}
	return install
}

// engines lists the judges.
func engines(t *testing.T, install string) []engine {
	t.Helper()
	scripts, err := filepath.Abs("engines")
	if err != nil {
		t.Fatal(err)
	}
	python := func(peer string) string { return filepath.Join(install, peer, "venv", "bin", "python") }
	list := []engine{{name: "hudi-rs", argv: []string{python("hudi-rs"), filepath.Join(scripts, "hudi_rs_engine.py")}}}
	for _, bundle := range []string{"0.15.0", "1.1.1", "1.2.0"} {
		list = append(list, engine{name: "spark-hudi-" + bundle, bundle: bundle, argv: []string{
			python("spark"), filepath.Join(scripts, "spark_engine.py"),
			"--jars", filepath.Join(install, "spark", "jars"), "--bundle", bundle, "--log4j", filepath.Join(scripts, "log4j2.properties"),
			"--file-systems", filepath.Join(install, "s3a", "jars"),
		}})
	}
	return list
}

// sessions are running engines by name.
type sessions struct {
	mu      sync.Mutex
	running map[string]*session
}

var shared sessions

// session is a running engine. It answers one request after the other.
type session struct {
	mu      sync.Mutex
	engine  engine
	dir     string
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	answers chan answer // closed when the process says no more
	stderr  bytes.Buffer
}

type answer struct {
	ID    string `json:"id"`
	Rows  int    `json:"rows"`
	Error string `json:"error"`
}

// of returns the engine's running process; it starts one if there is none.
func (s *sessions) of(t *testing.T, e engine) *session {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if running, ok := s.running[e.name]; ok {
		return running
	}
	dir, err := os.MkdirTemp("", "interop-")
	if err != nil {
		t.Fatal(err)
	}
	run := &session{engine: e, dir: dir, cmd: exec.Command(e.argv[0], e.argv[1:]...), answers: make(chan answer)}
	run.cmd.Env = append(os.Environ(), "TZ=UTC", "TMPDIR="+dir, "SPARK_LOCAL_IP=127.0.0.1")
	run.cmd.Stderr = &run.stderr
	stdin, err := run.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := run.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := run.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	run.stdin = stdin
	go func() {
		defer close(run.answers)
		for decoder := json.NewDecoder(stdout); ; {
			var a answer
			if decoder.Decode(&a) != nil {
				return
			}
			run.answers <- a
		}
	}()
	if s.running == nil {
		s.running = map[string]*session{}
	}
	s.running[e.name] = run
	return run
}

// close ends all processes.
func (s *sessions) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var failed []error
	for _, run := range s.running {
		err := run.stdin.Close()
		for range run.answers { // of a request whose test gave up
		}
		failed = append(failed, err, run.cmd.Wait(), os.RemoveAll(run.dir))
	}
	s.running = nil
	return errors.Join(failed...)
}

// do lets the engine carry out a request, and returns its error.
func (s *session) do(ctx context.Context, t *testing.T, r request) (answer, error) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	line, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.stdin.Write(append(line, '\n')); err != nil {
		t.Fatalf("%s: request %s: %v", s.engine.name, r.ID, err)
	}
	select {
	case <-ctx.Done():
		_ = s.cmd.Process.Kill() // its next answer would be taken for another request's
		t.Fatalf("%s: request %s: %v", s.engine.name, r.ID, ctx.Err())
		return answer{}, ctx.Err()
	case a, ok := <-s.answers:
		if !ok {
			t.Fatalf("%s: ended during request %s", s.engine.name, r.ID)
		}
		if a.ID != r.ID {
			t.Fatalf("%s: answer to %q, want %q", s.engine.name, a.ID, r.ID)
		}
		if a.Error != "" {
			return a, fmt.Errorf("%s: %s: %s", s.engine.name, r.ID, a.Error)
		}
		return a, nil
	}
}

// query returns the rows that answer a query, as JSON lines.
func (s *session) query(ctx context.Context, t *testing.T, r request) ([]string, error) {
	t.Helper()
	r.Out = filepath.Join(s.dir, "rows.jsonl")
	a, err := s.do(ctx, t, r)
	if err != nil {
		return nil, err
	}
	lines := readLines(t, r.Out)
	if len(lines) != a.Rows {
		t.Fatalf("%s: query %s: %d lines for %d rows", s.engine.name, r.ID, len(lines), a.Rows)
	}
	return lines, nil
}

// write lets the engine write rows to a table.
func (s *session) write(ctx context.Context, t *testing.T, r request, rows []columns) {
	t.Helper()
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	for _, row := range rows {
		if err := encoder.Encode(row); err != nil {
			t.Fatal(err)
		}
	}
	r.In = filepath.Join(s.dir, "input.jsonl")
	if err := os.WriteFile(r.In, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.do(ctx, t, r); err != nil {
		t.Fatal(err)
	}
}

func readLines(t *testing.T, path string) []string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := []string{}
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, 16<<20)
	for scanner.Scan() {
		lines = append(lines, scanner.Text())
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}
