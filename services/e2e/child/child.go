// Package child runs programs as child processes that cannot outlive their parent: each in its own process group, with its output in a
// log file, stopped by process id, and killed by the kernel when the parent dies. It knows nothing of what the programs are.
package child

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// stopGrace is how long a server may take to end after SIGTERM before it is killed. Kafka needs about 3 s.
const stopGrace = 15 * time.Second

// Process is one child.
type Process struct {
	name    string
	cmd     *exec.Cmd
	logPath string
	exited  chan struct{} // closed when the child has ended
	waitErr error         // valid once exited is closed
}

// Start runs argv in dir with its output going to the end of name.log in dir, and env added to this process's environment.
func Start(name, dir string, env []string, argv ...string) (*Process, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create folder of %s: %w", name, err)
	}
	logPath := filepath.Join(dir, name+".log")
	logFile, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log of %s: %w", name, err)
	}
	defer logFile.Close() // the child holds its own descriptor
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &Process{name: name, cmd: cmd, logPath: logPath, exited: make(chan struct{})}
	go func() {
		p.waitErr = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// Ready polls probe until it returns nil, the child ends, or ctx ends.
func (p *Process) Ready(ctx context.Context, probe func(context.Context) error) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := probe(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("%s ended before it was ready (%v): %s (its log is %s)", p.name, p.waitErr, lastLine(p.logPath), p.logPath)
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w; last probe: %w; its log is %s", p.name, ctx.Err(), err, p.logPath)
		case <-tick.C:
		}
	}
}

// lastLine returns the last line of a log: a program that cannot start says there why.
func lastLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}

// Stop ends the child and waits for it: SIGTERM first, SIGKILL after stopGrace. Safe to call twice.
func (p *Process) Stop() error {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		select {
		case <-p.exited:
			return nil
		default:
		}
		if err := p.Signal(sig); err != nil {
			return err
		}
		select {
		case <-p.exited:
			return nil
		case <-time.After(stopGrace):
		}
	}
	return fmt.Errorf("stop %s: process %d does not end", p.name, p.cmd.Process.Pid)
}

// Kill ends the child at once, as a crash would.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.exited
	return nil
}

// Signal sends sig to the child's process group. A child that has ended is no error.
func (p *Process) Signal(sig syscall.Signal) error {
	if err := syscall.Kill(-p.cmd.Process.Pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("send %s to %s: %w", sig, p.name, err)
	}
	return nil
}

// Exited is closed when the child has ended; Err then says how.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Err returns how the child ended: nil for exit code 0. Valid once Exited is closed.
func (p *Process) Err() error { return p.waitErr }

// LogPath returns the file that takes the child's output.
func (p *Process) LogPath() string { return p.logPath }

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// FreePorts returns n different loopback ports that were free a moment ago. Another program may take one before the server binds it;
// the server then ends at once and the start fails with its log named.
func FreePorts(n int) ([]int, error) {
	ports := make([]int, 0, n)
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close() // held until all are found, so that they differ
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// Dial returns a probe for Ready that passes when addr accepts a TCP connection.
func Dial(addr string) func(context.Context) error {
	return func(ctx context.Context) error {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}
