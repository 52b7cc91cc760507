package defect

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	lakewriterv1 "github.com/playhead-pipeline/playhead/proto/lakewriter/v1"
	"github.com/playhead-pipeline/playhead/services/internal/rpcserver"

	"github.com/playhead-pipeline/playhead/services/e2e/stack"
)

// hold stops one commit on its way to the store, as a network may that delivers late.
type hold struct {
	armed             atomic.Bool
	arrived, released chan struct{}
}

func newHold() *hold { return &hold{arrived: make(chan struct{}), released: make(chan struct{})} }

// put is StoreFault.Hold: it stops the first PUT of HEAD after arming.
func (h *hold) put(ctx context.Context, path string) {
	if !strings.HasSuffix(path, "/.hoodie/playhead/HEAD") || !h.armed.CompareAndSwap(true, false) {
		return
	}
	close(h.arrived)
	select {
	case <-h.released:
	case <-ctx.Done():
	}
}

// overtake lets a commit be overtaken by another lake-writer's takeover, and returns a flush of whichever has the table then:
//
//  1. the first lake-writer has written its files and sent its HEAD, which is held; then it is stopped,
//  2. a second one takes the table over, which undoes the first's attempt and deletes its files, and is stopped before it commits,
//  3. the held HEAD arrives and the first goes on; then the second does.
//
// A store that decides by If-Match refuses the HEAD, and the second commits all events. One that does not takes it, with offsets whose rows
// are deleted, and fences the second.
func (h *hold) overtake(ctx context.Context, t *testing.T, pipeline *stack.Processes) (flush func(context.Context) error) {
	t.Helper()
	h.armed.Store(true)
	flushed := h.flushUntilHeld(ctx, t, pipeline)
	step := func(what string, err error) {
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	step("stop the first lake-writer", pipeline.Pause(stack.LakeWriter))
	second, e, err := pipeline.Successor(ctx)
	step("start the second lake-writer", err)
	t.Cleanup(func() {
		if err := second.Kill(); err != nil {
			t.Error(err)
		}
	})
	step("stop the second lake-writer", second.Signal(syscall.SIGSTOP))
	close(h.released)
	step("let the first lake-writer go on", pipeline.Resume(stack.LakeWriter))
	t.Logf("commit that was overtaken: %v", <-flushed)
	step("let the second lake-writer go on", second.Signal(syscall.SIGCONT))
	return func(ctx context.Context) error {
		if err := pipeline.Flush(ctx); err != nil {
			return errors.Join(err, flushAt(ctx, e.Admin[string(stack.LakeWriter)]))
		}
		return nil
	}
}

// flushUntilHeld asks for commits until one of them is held: the first may find nothing read yet. It returns the result of that one.
func (h *hold) flushUntilHeld(ctx context.Context, t *testing.T, pipeline *stack.Processes) <-chan error {
	t.Helper()
	for {
		flushed := make(chan error, 1)
		go func() { flushed <- pipeline.Flush(ctx) }()
		select {
		case <-h.arrived:
			return flushed
		case <-ctx.Done():
			t.Fatalf("no commit came: %v", ctx.Err())
		case err := <-flushed:
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// flushAt asks the lake-writer at admin to commit what it holds.
func flushAt(ctx context.Context, admin string) error {
	conn, err := rpcserver.NewClient(rpcserver.ClientConfig{Address: admin})
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := lakewriterv1.NewLakeWriterAdminServiceClient(conn).Flush(ctx, &lakewriterv1.FlushRequest{}); err != nil {
		return fmt.Errorf("flush the second lake-writer: %w", err)
	}
	return nil
}
