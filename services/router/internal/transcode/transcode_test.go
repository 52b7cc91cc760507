package transcode_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/playhead-pipeline/playhead/schemas"
	"github.com/playhead-pipeline/playhead/services/internal/avroscan"
	"github.com/playhead-pipeline/playhead/services/router/internal/transcode"
)

func TestGeneratedEventsMatchTheSlowWay(t *testing.T) {
	t.Parallel()
	p, schema := compile(t, wide), oracleSchema(t, wide)
	tc := transcode.New(p.Root(), transcode.Limits{})
	g := generator{rand.New(rand.NewPCG(1, 2))}
	spans := make([]avroscan.Span, len(p.Slots()))
	prefix := []byte("before")
	for range 1000 {
		event := []byte(g.space() + g.record(p.Root()) + g.space())
		got, err := tc.AppendAvro(prefix, event)
		if err != nil {
			t.Fatalf("%s: %v", event, err)
		}
		body, kept := bytes.CutPrefix(got, prefix)
		if want := viaMaps(t, p.Root(), schema, event); !kept || !bytes.Equal(body, want) {
			t.Fatalf("%s\ngives %x\nwant  %x", event, body, want)
		}
		if err := p.Scan(body, spans); err != nil {
			t.Fatalf("%s: %v", event, err)
		}
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	micros := `{"type":"long","logicalType":"timestamp-micros"}`
	tests := map[string]struct {
		typ, json string
		want      []byte
	}{
		"null left out":     {`["null","int"]`, `{}`, []byte{0}},
		"null second":       {`["int","null"]`, `{}`, []byte{2}},
		"null given":        {`["int","null"]`, `{"f":null}`, []byte{2}},
		"plain in union":    {`["null","int"]`, `{"f":5}`, []byte{2, 10}},
		"int range":         {`"int"`, `{"f":-2147483648}`, avroscan.AppendLong(nil, -2147483648)},
		"19 digits":         {`"long"`, `{"f":-9223372036854775808}`, avroscan.AppendLong(nil, -9223372036854775808)},
		"exponent":          {`"long"`, `{"f":922337203685477580.7e1}`, avroscan.AppendLong(nil, 9223372036854775807)},
		"zero, huge":        {`"long"`, `{"f":0.000e-99999999999999999999}`, []byte{0}},
		"millis":            {`{"type":"long","logicalType":"timestamp-millis"}`, `{"f":"1970-01-01T00:00:01.5019Z"}`, avroscan.AppendLong(nil, 1501)},
		"nanos":             {`{"type":"long","logicalType":"timestamp-nanos"}`, `{"f":"1970-01-01T00:00:00.000000007Z"}`, []byte{14}},
		"before 1970":       {micros, `{"f":"1969-12-31T23:59:59.9999999Z"}`, []byte{1}},
		"offset":            {micros, `{"f":"1970-01-01T01:00:00+01:00"}`, []byte{0}},
		"time as a number":  {micros, `{"f":1}`, []byte{2}},
		"many map keys":     {`{"type":"map","values":"int"}`, `{"f":{"b":1,"a":2,"aa":3}}`, []byte{6, 2, 'b', 2, 2, 'a', 4, 4, 'a', 'a', 6, 0}},
		"key in both maps":  {`{"type":"map","values":{"type":"map","values":"int"}}`, `{"f":{"a":{"a":1},"b":{"a":1}}}`, []byte{4, 2, 'a', 2, 2, 'a', 2, 0, 2, 'b', 2, 2, 'a', 2, 0, 0}},
		"least decimal":     {`{"type":"bytes","logicalType":"decimal","precision":3}`, `{"f":-128}`, []byte{2, 0x80}},
		"decimal extension": {`{"type":"fixed","name":"F","size":3,"logicalType":"decimal","precision":3}`, `{"f":"-1"}`, []byte{0xff, 0xff, 0xff}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := compile(t, `{"type":"record","name":"R","fields":[{"name":"f","type":`+test.typ+`}]}`)
			got, err := transcode.New(p.Root(), transcode.Limits{}).AppendAvro(nil, []byte(test.json))
			if err != nil || !bytes.Equal(got, test.want) {
				t.Errorf("got %x, %v, want %x", got, err, test.want)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	const schema = `{"type":"record","name":"R","fields":[
		{"name":"i","type":["null","int"],"default":null},{"name":"l","type":"long","default":0},{"name":"b","type":"boolean","default":false},
		{"name":"s","type":"string","default":""},{"name":"by","type":"bytes","default":""},{"name":"fx","type":["null",{"type":"fixed","name":"FX","size":2}],"default":null},
		{"name":"e","type":{"type":"enum","name":"E","symbols":["A"]},"default":"A"},{"name":"d","type":"double","default":0},{"name":"f","type":"float","default":0},
		{"name":"t","type":{"type":"long","logicalType":"timestamp-micros"},"default":0},{"name":"n","type":{"type":"long","logicalType":"timestamp-nanos"},"default":0},
		{"name":"dec","type":["null",{"type":"fixed","name":"DEC","size":4,"logicalType":"decimal","precision":6,"scale":2}],"default":null},
		{"name":"error","type":["null",{"type":"record","name":"N","fields":[{"name":"code","type":"string"},{"name":"o","type":["null","int"]}]}],"default":null},
		{"name":"list","type":{"type":"array","items":"N"},"default":[]},{"name":"m","type":{"type":"map","values":{"type":"map","values":"int"}},"default":{}},
		{"name":"u","type":["null","int","string"],"default":null}]}`
	tests := []struct {
		json   string
		cause  transcode.Cause
		path   string
		offset int
	}{
		{``, transcode.MalformedJSON, "", 0},
		{` `, transcode.MalformedJSON, "", 1},
		{`[]`, transcode.MalformedJSON, "", 0},
		{`null`, transcode.MalformedJSON, "", 0},
		{`{`, transcode.MalformedJSON, "", 1},
		{`{}x`, transcode.MalformedJSON, "", 2},
		{`{},`, transcode.MalformedJSON, "", 2},
		{`{,}`, transcode.MalformedJSON, "", 1},
		{`{"l":1,}`, transcode.MalformedJSON, "", 7},
		{`{"l":1 "s":""}`, transcode.MalformedJSON, "", 7},
		{`{"l" 1}`, transcode.MalformedJSON, "", 5},
		{`{l:1}`, transcode.MalformedJSON, "", 1},
		{`{"l":}`, transcode.MalformedJSON, "l", 5},
		{`{"l":01}`, transcode.MalformedJSON, "l", 5},
		{`{"l":1.}`, transcode.MalformedJSON, "l", 5},
		{`{"l":.5}`, transcode.MalformedJSON, "l", 5},
		{`{"l":+5}`, transcode.MalformedJSON, "l", 5},
		{`{"l":-}`, transcode.MalformedJSON, "l", 5},
		{`{"l":1e}`, transcode.MalformedJSON, "l", 5},
		{`{"l":NaN}`, transcode.MalformedJSON, "l", 5},
		{`{"b":tru}`, transcode.MalformedJSON, "b", 5},
		{`{"i":nul}`, transcode.MalformedJSON, "i", 5},
		{`{"s":nul}`, transcode.MalformedJSON, "s", 5},
		{`{"s":"a`, transcode.MalformedJSON, "s", 5},
		{`{"s":"a\`, transcode.MalformedJSON, "s", 7},
		{`{"s":"\x"}`, transcode.MalformedJSON, "s", 6},
		{`{"s":"\u12g4"}`, transcode.MalformedJSON, "s", 6},
		{`{"s":"\u12"}`, transcode.MalformedJSON, "s", 6},
		{"{\"s\":\"a\nb\"}", transcode.MalformedJSON, "s", 7},
		{"{\"s\":\"\\n\x00\"}", transcode.MalformedJSON, "s", 8},
		{`{"list":[{"code":"x"}`, transcode.MalformedJSON, "list", 21},
		{`{"list":[{"code":"x"},]}`, transcode.MalformedJSON, "list[1]", 22},

		{`{"l":"1"}`, transcode.TypeMismatch, "l", 5},
		{`{"l":1.5}`, transcode.TypeMismatch, "l", 5},
		{`{"l":1e-1}`, transcode.TypeMismatch, "l", 5},
		{`{"l":9223372036854775808}`, transcode.TypeMismatch, "l", 5},
		{`{"l":-9223372036854775809}`, transcode.TypeMismatch, "l", 5},
		{`{"l":99999999999999999999}`, transcode.TypeMismatch, "l", 5},
		{`{"l":1e99999999999999999999}`, transcode.TypeMismatch, "l", 5},
		{`{"l":true}`, transcode.TypeMismatch, "l", 5},
		{`{"l":[]}`, transcode.TypeMismatch, "l", 5},
		{`{"i":2147483648}`, transcode.TypeMismatch, "i", 5},
		{`{"i":-2147483649}`, transcode.TypeMismatch, "i", 5},
		{`{"i":{"int":5}}`, transcode.TypeMismatch, "i", 5},
		{`{"b":1}`, transcode.TypeMismatch, "b", 5},
		{`{"s":5}`, transcode.TypeMismatch, "s", 5},
		{`{"s":{}}`, transcode.TypeMismatch, "s", 5},
		{`{"e":"B"}`, transcode.TypeMismatch, "e", 5},
		{`{"d":1e309}`, transcode.TypeMismatch, "d", 5},
		{`{"f":3.5e38}`, transcode.TypeMismatch, "f", 5},
		{`{"d":"1"}`, transcode.TypeMismatch, "d", 5},
		{`{"by":"A"}`, transcode.TypeMismatch, "by", 6},
		{`{"by":"AAA"}`, transcode.TypeMismatch, "by", 6},
		{`{"by":"AB=="}`, transcode.TypeMismatch, "by", 6},
		{`{"by":"A==="}`, transcode.TypeMismatch, "by", 6},
		{`{"by":"A-_="}`, transcode.TypeMismatch, "by", 6},
		{`{"by":"AAA\nAAAA"}`, transcode.TypeMismatch, "by", 6},
		{`{"by":"\n\n\n\n"}`, transcode.TypeMismatch, "by", 6},
		{`{"fx":"AAAA"}`, transcode.TypeMismatch, "fx", 6},
		{`{"t":"2026-02-29T00:00:00Z"}`, transcode.TypeMismatch, "t", 5},
		{`{"t":"2026-13-01T00:00:00Z"}`, transcode.TypeMismatch, "t", 5},
		{`{"t":"2026-01-01T24:00:00Z"}`, transcode.TypeMismatch, "t", 5},
		{`{"t":"2026-12-31T23:59:60Z"}`, transcode.TypeMismatch, "t", 5},
		{`{"t":"2026-01-01 00:00:00Z"}`, transcode.TypeMismatch, "t", 5},
		{`{"t":"2026-01-01T00:00:00"}`, transcode.TypeMismatch, "t", 5},
		{`{"t":"2026-01-01T00:00:00.Z"}`, transcode.TypeMismatch, "t", 5},
		{`{"t":"2026-01-01T00:00:00,5Z"}`, transcode.TypeMismatch, "t", 5},
		{`{"t":"2026-01-01T00:00:00+0100"}`, transcode.TypeMismatch, "t", 5},
		{`{"t":"2026-01-01T00:00:00+24:00"}`, transcode.TypeMismatch, "t", 5},
		{`{"t":"2026-01-01T00:00:00ZZ"}`, transcode.TypeMismatch, "t", 5},
		{`{"n":"2263-01-01T00:00:00Z"}`, transcode.TypeMismatch, "n", 5},
		{`{"dec":0.001}`, transcode.TypeMismatch, "dec", 7},
		{`{"dec":10000}`, transcode.TypeMismatch, "dec", 7},
		{`{"dec":"1,5"}`, transcode.TypeMismatch, "dec", 7},
		{`{"dec":""}`, transcode.TypeMismatch, "dec", 7},
		{`{"dec":1e9999999999}`, transcode.TypeMismatch, "dec", 7},
		{`{"dec":true}`, transcode.TypeMismatch, "dec", 7},
		{`{"list":{}}`, transcode.TypeMismatch, "list", 8},
		{`{"list":[null]}`, transcode.TypeMismatch, "list[0]", 9},
		{`{"m":[]}`, transcode.TypeMismatch, "m", 5},
		{`{"m":{"secret":{"secret":1,"k":""}}}`, transcode.TypeMismatch, "m[0][1]", 31},
		{`{"error":"x"}`, transcode.TypeMismatch, "error", 9},
		{`{"u":5}`, transcode.TypeMismatch, "u", 5},

		{`{"l":null}`, transcode.MissingField, "l", 5},
		{`{"error":{}}`, transcode.MissingField, "error.code", 9},
		{`{"error":{"o":1}}`, transcode.MissingField, "error.code", 9},
		{`{"list":[{"code":""},{"code":null}]}`, transcode.MissingField, "list[1].code", 29},

		{`{"x":1}`, transcode.UnknownField, "x", 1},
		{`{"L":1}`, transcode.UnknownField, "L", 1},
		{`{"":1}`, transcode.UnknownField, "", 1},
		{`{"someone@example.org":1}`, transcode.UnknownField, "", 1},
		{`{"` + strings.Repeat("x", 65) + `":1}`, transcode.UnknownField, "", 1},
		{`{"error":{"code":"","kode":1}}`, transcode.UnknownField, "error.kode", 20},

		{`{"l":1,"l":1}`, transcode.DuplicateField, "l", 7},
		{`{"s":"","l":1,"s":""}`, transcode.DuplicateField, "s", 14},
		{`{"l":1,"\u006c":1}`, transcode.DuplicateField, "l", 7},
		{`{"list":[{"code":"","code":""}]}`, transcode.DuplicateField, "list[0].code", 20},
		{`{"m":{"b":{},"a":{},"\u0062":{}}}`, transcode.DuplicateField, "m", 20},

		{`{"list":[{"code":""},{"code":""},{"code":""},{"code":""}]}`, transcode.TooDeep, "list[3]", 45},
		{`{"m":{"a":{"x":1,"y":2},"b":{}}}`, transcode.TooDeep, "m[1]", 24},
		{`{"s":"` + strings.Repeat("x", 121) + `"}`, transcode.TooLarge, "s", 5},
		{`{"s":"` + strings.Repeat("x", 300) + `"}`, transcode.TooLarge, "", 250},

		{"{\"s\":\"a\xff\"}", transcode.InvalidUTF8, "s", 6},
		{"{\"s\":\"\\n\xed\xa0\x80\"}", transcode.InvalidUTF8, "s", 6},
		{"{\"s\xff\":1}", transcode.InvalidUTF8, "", 2},
		{`{"s":"\ud83c"}`, transcode.InvalidUTF8, "s", 6},
		{`{"s":"\ud83cx"}`, transcode.InvalidUTF8, "s", 6},
		{`{"s":"\ud83c\u0041"}`, transcode.InvalidUTF8, "s", 6},
		{`{"s":"\udfac\ud83c"}`, transcode.InvalidUTF8, "s", 6},
		{`{"s":"\ud83c\n"}`, transcode.InvalidUTF8, "s", 6},
	}
	tc := transcode.New(compile(t, schema).Root(), transcode.Limits{MaxJSONBytes: 250, MaxValueBytes: 120, MaxElements: 3})
	for _, test := range tests {
		t.Run(test.json, func(t *testing.T) {
			t.Parallel()
			out, err := tc.AppendAvro([]byte("kept"), []byte(test.json))
			want := transcode.Error{Cause: test.cause, Path: test.path, Offset: test.offset}
			var e *transcode.Error
			if !errors.As(err, &e) || *e != want {
				t.Errorf("got %v, want %v", err, &want)
			}
			if string(out) != "kept" {
				t.Errorf("dst became %q", out)
			}
		})
	}
}

// A small event can ask for much through defaults.
func TestBoundsTheResult(t *testing.T) {
	t.Parallel()
	p := compile(t, `{"type":"record","name":"R","fields":[{"name":"l","type":{"type":"array","items":
		{"type":"record","name":"N","fields":[{"name":"s","type":"string","default":"`+strings.Repeat("x", 10_000)+`"}]}}}]}`)
	_, err := transcode.New(p.Root(), transcode.Limits{}).AppendAvro(nil, []byte(`{"l":[{}`+strings.Repeat(`,{}`, 9_000)+`]}`))
	var e *transcode.Error
	if !errors.As(err, &e) || e.Cause != transcode.TooLarge {
		t.Errorf("got %v, want too large", err)
	}
}

func TestRefusesEveryTruncation(t *testing.T) {
	t.Parallel()
	p := compile(t, wide)
	tc := transcode.New(p.Root(), transcode.Limits{})
	g := generator{rand.New(rand.NewPCG(3, 4))}
	for range 10 {
		event := []byte(strings.TrimSpace(g.record(p.Root())))
		for n := range event {
			if _, err := tc.AppendAvro(nil, event[:n:n]); err == nil {
				t.Fatalf("the first %d bytes of %s are taken", n, event)
			}
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	p := compile(t, wide)
	tc := transcode.New(p.Root(), transcode.Limits{})
	var wg sync.WaitGroup
	for seed := range uint64(4) {
		wg.Go(func() {
			g := generator{rand.New(rand.NewPCG(seed, 5))}
			for range 50 {
				event := []byte(g.record(p.Root()))
				alone, err := transcode.New(p.Root(), transcode.Limits{}).AppendAvro(nil, event)
				shared, err2 := tc.AppendAvro(nil, event)
				if err != nil || err2 != nil || !bytes.Equal(alone, shared) {
					t.Errorf("%s: %x, %v, then %x, %v", event, alone, err, shared, err2)
				}
			}
		})
	}
	wg.Wait()
}

func playback(t testing.TB) *transcode.Transcoder {
	t.Helper()
	versions, err := schemas.Versions("playback.events-value")
	if err != nil {
		t.Fatal(err)
	}
	return transcode.New(compile(t, versions[0].Text).Root(), transcode.Limits{})
}

func testEvent(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSpace(text)
}

func TestDoesNotAllocate(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes pools forget")
	}
	tc := playback(t)
	for _, name := range []string{"heartbeat.json", "shuffled.json"} {
		event := testEvent(t, name)
		dst := make([]byte, 0, 4096)
		allocs := testing.AllocsPerRun(100, func() {
			if _, err := tc.AppendAvro(dst, event); err != nil {
				t.Fatal(err)
			}
		})
		if allocs >= 1 { // the pool may lose its scratch to a collection
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}

func TestOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	tc := playback(t)
	straight, err := tc.AppendAvro(nil, testEvent(t, "heartbeat.json"))
	if err != nil {
		t.Fatal(err)
	}
	shuffled, err := tc.AppendAvro(nil, testEvent(t, "shuffled.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(straight, shuffled) {
		t.Errorf("%x\n%x", straight, shuffled)
	}
}

func BenchmarkAppendAvro(b *testing.B) {
	tc := playback(b)
	for _, name := range []string{"heartbeat.json", "shuffled.json"} {
		event := testEvent(b, name)
		b.Run(name, func(b *testing.B) {
			dst := make([]byte, 0, 4096)
			b.SetBytes(int64(len(event)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tc.AppendAvro(dst, event); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// FuzzAppendAvro wants no panic, and of an event that is taken, that avroscan takes the result and that it has the values
// which encoding/json and hamba find.
func FuzzAppendAvro(f *testing.F) {
	p, schema := compile(f, wide), oracleSchema(f, wide)
	tc := transcode.New(p.Root(), transcode.Limits{})
	g := generator{rand.New(rand.NewPCG(6, 7))}
	for range 20 {
		f.Add([]byte(g.record(p.Root())))
	}
	f.Add([]byte(`{"b":true,"i":1,"f":1,"s":"\ud83c\udfac","by":"AA==","fx":"AAECAwQ=","t":"2026-11-22T08:15:00.123+01:00","deb":"1.5","m":{"a":[],"b":["x"]}}`))
	f.Fuzz(func(t *testing.T, event []byte) {
		body, err := tc.AppendAvro(nil, event)
		if err != nil {
			return
		}
		if err := p.Scan(body, make([]avroscan.Span, len(p.Slots()))); err != nil {
			t.Fatalf("%s gives %x: %v", event, body, err)
		}
		if bytes.ContainsAny(event, "eE") && hugeExponent(event) {
			return // math/big would take for ever
		}
		var got, want any
		if err := oracle.Unmarshal(schema, body, &got); err != nil {
			t.Fatal(err)
		}
		if err := oracle.Unmarshal(schema, viaMaps(t, p.Root(), schema, event), &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%s gives %v, want %v", event, got, want)
		}
	})
}

// hugeExponent says whether five digits follow an e somewhere.
func hugeExponent(event []byte) bool {
	run, after := 0, false
	for _, c := range bytes.ToLower(event) {
		switch {
		case c == 'e':
			run, after = 0, true
		case after && '0' <= c && c <= '9':
			if run++; run >= 5 {
				return true
			}
		case c != '+' && c != '-':
			after = false
		}
	}
	return false
}

func ExampleTranscoder_AppendAvro() {
	p, err := avroscan.Compile([]byte(`{"type":"record","name":"R","fields":[{"name":"a","type":"string"},{"name":"n","type":["null","int"],"default":null}]}`), avroscan.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	tc := transcode.New(p.Root(), transcode.Limits{})
	body, err := tc.AppendAvro(nil, []byte(`{"n": 21, "a": "x"}`))
	fmt.Printf("%x %v\n", body, err)
	_, err = tc.AppendAvro(nil, []byte(`{"n": "21", "a": "x"}`))
	fmt.Println(err)
	// Output:
	// 0278022a <nil>
	// json event: field n: type mismatch at byte 6
}
