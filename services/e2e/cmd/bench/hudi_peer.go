package main

import (
	"bufio"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed engines/*.py
var engines embed.FS

// errNoPeer: a peer is not installed, so that its figures are left out.
var errNoPeer = errors.New("not installed")

// peer is a program of another engine: it does its work once for each line that it is sent, and answers with a line.
type peer struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	lines   *bufio.Scanner
	version string
	rows    int // that it has loaded
}

// answer is one line of a peer.
type answer struct {
	Version string `json:"version"`
	CPU     int64  `json:"cpu_ns"`
	Rows    int    `json:"rows"`
	Bytes   int64  `json:"bytes"`
	Sum     int64  `json:"sum"`
}

// startPeer runs a script in the virtual environment of a peer.
func (l *library) startPeer(ctx context.Context, name, script string, args ...string) (*peer, error) {
	python := filepath.Join(l.peers, name, "venv", "bin", "python")
	if _, err := os.Stat(python); l.peers == "" || err != nil {
		return nil, fmt.Errorf("%s: %w", name, errNoPeer)
	}
	text, err := engines.ReadFile("engines/" + script)
	if err != nil {
		return nil, err
	}
	p := &peer{cmd: exec.CommandContext(ctx, python, append([]string{"-c", string(text)}, args...)...)}
	p.cmd.Stderr = l.stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p.lines = bufio.NewScanner(out)
	first, err := p.read()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), p.stop())
	}
	p.version, p.rows = first.Version, first.Rows
	return p, nil
}

func (p *peer) read() (answer, error) {
	if !p.lines.Scan() {
		return answer{}, errors.Join(io.ErrUnexpectedEOF, p.lines.Err())
	}
	var a answer
	if err := json.Unmarshal(p.lines.Bytes(), &a); err != nil {
		return answer{}, fmt.Errorf("answer %q: %w", p.lines.Text(), err)
	}
	return a, nil
}

// work has the peer do its work once, and checks the rows.
func (p *peer) work(rows int) (answer, error) {
	if _, err := io.WriteString(p.in, "go\n"); err != nil {
		return answer{}, err
	}
	a, err := p.read()
	if err == nil && a.Rows != rows {
		err = fmt.Errorf("%d rows, want %d", a.Rows, rows)
	}
	return a, err
}

func (p *peer) stop() error { return errors.Join(p.in.Close(), p.cmd.Wait()) }
