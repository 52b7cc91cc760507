package frame

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func events(m Message, data []byte) []string {
	out := make([]string, 0, len(m.Events))
	for _, s := range m.Events {
		out = append(out, string(s.Bytes(data)))
	}
	return out
}

func TestJSON(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, data string
		previous   uint64
		events     []string
		code       string
	}{
		{name: "plain", data: `{"seq":1,"schema":"s","events":[{"a":1},{"b":[1,2,{}]}]}`, events: []string{`{"a":1}`, `{"b":[1,2,{}]}`}},
		{name: "space and order", data: " {\n\"events\" : [ {\"a\":1} , 2 ] ,\t\"schema\":\"s\", \"seq\" : 8 }\r\n", previous: 7, events: []string{`{"a":1}`, `2`}},
		{name: "any value is an event", data: `{"seq":1,"schema":"s","events":[null,true,false,"x",-0.5e+3,[],{}]}`, events: []string{"null", "true", "false", `"x"`, "-0.5e+3", "[]", "{}"}},
		{name: "no events", data: `{"seq":1,"schema":"s","events":[]}`, events: []string{}},
		{name: "escapes", data: `{"seq":1,"schema":"s","events":["\"\\\/\b\f\n\r\t\u00fF]"]}`, events: []string{`"\"\\\/\b\f\n\r\t\u00fF]"`}},
		{name: "last seq", data: `{"seq":18446744073709551615,"schema":"s","events":[]}`, previous: 1<<64 - 2, events: []string{}},

		{name: "broken element", data: `{"seq":1,"schema":"s","events":[{"a":1},{"b":},{"c":1}]}`, events: []string{`{"a":1}`, `{"b":},{"c":1}]}`}},
		{name: "broken first element", data: `{"seq":1,"schema":"s","events":[{a:1}]}`, events: []string{`{a:1}]}`}},
		{name: "missing comma", data: `{"seq":1,"schema":"s","events":[{"a":1} {"b":1}]}`, events: []string{`{"a":1}`, `{"b":1}]}`}},
		{name: "trailing comma", data: `{"seq":1,"schema":"s","events":[1,]}`, events: []string{"1", "]}"}},
		{name: "cut in an element", data: `{"seq":1,"schema":"s","events":[1,{"a":"x`, events: []string{"1", `{"a":"x`}},
		{name: "cut after an element", data: `{"seq":1,"schema":"s","events":[1`, events: []string{"1", ""}},
		{name: "cut after a comma", data: `{"seq":1,"schema":"s","events":[1, `, events: []string{"1", ""}},
		{name: "control character", data: "{\"seq\":1,\"schema\":\"s\",\"events\":[\"aaaaaaaaaaa\x01\"]}", events: []string{"\"aaaaaaaaaaa\x01\"]}"}},
		{name: "leading zero", data: `{"seq":1,"schema":"s","events":[01]}`, events: []string{`01]}`}},
		{name: "bad escape", data: `{"seq":1,"schema":"s","events":["\u00g0"]}`, events: []string{`"\u00g0"]}`}},

		{name: "broken element before the schema", data: `{"seq":1,"events":[{"a":}],"schema":"s"}`, code: CodeMalformed},
		{name: "empty", data: ``, code: CodeMalformed},
		{name: "not an object", data: `[1]`, code: CodeMalformed},
		{name: "unknown member", data: `{"seq":1,"schema":"s","events":[],"x":1}`, code: CodeMalformed},
		{name: "member twice", data: `{"seq":1,"seq":1,"schema":"s","events":[]}`, code: CodeMalformed},
		{name: "events twice", data: `{"seq":1,"schema":"s","events":[],"events":[]}`, code: CodeMalformed},
		{name: "trailing bytes", data: `{"seq":1,"schema":"s","events":[]}x`, code: CodeMalformed},
		{name: "events not an array", data: `{"seq":1,"schema":"s","events":{}}`, code: CodeMalformed},
		{name: "events missing", data: `{"seq":1,"schema":"s"}`, code: CodeMalformed},
		{name: "seq missing", data: `{"schema":"s","events":[]}`, code: CodeMalformed},
		{name: "seq as text", data: `{"seq":"1","schema":"s","events":[]}`, code: CodeMalformed},
		{name: "seq as fraction", data: `{"seq":1.0,"schema":"s","events":[]}`, code: CodeMalformed},
		{name: "seq over range", data: `{"seq":18446744073709551616,"schema":"s","events":[]}`, previous: 1<<64 - 1, code: CodeMalformed},
		{name: "schema missing", data: `{"seq":1,"events":[]}`, code: CodeBadSchema},
		{name: "schema empty", data: `{"seq":1,"schema":"","events":[]}`, code: CodeBadSchema},
		{name: "schema with escape", data: `{"seq":1,"schema":"a\u0041","events":[]}`, code: CodeBadSchema},
		{name: "schema not UTF-8", data: "{\"seq\":1,\"schema\":\"a\xff\",\"events\":[]}", code: CodeBadSchema},
		{name: "schema too long", data: `{"seq":1,"schema":"` + strings.Repeat("a", MaxSchemaName+1) + `","events":[]}`, code: CodeBadSchema},
		{name: "seq repeated", data: `{"seq":1,"schema":"s","events":[]}`, previous: 1, code: CodeBadSequence},
		{name: "seq skipped", data: `{"seq":2,"schema":"s","events":[]}`, code: CodeBadSequence},
		{name: "seq zero", data: `{"seq":0,"schema":"s","events":[]}`, code: CodeBadSequence},
		{name: "too many", data: `{"seq":1,"schema":"s","events":[` + strings.Repeat("1,", 20) + `1]}`, code: CodeTooManyEvents},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var m Message
			err := NewDecoder(20).JSON([]byte(test.data), test.previous, &m)
			if got := code(err); got != test.code {
				t.Fatalf("error %v, want code %q", err, test.code)
			}
			if err != nil {
				return
			}
			if m.Seq != test.previous+1 || string(m.Schema) != "s" {
				t.Errorf("seq %d schema %q", m.Seq, m.Schema)
			}
			if got := events(m, []byte(test.data)); strings.Join(got, "|") != strings.Join(test.events, "|") || len(got) != len(test.events) {
				t.Errorf("events %q, want %q", got, test.events)
			}
		})
	}
}

func code(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestJSONDepth(t *testing.T) {
	t.Parallel()
	for _, depth := range []int{1, 63, 64, 65, maxDepth, maxDepth + 1} {
		event := strings.Repeat("[", depth) + strings.Repeat("]", depth)
		data := []byte(`{"seq":1,"schema":"s","events":[` + event + `]}`)
		var m Message
		if err := NewDecoder(10).JSON(data, 0, &m); err != nil {
			t.Fatal(err)
		}
		if whole := string(m.Events[0].Bytes(data)) == event; whole != (depth <= maxDepth) {
			t.Errorf("depth %d: found whole: %v", depth, whole)
		}
	}
}

// TestPlainFindsEveryStop puts each byte at each place of an eight-byte step and compares with the definition.
func TestPlainFindsEveryStop(t *testing.T) {
	t.Parallel()
	for length := range 20 {
		for at := range length {
			for c := range 256 {
				b := bytes.Repeat([]byte{0xe9}, length)
				b[at] = byte(c)
				want := length
				if c == '"' || c == '\\' || c < 0x20 {
					want = at
				}
				if got := plain(b, 0); got != want {
					t.Fatalf("byte %#x at %d of %d: got %d", c, at, length, got)
				}
			}
		}
	}
}

func TestArray(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		` [1, {"a":2}] `: `1|{"a":2}`,
		`[]`:             ``,
		`[1,x]`:          `1|x]`,
		`[1] trailing`:   `1|trailing`,
	} {
		var m Message
		if err := NewDecoder(10).Array([]byte(data), &m); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(events(m, []byte(data)), "|"); got != want {
			t.Errorf("%s: %q, want %q", data, got, want)
		}
	}
	if err := NewDecoder(10).Array([]byte(`{}`), &Message{}); code(err) != CodeMalformed {
		t.Errorf("an object is no array: %v", err)
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	const data = "{\"a\":1}\n\n  {\"a\":2}\r\n \r\n3"
	var m Message
	if err := NewDecoder(3).Lines([]byte(data), &m); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(events(m, []byte(data)), "|"); got != "{\"a\":1}|{\"a\":2}\r|3" {
		t.Errorf("lines %q", got)
	}
	if err := NewDecoder(2).Lines([]byte(data), &m); code(err) != CodeTooManyEvents {
		t.Errorf("too many: %v", err)
	}
}

func TestMember(t *testing.T) {
	t.Parallel()
	const data = ` { "a" : { "x":[1,{"id":0}], "id" : 17 } , "id":"top", "b":[] }`
	for path, want := range map[string]string{"id": `"top"`, "a.id": "17", "b": "[]", "c": "", "a.id.x": "", "b.x": ""} {
		place, ok := NewDecoder(1).Member([]byte(data), strings.Split(path, "."))
		if ok != (want != "") || ok && string(place.Bytes([]byte(data))) != want {
			t.Errorf("%s: %v %q, want %q", path, ok, place.Bytes([]byte(data)), want)
		}
	}
}

func TestAvro(t *testing.T) {
	t.Parallel()
	good := AppendAvro(nil, 3, []byte("one"), nil, bytes.Repeat([]byte("x"), 300))
	var m Message
	if err := NewDecoder(3).Avro(good, 2, &m); err != nil {
		t.Fatal(err)
	}
	if got := events(m, good); m.Seq != 3 || len(got) != 3 || got[0] != "one" || got[1] != "" || len(got[2]) != 300 {
		t.Fatalf("seq %d events %q", m.Seq, got)
	}
	for n := range good {
		if err := NewDecoder(3).Avro(good[:n], 2, &m); code(err) != CodeMalformed {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
	if err := NewDecoder(3).Avro(append(good, 0), 2, &m); code(err) != CodeMalformed {
		t.Errorf("trailing byte: %v", err)
	}
	if err := NewDecoder(3).Avro(good, 3, &m); code(err) != CodeBadSequence {
		t.Errorf("repeated seq: %v", err)
	}
	if err := NewDecoder(2).Avro(good, 2, &m); code(err) != CodeTooManyEvents {
		t.Errorf("too many: %v", err)
	}
	huge := binary.AppendUvarint(binary.AppendUvarint([]byte{3}, 1), 1<<63)
	if err := NewDecoder(3).Avro(huge, 2, &m); code(err) != CodeMalformed {
		t.Errorf("length beyond the message: %v", err)
	}
}

func TestEncode(t *testing.T) {
	t.Parallel()
	hello := AppendHello(nil, Hello{Connection: "c-1", MaxMessageBytes: 10, MaxInFlightBytes: 40, Levels: []string{LevelReplicated}})
	if want := `{"hello":{"connection":"c-1","max_message_bytes":10,"max_in_flight_bytes":40,"levels":["replicated"]}}`; string(hello) != want {
		t.Errorf("hello %s", hello)
	}
	if ack := AppendAck(nil, 17, LevelReplicated, nil); string(ack) != `{"ack":17,"level":"replicated"}` {
		t.Errorf("ack %s", ack)
	}
	ack := AppendAck(nil, 17, LevelReplicated, []Rejection{{17, 3, "TYPE_MISMATCH", "bitrate_kbps"}, {16, 0, "MALFORMED_JSON", ""}})
	want := `{"ack":17,"level":"replicated","rejected":[{"seq":17,"index":3,"cause":"TYPE_MISMATCH","path":"bitrate_kbps"},{"seq":16,"index":0,"cause":"MALFORMED_JSON"}]}`
	if string(ack) != want {
		t.Errorf("ack %s", ack)
	}
}

// FuzzJSON compares with encoding/json: what the decoder calls a whole message is one there too, with the same parts, and the other
// way round; a recovered message is never one that encoding/json accepts.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		`{"seq":1,"schema":"s","events":[{"a":1},{"b":[1,2,{}]}]}`, ` { "events" : [1,"é\u00e9"], "schema":"x", "seq":1 } `,
		`{"seq":1,"schema":"s","events":[{"a":1},{"b":}]}`, `{"seq":1,"schema":"s","events":[1`, `{"seq":01}`, `[]`,
		"{\"seq\":1,\"schema\":\"s\",\"events\":[\"\x80\"]}", `{"seq":1,"schema":"s","events":[-1.5E-9,null,true,false]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var m Message
		err := NewDecoder(1000).JSON(data, 0, &m)
		want, ok := oracle(data)
		if err != nil {
			// Stricter than the oracle only in how a name may be spelt and how many events there may be.
			if ok && code(err) == CodeMalformed {
				t.Fatalf("refused a message: %v", err)
			}
			return
		}
		last := len(m.Events) - 1
		// A whole message has more bytes behind its last event.
		recovered := last >= 0 && int(m.Events[last].Offset+m.Events[last].Length) == len(data)
		for i, s := range m.Events {
			if i < last && !json.Valid(s.Bytes(data)) {
				t.Fatalf("event %d is broken: %q", i, s.Bytes(data))
			}
		}
		if recovered {
			if json.Valid(data) {
				t.Fatalf("recovered a whole message, last event %q", m.Events[last].Bytes(data))
			}
			return
		}
		if !ok {
			t.Fatalf("accepted what is not a message")
		}
		if m.Seq != want.Seq || string(m.Schema) != want.Schema || len(m.Events) != len(want.Events) {
			t.Fatalf("got %d %q %d events, want %+v", m.Seq, m.Schema, len(m.Events), want)
		}
		for i, s := range m.Events {
			if !bytes.Equal(s.Bytes(data), want.Events[i]) {
				t.Fatalf("event %d: %q, want %q", i, s.Bytes(data), want.Events[i])
			}
		}
	})
}

type oracleMessage struct {
	Seq    uint64
	Schema string
	Events []json.RawMessage
}

// oracle reads a message with encoding/json; names exactly as written, each once.
func oracle(data []byte) (m oracleMessage, ok bool) {
	if !json.Valid(data) {
		return m, false
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if start, _ := d.Token(); start != json.Delim('{') {
		return m, false
	}
	seen := map[string]bool{}
	for d.More() {
		at := d.InputOffset()
		name, _ := d.Token()
		key := name.(string)
		if seen[key] || !bytes.Contains(data[at:d.InputOffset()], []byte(`"`+key+`"`)) {
			return m, false
		}
		seen[key] = true
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil || string(raw) == "null" {
			return m, false
		}
		var err error
		switch key {
		case "seq":
			err = json.Unmarshal(raw, &m.Seq)
		case "schema":
			err = json.Unmarshal(raw, &m.Schema)
		case "events":
			err = json.Unmarshal(raw, &m.Events)
		default:
			return m, false
		}
		if err != nil {
			return m, false
		}
	}
	return m, len(seen) == 3
}

// FuzzAvro: what decodes encodes back to a message with the same events.
func FuzzAvro(f *testing.F) {
	f.Add(AppendAvro(nil, 1, []byte("a"), []byte("bc")))
	f.Add([]byte{1, 0})
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		d := NewDecoder(1000)
		var m, again Message
		if err := d.Avro(data, 0, &m); err != nil {
			return
		}
		parts := make([][]byte, 0, len(m.Events))
		for _, s := range m.Events {
			parts = append(parts, s.Bytes(data))
		}
		encoded := AppendAvro(nil, m.Seq, parts...)
		if err := d.Avro(encoded, 0, &again); err != nil || len(again.Events) != len(parts) {
			t.Fatalf("decode what was encoded: %v, %d events", err, len(again.Events))
		}
		for i, s := range again.Events {
			if !bytes.Equal(s.Bytes(encoded), parts[i]) {
				t.Fatalf("event %d differs", i)
			}
		}
	})
}

// FuzzAck: every ack is JSON, whatever the path holds.
func FuzzAck(f *testing.F) {
	f.Add("TYPE_MISMATCH", "tags[\"\xff\n]")
	f.Fuzz(func(t *testing.T, cause, path string) {
		ack := AppendAck(nil, 1, LevelReplicated, []Rejection{{1, 2, cause, path}})
		var got struct {
			Rejected []struct{ Cause, Path string }
		}
		if err := json.Unmarshal(ack, &got); err != nil {
			t.Fatalf("%v: %s", err, ack)
		}
		if want := strings.ToValidUTF8(path, "\ufffd"); len([]rune(got.Rejected[0].Path)) != len([]rune(path)) && got.Rejected[0].Path != want {
			t.Fatalf("path %q, want %q", got.Rejected[0].Path, want)
		}
	})
}

func benchmarkMessage() []byte {
	const event = `{"event_id":"01J8ZC4Q8T7K0N5V3X2Y1W9R6M","session_id":"9f1c2d3e-4b5a-6978-8a9b-acbdcedf0011","event_type":"heartbeat","event_time":1795471800000000,"sequence":42,"position_ms":123456,"bitrate_kbps":4500,"cdn":"edge-7","country":"DE","device":{"type":"tv","model":"X-900","os":"tvos","os_version":"18.1"},"drm":null}`
	return []byte(`{"seq":1,"schema":"playback-event","events":[` + strings.Repeat(event+",", 99) + event + `]}`)
}

func BenchmarkJSON(b *testing.B) {
	data := benchmarkMessage()
	d := NewDecoder(1000)
	var m Message
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if err := d.JSON(data, 0, &m); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/event")
}

func BenchmarkAvro(b *testing.B) {
	parts := make([][]byte, 100)
	for i := range parts {
		parts[i] = bytes.Repeat([]byte{1}, 300)
	}
	data := AppendAvro(nil, 1, parts...)
	d := NewDecoder(1000)
	var m Message
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Avro(data, 0, &m); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/event")
}

func TestWarmDecodeDoesNotAllocate(t *testing.T) {
	data := benchmarkMessage()
	d := NewDecoder(1000)
	var m Message
	if err := d.JSON(data, 0, &m); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(10, func() { _ = d.JSON(data, 0, &m) }); n != 0 {
		t.Errorf("%v allocations a message", n)
	}
}
