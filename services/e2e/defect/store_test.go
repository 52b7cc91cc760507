package defect

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/playhead-pipeline/playhead/services/e2e/stack"
)

// storeClient is a client of a bucket behind a proxy.
type storeClient struct {
	t   *testing.T
	sdk *s3.Client
}

func newStoreClient(t *testing.T, b stack.S3, endpoint string) storeClient {
	return storeClient{t, s3.New(s3.Options{
		BaseEndpoint: aws.String(endpoint), UsePathStyle: true, Region: "us-east-1", Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider(b.AccessKey, b.SecretKey, ""),
	})}
}

// put returns the error code of the answer, "" when it was done; an error without an answer in words.
func (c storeClient) put(key, ifMatch, ifNoneMatch string) string {
	c.t.Helper()
	in := &s3.PutObjectInput{Bucket: aws.String(stack.Bucket), Key: &key, Body: strings.NewReader(key + ifMatch)}
	if ifMatch != "" {
		in.IfMatch = &ifMatch
	}
	if ifNoneMatch != "" {
		in.IfNoneMatch = &ifNoneMatch
	}
	_, err := c.sdk.PutObject(c.t.Context(), in)
	return errorCode(err)
}

// size asks for the head of an object.
func (c storeClient) size(key string) (int64, bool) {
	c.t.Helper()
	out, err := c.sdk.HeadObject(c.t.Context(), &s3.HeadObjectInput{Bucket: aws.String(stack.Bucket), Key: &key})
	if err != nil {
		if code := errorCode(err); code != "NotFound" {
			c.t.Errorf("head of %s: %s", key, code)
		}
		return 0, false
	}
	return aws.ToInt64(out.ContentLength), true
}

func errorCode(err error) string {
	if answer, ok := errors.AsType[smithy.APIError](err); ok {
		return answer.ErrorCode()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// TestObjectStore runs the proxy before a real S3 server, with the SDK that the lake-writer uses: signatures are checked on the way.
func TestStore(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	backends, err := stack.StartEmbedded(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := backends.Stop(); err != nil {
			t.Error(err)
		}
	})
	open := func(t *testing.T, fault StoreFault) storeClient {
		t.Parallel()
		proxy, err := NewStore(storeOf(backends.S3), fault)
		closed(t, proxy, err)
		return newStoreClient(t, backends.S3, proxy.URL())
	}
	t.Run("group", func(t *testing.T) { // so that the server outlives the parallel tests
		t.Run("no fault", func(t *testing.T) {
			c := open(t, StoreFault{})
			for i, want := range []string{"", "PreconditionFailed"} {
				if code := c.put("none/event_date=2026-11-24/a.parquet", "", "*"); code != want {
					t.Errorf("put %d if absent: %q, want %q", i, code, want)
				}
			}
		})
		t.Run("unconditional", func(t *testing.T) {
			c := open(t, StoreFault{Unconditional: true, Spare: func(path string) bool { return strings.Contains(path, "/spare/") }})
			for range 2 {
				if code := c.put("plain/x=1/a", "", "*"); code != "" {
					t.Errorf("put if absent: %s", code)
				}
			}
			if code := c.put("plain/x=1/a", `"stale"`, ""); code != "" {
				t.Errorf("put with a stale ETag: %s", code)
			}
			for i, want := range []string{"", "PreconditionFailed"} {
				if code := c.put("spare/a", "", "*"); code != want {
					t.Errorf("spared put %d if absent: %q, want %q", i, code, want)
				}
			}
		})
		t.Run("drop", func(t *testing.T) { testDrop(t, open, newStoreClient(t, backends.S3, backends.S3.Endpoint)) })
		t.Run("hold", func(t *testing.T) { testHold(t, open) })
	})
}

// testDrop puts an object that is thrown away. direct sees what the store really holds.
func testDrop(t *testing.T, open func(*testing.T, StoreFault) storeClient, direct storeClient) {
	c := open(t, StoreFault{DropPut: func(path string) bool { return strings.HasSuffix(path, "/b.parquet") }})
	for name, want := range map[string]bool{"drop/p=1/a.parquet": true, "drop/p=1/b.parquet": false} {
		if code := c.put(name, "", ""); code != "" {
			t.Errorf("put %s: %s", name, code)
		}
		if size, ok := c.size(name); !ok || size != int64(len(name)) {
			t.Errorf("head of %s says %d bytes, %v; want %d", name, size, ok, len(name))
		}
		if _, got := direct.size(name); got != want {
			t.Errorf("%s is in the store: %v, want %v", name, got, want)
		}
	}
}

func testHold(t *testing.T, open func(*testing.T, StoreFault) storeClient) {
	arrived, release := make(chan struct{}), make(chan struct{})
	var held atomic.Bool
	c := open(t, StoreFault{Hold: func(_ context.Context, path string) {
		if strings.HasSuffix(path, "/HEAD") && held.CompareAndSwap(false, true) {
			close(arrived)
			<-release
		}
	}})
	code := make(chan string, 1)
	go func() { code <- c.put("held/HEAD", "", "*") }()
	<-arrived
	if code := c.put("held/other", "", "*"); code != "" {
		t.Errorf("put beside the held one: %s", code)
	}
	if code := c.put("held/HEAD", "", "*"); code != "" {
		t.Errorf("put during the hold: %s", code)
	}
	close(release)
	if code := <-code; code != "PreconditionFailed" {
		t.Errorf("held put: %q, want that it comes too late", code)
	}
}
