package hfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/gzip"
)

const (
	headerBytes = 33
	// maxBlockBytes bounds one uncompressed block. Hudi cuts data blocks at 1 MiB by default; only a value that is longer by itself makes
	// a longer block.
	maxBlockBytes = 256 << 20

	checksumNone   = 0
	checksumCRC32  = 1
	checksumCRC32C = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Codec is a compression of blocks.
type Codec int

// The codecs that are read and written; HBase's numbers are in the trailer.
const (
	Gzip Codec = iota // Hudi's default
	None
)

// codecIDs are the numbers of org.apache.hadoop.hbase.io.compress.Compression.
var codecIDs = map[Codec]uint64{Gzip: 1, None: 2}

func codecByID(id uint64) (Codec, error) {
	for c, n := range codecIDs {
		if n == id {
			return c, nil
		}
	}
	names := map[uint64]string{0: "LZO", 3: "Snappy", 4: "LZ4", 5: "bzip2", 6: "Zstandard"}
	if name, ok := names[id]; ok {
		return 0, &UnsupportedError{Feature: name + " compression"}
	}
	return 0, &UnsupportedError{Feature: "unknown compression"}
}

// block is one block of a file, decompressed.
type block struct {
	magic   string
	payload []byte
	next    int64 // offset of what follows
}

// readBlock reads the block at an offset from a reader that stands there. The block must end at or before limit, which is within the file,
// so no more is allocated than the file has. Blocks of other kinds than wanted, if any is named, are passed over undecoded.
func readBlock(src io.Reader, offset, limit int64, codec Codec, wanted string) (block, error) {
	var header [headerBytes]byte
	if limit-offset < headerBytes {
		return block{}, corrupt(offset, "no room for a block header before offset %d", limit)
	}
	if _, err := io.ReadFull(src, header[:]); err != nil {
		return block{}, readError(offset, "block header", err)
	}
	b := block{magic: string(header[:magicBytes])}
	onDisk := int64(int32(binary.BigEndian.Uint32(header[8:])))
	uncompressed := int64(int32(binary.BigEndian.Uint32(header[12:])))
	withoutSums := int64(int32(binary.BigEndian.Uint32(header[29:])))
	b.next = offset + headerBytes + onDisk
	switch {
	case onDisk < 0 || b.next > limit:
		return block{}, corrupt(offset, "a block of %d bytes ends behind offset %d", onDisk, limit)
	case withoutSums < headerBytes || withoutSums > headerBytes+onDisk:
		return block{}, corrupt(offset, "%d of %d bytes of a block are data", withoutSums, headerBytes+onDisk)
	case uncompressed < 0 || uncompressed > maxBlockBytes:
		return block{}, corrupt(offset, "a block has %d bytes uncompressed", uncompressed)
	}
	if wanted != "" && b.magic != wanted {
		_, err := io.CopyN(io.Discard, src, onDisk)
		return b, readError(offset, "block", err)
	}
	body := make([]byte, headerBytes+onDisk)
	copy(body, header[:])
	if _, err := io.ReadFull(src, body[headerBytes:]); err != nil {
		return block{}, readError(offset, "block", err)
	}
	if err := verifyChecksums(offset, body, withoutSums); err != nil {
		return block{}, err
	}
	var err error
	b.payload, err = decompress(offset, body[headerBytes:withoutSums], uncompressed, codec)
	return b, err
}

// readError tells a file that ends early, which is corrupt, from a source that fails.
func readError(offset int64, what string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return corrupt(offset, "the file ends inside a %s", what)
	}
	return err
}

// verifyChecksums checks the sums behind a block's data: one for every chunk of header and payload. Hudi's own writer leaves them zero
// and says so by the type.
func verifyChecksums(offset int64, body []byte, dataBytes int64) error {
	var table *crc32.Table
	switch kind := body[24]; kind {
	case checksumNone:
		return nil
	case checksumCRC32:
		table = crc32.IEEETable
	case checksumCRC32C:
		table = castagnoli
	default:
		return corrupt(offset, "unknown checksum type %d", kind)
	}
	chunk := int64(int32(binary.BigEndian.Uint32(body[25:])))
	if chunk <= 0 {
		return corrupt(offset, "%d bytes per checksum", chunk)
	}
	data, sums := body[:dataBytes], body[dataBytes:]
	if chunks := (dataBytes + chunk - 1) / chunk; int64(len(sums)) != 4*chunks {
		return corrupt(offset, "%d bytes of checksums for %d chunks", len(sums), chunks)
	}
	for at := offset; len(data) > 0; at += chunk {
		n := min(chunk, int64(len(data)))
		if crc32.Checksum(data[:n], table) != binary.BigEndian.Uint32(sums) {
			return corrupt(at, "checksum does not match")
		}
		data, sums = data[n:], sums[4:]
	}
	return nil
}

func decompress(offset int64, src []byte, size int64, codec Codec) ([]byte, error) {
	if codec == None {
		if int64(len(src)) != size {
			return nil, corrupt(offset, "%d bytes of an uncompressed block of %d", len(src), size)
		}
		return src, nil
	}
	zr, err := gzip.NewReader(bytes.NewReader(src))
	if err != nil {
		return nil, corrupt(offset, "gzip: %v", err)
	}
	// The buffer grows by what comes out: a header alone must not make it large. One byte more than declared is asked for, to meet the
	// stream's end and with it its checksum.
	var out bytes.Buffer
	out.Grow(int(min(size, 16*int64(len(src)))) + bytes.MinRead)
	n, err := io.Copy(&out, io.LimitReader(zr, size+1))
	switch {
	case err != nil:
		return nil, corrupt(offset, "gzip: %v", err)
	case n != size:
		return nil, corrupt(offset, "a block of %d bytes holds %d or more", size, n)
	}
	return out.Bytes(), nil
}

// encoder makes blocks as they are in a file. Its memory is used again by the next block.
type encoder struct {
	codec Codec
	sums  bool // with CRC32C; without, the sums are there, but zero and of no type
	zw    *gzip.Writer
	out   bytes.Buffer
}

func (e *encoder) compress(payload []byte) error {
	if e.codec == None {
		_, err := e.out.Write(payload)
		return err
	}
	if e.zw == nil {
		e.zw = gzip.NewWriter(&e.out)
	} else {
		e.zw.Reset(&e.out)
	}
	if _, err := e.zw.Write(payload); err != nil {
		return err
	}
	return e.zw.Close()
}

// block encodes one block; the result is valid until the next call.
func (e *encoder) block(magic string, payload []byte, previous int64) ([]byte, error) {
	e.out.Reset()
	e.out.Write(make([]byte, headerBytes))
	if err := e.compress(payload); err != nil {
		return nil, err
	}
	size := e.out.Len()
	sums := 4 * ((size + bytesPerChecksum - 1) / bytesPerChecksum)
	e.out.Write(make([]byte, sums))
	body := e.out.Bytes()
	copy(body, magic)
	binary.BigEndian.PutUint32(body[8:], uint32(len(body)-headerBytes))
	binary.BigEndian.PutUint32(body[12:], uint32(len(payload)))
	binary.BigEndian.PutUint64(body[16:], uint64(previous))
	binary.BigEndian.PutUint32(body[25:], bytesPerChecksum)
	binary.BigEndian.PutUint32(body[29:], uint32(size))
	if !e.sums {
		return body, nil
	}
	body[24] = checksumCRC32C
	for from, at := 0, size; from < size; from, at = from+bytesPerChecksum, at+4 {
		binary.BigEndian.PutUint32(body[at:], crc32.Checksum(body[from:min(from+bytesPerChecksum, size)], castagnoli))
	}
	return body, nil
}
