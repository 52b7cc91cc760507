package avroscan_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/services/internal/avroscan"
)

// The spans of all slots are where encoding the fields one by one puts them.
func TestSpans(t *testing.T) {
	t.Parallel()
	schema := oracleSchema(t, string(eventSchema(t)))
	p := compile(t, string(eventSchema(t)))
	for _, full := range []bool{false, true} {
		t.Run(fmt.Sprintf("full=%t", full), func(t *testing.T) {
			t.Parallel()
			value := event(full)
			body := encode(t, schema, value)
			spans := make([]avroscan.Span, len(p.Slots()))
			if err := p.Scan(body, spans); err != nil {
				t.Fatal(err)
			}
			at := 0
			for _, f := range schema.(*avro.RecordSchema).Fields() {
				piece := encode(t, f.Type(), value[f.Name()])
				checkSpan(t, p, spans, f.Name(), avroscan.Span{Start: at, End: at + len(piece), Value: valueStart(f.Type(), value[f.Name()], at)})
				at += len(piece)
			}
			if at != len(body) {
				t.Fatalf("pieces of %d bytes for a body of %d", at, len(body))
			}
		})
	}
}

func valueStart(s avro.Schema, v any, at int) int {
	switch {
	case s.Type() != avro.Union:
		return at
	case v == nil:
		return -1
	}
	return at + 1
}

func checkSpan(t *testing.T, p *avroscan.Program, spans []avroscan.Span, path string, want avroscan.Span) {
	t.Helper()
	i, ok := p.Slot(path)
	if !ok {
		t.Fatalf("no slot %s", path)
	}
	if spans[i] != want {
		t.Errorf("span of %s is %+v, want %+v", path, spans[i], want)
	}
}

func TestNestedSpans(t *testing.T) {
	t.Parallel()
	p := compile(t, `{"type":"record","name":"R","fields":[
		{"name":"a","type":["null",{"type":"record","name":"A","fields":[
			{"name":"x","type":"string"},{"name":"b","type":[{"type":"record","name":"B","fields":[{"name":"y","type":"int"}]},"null"]}]}]},
		{"name":"u","type":["null","int","string"]},
		{"name":"l","type":{"type":"array","items":{"type":"record","name":"L","fields":[{"name":"z","type":["null","B"]}]}}},
		{"name":"end","type":"boolean"}]}`)
	var paths []string
	for i, s := range p.Slots() {
		if s.Index != i {
			t.Errorf("slot %d has index %d", i, s.Index)
		}
		paths = append(paths, s.Path)
	}
	if want := []string{"a", "a.x", "a.b", "a.b.y", "u", "l", "end"}; !slices.Equal(paths, want) {
		t.Fatalf("slots %v, want %v", paths, want)
	}
	if s := p.Slots()[3]; s.Parent != 2 || s.Nullable || s.NullIndex != -1 || s.Type.Kind != avroscan.Int {
		t.Errorf("slot a.b.y is %+v", s)
	}
	if s := p.Slots()[2]; s.Parent != 0 || !s.Nullable || s.NullIndex != 1 || s.Type.Kind != avroscan.Record {
		t.Errorf("slot a.b is %+v", s)
	}
	absent := avroscan.Span{Start: -1, End: -1, Value: -1}
	tests := map[string]struct {
		body  []byte
		spans []avroscan.Span
	}{
		"everything": {
			[]byte{2, 2, 'q', 0, 14, 4, 2, 'w', 4, 0, 2, 9, 0, 1},
			[]avroscan.Span{{0, 5, 1}, {1, 3, 1}, {3, 5, 4}, {4, 5, 4}, {5, 8, 6}, {8, 13, 8}, {13, 14, 13}},
		},
		"inner record null": {
			[]byte{2, 2, 'q', 2, 0, 0, 0},
			[]avroscan.Span{{0, 4, 1}, {1, 3, 1}, {3, 4, -1}, absent, {4, 5, -1}, {5, 6, 5}, {6, 7, 6}},
		},
		"outer record null": {
			[]byte{0, 2, 8, 0, 1},
			[]avroscan.Span{{0, 1, -1}, absent, absent, absent, {1, 3, 2}, {3, 4, 3}, {4, 5, 4}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spans := make([]avroscan.Span, len(p.Slots()))
			for i := range spans {
				spans[i] = avroscan.Span{Start: 77, End: 77, Value: 77} // from an earlier event
			}
			if err := p.Scan(test.body, spans); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(spans, test.spans) {
				t.Errorf("spans %v, want %v", spans, test.spans)
			}
		})
	}
}

func TestRefusesEveryTruncation(t *testing.T) {
	t.Parallel()
	p := compile(t, string(eventSchema(t)))
	body := encode(t, oracleSchema(t, string(eventSchema(t))), event(true))
	spans := make([]avroscan.Span, len(p.Slots()))
	for n := range body {
		if err := p.Scan(body[:n:n], spans); errorCause(err) != avroscan.Malformed {
			t.Errorf("the first %d of %d bytes: %v, want malformed", n, len(body), err)
		}
	}
	if err := p.Scan(append(slices.Clone(body), 0), spans); errorCause(err) != avroscan.Trailing {
		t.Errorf("one byte more: %v, want trailing", err)
	}
}

func errorCause(err error) avroscan.Cause {
	var e *avroscan.Error
	if errors.As(err, &e) {
		return e.Cause
	}
	return 0
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	long := func(v int64) []byte { return avroscan.AppendLong(nil, v) }
	cat := func(parts ...[]byte) []byte { return slices.Concat(parts...) }
	overlong := []byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0}
	tests := map[string]struct {
		fields string
		body   []byte
		cause  avroscan.Cause
		path   string
		offset int
	}{
		"boolean 2":             {`{"name":"a","type":"boolean"}`, []byte{2}, avroscan.Malformed, "a", 0},
		"int of 33 bits":        {`{"name":"a","type":"int"}`, long(math.MaxInt32 + 1), avroscan.OutOfRange, "a", 0},
		"int below range":       {`{"name":"a","type":["null","int"]}`, cat([]byte{2}, long(math.MinInt32-1)), avroscan.OutOfRange, "a", 1},
		"varint of 11 bytes":    {`{"name":"a","type":"long"}`, overlong, avroscan.Malformed, "a", 0},
		"varint of 65 bits":     {`{"name":"a","type":"long"}`, []byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 2}, avroscan.Malformed, "a", 0},
		"enum index":            {`{"name":"a","type":{"type":"enum","name":"E","symbols":["X","Y"]}}`, []byte{4}, avroscan.Malformed, "a", 0},
		"enum index below 0":    {`{"name":"a","type":{"type":"enum","name":"E","symbols":["X","Y"]}}`, []byte{1}, avroscan.Malformed, "a", 0},
		"nullable index":        {`{"name":"a","type":["null","int"]}`, []byte{4, 0}, avroscan.Malformed, "a", 0},
		"nullable index below":  {`{"name":"a","type":["null","int"]}`, []byte{1, 0}, avroscan.Malformed, "a", 0},
		"union index":           {`{"name":"a","type":["null","int","string"]}`, []byte{6, 0}, avroscan.Malformed, "a", 0},
		"union index below":     {`{"name":"a","type":["null","int","string"]}`, []byte{1, 0}, avroscan.Malformed, "a", 0},
		"in a union's branch":   {`{"name":"a","type":["null","int","string"]}`, []byte{4, 2, 0xff}, avroscan.InvalidUTF8, "a", 2},
		"negative length":       {`{"name":"a","type":"string"}`, []byte{1, 'x'}, avroscan.Malformed, "a", 0},
		"length beyond the end": {`{"name":"a","type":"bytes"}`, cat(long(math.MaxInt64), []byte("x")), avroscan.Malformed, "a", 0},
		"invalid UTF-8":         {`{"name":"a","type":"string"}`, []byte{4, 'x', 0xc0}, avroscan.InvalidUTF8, "a", 1},
		"surrogate in UTF-8":    {`{"name":"a","type":"string"}`, []byte{6, 0xed, 0xa0, 0x80}, avroscan.InvalidUTF8, "a", 1},
		"value too large":       {`{"name":"a","type":"bytes"}`, avroscan.AppendBytes(nil, make([]byte, 65)), avroscan.TooLarge, "a", 0},
		"event too large":       {`{"name":"a","type":"bytes"}`, make([]byte, 201), avroscan.TooLarge, "", 200},
		"nested field":          {`{"name":"error","type":["null",{"type":"record","name":"N","fields":[{"name":"code","type":"string"}]}]}`, []byte{2, 2, 0xff}, avroscan.InvalidUTF8, "error.code", 2},
		"item":                  {`{"name":"l","type":{"type":"array","items":"string"}}`, []byte{4, 2, 'a', 0, 2, 2, 0xff, 0}, avroscan.InvalidUTF8, "l[2]", 6},
		"item's field":          {`{"name":"l","type":{"type":"array","items":{"type":"record","name":"N","fields":[{"name":"c","type":"boolean"}]}}}`, []byte{4, 0, 7, 0}, avroscan.Malformed, "l[1].c", 2},
		"item in item":          {`{"name":"l","type":{"type":"array","items":{"type":"map","values":{"type":"array","items":"boolean"}}}}`, []byte{4, 0, 2, 2, 'k', 4, 1, 3, 0, 0, 0}, avroscan.Malformed, "l[1][0][1]", 7},
		"map value":             {`{"name":"m","type":{"type":"map","values":"boolean"}}`, []byte{2, 2, 'k', 9, 0}, avroscan.Malformed, "m[0]", 3},
		"map key":               {`{"name":"m","type":{"type":"map","values":{"type":"record","name":"N","fields":[{"name":"c","type":"boolean"}]}}}`, []byte{2, 2, 0xfe, 1, 0}, avroscan.InvalidUTF8, "m[0]", 2},
		"array without end":     {`{"name":"l","type":{"type":"array","items":"boolean"}}`, []byte{2, 1}, avroscan.Malformed, "l", 2},
		"count of 2^40":         {`{"name":"l","type":{"type":"array","items":"boolean"}}`, cat(long(1<<40), []byte{0}), avroscan.Malformed, "l", 0},
		"count of -2^63":        {`{"name":"l","type":{"type":"array","items":"boolean"}}`, cat(long(math.MinInt64), []byte{0, 0}), avroscan.Malformed, "l", 0},
		"too many items":        {`{"name":"l","type":{"type":"array","items":"boolean"}}`, cat(long(11), make([]byte, 12)), avroscan.TooDeep, "l", 0},
		"too many in all":       {`{"name":"l","type":{"type":"array","items":{"type":"array","items":"boolean"}}}`, cat(long(2), long(5), make([]byte, 6), long(4), make([]byte, 6)), avroscan.TooDeep, "l[1]", 8},
		"block size too small":  {`{"name":"l","type":{"type":"array","items":"boolean"}}`, []byte{3, 2, 1, 1, 0}, avroscan.Malformed, "l", 0},
		"block size too large":  {`{"name":"l","type":{"type":"array","items":"boolean"}}`, []byte{3, 6, 1, 1, 0}, avroscan.Malformed, "l", 0},
		"block size beyond end": {`{"name":"l","type":{"type":"array","items":"boolean"}}`, []byte{3, 8, 1, 1, 0}, avroscan.Malformed, "l", 0},
		"negative block size":   {`{"name":"l","type":{"type":"array","items":"boolean"}}`, []byte{3, 1, 1, 1, 0}, avroscan.Malformed, "l", 0},
	}
	o := avroscan.Options{Limits: avroscan.Limits{MaxEventBytes: 200, MaxValueBytes: 64, MaxElements: 10}}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := avroscan.Compile([]byte(`{"type":"record","name":"R","fields":[`+test.fields+`]}`), o)
			if err != nil {
				t.Fatal(err)
			}
			err = p.Scan(test.body, make([]avroscan.Span, len(p.Slots())))
			want := avroscan.Error{Cause: test.cause, Path: test.path, Offset: test.offset}
			var e *avroscan.Error
			if !errors.As(err, &e) || *e != want {
				t.Errorf("got %v, want %v", err, &want)
			}
		})
	}
}

// What the specification allows is taken, even where our own encoders would not write it.
func TestTakes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		field string
		body  []byte
	}{
		"overlong varint":      {`{"name":"a","type":"long"}`, []byte{0x82, 0x80, 0}},
		"overlong union index": {`{"name":"a","type":["null","long"]}`, []byte{0x82, 0, 4}},
		"least long":           {`{"name":"a","type":"long"}`, avroscan.AppendLong(nil, math.MinInt64)},
		"least int":            {`{"name":"a","type":"int"}`, avroscan.AppendLong(nil, math.MinInt32)},
		"sized block":          {`{"name":"a","type":{"type":"array","items":"boolean"}}`, []byte{3, 4, 1, 1, 0}},
		"several blocks":       {`{"name":"a","type":{"type":"map","values":"boolean"}}`, []byte{2, 2, 'k', 1, 1, 6, 2, 'k', 0, 0}},
		"empty text":           {`{"name":"a","type":"string"}`, []byte{0}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := compile(t, `{"type":"record","name":"R","fields":[`+test.field+`]}`)
			spans := make([]avroscan.Span, 1)
			if err := p.Scan(test.body, spans); err != nil {
				t.Fatal(err)
			}
			if spans[0].End != len(test.body) {
				t.Errorf("span %+v, want it to end at %d", spans[0], len(test.body))
			}
		})
	}
}

func TestPrimitives(t *testing.T) {
	t.Parallel()
	for _, v := range []int64{0, -1, 1, 63, -64, 64, 1 << 31, math.MaxInt64, math.MinInt64} {
		b := avroscan.AppendLong(nil, v)
		if want := binary.AppendVarint(nil, v); !bytes.Equal(b, want) {
			t.Errorf("%d encodes to %x, want %x", v, b, want)
		}
		if got, next := avroscan.ReadLong(append([]byte{9}, b...), 1); got != v || next != len(b)+1 {
			t.Errorf("%d reads back as %d, next %d", v, got, next)
		}
		for n := range b {
			if _, next := avroscan.ReadLong(b[:n], 0); next >= 0 {
				t.Errorf("%d of %d bytes of %d read as complete", n, len(b), v)
			}
		}
	}
	b := avroscan.AppendString([]byte{7}, "naïve")
	if v, next := avroscan.ReadString(b, 1); string(v) != "naïve" || next != len(b) {
		t.Errorf("read %q, next %d", v, next)
	}
	for n := range len(b) - 1 {
		if _, next := avroscan.ReadString(b[:n+1], 1); next >= 0 {
			t.Errorf("a text cut to %d bytes read as complete", n)
		}
	}
	if _, next := avroscan.ReadLong(nil, -1); next >= 0 {
		t.Error("read before the beginning")
	}
}

func TestScanDoesNotAllocate(t *testing.T) {
	p := compile(t, string(eventSchema(t)))
	body := encode(t, oracleSchema(t, string(eventSchema(t))), event(true))
	spans := make([]avroscan.Span, len(p.Slots()))
	allocs := testing.AllocsPerRun(100, func() {
		if err := p.Scan(body, spans); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations per event", allocs)
	}
}

// An error may be logged and put into headers; the body holds personal data.
func TestErrorsDoNotQuoteTheBody(t *testing.T) {
	t.Parallel()
	p := compile(t, `{"type":"record","name":"R","fields":[{"name":"m","type":{"type":"map","values":"string"}}]}`)
	body := []byte{2, 12, 's', 'e', 'c', 'r', 'e', 't', 14, 's', 'e', 'c', 'r', 'e', 't', 0xff, 0}
	err := p.Scan(body, make([]avroscan.Span, 1))
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("error is %v", err)
	}
}

func BenchmarkScan(b *testing.B) {
	p := compile(b, string(eventSchema(b)))
	body := encode(b, oracleSchema(b, string(eventSchema(b))), event(false))
	spans := make([]avroscan.Span, len(p.Slots()))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Scan(body, spans); err != nil {
			b.Fatal(err)
		}
	}
}
