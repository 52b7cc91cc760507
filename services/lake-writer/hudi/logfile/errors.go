package logfile

import "fmt"

// CorruptError reports bytes that are no log file's.
type CorruptError struct {
	Offset int64 // in the file; in the datum for SplitMeta
	Reason string
}

// Error says where and what.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("corrupt log at offset %d: %s", e.Offset, e.Reason)
}

// UnsupportedError reports a block that is whole, as far as can be seen, but of a kind that this package does not read.
type UnsupportedError struct {
	Offset  int64 // of the block in the file
	Feature string
}

// Error says what is not read.
func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("log block at offset %d: unsupported: %s", e.Offset, e.Feature)
}

func corrupt(offset int64, format string, args ...any) error {
	return &CorruptError{Offset: offset, Reason: fmt.Sprintf(format, args...)}
}

func unsupported(offset int64, format string, args ...any) error {
	return &UnsupportedError{Offset: offset, Feature: fmt.Sprintf(format, args...)}
}
