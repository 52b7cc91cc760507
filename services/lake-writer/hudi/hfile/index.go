package hfile

import (
	"bytes"
	"encoding/binary"
	"sort"
)

// indexEntry points to a block. Its key is the row of the block's first cell, or one between the last row of the block before and that,
// which HBase makes up since it is shorter: it need not be in the block.
type indexEntry struct {
	offset int64
	size   int64 // with header and checksums
	key    []byte
}

const indexEntryBytes = 12 // offset and size

func parseIndexEntry(b []byte) (e indexEntry, rest []byte, ok bool) {
	if len(b) < indexEntryBytes {
		return e, nil, false
	}
	e.offset = int64(binary.BigEndian.Uint64(b))
	e.size = int64(int32(binary.BigEndian.Uint32(b[8:])))
	return e, b[indexEntryBytes:], true
}

// parseRootIndex reads exactly count entries: HBase puts the file's middle key behind the last one when there are several levels.
func parseRootIndex(payload []byte, count, offset int64) ([]indexEntry, error) {
	if count > int64(len(payload))/(indexEntryBytes+1) {
		return nil, corrupt(offset, "%d index entries in %d bytes", count, len(payload))
	}
	entries := make([]indexEntry, 0, count)
	for rest := payload; int64(len(entries)) < count; {
		e, tail, ok := parseIndexEntry(rest)
		if !ok {
			return nil, corrupt(offset, "index ends after %d of %d entries", len(entries), count)
		}
		length, n, err := readVInt(tail)
		if err != nil || length < 0 || length > int64(len(tail)-n) {
			return nil, corrupt(offset, "index ends in the key of entry %d", len(entries))
		}
		e.key = tail[n : n+int(length)]
		rest = tail[n+int(length):]
		entries = append(entries, e)
	}
	return entries, nil
}

// parseLowerIndex reads a leaf or intermediate block: a count, count+1 offsets relative to the entries' start, the entries.
func parseLowerIndex(payload []byte, offset int64) ([]indexEntry, error) {
	if len(payload) < 4 {
		return nil, corrupt(offset, "index block of %d bytes", len(payload))
	}
	count := int64(int32(binary.BigEndian.Uint32(payload)))
	start := 4 + 4*(count+1)
	if count < 0 || start > int64(len(payload)) {
		return nil, corrupt(offset, "%d index entries in %d bytes", count, len(payload))
	}
	bound := func(i int64) int64 { return start + int64(int32(binary.BigEndian.Uint32(payload[4+4*i:]))) }
	entries := make([]indexEntry, count)
	for i := range count {
		from, to := bound(i), bound(i+1)
		if from < start || to < from || to > int64(len(payload)) {
			return nil, corrupt(offset, "index entry %d at %d to %d of %d bytes", i, from, to, len(payload))
		}
		e, key, ok := parseIndexEntry(payload[from:to])
		if !ok {
			return nil, corrupt(offset, "index entry %d of %d bytes", i, to-from)
		}
		e.key = key
		entries[i] = e
	}
	return entries, nil
}

// rowsOf replaces the keys of a data index by their rows. What follows the row is there in files by HBase and not in files by Hudi.
func rowsOf(entries []indexEntry, offset int64) error {
	for i := range entries {
		row, _, err := cutRow(entries[i].key)
		if err != nil {
			return corrupt(offset, "key of index entry %d %v", i, err)
		}
		entries[i].key = row
	}
	return nil
}

// cutRow reads the row of a cell's key, behind its length of 16 bits.
func cutRow(key []byte) (row, tail []byte, err error) {
	if len(key) < 2 {
		return nil, nil, errShort
	}
	n := int(int16(binary.BigEndian.Uint16(key)))
	if n < 0 || n > len(key)-2 {
		return nil, nil, errShort
	}
	return key[2 : 2+n : 2+n], key[2+n:], nil
}

// seek finds the last entry whose key is not behind the wanted one: the only block that can hold it, since equal keys share a block.
func seek(entries []indexEntry, key []byte) (indexEntry, bool) {
	i := sort.Search(len(entries), func(i int) bool { return bytes.Compare(entries[i].key, key) > 0 })
	if i == 0 {
		return indexEntry{}, false
	}
	return entries[i-1], true
}
