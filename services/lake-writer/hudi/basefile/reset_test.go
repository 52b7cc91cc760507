package basefile

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// A writer that is reset writes the bytes that a fresh one would, whatever it was in the middle of.
func TestReset(t *testing.T) {
	t.Parallel()
	first, second := inventRecords(t, 61, 0, 700), inventRecords(t, 62, 0, 300)
	cfg := testConfig("20261122080000000")
	cfg.RowGroupBytes = 30_000
	want := writeFile(t, cfg, second)
	w, err := NewWriter(io.Discard, cfg)
	if err != nil {
		t.Fatal(err)
	}
	use := func(t *testing.T, w *Writer, records []testRecord) {
		t.Helper()
		for _, rec := range records {
			if err := w.Append(rec.Record); err != nil {
				t.Fatal(err)
			}
		}
	}
	other := cfg
	other.TableSchema, other.WriterSchemas, other.Codec = eventSchema, []string{eventSchema}, Snappy
	bad := cfg
	bad.WriterSchemas = []string{testWriterSchema, eventSchema}
	for _, tc := range []struct {
		name   string
		before func(t *testing.T, w *Writer)
	}{
		{"fresh", func(*testing.T, *Writer) {}},
		{"in a batch", func(t *testing.T, w *Writer) { use(t, w, first[:50]) }},
		{"in a row group", func(t *testing.T, w *Writer) { use(t, w, first) }},
		{"after a bad record", func(t *testing.T, w *Writer) {
			if err := w.Append(Record{Key: "k", Payload: first[0].Payload[:1]}); !isRecordError(err) {
				t.Fatal(err)
			}
		}},
		{"closed", func(t *testing.T, w *Writer) {
			use(t, w, first)
			if _, err := w.Close(); err != nil {
				t.Fatal(err)
			}
		}},
		{"after an error", func(t *testing.T, w *Writer) {
			if err := w.Reset(&limitedWriter{left: 100}, cfg); err != nil {
				t.Fatal(err)
			}
			for _, rec := range first {
				if err := w.Append(rec.Record); err != nil {
					return
				}
			}
			t.Fatal("wrote more than there was room for")
		}},
		{"with another writer schema", func(t *testing.T, w *Writer) {
			if _, err := w.AddWriterSchema(replaceOnce(t, testWriterSchema, `"RED"`, `"MAUVE"`)); err != nil {
				t.Fatal(err)
			}
			use(t, w, first[:10])
		}},
		{"of another table", func(t *testing.T, w *Writer) {
			if err := w.Reset(io.Discard, other); err != nil {
				t.Fatal(err)
			}
			if err := w.Append(inventEvents(t, 1)[0]); err != nil {
				t.Fatal(err)
			}
		}},
		{"refused", func(t *testing.T, w *Writer) {
			if _, ok := errors.AsType[*SchemaError](w.Reset(io.Discard, bad)); !ok {
				t.Fatal("schemas that do not fit were taken")
			}
			if err := w.Append(first[0].Record); err == nil {
				t.Fatal("a writer that was refused goes on")
			}
		}},
	} {
		for range 2 {
			tc.before(t, w)
			var out bytes.Buffer
			if err := w.Reset(&out, cfg); err != nil {
				t.Fatalf("%s: %v", tc.name, err)
			}
			use(t, w, second)
			if _, err := w.Close(); err != nil {
				t.Fatalf("%s: %v", tc.name, err)
			}
			if !bytes.Equal(out.Bytes(), want) {
				t.Errorf("%s: file of %d bytes differs from a fresh writer's of %d", tc.name, out.Len(), len(want))
			}
			if n := w.symbols; n != w.ownSymbols {
				t.Errorf("%s: %d bytes of symbols, %d are its own", tc.name, n, w.ownSymbols)
			}
			if err := w.Reset(io.Discard, cfg); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A record with more items than a rewrite could copy is refused when it comes.
func TestTooManyItems(t *testing.T) {
	t.Parallel()
	const schema = `{"type":"record","name":"t","fields":[{"name":"a","type":{"type":"array","items":"int"}}]}`
	w, err := NewWriter(io.Discard, Config{TableSchema: schema, WriterSchemas: []string{schema}})
	if err != nil {
		t.Fatal(err)
	}
	payload := append([]byte{0x82, 0x80, 0x80, 0x01}, make([]byte, maxRecordItems+2)...) // a block of 2^20 + 1 zeros, and the end
	if err := w.Append(Record{Key: "k", Payload: payload}); !isRecordError(err) {
		t.Errorf("have %v", err)
	}
	if err := w.Append(Record{Key: "k", Payload: make([]byte, maxPayloadBytes)}); !isRecordError(err) {
		t.Errorf("a record that is too long: %v", err)
	}
}
