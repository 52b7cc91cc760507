package avroscan_test

import (
	"os"
	"strings"
	"testing"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/services/internal/avroscan"
)

// oracle is hamba without its unbounded allocations. It knows blocks of any length as one, and no logical types, since the
// raw values are what is compared.
var oracle = avro.Config{
	BlockLength: 1 << 20, DisableBlockSizeHeader: true, MaxByteSliceSize: 1 << 20, MaxSliceAllocSize: 1 << 20,
}.Freeze()

func eventSchema(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/event.avsc")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func oracleSchema(t testing.TB, text string) avro.Schema {
	t.Helper()
	s, err := avro.ParseWithCache(strings.ReplaceAll(text, `"logicalType"`, `"notLogicalType"`), "", &avro.SchemaCache{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func compile(t testing.TB, text string) *avroscan.Program {
	t.Helper()
	p, err := avroscan.Compile([]byte(text), avroscan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func union(branch string, v any) map[string]any { return map[string]any{branch: v} }

// event is a realistic heartbeat; full sets every optional field too.
func event(full bool) map[string]any {
	e := map[string]any{
		"event_id": "01926c1e-5a7c-7d42-9f3b-6a1f2c9e8d70", "session_id": "01926c1e-2b11-7c08-8a45-0b7d3f1e6c55",
		"event_type": "heartbeat", "event_time": int64(1_795_348_801_123_456), "session_start": int64(1_795_345_201_000_000),
		"sequence": int64(118), "tenant": nil, "source": nil, "received_at": nil,
		"account_id": "acct-7716023", "profile_id": union("string", "prof-2"), "device_id": "dev-5b1c9a04e7f2",
		"device": map[string]any{
			"type": "tv", "model": union("string", "QN65S95D"), "os": "tizen", "os_version": union("string", "8.0"),
		},
		"title_id": "title-883120", "position_ms": int64(1_284_500), "bitrate_kbps": union("int", 7800), "buffer_ms": union("int", 24_300),
		"cdn": union("string", "edge-one"), "country": union("string", "SE"), "app_version": "7.41.2", "ip": union("string", "203.0.113.77"),
		"network_type": union("string", "ethernet"), "drm": union("string", "widevine"), "playback_rate": union("double", 1.0),
		"price": nil, "error": nil, "tags": map[string]any{"row": "continue"}, "audio_tracks": []any{"sv", "en"},
		"experiment_cells": []any{map[string]any{"name": "abr-v3", "cell": 2}}, "email": nil,
	}
	if full {
		e["tenant"], e["source"] = union("string", "acme"), union("string", "player-web")
		e["received_at"] = union("long", int64(1_795_348_801_200_000))
		e["price"] = union("playhead.playback.Price", [8]byte{7: 42})
		e["error"] = union("playhead.playback.PlaybackError", map[string]any{
			"code": "E_DRM_71", "message": union("string", "licence refusée"), "fatal": true,
		})
		e["audio_tracks"] = []any{"sv", "en", "fi", "日本語"}
		e["email"] = union("string", "someone@example.org")
	}
	return e
}

func encode(t testing.TB, schema avro.Schema, v any) []byte {
	t.Helper()
	body, err := oracle.Marshal(schema, v)
	if err != nil {
		t.Fatal(err)
	}
	return body
}
