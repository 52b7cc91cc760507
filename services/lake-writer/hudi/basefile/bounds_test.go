package basefile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hamba/avro/v2"
	"github.com/parquet-go/parquet-go"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile/pages"
)

const boundsSchema = `{"type":"record","name":"t","fields":[
 {"name":"price","type":["null",{"type":"fixed","name":"f8","size":8,"logicalType":"decimal","precision":18,"scale":2}]},
 {"name":"wide","type":["null",{"type":"fixed","name":"f16","size":16,"logicalType":"decimal","precision":38,"scale":0}]},
 {"name":"raw","type":["null",{"type":"fixed","name":"f2","size":2}]},
 {"name":"blob","type":["null","bytes"]},
 {"name":"n","type":["null","int"]},
 {"name":"text","type":["null","string"]}
]}`

// Engines skip chunks and pages by these bounds: a value outside of them is a row that a filter loses. The file has pages of nulls
// only, negative decimals, and bytes that cannot be cut below a bound.
func TestBoundsHoldEveryValue(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w, err := NewWriter(&out, Config{TableSchema: boundsSchema, WriterSchemas: []string{boundsSchema}})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 140_000 {
		payload := make([]byte, 6) // six nulls
		if i < 5000 || i > 135_000 {
			payload = boundsPayload(t, rng)
		}
		if err := w.Append(Record{Key: fmt.Sprint(i), Payload: payload}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := parquet.OpenFile(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, leaf := range openBytes(t, out.Bytes()).leaves {
		compare := bytes.Compare
		switch {
		case leaf.logical == decimal:
			compare = pages.CompareSigned
		case leaf.kind == kindInt:
			compare = func(a, b []byte) int {
				return int(int64(int32(binary.LittleEndian.Uint32(a))) - int64(int32(binary.LittleEndian.Uint32(b))))
			}
		}
		for g := range file.RowGroups() {
			seen += checkChunkBounds(t, file, g, leaf, compare)
		}
	}
	if seen < 6 {
		t.Errorf("only %d pages of nulls: the test misses its point", seen)
	}
}

var boundsAvro = avro.MustParse(boundsSchema)

// boundsPayload is a record without nulls. Its decimals are written by hand: the library's come from numbers, these are any bits.
func boundsPayload(t *testing.T, rng *rand.Rand) []byte {
	t.Helper()
	tail, err := avro.Marshal(boundsAvro, map[string]any{
		"price": nil, "wide": nil, "raw": nil,
		"n":    map[string]any{"int": rng.Int32() - 1<<30},
		"text": map[string]any{"string": fmt.Sprintf("%c%x", rng.IntN(0x2000)+0x400, rng.Uint64())},
		"blob": map[string]any{"bytes": append(bytes.Repeat([]byte{0xff}, rng.IntN(100)), byte(rng.IntN(256)))},
	})
	if err != nil {
		t.Fatal(err)
	}
	b := binary.BigEndian.AppendUint64([]byte{2}, uint64(rng.Int64N(2000)-1000))
	b = binary.BigEndian.AppendUint64(append(b, 2), uint64(rng.Int64N(3)-1))
	b = binary.BigEndian.AppendUint64(b, rng.Uint64())
	b = append(b, 2, byte(rng.IntN(256)), byte(rng.IntN(256)))
	return append(b, tail[3:]...)
}

// checkChunkBounds returns how many pages had nulls only.
func checkChunkBounds(t *testing.T, file *parquet.File, group int, leaf *layout, compare func(a, b []byte) int) (nullPages int) {
	t.Helper()
	chunk := file.Metadata().RowGroups[group].Columns[leaf.lo].MetaData
	index := file.ColumnIndexes()[group*len(file.Metadata().RowGroups[0].Columns)+leaf.lo]
	pages := file.RowGroups()[group].ColumnChunks()[leaf.lo].Pages()
	defer pages.Close()
	low, high := [][]byte{}, [][]byte{}
	for p := range index.NullPages {
		page, err := pages.ReadPage()
		if err != nil {
			t.Fatal(err)
		}
		if index.NullPages[p] != (page.NumNulls() == page.NumValues()) || index.NullCounts[p] != page.NumNulls() {
			t.Errorf("column %s, page %d: index says %d nulls, all: %v", leaf.path, p, index.NullCounts[p], index.NullPages[p])
		}
		if index.NullPages[p] {
			nullPages++
			continue
		}
		low, high = append(low, index.MinValues[p]), append(high, index.MaxValues[p])
		values := make([]parquet.Value, page.NumValues())
		n, _ := page.Values().ReadValues(values)
		for _, v := range values[:n] {
			if v.IsNull() {
				continue
			}
			b := v.Bytes()
			if compare(b, index.MinValues[p]) < 0 || compare(b, index.MaxValues[p]) > 0 {
				t.Fatalf("column %s, page %d: %x outside of %x to %x", leaf.path, p, b, index.MinValues[p], index.MaxValues[p])
			}
			if compare(b, chunk.Statistics.MinValue) < 0 || compare(b, chunk.Statistics.MaxValue) > 0 {
				t.Fatalf("column %s, group %d: %x outside of %x to %x", leaf.path, group, b, chunk.Statistics.MinValue, chunk.Statistics.MaxValue)
			}
		}
	}
	rises := slices.IsSortedFunc(low, compare) && slices.IsSortedFunc(high, compare)
	if index.BoundaryOrder.String() == "ASCENDING" && !rises {
		t.Errorf("column %s: bounds do not rise, the index says so", leaf.path)
	}
	return nullPages
}

func TestStatisticsOfDecimals(t *testing.T) {
	t.Parallel()
	cfg := testConfig("20261122080000000")
	cfg.RowGroupBytes = 20_000
	records := inventRecords(t, 21, 0, 500)
	r := openBytes(t, writeFile(t, cfg, records))
	for _, column := range []string{"price", "big", "i", "rec.code"} {
		stats, err := r.Statistics(column)
		if err != nil || !stats.Known {
			t.Fatalf("statistics of %s: %+v, %v", column, stats, err)
		}
		t.Logf("%s: %+v", column, stats)
	}
	stats, _ := r.Statistics("price")
	low, high := "", ""
	for _, rec := range records {
		v, ok := rec.show["price"].(interface{ Float64() (float64, error) })
		if !ok {
			continue
		}
		f, _ := v.Float64()
		if l := parseFloat(t, low, 1e300); f < l {
			low = fmt.Sprint(v)
		}
		if h := parseFloat(t, high, -1e300); f > h {
			high = fmt.Sprint(v)
		}
	}
	if fmt.Sprint(stats.Min) != low || fmt.Sprint(stats.Max) != high || low[0] != '-' {
		t.Errorf("price is from %v to %v, want %s to %s", stats.Min, stats.Max, low, high)
	}
}

func parseFloat(t *testing.T, text string, otherwise float64) float64 {
	t.Helper()
	if text == "" {
		return otherwise
	}
	var f float64
	if _, err := fmt.Sscan(text, &f); err != nil {
		t.Fatal(err)
	}
	return f
}
