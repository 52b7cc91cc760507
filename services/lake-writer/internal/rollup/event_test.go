package rollup

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/schemas"
	"github.com/playhead-pipeline/playhead/schemas/annotation"
	"github.com/playhead-pipeline/playhead/services/internal/avroscan"
)

// contract is a schema made ready in every way.
type contract struct {
	schema  avro.Schema
	program *avroscan.Program
	fields  *Fields
	spans   []avroscan.Span
}

func prepare(t testing.TB, text string) (contract, error) {
	t.Helper()
	var c contract
	var err error
	if c.schema, err = avro.ParseWithCache(text, "", &avro.SchemaCache{}); err != nil {
		t.Fatal(err)
	}
	if c.program, err = avroscan.Compile([]byte(text), avroscan.Options{}); err != nil {
		t.Fatal(err)
	}
	c.spans = make([]avroscan.Span, len(c.program.Slots()))
	meaning, err := annotation.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	c.fields, err = Compile(meaning, c.program)
	return c, err
}

// shipped returns the published versions of the playback event.
func shipped(t testing.TB) []contract {
	t.Helper()
	versions, err := schemas.Versions("playback.events-value")
	if err != nil {
		t.Fatal(err)
	}
	var out []contract
	for _, v := range versions {
		c, err := prepare(t, v.Text)
		if err != nil {
			t.Fatalf("version %d: %v", v.Number, err)
		}
		out = append(out, c)
	}
	return out
}

func (c contract) encode(t testing.TB, change map[string]any) []byte {
	t.Helper()
	event := map[string]any{
		"event_id": "e", "session_id": "s-1", "event_type": "heartbeat", "event_time": time.UnixMicro(2_000_000), "session_start": time.UnixMicro(1_000_000),
		"sequence": int64(7), "tenant": nil, "source": nil, "received_at": nil, "account_id": "k.abc", "profile_id": nil, "device_id": "k.def",
		"device": map[string]any{"type": "tv", "model": nil, "os": "os", "os_version": nil}, "title_id": "t", "position_ms": int64(1234),
		"bitrate_kbps": nil, "buffer_ms": nil, "cdn": nil, "country": nil, "app_version": "1", "ip": nil, "network_type": nil, "drm": nil,
		"playback_rate": nil, "price": nil, "error": nil, "tags": map[string]any{}, "audio_tracks": []any{}, "experiment_cells": []any{},
		"email": nil, "cdn_pop": nil,
	}
	for k, v := range change {
		event[k] = v
	}
	body, err := avro.Marshal(c.schema, event)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func (c contract) read(t testing.TB, body []byte) (Event, error) {
	t.Helper()
	if err := c.program.Scan(body, c.spans); err != nil {
		t.Fatal(err)
	}
	return c.fields.Event(body, c.spans)
}

func fault(fatal bool) map[string]any {
	return map[string]any{"playhead.playback.PlaybackError": map[string]any{"code": "E1", "message": nil, "fatal": fatal}}
}

func TestEvent(t *testing.T) {
	t.Parallel()
	plain := Event{Session: []byte("s-1"), Start: 1_000_000, Time: 2_000_000, Sequence: 7, Position: 1234, HasPosition: true, Bitrate: -1}
	for i, c := range shipped(t) {
		for _, test := range []struct {
			name   string
			change map[string]any
			want   func(e *Event)
		}{
			{"plain", nil, func(*Event) {}},
			{"bitrate", map[string]any{"bitrate_kbps": map[string]any{"int": 4500}}, func(e *Event) { e.Bitrate = 4500 }},
			{"negative bitrate", map[string]any{"bitrate_kbps": map[string]any{"int": -4500}}, func(*Event) {}},
			{"error", map[string]any{"event_type": "error", "error": fault(false)}, func(e *Event) { e.Kind, e.Error = Fault, true }},
			{"fatal error", map[string]any{"event_type": "error", "error": fault(true)}, func(e *Event) { e.Kind, e.Error, e.Fatal = Fault, true, true }},
			{"error without a fault", map[string]any{"event_type": "error"}, func(e *Event) { e.Kind, e.Error = Fault, true }},
			{"fault of another type", map[string]any{"error": fault(true)}, func(e *Event) { e.Error, e.Fatal = true, true }},
			{"unknown type", map[string]any{"event_type": "Stop"}, func(*Event) {}},
			{"stop", map[string]any{"event_type": "stop"}, func(e *Event) { e.Kind = Stop }},
		} {
			t.Run(fmt.Sprintf("v%d/%s", i+1, test.name), func(t *testing.T) {
				got, err := c.read(t, c.encode(t, test.change))
				want := plain
				test.want(&want)
				if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("got %+v, %v, want %+v", got, err, want)
				}
			})
		}
	}
}

func TestKinds(t *testing.T) {
	t.Parallel()
	seen := map[Kind]bool{}
	for _, text := range []string{"start", "heartbeat", "pause", "resume", "seek", "buffer_start", "buffer_end", "ad_start", "ad_end", "error", "stop"} {
		seen[kindOf([]byte(text))] = true
	}
	if len(seen) != int(kinds) || kindOf([]byte("bitrate_change")) != Other {
		t.Errorf("%d of %d kinds", len(seen), kinds)
	}
}

func TestEventRefusesStart(t *testing.T) {
	t.Parallel()
	c := shipped(t)[0]
	for _, year := range []int{0, 10000} {
		at := time.Date(year, 12, 31, 23, 59, 59, 0, time.UTC)
		if _, err := c.read(t, c.encode(t, map[string]any{"session_start": at})); !errors.Is(err, ErrStart) {
			t.Errorf("year %d: %v", year, err)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	versions, err := schemas.Versions("playback.events-value")
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"no sequence":       {`, "playhead.role": "sequence"`, ``},
		"nullable sequence": {`{"name": "sequence", "type": "long"`, `{"name": "sequence", "type": ["null", "long"]`},
		"no start":          {`, "playhead.role": "session_start"`, ``},
		"no type":           {`, "playhead.role": "event_type"`, ``},
		"another domain":    {`"playhead.domain": "playback"`, `"playhead.domain": "billing"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(versions[0].Text, change[0], change[1], 1)
			_, err := prepare(t, text)
			if text == versions[0].Text || err == nil || errors.Is(err, ErrDomain) != (name == "another domain") {
				t.Errorf("error is %v", err)
			}
		})
	}
}

// TestOptionalRoles: sessions of a schema without the optional roles have what the others tell.
func TestOptionalRoles(t *testing.T) {
	t.Parallel()
	versions, err := schemas.Versions("playback.events-value")
	if err != nil {
		t.Fatal(err)
	}
	text := versions[0].Text
	for _, role := range []string{"position", "bitrate", "error", "error_fatal"} {
		text = strings.Replace(text, `, "playhead.role": "`+role+`"`, ``, 1)
	}
	c, err := prepare(t, text)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.read(t, c.encode(t, map[string]any{"event_type": "error", "error": fault(true)}))
	if err != nil || got.HasPosition || got.Bitrate != -1 || !got.Error || got.Fatal {
		t.Errorf("event is %+v, %v", got, err)
	}
}
