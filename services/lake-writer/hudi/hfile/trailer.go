package hfile

import (
	"encoding/binary"
	"io"
)

// trailerBytes is the size of the block at the end of every HFile of version 3.
const trailerBytes = 4096

const (
	majorVersion = 3
	maxMinor     = 3
	// maxLevels bounds the walk through the index. HBase makes a level for every 128 KiB of the one above.
	maxLevels = 8
)

// trailer is the file's last block: where everything is.
type trailer struct {
	infoOffset int64
	loadOnOpen int64 // where the root index is
	rootCount  int64
	metaCount  int64
	entries    int64
	levels     int64
	firstData  int64 // -1: no data block
	lastData   int64
	codec      Codec
}

// readTrailer reads the trailer and checks its offsets against the file and each other.
func readTrailer(r io.ReaderAt, size int64) (trailer, error) {
	start := size - trailerBytes
	if start < 0 {
		return trailer{}, corrupt(0, "%d bytes are no HFile", size)
	}
	buf := make([]byte, trailerBytes)
	if n, err := r.ReadAt(buf, start); n < len(buf) {
		return trailer{}, readError(start, "trailer", err)
	}
	if string(buf[:magicBytes]) != magicTrailer {
		return trailer{}, corrupt(start, "no trailer")
	}
	// The last byte of the four is the major version's, the first the minor's; both writers use the space between for nothing.
	version := binary.BigEndian.Uint32(buf[trailerBytes-4:])
	if major, minor := version&0xffffff, version>>24; major != majorVersion || minor > maxMinor {
		return trailer{}, &UnsupportedError{Feature: "another version than 3.0 to 3.3"}
	}
	message, err := delimited(buf[magicBytes : trailerBytes-4])
	if err != nil {
		return trailer{}, corrupt(start, "trailer %v", err)
	}
	t, err := parseTrailer(message, start)
	if err != nil {
		return trailer{}, err
	}
	return t, t.check(start)
}

// parseTrailer reads the fields of HBase's FileTrailerProto.
func parseTrailer(message []byte, start int64) (trailer, error) {
	t := trailer{firstData: -1, lastData: -1, levels: 1}
	numbers := map[uint64]*int64{
		1: &t.infoOffset, 2: &t.loadOnOpen, 5: &t.rootCount, 6: &t.metaCount, 7: &t.entries, 8: &t.levels, 9: &t.firstData, 10: &t.lastData,
	}
	codec := codecIDs[None]
	for f, err := range protoFields(message) {
		if err != nil {
			return trailer{}, corrupt(start, "trailer %v", err)
		}
		if target, ok := numbers[f.ID]; ok {
			*target = toInt(f.Number)
		}
		switch f.ID {
		case 12:
			codec = f.Number
		case 13:
			return trailer{}, &UnsupportedError{Feature: "encryption"}
		}
	}
	var err error
	t.codec, err = codecByID(codec)
	return t, err
}

func (t trailer) check(start int64) error {
	switch {
	case t.loadOnOpen < 0 || t.loadOnOpen > start:
		return corrupt(start, "root index at offset %d", t.loadOnOpen)
	case t.infoOffset < t.loadOnOpen || t.infoOffset > start:
		return corrupt(start, "file info at offset %d", t.infoOffset)
	case t.rootCount < 0 || t.metaCount < 0 || t.entries < 0:
		return corrupt(start, "%d entries, %d in the root index, %d meta blocks", t.entries, t.rootCount, t.metaCount)
	case t.levels < 1 || t.levels > maxLevels:
		return corrupt(start, "index of %d levels", t.levels)
	case t.entries == 0 && t.firstData < 0:
		return nil
	case t.firstData < 0 || t.lastData < t.firstData || t.lastData >= t.loadOnOpen:
		return corrupt(start, "data blocks at offsets %d to %d", t.firstData, t.lastData)
	}
	return nil
}
