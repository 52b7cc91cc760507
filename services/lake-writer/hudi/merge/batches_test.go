package merge

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
)

// TestBatchesAreTheRows: merging by columns decides as merging by rows does, in memory and spilled, over both kinds of blocks.
func TestBatchesAreTheRows(t *testing.T) {
	t.Parallel()
	always, at := logfile.IntOrdering(0), logfile.LongOrdering
	for i, events := range [][]event{
		{put(1, "a"), put(2, "b")},
		{put(2, "a"), put(1, "b")},
		{put(9, "a"), drop(always)},
		{drop(always), put(1, "a")},
		{drop(at(6)), put(5, "a")},
		{put(1, "a"), soft(2)},
		{put(null, "a"), put(null, "b")},
		{put(5, "a"), drop(at(4))},
	} {
		for _, below := range []*event{nil, {at: 2, value: "x"}, {at: null, value: "y"}} {
			for _, mode := range []Mode{EventTime, CommitTime} {
				for _, memory := range []int64{1, 1 << 20} {
					{
						columns := map[Mode][]string{EventTime: nil, CommitTime: {"v", basefile.CommitTimeColumn}}[mode]
						cfg := Config{TableSchema: testSchema, Ordering: "at", Mode: mode, MemoryBytes: memory, SpillDir: t.TempDir()}
						var base *basefile.Reader
						if below != nil {
							base = baseOf(t, *below)
						}
						format := []logfile.BlockType{logfile.AvroData, logfile.ParquetData}[i%2]
						logs := []Source{source(logAs(t, format, 0, events...))}
						var want, have []basefile.Row
						for row, err := range Rows(t.Context(), cfg, base, logs, columns) {
							if err != nil {
								t.Fatal(err)
							}
							want = append(want, row)
						}
						for b, err := range Batches(t.Context(), cfg, new(basefile.Scratch), base, logs, columns) {
							if err != nil {
								t.Fatal(err)
							}
							for i := range b.Rows {
								have = append(have, basefile.BatchRow(b, i))
							}
						}
						if !reflect.DeepEqual(have, want) {
							t.Errorf("events %d, mode %d, below %s: have %v, want %v", i, mode, fmt.Sprint(below), have, want)
						}
					}
				}
			}
		}
	}
}
