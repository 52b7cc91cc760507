package basefile

import (
	"errors"
	"io"
	"iter"
)

// Reader reads one base file.
type Reader struct{}

// Row is one row, its values in the order of the columns asked for.
type Row struct {
	Columns []string
	Values  []any
}

// OpenReader reads the footer. Whatever is wrong with the bytes becomes a *FileError.
func OpenReader(r io.ReaderAt, size int64) (*Reader, error) { return nil, errors.ErrUnsupported }

// Keys reads the record keys of all rows, in the order of the rows.
func (r *Reader) Keys() ([]string, error) { return nil, errors.ErrUnsupported }

// NumRows is the footer's row count.
func (r *Reader) NumRows() int64 { return 0 }

// Footer is what the file says about itself.
func (r *Reader) Footer() Footer { return Footer{} }

// Rows yields the rows with the named columns (nil: all), in order. After an error it yields nothing more.
func (r *Reader) Rows(columns []string) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) { yield(Row{}, errors.ErrUnsupported) }
}
