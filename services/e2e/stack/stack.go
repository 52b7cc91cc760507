// Package stack runs the whole pipeline on one machine: backends (embedded, or real ones that the caller started), and the three services
// as goroutines of this process or as processes that can be killed. Every listener is on loopback. Scenarios run unchanged on any Stack.
package stack

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	lakewriterv1 "github.com/playhead-pipeline/playhead/proto/lakewriter/v1"
	"github.com/playhead-pipeline/playhead/schemas"
	"github.com/playhead-pipeline/playhead/services/e2e/child"
	"github.com/playhead-pipeline/playhead/services/internal/rpcserver"
	"github.com/playhead-pipeline/playhead/services/internal/schemaregistry"
)

// Names that the pipeline is configured with.
const (
	Topic           = "playback.events"
	DeadLetterTopic = "playback.events.dlq"
	Subject         = "playback.events-value"
	SchemaName      = "playback-event"
	Tenant          = "default"
	MaskingKeyID    = "k1"
	database        = "lake"
	tableName       = "playback_events"
)

// Types of tables.
const (
	CopyOnWrite = "COPY_ON_WRITE"
	MergeOnRead = "MERGE_ON_READ"
)

// MaskingKey is the key of the pseudonyms of every Stack: checkers recompute them.
const MaskingKey = "playhead test masking key, 32 bytes or more"

// Service names one of the three services.
type Service string

// The services.
const (
	Gateway    Service = "ingest-gateway"
	Router     Service = "router"
	LakeWriter Service = "lake-writer"
)

// Services lists the services in the direction of the data.
var Services = []Service{Gateway, Router, LakeWriter}

var (
	// startOrder: the router creates the topics, and the gateway takes events last.
	startOrder = []Service{Router, LakeWriter, Gateway}
	// stopOrder drains in the direction of the data.
	stopOrder = Services
)

// Stack is a running pipeline. Processes can do more than this: kill and pause.
type Stack interface {
	// Endpoints returns the stack's addresses; they stay the same when a service is started again.
	Endpoints() Endpoints
	// Halt drains a service and waits until it has ended. Start starts it again without waiting; Ready waits.
	Halt(service Service) error
	Start(service Service) error
	Ready(ctx context.Context, service Service) error
	// Flush makes the lake-writer commit what it holds.
	Flush(ctx context.Context) error
	// Stop drains and ends all services.
	Stop() error
}

var (
	_ Stack = (*Processes)(nil)
	_ Stack = (*InProcess)(nil)
)

// Options configure a Stack.
type Options struct {
	// Dir takes configurations, logs and caches.
	Dir      string
	Backends Backends
	// Partitions of the data topic when the stack creates it; default 12. The bucket count of the table is 4 by default and divides it.
	Partitions, Buckets int
	// Replication of topics that the stack creates; default 1.
	Replication int
	// CommitInterval of the lake-writer; default 2 s.
	CommitInterval time.Duration
	// TableType is CopyOnWrite or MergeOnRead, LogFormat avro, parquet or auto; default what the lake-writer takes.
	TableType, LogFormat string
	// ServiceInterval makes clean and archive run so often, and compaction a quarter as often, and keep little; 0 leaves them to the lake-writer's defaults, at
	// which a short run sees none of them.
	ServiceInterval time.Duration
	// Through, when set, is given the router's address and returns what the gateway dials instead: a proxy that a test put between them.
	Through func(router string) (string, error)
	// LogLevel of the services; default "info".
	LogLevel string
}

func (o *Options) setDefaults() {
	for _, d := range []struct {
		v     *int
		value int
	}{{&o.Partitions, 12}, {&o.Buckets, 4}, {&o.Replication, 1}} {
		if *d.v == 0 {
			*d.v = d.value
		}
	}
	if o.CommitInterval == 0 {
		o.CommitInterval = 2 * time.Second
	}
	if o.LogLevel == "" {
		o.LogLevel = "info"
	}
}

// Endpoints are the addresses of a running stack, as endpoints.json holds them.
type Endpoints struct {
	WebSocket string            `json:"websocket"`
	Registry  string            `json:"registry"`
	Kafka     string            `json:"kafka"`
	S3        S3Endpoint        `json:"s3"`
	Table     string            `json:"table"`
	Admin     map[string]string `json:"admin"`
	Debug     map[string]string `json:"debug"`
}

// S3Endpoint says how to reach the object store.
type S3Endpoint struct {
	Endpoint  string `json:"endpoint"`
	Bucket    string `json:"bucket"`
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
}

// Save writes the endpoints to path; a reader sees the old file or the new one.
func (e Endpoints) Save(path string) error {
	text, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return fmt.Errorf("encode endpoints: %w", err)
	}
	if err := os.WriteFile(path+".tmp", append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write endpoints: %w", err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return fmt.Errorf("write endpoints: %w", err)
	}
	return nil
}

// ports are the ports of the services' listeners, fixed for the life of a stack so that clients find a restarted service again.
type ports struct {
	websocket, ingest int
	admin, debug      map[Service]int
}

func choosePorts() (ports, error) {
	n, err := child.FreePorts(2 + 2*len(Services))
	if err != nil {
		return ports{}, err
	}
	p := ports{websocket: n[0], ingest: n[1], admin: map[Service]int{}, debug: map[Service]int{}}
	for i, s := range Services {
		p.admin[s], p.debug[s] = n[2+2*i], n[3+2*i]
	}
	return p, nil
}

func (o Options) endpoints(p ports) Endpoints {
	e := Endpoints{
		WebSocket: "ws://" + address(p.websocket) + "/v1/events", Registry: o.Backends.Registry, Kafka: strings.Join(o.Backends.Kafka, ","),
		S3:    S3Endpoint{o.Backends.S3.Endpoint, o.Backends.S3.Bucket, o.Backends.S3.AccessKey, o.Backends.S3.SecretKey},
		Table: filepath.Join(o.Backends.S3.Folder, o.Backends.S3.Bucket, database, tableName),
		Admin: map[string]string{}, Debug: map[string]string{},
	}
	for _, s := range Services {
		e.Admin[string(s)], e.Debug[string(s)] = address(p.admin[s]), address(p.debug[s])
	}
	return e
}

// RegisterSchemas registers every version of the shipped playback schema and returns their ids, version 1 first.
func RegisterSchemas(ctx context.Context, registry string) ([]int, error) {
	versions, err := schemas.Versions(Subject)
	if err != nil {
		return nil, err
	}
	client, err := schemaregistry.New(schemaregistry.Params{URL: registry, Timeout: 10 * time.Second})
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var ids []int
	for _, version := range versions {
		id, err := client.Register(ctx, Subject, version.Text)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// flush asks the lake-writer at admin to commit what it holds.
func flush(ctx context.Context, admin string) error {
	conn, err := rpcserver.NewClient(rpcserver.ClientConfig{Address: admin})
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := lakewriterv1.NewLakeWriterAdminServiceClient(conn).Flush(ctx, &lakewriterv1.FlushRequest{}); err != nil {
		return fmt.Errorf("flush the lake-writer: %w", err)
	}
	return nil
}
