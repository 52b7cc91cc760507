package lifecycle

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// childVariable makes the test binary behave as a program started with Main, so that signals and exit codes are those of a real process.
const childVariable = "LIFECYCLE_TEST_CHILD"

func TestMain(m *testing.M) {
	if behaviour := os.Getenv(childVariable); behaviour != "" {
		Main(func(ctx context.Context, _ []string, stdout, _ io.Writer) error { return child(ctx, behaviour, stdout) })
	}
	goleak.VerifyTestMain(m)
}

func child(ctx context.Context, behaviour string, stdout io.Writer) error {
	switch behaviour {
	case "fail":
		return errors.New("broken")
	case "usage":
		return UsageError{Err: errors.New("bad flag")}
	case "until signal":
		_, _ = io.WriteString(stdout, "ready\n")
		<-ctx.Done()
		_, _ = io.WriteString(stdout, context.Cause(ctx).Error()+"\n")
	case "never stop":
		_, _ = io.WriteString(stdout, "ready\n")
		<-ctx.Done()
		_, _ = io.WriteString(stdout, "stopping\n")
		select {}
	}
	return nil
}
