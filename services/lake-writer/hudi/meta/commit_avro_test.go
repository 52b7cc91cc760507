package meta_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
)

// avroCommits are commits of table versions 8 and 9: of logs, of a compaction, of replaced groups, and of a plan that is under way.
var avroCommits = []string{
	"v8-mor-102.deltacommit", "v9-mor-12.deltacommit", "v9-mor-12.compaction.commit", "v9-mor-12.replacecommit",
	"v9-mor-12.replacecommit.inflight", "v9-txns.clustering.replacecommit",
}

// TestAvroCommitsOfHudi: what Hudi wrote survives, under its own schema, and takes as many bytes: no field is null that it sets, nor the
// other way around.
func TestAvroCommitsOfHudi(t *testing.T) {
	t.Parallel()
	for _, name := range avroCommits {
		original := golden(t, name)
		c, err := meta.ParseCommit(original)
		if err != nil {
			t.Fatal(err)
		}
		data, err := c.EncodeOCF()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := meta.ParseCommit(data); err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("%s became %+v, %v\nwas %+v", name, again, err, c)
		}
		if got, want := ocfSchema(data), ocfSchema(original); got != want {
			t.Errorf("%s: schema %q\nwant %q", name, got, want)
		}
		if len(data) != len(original) {
			t.Errorf("%s: %d bytes, Hudi wrote %d", name, len(data), len(original))
		}
		if second, err := c.EncodeOCF(); err != nil || !bytes.Equal(second, data) {
			t.Errorf("%s: encoded twice, it differs: %v", name, err)
		}
	}
}

func TestAvroCommitFields(t *testing.T) {
	t.Parallel()
	c, err := meta.ParseCommit(golden(t, "v9-mor-12.compaction.commit"))
	if err != nil {
		t.Fatal(err)
	}
	s := c.PartitionToWriteStats["dt=2026-01-01/hr=00"][0]
	if !c.Compacted || c.OperationType != meta.OperationCompact || c.ExtraMetadata[meta.SchemaKey] == "" ||
		s.LogStat != nil || s.PrevBaseFile == nil || s.NumWrites != 13 || s.NumDeletes != 2 || s.TotalLogReadTimeMs != 405 || s.FileSizeInBytes != 437542 {
		t.Errorf("compaction %+v", s)
	}
	if c, err = meta.ParseCommit(golden(t, "v9-mor-12.deltacommit")); err != nil {
		t.Fatal(err)
	}
	s = c.PartitionToWriteStats["dt=2026-01-01/hr=00"][0]
	if s.LogStat == nil || s.LogVersion != 1 || len(s.LogFiles) != 1 || s.BaseFile != "" || s.PrevBaseFile != nil || s.CDCStats != nil {
		t.Errorf("log append %+v", s)
	}
	if c, err = meta.ParseCommit(golden(t, "v9-txns.clustering.replacecommit")); err != nil {
		t.Fatal(err)
	}
	if c.OperationType != meta.OperationCluster || len(c.PartitionToReplaceFileIDs["region=apac"]) != 2 {
		t.Errorf("clustering %+v", c)
	}
}

// TestAvroCommitsOfOurs: a commit that sets nothing, and one that replaced nothing, keep their kind.
func TestAvroCommitsOfOurs(t *testing.T) {
	t.Parallel()
	for _, c := range []meta.Commit{
		{OperationType: meta.OperationUpsert},
		{PartitionToReplaceFileIDs: map[string][]string{}},
		{PartitionToWriteStats: map[string][]meta.WriteStat{"": {{LogStat: &meta.LogStat{LogVersion: 2}}}, "a": nil}},
	} {
		data, err := c.EncodeOCF()
		if err != nil {
			t.Fatal(err)
		}
		got, err := meta.ParseCommit(data)
		if err != nil || got.OperationType != c.OperationType || len(got.PartitionToWriteStats) != len(c.PartitionToWriteStats) ||
			(got.PartitionToReplaceFileIDs == nil) != (c.PartitionToReplaceFileIDs == nil) {
			t.Errorf("%+v became %+v, %v", c, got, err)
		}
		for _, s := range got.PartitionToWriteStats[""] {
			if s.LogStat == nil || s.LogFiles == nil || s.LogVersion != 2 {
				t.Errorf("log append became %+v", s.LogStat)
			}
		}
	}
}

// TestCutOff: of a container file that is cut off within its record, nothing is taken for the whole.
func TestCutOff(t *testing.T) {
	t.Parallel()
	for name, parse := range map[string]func([]byte) error{
		"v9-mor-12.deltacommit":          func(b []byte) error { _, err := meta.ParseCommit(b); return err },
		"v9-mor-12.compaction.requested": func(b []byte) error { _, err := meta.ParseCompactionPlan(b); return err },
		"v9-txns.clustering.requested":   func(b []byte) error { _, err := meta.ParseRequestedReplace(b); return err },
		"v6-cow-015.rollback.requested":  func(b []byte) error { _, err := meta.ParseRollbackPlan(b); return err },
		"v6-cow-015.clean":               func(b []byte) error { _, err := meta.ParseCleanMetadata(b); return err },
	} {
		data := golden(t, name)
		if err := parse(data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		const step = 23
		for end := len(data) - 1; end > 0; end -= step {
			if parse(data[:end]) == nil {
				t.Errorf("%s: %d of %d bytes were taken", name, end, len(data))
			}
		}
	}
}

// container is a file with a schema of the test's own.
func container(schema, datum string) []byte {
	data := binary.AppendVarint([]byte("Obj\x01\x02\x16avro.schema"), int64(len(schema)))
	data = append(data, schema+"\x00"+"0123456789abcdef\x02"...)
	data = append(binary.AppendVarint(data, int64(len(datum))), datum...)
	return append(data, "0123456789abcdef"...)
}

// TestHostileSchemas: a schema by which values without end take no bytes is refused, whoever wrote it.
func TestHostileSchemas(t *testing.T) {
	t.Parallel()
	nested := `"null"`
	for i := range 40 { // of each level two, without a byte
		nested = fmt.Sprintf(`{"type":"record","name":"r%d","fields":[{"name":"a","type":%s},{"name":"b","type":%s}]}`, i, nested, nameOf(nested, i-1))
	}
	for what, schema := range map[string]string{
		"a record in itself":  `{"type":"record","name":"a","fields":[{"name":"x","type":"a"}]}`,
		"in an array of it":   `{"type":"record","name":"a","fields":[{"name":"x","type":{"type":"array","items":["null","a"]}}]}`,
		"doubled forty times": nested,
	} {
		if c, err := meta.ParseCommit(container(schema, "")); !errors.Is(err, meta.ErrCommit) {
			t.Errorf("%s: commit %+v, %v", what, c, err)
		}
		if p, err := meta.ParseRollbackPlan(container(schema, "")); !errors.Is(err, meta.ErrRollback) {
			t.Errorf("%s: plan %+v, %v", what, p, err)
		}
	}
	if _, err := meta.ParseCommit(container(`{"type":"record","name":"a","fields":[]}`, "")); err != nil {
		t.Errorf("a record without fields: %v", err)
	}
}

// nameOf is the name of a level that has been defined, and the type itself where it has none.
func nameOf(schema string, level int) string {
	if level < 0 {
		return schema
	}
	return fmt.Sprintf(`"r%d"`, level)
}

func TestRequestedReplaceOfHudi(t *testing.T) {
	t.Parallel()
	r, err := meta.ParseRequestedReplace(golden(t, "v9-txns.clustering.requested"))
	if err != nil {
		t.Fatal(err)
	}
	plan := r.ClusteringPlan
	if r.OperationType != meta.OperationCluster || plan == nil || len(plan.InputGroups) != 3 || !plan.PreserveHoodieMetadata ||
		plan.Strategy.StrategyClassName != "org.apache.hudi.client.clustering.run.strategy.SparkSortAndSizeExecutionStrategy" {
		t.Fatalf("plan %+v", r)
	}
	group := plan.InputGroups[0]
	if len(group.Slices) != 2 || group.NumOutputFileGroups != 1 || group.Slices[1].FileID != "c3b646cc-8602-47c5-b010-3fe002241298-0" ||
		group.Slices[1].PartitionPath != "region=apac" || group.Slices[1].DataFilePath == "" {
		t.Errorf("group %+v", group)
	}
	for _, silent := range [][]byte{nil, golden(t, "v9-mor-12.replacecommit.requested")} {
		if r, err := meta.ParseRequestedReplace(silent); err != nil || r.ClusteringPlan != nil || r.OperationType != "" {
			t.Errorf("an insert overwrite: %+v, %v", r, err)
		}
	}
	for _, bad := range []string{"{}", "Obj\x01"} {
		if r, err := meta.ParseRequestedReplace([]byte(bad)); !errors.Is(err, meta.ErrRequestedReplace) {
			t.Errorf("parsed %q as %+v, %v", bad, r, err)
		}
	}
}

// FuzzAvroCommit: what parses can be written in Avro and reads the same.
func FuzzAvroCommit(f *testing.F) {
	for _, name := range avroCommits {
		f.Add(golden(f, name))
	}
	f.Add(golden(f, "v6-mor-015.deltacommit"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := meta.ParseCommit(data)
		if err != nil {
			return
		}
		encoded, err := c.EncodeOCF()
		if err != nil {
			return // JSON allows numbers that Avro's types do not
		}
		again, err := meta.ParseCommit(encoded)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := again.EncodeOCF(); err != nil || !bytes.Equal(second, encoded) {
			t.Errorf("%+v became %+v, %v", c, again, err)
		}
	})
}

// FuzzRequestedReplace: outside bytes give an error or a request, never a panic.
func FuzzRequestedReplace(f *testing.F) {
	f.Add(golden(f, "v9-txns.clustering.requested"))
	f.Add(golden(f, "v9-mor-12.replacecommit.requested"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := meta.ParseRequestedReplace(data); err == nil && r.OperationType == meta.OperationCluster && r.ClusteringPlan == nil {
			t.Error("a clustering without a plan")
		}
	})
}

func BenchmarkParseAvroCommit(b *testing.B) {
	data := golden(b, "v9-mor-12.deltacommit")
	for b.Loop() {
		if _, err := meta.ParseCommit(data); err != nil {
			b.Fatal(err)
		}
	}
}
