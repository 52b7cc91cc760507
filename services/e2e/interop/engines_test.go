package interop

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// query is one question to an engine; see engines/spark_reader.py.
type query struct {
	ID    string `json:"id"`
	Path  string `json:"path"`
	Type  string `json:"type"`
	Begin string `json:"begin,omitempty"`
	AsOf  string `json:"as_of,omitempty"`
	Where string `json:"where,omitempty"`
	Out   string `json:"out"`
}

// engine is a program that answers queries.
type engine struct {
	name    string
	argv    []string
	filters bool // understands "where"
}

// engines lists the judges in the folder that scripts/peers.sh filled.
func engines(t *testing.T, install string) []engine {
	t.Helper()
	scripts, err := filepath.Abs("engines")
	if err != nil {
		t.Fatal(err)
	}
	spark := func(bundle string) engine {
		return engine{name: "spark-hudi-" + bundle, filters: true, argv: []string{
			filepath.Join(install, "spark", "venv", "bin", "python"), filepath.Join(scripts, "spark_reader.py"),
			"--jars", filepath.Join(install, "spark", "jars"), "--bundle", bundle, "--log4j", filepath.Join(scripts, "log4j2.properties"),
		}}
	}
	return []engine{
		{name: "hudi-rs", argv: []string{filepath.Join(install, "hudi-rs", "venv", "bin", "python"), filepath.Join(scripts, "hudi_rs_reader.py")}},
		spark("0.15.0"), spark("1.1.1"), spark("1.2.0"),
	}
}

// ask runs the engine once for all queries and returns each query's rows as JSON lines.
func (e engine) ask(ctx context.Context, t *testing.T, queries []query) map[string][]string {
	t.Helper()
	dir := t.TempDir()
	for i := range queries {
		queries[i].Out = filepath.Join(dir, queries[i].ID+".jsonl")
	}
	input, err := json.Marshal(queries)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, e.argv[0], e.argv[1:]...)
	cmd.Env = append(os.Environ(), "TZ=UTC", "TMPDIR="+dir, "SPARK_LOCAL_IP=127.0.0.1")
	cmd.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", e.name, err, tail(stderr.String(), 4000))
	}
	rows := map[string][]string{}
	decoder := json.NewDecoder(bytes.NewReader(out))
	for decoder.More() {
		var answer struct {
			ID    string `json:"id"`
			Rows  int    `json:"rows"`
			Error string `json:"error"`
		}
		if err := decoder.Decode(&answer); err != nil {
			t.Fatalf("%s: answer: %v in %s", e.name, err, tail(string(out), 1000))
		}
		if answer.Error != "" {
			t.Errorf("%s: query %s: %s", e.name, answer.ID, answer.Error)
			continue
		}
		lines := readLines(t, filepath.Join(dir, answer.ID+".jsonl"))
		if len(lines) != answer.Rows {
			t.Fatalf("%s: query %s: %d lines for %d rows", e.name, answer.ID, len(lines), answer.Rows)
		}
		rows[answer.ID] = lines
	}
	for _, q := range queries {
		if _, ok := rows[q.ID]; !ok && !t.Failed() {
			t.Errorf("%s: no answer to query %s", e.name, q.ID)
		}
	}
	return rows
}

func tail(s string, n int) string {
	if len(s) > n {
		return fmt.Sprintf("... %s", s[len(s)-n:])
	}
	return s
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
