package embedded

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/playhead-pipeline/playhead/services/e2e/child"
	"github.com/playhead-pipeline/playhead/services/internal/lifecycle"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Command {
		lifecycle.Main(Main)
	}
	os.Exit(m.Run())
}

func start(t *testing.T, kind, dir string) (*child.Process, string) {
	t.Helper()
	ports, err := child.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	process, err := Start(t.Context(), Spec{Kind: kind, Port: ports[0], Dir: dir}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := process.Stop(); err != nil {
			t.Error(err)
		}
	})
	return process, "127.0.0.1:" + strconv.Itoa(ports[0])
}

func TestBrokerKeepsRecordsThroughKill(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	dir := t.TempDir()
	process, addr := start(t, Broker, dir)
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic("t"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, 1, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(ctx, kgo.StringRecord("kept")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, addr = start(t, Broker, dir)
	again, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics("t"))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if records := again.PollFetches(ctx).Records(); len(records) != 1 || string(records[0].Value) != "kept" {
		t.Errorf("records after the kill: %v", records)
	}
}

func TestObjectStoreRefusesStrangers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "lake"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, addr := start(t, ObjectStore, dir)
	resp, err := http.Get("http://" + addr + "/lake")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("status %d, want 403", resp.StatusCode)
	}
}

func TestRegistryAnswers(t *testing.T) {
	t.Parallel()
	_, addr := start(t, Registry, t.TempDir())
	resp, err := http.Get("http://" + addr + "/subjects")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %d, want 200", resp.StatusCode)
	}
}

func TestStartNamesTheLogOfAPeerThatEnds(t *testing.T) {
	t.Parallel()
	if _, err := Start(t.Context(), Spec{Kind: "nothing", Port: 1, Dir: t.TempDir()}, t.TempDir()); err == nil {
		t.Error("a peer of no kind was started")
	}
}

func TestCheckAttributes(t *testing.T) {
	t.Parallel()
	if err := CheckAttributes(t.TempDir()); err != nil {
		t.Skip(err) // a property of the machine
	}
	if err := CheckAttributes(filepath.Join(t.TempDir(), "absent")); err == nil {
		t.Error("a missing folder passes")
	}
}
