package merge

import (
	"fmt"
	"reflect"
	"slices"
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

const nestedSchema = `{"type":"record","name":"t","fields":[{"name":"b","type":["null","boolean"]},{"name":"i","type":["null","int"]},
 {"name":"f","type":["float","null"]},{"name":"d","type":"double"},{"name":"y","type":["null","bytes"]},
 {"name":"x","type":["null",{"type":"fixed","name":"x3","size":3}]},
 {"name":"p","type":["null",{"type":"fixed","name":"p4","size":4,"logicalType":"decimal","precision":9,"scale":2}]},
 {"name":"r","type":["null",{"type":"record","name":"r","fields":[{"name":"a","type":["null","long"]},{"name":"s","type":["null","string"]}]}]},
 {"name":"l","type":["null",{"type":"array","items":{"type":"record","name":"i","fields":[{"name":"m","type":{"type":"map","values":["null","int"]}}]}}]}]}`

// narrowSchema is an older writer's of the table nestedSchema: fields are missing, in the record too, and a long was an int.
const narrowSchema = `{"type":"record","name":"t","fields":[{"name":"r","type":["null",{"type":"record","name":"r","fields":[{"name":"a","type":["null","int"]}]}]},
 {"name":"d","type":"double"}]}`

// FuzzDecoder: a record becomes the same columns as its row has values, or neither is made of it.
func FuzzDecoder(f *testing.F) {
	m, err := newMerger(Config{TableSchema: nestedSchema})
	if err != nil {
		f.Fatal(err)
	}
	var schemas []*schema
	for _, text := range []string{nestedSchema, narrowSchema} {
		text, err := basefile.WithMetaFields(text)
		if err != nil {
			f.Fatal(err)
		}
		s, err := m.schema(text)
		if err != nil {
			f.Fatal(err)
		}
		schemas = append(schemas, s)
	}
	columns := m.columns()
	meta := logfile.AppendMeta(nil, logfile.Meta{Key: "k", CommitTime: "c"})
	double := []byte{0, 0, 0, 0, 0, 0, 0xf0, 0x3f}
	full := slices.Concat([]byte{2, 1, 2, 9, 0, 1, 2, 3, 4}, double, []byte{2, 2, 7, 2, 1, 2, 3, 2, 0xff, 0, 0, 1, 2, 2, 8, 0, 2, 2, 2, 2, 'q', 2, 4, 0, 0})
	f.Add(slices.Concat(meta, full), false)
	f.Add(slices.Concat(meta, []byte{0, 0, 2}, double, []byte{0, 0, 0, 0, 0}), false)
	f.Add(slices.Concat(meta, []byte{2, 2, 5}, double), true)
	for i, seed := range [][]byte{full, slices.Concat([]byte{2, 2, 5}, double)} { // seeds that decode: else the target would compare errors alone
		if _, err := schemas[i].decode(slices.Concat(meta, seed), m.table, columns); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, datum []byte, narrow bool) {
		s := schemas[0]
		if narrow {
			s = schemas[1]
		}
		d, err := m.decoder(columns)
		if err != nil {
			t.Fatal(err)
		}
		want, wantErr := s.decode(datum, m.table, columns)
		err = d.append(s, datum)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("columns: %v, row: %v", err, wantErr)
		}
		if err != nil {
			return
		}
		// As text, since NaN is not equal to itself, and absent bytes equal to none.
		if have := basefile.BatchRow(&d.batch, 0); fmt.Sprint(have) != fmt.Sprint(want) {
			t.Errorf("have %v, want %v", have, want)
		}
	})
}
