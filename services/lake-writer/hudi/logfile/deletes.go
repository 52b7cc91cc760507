package logfile

import (
	"encoding/binary"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// DeleteRecord deletes a key (HoodieDeleteRecord).
type DeleteRecord struct {
	Key       string
	Partition string // for information; "" in a table without partitions
	Ordering  Ordering
}

// DeleteBlock is a block that deletes keys (HoodieDeleteBlock, content version 3). All orderings of a block should be of one kind: hudi-rs 0.5
// refuses a mixture. An empty schema is left out of the header; Hudi needs none, its writers put the table's, with the meta fields.
// DeleteBlock panics on orderings that the format cannot hold: an array in an array, and a local date outside of one.
func DeleteBlock(instant timeline.Instant, schema string, records []DeleteRecord) Block {
	header := map[HeaderKey]string{InstantTime: string(instant)}
	if schema != "" {
		header[Schema] = schema
	}
	content := binary.BigEndian.AppendUint32(nil, contentVersion)
	content = append(content, 0, 0, 0, 0)
	if len(records) > 0 {
		content = binary.AppendVarint(content, int64(len(records)))
	}
	for _, d := range records {
		content = appendText(content, d.Key)
		content = appendText(content, d.Partition)
		content = d.Ordering.append(content)
	}
	content = append(content, 0) // the end of the array
	binary.BigEndian.PutUint32(content[4:], uint32(len(content)-8))
	return Block{Type: Delete, Header: header, Content: content}
}

// Deletes are the records of a delete block. Content versions 1 and 2, which hold arrays of Java objects as Kryo writes them, are an
// *UnsupportedError: such a table must be compacted by Hudi first.
func Deletes(b *Block) ([]DeleteRecord, error) {
	if b.Type != Delete {
		return nil, unsupported(b.Offset, "deletes in a block of type %s", b.Type)
	}
	if len(b.Content) < 8 {
		return nil, corrupt(b.ContentOffset, "a content of %d bytes", len(b.Content))
	}
	version, length := int32(binary.BigEndian.Uint32(b.Content)), int32(binary.BigEndian.Uint32(b.Content[4:]))
	data := b.Content[8:]
	switch {
	case version == 1 || version == 2:
		return nil, unsupported(b.Offset, "deletes of content version %d (Kryo): compact the table with Hudi first", version)
	case version != contentVersion:
		return nil, unsupported(b.Offset, "deletes of content version %d", version)
	case int64(length) != int64(len(data)):
		return nil, corrupt(b.ContentOffset+4, "%d bytes of deletes in %d", length, len(data))
	}
	var records []DeleteRecord
	r := avroReader{data: data}
	r.blocks(func() {
		key := r.nullableBytes()
		if key == nil {
			r.fail("a delete without a key")
		}
		d := DeleteRecord{Key: string(key), Partition: string(r.nullableBytes())}
		d.Ordering = r.ordering()
		records = append(records, d)
	})
	if r.bad == "" && r.pos != len(data) {
		r.fail("%d bytes after the last delete", len(data)-r.pos)
	}
	if r.bad != "" {
		return nil, corrupt(b.ContentOffset+8+int64(r.pos), "%s", r.bad)
	}
	return records, nil
}
