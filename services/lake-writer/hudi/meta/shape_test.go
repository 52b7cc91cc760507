package meta_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// TestCommitsLookLikeHudis: the commits that this library puts on a timeline have Hudi 0.15's fields, in its order, with its types of
// values, for a copy-on-write insert, a merge-on-read insert and a log append, and an insert overwrite.
func TestCommitsLookLikeHudis(t *testing.T) {
	t.Parallel()
	const eventSchema = `{"type":"record","name":"event","fields":[{"name":"session","type":["null","string"],"default":null},` +
		`{"name":"event","type":["null","string"],"default":null},{"name":"at","type":["null","long"],"default":null},` +
		`{"name":"day","type":["null","string"],"default":null}]}`
	for _, c := range []struct {
		kind   hudi.TableType
		golden string
		last   hudi.Operation
		suffix string   // of the last commit
		shapes []string // that the golden file holds
	}{
		{hudi.CopyOnWrite, "v6-cow-015.commit", hudi.Upsert, ".commit", []string{"base", "commit"}},
		{hudi.MergeOnRead, "v6-mor-015.deltacommit", hudi.Upsert, ".deltacommit", []string{"base", "commit", "log"}},
		{hudi.CopyOnWrite, "v6-cow-015.replacecommit", hudi.InsertOverwrite, ".replacecommit", []string{"base", "commit"}},
	} {
		store := storage.NewMem()
		table, err := hudi.Create(t.Context(), store, hudi.TableConfig{
			Database: "lake", Name: "events", Type: c.kind, RecordKeyFields: []string{"session", "event"}, PartitionFields: []string{"day"},
			OrderingField: "at", Buckets: 1, BucketField: "session", Schema: eventSchema,
		})
		if err != nil {
			t.Fatal(err)
		}
		w, err := table.Acquire(t.Context(), "shape")
		if err != nil {
			t.Fatal(err)
		}
		ours := make(map[string]string)
		for from := range int64(2) {
			req, suffix := request(t, eventSchema, from), c.suffix
			if from == 1 {
				req.Operation = c.last
			} else if c.last == hudi.InsertOverwrite {
				suffix = ".commit"
			}
			result, err := w.Commit(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			data, _, err := store.Get(t.Context(), ".hoodie/"+string(result.Instant)+suffix)
			if err != nil {
				t.Fatal(err)
			}
			maps.Copy(ours, shapes(t, data))
		}
		want := shapes(t, golden(t, c.golden))
		if got := slices.Sorted(maps.Keys(want)); !slices.Equal(got, c.shapes) {
			t.Fatalf("%s holds %q", c.golden, got)
		}
		for what, shape := range want {
			if ours[what] != shape {
				t.Errorf("%s: %s is\n%s\nwant\n%s", c.kind, what, ours[what], shape)
			}
		}
	}
}

// request is one upsert, at the offset.
func request(t *testing.T, schema string, offset int64) hudi.CommitRequest {
	t.Helper()
	payload, err := avro.Marshal(avro.MustParse(schema), map[string]any{
		"session": map[string]any{"string": "s"}, "event": map[string]any{"string": fmt.Sprint(offset)},
		"at": map[string]any{"long": offset}, "day": map[string]any{"string": "1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	key, err := keys.ComplexKey(keys.Field{Name: "session", Value: "s"}, keys.Field{Name: "event", Value: fmt.Sprint(offset)})
	if err != nil {
		t.Fatal(err)
	}
	return hudi.CommitRequest{
		Operation: hudi.Upsert, WriterSchemas: []string{schema},
		Groups:   []hudi.Group{{Partition: "1", Bucket: 0, Records: []hudi.Record{{Key: key, Payload: payload}}}},
		Progress: hudi.Progress{"events": {0: {From: offset, Next: offset + 1}}},
	}
}

// shapes are the names and kinds of fields, in their order, of the commit and of its stats, which are of base files or logs.
func shapes(t *testing.T, data []byte) map[string]string {
	t.Helper()
	var commit struct {
		Stats map[string][]json.RawMessage `json:"partitionToWriteStats"`
	}
	if err := json.Unmarshal(data, &commit); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{"commit": shape(t, data)}
	for _, stats := range commit.Stats {
		for _, stat := range stats {
			kind, text := "base", shape(t, stat)
			if strings.Contains(text, "logVersion") {
				kind = "log"
			}
			if other, ok := found[kind]; ok && other != text {
				t.Fatalf("two shapes of one kind:\n%s\n%s", other, text)
			}
			found[kind] = text
		}
	}
	return found
}

// shape is the top level of an object, but the whole of runtimeStats and recordsStats.
func shape(t *testing.T, object []byte) string {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(object))
	if _, err := dec.Token(); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			t.Fatal(err)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			t.Fatal(err)
		}
		kind := string(value[:1])
		switch {
		case (name == "runtimeStats" || name == "recordsStats") && kind == "{":
			kind = "{" + shape(t, value) + "}"
		case strings.Contains("-0123456789", kind):
			kind = "number"
		case kind == "t" || kind == "f":
			kind = "boolean"
		}
		fmt.Fprintf(&b, "%s %s\n", name, kind)
	}
	return b.String()
}
