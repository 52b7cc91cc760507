package hfile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"iter"
	"maps"
)

// scanBufferBytes is how much a scan reads at once where blocks are smaller.
const scanBufferBytes = 256 << 10

// Entry is one key with its value. Both belong to a block's memory: they may be kept, which keeps the block, and must not be changed.
type Entry struct {
	Key   []byte
	Value []byte
}

// Reader reads one HFile. It may be used by several goroutines at once if its source may.
type Reader struct {
	src     io.ReaderAt
	end     int64 // where the trailer begins
	trailer trailer
	root    []indexEntry
	metas   []indexEntry
	info    map[string][]byte
	mvcc    bool // cells end with an MVCC number
}

// OpenReader reads a file's trailer, root index and file info. Errors: *CorruptError, *UnsupportedError, or the source's own.
func OpenReader(r io.ReaderAt, size int64) (*Reader, error) {
	t, err := readTrailer(r, size)
	if err != nil {
		return nil, err
	}
	f := &Reader{src: r, end: size - trailerBytes, trailer: t}
	root, err := f.blockAt(t.loadOnOpen, f.end, magicRootIndex)
	if err != nil {
		return nil, err
	}
	if f.root, err = parseRootIndex(root.payload, t.rootCount, t.loadOnOpen); err != nil {
		return nil, err
	}
	if err := rowsOf(f.root, t.loadOnOpen); err != nil {
		return nil, err
	}
	meta, err := f.blockAt(root.next, f.end, magicRootIndex)
	if err != nil {
		return nil, err
	}
	if f.metas, err = parseRootIndex(meta.payload, t.metaCount, root.next); err != nil {
		return nil, err
	}
	return f, f.readInfo()
}

// blockAt reads the block of a kind at an offset.
func (r *Reader) blockAt(offset, limit int64, magic string) (block, error) {
	if offset < 0 || offset > limit {
		return block{}, corrupt(offset, "a block is said to be outside the file")
	}
	b, err := readBlock(io.NewSectionReader(r.src, offset, limit-offset), offset, limit, r.trailer.codec, magic)
	if err == nil && b.magic != magic {
		err = corrupt(offset, "block %q where %q should be", b.magic, magic)
	}
	return b, err
}

func (r *Reader) readInfo() error {
	at := r.trailer.infoOffset
	b, err := r.blockAt(at, r.end, magicInfo)
	if err != nil {
		return err
	}
	text, ok := bytes.CutPrefix(b.payload, []byte(protoMagic))
	if !ok {
		return corrupt(at, "file info is no protocol buffers message")
	}
	message, err := delimited(text)
	if err != nil {
		return corrupt(at, "file info %v", err)
	}
	r.info = make(map[string][]byte)
	for f, err := range protoFields(message) {
		if err != nil {
			return corrupt(at, "file info %v", err)
		}
		var name, value []byte
		for part, err := range protoFields(f.Bytes) {
			switch {
			case err != nil:
				return corrupt(at, "file info %v", err)
			case part.ID == 1:
				name = part.Bytes
			case part.ID == 2:
				value = part.Bytes
			}
		}
		r.info[string(name)] = value
	}
	if _, tags := r.info[infoMaxTags]; tags {
		return &UnsupportedError{Feature: "cell tags"}
	}
	version := r.info[infoCellVersion]
	r.mvcc = len(version) == 4 && binary.BigEndian.Uint32(version) == 1
	return nil
}

// Len is the number of entries, as the trailer has it; Entries fails when the blocks hold another number.
func (r *Reader) Len() int64 { return r.trailer.entries }

// Info is a value of the file info block by its name, such as the Avro schema under "schema" in the metadata table's base files.
func (r *Reader) Info(name string) (value []byte, ok bool) {
	value, ok = r.info[name]
	return value, ok
}

// Infos are all values of the file info block. The map is the caller's, the values are not.
func (r *Reader) Infos() map[string][]byte { return maps.Clone(r.info) }

// Meta reads a meta block by its name, such as "bloomFilter".
func (r *Reader) Meta(name string) (payload []byte, ok bool, err error) {
	for _, e := range r.metas {
		if string(e.key) == name {
			b, err := r.indexed(e, r.trailer.loadOnOpen, magicMeta)
			return b.payload, err == nil, err
		}
	}
	return nil, false, nil
}

// indexed reads the block that an index entry points to.
func (r *Reader) indexed(e indexEntry, limit int64, magic string) (block, error) {
	if e.offset < 0 || e.size < headerBytes || e.offset > limit-e.size {
		return block{}, corrupt(e.offset, "an index names a block of %d bytes", e.size)
	}
	return r.blockAt(e.offset, e.offset+e.size, magic)
}

// Entries yields all entries in the file's order. After an error it yields nothing more. The order is the writer's promise and not
// checked here: Hudi's own writer sorts log blocks by UTF-16, which differs from byte order beyond U+FFFF.
func (r *Reader) Entries() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		var n int64
		for b, err := range r.dataBlocks() {
			if err != nil {
				yield(Entry{}, err)
				return
			}
			for e, err := range r.cells(b) {
				if n++; !yield(e, err) || err != nil {
					return
				}
			}
		}
		if n != r.trailer.entries {
			yield(Entry{}, corrupt(r.end, "%d entries where the trailer has %d", n, r.trailer.entries))
		}
	}
}

// placed is a data block's payload and where the block is, for errors.
type placed struct {
	payload []byte
	offset  int64
}

// dataBlocks reads the data blocks one behind the other. HBase puts blocks of index and bloom filters between them.
func (r *Reader) dataBlocks() iter.Seq2[placed, error] {
	return func(yield func(placed, error) bool) {
		if r.trailer.firstData < 0 {
			return
		}
		at, limit := r.trailer.firstData, r.trailer.loadOnOpen
		src := bufio.NewReaderSize(io.NewSectionReader(r.src, at, limit-at), int(min(scanBufferBytes, limit-at)))
		for at <= r.trailer.lastData {
			b, err := readBlock(src, at, limit, r.trailer.codec, magicData)
			if err == nil {
				switch b.magic {
				case magicData, magicLeafIndex, magicIntermediate, magicBloomChunk:
				default:
					err = corrupt(at, "block %q among the data blocks", b.magic)
				}
			}
			if err != nil {
				yield(placed{}, err)
				return
			}
			if b.magic == magicData && !yield(placed{b.payload, at}, nil) {
				return
			}
			at = b.next
		}
	}
}

// cells walks a data block: lengths of key and value, key, value and, if the file has them, the MVCC number.
func (r *Reader) cells(b placed) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for rest := b.payload; len(rest) > 0; {
			e, n, err := r.cell(rest)
			if err != nil {
				err = corrupt(b.offset, "cell at %d of the block %v", len(b.payload)-len(rest), err)
			}
			if !yield(e, err) || err != nil {
				return
			}
			rest = rest[n:]
		}
	}
}

func (r *Reader) cell(b []byte) (e Entry, size int, err error) {
	const lengths = 8
	if len(b) < lengths {
		return e, 0, errShort
	}
	key := int64(int32(binary.BigEndian.Uint32(b)))
	value := int64(int32(binary.BigEndian.Uint32(b[4:])))
	if key < 0 || value < 0 || key+value > int64(len(b)-lengths) {
		return e, 0, errShort
	}
	end := lengths + int(key+value)
	if e.Key, _, err = cutRow(b[lengths : lengths+int(key)]); err != nil {
		return e, 0, err
	}
	e.Value = b[lengths+int(key) : end : end]
	if r.mvcc {
		_, n, err := readVInt(b[end:])
		if err != nil {
			return e, 0, err
		}
		end += n
	}
	return e, end, nil
}

// Get finds the value of a key, the first in the file when it has several. It reads one block of every index level and one data block.
func (r *Reader) Get(key []byte) (value []byte, ok bool, err error) {
	e, ok := seek(r.root, key)
	limit := r.trailer.loadOnOpen
	for level := r.trailer.levels; ok && level > 1; level-- {
		magic := magicIntermediate
		if level == 2 {
			magic = magicLeafIndex
		}
		b, err := r.indexed(e, limit, magic)
		if err != nil {
			return nil, false, err
		}
		entries, err := parseLowerIndex(b.payload, e.offset)
		if err != nil {
			return nil, false, err
		}
		if err := rowsOf(entries, e.offset); err != nil {
			return nil, false, err
		}
		e, ok = seek(entries, key)
	}
	if !ok {
		return nil, false, nil
	}
	b, err := r.indexed(e, limit, magicData)
	if err != nil {
		return nil, false, err
	}
	for cell, err := range r.cells(placed{b.payload, e.offset}) {
		if err != nil {
			return nil, false, err
		}
		if c := bytes.Compare(cell.Key, key); c == 0 {
			return cell.Value, true, nil
		} else if c > 0 {
			break
		}
	}
	return nil, false, nil
}
