package interop

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/services/e2e/load"
	"github.com/playhead-pipeline/playhead/services/e2e/model"
	"github.com/playhead-pipeline/playhead/services/e2e/peers"
	"github.com/playhead-pipeline/playhead/services/e2e/stack"
)

const (
	events     = 12_000
	partitions = 12
)

// TestEnginesReadWhatWasSent sends events through the three services with real Kafka, a real registry and a real S3 server, and lets every
// engine read the table: row count, key set and every column of every row; as of an instant, since the first commit, and with filters. Of a
// merge-on-read table the last copy of an event that was sent again counts, so that its place in Kafka does not tell since when it is there:
// only what the table holds in the end is asked of it.
func TestEnginesReadWhatWasSent(t *testing.T) {
	install := peersDir(t)
	for _, kind := range []string{stack.CopyOnWrite, stack.MergeOnRead} {
		t.Run(kind, func(t *testing.T) { readWhatWasSent(t, install, kind) })
	}
}

func readWhatWasSent(t *testing.T, install, kind string) {
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	table, ledger := produceTable(ctx, t, install, kind)
	masking := model.Masking{KeyID: stack.MaskingKeyID, Key: []byte(stack.MaskingKey), Tenant: stack.Tenant}
	want := newTruth(ledger, masking)
	var commits []commit
	if kind == stack.CopyOnWrite {
		if commits = readCommits(t, table); len(commits) < 4 {
			t.Fatalf("the run made %d commits; as-of and incremental queries need at least 4", len(commits))
		}
	}
	for _, e := range engines(t, install) {
		t.Run(e.name, func(t *testing.T) { judge(ctx, t, e, table, want, commits) })
	}
}

// produceTable runs the pipeline until the ledger has passed, and returns the table's folder.
func produceTable(ctx context.Context, t *testing.T, install, kind string) (string, *load.Ledger) {
	t.Helper()
	dir := t.TempDir()
	backends, stop := startPeers(ctx, t, install, dir)
	defer stop()
	ids, err := stack.RegisterSchemas(ctx, backends.Registry)
	if err != nil {
		t.Fatal(err)
	}
	if err := stack.Build(ctx, dir); err != nil {
		t.Fatal(err)
	}
	pipeline, err := stack.StartProcesses(ctx, stack.Options{
		Dir: filepath.Join(dir, "services"), Backends: backends, Partitions: partitions, CommitInterval: 2 * time.Second, TableType: kind,
	}, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := pipeline.Stop(); err != nil {
			t.Error(err)
		}
	}()
	params := load.DefaultParams(1, 20261124, time.Now().Add(-30*time.Minute))
	params.SchemaIDs = ids
	fleet, err := load.NewFleet(pipeline.Endpoints().WebSocket, params, load.Pace{Rate: 1500, Events: events, Batch: 50, Window: 8})
	if err != nil {
		t.Fatal(err)
	}
	if err := fleet.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if err := pipeline.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	ledger := fleet.Ledger(true)
	result, err := model.Check(ctx, model.Inputs{
		Ledgers: []*load.Ledger{ledger}, Table: pipeline.Endpoints().Table, Partitions: partitions,
		Masking:     model.Masking{KeyID: stack.MaskingKeyID, Key: []byte(stack.MaskingKey), Tenant: stack.Tenant},
		DeadLetters: model.KafkaDeadLetters(backends.Kafka, stack.DeadLetterTopic),
		Records:     model.KafkaRecords(backends.Kafka, stack.Topic),
	})
	if err != nil {
		t.Fatal(err)
	}
	if result.Verdict != "ok" || result.OK == 0 || result.DLQ == 0 {
		t.Fatalf("ledger: %+v", result)
	}
	return pipeline.Endpoints().Table, ledger
}

func startPeers(ctx context.Context, t *testing.T, install, dir string) (stack.Backends, func()) {
	t.Helper()
	kafka, err := peers.StartKafka(ctx, filepath.Join(install, "kafka"), filepath.Join(dir, "kafka"), 1)
	if err != nil {
		t.Fatal(err)
	}
	registry, err := peers.StartRegistry(ctx, filepath.Join(install, "apicurio"), filepath.Join(dir, "registry"))
	if err != nil {
		t.Fatal(errors.Join(err, kafka.Stop()))
	}
	store, err := peers.StartObjectStore(ctx, filepath.Join(install, "versitygw"), filepath.Join(dir, "s3"), stack.Bucket)
	if err != nil {
		t.Fatal(errors.Join(err, registry.Stop(), kafka.Stop()))
	}
	return stack.Backends{
		Kafka: kafka.Addrs(), Registry: registry.URL(), S3: stack.S3{
			Endpoint: store.Endpoint(), Bucket: stack.Bucket, AccessKey: peers.AccessKey, SecretKey: peers.SecretKey, Folder: store.Folder(),
		},
	}, func() {
		if err := errors.Join(store.Stop(), registry.Stop(), kafka.Stop()); err != nil {
			t.Error(err)
		}
	}
}
