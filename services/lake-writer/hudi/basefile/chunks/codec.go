package chunks

import (
	"bytes"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
)

// Codecs decompresses pages. It is for one goroutine, and is shared by the readers of a file's chunks, since a zstd decoder holds much memory.
type Codecs struct {
	zstd *zstd.Decoder
	gzip *gzip.Reader
}

// decompress fills dst, whose length is what the page header says.
func (c *Codecs) decompress(codec format.CompressionCodec, dst, src []byte) error {
	switch codec {
	case format.Uncompressed:
		if copy(dst, src) != len(dst) || len(src) != len(dst) {
			return damaged("%d bytes, the header says %d", len(src), len(dst))
		}
		return nil
	case format.Snappy:
		n, err := snappy.DecodedLen(src)
		if err != nil || n != len(dst) {
			return damaged("%d bytes of snappy, the header says %d", n, len(dst))
		}
		_, err = snappy.Decode(dst, src)
		return err
	case format.Zstd:
		return c.unzstd(dst, src)
	case format.Gzip:
		return c.gunzip(dst, src)
	default:
		return fmt.Errorf("codec %s: %w", codec, ErrUnsupported)
	}
}

func (c *Codecs) unzstd(dst, src []byte) error {
	if c.zstd == nil {
		// The header's length bounds what a page may become. Pages have a checksum of their own.
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true), zstd.IgnoreChecksum(true))
		if err != nil {
			return err
		}
		c.zstd = d
	}
	out, err := c.zstd.DecodeAll(src, dst[:0:len(dst)])
	if err == nil && len(out) != len(dst) {
		err = damaged("%d bytes of zstd, the header says %d", len(out), len(dst))
	}
	return err
}

func (c *Codecs) gunzip(dst, src []byte) (err error) {
	if c.gzip == nil {
		c.gzip, err = gzip.NewReader(bytes.NewReader(src))
	} else {
		err = c.gzip.Reset(bytes.NewReader(src))
	}
	if err != nil {
		c.gzip = nil
		return err
	}
	if _, err := io.ReadFull(c.gzip, dst); err != nil {
		return err
	}
	var more [1]byte
	if n, err := c.gzip.Read(more[:]); n > 0 || err != io.EOF { // the checksum is checked at the end
		return damaged("more than %d bytes of gzip: %v", len(dst), err)
	}
	return nil
}

// Close frees what decompressing holds.
func (c *Codecs) Close() {
	if c.zstd != nil {
		c.zstd.Close()
		c.zstd = nil
	}
}
