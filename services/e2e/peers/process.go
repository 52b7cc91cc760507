// Package peers starts the real servers that judge Playhead: Apache Kafka, Apicurio Registry and versitygw, from the folder that
// scripts/peers.sh fills. Every server listens on loopback with a free port, keeps its state in a folder of the caller's and is
// stopped by its process id. What the servers are used for is the business of the scenarios and the interop stage.
package peers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// stopGrace is how long a server may take to end after SIGTERM before it is killed. Kafka needs about 3 s.
const stopGrace = 15 * time.Second

// process is one server as a child in its own process group.
type process struct {
	name    string
	cmd     *exec.Cmd
	logPath string
	exited  chan struct{} // closed when the child has ended
	waitErr error         // valid once exited is closed
}

// start runs argv in dir with its output going to name.log in dir. The kernel kills the child when this process dies.
func start(name, dir string, env []string, argv ...string) (*process, error) {
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
	p := &process{name: name, cmd: cmd, logPath: logPath, exited: make(chan struct{})}
	go func() {
		p.waitErr = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// ready polls probe until it returns nil, the child ends, or ctx ends.
func (p *process) ready(ctx context.Context, probe func(context.Context) error) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := probe(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("%s ended before it was ready (%v); its log is %s", p.name, p.waitErr, p.logPath)
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w; last probe: %w; its log is %s", p.name, ctx.Err(), err, p.logPath)
		case <-tick.C:
		}
	}
}

// stop ends the child and waits for it: SIGTERM first, SIGKILL after stopGrace. Safe to call twice.
func (p *process) stop() error {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		select {
		case <-p.exited:
			return nil
		default:
		}
		if err := syscall.Kill(-p.cmd.Process.Pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop %s with %s: %w", p.name, sig, err)
		}
		select {
		case <-p.exited:
			return nil
		case <-time.After(stopGrace):
		}
	}
	return fmt.Errorf("stop %s: process %d does not end", p.name, p.cmd.Process.Pid)
}

// kill ends the child at once, as a crash would.
func (p *process) kill() error {
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	<-p.exited
	return nil
}

// freePorts returns n different loopback ports that were free a moment ago. Another program may take one before the server binds it;
// the server then ends at once and the start fails with its log named.
func freePorts(n int) ([]int, error) {
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

// dialProbe returns a probe that passes when addr accepts a TCP connection.
func dialProbe(addr string) func(context.Context) error {
	return func(ctx context.Context) error {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}
