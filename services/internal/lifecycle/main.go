package lifecycle

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// Exit codes of a program started with Main.
const (
	ExitOK      = 0
	ExitFailure = 1
	// ExitUsage is for a wrong command line or configuration: starting again without a change is of no use.
	ExitUsage = 2
)

// UsageError marks an error as the caller's: wrong flags or wrong configuration. Main turns it into ExitUsage.
type UsageError struct{ Err error }

func (e UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the wrapped error.
func (e UsageError) Unwrap() error { return e.Err }

// Main runs a program and ends the process. The context ends at the first SIGINT or SIGTERM; a second one ends the process at once with
// ExitFailure. An error of run goes to standard error, once.
func Main(run func(ctx context.Context, args []string, stdout, stderr io.Writer) error) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		cancel(fmt.Errorf("received %s", <-signals))
		s := <-signals
		fmt.Fprintf(os.Stderr, "%s: received %s again: ending at once\n", filepath.Base(os.Args[0]), s)
		os.Exit(ExitFailure)
	}()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	os.Exit(report(os.Stderr, filepath.Base(os.Args[0]), err))
}

// report prints err and returns the exit code for it. A plain request for help is no error; the flag set has answered it already.
func report(w io.Writer, program string, err error) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return ExitOK
	}
	fmt.Fprintf(w, "%s: %v\n", program, err)
	if _, ok := errors.AsType[UsageError](err); ok {
		return ExitUsage
	}
	return ExitFailure
}
