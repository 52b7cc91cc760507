package basefile

import (
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// What a page may be at most. Writers make pages of about a megabyte; parquet-go allocates whatever a header asks for, so that a
// damaged one could ask for gigabytes.
const (
	maxPageBytes  = 256 << 20
	maxPageValues = 8 << 20
)

// maxPageHeader is the longest header that is tried: it holds two bounds, which may be long texts.
const maxPageHeader = 1 << 20

// checkPages walks the headers of a column chunk's pages, before their contents are read.
func checkPages(r io.ReaderAt, size int64, chunk *format.ColumnMetaData) error {
	at := chunk.DataPageOffset
	if d := chunk.DictionaryPageOffset; d > 0 {
		at = d
	}
	if at < int64(len(magic)) || chunk.TotalCompressedSize < 0 || chunk.TotalCompressedSize > size-at {
		return &FileError{Offset: at, Reason: fmt.Sprintf("column chunk of %d bytes in a file of %d", chunk.TotalCompressedSize, size)}
	}
	end := at + chunk.TotalCompressedSize
	values := int64(0)
	for at < end && values < chunk.NumValues {
		header, length, err := readPageHeader(r, at, end)
		if err != nil {
			return err
		}
		n, err := checkPage(header, end-at-length)
		if err != nil {
			return &FileError{Offset: at, Reason: "page header", Err: err}
		}
		values += n
		at += length + int64(header.CompressedPageSize)
	}
	if values != chunk.NumValues {
		return &FileError{Offset: at, Reason: fmt.Sprintf("pages with %d values, the footer says %d", values, chunk.NumValues)}
	}
	return nil
}

// readPageHeader decodes the header at an offset and says how long it is.
func readPageHeader(r io.ReaderAt, at, end int64) (*format.PageHeader, int64, error) {
	var protocol thrift.CompactProtocol
	for window := int64(256); ; window *= 16 {
		b := make([]byte, min(window, end-at))
		if _, err := r.ReadAt(b, at); err != nil && err != io.EOF {
			return nil, 0, &FileError{Offset: at, Reason: "read page header", Err: err}
		}
		header := new(format.PageHeader)
		reader := protocol.NewReaderFromBytes(b)
		err := thrift.NewDecoder(reader).Decode(header)
		if err == nil {
			return header, int64(reader.BytesRead()), nil
		}
		if int64(len(b)) == end-at || window >= maxPageHeader {
			return nil, 0, &FileError{Offset: at, Reason: "decode page header", Err: err}
		}
	}
}

// checkPage returns how many values of the column are in the page.
func checkPage(h *format.PageHeader, left int64) (values int64, err error) {
	count := int32(0)
	switch h.Type {
	case format.DataPage:
		count = h.DataPageHeader.V.NumValues
		values = int64(count)
	case format.DataPageV2:
		count = h.DataPageHeaderV2.V.NumValues
		values = int64(count)
	case format.DictionaryPage:
		count = h.DictionaryPageHeader.V.NumValues
	}
	switch {
	case h.CompressedPageSize < 0 || int64(h.CompressedPageSize) > left:
		return 0, fmt.Errorf("page of %d bytes, %d are left in the chunk", h.CompressedPageSize, left)
	case h.UncompressedPageSize < 0 || h.UncompressedPageSize > maxPageBytes:
		return 0, fmt.Errorf("page of %d bytes when decompressed", h.UncompressedPageSize)
	case count < 0 || count > maxPageValues:
		return 0, fmt.Errorf("page of %d values", count)
	default:
		return values, nil
	}
}
