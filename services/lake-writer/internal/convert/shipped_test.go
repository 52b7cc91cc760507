package convert

import (
	"bytes"
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/schemas"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
)

// sample makes a value of any type that an event may hold.
func sample(s avro.Schema) any {
	switch t := s.(type) {
	case *avro.RecordSchema:
		out := make(map[string]any)
		for _, f := range t.Fields() {
			out[f.Name()] = sample(f.Type())
		}
		return out
	case *avro.UnionSchema:
		for _, b := range t.Types() {
			if named, ok := b.(avro.NamedSchema); ok {
				return map[string]any{named.FullName(): sample(b)}
			}
			if b.Type() != avro.Null {
				return sample(b)
			}
		}
	case *avro.ArraySchema:
		return []any{sample(t.Items()), sample(t.Items())}
	case *avro.MapSchema:
		return map[string]any{"k": sample(t.Values())}
	case *avro.FixedSchema:
		return [8]byte{7: 1}
	case *avro.PrimitiveSchema:
		return samplePrimitive(t)
	}
	return nil
}

func samplePrimitive(t *avro.PrimitiveSchema) any {
	switch t.Type() {
	case avro.Long:
		if t.Logical() != nil {
			return time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
		}
		return int64(7)
	case avro.Int:
		return 7
	case avro.Double:
		return 1.5
	case avro.Boolean:
		return true
	case avro.String:
		return "text"
	}
	return nil
}

// TestShippedSchemas: events of every shipped version become rows that the base file writer takes, in a
// table that began with the first version and was widened for the last.
func TestShippedSchemas(t *testing.T) {
	t.Parallel()
	for _, subject := range schemas.Subjects() {
		versions, err := schemas.Versions(subject)
		if err != nil {
			t.Fatal(err)
		}
		table, err := TableSchema(versions[0].Text, true)
		if err != nil {
			t.Fatal(err)
		}
		fields, err := FieldsOf(versions[0].Text)
		if err != nil {
			t.Fatal(err)
		}
		c, err := New(Params{
			Schemas: func(_ context.Context, id int) (string, error) { return versions[id].Text, nil },
			Table:   table, SessionField: fields.Session, EventField: fields.Event, Buckets: 4, KafkaColumns: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		var values [][]byte
		for i, v := range versions {
			schema, err := avro.ParseWithCache(v.Text, "", &avro.SchemaCache{})
			if err != nil {
				t.Fatal(err)
			}
			e := sample(schema).(map[string]any)
			body, err := avro.Marshal(schema, e)
			if err != nil {
				t.Fatalf("encode %v: %v", e, err)
			}
			values = append(values, append(binary.BigEndian.AppendUint32([]byte{0}, uint32(i)), body...))
		}
		rows, _, err := c.Convert(t.Context(), chunk(values...))
		if err != nil || len(rows.Rows) != len(versions) {
			t.Fatalf("%s: %d rows, %v", subject, len(rows.Rows), err)
		}
		readBack(t, c, rows)
	}
}

// readBack writes rows to a base file and checks that no column of the last one is null.
func readBack(t *testing.T, c *Converter, rows Rows) {
	t.Helper()
	var file bytes.Buffer
	w, err := basefile.NewWriter(&file, basefile.Config{
		TableSchema: c.TableSchema(), WriterSchemas: c.Writers(), CommitTime: "20261122080000000", FileName: "a.parquet", PartitionPath: rows.Rows[0].Partition,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows.Rows {
		if err := w.Append(basefile.Record{Key: r.Record.Key, Writer: r.Record.Writer, Payload: r.Record.Payload}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	reader, err := basefile.OpenReader(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	var last basefile.Row
	n := 0
	for row, err := range reader.Rows(nil) {
		if err != nil {
			t.Fatal(err)
		}
		last = row
		n++
	}
	if n != len(rows.Rows) {
		t.Errorf("%d rows were read back, want %d", n, len(rows.Rows))
	}
	for i, name := range last.Columns {
		if last.Values[i] == nil {
			t.Errorf("column %s of an event without nulls is null", name)
		}
	}
	if v, _ := last.Get(ColumnHour); v != "08" {
		t.Errorf("%s is %v", ColumnHour, v)
	}
}
