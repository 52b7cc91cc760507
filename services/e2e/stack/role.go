package stack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"

	"github.com/playhead-pipeline/playhead/services/internal/registryserver"
)

// The embedded broker, registry and object store run as processes of their own: one bad request can end the broker, and the object store
// changes the working directory. The program that starts them starts itself again with these variables set.
const (
	roleVariable = "PLAYHEAD_STACK_ROLE"
	dirVariable  = "PLAYHEAD_STACK_DIR"
	portVariable = "PLAYHEAD_STACK_PORT"
)

// RunRole runs the part of the embedded stack that the environment asks for, until SIGTERM, and returns true; false when it asks for none.
// Every main and TestMain that starts an embedded stack calls it first.
func RunRole() (ran bool, err error) {
	role := os.Getenv(roleVariable)
	if role == "" {
		return false, nil
	}
	port, err := strconv.Atoi(os.Getenv(portVariable))
	if err != nil {
		return true, fmt.Errorf("read %s: %w", portVariable, err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	// An interrupt from the terminal reaches the whole foreground group; the parent decides when the parts stop.
	signal.Ignore(os.Interrupt)
	run, ok := map[Part]func(ctx context.Context, dir string, port int) error{
		Broker: runBroker, Registry: runRegistry, ObjectStore: runObjectStore,
	}[Part(role)]
	if !ok {
		return true, fmt.Errorf("unknown part %q of the embedded stack", role)
	}
	if err := run(ctx, os.Getenv(dirVariable), port); err != nil {
		return true, fmt.Errorf("run %s: %w", role, err)
	}
	return true, nil
}

func runBroker(ctx context.Context, dir string, port int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	cluster, err := kfake.NewCluster(kfake.Ports(port), kfake.DataDir(dir))
	if err != nil {
		return err
	}
	<-ctx.Done()
	cluster.Close()
	return nil
}

func runRegistry(ctx context.Context, dir string, port int) error {
	server, err := registryserver.New(registryserver.Params{Dir: dir, Logger: slog.New(slog.NewJSONHandler(os.Stderr, nil))})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address(port))
	if err != nil {
		return errors.Join(err, server.Close())
	}
	web := &http.Server{Handler: server.Handler(), ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = web.Shutdown(context.Background()) }) // its error is Serve's
	if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return errors.Join(err, server.Close())
	}
	return server.Close()
}

// runObjectStore serves the folders of dir as buckets. Attributes of objects are kept as extended attributes: the other way to keep them,
// a second folder, loses updates under If-Match.
func runObjectStore(ctx context.Context, dir string, port int) error {
	if err := os.MkdirAll(filepath.Join(dir, Bucket), 0o755); err != nil {
		return err
	}
	if err := (meta.XattrMeta{}).Test(dir); err != nil {
		return fmt.Errorf("%s is on a file system without extended attributes (tmpfs?), which the object store needs: %w", dir, err)
	}
	backend, err := posix.New(dir, meta.XattrMeta{}, posix.PosixOpts{CopyObjectThreshold: 5 << 30})
	if err != nil {
		return err
	}
	return embedgw.RunVersityGW(ctx, backend, &embedgw.Config{
		RootUserAccess: accessKey, RootUserSecret: secretKey, Region: region, Ports: []string{address(port)},
		MultipartMaxParts: 10_000, MaxConnections: 1024, MaxRequests: 1024, KeepAlive: true, Quiet: true,
	})
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
