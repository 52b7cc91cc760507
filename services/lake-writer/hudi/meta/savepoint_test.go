package meta_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
)

// TestSavepoint: a savepoint survives a round trip, and its embedded schema is the one that Hudi's archived timeline has for it.
func TestSavepoint(t *testing.T) {
	t.Parallel()
	version := 1
	want := &meta.Savepoint{
		SavepointedBy: "ops", SavepointedMillis: 1795492800000, Comments: "before the backfill", Version: &version,
		Partitions: map[string]meta.SavepointPartition{"day=1": {PartitionPath: "day=1", Files: []string{"a.parquet", ".a.log.1_0-1-0"}}},
	}
	data, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := meta.ParseSavepoint(data); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("became %+v, %v", got, err)
	}
	if schema := ocfSchema(data); !strings.HasPrefix(schema, `{"type":"record","name":"HoodieSavepointMetadata","namespace":"org.apache.hudi.avro.model"`) {
		t.Errorf("schema %s", schema)
	}
	for _, bad := range []string{"", "Obj\x01", "{}"} {
		if _, err := meta.ParseSavepoint([]byte(bad)); !errors.Is(err, meta.ErrSavepoint) {
			t.Errorf("parsed %q: %v", bad, err)
		}
	}
}

// FuzzSavepoint: outside bytes give an error or a savepoint, never a panic.
func FuzzSavepoint(f *testing.F) {
	data, err := meta.Savepoint{SavepointedBy: "ops"}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := meta.ParseSavepoint(data); err == nil {
			if _, err := s.Encode(); err != nil {
				t.Error(err)
			}
		}
	})
}
