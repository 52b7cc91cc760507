package basefile

import (
	"errors"
	"fmt"
)

// ErrNoRows: a base file without rows was to be closed.
var ErrNoRows = errors.New("base file has no rows")

// SchemaError says why a schema, or a pair of schemas, is refused.
type SchemaError struct {
	Path   string // the field, "a.b"; "" for the schema as a whole
	Reason string
}

func (e *SchemaError) Error() string {
	if e.Path == "" {
		return "schema: " + e.Reason
	}
	return fmt.Sprintf("schema field %s: %s", e.Path, e.Reason)
}

// RecordError says what is wrong with a record's bytes.
type RecordError struct {
	Path   string // the field being read
	Offset int    // in the payload
	Reason string
}

func (e *RecordError) Error() string {
	return fmt.Sprintf("record at byte %d, field %q: %s", e.Offset, e.Path, e.Reason)
}

// FileError says that a file is not a readable base file.
type FileError struct {
	Offset int64 // where reading was when it went wrong: a byte offset in the file, -1 when unknown
	Reason string
	Err    error // may be nil
}

func (e *FileError) Error() string {
	text := "base file: " + e.Reason
	if e.Offset >= 0 {
		text = fmt.Sprintf("base file at byte %d: %s", e.Offset, e.Reason)
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap is the cause, if there is one.
func (e *FileError) Unwrap() error { return e.Err }
