package stack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/playhead-pipeline/playhead/services/e2e/child"
)

// Names of the embedded object store.
const (
	Bucket    = "lake"
	region    = "us-east-1"
	accessKey = "playhead"
	secretKey = "playhead-secret"
)

// Backends are what the services need around them.
type Backends struct {
	Kafka    []string // broker addresses
	Registry string   // base URL of the Confluent-compatible routes
	S3       S3
}

// S3 is an object store whose buckets are folders of this machine, so that engines can read them without S3.
type S3 struct {
	Endpoint, Bucket, AccessKey, SecretKey string
	Folder                                 string // holds the buckets
}

// Part names one process of an embedded stack.
type Part string

// The parts.
const (
	Broker      Part = "broker"
	Registry    Part = "registry"
	ObjectStore Part = "objectstore"
)

// Parts lists the parts in the order in which they start.
var Parts = []Part{Broker, Registry, ObjectStore}

// Embedded is the broker, registry and object store of a machine that has only Go, as child processes.
type Embedded struct {
	Backends
	dir   string
	ports map[Part]int
	parts map[Part]*child.Process
}

// StartEmbedded starts the three parts with their state below dir. A second start on the same dir goes on with that state; ports are
// chosen anew.
func StartEmbedded(ctx context.Context, dir string) (*Embedded, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find folder of the embedded stack: %w", err)
	}
	ports, err := child.FreePorts(3)
	if err != nil {
		return nil, err
	}
	e := &Embedded{dir: dir, ports: map[Part]int{}, parts: map[Part]*child.Process{}}
	for i, part := range Parts {
		e.ports[part] = ports[i]
		if err := e.Start(ctx, part); err != nil {
			return nil, errors.Join(err, e.Stop())
		}
	}
	e.Backends = Backends{
		Kafka:    []string{address(ports[0])},
		Registry: "http://" + address(ports[1]),
		S3: S3{
			Endpoint: "http://" + address(ports[2]), Bucket: Bucket, AccessKey: accessKey, SecretKey: secretKey,
			Folder: filepath.Join(dir, "objectstore"),
		},
	}
	return e, nil
}

// Start starts a part that does not run, on the port that it always has, and waits until it accepts connections.
func (e *Embedded) Start(ctx context.Context, part Part) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	role, port := string(part), e.ports[part]
	env := []string{roleVariable + "=" + role, dirVariable + "=" + filepath.Join(e.dir, role), portVariable + "=" + strconv.Itoa(port)}
	process, err := child.Start(role, filepath.Join(e.dir, "logs"), env, self)
	if err != nil {
		return err
	}
	if err := process.Ready(ctx, child.Dial(address(port))); err != nil {
		return errors.Join(err, process.Stop())
	}
	e.parts[part] = process
	return nil
}

// Kill ends a part as a crash would, and Start begins it anew with the state that it left.
func (e *Embedded) Kill(part Part) error { return e.parts[part].Kill() }

// Stop ends the parts, newest first; their state stays.
func (e *Embedded) Stop() error {
	var errs []error
	for _, part := range slices.Backward(Parts) {
		if process := e.parts[part]; process != nil {
			errs = append(errs, process.Stop())
		}
	}
	return errors.Join(errs...)
}

// httpOK returns a probe that passes when url answers 200.
func httpOK(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", url, resp.Status)
		}
		return nil
	}
}
