package apierr_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/playhead-pipeline/playhead/services/internal/apierr"
)

// kinds returns every kind: those that have a name.
func kinds() []apierr.Kind {
	var all []apierr.Kind
	for k := apierr.Kind(0); !strings.HasPrefix(k.String(), "kind "); k++ {
		all = append(all, k)
	}
	return all
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	if len(kinds()) != int(apierr.DeadlineExceeded)+1 {
		t.Fatalf("%d kinds have a name", len(kinds()))
	}
	codesSeen := map[codes.Code]apierr.Kind{}
	for _, k := range kinds() {
		for _, retryAfter := range []time.Duration{0, 1, 1500 * time.Millisecond, 1000 * time.Hour} {
			want := apierr.Error{Kind: k, Message: "topic ünknown: 100% sure", RetryAfter: retryAfter}
			s := apierr.ToStatus(&want)
			// A status crosses the wire as its proto.
			got := apierr.FromStatus(status.FromProto(s.Proto()))
			if got == nil || *got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if other, twice := codesSeen[s.Code()]; twice && other != k {
				t.Errorf("%s and %s share code %s", other, k, s.Code())
			}
			codesSeen[s.Code()] = k
		}
	}
}

func TestToStatusFindsTheMeaning(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		code codes.Code
		text string
	}{
		"wrapped":          {fmt.Errorf("open stream: %w", apierr.New(apierr.Exhausted, "quota of %s", "acme")), codes.ResourceExhausted, "quota of acme"},
		"status":           {status.Error(codes.DataLoss, "gone"), codes.DataLoss, "gone"},
		"canceled":         {fmt.Errorf("read: %w", context.Canceled), codes.Canceled, "read: context canceled"},
		"deadline":         {context.DeadlineExceeded, codes.DeadlineExceeded, "context deadline exceeded"},
		"anything else":    {errors.New("disk full"), codes.Internal, "disk full"},
		"kind of tomorrow": {&apierr.Error{Kind: 200, Message: "x"}, codes.Internal, "x"},
	} {
		if s := apierr.ToStatus(c.err); s.Code() != c.code || s.Message() != c.text {
			t.Errorf("%s: got %s %q", name, s.Code(), s.Message())
		}
	}
	if apierr.ToStatus(nil) != nil {
		t.Error("nil has a status")
	}
}

func TestFromStatus(t *testing.T) {
	t.Parallel()
	if apierr.FromStatus(nil) != nil || apierr.FromStatus(status.New(codes.OK, "")) != nil || apierr.From(nil) != nil {
		t.Error("success is an error")
	}
	if e := apierr.FromStatus(status.New(codes.DataLoss, "gone")); e.Kind != apierr.Internal || e.Message != "gone" {
		t.Errorf("got %+v", e)
	}
	own := apierr.New(apierr.NotFound, "x")
	if got := apierr.From(fmt.Errorf("wrapped: %w", own)); got != own {
		t.Errorf("got %v", got)
	}
	if got := apierr.From(status.Error(codes.Unavailable, "draining")); got.Kind != apierr.Unavailable || !got.Retryable() {
		t.Errorf("got %v", got)
	}
}
