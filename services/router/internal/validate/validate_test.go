package validate_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/schemas/annotation"
	"github.com/playhead-pipeline/playhead/services/internal/avroscan"
	"github.com/playhead-pipeline/playhead/services/router/internal/eventtest"
	"github.com/playhead-pipeline/playhead/services/router/internal/validate"
)

var limits = validate.Limits{MaxPast: 400 * 24 * time.Hour, MaxFuture: 24 * time.Hour}

type fixture struct {
	checker *validate.Checker
	spans   []avroscan.Span
	encoder *eventtest.Encoder
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	schema := eventtest.Schema(t)
	program, err := avroscan.Compile([]byte(schema), avroscan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	contract, err := annotation.Parse([]byte(schema))
	if err != nil {
		t.Fatal(err)
	}
	checker, err := validate.NewChecker(program, contract)
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{checker: checker, spans: make([]avroscan.Span, len(program.Slots())), encoder: eventtest.NewEncoder(t, schema)}
}

func (f *fixture) check(body []byte) error {
	if err := f.checker.Scan(body, f.spans); err != nil {
		return err
	}
	return f.checker.Check(body, f.spans, eventtest.ReceivedAt.UnixMicro(), limits)
}

func cause(err error) validate.Cause {
	if v, ok := errors.AsType[*validate.Violation](err); ok {
		return v.Cause
	}
	if err != nil {
		return "not a violation: " + validate.Cause(err.Error())
	}
	return ""
}

func TestFields(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	at := eventtest.ReceivedAt
	for name, tc := range map[string]struct {
		field string
		value any
		want  validate.Cause
	}{
		"good":                         {"cdn", "cdn-b", ""},
		"longest key":                  {"event_id", strings.Repeat("ä", 256), ""},
		"key too long":                 {"event_id", strings.Repeat("a", 257), validate.InvalidKey},
		"empty key":                    {"session_id", "", validate.InvalidKey},
		"comma":                        {"session_id", "a,b", validate.InvalidKey},
		"control character":            {"session_id", "a\tb", validate.InvalidKey},
		"control character DEL":        {"session_id", "a\x7f", validate.InvalidKey},
		"control character beyond C0":  {"event_id", "a\u0085b", validate.InvalidKey},
		"key that is not UTF-8":        {"session_id", "a\xff", validate.InvalidUTF8},
		"oldest time":                  {"event_time", at.Add(-limits.MaxPast).UnixMicro(), ""},
		"too old":                      {"event_time", at.Add(-limits.MaxPast).UnixMicro() - 1, validate.InvalidTime},
		"latest time":                  {"event_time", at.Add(limits.MaxFuture).UnixMicro(), ""},
		"too far in the future":        {"event_time", at.Add(limits.MaxFuture).UnixMicro() + 1, validate.InvalidTime},
		"time at the end of the range": {"event_time", int64(math.MaxInt64), validate.InvalidTime},
	} {
		event := eventtest.Event(1)
		event[tc.field] = tc.value
		err := f.check(f.encoder.Body(t, event))
		if got := cause(err); got != tc.want {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
			continue
		}
		if v, ok := errors.AsType[*validate.Violation](err); ok && v.Path != tc.field {
			t.Errorf("%s: path %q, want %q", name, v.Path, tc.field)
		}
	}
}

func TestDamagedBodies(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	body := f.encoder.Body(t, eventtest.Event(1))
	for n := range body {
		if err := f.check(body[:n]); cause(err) == "" {
			t.Fatalf("took a body cut off after %d bytes", n)
		}
	}
	if err := f.check(append(body[:len(body):len(body)], 0)); cause(err) != validate.TrailingBytes {
		t.Errorf("one byte too many: %v", err)
	}
}

func TestFrame(t *testing.T) {
	t.Parallel()
	id, body, err := validate.Frame(append(validate.AppendFrame(nil, 70_000), "body"...))
	if id != 70_000 || string(body) != "body" || err != nil {
		t.Errorf("got %d, %q, %v", id, body, err)
	}
	for _, bad := range []string{"", "\x00\x00\x00\x00", "\x01\x00\x00\x00\x01", "{}", "\x00\xff\xff\xff\xff"} {
		if _, _, err := validate.Frame([]byte(bad)); cause(err) != validate.MalformedFrame {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzCheck(f *testing.F) {
	fx := newFixture(f)
	f.Add(fx.encoder.Body(f, eventtest.Event(1)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		err := fx.check(body)
		if err == nil {
			// Whatever passes has its key fields.
			for _, slot := range []int{fx.checker.EventID, fx.checker.SessionID} {
				if key := validate.Key(body, fx.spans[slot]); len(key) == 0 || strings.ContainsAny(string(key), ",\n\x00") {
					t.Errorf("passed with key %q", key)
				}
			}
			return
		}
		if _, ok := errors.AsType[*validate.Violation](err); !ok {
			t.Errorf("refused by %T", err)
		}
	})
}
