package logfile

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
)

// defaultMaxBlockBytes is twice what Hudi's writers make of a data block by default (hoodie.logfile.data.block.max.size).
const defaultMaxBlockBytes = 512 << 20

const (
	// windowBytes is read at once where headers are expected, so that small blocks cost one read together.
	windowBytes = 64 << 10
	// searchBytes is read at once while a magic is looked for (HoodieLogFileReader.BLOCK_SCAN_READ_BUFFER_SIZE).
	searchBytes = 1 << 20
)

// ScanOptions say how Scan reads.
type ScanOptions struct {
	// SkipCorrupt passes over damaged blocks as Hudi does on file systems that can leave half a block behind: the bytes up to the next
	// magic, wherever it is, come as one block of type Corrupt; so do the first bytes of a magic at the end, which Hudi passes over silently.
	// Damage within a whole frame stays an error, as it is for Hudi. Otherwise all damage is a *CorruptError: an object of S3 is whole or
	// not there, so half a block there is no writer's crash.
	SkipCorrupt bool
	// MaxBlockBytes bounds the memory for one block; a longer one is an *UnsupportedError. 0 means 512 MiB.
	MaxBlockBytes int64
	// HeadersOnly leaves the contents out; Block.Load brings one.
	HeadersOnly bool
}

// Scan reads the blocks of a log file of a size one after the other. The blocks are the caller's. It ends with the first error: of the
// reader, a *CorruptError, or an *UnsupportedError for log format version 0, unknown types and unknown headers. No more memory is taken
// for a block than the file has for it.
func Scan(r io.ReaderAt, size int64, o ScanOptions) iter.Seq2[*Block, error] {
	return func(yield func(*Block, error) bool) {
		s := scanner{src: window{r: r, size: size}, options: o}
		for s.pos < size {
			b, err := s.next()
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(b, nil) {
				return
			}
			s.pos += b.Length
		}
	}
}

// scanner stands before a block.
type scanner struct {
	src     window
	pos     int64 // of the next block
	options ScanOptions
}

func (s *scanner) next() (*Block, error) {
	prefix, err := s.src.at(s.pos, min(s.src.size-s.pos, int64(prefixBytes)))
	if err != nil {
		return nil, err
	}
	if len(prefix) >= len(magic) && string(prefix[:len(magic)]) != magic {
		// Only at the start of a file: everywhere else the last block's test found the magic. Hudi does not go on here either.
		return nil, corrupt(s.pos, "no magic at the start of a block")
	}
	if len(prefix) < prefixBytes {
		return s.damaged(0, "the file ends within a block's length")
	}
	length := int64(binary.BigEndian.Uint64(prefix[lengthAt:]))
	reason, err := s.frameDamage(length)
	if err != nil {
		return nil, err
	}
	if reason != "" {
		return s.damaged(length, reason)
	}
	if limit := cmp.Or(s.options.MaxBlockBytes, defaultMaxBlockBytes); length > limit {
		return nil, unsupported(s.pos, "a block of %d bytes, over the limit of %d", length, limit)
	}
	return s.block(length)
}

// frameDamage is Hudi's test of a block before any of it is read (HoodieLogFileReader.isBlockCorrupted): the reverse pointer must agree
// with the length, and a magic or the end of the file must follow. Less than a magic at the end counts as the end. Hudi cuts the length to 32
// bits before it tests; here a length that needs more is damage.
func (s *scanner) frameDamage(length int64) (string, error) {
	start := s.pos + int64(prefixBytes)
	switch {
	case length < int64(minLength):
		return fmt.Sprintf("a block length of %d", length), nil
	case length > s.src.size-start:
		return fmt.Sprintf("a block length of %d, %d bytes before the end of the file", length, s.src.size-start), nil
	}
	tail := make([]byte, min(8+int64(len(magic)), s.src.size-start-length+8))
	if err := s.src.peek(tail, start+length-8); err != nil {
		return "", err
	}
	if pointer := binary.BigEndian.Uint64(tail); pointer != uint64(length)+uint64(len(magic)) {
		return fmt.Sprintf("a block length of %d and a reverse pointer of %d", length, int64(pointer)), nil
	}
	if following := tail[8:]; len(following) == len(magic) && string(following) != magic {
		return "no magic after a block", nil
	}
	return "", nil
}

// damaged reports a block whose frame is broken.
func (s *scanner) damaged(length int64, reason string) (*Block, error) {
	if s.options.SkipCorrupt {
		next, err := s.nextMagic()
		if err != nil {
			return nil, err
		}
		return &Block{Type: Corrupt, Offset: s.pos, Length: next - s.pos}, nil
	}
	// Version 0 had no reverse pointer, so its blocks come here.
	if length >= 4 && length <= s.src.size-s.pos-int64(prefixBytes) {
		version, err := s.src.at(s.pos+int64(prefixBytes), 4)
		if err != nil {
			return nil, err
		}
		if binary.BigEndian.Uint32(version) == 0 {
			return nil, unsupported(s.pos, "log format version 0")
		}
	}
	return nil, corrupt(s.pos, "%s", reason)
}

// nextMagic is the offset of the first magic after the one at the scanner's place, or the end of the file
// (HoodieLogFileReader.scanForNextAvailableBlockOffset).
func (s *scanner) nextMagic() (int64, error) {
	off := s.pos + int64(len(magic))
	for s.src.size-off >= int64(len(magic)) {
		data, err := s.src.from(off)
		if err != nil {
			return 0, err
		}
		if i := bytes.Index(data, []byte(magic)); i >= 0 {
			return off + int64(i), nil
		}
		off += int64(len(data) - len(magic) + 1)
	}
	return s.src.size, nil
}

// block reads the block at the scanner's place, whose frame has been tested.
func (s *scanner) block(length int64) (*Block, error) {
	start := s.pos + int64(prefixBytes)
	c := cursor{src: &s.src, off: start, end: start + length - 8}
	version := c.int32()
	kind := BlockType(c.int32())
	switch {
	case c.err != nil:
		return nil, c.err
	case version != formatVersion:
		return nil, unsupported(s.pos, "log format version %d", version)
	case kind < 0 || kind > CDCData || kind == Corrupt:
		return nil, unsupported(s.pos, "block type %d", int32(kind))
	}
	b := &Block{Type: kind, Offset: s.pos, Length: length + int64(prefixBytes)}
	var err error
	if b.Header, err = c.header(s.pos); err != nil {
		return nil, err
	}
	b.ContentLength = c.int64()
	b.ContentOffset = c.off
	switch {
	case c.err != nil:
		return nil, c.err
	case b.ContentLength < 0 || b.ContentLength > c.end-c.off-int64(footerBytes):
		return nil, corrupt(c.off-8, "a content of %d bytes in a block of %d", b.ContentLength, b.Length)
	}
	if _, ok := b.RollbackTarget(); kind == Command && !ok {
		return nil, unsupported(s.pos, "command %q", b.Header[CommandBlockType])
	}
	if !s.options.HeadersOnly {
		b.Content = make([]byte, b.ContentLength)
		if err := s.src.peek(b.Content, b.ContentOffset); err != nil {
			return nil, err
		}
	}
	c.off += b.ContentLength
	switch footers := c.int32(); {
	case c.err != nil:
		return nil, c.err
	case footers != 0:
		return nil, unsupported(s.pos, "a block with %d footer entries", footers)
	case c.off != c.end:
		return nil, corrupt(c.off, "%d bytes between footer and reverse pointer", c.end-c.off)
	}
	return b, nil
}

// cursor reads the fields of one block; the first error stays.
type cursor struct {
	src *window
	off int64
	end int64 // of what may be read
	err error
}

func (c *cursor) bytes(n int64) []byte {
	if c.err != nil {
		return nil
	}
	if n < 0 || n > c.end-c.off {
		c.err = corrupt(c.off, "%d bytes wanted, the block has %d more", n, c.end-c.off)
		return nil
	}
	data, err := c.src.at(c.off, n)
	if err != nil {
		c.err = err
		return nil
	}
	c.off += n
	return data
}

func (c *cursor) int32() int32 {
	if b := c.bytes(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (c *cursor) int64() int64 {
	if b := c.bytes(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// header reads the header map of the block at an offset, in any order (HoodieLogBlock.getLogMetadata).
func (c *cursor) header(block int64) (map[HeaderKey]string, error) {
	n := c.int32()
	if n < 0 {
		return nil, corrupt(c.off-4, "%d header entries", n)
	}
	header := make(map[HeaderKey]string, min(n, int32(headerKeys)))
	for range n {
		key := HeaderKey(c.int32())
		text := c.bytes(int64(c.int32()))
		if c.err != nil {
			return nil, c.err
		}
		if key < 0 || key >= headerKeys {
			return nil, unsupported(block, "header key %d", int32(key))
		}
		header[key] = string(text)
	}
	return header, c.err
}

// window reads a file through a buffer of one stretch of it.
type window struct {
	r    io.ReaderAt
	size int64
	off  int64 // of buf in the file
	buf  []byte
}

// at is n bytes of the file; they hold until the next call. The caller has checked that the file has them.
func (w *window) at(off, n int64) ([]byte, error) {
	if !w.holds(off, n) {
		if err := w.fill(off, max(n, windowBytes)); err != nil {
			return nil, err
		}
	}
	return w.buf[off-w.off:][:n:n], nil
}

// from is what is at hand from an offset on, at least a magic's length; they hold until the next call.
func (w *window) from(off int64) ([]byte, error) {
	if !w.holds(off, int64(len(magic))) {
		if err := w.fill(off, searchBytes); err != nil {
			return nil, err
		}
	}
	return w.buf[off-w.off:], nil
}

// peek reads past the buffer unless all is in it, and leaves it as it is.
func (w *window) peek(dst []byte, off int64) error {
	if w.holds(off, int64(len(dst))) {
		copy(dst, w.buf[off-w.off:])
		return nil
	}
	return readAt(w.r, dst, off)
}

func (w *window) holds(off, n int64) bool { return off >= w.off && off+n <= w.off+int64(len(w.buf)) }

func (w *window) fill(off, n int64) error {
	n = min(n, w.size-off)
	if int64(cap(w.buf)) < n {
		w.buf = make([]byte, n)
	}
	buf := w.buf[:n]
	w.buf = w.buf[:0]
	if err := readAt(w.r, buf, off); err != nil {
		return err
	}
	w.buf, w.off = buf, off
	return nil
}

// readAt fills dst. A file that is shorter than its size was said to be is no corruption of the log but the reader's error.
func readAt(r io.ReaderAt, dst []byte, off int64) error {
	n, err := r.ReadAt(dst, off)
	if n == len(dst) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %d bytes at offset %d of a log: %w", len(dst), off, err)
}
