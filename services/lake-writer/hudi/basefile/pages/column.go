package pages

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"
	"slices"

	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/format"
)

// Column encodes the chunks of one column, one after the other. Its memory is the page being filled, the encoded pages of the
// chunk, and its dictionary; all of it is used again for the next chunk. It is not safe for concurrent use.
type Column struct {
	spec Spec
	opt  Options
	less func(a, b []byte) int

	// The page being filled. Of the value buffers only the one of the type and encoding is used.
	reps, defs  []byte
	levels, num int      // values with nulls, and without
	rows        int      // whole rows
	numbers     []uint64 // of booleans, integers and floats
	plain       []byte   // of byte arrays, as PLAIN has them
	texts       []byte   // of byte arrays in the DELTA encodings, which ends at ends
	ends        []uint32
	indexes     []int32

	dict       dictionary
	inDict     bool     // the dictionary still takes values
	unique     bool     // the chunk's values do not repeat: its pages are as DeltaLength has them
	inPage     []uint64 // a bit for each index of the dictionary: the page has it
	pageBounds bounds

	// The chunk.
	encoded   []byte // pages
	index     pageIndex
	all       bounds
	chunkRows int64
	counts    map[format.Encoding]int32 // pages by encoding
	meta      format.ColumnMetaData     // what adds up
}

// NewColumn makes an encoder that allocates nothing before it is used. It refuses encodings that do not fit the type.
func NewColumn(spec Spec, opt Options) (*Column, error) {
	fits := spec.Encoding == Plain
	switch spec.Type {
	case format.Int32, format.Int64:
		fits = fits || spec.Encoding == Delta
	case format.ByteArray:
		fits = fits || spec.Encoding != Delta
	case format.Int96:
		fits = false
	}
	if !fits || spec.MaxDef > 255 || spec.MaxRep > 255 || spec.Type == format.FixedLenByteArray && spec.Size <= 0 {
		return nil, fmt.Errorf("column of type %s, size %d, encoding %s, levels %d and %d", spec.Type, spec.Size, spec.Encoding.format(), spec.MaxDef, spec.MaxRep)
	}
	c := &Column{spec: spec, opt: opt, less: spec.order(), counts: make(map[format.Encoding]int32)}
	c.Reset()
	return c, nil
}

// Reset forgets what was written, and keeps the memory.
func (c *Column) Reset() {
	c.clearPage()
	c.dict.limit, c.inDict, c.unique = c.opt.DictionaryBytes, c.spec.Encoding == Dictionary, false
	c.dict.reset()
	c.encoded = c.encoded[:0]
	c.index.reset()
	c.all.reset()
	c.chunkRows = 0
	clear(c.counts)
	c.meta = format.ColumnMetaData{}
}

func (c *Column) clearPage() {
	c.reps, c.defs = c.reps[:0], c.defs[:0]
	c.levels, c.num, c.rows = 0, 0, 0
	c.numbers, c.plain, c.texts, c.ends, c.indexes = c.numbers[:0], c.plain[:0], c.texts[:0], c.ends[:0], c.indexes[:0]
	c.pageBounds.reset()
}

// Rows is how many rows the chunk has so far.
func (c *Column) Rows() int64 { return c.chunkRows + int64(c.rows) }

// Write adds a batch of whole rows. The batch is not kept.
func (c *Column) Write(b *Batch, rows int) error {
	levels := len(b.Values)
	if c.spec.MaxDef > 0 {
		levels = len(b.Defs)
	}
	if levels < rows || c.spec.MaxRep > 0 && len(b.Reps) != levels || c.spec.MaxRep == 0 && levels != rows {
		return fmt.Errorf("batch of %d rows with %d levels, %d of them of repetition", rows, levels, len(b.Reps))
	}
	if err := c.writeValues(b); err != nil {
		return err
	}
	if c.spec.MaxRep > 0 {
		c.reps = append(c.reps, b.Reps...)
	}
	if c.spec.MaxDef > 0 {
		c.defs = append(c.defs, b.Defs...)
	}
	c.levels += levels
	c.num += len(b.Values)
	c.rows += rows
	if c.rows >= c.opt.PageRows || c.pageBytes() >= c.opt.PageBytes {
		return c.cut()
	}
	return nil
}

// pageBytes is about how many bytes the page has before compression.
func (c *Column) pageBytes() int {
	return 8*len(c.numbers) + len(c.plain) + len(c.texts) + 2*len(c.indexes) + c.levels
}

func (c *Column) writeValues(b *Batch) error {
	switch c.spec.Type {
	case format.ByteArray:
	case format.FixedLenByteArray:
		for _, v := range b.Values {
			t := b.bytes(v)
			c.plain = append(c.plain, t...)
			if !c.opt.NoBounds {
				c.pageBounds.widen(t, c.less)
			}
		}
		return nil
	default:
		c.numbers = append(c.numbers, b.Values...)
		return nil
	}
	switch {
	case c.spec.Encoding == Dictionary && c.inDict:
		return c.writeIndexes(b)
	case c.spec.Encoding == DeltaLength || c.spec.Encoding == DeltaStrings || c.unique:
		for _, v := range b.Values {
			t := b.bytes(v)
			c.texts = append(c.texts, t...)
			c.ends = append(c.ends, uint32(len(c.texts)))
			c.widen(t)
		}
	default:
		for _, v := range b.Values {
			t := b.bytes(v)
			c.plain = append(binary.LittleEndian.AppendUint32(c.plain, uint32(len(t))), t...)
			c.widen(t)
		}
	}
	return nil
}

// widen makes room for a byte array of any length in the page's bounds.
func (c *Column) widen(t []byte) {
	switch {
	case c.opt.NoBounds:
	case c.spec.Signed:
		c.pageBounds.widen(t, c.less)
	default:
		c.pageBounds.widenText(t)
	}
}

// writeIndexes puts a batch into the dictionary. When there is no room for all of it, the page ends before the batch, and the
// column goes on without: a page has one encoding.
func (c *Column) writeIndexes(b *Batch) error {
	values, entries, bytes := len(c.indexes), len(c.dict.ends), len(c.dict.page)
	var full bool
	if c.indexes, full = c.dict.indexes(c.indexes, b, b.Values); !full {
		if n := len(c.indexes); n >= uniqueFrom && len(c.dict.ends) == n && len(c.index.pages) == 0 {
			c.leaveDictionary()
		}
		return nil
	}
	c.indexes = c.indexes[:values]
	c.dict.ends, c.dict.page = c.dict.ends[:entries], c.dict.page[:bytes] // it is not searched any more
	if err := c.cut(); err != nil {
		return err
	}
	c.inDict = false
	return c.writeValues(b)
}

// From how many values of a chunk on a dictionary is given up when none of them repeats. That many are nearly never all different by
// chance in a column that repeats, such as the one of ten thousands of sessions; and hashing more of them is most of what such a column
// costs.
const uniqueFrom = 1024

// mostlyUnique reports whether the first page's values repeat so little that its dictionary would be the page once more.
func (c *Column) mostlyUnique() bool {
	return c.inDict && len(c.indexes) >= 16 && len(c.index.pages) == 0 && 20*len(c.dict.ends) >= 19*len(c.indexes)
}

// leaveDictionary turns the chunk's first page into one without a dictionary, which the chunk then does not have.
func (c *Column) leaveDictionary() {
	for _, i := range c.indexes {
		t := c.dict.text(i)
		c.texts = append(c.texts, t...)
		c.ends = append(c.ends, uint32(len(c.texts)))
		c.widen(t)
	}
	c.indexes, c.inDict, c.unique = c.indexes[:0], false, true
}

// cut encodes the page.
func (c *Column) cut() error {
	if c.levels == 0 {
		return nil
	}
	if c.mostlyUnique() {
		c.leaveDictionary()
	}
	scratch := c.opt.Compressor
	h := dataPage{values: c.levels, nulls: c.levels - c.num, rows: c.rows}
	var err error
	if scratch.reps, err = appendLevels(scratch.reps[:0], c.reps, c.spec.MaxRep); err != nil {
		return fmt.Errorf("encode repetition levels: %w", err)
	}
	if scratch.defs, err = appendLevels(scratch.defs[:0], c.defs, c.spec.MaxDef); err != nil {
		return fmt.Errorf("encode definition levels: %w", err)
	}
	raw, encoding, err := c.encode()
	if err != nil {
		return fmt.Errorf("encode %d values: %w", c.num, err)
	}
	h.encoding, h.repBytes, h.defBytes = encoding, len(scratch.reps), len(scratch.defs)
	body := raw
	if len(raw) > 0 && scratch.codec != format.Uncompressed { // readers differ on what nothing is when compressed
		h.valuesCompressed = true
		if scratch.body, err = scratch.compress(scratch.body, raw); err != nil {
			return err
		}
		body = scratch.body
	}
	levels := len(scratch.reps) + len(scratch.defs)
	h.raw, h.compressed = levels+len(raw), levels+len(body)
	h.crc = checksum(scratch.reps, scratch.defs, body)

	from := len(c.encoded)
	c.encoded = h.append(c.encoded)
	c.meta.TotalUncompressedSize += int64(len(c.encoded) - from + h.raw)
	c.encoded = append(c.encoded, scratch.reps...)
	c.encoded = append(c.encoded, scratch.defs...)
	c.encoded = append(c.encoded, body...)
	c.index.pages = append(c.index.pages, format.PageLocation{Offset: int64(from), CompressedPageSize: int32(len(c.encoded) - from), FirstRowIndex: c.chunkRows})
	if !c.opt.NoBounds {
		c.index.add(&c.pageBounds, h.nulls, &c.spec)
		c.all.merge(&c.pageBounds, c.less)
	}
	c.counts[encoding]++
	c.chunkRows += int64(c.rows)
	c.meta.NumValues += int64(c.levels)
	c.meta.Statistics.NullCount += int64(h.nulls)
	c.clearPage()
	return nil
}

// appendLevels writes levels without their length, as pages of version 2 have them; columns without levels have none.
func appendLevels(dst, levels []byte, highest int) ([]byte, error) {
	if highest == 0 {
		return dst, nil
	}
	e := rle.Encoding{BitWidth: bits.Len(uint(highest))}
	return e.EncodeLevels(dst, levels)
}

func checksum(parts ...[]byte) (sum uint32) {
	for _, p := range parts {
		sum = crc32.Update(sum, crc32.IEEETable, p)
	}
	return sum
}

// Chunk describes an encoded chunk. The path of the column is left to the caller.
type Chunk struct {
	Meta    format.ColumnMetaData
	Index   *format.ColumnIndex // nil when no bounds hold all values, as with a NaN, or none are wanted
	Offsets format.OffsetIndex
}

// Finish writes the chunk, whose first byte has the given offset in the file, and makes the column ready for the next one.
func (c *Column) Finish(out io.Writer, offset int64) (Chunk, error) {
	if err := c.cut(); err != nil {
		return Chunk{}, err
	}
	head, err := c.dictionaryPage()
	if err != nil {
		return Chunk{}, err
	}
	for _, b := range [][]byte{head, c.encoded} {
		if len(b) == 0 {
			continue
		}
		if _, err := out.Write(b); err != nil {
			return Chunk{}, fmt.Errorf("write pages: %w", err)
		}
	}
	m := c.meta
	m.Type, m.Codec = c.spec.Type, c.opt.Compressor.codec
	m.TotalCompressedSize = int64(len(head) + len(c.encoded))
	m.DataPageOffset = offset + int64(len(head))
	if len(head) > 0 {
		m.DictionaryPageOffset = offset
		m.EncodingStats = append(m.EncodingStats, format.PageEncodingStats{PageType: format.DictionaryPage, Encoding: format.Plain, Count: 1})
		m.Encoding = append(m.Encoding, format.Plain)
	}
	if c.spec.MaxDef > 0 || c.spec.MaxRep > 0 {
		m.Encoding = append(m.Encoding, format.RLE)
	}
	for _, e := range []format.Encoding{format.Plain, format.RLEDictionary, format.DeltaBinaryPacked, format.DeltaLengthByteArray, format.DeltaByteArray} {
		if n := c.counts[e]; n > 0 {
			m.EncodingStats = append(m.EncodingStats, format.PageEncodingStats{PageType: format.DataPageV2, Encoding: e, Count: n})
			if !slices.Contains(m.Encoding, e) {
				m.Encoding = append(m.Encoding, e)
			}
		}
	}
	chunk := Chunk{Meta: m}
	if c.all.known && !c.all.unordered && len(c.all.low)+len(c.all.high) <= maxStatisticsBytes {
		chunk.Meta.Statistics.MinValue, chunk.Meta.Statistics.MaxValue = append([]byte{}, c.all.low...), append([]byte{}, c.all.high...)
	}
	if !c.all.unordered && !c.opt.NoBounds {
		index := c.index.ColumnIndex
		index.BoundaryOrder = c.index.order(c.less)
		chunk.Index = &index
	}
	for i := range c.index.pages {
		c.index.pages[i].Offset += m.DataPageOffset
	}
	chunk.Offsets.PageLocations = c.index.pages
	c.Reset()
	return chunk, nil
}

// dictionaryPage is the page's header and body; nothing when no page needs it.
func (c *Column) dictionaryPage() ([]byte, error) {
	if c.counts[format.RLEDictionary] == 0 {
		return nil, nil
	}
	scratch := c.opt.Compressor
	body := c.dict.page
	if scratch.codec != format.Uncompressed {
		var err error
		if scratch.body, err = scratch.compress(scratch.body, body); err != nil {
			return nil, err
		}
		body = scratch.body
	}
	page := appendDictionaryPage(scratch.raw[:0], len(c.dict.page), len(body), checksum(body), len(c.dict.ends))
	c.meta.TotalUncompressedSize += int64(len(page) + len(c.dict.page))
	page = append(page, body...)
	scratch.raw = page
	return page, nil
}
