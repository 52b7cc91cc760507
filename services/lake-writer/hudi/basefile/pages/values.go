package pages

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/format"
)

// encode lays down the page's values, and completes its bounds where they were not kept while values came in. The bytes are good
// until the next page.
func (c *Column) encode() (raw []byte, encoding format.Encoding, err error) {
	s := c.opt.Compressor
	if c.num == 0 { // a page of nulls needs no dictionary
		return nil, format.Plain, nil
	}
	switch c.spec.Type {
	case format.ByteArray:
		return c.encodeTexts()
	case format.FixedLenByteArray:
		return c.plain, format.Plain, nil
	case format.Boolean:
		s.raw = c.encodeBooleans(s.raw[:0])
		return s.raw, format.Plain, nil
	case format.Int32:
		s.int32s = s.int32s[:0]
		for _, v := range c.numbers {
			s.int32s = append(s.int32s, int32(v))
		}
		numberBounds(&c.pageBounds, s.int32s, func(b []byte, v int32) []byte { return binary.LittleEndian.AppendUint32(b, uint32(v)) })
		if c.spec.Encoding == Delta {
			s.raw, err = (&delta.BinaryPackedEncoding{}).EncodeInt32(s.raw[:0], s.int32s)
			return s.raw, format.DeltaBinaryPacked, err
		}
	case format.Int64:
		s.int64s = s.int64s[:0]
		for _, v := range c.numbers {
			s.int64s = append(s.int64s, int64(v))
		}
		numberBounds(&c.pageBounds, s.int64s, func(b []byte, v int64) []byte { return binary.LittleEndian.AppendUint64(b, uint64(v)) })
		if c.spec.Encoding == Delta {
			s.raw, err = (&delta.BinaryPackedEncoding{}).EncodeInt64(s.raw[:0], s.int64s)
			return s.raw, format.DeltaBinaryPacked, err
		}
	case format.Float:
		s.floats = s.floats[:0]
		for _, v := range c.numbers {
			s.floats = append(s.floats, math.Float32frombits(uint32(v)))
		}
		floatBounds(&c.pageBounds, s.floats, func(b []byte, v float32) []byte { return binary.LittleEndian.AppendUint32(b, math.Float32bits(v)) })
	case format.Double:
		s.doubles = s.doubles[:0]
		for _, v := range c.numbers {
			s.doubles = append(s.doubles, math.Float64frombits(v))
		}
		floatBounds(&c.pageBounds, s.doubles, func(b []byte, v float64) []byte { return binary.LittleEndian.AppendUint64(b, math.Float64bits(v)) })
	}
	s.raw = s.raw[:0]
	wide := c.spec.Type == format.Int64 || c.spec.Type == format.Double
	for _, v := range c.numbers {
		if wide {
			s.raw = binary.LittleEndian.AppendUint64(s.raw, v)
		} else {
			s.raw = binary.LittleEndian.AppendUint32(s.raw, uint32(v))
		}
	}
	return s.raw, format.Plain, nil
}

func numberBounds[N int32 | int64](b *bounds, values []N, encode func([]byte, N) []byte) {
	low, high := values[0], values[0]
	for _, v := range values {
		low, high = min(low, v), max(high, v)
	}
	b.low, b.high, b.known = encode(b.low[:0], low), encode(b.high[:0], high), true
}

// encodeBooleans packs eight to a byte, the first into the lowest bit.
func (c *Column) encodeBooleans(raw []byte) []byte {
	low, high := byte(1), byte(0)
	for i, v := range c.numbers {
		if i%8 == 0 {
			raw = append(raw, 0)
		}
		bit := byte(v & 1)
		raw[len(raw)-1] |= bit << (i % 8)
		low, high = min(low, bit), max(high, bit)
	}
	b := &c.pageBounds
	b.low, b.high, b.known = append(b.low[:0], low), append(b.high[:0], high), true
	return raw
}

func (c *Column) encodeTexts() (raw []byte, encoding format.Encoding, err error) {
	s := c.opt.Compressor
	switch {
	case c.spec.Encoding == Dictionary && c.inDict:
		if !c.opt.NoBounds {
			c.indexBounds()
		}
		s.raw, err = (&rle.DictionaryEncoding{}).EncodeInt32(s.raw[:0], c.indexes)
		return s.raw, format.RLEDictionary, err
	case c.spec.Encoding == DeltaLength || c.unique:
		s.int32s = s.int32s[:0]
		from := uint32(0)
		for _, end := range c.ends {
			s.int32s = append(s.int32s, int32(end-from))
			from = end
		}
		if s.raw, err = (&delta.BinaryPackedEncoding{}).EncodeInt32(s.raw[:0], s.int32s); err != nil {
			return nil, 0, err
		}
		s.raw = append(s.raw, c.texts...)
		return s.raw, format.DeltaLengthByteArray, nil
	case c.spec.Encoding == DeltaStrings:
		c.ends = append(c.ends, 0) // the encoder wants where each begins, and where the last ends
		copy(c.ends[1:], c.ends)
		c.ends[0] = 0
		s.raw, err = (&delta.ByteArrayEncoding{}).EncodeByteArray(s.raw[:0], c.texts, c.ends)
		return s.raw, format.DeltaByteArray, err
	default:
		return c.plain, format.Plain, nil
	}
}

// indexBounds looks at each of the page's distinct values once.
func (c *Column) indexBounds() {
	c.inPage = slices.Grow(c.inPage[:0], len(c.dict.ends)/64+1)[:len(c.dict.ends)/64+1]
	clear(c.inPage)
	for _, i := range c.indexes {
		word, bit := &c.inPage[i/64], uint64(1)<<(i%64)
		if *word&bit == 0 {
			*word |= bit
			c.widen(c.dict.text(i))
		}
	}
}
