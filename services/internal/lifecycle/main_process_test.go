package lifecycle

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program is the test binary run as a child.
type program struct {
	cmd    *exec.Cmd
	lines  *bufio.Scanner
	stderr *bytes.Buffer
}

func start(t *testing.T, behaviour string) *program {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	p := &program{cmd: exec.CommandContext(ctx, os.Args[0]), stderr: &bytes.Buffer{}}
	p.cmd.Env = append(os.Environ(), childVariable+"="+behaviour)
	p.cmd.Stderr = p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewScanner(stdout)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *program) expectLine(t *testing.T, want string) {
	t.Helper()
	if !p.lines.Scan() || p.lines.Text() != want {
		t.Fatalf("standard output: got %q, want %q", p.lines.Text(), want)
	}
}

func (p *program) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func (p *program) exitCode(t *testing.T) int {
	t.Helper()
	err := p.cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0
}

func TestMainExitCodes(t *testing.T) {
	t.Parallel()
	for behaviour, want := range map[string]struct {
		code   int
		stderr string
	}{
		"succeed": {ExitOK, ""},
		"fail":    {ExitFailure, ": broken\n"},
		"usage":   {ExitUsage, ": bad flag\n"},
	} {
		t.Run(behaviour, func(t *testing.T) {
			t.Parallel()
			p := start(t, behaviour)
			code := p.exitCode(t)
			if code != want.code || !strings.HasSuffix(p.stderr.String(), want.stderr) {
				t.Errorf("got exit code %d and %q, want %d and %q", code, p.stderr, want.code, want.stderr)
			}
		})
	}
}

func TestMainFirstSignalCancels(t *testing.T) {
	t.Parallel()
	for _, s := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			p := start(t, "until signal")
			p.expectLine(t, "ready")
			p.signal(t, s)
			p.expectLine(t, "received "+s.String())
			if code := p.exitCode(t); code != ExitOK {
				t.Errorf("got exit code %d", code)
			}
		})
	}
}

func TestMainSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	p := start(t, "never stop")
	p.expectLine(t, "ready")
	p.signal(t, syscall.SIGTERM)
	p.expectLine(t, "stopping")
	p.signal(t, syscall.SIGTERM)
	if code := p.exitCode(t); code != ExitFailure || !strings.Contains(p.stderr.String(), "received terminated again") {
		t.Errorf("got exit code %d and %q", code, p.stderr)
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		code int
		text string
	}{
		"wrapped usage error": {fmt.Errorf("start: %w", UsageError{Err: errors.New("no file")}), ExitUsage, "prog: start: no file\n"},
		"joined usage error":  {errors.Join(errors.New("a"), UsageError{Err: errors.New("b")}), ExitUsage, "prog: a\nb\n"},
		"help":                {UsageError{Err: flag.ErrHelp}, ExitOK, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			if code := report(&b, "prog", c.err); code != c.code || b.String() != c.text {
				t.Errorf("got %d and %q, want %d and %q", code, b.String(), c.code, c.text)
			}
		})
	}
}
