package logfile

import (
	"encoding/binary"
	"iter"
	"slices"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// DataBlock builds an Avro data block (HoodieAvroDataBlock) in one buffer, which Reset keeps. Adding takes no memory but the buffer's growth.
// Hudi expects one record for each key of a block. A DataBlock is not safe for concurrent use.
type DataBlock struct {
	buf       []byte // the block without its end; lengths and count are patched in when it is closed
	start     int    // offset of the block in buf
	contentAt int    // offset of the content in buf
	records   int
}

// The content's own header: version and count of records.
const dataHeadBytes = 8

// NewDataBlock begins a block that an instant writes; the schema is that of the datums and so begins with the five meta fields.
func NewDataBlock(instant timeline.Instant, schema string) *DataBlock {
	return AppendDataBlock(nil, instant, schema)
}

// AppendDataBlock begins a block behind the bytes of a file, which belong to it until End gives them back: the way without a copy for
// who writes one block after the other.
func AppendDataBlock(file []byte, instant timeline.Instant, schema string) *DataBlock {
	header := map[HeaderKey]string{InstantTime: string(instant), Schema: schema}
	buf := appendHead(file, AvroData, header, []HeaderKey{InstantTime, Schema})
	buf = binary.BigEndian.AppendUint64(buf, 0)
	d := &DataBlock{start: len(file), contentAt: len(buf)}
	buf = binary.BigEndian.AppendUint32(buf, contentVersion)
	d.buf = binary.BigEndian.AppendUint32(buf, 0)
	return d
}

// Add appends a record: its meta fields, and behind them the payload, which is the datum of the other fields.
func (d *DataBlock) Add(m Meta, payload []byte) {
	at := len(d.buf)
	d.buf = append(d.buf, 0, 0, 0, 0)
	d.buf = AppendMeta(d.buf, m)
	d.buf = append(d.buf, payload...)
	d.close(at)
}

// AddNumbered is Add of a record whose sequence number is m.SeqNo with the row's number behind it, for who would make a text of each.
func (d *DataBlock) AddNumbered(m Meta, row int64, payload []byte) {
	at := len(d.buf)
	d.buf = append(d.buf, 0, 0, 0, 0)
	d.buf = appendNumbered(d.buf, m, row)
	d.buf = append(d.buf, payload...)
	d.close(at)
}

// AddDatum appends a record with its meta fields already in front.
func (d *DataBlock) AddDatum(datum []byte) {
	at := len(d.buf)
	d.buf = append(d.buf, 0, 0, 0, 0)
	d.buf = append(d.buf, datum...)
	d.close(at)
}

// close patches the length of the record that began at an offset.
func (d *DataBlock) close(at int) {
	binary.BigEndian.PutUint32(d.buf[at:], uint32(len(d.buf)-at-4))
	d.records++
}

// Len is the number of records.
func (d *DataBlock) Len() int { return d.records }

// Size is the block's length in the file as it stands, in bytes.
func (d *DataBlock) Size() int { return len(d.buf) - d.start + closeBytes }

// AppendTo appends the block's bytes; the block can be added to afterwards. A block without records appends nothing.
func (d *DataBlock) AppendTo(dst []byte) []byte {
	if d.records == 0 {
		return dst
	}
	start := len(dst)
	dst = append(slices.Grow(dst, d.Size()), d.buf[d.start:]...)
	d.patch(dst, start+d.contentAt-d.start)
	return closeBlock(dst, start)
}

// End is the file with the block behind it, or as it was when the block has no records. The block is of no use afterwards.
func (d *DataBlock) End() []byte {
	file := d.buf
	d.buf = nil
	if d.records == 0 {
		return file[:d.start]
	}
	d.patch(file, d.contentAt)
	return closeBlock(file, d.start)
}

// patch sets the content's length and its count of records in a file that ends with the content.
func (d *DataBlock) patch(file []byte, contentAt int) {
	binary.BigEndian.PutUint64(file[contentAt-8:], uint64(len(file)-contentAt))
	binary.BigEndian.PutUint32(file[contentAt+4:], uint32(d.records))
}

// Reset takes all records out and keeps the instant, the schema and the memory.
func (d *DataBlock) Reset() {
	d.buf = d.buf[:d.contentAt+dataHeadBytes]
	d.records = 0
}

// Records are the datums of an Avro data block, meta fields in front, in the block's order; they alias the content. The last error, if any,
// ends them. Content versions 1 to 3 have one layout (HoodieAvroDataBlock.RecordIterator). CDC blocks have it too.
func Records(b *Block) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if b.Type != AvroData && b.Type != CDCData {
			yield(nil, unsupported(b.Offset, "Avro records in a block of type %s", b.Type))
			return
		}
		rest := b.Content
		at := func() int64 { return b.ContentOffset + int64(len(b.Content)-len(rest)) }
		if len(rest) < dataHeadBytes {
			yield(nil, corrupt(at(), "a content of %d bytes", len(rest)))
			return
		}
		version, n := int32(binary.BigEndian.Uint32(rest)), int32(binary.BigEndian.Uint32(rest[4:]))
		if version < 1 || version > contentVersion {
			yield(nil, unsupported(b.Offset, "version %d of Avro data", version))
			return
		}
		rest = rest[dataHeadBytes:]
		for range n {
			if len(rest) < 4 {
				yield(nil, corrupt(at(), "the content ends before the last of %d records", n))
				return
			}
			length := int64(int32(binary.BigEndian.Uint32(rest)))
			if length < 0 || length > int64(len(rest)-4) {
				yield(nil, corrupt(at(), "a record of %d bytes, %d before the end", length, len(rest)-4))
				return
			}
			datum := rest[4:][:length:length]
			rest = rest[4+length:]
			if !yield(datum, nil) {
				return
			}
		}
		if n < 0 || len(rest) > 0 {
			yield(nil, corrupt(at(), "%d bytes after %d records", len(rest), n))
		}
	}
}
