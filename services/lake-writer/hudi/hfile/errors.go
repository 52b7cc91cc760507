package hfile

import "fmt"

// CorruptError says that the bytes at an offset of the file are not what the format asks for.
type CorruptError struct {
	Offset int64 // from the start of the file
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("corrupt HFile at offset %d: %s", e.Offset, e.Reason)
}

func corrupt(offset int64, format string, args ...any) error {
	return &CorruptError{Offset: offset, Reason: fmt.Sprintf(format, args...)}
}

// UnsupportedError says that the file is sound as far as it was read, but uses what this package does not read.
type UnsupportedError struct{ Feature string }

func (e *UnsupportedError) Error() string { return "HFile with " + e.Feature + " is not supported" }
