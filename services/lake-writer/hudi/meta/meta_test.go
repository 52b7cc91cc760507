package meta_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
)

var at = time.Date(2026, 11, 23, 4, 54, 40, 7_000_000, time.UTC)

func golden(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestPropertiesOfHudi(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"v6-cow-015.properties", "v6-cow-12.properties"} {
		p, err := meta.ParseProperties(golden(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := p.CheckTable(); err != nil || p[meta.Checksum] == "" {
			t.Errorf("%s: checksum %q: %v", name, p[meta.Checksum], err)
		}
		if got := p.First(meta.PrecombineField, meta.OrderingFields); got != "event_ts" {
			t.Errorf("%s: ordering field %q", name, got)
		}
		if got := p.List(meta.RecordKeyFields); !slices.Equal(got, []string{"session_id", "event_id"}) {
			t.Errorf("%s: key fields %q", name, got)
		}
		if schema := p[meta.CreateSchema]; schema != "" && !json.Valid([]byte(schema)) {
			t.Errorf("%s: schema %q", name, schema)
		}
		again, err := meta.ParseProperties(p.Encode("Updated at", at))
		if err != nil || !maps.Equal(again, p) {
			t.Errorf("%s: changed by a round trip: %v", name, err)
		}
	}
}

func TestPropertiesSyntax(t *testing.T) {
	t.Parallel()
	text := "# note\n! note\r\n\n a = 1 \nb:2\nc 3\nd\\ e\\=f = x\\:y\\\n    z\ng=\\u00e4\\uD83D\\uDE00\\t\\q\nh\ni=back\\\\\nj=\xe4\n"
	want := meta.Properties{
		"a": "1 ", "b": "2", "c": "3", "d e=f": "x:yz", "g": "ä\U0001F600\tq", "h": "", "i": `back\`, "j": "ä",
	}
	got, err := meta.ParseProperties([]byte(text))
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("parsed %q, %v\nwant %q", got, err, want)
	}
	for _, bad := range []string{`a=\u12`, `a=\uZZZZ`, `a=\uD83D`} {
		if p, err := meta.ParseProperties([]byte(bad)); !errors.Is(err, meta.ErrProperties) {
			t.Errorf("parsed %q as %q, %v", bad, p, err)
		}
	}
	text = string(meta.Properties{"a b": ` {"x": 1}`}.Encode("Properties saved on", at))
	if want := "#Properties saved on 2026-11-23T04:54:40.007Z\n#Mon Nov 23 04:54:40 UTC 2026\na\\ b=\\ {\"x\"\\: 1}\n"; text != want {
		t.Errorf("encoded %q\nwant %q", text, want)
	}
}

func TestChecksum(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ database, name, sum string }{
		{"shop", "orders", "714211571"}, {"default", "orders", "1214328098"}, {"", "orders_metadata", "2229742774"}, {"lake", "playback_events", "3334181871"},
	} {
		p := meta.Properties{meta.DatabaseName: c.database, meta.TableName: c.name}
		if got := p.TableChecksum(); got != c.sum {
			t.Errorf("checksum of %s.%s = %s, want %s", c.database, c.name, got, c.sum)
		}
		if err := p.CheckTable(); err != nil {
			t.Errorf("missing checksum: %v", err)
		}
		p[meta.Checksum] = "1"
		if err := p.CheckTable(); !errors.Is(err, meta.ErrChecksum) {
			t.Errorf("wrong checksum: %v", err)
		}
	}
}

// TestCommitsOfHudi: every field that Hudi 0.15 writes survives, by name and value.
func TestCommitsOfHudi(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"v6-cow-015.commit", "v6-cow-015.inflight", "v6-cow-015.replacecommit", "v6-mor-015.deltacommit", "v6-mor-015.compaction.commit"} {
		original := golden(t, name)
		c, err := meta.ParseCommit(original)
		if err != nil {
			t.Fatal(err)
		}
		again, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		var got, want any
		if err := errors.Join(json.Unmarshal(again, &got), json.Unmarshal(original, &want)); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s became\n%s", name, again)
		}
	}
	empty, err := meta.ParseCommit(nil)
	if err != nil || len(empty.PartitionToWriteStats) != 0 {
		t.Errorf("no bytes: %+v, %v", empty, err)
	}
	if _, err := meta.ParseCommit([]byte("Obj\x01")); !errors.Is(err, meta.ErrCommit) {
		t.Errorf("Avro bytes: %v", err)
	}
}

func TestCommitNote(t *testing.T) {
	t.Parallel()
	note := meta.CommitNote{CommitID: "c1", PreviousCommitID: "c0", Epoch: 3, Offsets: map[string]map[int32]int64{"playback.events": {0: 5, 11: 7}}}
	text, err := note.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, ok := (&meta.Commit{ExtraMetadata: map[string]string{meta.PlayheadKey: text}}).Note()
	if !ok || !reflect.DeepEqual(got, note) {
		t.Errorf("note %+v, %v", got, ok)
	}
	if _, ok := (&meta.Commit{}).Note(); ok {
		t.Error("a foreign commit has a note")
	}
}

func TestPartition(t *testing.T) {
	t.Parallel()
	data := golden(t, "v6-cow-015.partition_metadata")
	instant, depth, err := meta.ParsePartition(data)
	if err != nil || instant != "20261123045406951" || depth != 2 {
		t.Errorf("parsed %s, %d, %v", instant, depth, err)
	}
	if got := meta.EncodePartition(at, instant, depth); strings.TrimSpace(string(got)) != strings.TrimSpace(string(data)) || len(got) != 96 {
		t.Errorf("encoded %q\nwant %q", got, data)
	}
	for _, bad := range []string{"", "commitTime=1\npartitionDepth=2", "commitTime=20261123045406951\npartitionDepth=-1"} {
		if _, _, err := meta.ParsePartition([]byte(bad)); err == nil {
			t.Errorf("parsed %q", bad)
		}
	}
}

// TestRollbacksOfHudi reads what Hudi 0.15 wrote and writes the same record with the same embedded schema.
func TestRollbacksOfHudi(t *testing.T) {
	t.Parallel()
	plan, err := meta.ParseRollbackPlan(golden(t, "v6-cow-015.rollback.requested"))
	if err != nil {
		t.Fatal(err)
	}
	if *plan.InstantToRollback != (meta.InstantInfo{CommitTime: "20261123045534982", Action: "commit"}) || len(*plan.Requests) != 4 {
		t.Errorf("plan %+v", plan)
	}
	done, err := meta.ParseRollbackMetadata(golden(t, "v6-cow-015.rollback"))
	if err != nil {
		t.Fatal(err)
	}
	if done.TotalFilesDeleted != 4 || len(done.Partitions) != 2 || done.StartRollbackTime != "20261123045554911" {
		t.Errorf("metadata %+v", done)
	}
	data, err := plan.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := meta.ParseRollbackPlan(data); err != nil || !reflect.DeepEqual(again, plan) {
		t.Errorf("plan became %+v, %v", again, err)
	}
	if got, want := ocfSchema(data), ocfSchema(golden(t, "v6-cow-015.rollback.requested")); got != want || got == "" {
		t.Errorf("schema of the plan %q\nwant %q", got, want)
	}
	data, err = done.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := meta.ParseRollbackMetadata(data); err != nil || !reflect.DeepEqual(again, done) {
		t.Errorf("metadata became %+v, %v", again, err)
	}
	if got, want := ocfSchema(data), ocfSchema(golden(t, "v6-cow-015.rollback")); got != want {
		t.Errorf("schema of the metadata %q\nwant %q", got, want)
	}
	for _, bad := range []string{"", "Obj\x01", "{}"} {
		if _, err := meta.ParseRollbackPlan([]byte(bad)); !errors.Is(err, meta.ErrRollback) {
			t.Errorf("parsed %q: %v", bad, err)
		}
	}
}

// ocfSchema is the embedded schema: the first JSON in the file.
func ocfSchema(data []byte) string {
	var schema json.RawMessage
	if from := bytes.IndexByte(data, '{'); from < 0 || json.NewDecoder(bytes.NewReader(data[from:])).Decode(&schema) != nil {
		return ""
	}
	return string(schema)
}

func TestMarkers(t *testing.T) {
	t.Parallel()
	want := []meta.Marker{
		{File: "2026-11-22/08/a_0-1-0_20261123045320678.parquet", Kind: meta.MarkerCreate},
		{File: "b_0-1-0_20261123045320678.parquet", Kind: meta.MarkerMerge},
	}
	got, err := meta.ParseMarkers(meta.EncodeMarkers(want))
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("markers %+v, %v", got, err)
	}
	if _, err := meta.ParseMarkers([]byte("no marker")); !errors.Is(err, meta.ErrMarker) {
		t.Errorf("malformed: %v", err)
	}
}

// FuzzProperties: what parses survives a round trip.
func FuzzProperties(f *testing.F) {
	f.Add(golden(f, "v6-cow-015.properties"))
	f.Add(golden(f, "v6-cow-12.properties"))
	f.Add([]byte("a\\ b : \\u00e4\\\n c=\\\\"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := meta.ParseProperties(data)
		if err != nil {
			return
		}
		again, err := meta.ParseProperties(p.Encode("x", at))
		if err != nil || !maps.Equal(again, p) {
			t.Errorf("%q became %q, %v", p, again, err)
		}
	})
}

// FuzzCommit: what parses can be written and reads the same.
func FuzzCommit(f *testing.F) {
	f.Add(golden(f, "v6-cow-015.commit"))
	f.Add(golden(f, "v6-cow-015.inflight"))
	f.Add(golden(f, "v6-cow-015.replacecommit"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := meta.ParseCommit(data)
		if err != nil {
			return
		}
		text, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := meta.ParseCommit(text)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := again.Encode(); err != nil || string(second) != string(text) {
			t.Errorf("%s became %s, %v", text, second, err)
		}
	})
}

// FuzzRollbackPlan: outside bytes give an error or a plan, never a panic.
func FuzzRollbackPlan(f *testing.F) {
	f.Add(golden(f, "v6-cow-015.rollback.requested"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if plan, err := meta.ParseRollbackPlan(data); err == nil && plan.InstantToRollback == nil {
			t.Error("a plan without an instant")
		}
	})
}
