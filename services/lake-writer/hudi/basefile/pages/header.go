package pages

import (
	"encoding/binary"

	"github.com/parquet-go/parquet-go/format"
)

// Thrift's compact protocol, as far as page headers go: a field is its distance from the last one and its type, numbers are
// zigzag varints, a boolean is its field's type.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftI32    = 5
	thriftStruct = 12
	thriftStop   = 0
)

func appendI32(b []byte, distance byte, v int) []byte {
	return binary.AppendVarint(append(b, distance<<4|thriftI32), int64(v))
}

// dataPage is the header of a data page of version 2.
type dataPage struct {
	raw, compressed     int // bytes, levels included
	crc                 uint32
	values, nulls, rows int
	encoding            format.Encoding
	defBytes, repBytes  int
	valuesCompressed    bool
}

// append writes a PageHeader with a DataPageHeaderV2 (parquet.thrift). Statistics are left to the column index.
func (h *dataPage) append(b []byte) []byte {
	b = appendPage(b, format.DataPageV2, h.raw, h.compressed, h.crc)
	b = append(b, 4<<4|thriftStruct) // field 8, after field 4
	b = appendI32(b, 1, h.values)
	b = appendI32(b, 1, h.nulls)
	b = appendI32(b, 1, h.rows)
	b = appendI32(b, 1, int(h.encoding))
	b = appendI32(b, 1, h.defBytes)
	b = appendI32(b, 1, h.repBytes)
	if h.valuesCompressed {
		b = append(b, 1<<4|thriftTrue)
	} else {
		b = append(b, 1<<4|thriftFalse)
	}
	return append(b, thriftStop, thriftStop)
}

// appendDictionaryPage writes a PageHeader with a DictionaryPageHeader.
func appendDictionaryPage(b []byte, raw, compressed int, crc uint32, values int) []byte {
	b = appendPage(b, format.DictionaryPage, raw, compressed, crc)
	b = append(b, 3<<4|thriftStruct) // field 7, after field 4
	b = appendI32(b, 1, values)
	b = appendI32(b, 1, int(format.Plain))
	return append(b, thriftStop, thriftStop)
}

func appendPage(b []byte, t format.PageType, raw, compressed int, crc uint32) []byte {
	b = appendI32(b, 1, int(t))
	b = appendI32(b, 1, raw)
	b = appendI32(b, 1, compressed)
	return appendI32(b, 1, int(int32(crc)))
}
