package defect

import (
	"context"
	"errors"
	"strings"
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
		BaseEndpoint: aws.String(endpoint), UsePathStyle: true, Region: storeRegion, Retryer: aws.NopRetryer{},
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

func (c storeClient) exists(key string) bool {
	c.t.Helper()
	_, err := c.sdk.HeadObject(c.t.Context(), &s3.HeadObjectInput{Bucket: aws.String(stack.Bucket), Key: &key})
	return errorCode(err) == ""
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
func TestObjectStore(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	backends := must[*stack.Embedded](t)(stack.StartEmbedded(ctx, t.TempDir()))
	t.Cleanup(func() {
		if err := backends.Stop(); err != nil {
			t.Error(err)
		}
	})
	open := func(t *testing.T, change func(*StoreOptions)) (*ObjectStore, storeClient) {
		t.Parallel()
		options := storeOptions(backends.S3)
		change(&options)
		proxy := must[*ObjectStore](t)(NewObjectStore(options))
		serve(t, proxy)
		return proxy, newStoreClient(t, backends.S3, proxy.URL())
	}
	t.Run("group", func(t *testing.T) { // so that the server outlives the parallel tests
		t.Run("no defect", func(t *testing.T) {
			_, c := open(t, func(*StoreOptions) {})
			if code := c.put("none/event_date=2026-11-24/a.parquet", "", "*"); code != "" {
				t.Errorf("first put: %s", code)
			}
			if code := c.put("none/event_date=2026-11-24/a.parquet", "", "*"); code != "PreconditionFailed" {
				t.Errorf("second put: %q", code)
			}
		})
		t.Run("unconditional", func(t *testing.T) {
			_, c := open(t, func(o *StoreOptions) { o.Unconditional = true })
			for range 2 {
				if code := c.put("plain/x=1/a", "", "*"); code != "" {
					t.Errorf("put if absent: %s", code)
				}
			}
			if code := c.put("plain/x=1/a", `"stale"`, ""); code != "" {
				t.Errorf("put with a stale ETag: %s", code)
			}
			if c.put("probe/1", "", "*") != "" || c.put("probe/1", "", "*") != "PreconditionFailed" {
				t.Error("a probe's put was touched")
			}
		})
		t.Run("unconditional probe", func(t *testing.T) {
			_, c := open(t, func(o *StoreOptions) { o.Unconditional, o.ProbeToo = true, true })
			if c.put("probe/2", "", "*") != "" || c.put("probe/2", "", "*") != "" {
				t.Error("a probe's put was refused")
			}
		})
		t.Run("lose each second", func(t *testing.T) {
			_, c := open(t, func(o *StoreOptions) { o.LoseEach = 2 })
			for _, name := range []string{"p=1/1.parquet", "p=1/2.parquet", "p=1/.meta", "p=1/3.parquet", "p=1/4.parquet"} {
				c.put("lose/"+name, "", "")
			}
			if !c.exists("lose/p=1/2.parquet") || !c.exists("lose/p=1/4.parquet") {
				t.Error("a file was lost before the commit")
			}
			c.put("lose/.hoodie/playhead/HEAD", "", "*")
			for name, want := range map[string]bool{
				"p=1/1.parquet": true, "p=1/2.parquet": false, "p=1/.meta": true, "p=1/3.parquet": true, "p=1/4.parquet": false,
			} {
				if got := c.exists("lose/" + name); got != want {
					t.Errorf("after the commit %s exists: %v, want %v", name, got, want)
				}
			}
		})
		t.Run("hold", func(t *testing.T) { testHold(t, open) })
	})
}

func testHold(t *testing.T, open func(*testing.T, func(*StoreOptions)) (*ObjectStore, storeClient)) {
	proxy, c := open(t, func(*StoreOptions) {})
	hold := proxy.HoldCommit()
	defer hold.Release()
	code := make(chan string, 1)
	go func() { code <- c.put("held/.hoodie/playhead/HEAD", "", "*") }()
	<-hold.Arrived()
	if code := c.put("held/.hoodie/playhead/HEAD", "", "*"); code != "" { // the hold is for one commit only
		t.Errorf("commit during the hold: %s", code)
	}
	hold.Release()
	if code := <-code; code != "PreconditionFailed" {
		t.Errorf("held commit: %q, want that it comes too late", code)
	}
}
