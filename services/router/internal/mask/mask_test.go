package mask_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/schemas/annotation"
	"github.com/playhead-pipeline/playhead/services/internal/avroscan"
	"github.com/playhead-pipeline/playhead/services/router/internal/eventtest"
	"github.com/playhead-pipeline/playhead/services/router/internal/mask"
)

var secret = bytes.Repeat([]byte("k"), mask.MinKeyBytes)

type fixture struct {
	program *avroscan.Program
	plan    *mask.Plan
	encoder *eventtest.Encoder
	masker  *mask.Masker
	facts   mask.Facts
}

func newFixture(t testing.TB, schema string) *fixture {
	t.Helper()
	program, err := avroscan.Compile([]byte(schema), avroscan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	contract, err := annotation.Parse([]byte(schema))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := mask.Compile(program, contract)
	if err != nil {
		t.Fatal(err)
	}
	key, err := mask.NewKey("k1", secret)
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{
		program: program, plan: plan, encoder: eventtest.NewEncoder(t, schema), masker: key.Masker(),
		facts: mask.Facts{ReceivedAtMicros: eventtest.ReceivedAt.UnixMicro(), Source: "client", Tenant: "acme"},
	}
}

func (f *fixture) mask(t testing.TB, body []byte) ([]byte, error) {
	t.Helper()
	spans := make([]avroscan.Span, len(f.program.Slots()))
	if err := f.program.Scan(body, spans); err != nil {
		t.Fatal(err)
	}
	out, err := f.masker.Append([]byte("prefix"), f.plan, body, spans, &f.facts)
	if !bytes.HasPrefix(out, []byte("prefix")) {
		t.Fatalf("the output does not begin with what was there before: %q", out)
	}
	return out[len("prefix"):], err
}

func pseudonymOf(tenant, path, value string) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(tenant + "\x00" + path + "\x00" + value))
	return "k1." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func TestNoPersonalValueLeaves(t *testing.T) {
	t.Parallel()
	f := newFixture(t, eventtest.Schema(t))
	body := f.encoder.Body(t, eventtest.Event(1))
	out, err := f.mask(t, body)
	if err != nil {
		t.Fatal(err)
	}
	for _, canary := range eventtest.Canaries {
		if !bytes.Contains(body, []byte(canary)) {
			t.Errorf("the event does not hold the canary %q", canary)
		}
		if bytes.Contains(out, []byte(canary)) {
			t.Errorf("the output holds the personal value %q", canary)
		}
	}
	got := f.encoder.Decode(t, out)
	for field, want := range map[string]any{
		"account_id": pseudonymOf("acme", "account_id", "acct-CANARY-1"),
		"profile_id": pseudonymOf("acme", "profile_id", "prof-CANARY-2"),
		"device_id":  pseudonymOf("acme", "device_id", "dev-CANARY-3"),
		"ip":         "203.0.113.0",
		"email":      nil,
		"tenant":     "acme",
		"source":     "client",
		"title_id":   "title-7",
	} {
		v := got[field]
		if m, ok := v.(map[string]any); ok {
			v = m["string"]
		}
		if v != want {
			t.Errorf("%s = %v, want %v", field, v, want)
		}
	}
	fault, _ := got["error"].(map[string]any)
	if inner, ok := fault["playhead.playback.PlaybackError"].(map[string]any); ok {
		fault = inner
	}
	if fault["message"] != nil || fault["code"] != "E42" {
		t.Errorf("error = %v, want the message dropped and the code kept", fault)
	}
	received, _ := got["received_at"].(map[string]any)
	if at, ok := received["long.timestamp-micros"].(time.Time); !ok || !at.Equal(eventtest.ReceivedAt) {
		if at, ok := got["received_at"].(time.Time); !ok || !at.Equal(eventtest.ReceivedAt) {
			t.Errorf("received_at = %v, want %v", got["received_at"], eventtest.ReceivedAt)
		}
	}
	// Masking does not depend on what the masker did before.
	again, err := f.mask(t, body)
	if err != nil || !bytes.Equal(again, out) {
		t.Errorf("the same event masks to other bytes the second time (error %v)", err)
	}
}

func TestAbsentValuesStayAbsent(t *testing.T) {
	t.Parallel()
	f := newFixture(t, eventtest.Schema(t))
	event := eventtest.Event(1)
	for _, field := range []string{"profile_id", "ip", "error", "email"} {
		event[field] = nil
	}
	out, err := f.mask(t, f.encoder.Body(t, event))
	if err != nil {
		t.Fatal(err)
	}
	got := f.encoder.Decode(t, out)
	for _, field := range []string{"profile_id", "ip", "error", "email"} {
		if got[field] != nil {
			t.Errorf("%s = %v, want null", field, got[field])
		}
	}
}

func TestTenantIsBoundIntoPseudonyms(t *testing.T) {
	t.Parallel()
	f := newFixture(t, eventtest.Schema(t))
	body := f.encoder.Body(t, eventtest.Event(1))
	one, err := f.mask(t, body)
	if err != nil {
		t.Fatal(err)
	}
	f.facts.Tenant = "umbr"
	two, err := f.mask(t, body)
	if err != nil {
		t.Fatal(err)
	}
	if f.encoder.Decode(t, one)["account_id"] == f.encoder.Decode(t, two)["account_id"] {
		t.Error("two tenants have the same pseudonym for the same account")
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	f := newFixture(t, eventtest.Schema(t))
	for in, want := range map[string]string{
		"192.0.2.255":                "192.0.2.0",
		"0.0.0.0":                    "0.0.0.0",
		"2001:db8:1:2:3:4:5:6":       "2001:db8:1::",
		"2001:DB8:0001::1":           "2001:db8:1::",
		"::ffff:192.0.2.9":           "192.0.2.0",
		"fe80::1%eth0":               "fe80::",
		"":                           "",
		"192.0.2":                    "",
		"192.0.2.256":                "",
		"192.0.2.01":                 "",
		"192.0.2.1.5":                "",
		"not an address CANARY-IP":   "",
		strings.Repeat("1", 100_000): "",
	} {
		event := eventtest.Event(1)
		event["ip"] = in
		out, err := f.mask(t, f.encoder.Body(t, event))
		if want == "" {
			e, ok := errors.AsType[*mask.Error](err)
			if !ok || e.Path != "ip" || strings.Contains(err.Error(), "CANARY") {
				t.Errorf("%.30q: got error %v, want one about field ip that does not quote it", in, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		got := f.encoder.Decode(t, out)["ip"]
		if m, ok := got.(map[string]any); ok {
			got = m["string"]
		}
		if got != want {
			t.Errorf("%q became %v, want %q", in, got, want)
		}
	}
}

const minimal = `{"type":"record","name":"E","fields":[
	{"name":"event_id","type":"string","playhead.role":"event_id","playhead.pii":"none"},
	{"name":"session_id","type":"string","playhead.role":"session_id","playhead.pii":"none"},
	{"name":"event_time","type":{"type":"long","logicalType":"timestamp-micros"},"playhead.role":"event_time"}%s]}`

func TestRefusesContractsItCannotKeep(t *testing.T) {
	t.Parallel()
	for name, field := range map[string]string{
		"pseudonym in an array": `{"name":"a","type":{"type":"array","items":{"type":"record","name":"I","fields":[{"name":"x","type":"string","playhead.pii":"pseudonym"}]}}}`,
		"pseudonym of a map":    `{"name":"a","type":{"type":"map","values":"string"},"playhead.pii":"pseudonym"}`,
		"address in a map":      `{"name":"a","type":{"type":"map","values":"string"},"playhead.pii":"ip"}`,
	} {
		schema := strings.Replace(minimal, "%s", ","+field, 1)
		program, err := avroscan.Compile([]byte(schema), avroscan.Options{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		contract, err := annotation.Parse([]byte(schema))
		if err != nil {
			continue // refused earlier is refused too
		}
		if _, err := mask.Compile(program, contract); err == nil {
			t.Errorf("%s: compiled", name)
		}
	}
}

func TestDropOfNotNullable(t *testing.T) {
	t.Parallel()
	f := newFixture(t, strings.Replace(minimal, "%s", `,{"name":"a","type":"string","default":"gone","playhead.pii":"drop"},
		{"name":"b","type":{"type":"array","items":"string"},"default":[],"playhead.pii":"drop"},
		{"name":"c","type":"int"}`, 1))
	body := f.encoder.Body(t, map[string]any{
		"event_id": "e", "session_id": "s", "event_time": int64(5), "a": "CANARY", "b": []any{"CANARY", "CANARY"}, "c": 7,
	})
	out, err := f.mask(t, body)
	if err != nil {
		t.Fatal(err)
	}
	got := f.encoder.Decode(t, out)
	if items, _ := got["b"].([]any); got["a"] != "gone" || len(items) != 0 || got["c"] != 7 || bytes.Contains(out, []byte("CANARY")) {
		t.Errorf("got %v, want the defaults", got)
	}
}

func TestKeysMustBeStrong(t *testing.T) {
	t.Parallel()
	if _, err := mask.NewKey("k1", secret[:mask.MinKeyBytes-1]); err == nil {
		t.Error("a short key was taken")
	}
	if _, err := mask.NewKey("", secret); err == nil {
		t.Error("a key without an id was taken")
	}
}

// FuzzAddress: whatever the text, the output is the network of the address that the standard library reads, or an error.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{"1.2.3.4", "::1", "1.2.3.04", "255.255.255.255", "1..2.3", "a.b.c.d", "::ffff:1.2.3.4", "fe80::1%x"} {
		f.Add(s)
	}
	fx := newFixture(f, eventtest.Schema(f))
	event := eventtest.Event(1)
	f.Fuzz(func(t *testing.T, text string) {
		event["ip"] = text
		body := fx.encoder.Body(t, event)
		spans := make([]avroscan.Span, len(fx.program.Slots()))
		if fx.program.Scan(body, spans) != nil {
			t.Skip("not UTF-8")
		}
		out, err := fx.masker.Append(nil, fx.plan, body, spans, &fx.facts)
		addr, parseErr := netip.ParseAddr(text)
		if (err == nil) != (parseErr == nil) {
			t.Fatalf("%q: masking says %v, netip says %v", text, err, parseErr)
		}
		if err != nil {
			return
		}
		addr = addr.WithZone("").Unmap()
		bits := 48
		if addr.Is4() {
			bits = 24
		}
		want, _ := addr.Prefix(bits)
		got := fx.encoder.Decode(t, out)["ip"]
		if m, ok := got.(map[string]any); ok {
			got = m["string"]
		}
		if got != want.Addr().String() {
			t.Errorf("%q became %v, want %s", text, got, want.Addr())
		}
	})
}

func BenchmarkMask(b *testing.B) {
	f := newFixture(b, eventtest.Schema(b))
	body := f.encoder.Body(b, eventtest.Event(1))
	spans := make([]avroscan.Span, len(f.program.Slots()))
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		if err := f.program.Scan(body, spans); err != nil {
			b.Fatal(err)
		}
		var err error
		if out, err = f.masker.Append(out[:0], f.plan, body, spans, &f.facts); err != nil {
			b.Fatal(err)
		}
	}
}
