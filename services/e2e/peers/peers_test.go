package peers

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// install returns the folder that scripts/peers.sh filled; tests of real servers run only in stages that name it.
func install(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("PLAYHEAD_PEERS")
	if dir == "" {
		t.Skip("PLAYHEAD_PEERS is not set: real servers run in the stages chaos --full and interop of scripts/test.sh")
	}
	return dir
}

func TestKafkaKeepsTopicsThroughCrash(t *testing.T) {
	root := install(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	kafka, err := StartKafka(ctx, filepath.Join(root, "kafka"), t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := kafka.Stop(); err != nil {
			t.Error(err)
		}
	}()
	client, err := kgo.NewClient(kgo.SeedBrokers(kafka.Addrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, 3, 1, nil, "peers-test"); err != nil {
		t.Fatal(err)
	}
	if err := kafka.Kill(0); err != nil {
		t.Fatal(err)
	}
	if err := kafka.Restart(ctx, 0); err != nil {
		t.Fatal(err)
	}
	details, err := kadm.NewClient(client).ListTopics(ctx, "peers-test")
	if err != nil {
		t.Fatal(err)
	}
	if got := len(details["peers-test"].Partitions); got != 3 {
		t.Errorf("topic has %d partitions after the restart, want 3", got)
	}
}

func TestRegistryAndObjectStoreAnswer(t *testing.T) {
	root := install(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	registry, err := StartRegistry(ctx, filepath.Join(root, "apicurio"), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := registry.Stop(); err != nil {
			t.Error(err)
		}
	}()
	if err := registry.call(ctx, http.MethodGet, "/subjects/absent/versions", ""); err == nil {
		t.Error("the registry knows a subject that nobody registered")
	}
	store, err := StartObjectStore(ctx, filepath.Join(root, "versitygw"), t.TempDir(), "lake")
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(store.Endpoint() + "/lake")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("anonymous request: status %d, want 403", resp.StatusCode)
	}
	if err := store.Stop(); err != nil {
		t.Error(err)
	}
}
