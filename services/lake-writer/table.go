package lakewriter

import (
	"context"
	"fmt"
	"sync"

	"github.com/IBM/sarama"

	lakewriterv1 "github.com/playhead-pipeline/playhead/proto/lakewriter/v1"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/buffer"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/commit"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/consume"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/deadletter"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/record"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/tableservice"
)

// table ties the parts of one topic and its table together.
type table struct {
	w        *LakeWriter
	cfg      TableConfig
	path     string
	metrics  *consume.Metrics
	commit   *commit.Table
	services *tableservice.Runner
	letters  *deadletter.Publisher // nil when refused events halt their partition

	mu struct {
		sync.Mutex
		reader *consume.Consumer // nil while nothing is read
	}
}

// tableMetrics are common to all tables.
type tableMetrics struct {
	reads    *consume.Metrics
	commits  *commit.Metrics
	services *tableservice.Metrics
}

func newTable(w *LakeWriter, cfg TableConfig, owner string, metrics tableMetrics) (*table, error) {
	store, err := w.lake.store(cfg.Database, cfg.Name)
	if err != nil {
		return nil, err
	}
	t := &table{w: w, cfg: cfg, path: w.lake.path(cfg.Database, cfg.Name), metrics: metrics.reads}
	name := cfg.Database + "." + cfg.Name
	t.services = tableservice.New(tableservice.Params{Table: name, Policy: w.cfg.TableServices.policy(), Metrics: metrics.services, Logger: w.p.Logger})
	effects := commit.Effects{Latest: t.latest, Schemas: t.schema, Read: t.read, Behind: t.behind, Committed: w.offsets.Publish}
	if topic := cfg.deadLetters(); topic != "" {
		t.letters = deadletter.New(topic, w.kafka)
		effects.Refuse = t.letters.Publish
	}
	t.commit = commit.New(commit.Params{
		Database: cfg.Database, Name: cfg.Name, Topic: cfg.Topic, Buckets: cfg.buckets(), KafkaColumns: cfg.kafkaColumns(),
		Type: cfg.tableType(), LogFormat: logFormats[cfg.LogFormat], Services: t.services,
		Policy: buffer.Policy{
			Age: w.cfg.CommitInterval.D(), Bytes: int64(w.cfg.CommitBytes), Rows: w.cfg.CommitRows,
		},
		Takeover: w.cfg.takeover(), Drain: w.cfg.DrainTimeout.D(), Owner: owner,
		Store: store, BaseURI: w.lake.uri + "/" + cfg.Database + "/" + cfg.Name,
		Effects: effects, Clamp: cfg.clamp(),
		Account: w.budget, Check: w.health.Check("table " + name), Metrics: metrics.commits, Logger: w.p.Logger,
	})
	return t, nil
}

// run keeps the table until ctx ends.
func (t *table) run(ctx context.Context) error {
	if t.letters != nil {
		defer t.letters.Close()
	}
	return t.commit.Run(ctx)
}

func (t *table) latest(ctx context.Context) (string, error) {
	schema, err := t.w.registry.Latest(ctx, t.cfg.subject())
	if err != nil {
		return "", fmt.Errorf("newest schema of subject %s: %w", t.cfg.subject(), err)
	}
	return schema.Text, nil
}

func (t *table) schema(ctx context.Context, id int) (string, error) {
	schema, err := t.w.registry.ByID(ctx, id)
	return schema.Text, err
}

// read implements commit.Effects.
func (t *table) read(ctx context.Context, start func(string, int32) (int64, bool),
	deliver func(context.Context, record.Chunk) (int64, error),
) error {
	reader := consume.New(consume.Params{
		Connect: t.w.kafka, Topics: []string{t.cfg.Topic}, Start: start, Deliver: deliver,
		Blocked: t.w.relieve, Gate: t.w.budget, Metrics: t.metrics, Logger: t.w.p.Logger,
	})
	t.setReader(reader)
	defer reader.Close()
	defer t.setReader(nil)
	return reader.Run(ctx)
}

func (t *table) setReader(reader *consume.Consumer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.reader = reader
}

// behind implements commit.Effects. It is asked by a standby every few seconds, which may well open a
// connection for it.
func (t *table) behind(_ context.Context, committed commit.Offsets) (bool, error) {
	client, err := t.w.kafka()
	if err != nil {
		return false, fmt.Errorf("connect to kafka: %w", err)
	}
	defer func(c sarama.Client) { _ = c.Close() }(client)
	return consume.Behind(client, t.cfg.Topic, committed[t.cfg.Topic])
}

// partitions joins what the reader and the table know.
func (t *table) partitions(status commit.Status) []*lakewriterv1.Partition {
	t.mu.Lock()
	reader := t.mu.reader
	t.mu.Unlock()
	var out []*lakewriterv1.Partition
	committed := status.Committed[t.cfg.Topic]
	if reader == nil {
		for partition, next := range committed {
			out = append(out, &lakewriterv1.Partition{Topic: t.cfg.Topic, Partition: partition, NextOffset: next, CommittedOffset: next})
		}
		return out
	}
	for _, s := range reader.Status() {
		out = append(out, &lakewriterv1.Partition{
			Topic: s.Topic, Partition: s.Partition, NextOffset: s.Next, CommittedOffset: committed[s.Partition],
			HighWatermark: s.HighWatermark, HaltedReason: s.Reason,
		})
	}
	return out
}
