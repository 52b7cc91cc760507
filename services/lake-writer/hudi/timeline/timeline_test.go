package timeline_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

func TestInstants(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 4, 44, 34, 6_999_999, time.FixedZone("east", 3600))
	if got := timeline.At(at); got != "20261123034434006" {
		t.Errorf("At = %s", got)
	}
	got, err := timeline.Instant("20261123034434006").Time()
	if want := at.UTC().Truncate(time.Millisecond); err != nil || !got.Equal(want) {
		t.Errorf("Time = %v, %v; want %v", got, err, want)
	}
	old, err := timeline.Instant("20261123034434").Time()
	if err != nil || old.Nanosecond() != 999_000_000 {
		t.Errorf("14 digits: %v, %v", old, err)
	}
	for _, bad := range []string{"", "2026", "2026112303443400", "20261323034434006", "2026112303443400a", "202611230344340066", "+0261123034434006"} {
		if _, err := timeline.ParseInstant(bad); !errors.Is(err, timeline.ErrInstant) {
			t.Errorf("ParseInstant(%q): %v", bad, err)
		}
	}
}

func TestNextRises(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct{ last, want timeline.Instant }{
		{"", "20260101000000000"},
		{"20251231235959999", "20260101000000000"},
		{"20260101000000000", "20260101000000001"},
		{"20991231235959999", "21000101000000000"}, // another writer's clock was ahead
		{"20260101000000", "20260101000000000"},
	} {
		if got := timeline.Next(now, c.last); got != c.want {
			t.Errorf("Next(now, %q) = %s, want %s", c.last, got, c.want)
		}
	}
}

func TestFileNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]timeline.Entry{
		"20261123044434006.commit.requested":       {Instant: "20261123044434006", Action: timeline.Commit, State: timeline.Requested},
		"20261123044434006.inflight":               {Instant: "20261123044434006", Action: timeline.Commit, State: timeline.Inflight},
		"20261123044434006.commit":                 {Instant: "20261123044434006", Action: timeline.Commit, State: timeline.Completed},
		"20261123044434006.deltacommit.inflight":   {Instant: "20261123044434006", Action: timeline.DeltaCommit, State: timeline.Inflight},
		"20261123044434006.compaction.requested":   {Instant: "20261123044434006", Action: timeline.Compaction, State: timeline.Requested},
		"20261123044434006.rollback":               {Instant: "20261123044434006", Action: timeline.Rollback, State: timeline.Completed},
		"20261123044434.savepoint.inflight":        {Instant: "20261123044434", Action: timeline.Savepoint, State: timeline.Inflight},
		"20261123044434006.replacecommit.inflight": {Instant: "20261123044434006", Action: timeline.ReplaceCommit, State: timeline.Inflight},
	} {
		if got, ok := timeline.ParseFileName(name); !ok || got != want || got.FileName() != name {
			t.Errorf("ParseFileName(%q) = %+v, %v", name, got, ok)
		}
	}
	for _, name := range []string{
		"hoodie.properties", "", ".", "20261123044434006", "20261123044434006.", "20261123044434006.commit.inflight",
		"20261123044434006.commit.completed", "20261123044434006.playhead", "20261123044434006.commit.tmp",
		"20261123044434006.compaction", "20269923044434006.commit", "20261123044434006.inflight.requested", "20261123044434006_20261123044434007.commit",
	} {
		if e, ok := timeline.ParseFileName(name); ok {
			t.Errorf("ParseFileName(%q) = %+v", name, e)
		}
	}
}

func TestTimeline(t *testing.T) {
	t.Parallel()
	tl := timeline.New([]string{
		"20260101000000003.commit.requested", "20260101000000003.inflight",
		"20260101000000001.commit", "20260101000000001.inflight", "20260101000000001.commit.requested",
		"20260101000000001.savepoint", "20260101000000001.savepoint.inflight",
		"20260101000000002.compaction.requested", "20260101000000002.compaction.inflight", "20260101000000002.commit",
		"20260101000000004.rollback", "20260101000000004.rollback.inflight", "20260101000000004.rollback.requested",
		"20260101000000005.deltacommit", "notes.txt", "hoodie.properties",
	})
	want := []timeline.Entry{
		{Instant: "20260101000000001", Action: timeline.Commit, State: timeline.Completed},
		{Instant: "20260101000000001", Action: timeline.Savepoint, State: timeline.Completed},
		{Instant: "20260101000000002", Action: timeline.Commit, State: timeline.Completed},
		{Instant: "20260101000000003", Action: timeline.Commit, State: timeline.Inflight},
		{Instant: "20260101000000004", Action: timeline.Rollback, State: timeline.Completed},
		{Instant: "20260101000000005", Action: timeline.DeltaCommit, State: timeline.Completed},
	}
	if got := tl.Entries(); !slices.Equal(got, want) {
		t.Errorf("entries %+v", got)
	}
	if got := tl.Pending(); !slices.Equal(got, want[3:4]) {
		t.Errorf("pending %+v", got)
	}
	if got, want := tl.Commits(), []timeline.Entry{want[0], want[2], want[5]}; !slices.Equal(got, want) {
		t.Errorf("commits %+v", got)
	}
	if tl.Last() != "20260101000000005" || timeline.New(nil).Last() != "" {
		t.Errorf("last %s", tl.Last())
	}
	for i, committed := range map[timeline.Instant]bool{
		"20250101000000000": true, // before the start: archived
		"20260101000000001": true, "20260101000000002": true, "20260101000000005": true,
		"20260101000000003": false, "20260101000000004": false, "20260101000000006": false, "20260101000000000": true,
	} {
		if got := tl.Committed(i); got != committed {
			t.Errorf("Committed(%s) = %v", i, got)
		}
	}
	if timeline.New(nil).Committed("20250101000000000") {
		t.Error("an empty timeline has commits")
	}
	if got := tl.Until("20260101000000002"); len(got.Entries()) != 3 || got.Committed("20260101000000005") {
		t.Errorf("until: %+v", got.Entries())
	}
	if e, ok := tl.Find("20260101000000002", timeline.Compaction); !ok || e.State != timeline.Completed {
		t.Errorf("find: %+v, %v", e, ok)
	}
}

// FuzzParseFileName: a name that parses is the name that is written, and every entry's time is a time of the calendar.
func FuzzParseFileName(f *testing.F) {
	for _, seed := range []string{"20261123044434006.commit", "20261123044434006.inflight", "20261123044434.savepoint.inflight", "hoodie.properties", "2.."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		e, ok := timeline.ParseFileName(name)
		if !ok {
			return
		}
		if e.FileName() != name {
			t.Errorf("%q became %q", name, e.FileName())
		}
		at, err := e.Instant.Time()
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		if next := timeline.Next(time.Time{}.AddDate(1999, 0, 0), e.Instant); next <= e.Instant && at.Year() < 9999 && at.Year() > 0 {
			t.Errorf("next of %s is %s", e.Instant, next)
		}
	})
}
