package stack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
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

// Embedded is the broker, registry and object store of a machine that has only Go, as child processes.
type Embedded struct {
	Backends
	parts []*child.Process
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
	e := &Embedded{}
	for i, role := range []string{"broker", "registry", "objectstore"} {
		part, err := startRole(ctx, dir, role, ports[i])
		if err != nil {
			return nil, errors.Join(err, e.Stop())
		}
		e.parts = append(e.parts, part)
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

func startRole(ctx context.Context, dir, role string, port int) (*child.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	env := []string{roleVariable + "=" + role, dirVariable + "=" + filepath.Join(dir, role), portVariable + "=" + strconv.Itoa(port)}
	part, err := child.Start(role, filepath.Join(dir, "logs"), env, self)
	if err != nil {
		return nil, err
	}
	if err := part.Ready(ctx, child.Dial(address(port))); err != nil {
		return nil, errors.Join(err, part.Stop())
	}
	return part, nil
}

// Stop ends the parts, newest first; their state stays.
func (e *Embedded) Stop() error {
	var errs []error
	for i := len(e.parts) - 1; i >= 0; i-- {
		errs = append(errs, e.parts[i].Stop())
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
