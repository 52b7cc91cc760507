package s3store

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fault is what the fake does to one request.
type fault int

const (
	none          fault = iota
	unavailable         // 503 before anything is done
	conflict            // 409 before anything is done
	resetBefore         // the connection is cut, nothing is done
	lostAnswer          // it is done, then the connection is cut
	errorAfter          // it is done, then 500
	cutBody             // half of the answer, then the connection is cut
	ignoreIfNone        // If-None-Match is not looked at
	ignoreIfMatch       // If-Match is not looked at
)

// fakeS3 speaks as much of the S3 protocol as the SDK needs for the store.
type fakeS3 struct {
	pageSize int

	mu struct {
		sync.Mutex
		objects  map[string][]byte
		requests int
		fault    func(r *http.Request) fault
	}
}

func newFakeS3(t *testing.T) (*fakeS3, *Bucket) {
	t.Helper()
	f := &fakeS3{pageSize: 3}
	f.mu.objects = make(map[string][]byte)
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	key := func() (string, error) { return "key", nil }
	b, err := Open(t.Context(), Params{Endpoint: server.URL, Bucket: "lake", PathStyle: true, AccessKey: key, SecretKey: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.CloseClientConnections() })
	return f, b
}

// inject sets what happens to requests from now on.
func (f *fakeS3) inject(fn func(r *http.Request) fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.fault = fn
	f.mu.requests = 0
}

func (f *fakeS3) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.requests
}

func (f *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.requests++
	what := none
	if f.mu.fault != nil {
		what = f.mu.fault(r)
	}
	switch what {
	case unavailable:
		fail(w, http.StatusServiceUnavailable, "SlowDown")
		return
	case conflict:
		fail(w, http.StatusConflict, "ConditionalRequestConflict")
		return
	case resetBefore:
		panic(http.ErrAbortHandler)
	}
	out := w
	if what == lostAnswer || what == errorAfter {
		out = httptest.NewRecorder()
	}
	f.serve(out, r, body, what)
	switch what {
	case lostAnswer:
		panic(http.ErrAbortHandler)
	case errorAfter:
		fail(w, http.StatusInternalServerError, "InternalError")
	}
}

func (f *fakeS3) serve(w http.ResponseWriter, r *http.Request, body []byte, what fault) {
	key, ok := strings.CutPrefix(r.URL.Path, "/lake/")
	if !ok || key == "" {
		f.list(w, r)
		return
	}
	data, exists := f.mu.objects[key]
	switch r.Method {
	case http.MethodPut:
		f.put(w, r, key, body, what)
	case http.MethodDelete:
		delete(f.mu.objects, key)
		w.WriteHeader(http.StatusNoContent)
	default:
		if !exists {
			fail(w, http.StatusNotFound, "NoSuchKey")
			return
		}
		w.Header().Set("ETag", etag(data))
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		f.get(w, r, data, what)
	}
}

func (f *fakeS3) get(w http.ResponseWriter, r *http.Request, data []byte, what fault) {
	status := http.StatusOK
	if spec, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
		from, to, _ := strings.Cut(spec, "-")
		first, _ := strconv.Atoi(from)
		last, _ := strconv.Atoi(to)
		if first >= len(data) {
			fail(w, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
			return
		}
		last = min(last, len(data)-1)
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, len(data)))
		data, status = data[first:last+1], http.StatusPartialContent
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	if what == cutBody {
		_, _ = w.Write(data[:len(data)/2])
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(data)
}

func (f *fakeS3) put(w http.ResponseWriter, r *http.Request, key string, body []byte, what fault) {
	data, exists := f.mu.objects[key]
	if r.Header.Get("If-None-Match") == "*" && exists && what != ignoreIfNone {
		fail(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	}
	if want := r.Header.Get("If-Match"); want != "" && what != ignoreIfMatch {
		if !exists {
			fail(w, http.StatusNotFound, "NoSuchKey")
			return
		}
		if want != etag(data) {
			fail(w, http.StatusPreconditionFailed, "PreconditionFailed")
			return
		}
	}
	f.mu.objects[key] = body
	w.Header().Set("ETag", etag(body))
}

type listing struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	IsTruncated           bool
	NextContinuationToken string
	Contents              []listed
}

type listed struct {
	Key          string
	Size         int
	ETag         string
	LastModified string
}

func (f *fakeS3) list(w http.ResponseWriter, r *http.Request) {
	prefix, after := r.URL.Query().Get("prefix"), r.URL.Query().Get("continuation-token")
	var keys []string
	for key := range f.mu.objects {
		if strings.HasPrefix(key, prefix) && key > after {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	out := listing{IsTruncated: len(keys) > f.pageSize}
	keys = keys[:min(len(keys), f.pageSize)]
	for _, key := range keys {
		data := f.mu.objects[key]
		out.Contents = append(out.Contents, listed{key, len(data), etag(data), time.Now().UTC().Format(time.RFC3339)})
		out.NextContinuationToken = key
	}
	w.Header().Set("Content-Type", "application/xml")
	_ = xml.NewEncoder(w).Encode(out)
}

func etag(data []byte) string {
	sum := md5.Sum(data)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

func fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>injected</Message></Error>", code)
}
