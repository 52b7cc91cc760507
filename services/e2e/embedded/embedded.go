// Package embedded runs the stand-ins for what Playhead needs around it: a Kafka broker (kfake), an S3 server (versitygw) and a schema
// registry, each as a child process of the caller's own executable, so that one binary is a whole stack and each part can be killed alone.
// The stand-ins keep their state in folders and listen on loopback. They are models of the real servers; package peers starts those.
package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	vgw "github.com/versity/versitygw/embedgw"

	"github.com/playhead-pipeline/playhead/services/e2e/child"
	"github.com/playhead-pipeline/playhead/services/internal/registryserver"
)

// Command is the first argument with which an executable must call Main.
const Command = "embedded-peer"

// Kinds of peers.
const (
	Broker      = "broker"
	ObjectStore = "object-store"
	Registry    = "registry"
)

// Credentials of the object store.
const (
	AccessKey = "playhead"
	SecretKey = "playhead-secret"
	Region    = "us-east-1"
)

// Spec says what a child is.
type Spec struct {
	Kind string `json:"kind"`
	Port int    `json:"port"`
	Dir  string `json:"dir"` // the state
}

// Start starts a peer as a child of this executable, with its log in logs, and waits until it accepts connections.
func Start(ctx context.Context, spec Spec, logs string) (*child.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own executable: %w", err)
	}
	if err := os.MkdirAll(spec.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("create folder of %s: %w", spec.Kind, err)
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("encode peer: %w", err)
	}
	process, err := child.Start(spec.Kind, logs, nil, self, Command, string(text))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := process.Ready(ctx, child.Dial(fmt.Sprintf("127.0.0.1:%d", spec.Port))); err != nil {
		return nil, errors.Join(err, process.Stop())
	}
	return process, nil
}

// Main is the child's whole program: it serves the peer that args (from Command on) describe until ctx ends.
func Main(ctx context.Context, args []string, _, stderr io.Writer) error {
	if len(args) != 2 || args[0] != Command {
		return fmt.Errorf("usage: %s SPEC", Command)
	}
	var spec Spec
	if err := json.Unmarshal([]byte(args[1]), &spec); err != nil {
		return fmt.Errorf("read spec of peer: %w", err)
	}
	logger := slog.New(slog.NewTextHandler(stderr, nil))
	switch spec.Kind {
	case Broker:
		return serveBroker(ctx, spec)
	case ObjectStore:
		return serveObjects(ctx, spec)
	case Registry:
		return serveRegistry(ctx, spec, logger)
	}
	return fmt.Errorf("unknown kind of peer %q", spec.Kind)
}

// serveBroker runs kfake on a data folder: a third of the CPU of its memory mode, flat memory, and its topics survive a kill.
func serveBroker(ctx context.Context, spec Spec) error {
	cluster, err := kfake.NewCluster(kfake.Ports(spec.Port), kfake.DataDir(spec.Dir),
		kfake.BrokerConfigs(map[string]string{"log.cleaner.backoff.ms": "1000"}))
	if err != nil {
		return fmt.Errorf("start broker: %w", err)
	}
	defer cluster.Close()
	<-ctx.Done()
	return nil
}

// serveObjects runs versitygw on a folder; a bucket is a folder in it. Its attributes need extended attributes of the file system: without
// them its conditional writes lose updates, so there is no other mode here.
func serveObjects(ctx context.Context, spec Spec) error {
	backend, err := posix.New(spec.Dir, meta.XattrMeta{}, posix.PosixOpts{CopyObjectThreshold: 5 << 30})
	if err != nil {
		return fmt.Errorf("open object store: %w", err)
	}
	err = vgw.RunVersityGW(ctx, backend, &vgw.Config{
		RootUserAccess: AccessKey, RootUserSecret: SecretKey, Region: Region, Ports: []string{fmt.Sprintf("127.0.0.1:%d", spec.Port)},
		MultipartMaxParts: 10_000, MaxConnections: 10_000, MaxRequests: 10_000, KeepAlive: true, Quiet: true, HealthPath: "/healthz",
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func serveRegistry(ctx context.Context, spec Spec, logger *slog.Logger) error {
	registry, err := registryserver.New(registryserver.Params{Dir: spec.Dir, Logger: logger})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", spec.Port))
	if err != nil {
		return errors.Join(fmt.Errorf("listen for the registry: %w", err), registry.Close())
	}
	server := &http.Server{Handler: registry.Handler(), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err = <-served:
	case <-ctx.Done():
		err = server.Close()
		<-served
	}
	return errors.Join(err, registry.Close())
}

// CheckAttributes says whether the file system of dir has the extended attributes that the object store needs.
func CheckAttributes(dir string) error {
	probe := filepath.Join(dir, ".attributes-probe")
	if err := os.WriteFile(probe, nil, 0o644); err != nil {
		return err
	}
	defer os.Remove(probe)
	if err := setAttribute(probe); err != nil {
		return fmt.Errorf("the file system of %s has no user extended attributes, which the embedded object store needs (%w): choose another folder", dir, err)
	}
	return nil
}
