// Package storage owns what the library needs from the place where a table lives: whole objects that appear atomically,
// conditional puts, and an ordered listing. It brings two stores, Mem and Dir, and the error classes by which callers decide.
//
// It knows nothing of Hudi's files, retries nothing and caches nothing. Stores for object services live with their users; every
// implementation passes storagetest.Conformance.
package storage

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"
	"unicode/utf8"
)

// Store is a flat set of objects. Keys are slash paths relative to the table's base path (see CheckKey).
// All methods may be called concurrently. An object is seen whole or not at all, and a finished Put is seen by every later call.
type Store interface {
	// Get returns the whole object; the Info carries its ETag.
	Get(ctx context.Context, key string) ([]byte, Info, error)
	// GetRange returns length bytes from off, fewer where the object ends before. An off outside the object is ErrRange.
	GetRange(ctx context.Context, key string, off, length int64) ([]byte, error)
	// Put writes the whole object if cond holds. The Info carries the new ETag.
	// ErrPrecondition: cond does not hold and nothing was written. IfMatch on a missing object is ErrPrecondition too.
	// ErrUnknownOutcome: the object may or may not have been written, now or a little later.
	Put(ctx context.Context, key string, data []byte, cond Condition) (Info, error)
	// List yields every object whose key begins with prefix (any string, not only a folder), in byte order of the keys.
	// After an error it yields nothing more. ETag may be empty.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]
	// Stat returns the object's size and time; ETag may be empty, since some stores would have to read the object for it.
	Stat(ctx context.Context, key string) (Info, error)
	// Delete removes the object. A missing object is not an error.
	Delete(ctx context.Context, key string) error
}

// Info describes one object. ETag is opaque and changes with the content.
type Info struct {
	Key     string
	Size    int64 // bytes
	ETag    string
	ModTime time.Time
}

// Condition guards a Put. The zero value always holds; at most one field is set.
type Condition struct {
	IfAbsent bool   // no object of that key
	IfMatch  string // the object's ETag is this one
}

// Check refuses a condition that asks for both.
func (c Condition) Check() error {
	if c.IfAbsent && c.IfMatch != "" {
		return fmt.Errorf("condition asks for absence and for ETag %s: %w", c.IfMatch, ErrInvalid)
	}
	return nil
}

var (
	// ErrNotExist: there is no object of that key.
	ErrNotExist = errors.New("object does not exist")
	// ErrPrecondition: the condition of a Put does not hold; nothing was written.
	ErrPrecondition = errors.New("precondition does not hold")
	// ErrUnknownOutcome: a write may or may not have happened. It is never a reason to delete or to repeat blindly:
	// read back what the object holds.
	ErrUnknownOutcome = errors.New("outcome unknown")
	// ErrRange: GetRange asked for bytes outside the object.
	ErrRange = errors.New("range outside the object")
	// ErrInvalid: the call itself is wrong (key, condition).
	ErrInvalid = errors.New("invalid argument")
)

// Class says what a caller may do after an error.
type Class int

// The classes, by what they allow.
const (
	Permanent    Class = iota // repeating the call gives the same error
	Retryable                 // nothing happened; the same call may work later
	NotExist                  // the object is not there
	Precondition              // a condition does not hold; read again and decide
	Unknown                   // a write may have happened; resolve by reading back
)

// String names the class.
func (c Class) String() string {
	switch c {
	case Retryable:
		return "retryable"
	case NotExist:
		return "not-exist"
	case Precondition:
		return "precondition"
	case Unknown:
		return "unknown"
	default:
		return "permanent"
	}
}

// Classify decides by one error of a Store what may be done about it.
func Classify(err error) Class {
	var r *retryableError
	switch {
	case errors.Is(err, ErrUnknownOutcome): // first: a timed-out write wraps a retryable cause
		return Unknown
	case errors.Is(err, ErrPrecondition):
		return Precondition
	case errors.Is(err, ErrNotExist):
		return NotExist
	case errors.Is(err, context.Canceled): // the caller gave up
		return Permanent
	case errors.As(err, &r), errors.Is(err, context.DeadlineExceeded): // a deadline is of one attempt
		return Retryable
	default:
		return Permanent
	}
}

type retryableError struct{ err error }

func (e *retryableError) Error() string { return e.err.Error() }
func (e *retryableError) Unwrap() error { return e.err }

// MarkRetryable lets Classify call err retryable: the store promises that the call had no effect. It keeps nil nil.
func MarkRetryable(err error) error {
	if err == nil {
		return nil
	}
	return &retryableError{err}
}

// maxKeyBytes is the longest key of Amazon S3; every other store allows at least that or fails by itself.
const maxKeyBytes = 1024

// CheckKey refuses what is not a plain relative slash path: empty, absolute, with empty, "." or ".." elements, with backslash,
// control characters or invalid UTF-8. Keys come from partition values, so this is the guard against leaving the table.
func CheckKey(key string) error {
	if key == "" || len(key) > maxKeyBytes || !utf8.ValidString(key) {
		return fmt.Errorf("key %q: %w", key, ErrInvalid)
	}
	for _, r := range key {
		if r < 0x20 || r == 0x7f || r == '\\' {
			return fmt.Errorf("key %q: %w", key, ErrInvalid)
		}
	}
	for element := range strings.SplitSeq(key, "/") {
		if element == "" || element == "." || element == ".." {
			return fmt.Errorf("key %q: %w", key, ErrInvalid)
		}
	}
	return nil
}
