// Package lakewriter is the lake-writer service: it reads events from Kafka and commits them, with the
// offsets that they cover, to Apache Hudi tables, every event once. This package owns the configuration
// and the wiring; reading, converting, buffering and committing are packages below internal, the table
// format is the module hudi.
package lakewriter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/IBM/sarama"
	"github.com/prometheus/client_golang/prometheus"

	controlv1 "github.com/playhead-pipeline/playhead/proto/control/v1"
	lakewriterv1 "github.com/playhead-pipeline/playhead/proto/lakewriter/v1"
	tablev1 "github.com/playhead-pipeline/playhead/proto/table/v1"
	"github.com/playhead-pipeline/playhead/services/internal/configfile"
	"github.com/playhead-pipeline/playhead/services/internal/control"
	"github.com/playhead-pipeline/playhead/services/internal/kafkaclient"
	"github.com/playhead-pipeline/playhead/services/internal/lifecycle"
	"github.com/playhead-pipeline/playhead/services/internal/rpcserver"
	"github.com/playhead-pipeline/playhead/services/internal/schemaregistry"
	"github.com/playhead-pipeline/playhead/services/internal/telemetry"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/admin"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/budget"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/commit"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/consume"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/groupoffset"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/storemeter"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/tableadmin"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/tableservice"
)

// Names of the service: among programs, and in metrics, which have no hyphen.
const (
	serviceName = "lake-writer"
	metricsName = "lakewriter"
)

// stopTimeout bounds what comes after the last commit: closing connections and listeners.
const stopTimeout = 10 * time.Second

// Params is what the program passes beside the configuration.
type Params struct {
	Logger *slog.Logger
	// Level is the log level that the admin API changes.
	Level   *slog.LevelVar
	Version string
	// WrapStore, when set, puts something between the service and the store of each table: tests make it fail.
	WrapStore func(storage.Store) storage.Store
}

// Addrs are the addresses that the listeners got.
type Addrs struct {
	Admin, Debug string
}

// LakeWriter is the service. It is made for one Run.
type LakeWriter struct {
	cfg      Config
	p        Params
	group    *lifecycle.Group
	admin    *rpcserver.Server
	debug    *telemetry.DebugServer
	health   *telemetry.Health
	budget   *budget.Budget
	registry *schemaregistry.Client
	lake     *lake
	offsets  *groupoffset.Publisher
	tables   []*table
}

// New checks that the parts can be made and binds the listeners. It connects to nothing.
func New(cfg Config, p Params) (*LakeWriter, error) {
	w := &LakeWriter{
		cfg: cfg, p: p, health: telemetry.NewHealth(), budget: budget.New(int64(cfg.ByteBudget)),
		group: lifecycle.New(p.Logger, lifecycle.Options{DrainTimeout: cfg.DrainTimeout.D() + stopTimeout, StopTimeout: stopTimeout}),
	}
	reg := telemetry.NewRegistry(metricsName)
	var err error
	if w.registry, err = schemaregistry.New(schemaregistry.Params{
		URL: cfg.Registry.URL, CacheDir: cfg.Registry.CacheDir, Registerer: reg, Logger: p.Logger,
	}); err != nil {
		return nil, fmt.Errorf("set up the schema registry: %w", err)
	}
	if w.lake, err = openLake(cfg.Lake, storemeter.New(reg), p.WrapStore); err != nil {
		return nil, err
	}
	w.offsets = groupoffset.New(cfg.GroupID, w.kafka, reg, p.Logger)
	if err := w.addTables(reg); err != nil {
		return nil, err
	}
	if err := w.listen(reg); err != nil {
		return nil, err
	}
	w.wire()
	return w, nil
}

// addTables makes the tables of the configuration.
func (w *LakeWriter) addTables(reg prometheus.Registerer) error {
	metrics := tableMetrics{consume.NewMetrics(reg), commit.NewMetrics(reg), tableservice.NewMetrics(reg)}
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "playhead_lakewriter_budget_used_bytes", Help: "Bytes charged to the byte budget.",
	}, func() float64 { return float64(w.budget.Used()) }))
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	owner := fmt.Sprintf("%s/%d", host, os.Getpid())
	for _, cfg := range w.cfg.Tables {
		t, err := newTable(w, cfg, owner, metrics)
		if err != nil {
			return err
		}
		w.tables = append(w.tables, t)
	}
	return nil
}

func (w *LakeWriter) listen(reg *prometheus.Registry) error {
	var err error
	w.admin, err = rpcserver.NewServer(rpcserver.ServerParams{
		Config: rpcserver.ServerConfig{Listen: w.cfg.Listen.Admin, TLS: w.cfg.TLS, Insecure: w.cfg.Insecure},
		Logger: w.p.Logger, Registerer: reg, Service: metricsName, Name: "admin", Health: w.health,
	})
	if err != nil {
		return fmt.Errorf("set up the admin listener: %w", err)
	}
	w.debug, err = telemetry.NewDebugServer(telemetry.DebugConfig{Listen: w.cfg.Listen.Debug, Insecure: w.cfg.Insecure}, reg, w.health, w.p.Logger)
	if err != nil {
		return errors.Join(fmt.Errorf("set up the debug listener: %w", err), w.admin.Close())
	}
	controlv1.RegisterControlServiceServer(w.admin, control.New(control.Params{
		Service: serviceName, Version: w.p.Version, Health: w.health, Level: w.p.Level, ConfigDigest: configfile.Digest(w.cfg), Drain: w.Drain, Started: time.Now(),
	}))
	lakewriterv1.RegisterLakeWriterAdminServiceServer(w.admin, admin.New(w))
	tables := make(map[string]tableadmin.Table, len(w.tables))
	for _, t := range w.tables {
		tables[t.commit.Name()] = tableadmin.Table{Services: t.services, Open: t.commit.Open}
	}
	tablev1.RegisterTableServiceServer(w.admin, tableadmin.New(tables, w.p.Logger))
	return nil
}

// wire puts the parts into the order in which they stop: tables first, with their last commits; then
// what shows and publishes them.
func (w *LakeWriter) wire() {
	w.group.Inner("tables", w.runTables)
	w.group.Outer("group offsets", w.offsets.Run)
	w.group.Outer("admin", w.admin.Run)
	w.group.Outer("debug", w.debug.Run)
}

// Run works until ctx ends or Drain is called, commits what is buffered, and returns nil.
func (w *LakeWriter) Run(ctx context.Context) error {
	defer w.registry.Close()
	return w.group.Run(ctx)
}

// Drain starts an orderly stop.
func (w *LakeWriter) Drain() { w.group.Drain() }

// Addrs returns the addresses that the listeners got.
func (w *LakeWriter) Addrs() Addrs {
	return Addrs{Admin: w.admin.Addr(), Debug: w.debug.Addr()}
}

// kafka opens a client.
func (w *LakeWriter) kafka() (sarama.Client, error) { return kafkaclient.NewClient(w.cfg.Kafka) }

// runTables checks the store, then runs all tables. A table that fails ends the others.
func (w *LakeWriter) runTables(ctx context.Context) error {
	if err := w.lake.probe(ctx, w.health.Check("lake"), w.p.Logger); err != nil || ctx.Err() != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(w.tables))
	var wg sync.WaitGroup
	for i, t := range w.tables {
		wg.Go(func() {
			if errs[i] = t.run(ctx); errs[i] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// relieve asks every table to commit early, since the budget is common to all.
func (w *LakeWriter) relieve() {
	for _, t := range w.tables {
		t.commit.Relieve()
	}
}

// Snapshot implements admin.State.
func (w *LakeWriter) Snapshot() *lakewriterv1.GetStatusResponse {
	out := &lakewriterv1.GetStatusResponse{BufferedBytes: uint64(max(w.budget.Used(), 0)), BudgetBytes: uint64(w.budget.Limit())}
	for _, t := range w.tables {
		status := t.commit.Status()
		out.Active = out.Active || status.Active
		out.Tables = append(out.Tables, &lakewriterv1.Table{
			Name: t.commit.Name(), Path: t.path, LastInstant: status.LastInstant, Commits: status.Commits,
			Rows: status.Rows, Duplicates: status.Duplicates, Refused: status.Refused, LastError: status.LastError,
		})
		out.Partitions = append(out.Partitions, t.partitions(status)...)
	}
	return out
}

// Flush implements admin.State.
func (w *LakeWriter) Flush(ctx context.Context) (string, error) {
	newest, standing := "", 0
	for _, t := range w.tables {
		instant, err := t.commit.Flush(ctx)
		switch {
		case errors.Is(err, commit.ErrStandby):
			standing++
		case err != nil:
			return "", fmt.Errorf("flush table %s: %w", t.commit.Name(), err)
		}
		newest = max(newest, instant)
	}
	if standing == len(w.tables) {
		return "", admin.ErrStandby
	}
	return newest, nil
}
