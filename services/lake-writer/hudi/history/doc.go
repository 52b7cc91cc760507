// Package history reads and writes what was archived of a timeline of layout 2: the LSM tree in .hoodie/timeline/history, which holds the
// completed instants that are no longer on the active timeline, with the content of their files (Hudi's ArchivedTimelineV2, LSMTimeline
// and LSMTimelineWriter).
//
//	<first>_<last>_<level>.parquet   instants, by their time; written once and never changed
//	manifest_<n>                     the files of version n of the tree; written once, if absent
//	_version_                        the number that readers go by; replaced if it is still the one that was read
//
// A change writes a file, then the next manifest, then the number. What decides between two writers is the manifest, whose number only one
// of them gets. A writer that stops before it moves the number leaves a manifest that is complete, since the files come first: whoever
// changes the tree next moves the number for it. Files that no manifest names are swept by Compact.
//
// The package owns the tree's manifests and the schema of its Parquet files; what an instant's content means is package meta's, and which
// instants may leave the active timeline is its caller's. It knows nothing of the archive of layout 1.
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
