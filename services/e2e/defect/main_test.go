package defect

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/playhead-pipeline/playhead/services/e2e/stack"
)

func TestMain(m *testing.M) {
	if ran, err := stack.RunRole(); ran {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(closing{m})
}

// closing ends, before leaks are looked for, the connections that package stack keeps to see whether services are ready.
type closing struct{ *testing.M }

func (c closing) Run() int {
	defer http.DefaultClient.CloseIdleConnections()
	return c.M.Run()
}

// runner is a proxy.
type runner interface {
	Run(ctx context.Context) error
}

// serve runs a proxy until the test ends.
func serve(t *testing.T, r runner) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run proxy: %v", err)
		}
	})
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// storeRegion is the region that package stack configures the lake-writer with.
const storeRegion = "us-east-1"

// storeOptions are those of a proxy without defect in front of b.
func storeOptions(b stack.S3) StoreOptions {
	return StoreOptions{Upstream: b.Endpoint, AccessKey: b.AccessKey, SecretKey: b.SecretKey, Region: storeRegion}
}
