package stack

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestMain(m *testing.M) {
	if ran, err := RunRole(); ran {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// The embedded backends answer, and a second start on the same folder finds what the first one kept, even after kill -9.
func TestEmbeddedKeepsItsState(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir := t.TempDir()
	first := startEmbedded(ctx, t, dir)
	ids, err := RegisterSchemas(ctx, first.Registry)
	if err != nil {
		t.Fatal(err)
	}
	produce(ctx, t, first.Kafka)
	refusesStrangers(t, first.S3.Endpoint+"/"+first.S3.Bucket)
	for _, part := range Parts {
		if err := first.Kill(part); err != nil {
			t.Fatal(err)
		}
	}
	second := startEmbedded(ctx, t, dir)
	again, err := RegisterSchemas(ctx, second.Registry)
	if err != nil || fmt.Sprint(again) != fmt.Sprint(ids) || len(ids) < 2 {
		t.Errorf("schema ids %v, %v before; error %v", again, ids, err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(second.Kafka...), kgo.ConsumeTopics("kept"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if records := client.PollFetches(ctx).Records(); len(records) != 1 || string(records[0].Value) != "kept" {
		t.Errorf("records after the kill: %v", records)
	}
}

func startEmbedded(ctx context.Context, t *testing.T, dir string) *Embedded {
	t.Helper()
	e, err := StartEmbedded(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func produce(ctx context.Context, t *testing.T, brokers []string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DefaultProduceTopic("kept"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, 1, 1, nil, "kept"); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(ctx, kgo.StringRecord("kept")).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func refusesStrangers(t *testing.T, url string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusForbidden {
		t.Errorf("anonymous request: status %d, want 403", response.StatusCode)
	}
}

func TestEndpointsFile(t *testing.T) {
	t.Parallel()
	o := Options{Dir: t.TempDir(), Backends: Backends{Kafka: []string{"127.0.0.1:1"}, Registry: "http://r", S3: S3{Endpoint: "http://s", Bucket: "b", Folder: "/f"}}}
	p, err := choosePorts()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(o.Dir, "endpoints.json")
	if err := o.endpoints(p).Save(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := json.Unmarshal(text, &object); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"websocket", "registry", "kafka", "s3", "table", "admin", "debug"} {
		if object[name] == nil {
			t.Errorf("endpoints.json lacks %s: %s", name, text)
		}
	}
	if object["table"] != "/f/b/lake/playback_events" {
		t.Errorf("table is %v", object["table"])
	}
}

func TestCPUTime(t *testing.T) {
	t.Parallel()
	used, err := CPUTime(os.Getpid())
	if err != nil || used < 0 || used > time.Hour {
		t.Errorf("CPU time %v, error %v", used, err)
	}
	if _, err := CPUTime(1 << 30); err == nil {
		t.Error("a process that is not there has a CPU time")
	}
}
