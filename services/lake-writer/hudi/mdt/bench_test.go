package mdt

import (
	"fmt"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// BenchmarkCreate builds the metadata table of 100 partitions with 1000 files each, in memory: what it costs to build a kept one anew, but
// for the listing of the table. BenchmarkAppend notes a commit of four files in it.
func BenchmarkCreate(b *testing.B) {
	files := manyFiles()
	b.ReportAllocs()
	for b.Loop() {
		createMany(b, files)
	}
}

func BenchmarkAppend(b *testing.B) {
	store := createMany(b, manyFiles())
	added := map[string]map[string]int64{"day=000": {"a_1.parquet": 1, "b_1.parquet": 1}, "day=001": {"c_1.parquet": 1, "d_1.parquet": 1}}
	n := 3
	b.ReportAllocs()
	for b.Loop() {
		u := Update{Instant: instantOf(n), Completion: instantOf(n + 1), Added: added}
		n += 2
		begin(b, store, u, "commit")
		if err := Append(b.Context(), store, u); err != nil {
			b.Fatal(err)
		}
		complete(b, store, u, "commit")
	}
}

func manyFiles() map[string]map[string]int64 {
	files := make(map[string]map[string]int64)
	for p := range 100 {
		partition := make(map[string]int64)
		for f := range 1000 {
			partition[fmt.Sprintf("%08d-aaaa-4aaa-8aaa-%012d-0_0-1-0_20261124000000000.parquet", f, f)] = 1 << 20
		}
		files[fmt.Sprintf("day=%03d", p)] = partition
	}
	return files
}

func createMany(b *testing.B, files map[string]map[string]int64) storage.Store {
	b.Helper()
	store := storage.NewMem()
	p := meta.Properties{meta.TableName: "t", meta.TableVersion: "9", meta.TimelineLayout: "2", meta.MetadataPartitions: "files"}
	put(b, store, meta.PropertiesKey, p.Encode("Properties saved on", time.Unix(0, 0)))
	if err := Create(b.Context(), store, Start{Files: files, Completion: instantOf(1)}); err != nil {
		b.Fatal(err)
	}
	return store
}
