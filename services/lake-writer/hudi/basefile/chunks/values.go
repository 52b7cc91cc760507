package chunks

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/parquet-go/parquet-go/format"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/columnar"
)

// maxTexts bounds the texts of a batch, so that offsets of 32 bits hold.
const maxTexts = math.MaxInt32

// values are those of a page that are not yet read.
type values struct {
	r        *Reader
	encoding format.Encoding
	b        []byte
	left     int
	total    int // of the page
	at       int // bits or values that were read of plain booleans and split bytes

	codes   hybrid
	scratch []int32
	numbers []int64 // of DELTA_BINARY_PACKED, or the lengths of texts
	begins  []int64 // of DELTA_BYTE_ARRAY, how much of the text before is the beginning of the next
	memory  [2][]int64
	last    []byte
}

// begin takes a page's n values.
func (v *values) begin(r *Reader, encoding format.Encoding, b []byte, n int) (err error) {
	v.r, v.encoding, v.b, v.left, v.total, v.at, v.last = r, encoding, b, n, n, 0, v.last[:0]
	t := r.spec.Physical
	wrong := fmt.Errorf("encoding %s of %s: %w", encoding, t, ErrUnsupported)
	switch encoding {
	case format.Plain:
	case plainDictionary, format.RLEDictionary:
		v.encoding = format.RLEDictionary
		return v.beginCodes()
	case format.RLE:
		if t != format.Boolean {
			return wrong
		}
		if n == 0 {
			return nil
		}
		if b, _, err = sized(b); err == nil {
			v.codes, err = newHybrid(b, 1)
		}
		return err
	case format.DeltaBinaryPacked:
		if t != format.Int32 && t != format.Int64 {
			return wrong
		}
		return v.beginDeltas(b)
	case format.DeltaLengthByteArray, format.DeltaByteArray:
		if t != format.ByteArray && (encoding != format.DeltaByteArray || t != format.FixedLenByteArray) {
			return wrong
		}
		return v.beginTexts(b)
	case format.ByteStreamSplit:
		if size := v.size(); size == 0 || len(b) != n*size {
			return damaged("%d bytes of %d split values", len(b), n)
		}
	default:
		return wrong
	}
	return nil
}

// sized takes bytes behind their length.
func sized(b []byte) (content, rest []byte, err error) {
	if len(b) < 4 || uint64(binary.LittleEndian.Uint32(b)) > uint64(len(b)-4) {
		return nil, nil, damaged("%d bytes are too short for what they should hold", len(b))
	}
	n := 4 + int(binary.LittleEndian.Uint32(b))
	return b[4:n], b[n:], nil
}

// size is that of a value in bytes, 0 where values differ.
func (v *values) size() int {
	switch v.r.spec.Physical {
	case format.Int32, format.Float:
		return 4
	case format.Int64, format.Double:
		return 8
	case format.FixedLenByteArray:
		return v.r.spec.Size
	default:
		return 0
	}
}

func (v *values) beginCodes() (err error) {
	if v.r.dict == nil {
		return damaged("codes without a dictionary")
	}
	if v.left == 0 {
		return nil
	}
	if len(v.b) == 0 {
		return damaged("codes without a width")
	}
	v.codes, err = newHybrid(v.b[1:], int(v.b[0]))
	return err
}

func (v *values) beginDeltas(b []byte) (err error) {
	if v.left == 0 {
		return nil
	}
	v.memory[0], _, err = deltas(v.memory[0][:0], b, v.left)
	v.numbers = v.memory[0]
	if err == nil && len(v.numbers) != v.left {
		err = damaged("%d delta values, want %d", len(v.numbers), v.left)
	}
	return err
}

func (v *values) beginTexts(b []byte) (err error) {
	if v.left == 0 {
		return nil
	}
	if v.encoding == format.DeltaByteArray {
		if v.memory[1], b, err = deltas(v.memory[1][:0], b, v.left); err != nil {
			return err
		}
		v.begins = v.memory[1]
		if len(v.begins) != v.left {
			return damaged("%d delta texts, want %d", len(v.begins), v.left)
		}
	}
	if v.memory[0], v.b, err = deltas(v.memory[0][:0], b, v.left); err != nil {
		return err
	}
	v.numbers = v.memory[0]
	if len(v.numbers) != v.left {
		return damaged("%d lengths of texts, want %d", len(v.numbers), v.left)
	}
	sum := int64(0)
	for _, n := range v.numbers {
		if n < 0 || n > int64(len(v.b))-sum {
			return damaged("text of %d bytes, %d are left", n, int64(len(v.b))-sum)
		}
		sum += n
	}
	return nil
}

// read appends n values.
func (v *values) read(out *columnar.Column, n int) error {
	if n == 0 {
		return nil
	}
	if n > v.left {
		return damaged("%d values, %d are left", n, v.left)
	}
	v.left -= n
	switch v.encoding {
	case format.Plain:
		return v.plain(out, n)
	case format.RLEDictionary:
		return v.dictionary(out, n)
	case format.RLE:
		return v.booleans(out, n)
	case format.DeltaBinaryPacked:
		if out.Type.Kind == columnar.Int64 {
			out.Int64s = append(out.Int64s, v.numbers[:n]...)
		} else {
			for _, x := range v.numbers[:n] {
				out.Int32s = append(out.Int32s, int32(x))
			}
		}
		v.numbers = v.numbers[n:]
		return nil
	case format.ByteStreamSplit:
		v.split(out, n)
		return nil
	default:
		return v.deltaTexts(out, n)
	}
}

// decodeCodes reads n codes into memory that is good until the next call.
func (v *values) decodeCodes(n int) ([]int32, error) {
	v.scratch = slices.Grow(v.scratch[:0], n)[:n]
	return v.scratch, v.codes.decode(v.scratch)
}

func (v *values) booleans(out *columnar.Column, n int) error {
	codes, err := v.decodeCodes(n)
	for _, c := range codes {
		out.Bools = append(out.Bools, c != 0)
	}
	return err
}

// dictionary appends n values by their codes. Texts stay codes as long as the batch has no others.
func (v *values) dictionary(out *columnar.Column, n int) error {
	texts := v.r.spec.Physical == format.ByteArray
	if texts && (out.Dict != nil || len(out.Offsets) == 1) {
		out.Dict = &v.r.texts
		from := len(out.Codes)
		out.Codes = slices.Grow(out.Codes, n)[:from+n]
		if err := v.codes.decode(out.Codes[from:]); err != nil {
			return err
		}
		return v.checkCodes(out.Codes[from:])
	}
	codes, err := v.decodeCodes(n)
	if err == nil {
		err = v.checkCodes(codes)
	}
	if err != nil {
		return err
	}
	d := v.r.dict
	switch out.Type.Kind {
	case columnar.Int32:
		out.Int32s = lookUp(out.Int32s, d.Int32s, codes)
	case columnar.Int64:
		out.Int64s = lookUp(out.Int64s, d.Int64s, codes)
	case columnar.Float32:
		out.Float32s = lookUp(out.Float32s, d.Float32s, codes)
	case columnar.Float64:
		out.Float64s = lookUp(out.Float64s, d.Float64s, codes)
	case columnar.Fixed:
		for _, c := range codes {
			out.Data = append(out.Data, d.Bytes(int(c))...)
		}
	default:
		for _, c := range codes {
			if err := appendText(out, d.Bytes(int(c))); err != nil {
				return err
			}
		}
	}
	return nil
}

func lookUp[T any](dst, dictionary []T, codes []int32) []T {
	from := len(dst)
	dst = slices.Grow(dst, len(codes))[:from+len(codes)]
	to := dst[from:]
	for i, c := range codes {
		to[i] = dictionary[c]
	}
	return dst
}

// checkCodes refuses codes behind the dictionary's end. Where the codes' width keeps them in it, they are not looked at.
func (v *values) checkCodes(codes []int32) error {
	n := v.r.dict.Len
	if n > 0 && v.codes.width <= codeBits(n) {
		return nil
	}
	for _, c := range codes {
		if uint32(c) >= uint32(n) {
			return damaged("code %d of a dictionary of %d", uint32(c), n)
		}
	}
	return nil
}

func appendText(out *columnar.Column, b []byte) error {
	if len(out.Data)+len(b) > maxTexts {
		return damaged("a batch with texts of more than %d bytes", maxTexts)
	}
	out.Data = append(out.Data, b...)
	out.Offsets = append(out.Offsets, int32(len(out.Data)))
	return nil
}

// plain appends n values that are side by side.
func (v *values) plain(out *columnar.Column, n int) error {
	switch out.Type.Kind {
	case columnar.Bool:
		if (v.at+n+7)/8 > len(v.b) {
			return damaged("%d booleans in %d bytes", v.at+n, len(v.b))
		}
		for i := v.at; i < v.at+n; i++ {
			out.Bools = append(out.Bools, v.b[i>>3]>>(i&7)&1 != 0)
		}
		v.at += n
		return nil
	case columnar.Bytes, columnar.String:
		return v.plainTexts(out, n)
	}
	size := v.size()
	if size == 0 || n > len(v.b)/size {
		return damaged("%d values of %d bytes, %d are left", n, size, len(v.b))
	}
	appendFixed(out, v.b[:n*size])
	v.b = v.b[n*size:]
	return nil
}

// appendFixed appends values of little-endian bytes.
func appendFixed(out *columnar.Column, b []byte) {
	switch out.Type.Kind {
	case columnar.Int32:
		for ; len(b) >= 4; b = b[4:] {
			out.Int32s = append(out.Int32s, int32(binary.LittleEndian.Uint32(b)))
		}
	case columnar.Int64:
		for ; len(b) >= 8; b = b[8:] {
			out.Int64s = append(out.Int64s, int64(binary.LittleEndian.Uint64(b)))
		}
	case columnar.Float32:
		for ; len(b) >= 4; b = b[4:] {
			out.Float32s = append(out.Float32s, math.Float32frombits(binary.LittleEndian.Uint32(b)))
		}
	case columnar.Float64:
		for ; len(b) >= 8; b = b[8:] {
			out.Float64s = append(out.Float64s, math.Float64frombits(binary.LittleEndian.Uint64(b)))
		}
	default:
		out.Data = append(out.Data, b...)
	}
}

func (v *values) plainTexts(out *columnar.Column, n int) error {
	out.Materialise()
	b := v.b
	out.Offsets = slices.Grow(out.Offsets, n)
	for range n {
		if len(b) < 4 || uint64(binary.LittleEndian.Uint32(b)) > uint64(len(b)-4) {
			return damaged("a text that ends behind the page")
		}
		end := 4 + int(binary.LittleEndian.Uint32(b))
		if err := appendText(out, b[4:end]); err != nil {
			return err
		}
		b = b[end:]
	}
	v.b = b
	return nil
}

// deltaTexts appends n texts whose lengths are known, and how they begin.
func (v *values) deltaTexts(out *columnar.Column, n int) error {
	if v.encoding == format.DeltaByteArray {
		return v.frontCoded(out, n)
	}
	out.Materialise()
	begin, end := len(out.Data), len(out.Data)
	for _, size := range v.numbers[:n] {
		end += int(size)
		out.Offsets = append(out.Offsets, int32(end))
	}
	if end > maxTexts {
		return damaged("a batch with texts of more than %d bytes", maxTexts)
	}
	out.Data = append(out.Data, v.b[:end-begin]...)
	v.b, v.numbers = v.b[end-begin:], v.numbers[n:]
	return nil
}

func (v *values) frontCoded(out *columnar.Column, n int) error {
	fixed := out.Type.Kind == columnar.Fixed
	if !fixed {
		out.Materialise()
	}
	for i := range n {
		begin, size := v.begins[i], v.numbers[i]
		if begin < 0 || begin > int64(len(v.last)) {
			return damaged("a text that begins like %d bytes of one of %d", begin, len(v.last))
		}
		v.last = append(v.last[:begin], v.b[:size]...)
		v.b = v.b[size:]
		switch {
		case !fixed:
			if err := appendText(out, v.last); err != nil {
				return err
			}
		case len(v.last) != out.Type.Size:
			return damaged("a value of %d bytes, want %d", len(v.last), out.Type.Size)
		default:
			out.Data = append(out.Data, v.last...)
		}
	}
	v.begins, v.numbers = v.begins[n:], v.numbers[n:]
	return nil
}

// split appends n values of BYTE_STREAM_SPLIT: first the first bytes of all values, then the second ones, and so on.
func (v *values) split(out *columnar.Column, n int) {
	size := v.size()
	value := make([]byte, n*size)
	for j := range size {
		stream := v.b[j*v.total+v.at:][:n]
		for i, b := range stream {
			value[i*size+j] = b
		}
	}
	v.at += n
	appendFixed(out, value)
}
