package basefile

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// A table that Spark has written to declares every array item nullable. Rows go on being written; a null in an array is refused, wherever
// it comes from.
func TestNullableItems(t *testing.T) {
	t.Parallel()
	const plain = `{"type":"record","name":"t","fields":[{"name":"a","type":["null",{"type":"array","items":"string"}],"default":null}]}`
	nullable := strings.Replace(plain, `"items":"string"`, `"items":["null","string"]`, 1)
	cfg := testConfig("20261122080000000")
	cfg.TableSchema, cfg.WriterSchemas, cfg.UniqueColumns = nullable, []string{plain}, nil
	var out bytes.Buffer
	w, err := NewWriter(&out, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Append(Record{Key: "k1", Payload: []byte("\x02\x02\x04hi\x00")}); err != nil {
		t.Fatal(err)
	}
	foreign, err := w.AddWriterSchema(nullable) // of a log block that Spark wrote
	if err != nil {
		t.Fatal(err)
	}
	kept := KeptRecord{CommitTime: "20261122070000000", SeqNo: "1", Writer: foreign}
	kept.Key, kept.Payload = "k2", []byte("\x02\x02\x02\x04ho\x00")
	if err := w.AppendKept(kept); err != nil {
		t.Fatal(err)
	}
	kept.Key, kept.Payload = "k3", []byte("\x02\x02\x00\x00")
	if record, ok := errors.AsType[*RecordError](w.AppendKept(kept)); !ok || record.Path != "a.element" {
		t.Fatalf("null in an array: %v", record)
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	rows := readRows(t, openBytes(t, out.Bytes()))
	for i, want := range []string{"hi", "ho"} {
		if list, _ := rows[i].Values[len(MetaColumns())].([]any); len(rows) != 2 || len(list) != 1 || list[0] != want {
			t.Errorf("row %d of %d is %v, want [%s]", i, len(rows), list, want)
		}
	}
	cfg.WriterSchemas = []string{nullable}
	_, err = NewWriter(io.Discard, cfg)
	if refused, ok := errors.AsType[*SchemaError](err); !ok || refused.Path != "a" {
		t.Errorf("our own records with nullable items: %v", err)
	}
}
