// Package history reads what was archived of a timeline of layout 2: the LSM tree in .hoodie/timeline/history, which holds the completed
// instants that are no longer on the active timeline, with the content of their files (Hudi's ArchivedTimelineV2).
//
// It owns the tree's manifests and the schema of its Parquet files; what an instant's content means is package meta's. It archives nothing,
// and knows nothing of the archive of layout 1.
package history

import (
	"errors"
	"fmt"
)

// ErrMalformed: the history has a form that this package does not know, or is damaged. Errors of the store are not of this kind.
var ErrMalformed = errors.New("malformed history")

// FileError says what is wrong with a file of the history. It wraps ErrMalformed.
type FileError struct {
	Key    string
	Reason string
	Err    error // the cause, nil if there is no other
}

// Error implements error.
func (e *FileError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("history file %s: %s", e.Key, e.Reason)
	}
	return fmt.Sprintf("history file %s: %s: %v", e.Key, e.Reason, e.Err)
}

// Unwrap implements errors.Is and errors.As.
func (e *FileError) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrMalformed}
	}
	return []error{ErrMalformed, e.Err}
}
