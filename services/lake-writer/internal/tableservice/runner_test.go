package tableservice

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeTable is a table of two partitions whose services take time.
type fakeTable struct {
	mu        sync.Mutex
	logs      map[string]int // by partition
	runs      []string       // what ran, in order
	fail      error          // of the next call
	undecided bool
	unshown   bool
}

func (f *fakeTable) note(what string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.runs = append(f.runs, what)
	err := f.fail
	f.fail = nil
	return err
}

// set changes the table between two calls.
func (f *fakeTable) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fakeTable) ran() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.runs)
}

func (f *fakeTable) PlanCompaction(context.Context, hudi.CompactOptions) ([]hudi.CompactionGroup, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var groups []hudi.CompactionGroup
	for _, p := range []string{"hour=2", "hour=1"} {
		if n := f.logs[p]; n > 0 {
			groups = append(groups, hudi.CompactionGroup{Partition: p, FileID: "a", Logs: n, LogBytes: int64(n), BaseBytes: 10})
		}
	}
	return groups, nil
}

func (f *fakeTable) Compact(_ context.Context, o hudi.CompactOptions) (*hudi.CommitResult, error) {
	time.Sleep(time.Second)
	if err := f.note("compact " + o.Partitions[0]); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logs[o.Partitions[0][:len(o.Partitions[0])-1]] = 0
	if f.undecided {
		return nil, hudi.ErrUnknownOutcome
	}
	return &hudi.CommitResult{Instant: "1", Projected: !f.unshown}, nil
}

func (f *fakeTable) Clean(context.Context, hudi.CleanOptions) (*hudi.CleanResult, error) {
	return &hudi.CleanResult{Files: []string{"a", "b"}, Bytes: 2, Instant: "2"}, f.note("clean")
}

func (f *fakeTable) Archive(context.Context, hudi.ArchiveOptions) (*hudi.ArchiveResult, error) {
	return &hudi.ArchiveResult{}, f.note("archive")
}

func (f *fakeTable) Resolve(context.Context) (*hudi.CommitResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.runs = append(f.runs, "resolve")
	if len(f.runs) < 4 { // not known at once
		return nil, hudi.ErrUnknownOutcome
	}
	f.undecided = false
	return &hudi.CommitResult{Instant: "3", Projected: true}, nil
}

func (f *fakeTable) Redo(context.Context) error { return f.note("redo") }

// bench runs a Runner on a fake table in a bubble with its own clock.
type bench struct {
	*Runner
	table *fakeTable
	stop  func() error
}

func start(t *testing.T, p Policy, table hudi.TableType) *bench {
	t.Helper()
	f := &fakeTable{logs: map[string]int{"hour=1": 2, "hour=2": 3}}
	r := New(Params{Table: "lake.events", Policy: p, Metrics: NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- r.Run(ctx, Target{Writer: f, Type: table, Exclusive: func(_ context.Context, piece func() error) error { return piece() }})
	}()
	synctest.Wait()
	return &bench{Runner: r, table: f, stop: func() error { cancel(); return <-ended }}
}

var hourly = Policy{
	Compaction: CompactionPolicy{Every: time.Hour, StepBytes: 1}, Clean: CleanPolicy{Every: 90 * time.Minute, Commits: 3},
	Archive: ArchivePolicy{Every: 100 * time.Minute, KeepMin: 1, KeepMax: 1}, Share: 0.5,
}

func wantRuns(t *testing.T, b *bench, want ...string) {
	t.Helper()
	if got := b.table.ran(); !slices.Equal(got, want) {
		t.Errorf("ran %q, want %q", got, want)
	}
}

func TestServicesRunWhenDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, hourly, hudi.MergeOnRead)
		time.Sleep(59 * time.Minute)
		wantRuns(t, b)
		time.Sleep(2 * time.Minute)
		wantRuns(t, b, "compact hour=1/", "compact hour=2/") // the oldest partition first
		time.Sleep(45 * time.Minute)
		wantRuns(t, b, "compact hour=1/", "compact hour=2/", "clean", "archive")
		for _, s := range b.Status() {
			if s.Last.IsZero() || s.Due.Before(time.Now()) || s.Running || s.LastError != "" {
				t.Errorf("status %+v", s)
			}
		}
		if err := b.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestCommitsMakeCompactionDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := hourly
		p.Compaction.Commits, p.Compaction.LogBytes = 3, 100
		b := start(t, p, hudi.MergeOnRead)
		b.Committed(1)
		b.Committed(1)
		time.Sleep(time.Minute)
		wantRuns(t, b)
		b.Committed(1)
		time.Sleep(time.Minute)
		wantRuns(t, b, "compact hour=1/", "compact hour=2/")
		b.table.set(func() { b.table.logs["hour=2"] = 1 })
		b.Committed(100)
		time.Sleep(time.Minute)
		wantRuns(t, b, "compact hour=1/", "compact hour=2/", "compact hour=2/")
		_ = b.stop()
	})
}

// TestCompactionLeavesOthersTheirTurn: commits that make a compaction due all the time do not keep clean and archive waiting.
func TestCompactionLeavesOthersTheirTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := hourly
		p.Compaction.Commits = 1
		b := start(t, p, hudi.MergeOnRead)
		for range 2 * 3600 {
			b.table.set(func() { b.table.logs["hour=1"] = 1 })
			b.Committed(1)
			time.Sleep(time.Second)
		}
		if ran := b.table.ran(); !slices.Contains(ran, "clean") || !slices.Contains(ran, "archive") {
			t.Errorf("no clean or no archive among %d runs in two hours", len(ran))
		}
		_ = b.stop()
	})
}

func TestCopyOnWriteIsNeverCompacted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, hourly, hudi.CopyOnWrite)
		time.Sleep(80 * time.Minute)
		wantRuns(t, b)
		if _, err := b.Do(t.Context(), Compaction, false); err == nil {
			t.Error("a copy-on-write table was compacted")
		}
		_ = b.stop()
	})
}

// TestPieceRests: after a piece of a second that may take a third of the time, two seconds of rest follow, unless bytes cost more.
func TestPieceRests(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		share float64
		rate  int64
		want  time.Duration
	}{
		"all of the time": {1, 0, 2 * time.Second},
		"a third":         {1. / 3, 0, 6 * time.Second},
		"by bytes":        {1, 1, 25 * time.Second}, // 12 and 13 of them
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := hourly
				p.Share, p.BytesPerSecond = c.share, c.rate
				b := start(t, p, hudi.MergeOnRead)
				report, err := b.Do(t.Context(), Compaction, false)
				if err != nil || report.Took.Round(time.Second) != c.want || report.Pieces != 2 || report.Groups != 2 || report.LogFiles != 5 || report.Bytes != 25 {
					t.Errorf("%+v, %v; want it to take %v", report, err, c.want)
				}
				_ = b.stop()
			})
		})
	}
}

func TestPauseEndsBetweenPieces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := hourly
		p.Share = 0.1
		b := start(t, p, hudi.MergeOnRead)
		time.Sleep(time.Hour + 5*time.Second) // within the rest after the first piece
		b.Pause(Compaction)
		time.Sleep(time.Hour)
		wantRuns(t, b, "compact hour=1/", "clean", "archive")
		b.Resume(Compaction)
		time.Sleep(time.Minute)
		wantRuns(t, b, "compact hour=1/", "clean", "archive", "compact hour=2/")
		_ = b.stop()
	})
}

func TestFailedServiceComesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, hourly, hudi.MergeOnRead)
		b.table.set(func() { b.table.fail = errors.New("no such luck") })
		time.Sleep(time.Hour + 1500*time.Millisecond)
		if s := b.Status()[0]; s.LastError == "" {
			t.Errorf("status %+v, want the error", s)
		}
		time.Sleep(time.Minute)
		wantRuns(t, b, "compact hour=1/", "compact hour=1/", "compact hour=2/")
		if s := b.Status()[0]; s.LastError != "" {
			t.Errorf("status %+v after the service ran well", s)
		}
		_ = b.stop()
	})
}

// TestUnknownOutcomeIsSettled: a piece does not end before its outcome is known, and is on the timeline.
func TestUnknownOutcomeIsSettled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, hourly, hudi.MergeOnRead)
		b.table.set(func() { b.table.undecided = true })
		report, err := b.Do(t.Context(), Compaction, false)
		if err != nil || report.Pieces != 2 {
			t.Errorf("%+v, %v", report, err)
		}
		wantRuns(t, b, "compact hour=1/", "resolve", "resolve", "resolve", "compact hour=2/")
		b.table.set(func() { b.table.unshown, b.table.logs["hour=1"] = true, 1 })
		if _, err := b.Do(t.Context(), Compaction, false); err != nil {
			t.Error(err)
		}
		if ran := b.table.ran(); ran[len(ran)-1] != "redo" {
			t.Errorf("ran %q, want the piece shown in the end", ran)
		}
		_ = b.stop()
	})
}

func TestFencedRunnerSaysSo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, hourly, hudi.MergeOnRead)
		b.table.set(func() { b.table.fail = hudi.ErrFenced })
		if _, err := b.Do(t.Context(), Clean, false); !errors.Is(err, hudi.ErrFenced) {
			t.Errorf("Do: %v", err)
		}
		if err := b.stop(); !errors.Is(err, hudi.ErrFenced) {
			t.Errorf("Run: %v", err)
		}
		if _, err := b.Do(t.Context(), Clean, false); !errors.Is(err, ErrIdle) {
			t.Errorf("Do without a table: %v", err)
		}
	})
}

func TestAskersEndWithTheTable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := hourly
		p.Share = 0.01
		b := start(t, p, hudi.MergeOnRead)
		errs := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := b.Do(context.Background(), Compaction, false)
				errs <- err
			}()
		}
		time.Sleep(10 * time.Second) // one in its rest, one waiting for it
		_ = b.stop()
		for range 2 {
			if err := <-errs; err == nil {
				t.Error("a run that was cut off succeeded")
			}
		}
	})
}
