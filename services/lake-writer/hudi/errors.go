package hudi

import (
	"errors"
	"fmt"
)

var (
	// ErrFenced: another owner acquired the table. Nothing of the failed call is visible, and this Writer will not write again.
	ErrFenced = errors.New("another owner acquired the table")
	// ErrConflict: the request's progress does not begin where the table's ends. Nothing was written; the caller has to look at Head.
	ErrConflict = errors.New("progress does not begin where the table's ends")
	// ErrUnknownOutcome: the commit may or may not have happened, since the store answered neither the write nor the reading back.
	// Nothing was deleted. Writer.Resolve tells, or a later Acquire.
	ErrUnknownOutcome = errors.New("unknown whether the commit happened")
	// ErrNotCommitted is Resolve's answer for a commit that did not and will not happen.
	ErrNotCommitted = errors.New("the commit did not happen")
	// ErrNotFound: there is no table at the place.
	ErrNotFound = errors.New("no table")
	// ErrInvalid: the caller's request or configuration is wrong, and will be so again.
	ErrInvalid = errors.New("invalid request")
)

// UnsupportedError names the property of a table that this package cannot work with.
type UnsupportedError struct {
	Property string // a key of hoodie.properties, or the path of a file
	Value    string
	Reason   string
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("table not supported: %s=%s: %s", e.Property, e.Value, e.Reason)
}

// SchemaError names the field for which a schema is refused.
type SchemaError struct {
	Field  string // dotted path, "" for the schema itself
	Reason string
}

func (e *SchemaError) Error() string {
	if e.Field == "" {
		return "schema refused: " + e.Reason
	}
	return fmt.Sprintf("schema refused: field %s: %s", e.Field, e.Reason)
}

// MismatchError says that a table exists with another configuration than the one to create.
type MismatchError struct{ Property, Have, Want string }

func (e *MismatchError) Error() string {
	return fmt.Sprintf("table exists with %s=%q, not %q", e.Property, e.Have, e.Want)
}
