package scenario

import (
	"testing"

	"github.com/playhead-pipeline/playhead/services/e2e/load"
	"github.com/playhead-pipeline/playhead/services/e2e/stack"
	"github.com/playhead-pipeline/playhead/services/e2e/stack/inprocess"
)

// kinds are the ways to run the services, on tables of either type; scenarios that only stop and start them run on both.
var kinds = map[string]func(*world) stack.Stack{
	"in process": func(w *world) stack.Stack {
		options := w.options()
		options.TableType = stack.CopyOnWrite
		return w.inProcess(options)
	},
	"processes": func(w *world) stack.Stack { return w.processes(w.served()) },
}

// Good, late, doubled and broken events of both encodings and both schema versions all end where they belong.
func TestEveryEventOnce(t *testing.T) {
	for kind, start := range kinds {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t)
			s := start(w)
			l := w.send(s, 3000, func(p *load.Params) { p.Bad, p.Duplicate, p.Late = 300, 500, 300 })
			l.until(15_000)
			l.finish()
			result := w.verdict(s)
			w.mustHold(result)
			if result.DLQ == 0 || result.DuplicatesSent == 0 || result.Commits < 2 || result.UnackedPresent+result.UnackedAbsent > 0 {
				t.Errorf("the run did not exercise what it should: %+v", result)
			}
		})
	}
}

// Merge-on-read tables, in either format of log blocks, hold every event once while compaction, clean and archive run all the time; so do
// the base files alone, as far as they go.
func TestEveryEventOnceWhileTablesAreServed(t *testing.T) {
	for _, format := range []string{"avro", "parquet"} {
		t.Run(format, func(t *testing.T) {
			w := newWorld(t)
			options := w.served()
			options.LogFormat = format
			s := w.processes(options)
			l := w.send(s, 2000, func(p *load.Params) { p.Bad, p.Duplicate, p.Late = 300, 500, 300 })
			l.until(10_000)
			w.awaitAction(s, "archive")
			l.finish()
			result := w.verdict(s)
			w.mustHold(result)
			if result.DLQ == 0 || result.DuplicatesSent == 0 || result.Commits < 2 || result.BaseRows == 0 {
				t.Errorf("the run did not exercise what it should: %+v", result)
			}
		})
	}
}

// A clean stop and start of each service under load loses and doubles nothing.
func TestRestartOfEachService(t *testing.T) {
	for kind, start := range kinds {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t)
			s := start(w)
			l := w.send(s, 1500, nil)
			for _, service := range stack.Services {
				l.until(1500)
				w.check(s.Halt(service))
				w.again(s, service)
			}
			l.until(1500)
			l.finish()
			w.mustHold(w.verdict(s))
		})
	}
}

// Everything stops; a new stack on the same folder, with other ports, goes on, and the ledgers of both runs hold.
func TestResumeOnTheSameFolder(t *testing.T) {
	w := newWorld(t)
	for run := range 2 {
		embedded, err := stack.StartEmbedded(w.ctx, w.dir+"/state")
		if err != nil {
			t.Fatal(err)
		}
		w.use(embedded.Backends)
		s, err := stack.StartInProcess(w.ctx, w.options(), inprocess.Programs())
		if err != nil {
			t.Fatal(err)
		}
		l := w.send(s, 1500, nil)
		l.until(3000)
		l.finish()
		if run == 1 { // what the first stack left in Kafka uncommitted must be there too
			w.mustHold(w.verdict(s))
		}
		w.check(s.Stop())
		w.check(embedded.Stop())
	}
}
