package rollup

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/playhead-pipeline/playhead/services/internal/avroscan"
)

// Columns of the table of sessions that others need to know.
const (
	ColumnSession = "session_id"
	ColumnDate    = "session_date"
	ColumnHour    = "session_hour"
	// ColumnEvents is the ordering field: each change of a session adds at least one event, so the greater of two rows is the newer.
	ColumnEvents = "events"
	ColumnState  = "rollup_state"
	// ColumnLife is Open or Closed.
	ColumnLife = "state"
)

// column is a column of the table. Values of nullable ones are written as a union with null in front.
type column struct {
	name, avro string
	nullable   bool
}

const micros = `{"type":"long","logicalType":"timestamp-micros"}`

var columns = []column{
	{ColumnSession, `"string"`, false},
	{"session_start", micros, false},
	{ColumnDate, `"string"`, false},
	{ColumnHour, `"string"`, false},
	{ColumnLife, `"string"`, false},
	{"end_reason", `"string"`, true},
	{"last_event_time", micros, false},
	{"last_sequence", `"long"`, false},
	{ColumnEvents, `"long"`, false},
	{"events_after_end", `"long"`, false},
	{"missing_events", `"long"`, false},
	{"gaps_given_up", `"long"`, false},
	{"watch_ms", `"long"`, false},
	{"pause_ms", `"long"`, false},
	{"rebuffer_ms", `"long"`, false},
	{"ad_ms", `"long"`, false},
	{"pauses", `"long"`, false},
	{"seeks", `"long"`, false},
	{"rebuffers", `"long"`, false},
	{"ads", `"long"`, false},
	{"errors", `"long"`, false},
	{"bitrate_avg_kbps", `"double"`, true},
	{"bitrate_changes", `"long"`, false},
	{"last_position_ms", `"long"`, true},
	{"max_position_ms", `"long"`, true},
	{ColumnState, `"bytes"`, false},
}

// TableSchema is the Avro schema of the table of sessions: every column nullable.
func TableSchema() string {
	return schema(func(column) bool { return true })
}

// WriterSchema is the Avro schema of the rows that AppendRow makes.
func WriterSchema() string {
	return schema(func(c column) bool { return c.nullable })
}

func schema(nullable func(column) bool) string {
	var b strings.Builder
	b.WriteString(`{"type":"record","name":"PlaybackSession","namespace":"playhead.playback","fields":[`)
	for i, c := range columns {
		if i > 0 {
			b.WriteByte(',')
		}
		if nullable(c) {
			fmt.Fprintf(&b, `{"name":%q,"type":["null",%s],"default":null}`, c.name, c.avro)
		} else {
			fmt.Fprintf(&b, `{"name":%q,"type":%s}`, c.name, c.avro)
		}
	}
	b.WriteString(`]}`)
	return b.String()
}

// Session is what a state says of a session: the columns of its row. Nothing in it is stored.
type Session struct {
	// Start and LastTime are in microseconds since the Unix epoch. LastTime is that of the last event that counts.
	Start, LastTime int64
	// EndReason is "stop" or "error", empty while the session is open.
	EndReason string
	// LastSequence is the greatest sequence number seen.
	LastSequence int64
	// Events counts distinct events; AfterEnd those of them that come after the end and count nowhere else; Missing the
	// numbers from 0 to LastSequence that were not seen; GapsGivenUp what MaxRuns closed.
	Events, AfterEnd, Missing, GapsGivenUp int64
	// The next four are in microseconds.
	Watch, Pause, Rebuffer, Ad            int64
	Pauses, Seeks, Rebuffers, Ads, Errors int64
	BitrateChanges                        int64
	BitrateKnown                          bool
	BitrateAverage                        float64 // kilobits per second, over the time watched at a known bitrate
	PositionKnown                         bool
	LastPosition, MaxPosition             int64 // milliseconds
}

// Session computes the session from what is known so far. The state must not be empty.
func (s *State) Session() Session {
	all := s.total()
	out := Session{
		Start: s.start, LastTime: all.lastTime, LastSequence: all.last,
		Events: all.seen, AfterEnd: all.seen - all.counted, GapsGivenUp: s.givenUp,
		Missing: int64(min(uint64(all.last)-uint64(min(all.first, 0))+1-uint64(all.seen), math.MaxInt64)),
		Pauses:  all.counters.pauses, Seeks: all.counters.seeks, Rebuffers: all.counters.rebuffers,
		Ads: all.counters.ads, Errors: all.counters.errors, BitrateChanges: all.counters.rateChanges,
		PositionKnown: all.position.known, LastPosition: all.position.last, MaxPosition: all.position.max,
	}
	switch all.ended {
	case endedByStop:
		out.EndReason = "stop"
	case endedByError:
		out.EndReason = "error"
	}
	var lit, weighted int64
	for l, t := range all.spent {
		switch level(l).activity() {
		case watching:
			out.Watch = plus(out.Watch, plus(t.dark, t.lit))
			lit, weighted = plus(lit, t.lit), plus(weighted, t.weighted)
		case rebuffering:
			out.Rebuffer = plus(out.Rebuffer, plus(t.dark, t.lit))
		case pausing:
			out.Pause = plus(out.Pause, t.whole)
		case advertising:
			out.Ad = plus(out.Ad, plus(t.dark, t.lit))
		}
	}
	if out.BitrateKnown = lit > 0; out.BitrateKnown {
		out.BitrateAverage = float64(weighted) / float64(lit)
	}
	return out
}

// The values of ColumnLife.
const (
	Open   = "open"
	Closed = "closed"
)

// Life returns Closed for a session that has ended, else Open.
func (s *Session) Life() string {
	if s.EndReason == "" {
		return Open
	}
	return Closed
}

// AppendRow appends the row of a session in Avro, in WriterSchema: encoded is what Append made of the state, which must not be empty.
func (s *State) AppendRow(dst []byte, id string, encoded []byte) []byte {
	v := s.Session()
	hour := HourOf(v.Start)
	dst = avroscan.AppendString(dst, id)
	dst = avroscan.AppendLong(dst, v.Start)
	dst = avroscan.AppendString(dst, hour.date())
	dst = avroscan.AppendString(dst, hour.clock())
	dst = avroscan.AppendString(dst, v.Life())
	if dst = appendPresence(dst, v.EndReason != ""); v.EndReason != "" {
		dst = avroscan.AppendString(dst, v.EndReason)
	}
	for _, n := range [...]int64{
		v.LastTime, v.LastSequence, v.Events, v.AfterEnd, v.Missing, v.GapsGivenUp,
		v.Watch / 1000, v.Pause / 1000, v.Rebuffer / 1000, v.Ad / 1000,
		v.Pauses, v.Seeks, v.Rebuffers, v.Ads, v.Errors,
	} {
		dst = avroscan.AppendLong(dst, n)
	}
	if dst = appendPresence(dst, v.BitrateKnown); v.BitrateKnown {
		dst = avroscan.AppendDouble(dst, v.BitrateAverage)
	}
	dst = avroscan.AppendLong(dst, v.BitrateChanges)
	for _, n := range [...]int64{v.LastPosition, v.MaxPosition} {
		if dst = appendPresence(dst, v.PositionKnown); v.PositionKnown {
			dst = avroscan.AppendLong(dst, n)
		}
	}
	return avroscan.AppendBytes(dst, encoded)
}

// appendPresence appends the union index of a nullable column.
func appendPresence(dst []byte, there bool) []byte {
	if there {
		return avroscan.AppendLong(dst, 1)
	}
	return avroscan.AppendLong(dst, 0)
}

// Hour is an hour of UTC, counted from the Unix epoch: the partition of the sessions that began in it.
type Hour int64

const microsPerHour = int64(time.Hour / time.Microsecond)

// HourOf returns the hour of a time in microseconds since the Unix epoch.
func HourOf(micros int64) Hour {
	h := micros / microsPerHour
	if micros%microsPerHour < 0 {
		h--
	}
	return Hour(h)
}

func (h Hour) time() time.Time { return time.Unix(int64(h)*3600, 0).UTC() }
func (h Hour) date() string    { return h.time().Format("2006-01-02") }
func (h Hour) clock() string   { return h.time().Format("15") }

// Partition returns the path of the hour's partition, hive style.
func (h Hour) Partition() string {
	return ColumnDate + "=" + h.date() + "/" + ColumnHour + "=" + h.clock()
}

// RecordKey returns the record key of a session, by Hudi's complex key generator. The date is part of it for its form alone: the text of a
// key of one field differs between Hudi's releases (with and without the field's name), and Hudi cannot take the bucket's
// hash out of a bare value that holds a colon.
func (h Hour) RecordKey(session string) string {
	return ColumnSession + ":" + session + "," + ColumnDate + ":" + h.date()
}
