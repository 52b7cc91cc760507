// Package router is the router service: it takes batches of playback events from gateways, checks and masks them, and writes them to Kafka
// partitioned as the tables are bucketed; bad events go to a dead-letter topic. This package owns the configuration and the wiring; the work
// is done by the packages below internal.
package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	controlv1 "github.com/playhead-pipeline/playhead/proto/control/v1"
	ingestv1 "github.com/playhead-pipeline/playhead/proto/ingest/v1"
	routerv1 "github.com/playhead-pipeline/playhead/proto/router/v1"
	"github.com/playhead-pipeline/playhead/services/internal/configfile"
	"github.com/playhead-pipeline/playhead/services/internal/control"
	"github.com/playhead-pipeline/playhead/services/internal/lifecycle"
	"github.com/playhead-pipeline/playhead/services/internal/rpcserver"
	"github.com/playhead-pipeline/playhead/services/internal/schemaregistry"
	"github.com/playhead-pipeline/playhead/services/internal/telemetry"
	"github.com/playhead-pipeline/playhead/services/router/internal/admin"
	"github.com/playhead-pipeline/playhead/services/router/internal/catalog"
	"github.com/playhead-pipeline/playhead/services/router/internal/intake"
	"github.com/playhead-pipeline/playhead/services/router/internal/mask"
	"github.com/playhead-pipeline/playhead/services/router/internal/prepare"
	"github.com/playhead-pipeline/playhead/services/router/internal/publish"
	"github.com/playhead-pipeline/playhead/services/router/internal/route"
	"github.com/playhead-pipeline/playhead/services/router/internal/validate"
)

const serviceName = "router"

// stopTimeout bounds what comes after the last acknowledgement: closing streams, connections and listeners.
const stopTimeout = 10 * time.Second

// Params is what the program passes beside the configuration.
type Params struct {
	Logger *slog.Logger
	// Level is the log level that the admin API changes.
	Level   *slog.LevelVar
	Version string
}

// Addrs are the addresses that the listeners got.
type Addrs struct {
	Ingest, Admin, Debug string
}

// Router is the service. It is made for one Run.
type Router struct {
	cfg      Config
	p        Params
	group    *lifecycle.Group
	health   *telemetry.Health
	registry *schemaregistry.Client
	catalog  *catalog.Catalog
	producer *publish.Producer
	intake   *intake.Server
	ingest   *rpcserver.Server
	admin    *rpcserver.Server
	debug    *telemetry.DebugServer
}

// New reads the masking key, checks that the parts can be made and binds the listeners. It connects to nothing.
func New(cfg Config, p Params) (*Router, error) {
	r := &Router{
		cfg: cfg, p: p, health: telemetry.NewHealth(),
		group: lifecycle.New(p.Logger, lifecycle.Options{DrainTimeout: cfg.Intake.DrainTimeout.D() + stopTimeout, StopTimeout: stopTimeout}),
	}
	reg := telemetry.NewRegistry(serviceName)
	if err := r.build(reg); err != nil {
		return nil, err
	}
	if err := r.listen(reg); err != nil {
		return nil, err
	}
	r.wire()
	return r, nil
}

// build makes the parts from the registry to the intake.
func (r *Router) build(reg prometheus.Registerer) error {
	table, err := r.cfg.table()
	if err != nil {
		return fmt.Errorf("read routes: %w", err)
	}
	secret, err := r.cfg.Masking.KeyFile.Read()
	if err != nil {
		return fmt.Errorf("read masking key: %w", err)
	}
	key, err := mask.NewKey(r.cfg.Masking.KeyID, secret)
	if err != nil {
		return err
	}
	if r.registry, err = schemaregistry.New(schemaregistry.Params{
		URL: r.cfg.Registry.URL, CacheDir: r.cfg.Registry.CacheDir, Timeout: r.cfg.Registry.Timeout.D(),
		NegativeTTL: r.cfg.Registry.UnknownTTL.D(), LatestTTL: r.cfg.Registry.Refresh.D() / 2, Registerer: reg, Logger: r.p.Logger,
	}); err != nil {
		return fmt.Errorf("set up the schema registry: %w", err)
	}
	if r.catalog, err = catalog.New(catalog.Params{
		Registry: r.registry, Routes: table,
		Limits:     catalog.Limits{EventBytes: int(r.cfg.Limits.EventBytes), Elements: r.cfg.Limits.Elements},
		MaxSchemas: r.cfg.Limits.Schemas, UnknownTTL: r.cfg.Registry.UnknownTTL.D(), RefreshInterval: r.cfg.Registry.Refresh.D(),
		TenantLookups: r.cfg.Registry.TenantLookups, Logger: r.p.Logger, Registerer: reg, Check: r.health.Check("registry"),
	}); err != nil {
		return err
	}
	if r.producer, err = publish.New(publish.Params{
		Config: r.cfg.Produce, Kafka: r.cfg.Kafka.client(), CreateTopics: r.cfg.Kafka.CreateTopics,
		DataTopics: table.DataTopics(), DeadLetterTopics: table.DeadLetterTopics(),
		Logger: r.p.Logger, Registerer: reg, Check: r.health.Check("kafka"),
	}); err != nil {
		return err
	}
	preparer, err := r.preparer(reg, table, key)
	if err != nil {
		return err
	}
	r.intake, err = intake.New(intake.Params{
		Config: r.cfg.Intake, Preparer: preparer, Publisher: r.producer, DeadLetterFor: table.DeadLetterFor, Logger: r.p.Logger, Registerer: reg,
	})
	return err
}

func (r *Router) preparer(reg prometheus.Registerer, table *route.Table, key *mask.Key) (*prepare.Preparer, error) {
	panics := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "playhead_router_event_panics_total", Help: "Events that met a defect of the router and were refused for it.",
	})
	if err := reg.Register(panics); err != nil {
		return nil, fmt.Errorf("set up metrics: %w", err)
	}
	return prepare.New(prepare.Params{
		Schemas: r.catalog, Key: key,
		Times:      validate.Limits{MaxPast: r.cfg.Limits.MaxPast.D(), MaxFuture: r.cfg.Limits.MaxFuture.D()},
		EventBytes: int(r.cfg.Limits.EventBytes), DeadLetterTopic: table.DeadLetterTopic(), Partitions: r.producer.Partitions,
		Panicked: func(schemaID int32, what string) {
			panics.Inc()
			r.p.Logger.Error("an event met a defect and was refused", "schema_id", schemaID, "panic", what)
		},
	}), nil
}

// listen binds the listeners. On error none stays bound.
func (r *Router) listen(reg *prometheus.Registry) error {
	server := func(name, listen string) (*rpcserver.Server, error) {
		s, err := rpcserver.NewServer(rpcserver.ServerParams{
			Config: rpcserver.ServerConfig{Listen: listen, TLS: r.cfg.TLS, Insecure: r.cfg.Insecure},
			Logger: r.p.Logger, Registerer: reg, Service: serviceName, Name: name, Health: r.health,
			// The intake ends its streams within its drain timeout; cutting them before would lose acknowledgements.
			StopTimeout: r.cfg.Intake.DrainTimeout.D() + stopTimeout/2,
		})
		if err != nil {
			return nil, fmt.Errorf("set up the %s listener: %w", name, err)
		}
		return s, nil
	}
	var err error
	if r.ingest, err = server("ingest", r.cfg.Listen.Ingest); err != nil {
		return err
	}
	if r.admin, err = server("admin", r.cfg.Listen.Admin); err != nil {
		return errors.Join(err, r.ingest.Close())
	}
	r.debug, err = telemetry.NewDebugServer(telemetry.DebugConfig{Listen: r.cfg.Listen.Debug, Insecure: r.cfg.Insecure}, reg, r.health, r.p.Logger)
	if err != nil {
		return errors.Join(fmt.Errorf("set up the debug listener: %w", err), r.ingest.Close(), r.admin.Close())
	}
	ingestv1.RegisterIngestServiceServer(r.ingest, r.intake)
	routerv1.RegisterRouterAdminServiceServer(r.admin, admin.New(admin.Sources{
		Totals: r.intake.Totals, Schemas: r.catalog.Status, Partitions: r.producer.Status,
	}))
	controlv1.RegisterControlServiceServer(r.admin, control.New(control.Params{
		Service: serviceName, Version: r.p.Version, Health: r.health, Level: r.p.Level,
		ConfigDigest: configfile.Digest(r.cfg), Drain: r.Drain, Started: time.Now(),
	}))
	return nil
}

// wire puts the parts into the order in which they stop: first nothing more is taken and what was received is acknowledged, then the
// parts that this needs.
func (r *Router) wire() {
	r.group.Inner("ingest", r.ingest.Run)
	r.group.Inner("intake", r.intake.Run)
	r.group.Outer("producer", r.producer.Run)
	r.group.Outer("catalog", r.catalog.Run)
	r.group.Outer("admin", r.admin.Run)
	r.group.Outer("debug", r.debug.Run)
}

// Run works until ctx ends or Drain is called, acknowledges what was received, and returns nil.
func (r *Router) Run(ctx context.Context) error {
	defer r.registry.Close()
	return r.group.Run(ctx)
}

// Drain starts an orderly stop.
func (r *Router) Drain() { r.group.Drain() }

// Addrs returns the addresses that the listeners got.
func (r *Router) Addrs() Addrs {
	return Addrs{Ingest: r.ingest.Addr(), Admin: r.admin.Addr(), Debug: r.debug.Addr()}
}
