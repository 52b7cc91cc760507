package s3store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// Requests that change nothing, and deletes, are sent up to readAttempts times. A longer outage is
// the caller's to wait for.
const (
	readAttempts = 4
	readBackOff  = 50 * time.Millisecond
	// readTimeout is the deadline of one attempt: headers and the largest data file at minBytesPerSecond.
	readTimeout = requestTimeout + 256*time.Second
)

// retry runs request until it succeeds, fails for good or readAttempts are used up.
func retry(ctx context.Context, request func(context.Context) error) error {
	for n := 0; ; n++ {
		attempt, cancel := context.WithTimeout(ctx, readTimeout)
		err := request(attempt)
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		err = readOutcome(err)
		if n+1 == readAttempts || storage.Classify(err) != storage.Retryable {
			return err
		}
		timer := time.NewTimer((readBackOff << n) + rand.N(readBackOff<<n))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

// readOutcome puts an error of a request that may be repeated into a class of package storage.
func readOutcome(err error) error {
	status, code := answer(err)
	switch {
	case code == "NoSuchBucket":
		return err
	case status == http.StatusNotFound:
		return fmt.Errorf("%w: %w", storage.ErrNotExist, err)
	case status == http.StatusRequestedRangeNotSatisfiable:
		return fmt.Errorf("%w: %w", storage.ErrRange, err)
	case status == 0, status >= 500, status == http.StatusTooManyRequests, code == "RequestTimeout":
		return storage.MarkRetryable(err)
	default:
		return err // rights, signature, request: the same again gives the same
	}
}

// writeOutcome puts an error of a PUT into a class: done is no error; not done is ErrPrecondition, or
// retryable, or permanent; everything else is ErrUnknownOutcome.
func writeOutcome(err error) error {
	status, code := answer(err)
	switch {
	case status == http.StatusPreconditionFailed:
		return fmt.Errorf("%w: %w", storage.ErrPrecondition, err)
	case code == "ConditionalRequestConflict", code == "OperationAborted":
		// 409: another request for the key was under way and this one was not carried out; Amazon's guide
		// to conditional writes asks to repeat it. Other conflicts stay.
		return storage.MarkRetryable(err)
	case status == http.StatusNotFound && code != "NoSuchBucket":
		// What S3 answers to If-Match when there is no such object.
		return fmt.Errorf("%w: %w", storage.ErrPrecondition, err)
	case status >= 500:
		// A gateway in between may say 5xx after the store has done the work.
		return fmt.Errorf("%w: %w", storage.ErrUnknownOutcome, err)
	case code == "RequestTimeout", status == http.StatusTooManyRequests:
		return storage.MarkRetryable(err) // the store did not get the whole body, or did not look at it
	case status >= 400:
		return err
	case notSent(err):
		return storage.MarkRetryable(err)
	default:
		return fmt.Errorf("%w: %w", storage.ErrUnknownOutcome, err)
	}
}

// answer returns the status and the error code of the store's answer, zero values when there is none.
func answer(err error) (status int, code string) {
	if r, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && r.Response != nil {
		status = r.HTTPStatusCode()
	}
	if a, ok := errors.AsType[smithy.APIError](err); ok {
		code = a.ErrorCode()
	}
	return status, code
}

// notSent tells errors from before the first byte of a request: no connection, or no credentials to sign with.
func notSent(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true
	}
	_, sent := errors.AsType[*smithyhttp.RequestSendError](err)
	_, decoded := errors.AsType[*smithy.DeserializationError](err)
	_, canceled := errors.AsType[*smithy.CanceledError](err)
	return !sent && !decoded && !canceled && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled)
}
