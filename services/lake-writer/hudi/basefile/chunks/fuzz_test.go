package chunks

import (
	"bytes"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/columnar"
)

type seed struct {
	Text  string   `parquet:"text,dict"`
	Plain string   `parquet:"plain"`
	Delta int64    `parquet:"delta,delta"`
	Front string   `parquet:"front,delta"`
	Maybe *float64 `parquet:"maybe,optional,split"`
	Items []int32  `parquet:"items,list"`
}

// FuzzChunk: no bytes make decoding a chunk panic, or give other than the rows that were asked for.
func FuzzChunk(f *testing.F) {
	for _, version := range []int{1, 2} {
		for _, codec := range []parquet.WriterOption{parquet.Compression(&parquet.Uncompressed), parquet.Compression(&parquet.Zstd)} {
			var file bytes.Buffer
			w := parquet.NewGenericWriter[seed](&file, parquet.DataPageVersion(version), codec)
			one := 1.0
			rows := []seed{{"a", "b", 3, "prefix-a", &one, []int32{1, 2}}, {"a", "c", 4, "prefix-b", nil, nil}, {"d", "", -9, "prefix", &one, []int32{7}}}
			if _, err := w.Write(rows); err != nil {
				f.Fatal(err)
			}
			if err := w.Close(); err != nil {
				f.Fatal(err)
			}
			p, err := parquet.OpenFile(bytes.NewReader(file.Bytes()), int64(file.Len()))
			if err != nil {
				f.Fatal(err)
			}
			for i, leaf := range p.Metadata().RowGroups[0].Columns {
				from, to, err := Span(&leaf.MetaData, int64(file.Len()))
				if err != nil {
					f.Fatal(err)
				}
				levels := byte(0)
				if i >= 4 {
					levels = byte(i - 3) // one definition level; with repetition in the last column
				}
				f.Add(file.Bytes()[from:to], byte(leaf.MetaData.Type), byte(leaf.MetaData.Codec), levels, uint16(leaf.MetaData.NumValues))
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, physical, codec, levels byte, entries uint16) {
		file := append([]byte("PAR1"), data...)
		spec := Spec{Physical: format.Type(physical % 8), Size: 5, MaxDef: levels % 3, MaxRep: levels % 3 / 2}
		var codecs Codecs
		defer codecs.Close()
		r := NewReader(spec, &codecs)
		chunk := &format.ColumnMetaData{
			Type: spec.Physical, Codec: format.CompressionCodec(codec % 8), DataPageOffset: 4,
			TotalCompressedSize: int64(len(data)), NumValues: int64(entries),
		}
		if err := r.Open(bytes.NewReader(file), int64(len(file)), chunk, nil, 0); err != nil {
			t.Fatal(err)
		}
		leaf := Leaf{Values: columnar.New(&columnar.Type{Kind: Kind(spec.Physical), Size: spec.Size})}
		for {
			leaf.Reset()
			if err := r.Read(&leaf, 2); err != nil {
				break
			}
			if spec.MaxRep == 0 && leaf.Entries != 2 {
				t.Fatalf("%d entries of two rows", leaf.Entries)
			}
			if len(leaf.Def) > 0 && !leaf.Values.Place(leaf.Def, 0, spec.MaxDef) {
				t.Fatal("levels and values differ in number")
			}
		}
	})
}
