package deadletter_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/playhead-pipeline/playhead/services/router/internal/deadletter"
	"github.com/playhead-pipeline/playhead/services/router/internal/record"
	"github.com/playhead-pipeline/playhead/services/router/internal/validate"
)

func headers(r record.Record) map[string]string {
	out := make(map[string]string)
	for _, h := range r.Headers {
		out[h.Key] = string(h.Value)
	}
	return out
}

func letter(original string) *deadletter.Letter {
	return &deadletter.Letter{
		Original:  []byte(original),
		Violation: &validate.Violation{Cause: validate.TypeMismatch, Path: "a.b", Detail: "why"},
		Tenant:    "acme", Source: "client", Schema: "playback-event", Encoding: "json", ReceivedAtMicros: 1_700_000_000_123_456, EventID: "e1",
	}
}

func TestRecordHoldsEverything(t *testing.T) {
	t.Parallel()
	r := letter("{bad").Record(8, 5)
	want := map[string]string{
		"playhead.cause": "TYPE_MISMATCH", "playhead.path": "a.b", "playhead.detail": "why", "playhead.tenant": "acme", "playhead.source": "client",
		"playhead.schema": "playback-event", "playhead.encoding": "json", "playhead.received_at": "1700000000123456", "playhead.attempt": "1",
		"playhead.event_id": "e1",
	}
	got := headers(r)
	for k, v := range want {
		if got[k] != v {
			t.Errorf("header %s = %q, want %q", k, got[k], v)
		}
	}
	if len(got) != len(want) || string(r.Value) != "{bad" || r.Key != nil || r.Tag != 5 || r.Millis != 1_700_000_000_123 || r.Partition >= 8 {
		t.Errorf("got %+v", r)
	}
	if again := letter("{bad").Record(8, 6); again.Partition != r.Partition {
		t.Error("the same bytes go to another partition")
	}
}

func TestTruncatedNamesTheWhole(t *testing.T) {
	t.Parallel()
	original := strings.Repeat("x", 3*deadletter.TruncatedBytes)
	r := letter(original).Truncated(1, 0)
	sum := sha256.Sum256([]byte(original))
	got := headers(r)
	if !bytes.Equal(r.Value, []byte(original)[:deadletter.TruncatedBytes]) || got["playhead.original_bytes"] != "196608" ||
		got["playhead.original_sha256"] != hex.EncodeToString(sum[:]) {
		t.Errorf("got %d bytes and headers %v", len(r.Value), got)
	}
}

func TestHeadersAreBounded(t *testing.T) {
	t.Parallel()
	l := letter("x")
	l.Violation.Path = strings.Repeat("ä", 1000)
	path := headers(l.Record(1, 0))["playhead.path"]
	if len(path) > 256 || !utf8.ValidString(path) {
		t.Errorf("a header of %d bytes, valid UTF-8: %t", len(path), utf8.ValidString(path))
	}
}
