package basefile

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/encoding"
)

// TestBatchesOfEveryEncoding: files that parquet-go wrote, of every encoding, codec and page version, with runs, gaps and nothing but nulls.
func TestBatchesOfEveryEncoding(t *testing.T) {
	t.Parallel()
	nodes := map[string][]encoding.Encoding{
		"flag": {&parquet.Plain, &parquet.RLE},
		"i":    {&parquet.Plain, &parquet.RLEDictionary, &parquet.DeltaBinaryPacked, &parquet.ByteStreamSplit},
		"l":    {&parquet.Plain, &parquet.RLEDictionary, &parquet.DeltaBinaryPacked, &parquet.ByteStreamSplit},
		"f":    {&parquet.Plain, &parquet.RLEDictionary, &parquet.ByteStreamSplit},
		"d":    {&parquet.Plain, &parquet.RLEDictionary, &parquet.ByteStreamSplit},
		"s":    {&parquet.Plain, &parquet.RLEDictionary, &parquet.DeltaLengthByteArray, &parquet.DeltaByteArray},
		"x":    {&parquet.Plain, &parquet.RLEDictionary, &parquet.DeltaByteArray},
	}
	types := map[string]parquet.Node{
		"flag": parquet.Leaf(parquet.BooleanType), "i": parquet.Leaf(parquet.Int32Type), "l": parquet.Leaf(parquet.Int64Type),
		"f": parquet.Leaf(parquet.FloatType), "d": parquet.Leaf(parquet.DoubleType), "s": parquet.String(),
		"x": parquet.Leaf(parquet.FixedLenByteArrayType(5)),
	}
	codecs := []compress.Codec{&parquet.Uncompressed, &parquet.Snappy, &parquet.Gzip, &parquet.Zstd}
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 9))
		group, text := parquet.Group{}, ""
		for _, name := range slices.Sorted(maps.Keys(nodes)) {
			encodings := nodes[name]
			e := encodings[rng.IntN(len(encodings))]
			group[name] = parquet.Encoded(types[name], e)
			group["opt_"+name] = parquet.Optional(parquet.Encoded(types[name], e))
			group["list_"+name] = parquet.Optional(parquet.List(parquet.Optional(parquet.Encoded(types[name], e))))
			text += fmt.Sprintf(" %s: %s", name, e)
		}
		var file bytes.Buffer
		version := 1 + int(seed%2)
		w := parquet.NewGenericWriter[any](&file, parquet.NewSchema("t", group), parquet.DataPageVersion(version), parquet.PageBufferSize(600),
			parquet.Compression(codecs[rng.IntN(len(codecs))]), parquet.MaxRowsPerRowGroup(150))
		if _, err := w.WriteRows(inventParquet(rng, parquet.NewSchema("t", group), 400)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		r := openBytes(t, file.Bytes())
		have, _ := readBatches(t, r, "")
		t.Logf("version %d,%s", version, text)
		equalRows(t, have, readRows(t, r))
	}
}

// inventParquet makes up rows: each column has a share of nulls and of repeated values of its own.
func inventParquet(rng *rand.Rand, schema *parquet.Schema, n int) []parquet.Row {
	columns := schema.Columns()
	nulls, repeats := make([]float64, len(columns)), make([]float64, len(columns))
	last := make([]parquet.Value, len(columns))
	for i := range columns {
		nulls[i], repeats[i] = []float64{0, 0, 0.1, 0.6, 1}[rng.IntN(5)], []float64{0, 0.5, 0.99}[rng.IntN(3)]
	}
	rows := make([]parquet.Row, n)
	for r := range rows {
		for i, path := range columns {
			leaf, _ := schema.Lookup(path...)
			value := func(rep int) {
				if last[i].IsNull() || rng.Float64() >= repeats[i] {
					last[i] = inventLeaf(rng, leaf.Node)
				}
				rows[r] = append(rows[r], last[i].Level(rep, leaf.MaxDefinitionLevel, i))
			}
			null := func(rep, def int) { rows[r] = append(rows[r], parquet.NullValue().Level(rep, def, i)) }
			switch absent := leaf.MaxDefinitionLevel > 0 && rng.Float64() < nulls[i]; {
			case leaf.MaxRepetitionLevel == 0 && absent:
				null(0, leaf.MaxDefinitionLevel-1)
			case leaf.MaxRepetitionLevel == 0:
				value(0)
			case absent:
				null(0, rng.IntN(2)) // no list, or an empty one
			default:
				for item := range 1 + rng.IntN(3) {
					if rep := min(item, 1); rng.IntN(4) == 0 {
						null(rep, leaf.MaxDefinitionLevel-1)
					} else {
						value(rep)
					}
				}
			}
		}
	}
	return rows
}

func inventLeaf(rng *rand.Rand, n parquet.Node) parquet.Value {
	text := []byte(fmt.Sprintf("text-%d-%d", rng.IntN(10), rng.IntN(1000)))
	switch n.Type().Kind() {
	case parquet.Boolean:
		return parquet.BooleanValue(rng.IntN(2) == 0)
	case parquet.Int32:
		return parquet.Int32Value(int32(rng.Uint32()) >> rng.IntN(32))
	case parquet.Int64:
		return parquet.Int64Value(int64(rng.Uint64()) >> rng.IntN(64))
	case parquet.Float:
		return parquet.FloatValue(rng.Float32())
	case parquet.Double:
		return parquet.DoubleValue(rng.NormFloat64())
	case parquet.FixedLenByteArray:
		return parquet.FixedLenByteArrayValue(text[:5:5])
	default:
		return parquet.ByteArrayValue(text[:rng.IntN(len(text))])
	}
}

// FuzzBatches: no bytes make reading by columns panic, or read other rows than there should be.
func FuzzBatches(f *testing.F) {
	f.Add(writeFile(f, testConfig("20261122080000000"), inventRecords(f, 1, 0, 3)))
	for _, data := range golden(f, "v6_nonpartitioned", ".parquet") {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		tryBatches(t, data, func(rows []Row) {
			if r := openBytes(t, data); int64(len(rows)) != r.NumRows() {
				t.Errorf("%d rows, the footer says %d", len(rows), r.NumRows())
			}
		})
	})
}

// BenchmarkBatches reads a file of the test's types, lists and maps included.
func BenchmarkBatches(b *testing.B) {
	r := openBytes(b, writeFile(b, testConfig("20261122080000000"), inventRecords(b, 1, 0, 5000)))
	var scratch Scratch
	defer scratch.Close()
	columns := r.Columns()
	b.ReportAllocs()
	for b.Loop() {
		rows := 0
		for batch, err := range scratch.Batches(r, "", columns) {
			if err != nil {
				b.Fatal(err)
			}
			rows += batch.Rows
		}
		if rows != 5000 {
			b.Fatalf("%d rows", rows)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/5000, "ns/row")
}
