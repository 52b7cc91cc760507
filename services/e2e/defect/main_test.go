package defect

import (
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
	goleak.VerifyTestMain(idle{m})
}

// idle ends, before leaks are looked for, the connections that package stack keeps to see whether services are ready.
type idle struct{ *testing.M }

func (i idle) Run() int {
	defer http.DefaultClient.CloseIdleConnections()
	return i.M.Run()
}

// closed closes a proxy with the test, and ends the test when it could not be made.
func closed[T interface{ Close() error }](t *testing.T, proxy T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := proxy.Close(); err != nil {
			t.Errorf("close proxy: %v", err)
		}
	})
	return proxy
}

// storeOf is how to reach the object store of a stack, whose region is the one that package stack configures.
func storeOf(b stack.S3) Store {
	return Store{Endpoint: b.Endpoint, Region: "us-east-1", AccessKey: b.AccessKey, SecretKey: b.SecretKey}
}
