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
	codec format.CompressionCodec
	zstd  *zstd.Encoder

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
		if c.zstd == nil {
			var err error
			// The checksum of the frame is left out: pages have one of their own.
			c.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithZeroFrames(true))
			if err != nil {
				return nil, fmt.Errorf("open zstd: %w", err)
			}
		}
		return c.zstd.EncodeAll(src, dst[:0]), nil
	case format.Snappy:
		return snappy.Encode(dst[:cap(dst)], src), nil
	default:
		return src, nil
	}
}
