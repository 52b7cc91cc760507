package interop

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/services/e2e/load"
	"github.com/playhead-pipeline/playhead/services/e2e/model"
)

// truth holds what the table must hold, by event id.
type truth map[string]*load.Event

// newTruth recomputes every event that the ledger says was acked and accepted, masked as the router must have masked it.
func newTruth(ledger *load.Ledger, masking model.Masking) truth {
	t := truth{}
	gen := load.NewGenerator(ledger.Params)
	for source := range ledger.Sources {
		for n := range ledger.Sources[source].Next {
			if gen.Fault(source, n) != load.NoFault || !ledger.Sources[source].Acked.Has(n) {
				continue
			}
			var e load.Event
			gen.Fill(&e, source, n)
			e.Tags = append([]load.Tag(nil), e.Tags...) // Fill hands out shared slices
			masking.Apply(&e)
			t[e.EventID] = &e
		}
	}
	return t
}

func nullable[T any](v load.Nullable[T]) any {
	if !v.Valid {
		return nil
	}
	return v.Value
}

// row returns the columns that the event decides, in the form of engines/canonical.py.
func row(e *load.Event) map[string]any {
	hour := time.UnixMicro(e.EventTime).UTC().Format("2006-01-02 15")
	out := map[string]any{
		"event_id": e.EventID, "session_id": e.SessionID, "event_type": e.EventType, "event_time": e.EventTime,
		"session_start": e.SessionStart, "sequence": e.Sequence, "account_id": e.AccountID, "profile_id": nullable(e.ProfileID),
		"device_id": e.DeviceID, "title_id": e.TitleID, "position_ms": e.PositionMs, "bitrate_kbps": nullable(e.BitrateKbps),
		"buffer_ms": nullable(e.BufferMs), "cdn": nullable(e.CDN), "country": nullable(e.Country), "app_version": e.AppVersion,
		"ip": nullable(e.IP), "network_type": nullable(e.NetworkType), "drm": nullable(e.DRM), "playback_rate": nullable(e.PlaybackRate),
		"email": nullable(e.Email), "cdn_pop": nullable(e.CDNPop), "event_date": hour[:10], "event_hour": hour[11:], "error": nil, "price": nil,
		"device": map[string]any{
			"type": e.Device.Type, "model": nullable(e.Device.Model), "os": e.Device.OS, "os_version": nullable(e.Device.OSVersion),
		},
		"_hoodie_record_key":     "session_id:" + e.SessionID + ",event_id:" + e.EventID,
		"_hoodie_partition_path": "event_date=" + hour[:10] + "/event_hour=" + hour[11:],
		"tenant":                 "default",
		"source":                 "client",
	}
	if e.Price.Valid {
		out["price"] = decimal(e.Price.Value)
	}
	if e.Error.Valid {
		out["error"] = map[string]any{"code": e.Error.Value.Code, "message": nullable(e.Error.Value.Message), "fatal": e.Error.Value.Fatal}
	}
	tags := map[string]any{}
	for _, tag := range e.Tags {
		tags[tag.Key] = tag.Value
	}
	tracks, cells := []any{}, []any{}
	for _, track := range e.AudioTracks {
		tracks = append(tracks, track)
	}
	for _, cell := range e.ExperimentCells {
		cells = append(cells, map[string]any{"name": cell.Name, "cell": cell.Cell})
	}
	out["tags"], out["audio_tracks"], out["experiment_cells"] = tags, tracks, cells
	return out
}

// decimal writes an unscaled decimal(18,4).
func decimal(unscaled int64) string {
	sign := ""
	if unscaled < 0 {
		sign, unscaled = "-", -unscaled
	}
	return fmt.Sprintf("%s%d.%04d", sign, unscaled/10_000, unscaled%10_000)
}

// positional are the columns whose values only the run decides; they are checked for what they must be, not against the truth.
var positional = []string{
	"received_at", "_hoodie_commit_time", "_hoodie_commit_seqno", "_hoodie_file_name",
	"_hoodie_kafka_source_partition", "_hoodie_kafka_source_offset", "_hoodie_kafka_source_timestamp",
}

// position is where Kafka held the row's event.
type position struct {
	partition int32
	offset    int64
}

// engineRow is one row as an engine gave it.
type engineRow struct {
	id       string
	commit   string
	position position
	columns  map[string]any
}

func parseRow(t *testing.T, line string) engineRow {
	t.Helper()
	var columns map[string]any
	decoder := json.NewDecoder(strings.NewReader(line))
	decoder.UseNumber()
	if err := decoder.Decode(&columns); err != nil {
		t.Fatalf("row %q: %v", line, err)
	}
	r := engineRow{columns: columns}
	r.id, _ = columns["event_id"].(string)
	r.commit, _ = columns["_hoodie_commit_time"].(string)
	r.position = position{int32(integer(t, columns, "_hoodie_kafka_source_partition")), integer(t, columns, "_hoodie_kafka_source_offset")}
	return r
}

func integer(t *testing.T, columns map[string]any, name string) int64 {
	t.Helper()
	number, ok := columns[name].(json.Number)
	if !ok {
		t.Fatalf("column %s is %v, want a number", name, columns[name])
	}
	v, err := number.Int64()
	if err != nil {
		t.Fatalf("column %s: %v", name, err)
	}
	return v
}

// compare returns the columns of r that differ from what the event demands, in words.
func compare(r engineRow, e *load.Event) []string {
	var faults []string
	want := row(e)
	for name, value := range want {
		got, ok := r.columns[name]
		if !ok || !equal(got, value) {
			faults = append(faults, fmt.Sprintf("%s is %v, want %v", name, got, value))
		}
	}
	for _, name := range positional {
		if r.columns[name] == nil {
			faults = append(faults, name+" is null")
		}
	}
	if len(r.columns) != len(want)+len(positional) {
		for name := range r.columns {
			if _, ok := want[name]; !ok && !strings.Contains(strings.Join(positional, " "), name) {
				faults = append(faults, "unexpected column "+name)
			}
		}
	}
	return faults
}

// equal compares a decoded JSON value with a value of row.
func equal(got, want any) bool {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok || len(g) != len(w) {
			return false
		}
		for k, v := range w {
			if x, ok := g[k]; !ok || !equal(x, v) {
				return false
			}
		}
		return true
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return false
		}
		for i := range w {
			if !equal(g[i], w[i]) {
				return false
			}
		}
		return true
	case float64:
		n, ok := got.(json.Number)
		if !ok {
			return false
		}
		f, err := n.Float64()
		return err == nil && f == w
	case int32, int64:
		n, ok := got.(json.Number)
		return ok && n.String() == fmt.Sprint(w)
	default:
		return got == want
	}
}
