// Package apierr owns the one typed error that crosses RPC between the services, and its translation to and from a gRPC status. What a
// status carries is the kind, the message and the time to wait; wrapped causes stay in the process that logged them.
package apierr

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Kind tells what the caller should do about an error.
type Kind uint8

// Kinds, each with its own gRPC code, so that a status tells the kind without further detail.
const (
	// Internal is a broken invariant or an error nobody classified. Retrying may or may not help.
	Internal Kind = iota
	// Invalid means that the request can never succeed as it is.
	Invalid
	// Unauthenticated means that the caller has not proved who it is.
	Unauthenticated
	// Unauthorized means that the caller may not do this.
	Unauthorized
	// NotFound means that the named thing does not exist.
	NotFound
	// Conflict means that the state of the thing forbids the request now: read it again and decide again.
	Conflict
	// AlreadyExists means that the thing to create is there.
	AlreadyExists
	// Exhausted means that a quota or a memory budget is used up: wait RetryAfter.
	Exhausted
	// Unavailable means that a dependency or the service itself is out or draining: retry elsewhere or after RetryAfter.
	Unavailable
	// Unimplemented means that this version cannot do it.
	Unimplemented
	// Canceled means that the caller gave up.
	Canceled
	// DeadlineExceeded means that the caller's time was over. The outcome is unknown.
	DeadlineExceeded
)

// kinds maps each Kind to its name and its code. Both columns are free of repetition, which makes the translation reversible.
var kinds = [...]struct {
	name string
	code codes.Code
}{
	Internal:         {"internal", codes.Internal},
	Invalid:          {"invalid", codes.InvalidArgument},
	Unauthenticated:  {"unauthenticated", codes.Unauthenticated},
	Unauthorized:     {"unauthorized", codes.PermissionDenied},
	NotFound:         {"not found", codes.NotFound},
	Conflict:         {"conflict", codes.FailedPrecondition},
	AlreadyExists:    {"already exists", codes.AlreadyExists},
	Exhausted:        {"exhausted", codes.ResourceExhausted},
	Unavailable:      {"unavailable", codes.Unavailable},
	Unimplemented:    {"unimplemented", codes.Unimplemented},
	Canceled:         {"canceled", codes.Canceled},
	DeadlineExceeded: {"deadline exceeded", codes.DeadlineExceeded},
}

func (k Kind) String() string {
	if int(k) < len(kinds) {
		return kinds[k].name
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Error is an error with a meaning for the other side of an RPC. The message must not hold secrets or values of events.
type Error struct {
	Kind    Kind
	Message string
	// RetryAfter is how long the caller should wait before it tries again; zero says nothing.
	RetryAfter time.Duration
}

// New returns an Error with a formatted message.
func New(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

func (e *Error) Error() string { return e.Kind.String() + ": " + e.Message }

// GRPCStatus lets gRPC find the status of an Error that a handler returns, wrapped or not.
func (e *Error) GRPCStatus() *status.Status {
	code := codes.Internal
	if int(e.Kind) < len(kinds) {
		code = kinds[e.Kind].code
	}
	s := status.New(code, e.Message)
	if e.RetryAfter <= 0 {
		return s
	}
	if detailed, err := s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(e.RetryAfter)}); err == nil {
		return detailed
	}
	return s
}

// Retryable tells whether the same request may succeed later without anybody changing it.
func (e *Error) Retryable() bool { return e.Kind == Exhausted || e.Kind == Unavailable }

// ToStatus returns the status to send for err: that of an Error or of a gRPC status in its chain, the matching one of a context error, and
// Internal for everything else. It returns nil for nil.
func ToStatus(err error) *status.Status {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.GRPCStatus()
	}
	if s, ok := status.FromError(err); ok {
		return s
	}
	switch {
	case errors.Is(err, context.Canceled):
		return status.New(codes.Canceled, err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return status.New(codes.DeadlineExceeded, err.Error())
	}
	return status.New(codes.Internal, err.Error())
}

// FromStatus is the inverse of ToStatus. It returns nil for nil and for OK. Codes that no kind sends become Internal.
func FromStatus(s *status.Status) *Error {
	if s == nil || s.Code() == codes.OK {
		return nil
	}
	e := &Error{Message: s.Message()}
	for k, entry := range kinds {
		if entry.code == s.Code() {
			e.Kind = Kind(k)
		}
	}
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok && info.GetRetryDelay().IsValid() {
			e.RetryAfter = max(0, info.GetRetryDelay().AsDuration())
		}
	}
	return e
}

// From returns the Error in err: its own, or the one that the status of an RPC error stands for. It returns nil for nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return FromStatus(ToStatus(err))
}
