package hfile

import (
	"encoding/binary"
	"errors"
	"iter"
	"math"
)

// Block magics (org.apache.hadoop.hbase.io.hfile.BlockType, org.apache.hudi.io.hfile.HFileBlockType).
const (
	magicData         = "DATABLK*"
	magicLeafIndex    = "IDXLEAF2"
	magicBloomChunk   = "BLMFBLK2"
	magicMeta         = "METABLKc"
	magicIntermediate = "IDXINTE2"
	magicRootIndex    = "IDXROOT2"
	magicInfo         = "FILEINF2"
	magicTrailer      = `TRABLK"$`
	magicBytes        = 8
)

// Names in the file info block.
const (
	infoLastKey     = "hfile.LASTKEY"
	infoAvgKey      = "hfile.AVG_KEY_LEN"
	infoAvgValue    = "hfile.AVG_VALUE_LEN"
	infoCreated     = "hfile.CREATE_TIME_TS"
	infoCellVersion = "KEY_VALUE_VERSION" // 1: every cell ends with its MVCC number
	infoMaxMVCC     = "MAX_MEMSTORE_TS_KEY"
	infoMaxTags     = "hfile.MAX_TAGS_LEN" // there: every cell ends with tags
	protoMagic      = "PBUF"
)

// cellTail is what follows the row in a cell's key: no family, no qualifier, the latest timestamp, type Put.
const cellTail = "\x00\x7f\xff\xff\xff\xff\xff\xff\xff\x04"

// errShort: the bytes end inside a value, or a number does not fit.
var errShort = errors.New("ends early")

// readVInt reads a number as Hadoop's WritableUtils.writeVLong wrote it: one byte from -112 on, else a byte that tells sign and count
// of the bytes that follow.
func readVInt(b []byte) (value int64, size int, err error) {
	if len(b) == 0 {
		return 0, 0, errShort
	}
	first := int8(b[0])
	if first >= -112 {
		return int64(first), 1, nil
	}
	n, negative := -112-int(first), false
	if first < -120 {
		n, negative = -120-int(first), true
	}
	if len(b) < 1+n {
		return 0, 0, errShort
	}
	for _, c := range b[1 : 1+n] {
		value = value<<8 | int64(c)
	}
	if negative {
		value = ^value
	}
	return value, 1 + n, nil
}

// appendVInt writes a number that is not negative, which lengths are.
func appendVInt(dst []byte, v int) []byte {
	if v <= 127 {
		return append(dst, byte(v))
	}
	n := 1
	for rest := v >> 8; rest > 0; rest >>= 8 {
		n++
	}
	dst = append(dst, byte(-112-n))
	for i := n - 1; i >= 0; i-- {
		dst = append(dst, byte(v>>(8*i)))
	}
	return dst
}

// protoField is one field of a protocol buffers message: Number holds a varint, Bytes a length-delimited value.
type protoField struct {
	ID     uint64
	Number uint64
	Bytes  []byte
}

// protoFields walks a message. Fixed-width fields, of which HFiles have none, are skipped.
func protoFields(b []byte) iter.Seq2[protoField, error] {
	return func(yield func(protoField, error) bool) {
		for len(b) > 0 {
			f, n, err := readProtoField(b)
			if !yield(f, err) || err != nil {
				return
			}
			b = b[n:]
		}
	}
}

func readProtoField(b []byte) (f protoField, size int, err error) {
	tag, at := binary.Uvarint(b)
	if at <= 0 {
		return f, 0, errShort
	}
	f.ID = tag >> 3
	switch tag & 7 {
	case 0:
		n := 0
		if f.Number, n = binary.Uvarint(b[at:]); n <= 0 {
			return f, 0, errShort
		}
		return f, at + n, nil
	case 1:
		at += 8
	case 5:
		at += 4
	case 2:
		length, n := binary.Uvarint(b[at:])
		if n <= 0 || length > uint64(len(b)-at-n) {
			return f, 0, errShort
		}
		at += n
		f.Bytes = b[at : at+int(length)]
		return f, at + int(length), nil
	default:
		return f, 0, errors.New("has a field of unknown wire type")
	}
	if at > len(b) {
		return f, 0, errShort
	}
	return f, at, nil
}

func appendProtoNumber(dst []byte, id int, v uint64) []byte {
	return binary.AppendUvarint(append(dst, byte(id<<3)), v)
}

func appendProtoBytes(dst []byte, id int, v []byte) []byte {
	dst = binary.AppendUvarint(append(dst, byte(id<<3|2)), uint64(len(v)))
	return append(dst, v...)
}

// delimited reads a message behind its length, as protocol buffers' writeDelimitedTo wrote it.
func delimited(b []byte) ([]byte, error) {
	length, n := binary.Uvarint(b)
	if n <= 0 || length > uint64(len(b)-n) {
		return nil, errShort
	}
	return b[n : n+int(length)], nil
}

// toInt narrows a number of the trailer; a negative or huge one becomes -1.
func toInt(v uint64) int64 {
	if v > math.MaxInt64 {
		return -1
	}
	return int64(v)
}
