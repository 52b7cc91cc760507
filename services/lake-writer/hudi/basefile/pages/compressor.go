package pages

import (
	"fmt"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
)

// Compressor compresses the values of pages, and lends its buffers to the encoding of them. It is not safe for concurrent use; one
// serves all columns of a file.
type Compressor struct {
	codec    format.CompressionCodec
	zstd     *zstd.Encoder
	literals *zstd.Encoder // of pages that zstd finds nothing to repeat in

	reps, defs, raw, body []byte
	int32s                []int32
	int64s                []int64
	floats                []float32
	doubles               []float64
}

// NewCompressor takes format.Zstd (level 1), format.Snappy or format.Uncompressed.
func NewCompressor(codec format.CompressionCodec) (*Compressor, error) {
	switch codec {
	case format.Zstd, format.Snappy, format.Uncompressed:
		return &Compressor{codec: codec}, nil
	default:
		return nil, fmt.Errorf("codec %s is not written", codec)
	}
}

// Codec is what NewCompressor was given.
func (c *Compressor) Codec() format.CompressionCodec { return c.codec }

// compress writes over dst, and may return src itself.
func (c *Compressor) compress(dst, src []byte) ([]byte, error) {
	switch c.codec {
	case format.Zstd:
		return c.compressZstd(dst, src)
	case format.Snappy:
		return snappy.Encode(dst[:cap(dst)], src), nil
	default:
		return src, nil
	}
}

// zstdLiteralBytes is from how many bytes on a page is worth a second look.
const zstdLiteralBytes = 1024

// compressZstd tries once more what hardly became smaller. At level 1 the encoder leaves bytes that do not repeat as they are, while their
// entropy may be far below eight bits: of hexadecimal ids it is four.
func (c *Compressor) compressZstd(dst, src []byte) ([]byte, error) {
	var err error
	if c.zstd == nil {
		if c.zstd, err = newZstd(); err != nil {
			return nil, err
		}
	}
	out := c.zstd.EncodeAll(src, dst[:0])
	if len(src) < zstdLiteralBytes || len(out) < len(src)-len(src)/16 {
		return out, nil
	}
	if c.literals == nil {
		if c.literals, err = newZstd(zstd.WithAllLitEntropyCompression(true)); err != nil {
			return nil, err
		}
	}
	return c.literals.EncodeAll(src, out[:0]), nil
}

// newZstd leaves the frames' checksums out: pages have one of their own.
func newZstd(more ...zstd.EOption) (*zstd.Encoder, error) {
	e, err := zstd.NewWriter(nil, append([]zstd.EOption{
		zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithZeroFrames(true),
	}, more...)...)
	if err != nil {
		return nil, fmt.Errorf("open zstd: %w", err)
	}
	return e, nil
}
