package scenario

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/services/e2e/model"
	"github.com/playhead-pipeline/playhead/services/e2e/peers"
	"github.com/playhead-pipeline/playhead/services/e2e/stack"
	"github.com/playhead-pipeline/playhead/services/e2e/trial"
)

// chaosKills returns how often each service is killed: PLAYHEAD_CHAOS is "short" (once) or "full" (ten times, on real Kafka).
func chaosKills(t *testing.T) int {
	t.Helper()
	switch os.Getenv("PLAYHEAD_CHAOS") {
	case "short":
		return 1
	case "full":
		return 10
	}
	t.Skip("PLAYHEAD_CHAOS is not set: kills run in the stage chaos of scripts/test.sh")
	return 0
}

// chaosWorld is newWorld, on the real servers when PLAYHEAD_PEERS names their folder.
func chaosWorld(t *testing.T) *world {
	t.Helper()
	install := os.Getenv("PLAYHEAD_PEERS")
	if install == "" {
		return newWorld(t)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	t.Cleanup(cancel)
	w := &world{t: t, ctx: ctx, dir: t.TempDir()}
	t.Cleanup(w.showLogs)
	kafka, err := peers.StartKafka(ctx, filepath.Join(install, "kafka"), filepath.Join(w.dir, "kafka"), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.check(kafka.Stop()) })
	registry, err := peers.StartRegistry(ctx, filepath.Join(install, "apicurio"), filepath.Join(w.dir, "apicurio"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.check(registry.Stop()) })
	objects, err := peers.StartObjectStore(ctx, filepath.Join(install, "versitygw"), filepath.Join(w.dir, "versitygw"), stack.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.check(objects.Stop()) })
	w.use(stack.Backends{
		Kafka: kafka.Addrs(), Registry: registry.URL(),
		S3: stack.S3{
			Endpoint: objects.Endpoint(), Bucket: stack.Bucket, AccessKey: peers.AccessKey, SecretKey: peers.SecretKey, Folder: objects.Folder(),
		},
	})
	return w
}

// kill -9 of each service under load, at moments that the load decides, loses and doubles nothing.
func TestChaosKillOfEachService(t *testing.T) {
	kills := chaosKills(t)
	for _, service := range stack.Services {
		t.Run(string(service), func(t *testing.T) {
			w := chaosWorld(t)
			s := w.processes(w.options())
			l := w.send(s, 1500, nil)
			for i := range kills {
				l.until(1500 + 173*uint64(i)) // another place in the commit interval each time
				w.check(s.Kill(service))
				w.again(s, service)
			}
			l.until(1500)
			l.finish()
			w.mustHold(w.verdict(s))
		})
	}
}

// kill -9 of the broker, the registry and the object store under load: the services wait, and lose and double nothing.
func TestChaosKillOfEachBackend(t *testing.T) {
	kills := chaosKills(t)
	for _, part := range stack.Parts {
		t.Run(string(part), func(t *testing.T) {
			w := newWorld(t)
			s := w.processes(w.options())
			l := w.send(s, 1500, nil)
			for i := range kills {
				l.until(1500 + 173*uint64(i))
				w.check(w.embedded.Kill(part))
				if err := w.embedded.Start(w.ctx, part); err != nil {
					t.Fatal(err)
				}
			}
			l.until(1500)
			l.finish()
			w.mustHold(w.verdict(s))
		})
	}
}

// A lake-writer is stopped in its tracks, a successor takes over and commits, and the first wakes up again: it must find out that the table
// is no longer its own, and write nothing that counts.
func TestChaosPausedLakeWriterIsFenced(t *testing.T) {
	kills := chaosKills(t)
	w := chaosWorld(t)
	s := w.processes(w.options())
	for range kills {
		l := w.send(s, 1500, nil)
		l.until(3000)
		w.check(s.Pause(stack.LakeWriter))
		resumed := false
		resume := func() {
			if !resumed {
				resumed = true
				w.check(s.Resume(stack.LakeWriter))
			}
		}
		t.Cleanup(resume) // a paused process does not end by SIGTERM
		before := snapshot(t, s)
		successor, _, err := s.Successor(w.ctx)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { w.check(successor.Stop()) })
		w.awaitCommitAfter(s, before)
		resume()
		l.until(3000)
		l.finish()
		w.mustHold(w.verdictWithoutFlush(s))
		w.check(successor.Stop())
	}
}

func snapshot(t *testing.T, s stack.Stack) string {
	t.Helper()
	table, err := model.ReadSnapshot(s.Endpoints().Table)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if len(table.Instants) == 0 {
		return ""
	}
	return table.Instants[len(table.Instants)-1]
}

// awaitCommitAfter waits for a commit newer than instant.
func (w *world) awaitCommitAfter(s stack.Stack, instant string) {
	w.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for snapshot(w.t, s) <= instant {
		select {
		case <-tick.C:
		case <-w.ctx.Done():
			w.t.Fatalf("no commit after %s", instant)
		}
	}
}

// verdictWithoutFlush waits for the commit interval of whichever lake-writer owns the table.
func (w *world) verdictWithoutFlush(s stack.Stack) *model.Result {
	w.t.Helper()
	e := s.Endpoints()
	settled := trial.Settled{Brokers: w.backends.Kafka, Topic: stack.Topic, Table: e.Table, Patience: trial.Patience}
	w.check(settled.Await(w.ctx))
	return w.judge(s)
}
