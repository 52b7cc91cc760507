package chunks

import (
	"hash/crc32"
	"io"
	"math/bits"

	"github.com/parquet-go/parquet-go/format"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/columnar"
)

// What a page may be at most. Writers make pages of about a megabyte; a damaged header could ask for gigabytes.
const (
	maxPageBytes  = 256 << 20
	maxPageValues = 8 << 20
	maxHeader     = 1 << 20 // holds two bounds, which may be long texts
	windowBytes   = 1 << 20 // of a chunk that is not read whole
)

// plainDictionary is what writers before Parquet 2 call the encoding of dictionary pages and of codes.
const plainDictionary format.Encoding = 2

// Spec describes a leaf.
type Spec struct {
	Physical       format.Type
	Size           int  // bytes of a FixedLenByteArray
	MaxDef, MaxRep byte // levels
}

// Leaf is a batch of a leaf: its entries' levels and its present values, each without gaps.
type Leaf struct {
	Entries  int
	Rep, Def []byte           // Rep is empty when the leaf does not repeat, Def when all entries are present
	Values   *columnar.Column // of the kind that Kind gives for the leaf's physical type; nothing but values: its Len is not set
}

// Reset empties the batch and keeps its memory.
func (l *Leaf) Reset() {
	l.Entries, l.Rep, l.Def = 0, l.Rep[:0], l.Def[:0]
	l.Values.Reset()
}

// Reader reads one column chunk after the other; its memory is used again.
type Reader struct {
	spec   Spec
	codecs *Codecs
	file   io.ReaderAt
	codec  format.CompressionCodec

	at, end  int64  // where the next page begins, and the chunk ends
	window   []byte // bytes of the file from windowAt on
	windowAt int64
	own      []byte // memory of windows that this reader read itself

	left     int64 // entries that the footer promises behind the current page
	pageAt   int64
	raw      []byte // the current page, decompressed
	rep, def []byte // what is left of its levels
	repBytes []byte
	defBytes []byte
	full     bool // all its entries are present
	entries  int  // that are left of it
	values   values

	dictBytes []byte
	dict      *columnar.Column // the chunk's dictionary; nil without one
	texts     columnar.Dictionary
	dictMem   *columnar.Column
}

// NewReader makes a reader of a leaf's chunks.
func NewReader(spec Spec, codecs *Codecs) *Reader {
	return &Reader{spec: spec, codecs: codecs, dictMem: columnar.New(&columnar.Type{Kind: Kind(spec.Physical), Size: spec.Size})}
}

// Kind is how values of a physical type are held.
func Kind(t format.Type) columnar.Kind {
	switch t {
	case format.Boolean:
		return columnar.Bool
	case format.Int32:
		return columnar.Int32
	case format.Int64:
		return columnar.Int64
	case format.Float:
		return columnar.Float32
	case format.Double:
		return columnar.Float64
	case format.ByteArray:
		return columnar.Bytes
	default:
		return columnar.Fixed
	}
}

// Span is where the pages of a chunk are in its file of size bytes.
func Span(m *format.ColumnMetaData, size int64) (from, to int64, err error) {
	from = m.DataPageOffset
	if d := m.DictionaryPageOffset; d > 0 && d < from {
		from = d
	}
	if from < 4 || m.TotalCompressedSize < 0 || m.TotalCompressedSize > size-from || m.NumValues < 0 {
		return 0, 0, &Error{Offset: from, Reason: "column chunk", Err: damaged("%d bytes in a file of %d", m.TotalCompressedSize, size)}
	}
	return from, from + m.TotalCompressedSize, nil
}

// Open begins a chunk. window, which may be empty, holds the file's bytes from windowAt on; other bytes are read from the file.
func (r *Reader) Open(file io.ReaderAt, size int64, m *format.ColumnMetaData, window []byte, windowAt int64) (err error) {
	r.file, r.codec, r.window, r.windowAt, r.left = file, m.Codec, window, windowAt, m.NumValues
	r.entries, r.dict, r.rep, r.def = 0, nil, nil, nil
	r.at, r.end, err = Span(m, size)
	r.pageAt = r.at
	return err
}

// Finish checks that the chunk has no entries behind those that were read.
func (r *Reader) Finish() error {
	if n := r.left + int64(r.entries); n != 0 {
		return r.fail("end of the chunk", damaged("%d values are left behind the last row", n))
	}
	return nil
}

func (r *Reader) fail(reason string, err error) error {
	if e, ok := err.(*Error); ok {
		return e
	}
	return &Error{Offset: r.pageAt, Reason: reason, Err: err}
}

// Read appends the entries of n rows.
func (r *Reader) Read(out *Leaf, n int) error {
	if r.spec.MaxRep > 0 {
		return r.readRepeated(out, n)
	}
	for n > 0 {
		if err := r.more(); err != nil {
			return err
		}
		k := min(n, r.entries)
		if err := r.take(out, k); err != nil {
			return err
		}
		n -= k
	}
	return nil
}

// readRepeated appends n rows, each of which goes on up to the next entry that repeats nothing.
func (r *Reader) readRepeated(out *Leaf, n int) error {
	begun := 0
	for {
		if r.entries == 0 {
			if r.left == 0 && begun == n {
				return nil
			}
			if err := r.more(); err != nil {
				return err
			}
		}
		k := 0
		for ; k < len(r.rep); k++ {
			if r.rep[k] == 0 {
				if begun == n {
					break
				}
				begun++
			} else if begun == 0 {
				return r.fail("read levels", damaged("a row begins with repetition level %d", r.rep[k]))
			}
		}
		if k == 0 {
			return nil
		}
		done := k < len(r.rep)
		if err := r.take(out, k); err != nil || done {
			return err
		}
	}
}

// more makes sure that there is a page with entries.
func (r *Reader) more() error {
	for r.entries == 0 {
		if r.left == 0 {
			return r.fail("read page", damaged("the column ends before the last row"))
		}
		if err := r.page(); err != nil {
			return r.fail("read page", err)
		}
	}
	return nil
}

// take appends k entries of the current page.
func (r *Reader) take(out *Leaf, k int) error {
	present := k
	if r.full {
		if len(out.Def) > 0 {
			out.Def = fill(out.Def, k, r.spec.MaxDef)
		}
	} else {
		if len(out.Def) == 0 {
			out.Def = fill(out.Def, out.Entries, r.spec.MaxDef)
		}
		out.Def = append(out.Def, r.def[:k]...)
		present = count(r.def[:k], r.spec.MaxDef)
		r.def = r.def[k:]
	}
	if r.spec.MaxRep > 0 {
		out.Rep = append(out.Rep, r.rep[:k]...)
		r.rep = r.rep[k:]
	}
	out.Entries += k
	r.entries -= k
	if err := r.values.read(out.Values, present); err != nil {
		return r.fail("read values", err)
	}
	return nil
}

func fill(b []byte, n int, v byte) []byte {
	for range n {
		b = append(b, v)
	}
	return b
}

func count(b []byte, v byte) (n int) {
	for _, x := range b {
		if x == v {
			n++
		}
	}
	return n
}

// bytes are n bytes of the chunk from an offset on.
func (r *Reader) bytes(at, n int64) ([]byte, error) {
	if at < r.windowAt || at+n > r.windowAt+int64(len(r.window)) {
		size := min(max(n, windowBytes), r.end-at)
		if int64(cap(r.own)) < size {
			r.own = make([]byte, size)
		}
		r.own = r.own[:size]
		if k, err := r.file.ReadAt(r.own, at); int64(k) < size {
			return nil, err
		}
		r.window, r.windowAt = r.own, at
	}
	return r.window[at-r.windowAt:][:n], nil
}

// header reads the header of the next page, whose content begins at the returned offset.
func (r *Reader) header() (h pageHeader, at int64, err error) {
	for n := int64(512); ; n *= 8 {
		n = min(n, r.end-r.at)
		b, err := r.bytes(r.at, n)
		if err != nil {
			return h, 0, err
		}
		h, size, ok := parseHeader(b)
		if ok {
			return h, r.at + int64(size), checkHeader(&h, r.end-r.at-int64(size))
		}
		if n == r.end-r.at || n >= maxHeader {
			return h, 0, damaged("page header")
		}
	}
}

func checkHeader(h *pageHeader, left int64) error {
	switch {
	case h.compressed < 0 || int64(h.compressed) > left:
		return damaged("page of %d bytes, %d are left in the chunk", h.compressed, left)
	case h.raw < 0 || h.raw > maxPageBytes:
		return damaged("page of %d bytes when decompressed", h.raw)
	case h.values < 0 || h.values > maxPageValues:
		return damaged("page of %d values", h.values)
	case h.kind == format.DataPageV2 && (h.defBytes < 0 || h.repBytes < 0 || int64(h.defBytes)+int64(h.repBytes) > int64(min(h.raw, h.compressed))):
		return damaged("levels of %d and %d bytes", h.repBytes, h.defBytes)
	default:
		return nil
	}
}

// page reads the next page, a dictionary or one of data.
func (r *Reader) page() error {
	r.pageAt = r.at
	h, at, err := r.header()
	if err != nil {
		return err
	}
	content, err := r.bytes(at, int64(h.compressed))
	if err != nil {
		return err
	}
	if h.hasCRC && crc32.ChecksumIEEE(content) != h.crc {
		return damaged("checksum")
	}
	r.at = at + int64(h.compressed)
	switch h.kind {
	case format.DictionaryPage:
		return r.dictionary(&h, content)
	case format.DataPage:
		return r.dataV1(&h, content)
	case format.DataPageV2:
		return r.dataV2(&h, content)
	default: // index pages were never specified
		return nil
	}
}

// growth is how many times longer content can be than what a codec makes of it, so that a damaged header asks for no more memory.
var growth = map[format.CompressionCodec]int64{format.Uncompressed: 1, format.Snappy: 32, format.Gzip: 1040, format.Zstd: 1 << 16}

// decompress is a page's content; the memory is dst's when it suffices.
func (r *Reader) decompress(dst, src []byte, size int32) ([]byte, error) {
	if times, known := growth[r.codec]; known && int64(size) > times*(int64(len(src))+16) {
		return dst, damaged("%d bytes that become %d", len(src), size)
	}
	if cap(dst) < int(size) {
		dst = make([]byte, size)
	}
	dst = dst[:size]
	return dst, r.codecs.decompress(r.codec, dst, src)
}

func (r *Reader) dataV1(h *pageHeader, content []byte) (err error) {
	if r.raw, err = r.decompress(r.raw, content, h.raw); err != nil {
		return err
	}
	b := r.raw
	var rep, def []byte
	if r.spec.MaxRep > 0 {
		if rep, b, err = sizedLevels(b, h.repLevels); err != nil {
			return err
		}
	}
	if r.spec.MaxDef > 0 {
		if def, b, err = sizedLevels(b, h.defLevels); err != nil {
			return err
		}
	}
	return r.begin(h, rep, def, b)
}

// sizedLevels takes levels of version 1, which say how long they are.
func sizedLevels(b []byte, encoding format.Encoding) (levels, rest []byte, err error) {
	if encoding != format.RLE { // bit-packed ones are of writers before 2014
		return nil, nil, ErrUnsupported
	}
	return sized(b)
}

func (r *Reader) dataV2(h *pageHeader, content []byte) (err error) {
	rep, def := content[:h.repBytes], content[h.repBytes:h.repBytes+h.defBytes]
	b, size := content[h.repBytes+h.defBytes:], h.raw-h.repBytes-h.defBytes
	switch {
	case h.stored || r.codec == format.Uncompressed:
		// The window may be overwritten while the page is read: what is left of it moves to the page's memory.
		r.raw = append(r.raw[:0], b...)
		b = r.raw
	case size == 0 && len(b) == 0: // some writers compress nothing to nothing
	default:
		if r.raw, err = r.decompress(r.raw, b, size); err != nil {
			return err
		}
		b = r.raw
	}
	return r.begin(h, rep, def, b)
}

// begin makes a page of data the current one.
func (r *Reader) begin(h *pageHeader, rep, def, b []byte) (err error) {
	n := int(h.values)
	if int64(n) > r.left {
		return damaged("more values than the footer says")
	}
	if r.spec.MaxRep > 0 {
		var same bool
		if r.repBytes, same, err = levels(r.repBytes[:0], rep, n, r.spec.MaxRep); err != nil {
			return err
		}
		if same {
			r.repBytes = fill(r.repBytes, n, r.spec.MaxRep)
		}
		r.rep = r.repBytes
	}
	present := n
	r.full = true
	if r.spec.MaxDef > 0 && n > 0 {
		if r.defBytes, r.full, err = levels(r.defBytes[:0], def, n, r.spec.MaxDef); err != nil {
			return err
		}
		r.def = r.defBytes
		if !r.full {
			present = count(r.def, r.spec.MaxDef)
		}
	}
	if err := r.values.begin(r, h.encoding, b, present); err != nil {
		return err
	}
	r.left -= int64(n)
	r.entries = n
	return nil
}

// dictionary reads the chunk's dictionary page.
func (r *Reader) dictionary(h *pageHeader, content []byte) (err error) {
	switch {
	case r.dict != nil:
		return damaged("a second dictionary")
	case h.encoding != format.Plain && h.encoding != plainDictionary:
		return damaged("dictionary of encoding %s", h.encoding)
	case r.spec.Physical == format.Boolean:
		return damaged("dictionary of booleans")
	}
	if r.dictBytes, err = r.decompress(r.dictBytes, content, h.raw); err != nil {
		return err
	}
	r.dictMem.Reset()
	var v values
	if err := v.begin(r, format.Plain, r.dictBytes, int(h.values)); err != nil {
		return err
	}
	if err := v.read(r.dictMem, int(h.values)); err != nil {
		return err
	}
	r.dictMem.Len = int(h.values)
	r.dict = r.dictMem
	r.texts = columnar.Dictionary{Offsets: r.dict.Offsets, Data: r.dict.Data}
	return nil
}

// codeBits is the width that codes below n can have at most without being out of range.
func codeBits(n int) int { return bits.Len(uint(n)) - 1 }
