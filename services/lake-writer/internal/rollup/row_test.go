package rollup

import (
	"fmt"
	"testing"
	"time"

	"github.com/hamba/avro/v2"
)

func decodeRow(t testing.TB, row []byte) map[string]any {
	t.Helper()
	schema, err := avro.ParseWithCache(WriterSchema(), "", &avro.SchemaCache{})
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := avro.Unmarshal(schema, row, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRow(t *testing.T) {
	t.Parallel()
	var s State
	events := numbered(1, 4)
	events[0].Bitrate, events[1].Kind, events[3].Kind = 1500, Pause, Stop
	events[2].HasPosition, events[2].Position = true, 99
	apply(t, &s, events)
	got := decodeRow(t, s.AppendRow(nil, "s-1", s.Append(nil)))
	want := map[string]any{
		"session_id": "s-1", "session_start": time.UnixMicro(late).UTC(), "session_date": "2026-02-28", "session_hour": "23",
		"state": "closed", "end_reason": "stop", "last_event_time": time.UnixMicro(late + 4_000_000).UTC(), "last_sequence": int64(4),
		"events": int64(4), "events_after_end": int64(0), "missing_events": int64(1), "gaps_given_up": int64(0),
		"watch_ms": int64(1000), "pause_ms": int64(2000), "rebuffer_ms": int64(0), "ad_ms": int64(0),
		"pauses": int64(1), "seeks": int64(0), "rebuffers": int64(0), "ads": int64(0), "errors": int64(0),
		"bitrate_avg_kbps": 1500.0, "bitrate_changes": int64(0), "last_position_ms": int64(99), "max_position_ms": int64(99),
		"rollup_state": s.Append(nil),
	}
	if len(got) != len(columns) || len(want) != len(columns) {
		t.Errorf("%d columns, %d wanted, %d declared", len(got), len(want), len(columns))
	}
	for name, w := range want {
		if fmt.Sprint(got[name]) != fmt.Sprint(w) {
			t.Errorf("%s is %v, want %v", name, got[name], w)
		}
	}
	s.Reset()
	apply(t, &s, numbered(0, 0))
	got = decodeRow(t, s.AppendRow(nil, "s-1", s.Append(nil)))
	for _, name := range []string{"end_reason", "bitrate_avg_kbps", "last_position_ms", "max_position_ms"} {
		if v, ok := got[name]; v != nil || !ok {
			t.Errorf("%s is %v, want null", name, v)
		}
	}
}

func TestHour(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		at   time.Time
		want string
	}{
		{time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), "session_date=2026-03-01/session_hour=00"},
		{time.Date(2026, 2, 28, 23, 59, 59, 999_999_000, time.UTC), "session_date=2026-02-28/session_hour=23"},
		{time.UnixMicro(-1), "session_date=1969-12-31/session_hour=23"},
		{time.UnixMicro(minStart), "session_date=0001-01-01/session_hour=00"},
		{time.UnixMicro(endStart - 1), "session_date=9999-12-31/session_hour=23"},
	} {
		if got := HourOf(c.at.UnixMicro()).Partition(); got != c.want {
			t.Errorf("%s is in %s, want %s", c.at, got, c.want)
		}
	}
	if got := HourOf(late).RecordKey("a:b"); got != "session_id:a:b,session_date:2026-02-28" {
		t.Errorf("record key is %s", got)
	}
}
