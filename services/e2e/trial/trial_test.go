package trial

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/playhead-pipeline/playhead/services/e2e/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// brokerWith starts a broker whose topic "t" holds three records in partition 0 and none in partition 1.
func brokerWith(t *testing.T) []string {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "t"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.DefaultProduceTopic("t"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for range 3 {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Value: []byte("v")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	return cluster.ListenAddrs()
}

// commit adds a commit that covers partition 0 to offset next.
func commit(t *testing.T, table string, instant, next int) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(table, ".hoodie"), 0o755); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`{"partitionToWriteStats":{},"extraMetadata":{"deltastreamer.checkpoint.key":"t,0:%d,1:0"}}`, next)
	if err := os.WriteFile(filepath.Join(table, ".hoodie", fmt.Sprintf("%d.commit", instant)), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestAwaitEndsWhenTheTableCoversTheTopic(t *testing.T) {
	t.Parallel()
	table, flushes := t.TempDir(), 0
	settled := Settled{Brokers: brokerWith(t), Topic: "t", Table: table, Patience: time.Minute, Flush: func(context.Context) error {
		flushes++
		commit(t, table, flushes, flushes)
		return nil
	}}
	if err := settled.Await(t.Context()); err != nil || flushes != 3 {
		t.Errorf("error %v after %d flushes", err, flushes)
	}
}

func TestAwaitGivesUpWhenNothingMoves(t *testing.T) {
	t.Parallel()
	table, refused := t.TempDir(), errors.New("not ready")
	commit(t, table, 1, 2)
	settled := Settled{Brokers: brokerWith(t), Topic: "t", Table: table, Patience: 300 * time.Millisecond, Flush: func(context.Context) error { return refused }}
	err := settled.Await(t.Context())
	if !errors.Is(err, refused) || !strings.Contains(err.Error(), "partition 0 of t is committed to offset 2 of 3") {
		t.Errorf("error %v", err)
	}
}

func TestReportPrintsBothForms(t *testing.T) {
	t.Parallel()
	report := Report{Result: &model.Result{Verdict: "failed", Sent: 7, Problems: []string{"a row is gone"}}, Table: "/t", EventsPerSecond: 2}
	var text, object bytes.Buffer
	if err := errors.Join(report.Print(&text, "text"), report.Print(&object, "json")); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), "a row is gone") || !strings.Contains(text.String(), "/t") {
		t.Errorf("text is %s", &text)
	}
	var back map[string]any
	if err := json.Unmarshal(object.Bytes(), &back); err != nil || strings.Count(object.String(), "\n") != 1 {
		t.Fatalf("object is %s: %v", &object, err)
	}
	for name, want := range map[string]any{"verdict": "failed", "sent": 7.0, "events_per_second": 2.0, "table": "/t", "rows": 0.0, "out_of_order": 0.0} {
		if back[name] != want {
			t.Errorf("%s is %v, want %v", name, back[name], want)
		}
	}
}
