package pages

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// The oracle of these tests is parquet-go's reader: a file of one column is put around a chunk, and read back.

// testColumn is values with their levels, as rows.
type testColumn struct {
	spec Spec
	rows [][]testValue
}

type testValue struct {
	rep, def int
	bits     uint64
	text     []byte
}

// batch makes a run of rows one batch.
func (c *testColumn) batch(rows [][]testValue) *Batch {
	b := &Batch{Text: []byte("noise")}
	for _, row := range rows {
		for _, v := range row {
			b.Reps, b.Defs = append(b.Reps, byte(v.rep)), append(b.Defs, byte(v.def))
			if v.def < c.spec.MaxDef {
				continue
			}
			if isText(c.spec.Type) {
				v.bits = Span(len(b.Text), len(v.text))
				b.Text = append(b.Text, v.text...)
			}
			b.Values = append(b.Values, v.bits)
		}
	}
	return b
}

func isText(t format.Type) bool { return t == format.ByteArray || t == format.FixedLenByteArray }

func (c *testColumn) value(v testValue) parquet.Value {
	var p parquet.Value
	switch {
	case v.def < c.spec.MaxDef:
		p = parquet.NullValue()
	case c.spec.Type == format.Boolean:
		p = parquet.BooleanValue(v.bits == 1)
	case c.spec.Type == format.Int32:
		p = parquet.Int32Value(int32(v.bits))
	case c.spec.Type == format.Int64:
		p = parquet.Int64Value(int64(v.bits))
	case c.spec.Type == format.Float:
		p = parquet.FloatValue(math.Float32frombits(uint32(v.bits)))
	case c.spec.Type == format.Double:
		p = parquet.DoubleValue(math.Float64frombits(v.bits))
	case c.spec.Type == format.FixedLenByteArray:
		p = parquet.FixedLenByteArrayValue(v.text)
	default:
		p = parquet.ByteArrayValue(v.text)
	}
	return p.Level(v.rep, v.def, 0)
}

// write encodes the rows in batches of a size, in groups, and returns a file.
func (c *testColumn) write(t *testing.T, col *Column, batch, group int) ([]byte, []Chunk) {
	t.Helper()
	var out bytes.Buffer
	out.WriteString("PAR1")
	var chunks []Chunk
	meta := format.FileMetaData{Version: 1, NumRows: int64(len(c.rows))}
	for rows := range slices.Chunk(c.rows, group) {
		for part := range slices.Chunk(rows, batch) {
			b := c.batch(part)
			if c.spec.MaxDef == 0 {
				b.Defs = nil
			}
			if c.spec.MaxRep == 0 {
				b.Reps = nil
			}
			if err := col.Write(b, len(part)); err != nil {
				t.Fatal(err)
			}
		}
		if col.Rows() != int64(len(rows)) {
			t.Fatalf("chunk has %d rows, want %d", col.Rows(), len(rows))
		}
		at := int64(out.Len())
		chunk, err := col.Finish(&out, at)
		if err != nil {
			t.Fatal(err)
		}
		if chunk.Meta.TotalCompressedSize != int64(out.Len())-at {
			t.Errorf("chunk of %d bytes says %d", int64(out.Len())-at, chunk.Meta.TotalCompressedSize)
		}
		chunk.Meta.PathInSchema = []string{"c"}
		chunks = append(chunks, chunk)
		meta.RowGroups = append(meta.RowGroups, format.RowGroup{NumRows: int64(len(rows)), Columns: []format.ColumnChunk{{MetaData: chunk.Meta}}})
	}
	leaf := format.SchemaElement{Name: "c", Type: thrift.New(c.spec.Type), RepetitionType: thrift.New(format.Required)}
	if c.spec.MaxRep > 0 {
		leaf.RepetitionType = thrift.New(format.Repeated)
	} else if c.spec.MaxDef > 0 {
		leaf.RepetitionType = thrift.New(format.Optional)
	}
	if c.spec.Size > 0 {
		leaf.TypeLength = thrift.New(int32(c.spec.Size))
	}
	meta.Schema = []format.SchemaElement{{Name: "root", NumChildren: thrift.New(int32(1))}, leaf}
	footer, err := thrift.Marshal(new(thrift.CompactProtocol), meta)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(footer)
	out.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(len(footer))), "PAR1"...))
	return out.Bytes(), chunks
}

// check reads the file and compares every value, and every page with its bounds.
func (c *testColumn) check(t *testing.T, data []byte, chunks []Chunk) {
	t.Helper()
	file, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)), parquet.SkipPageIndex(true))
	if err != nil {
		t.Fatal(err)
	}
	var want []parquet.Value
	for _, row := range c.rows {
		for _, v := range row {
			want = append(want, c.value(v))
		}
	}
	n := 0
	for g, group := range file.RowGroups() {
		pages := group.ColumnChunks()[0].Pages()
		rows := int64(0)
		for p := 0; ; p++ {
			page, err := pages.ReadPage()
			if errors.Is(err, io.EOF) {
				if p != len(chunks[g].Offsets.PageLocations) {
					t.Fatalf("%d pages, index has %d", p, len(chunks[g].Offsets.PageLocations))
				}
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if at := chunks[g].Offsets.PageLocations[p].FirstRowIndex; at != rows {
				t.Fatalf("page %d begins at row %d, index says %d", p, rows, at)
			}
			rows += page.NumRows()
			values := make([]parquet.Value, page.NumValues())
			if m, err := page.Values().ReadValues(values); m != len(values) || err != nil && !errors.Is(err, io.EOF) {
				t.Fatalf("read %d of %d values: %v", m, len(values), err)
			}
			for _, v := range values {
				w := want[n]
				if !sameValue(v, w) || v.RepetitionLevel() != w.RepetitionLevel() || v.DefinitionLevel() != w.DefinitionLevel() {
					t.Fatalf("value %d is %+v, want %+v", n, v, w)
				}
				n++
			}
			c.checkBounds(t, &chunks[g], p, values)
		}
		if err := pages.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n != len(want) {
		t.Fatalf("%d values, want %d", n, len(want))
	}
}

func sameValue(a, b parquet.Value) bool {
	if a.IsNull() || b.IsNull() {
		return a.IsNull() && b.IsNull()
	}
	return a.Kind() == b.Kind() && bytes.Equal(a.Bytes(), b.Bytes())
}

func (c *testColumn) checkBounds(t *testing.T, chunk *Chunk, page int, values []parquet.Value) {
	t.Helper()
	nulls, nan := 0, false
	for _, v := range values {
		if v.IsNull() {
			nulls++
			continue
		}
		b := plainBytes(c.spec.Type, v)
		if isNaN(c.spec.Type, v) {
			nan = true
			continue
		}
		stats := chunk.Meta.Statistics
		if stats.MinValue != nil && (c.spec.order()(b, stats.MinValue) < 0 || c.spec.order()(b, stats.MaxValue) > 0) {
			t.Fatalf("%x is outside of the chunk's %x to %x", b, stats.MinValue, stats.MaxValue)
		}
		if chunk.Index == nil {
			continue
		}
		if low, high := chunk.Index.MinValues[page], chunk.Index.MaxValues[page]; c.spec.order()(b, low) < 0 || c.spec.order()(b, high) > 0 {
			t.Fatalf("%x is outside of page %d's %x to %x", b, page, low, high)
		}
	}
	switch {
	case nan && (chunk.Index != nil || chunk.Meta.Statistics.MinValue != nil):
		t.Fatal("bounds in spite of a NaN")
	case chunk.Index == nil:
	case chunk.Index.NullPages[page] != (nulls == len(values)) || chunk.Index.NullCounts[page] != int64(nulls):
		t.Fatalf("page %d: %d nulls of %d values, index says %d and %v", page, nulls, len(values), chunk.Index.NullCounts[page], chunk.Index.NullPages[page])
	}
}

func isNaN(typ format.Type, v parquet.Value) bool {
	return typ == format.Float && v.Float() != v.Float() || typ == format.Double && v.Double() != v.Double()
}

func plainBytes(typ format.Type, v parquet.Value) []byte {
	if typ == format.Boolean {
		if v.Boolean() {
			return []byte{1}
		}
		return []byte{0}
	}
	return v.Bytes()
}

// specs are all combinations of type, encoding and levels.
func specs() []Spec {
	var all []Spec
	for _, levels := range [][2]int{{0, 0}, {1, 0}, {1, 1}} {
		add := func(s Spec) {
			s.MaxDef, s.MaxRep = levels[0], levels[1]
			all = append(all, s)
		}
		for _, t := range []format.Type{format.Boolean, format.Int32, format.Int64, format.Float, format.Double, format.ByteArray} {
			add(Spec{Type: t})
		}
		add(Spec{Type: format.Int32, Encoding: Delta})
		add(Spec{Type: format.Int64, Encoding: Delta})
		add(Spec{Type: format.FixedLenByteArray, Size: 3})
		add(Spec{Type: format.FixedLenByteArray, Size: 8, Signed: true})
		for _, e := range []Encoding{Dictionary, DeltaLength, DeltaStrings} {
			add(Spec{Type: format.ByteArray, Encoding: e, Text: e != DeltaLength})
		}
	}
	return all
}

func (s Spec) name() string {
	return fmt.Sprintf("%s-%d %s %d-%d", s.Type, s.Size, s.Encoding.format(), s.MaxDef, s.MaxRep)
}

func testOptions(t *testing.T, codec format.CompressionCodec) Options {
	t.Helper()
	c, err := NewCompressor(codec)
	if err != nil {
		t.Fatal(err)
	}
	return Options{Compressor: c, PageBytes: 3000, PageRows: 700, DictionaryBytes: 2000}
}

func (c *testColumn) fill(rng *rand.Rand, rows int) {
	spread := 1 + rng.IntN(1000) // of values, so that some dictionaries overflow and some do not
	row := func() []testValue {
		n := 1
		if c.spec.MaxRep > 0 {
			n = rng.IntN(5)
		}
		if n == 0 || c.spec.MaxDef > 0 && c.spec.MaxRep == 0 && rng.IntN(4) == 0 {
			return []testValue{{}}
		}
		values := make([]testValue, n)
		for i := range values {
			values[i] = c.invent(rng, spread)
			values[i].rep, values[i].def = min(i, c.spec.MaxRep), c.spec.MaxDef
		}
		return values
	}
	nulls := rng.IntN(rows + 1) // a stretch of nulls, longer than a page
	for i := range rows {
		if c.spec.MaxDef > 0 && i >= nulls && i < nulls+1500 {
			c.rows = append(c.rows, []testValue{{}})
			continue
		}
		c.rows = append(c.rows, row())
	}
}

func (c *testColumn) invent(rng *rand.Rand, spread int) testValue {
	n := rng.IntN(spread)
	switch c.spec.Type {
	case format.Boolean:
		return testValue{bits: uint64(n & 1)}
	case format.Int32:
		return testValue{bits: uint64(int32(rng.Uint32()) >> rng.IntN(32))}
	case format.Int64:
		return testValue{bits: uint64(int64(rng.Uint64()) >> rng.IntN(64))}
	case format.Float:
		return testValue{bits: uint64(math.Float32bits(float32(n-spread/2) / 3))}
	case format.Double:
		return testValue{bits: math.Float64bits(float64(n-spread/2) / 3)}
	case format.FixedLenByteArray:
		return testValue{text: binary.BigEndian.AppendUint64(nil, rng.Uint64())[:c.spec.Size]}
	default:
		return testValue{text: fmt.Appendf(nil, "%.*s%d", n%9, "prefix-\u20ac", n)}
	}
}

func TestColumnsAreReadBack(t *testing.T) {
	t.Parallel()
	for _, codec := range []format.CompressionCodec{format.Zstd, format.Snappy, format.Uncompressed} {
		for i, spec := range specs() {
			t.Run(fmt.Sprint(codec, " ", spec.name()), func(t *testing.T) {
				t.Parallel()
				rng := rand.New(rand.NewPCG(uint64(i), uint64(codec)))
				col, err := NewColumn(spec, testOptions(t, codec))
				if err != nil {
					t.Fatal(err)
				}
				for _, rows := range []int{1, 10, 5000} { // one encoder after the other file
					c := &testColumn{spec: spec}
					c.fill(rng, rows)
					data, chunks := c.write(t, col, 1+rng.IntN(300), 1+rng.IntN(2*rows))
					c.check(t, data, chunks)
				}
			})
		}
	}
}

// FuzzColumn: whatever the values are, parquet-go reads them back.
func FuzzColumn(f *testing.F) {
	f.Add(uint8(0), uint16(3), []byte("some values of any kind"))
	f.Add(uint8(10), uint16(1), []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0x80, 0x7f, 0x80, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1})
	f.Add(uint8(23), uint16(200), bytes.Repeat([]byte("abcdefgh"), 600))
	f.Add(uint8(36), uint16(9), bytes.Repeat([]byte{1, 0xc0, 3}, 900))
	f.Fuzz(func(t *testing.T, which uint8, batch uint16, b []byte) {
		all := specs()
		c := &testColumn{spec: all[int(which)%len(all)]}
		c.spec.Text = false // bytes are any
		for len(b) > 0 && len(c.rows) < 20_000 {
			var row []testValue
			row, b = c.fuzzRow(b)
			c.rows = append(c.rows, row)
		}
		if len(c.rows) == 0 {
			return
		}
		col, err := NewColumn(c.spec, testOptions(t, format.Uncompressed))
		if err != nil {
			t.Fatal(err)
		}
		data, chunks := c.write(t, col, int(batch)+1, 3000)
		c.check(t, data, chunks)
	})
}

// fuzzRow takes a row off the bytes.
func (c *testColumn) fuzzRow(b []byte) (row []testValue, left []byte) {
	head := b[0]
	b = b[1:]
	if c.spec.MaxDef > 0 && head&3 == 0 {
		return []testValue{{}}, b
	}
	n := 1
	if c.spec.MaxRep > 0 {
		n += int(head >> 2 & 7)
	}
	for i := range n {
		v := testValue{rep: min(i, c.spec.MaxRep), def: c.spec.MaxDef}
		var word [8]byte
		b = b[copy(word[:], b):]
		v.bits = binary.LittleEndian.Uint64(word[:])
		switch c.spec.Type {
		case format.Boolean:
			v.bits &= 1
		case format.Int32:
			v.bits = uint64(int32(v.bits))
		case format.Float:
			v.bits = uint64(uint32(v.bits))
		case format.FixedLenByteArray:
			v.text = bytes.Clone(word[:c.spec.Size])
		case format.ByteArray:
			v.text = bytes.Clone(word[:word[7]&7])
		}
		row = append(row, v)
	}
	return row, b
}

// A dictionary that is full stays for the pages before, and no page has two encodings.
func TestDictionaryOverflows(t *testing.T) {
	t.Parallel()
	c := &testColumn{spec: Spec{Type: format.ByteArray, Encoding: Dictionary, Text: true}}
	for i := range 3000 {
		c.rows = append(c.rows, []testValue{{text: fmt.Appendf(nil, "value %d", i/2*7%900)}})
	}
	col, err := NewColumn(c.spec, testOptions(t, format.Zstd))
	if err != nil {
		t.Fatal(err)
	}
	data, chunks := c.write(t, col, 17, 1500)
	c.check(t, data, chunks)
	for _, chunk := range chunks {
		if n := len(chunk.Meta.EncodingStats); n != 3 || chunk.Meta.DictionaryPageOffset == 0 {
			t.Errorf("chunk has pages of %d kinds: %+v", n, chunk.Meta.EncodingStats)
		}
	}
}

// A column whose values do not repeat has no dictionary, whether that shows within the first page or at its end; one of few repetitions has.
func TestDictionaryOfUniqueValues(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		values, distinct, batch int
		nulls, dictionary       bool
	}{
		"no repetition":         {values: 3000, distinct: 3000, batch: 100},
		"in one batch":          {values: 3000, distinct: 3000, batch: 3000},
		"few values":            {values: 40, distinct: 40, batch: 7, nulls: true},
		"repeats later":         {values: 3000, distinct: 1200, batch: 50},
		"nearly no repetition":  {values: 100, distinct: 96, batch: 100, nulls: true},
		"some repetition":       {values: 100, distinct: 90, batch: 100, dictionary: true},
		"too few values to say": {values: 9, distinct: 9, batch: 9, nulls: true, dictionary: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &testColumn{spec: Spec{Type: format.ByteArray, Encoding: Dictionary, Text: true, MaxDef: 1}}
			for i := range tc.values {
				if tc.nulls && i%3 == 0 {
					c.rows = append(c.rows, []testValue{{}})
				}
				c.rows = append(c.rows, []testValue{{def: 1, text: fmt.Appendf(nil, "value %d", i*7919%tc.distinct)}})
			}
			options := testOptions(t, format.Zstd)
			options.DictionaryBytes = 1 << 20
			col, err := NewColumn(c.spec, options)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second time by a column that was reset
				data, chunks := c.write(t, col, tc.batch, 2*tc.values)
				c.check(t, data, chunks)
				if has := chunks[0].Meta.DictionaryPageOffset != 0; has != tc.dictionary {
					t.Errorf("has a dictionary: %t, want %t: %+v", has, tc.dictionary, chunks[0].Meta.EncodingStats)
				}
			}
		})
	}
}
