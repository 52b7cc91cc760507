package basefile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/hamba/avro/v2"
)

// Kept rows go on under their own commit times and sequence numbers, among rows of this commit and rows that are copied.
func TestAppendKept(t *testing.T) {
	t.Parallel()
	cfg := testConfig("20261122080100000")
	oldCfg := testConfig("20261122080000000")
	copied, kept, own := inventRecords(t, 31, 0, 50), inventRecords(t, 32, 50, 300), inventRecords(t, 33, 350, 300)
	var out bytes.Buffer
	w, err := NewWriter(&out, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.CopyFrom(t.Context(), openBytes(t, writeFile(t, oldCfg, copied)), nil); err != nil {
		t.Fatal(err)
	}
	var want [][2]string
	for i := range copied {
		want = append(want, [2]string{oldCfg.CommitTime, fmt.Sprintf("%s_1_%d", oldCfg.CommitTime, i)})
	}
	for i := range kept {
		k := KeptRecord{CommitTime: fmt.Sprintf("2026112207000%04d", i), SeqNo: fmt.Sprintf("2026112207000%04d_3_9", i), Key: kept[i].Key, Payload: kept[i].Payload}
		want = append(want, [2]string{k.CommitTime, k.SeqNo}, [2]string{cfg.CommitTime, fmt.Sprintf("%s_1_%d", cfg.CommitTime, i)})
		if err := errors.Join(w.AppendKept(k), w.Append(own[i].Record)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	all := slices.Clone(copied)
	for i := range kept {
		all = append(all, kept[i], own[i])
	}
	r := openBytes(t, out.Bytes())
	checkFooter(t, r, all)
	for i, row := range readRows(t, r) {
		if have := [2]string{row.Values[0].(string), row.Values[1].(string)}; have != want[i] {
			t.Fatalf("row %d: commit time and sequence number %v, want %v", i, have, want[i])
		}
		if row.Values[2] != all[i].Key || row.Values[3] != cfg.PartitionPath || row.Values[4] != cfg.FileName {
			t.Fatalf("row %d: meta columns %v", i, row.Values[:5])
		}
		if s, _ := row.Get("s"); s != all[i].show["s"] {
			t.Fatalf("row %d: s is %v, want %v", i, s, all[i].show["s"])
		}
	}
}

func TestAppendKeptRefuses(t *testing.T) {
	t.Parallel()
	w, err := NewWriter(io.Discard, testConfig("20261122080000000"))
	if err != nil {
		t.Fatal(err)
	}
	rec := inventRecords(t, 34, 0, 1)[0]
	for name, bad := range map[string]KeptRecord{
		"no commit time":  {SeqNo: "1", Key: rec.Key, Payload: rec.Payload},
		"no number":       {CommitTime: "1", Key: rec.Key, Payload: rec.Payload},
		"commit time":     {CommitTime: "\xff", SeqNo: "1", Key: rec.Key, Payload: rec.Payload},
		"no key":          {CommitTime: "1", SeqNo: "1", Payload: rec.Payload},
		"unknown writer":  {CommitTime: "1", SeqNo: "1", Key: rec.Key, Payload: rec.Payload, Writer: 1},
		"cut off payload": {CommitTime: "1", SeqNo: "1", Key: rec.Key, Payload: rec.Payload[:3]},
	} {
		if err := w.AppendKept(bad); !isRecordError(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.Close(); !errors.Is(err, ErrNoRows) {
		t.Errorf("Close: %v", err)
	}
}

func TestAddWriterSchema(t *testing.T) {
	t.Parallel()
	const table = `{"type":"record","name":"t","fields":[{"name":"id","type":"string"},{"name":"n","type":["null","long"]}]}`
	narrow := `{"type":"record","name":"t","fields":[{"name":"id","type":"string"},{"name":"n","type":"int"}]}`
	withMeta, err := WithMetaFields(narrow)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w, err := NewWriter(&out, Config{TableSchema: table, WriterSchemas: []string{table}, CommitTime: "20261122080000000", FileName: "f"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		schema string
		index  int
	}{{table, 0}, {narrow, 1}, {withMeta, 2}, {narrow, 1}} {
		if i, err := w.AddWriterSchema(tc.schema); err != nil || i != tc.index {
			t.Fatalf("schema %s has index %d (%v), want %d", tc.schema, i, err, tc.index)
		}
	}
	_, err = w.AddWriterSchema(`{"type":"record","name":"t","fields":[{"name":"id","type":"string"},{"name":"n","type":"double"}]}`)
	if e, ok := errors.AsType[*SchemaError](err); !ok || e.Path != "n" {
		t.Fatalf("a double for a long: %v", err)
	}
	payload, err := avro.Marshal(avro.MustParse(narrow), map[string]any{"id": "a", "n": int32(-7)})
	if err != nil {
		t.Fatal(err)
	}
	for i, key := range []string{"k1", "k2"} {
		if err := w.AppendKept(KeptRecord{CommitTime: "20261122070000000", SeqNo: "s", Key: key, Writer: i + 1, Payload: payload}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for i, row := range readRows(t, openBytes(t, out.Bytes()), "id", "n") {
		if row.Values[0] != "a" || row.Values[1] != int64(-7) {
			t.Errorf("row %d is %v", i, row.Values)
		}
	}
}
