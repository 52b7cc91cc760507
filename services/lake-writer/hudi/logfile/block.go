package logfile

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

const (
	magic         = "#HUDI#"
	formatVersion = 1
	// contentVersion is what Avro data and delete blocks begin with (HoodieLogBlock.version).
	contentVersion = 3

	lengthAt    = len(magic)      // of the block length in a block
	prefixBytes = lengthAt + 8    // magic and block length
	footerBytes = 4               // an empty map
	closeBytes  = footerBytes + 8 // footer and reverse pointer
	// minLength is the block length of a block with neither headers nor content.
	minLength = 4 + 4 + 4 + 8 + closeBytes
)

// BlockType is the kind of a block (HoodieLogBlock.HoodieLogBlockType).
type BlockType int32

// The block types. Corrupt is never written: Scan reports passed over bytes with it.
const (
	Command BlockType = iota
	Delete
	Corrupt
	AvroData
	HFileData
	ParquetData
	CDCData
)

var blockTypeNames = [...]string{"command", "delete", "corrupt", "Avro data", "HFile data", "Parquet data", "CDC data"}

// String is the type's name for messages.
func (t BlockType) String() string {
	if t < 0 || int(t) >= len(blockTypeNames) {
		return fmt.Sprintf("block type %d", int32(t))
	}
	return blockTypeNames[t]
}

// HeaderKey is a key of a block's header (HoodieLogBlock.HeaderMetadataType).
type HeaderKey int32

// The header keys. Readers fail on any other.
const (
	InstantTime         HeaderKey = iota // the instant that wrote the block
	TargetInstantTime                    // command blocks: the instant to roll back
	Schema                               // the writer's Avro schema, with the meta fields
	CommandBlockType                     // command blocks: "0" is a rollback
	CompactedBlockTimes                  // the instants that a log compaction replaced, with commas between
	RecordPositions                      // positions of the records in the base file
	BlockIdentifier                      // the block's number in its task
	IsPartial                            // "true": the schema has the updated columns only
	BaseFileInstant                      // the base file's instant that RecordPositions refers to
	headerKeys
)

// rollbackCommand is the only command (HoodieCommandBlock.HoodieCommandBlockTypeEnum).
const rollbackCommand = "0"

// Block is one block of a log file.
type Block struct {
	Type   BlockType
	Offset int64 // of the magic in the file
	Length int64 // bytes in the file, all of the frame counted
	Header map[HeaderKey]string
	// Content is without the frame; nil of a Corrupt block and when only headers were asked for.
	Content []byte

	ContentOffset int64 // of the content in the file
	ContentLength int64 // bytes
}

// Instant is the instant that wrote the block, "" when it has none.
func (b *Block) Instant() timeline.Instant { return timeline.Instant(b.Header[InstantTime]) }

// RollbackTarget is the instant whose blocks a command block rolls back; ok is false for every other block.
func (b *Block) RollbackTarget() (target timeline.Instant, ok bool) {
	if b.Type != Command || b.Header[CommandBlockType] != rollbackCommand {
		return "", false
	}
	return timeline.Instant(b.Header[TargetInstantTime]), true
}

// Load reads the content of a block that was scanned without it.
func (b *Block) Load(r io.ReaderAt) error {
	if b.Content != nil || b.Type == Corrupt {
		return nil
	}
	content := make([]byte, b.ContentLength)
	if err := readAt(r, content, b.ContentOffset); err != nil {
		return err
	}
	b.Content = content
	return nil
}

// AppendBlock appends a block's bytes: its type, header and content; the headers in ascending order of their keys. Hudi reads a block into
// memory whole and cuts its lengths to 32 bits, so blocks should be tens of megabytes at most. AppendBlock panics on a type or header key
// that no reader knows.
func AppendBlock(dst []byte, b Block) []byte {
	start := len(dst)
	dst = appendHead(dst, b.Type, b.Header, slices.Sorted(maps.Keys(b.Header)))
	dst = binary.BigEndian.AppendUint64(dst, uint64(len(b.Content)))
	dst = append(dst, b.Content...)
	return closeBlock(dst, start)
}

// appendHead appends the frame up to the content length, which is not in it. The block length is patched in by closeBlock.
func appendHead(dst []byte, t BlockType, header map[HeaderKey]string, keys []HeaderKey) []byte {
	if t < 0 || t > CDCData || t == Corrupt {
		panic("logfile: write a block of type " + t.String())
	}
	dst = append(dst, magic...)
	dst = binary.BigEndian.AppendUint64(dst, 0)
	dst = binary.BigEndian.AppendUint32(dst, formatVersion)
	dst = binary.BigEndian.AppendUint32(dst, uint32(t))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(keys)))
	for _, k := range keys {
		if k < 0 || k >= headerKeys {
			panic(fmt.Sprintf("logfile: write header key %d", k))
		}
		dst = binary.BigEndian.AppendUint32(dst, uint32(k))
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(header[k])))
		dst = append(dst, header[k]...)
	}
	return dst
}

// closeBlock ends the block that began at start: the footer, the reverse pointer, and the block length in its place.
func closeBlock(dst []byte, start int) []byte {
	dst = binary.BigEndian.AppendUint32(dst, 0)
	pointer := uint64(len(dst) - start)
	dst = binary.BigEndian.AppendUint64(dst, pointer)
	binary.BigEndian.PutUint64(dst[start+lengthAt:], pointer-uint64(len(magic)))
	return dst
}

// ParquetBlock is a data block that holds a whole Parquet file, which needs none of the footer keys of a base file. Hudi reads the
// schema, with the meta fields, from the header all the same (HoodieParquetDataBlock).
func ParquetBlock(instant timeline.Instant, schema string, file []byte) Block {
	return Block{
		Type:    ParquetData,
		Header:  map[HeaderKey]string{InstantTime: string(instant), Schema: schema},
		Content: file,
	}
}

// RollbackBlock is the command that takes back the blocks of an instant in the same file group, written before it. Only tables of
// version 6 roll back so; later ones delete the log file.
func RollbackBlock(instant, target timeline.Instant) Block {
	return Block{Type: Command, Header: map[HeaderKey]string{
		InstantTime:       string(instant),
		TargetInstantTime: string(target),
		CommandBlockType:  rollbackCommand,
	}}
}
