// Package eventtest makes playback events for tests, in Avro by an encoder that is not ours and in JSON as players send it.
package eventtest

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/schemas"
)

// Names of the contract.
const (
	Subject = "playback.events-value"
	Topic   = "playback.events"
)

// ReceivedAt is when the events are received.
var ReceivedAt = time.Date(2026, 11, 22, 8, 30, 0, 123456000, time.UTC)

// Schema returns the text of version 1.
func Schema(t testing.TB) string {
	t.Helper()
	versions, err := schemas.Versions(Subject)
	if err != nil {
		t.Fatal(err)
	}
	return versions[0].Text
}

// Canaries are the personal values of Event; none of them may leave the router.
var Canaries = []string{"acct-CANARY-1", "prof-CANARY-2", "dev-CANARY-3", "203.0.113.77", "msg CANARY 4", "CANARY5@example.org"}

// Event is a good event with all kinds of personal data, as JSON members. n makes its id and sequence.
func Event(n int) map[string]any {
	return map[string]any{
		"event_id":         fmt.Sprintf("event-%06d", n),
		"session_id":       fmt.Sprintf("session-%d", n%17),
		"event_type":       "error",
		"event_time":       ReceivedAt.Add(-time.Second).UnixMicro(),
		"session_start":    ReceivedAt.Add(-time.Hour).UnixMicro(),
		"sequence":         n,
		"account_id":       "acct-CANARY-1",
		"profile_id":       "prof-CANARY-2",
		"device_id":        "dev-CANARY-3",
		"device":           map[string]any{"type": "tv", "model": "X900", "os": "TizenOS", "os_version": nil},
		"title_id":         "title-7",
		"position_ms":      123456,
		"bitrate_kbps":     4500,
		"buffer_ms":        nil,
		"cdn":              "cdn-a",
		"country":          "DE",
		"app_version":      "7.1.0",
		"ip":               "203.0.113.77",
		"network_type":     "wifi",
		"drm":              "widevine",
		"playback_rate":    1.25,
		"price":            nil,
		"error":            map[string]any{"code": "E42", "message": "msg CANARY 4", "fatal": false},
		"tags":             map[string]any{"ab": "x"},
		"audio_tracks":     []any{"en", "de"},
		"experiment_cells": []any{map[string]any{"name": "exp", "cell": 3}},
		"email":            "CANARY5@example.org",
	}
}

// JSON encodes an event.
func JSON(t testing.TB, event map[string]any) []byte {
	t.Helper()
	out, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Encoder encodes events of one schema.
type Encoder struct{ schema avro.Schema }

// NewEncoder parses a schema.
func NewEncoder(t testing.TB, text string) *Encoder {
	t.Helper()
	s, err := avro.ParseWithCache(text, "", &avro.SchemaCache{})
	if err != nil {
		t.Fatal(err)
	}
	return &Encoder{schema: s}
}

// Body encodes an event in Avro binary.
func (e *Encoder) Body(t testing.TB, event map[string]any) []byte {
	t.Helper()
	out, err := avro.Marshal(e.schema, native(e.schema, event))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Framed encodes an event with the prefix of its schema id.
func (e *Encoder) Framed(t testing.TB, id int, event map[string]any) []byte {
	t.Helper()
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(id)), e.Body(t, event)...)
}

// Decode reads an event back.
func (e *Encoder) Decode(t testing.TB, body []byte) map[string]any {
	t.Helper()
	var out map[string]any
	if err := avro.Unmarshal(e.schema, body, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// native turns JSON-like values into those that the encoder wants.
func native(s avro.Schema, v any) any {
	switch s := s.(type) {
	case *avro.RecordSchema:
		out := make(map[string]any)
		members, _ := v.(map[string]any)
		for _, f := range s.Fields() {
			out[f.Name()] = native(f.Type(), members[f.Name()])
		}
		return out
	case *avro.UnionSchema:
		if v == nil {
			return nil
		}
		for _, branch := range s.Types() {
			if branch.Type() == avro.Null {
				continue
			}
			return map[string]any{branchName(branch): native(branch, v)}
		}
	case *avro.ArraySchema:
		out := []any{}
		items, _ := v.([]any)
		for _, item := range items {
			out = append(out, native(s.Items(), item))
		}
		return out
	case *avro.MapSchema:
		out := make(map[string]any)
		members, _ := v.(map[string]any)
		for k, m := range members {
			out[k] = native(s.Values(), m)
		}
		return out
	case *avro.PrimitiveSchema:
		if n, ok := v.(int); ok && s.Type() == avro.Long {
			v = int64(n)
		}
		if n, ok := v.(int64); ok && s.Logical() != nil {
			return time.UnixMicro(n).UTC()
		}
	}
	return v
}

func branchName(s avro.Schema) string {
	name := string(s.Type())
	if named, ok := s.(avro.NamedSchema); ok {
		name = named.FullName()
	}
	if l, ok := s.(avro.LogicalTypeSchema); ok && l.Logical() != nil {
		name += "." + string(l.Logical().Type())
	}
	return name
}
