package child

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, script string) *Process {
	t.Helper()
	p, err := Start("shell", t.TempDir(), nil, "sh", "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestReadySaysWhyTheChildEnded(t *testing.T) {
	t.Parallel()
	p := start(t, "echo first; echo no such folder >&2; exit 3")
	err := p.Ready(t.Context(), func(context.Context) error { return errors.New("not yet") })
	if err == nil || !strings.Contains(err.Error(), "no such folder") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error %v", err)
	}
}

func TestReadyEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := start(t, "exec sleep 60").Ready(ctx, func(context.Context) error { return errors.New("not yet") })
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "not yet") {
		t.Errorf("error %v", err)
	}
}

func TestStopIsOrderlyAndKillIsNot(t *testing.T) {
	t.Parallel()
	const orderly = `trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done`
	stopped, killed := start(t, orderly), start(t, orderly)
	for _, p := range []*Process{stopped, killed} {
		if err := p.Ready(t.Context(), func(context.Context) error {
			if lastLine(p.LogPath()) != "ready" {
				return errors.New("no trap yet")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(stopped.Stop(), stopped.Stop()); err != nil || stopped.Err() != nil {
		t.Errorf("stop: %v, %v", err, stopped.Err())
	}
	if err := killed.Kill(); err != nil || killed.Err() == nil {
		t.Errorf("kill: %v, child ended with %v", err, killed.Err())
	}
	<-killed.Exited()
	if err := killed.Signal(syscall.SIGCONT); err != nil {
		t.Errorf("signal to a child that has ended: %v", err)
	}
}

func TestFreePortsDiffer(t *testing.T) {
	t.Parallel()
	ports, err := FreePorts(20)
	seen := map[int]bool{}
	for _, port := range ports {
		seen[port] = true
	}
	if err != nil || len(seen) != 20 {
		t.Errorf("ports %v, error %v", ports, err)
	}
}
