// Package chunks owns the decoding of Parquet column chunks into columns: page headers, compression, levels and the values' encodings, a
// batch of values at a time. It is the hot path of reading, so it handles values by the page or the run, never one by one through an
// interface, and keeps the codes of dictionary pages instead of copying texts.
//
// It knows no schema: which levels mean what, and how leaves become records and lists, is package basefile's. It reads what writers of Hudi
// tables write; for the rest it returns ErrUnsupported, and package basefile falls back to parquet-go.
package chunks

import (
	"errors"
	"fmt"
)

// ErrUnsupported: a codec or an encoding that this package does not decode.
var ErrUnsupported = errors.New("not decoded here")

// Error says that a chunk is damaged, or unsupported.
type Error struct {
	Offset int64 // of the page in the file
	Reason string
	Err    error // may be nil
}

func (e *Error) Error() string {
	text := fmt.Sprintf("page at byte %d: %s", e.Offset, e.Reason)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap is the cause, if there is one.
func (e *Error) Unwrap() error { return e.Err }

// errDamaged is the cause of what the bytes of a page do not hold.
var errDamaged = errors.New("damaged")

func damaged(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, errDamaged)...)
}
