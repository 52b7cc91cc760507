package defect

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// StoreFault changes what passes between the lake-writer and the object store. The zero value changes nothing.
type StoreFault struct {
	// DropPut says which PUTs are answered as done and thrown away. Who asks for the head of such an object afterwards is told that it is
	// there; its bytes are nowhere.
	DropPut func(path string) bool
	// Unconditional takes the conditions off PUTs, so that the last writer wins. Spare, when set, says which are left alone.
	Unconditional bool
	Spare         func(path string) bool
	// Hold is called before a PUT is passed on and may wait.
	Hold func(ctx context.Context, path string)
}

// Store is how to reach an object store.
type Store struct{ Endpoint, Region, AccessKey, SecretKey string }

// NewStore starts a proxy of an object store. It signs the requests anew with the same keys, since their signatures cover the headers that
// it changes.
func NewStore(store Store, fault StoreFault) (*HTTP, error) {
	return newHTTP(func(h *HTTP) http.HandlerFunc {
		s := &storeProxy{
			http: h, store: store, fault: fault,
			signer: v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }), // as S3 wants it
		}
		s.mu.dropped = make(map[string]http.Header)
		return answering(s.answer)
	})
}

type storeProxy struct {
	http   *HTTP
	store  Store
	fault  StoreFault
	signer *v4.Signer

	mu struct {
		sync.Mutex
		dropped map[string]http.Header // by path: what the head of an object that was thrown away says
	}
}

func (s *storeProxy) answer(r *http.Request, body []byte) (*http.Response, []byte, error) {
	path := r.URL.Path
	switch r.Method {
	case http.MethodPut:
		if s.fault.Hold != nil {
			s.fault.Hold(r.Context(), path)
		}
		if s.fault.DropPut != nil && s.fault.DropPut(path) {
			return s.drop(path, body), nil, nil
		}
	case http.MethodHead:
		s.mu.Lock()
		header := s.mu.dropped[path]
		s.mu.Unlock()
		if header != nil {
			return &http.Response{StatusCode: http.StatusOK, Header: header}, nil, nil
		}
	}
	request, err := upstream(r, s.store.Endpoint, body)
	if err != nil {
		return nil, nil, err
	}
	if s.fault.Unconditional && r.Method == http.MethodPut && (s.fault.Spare == nil || !s.fault.Spare(path)) {
		request.Header.Del("If-Match")
		request.Header.Del("If-None-Match")
	}
	if err := s.sign(request); err != nil {
		return nil, nil, err
	}
	return s.http.pass(request)
}

// drop remembers an object that is thrown away and makes the answer to its PUT.
func (s *storeProxy) drop(path string, body []byte) *http.Response {
	sum := md5.Sum(body)
	etag := `"` + hex.EncodeToString(sum[:]) + `"` // what S3 answers for an object of one PUT
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.dropped[path] = http.Header{
		"Etag": {etag}, "Content-Length": {strconv.Itoa(len(body))}, "Last-Modified": {time.Now().UTC().Format(http.TimeFormat)},
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Etag": {etag}}}
}

// sign signs a request, of whose body it takes the hash that the client gave.
func (s *storeProxy) sign(r *http.Request) error {
	r.Header.Del("Authorization")
	r.Header.Del("Accept-Encoding")
	keys := aws.Credentials{AccessKeyID: s.store.AccessKey, SecretAccessKey: s.store.SecretKey}
	if err := s.signer.SignHTTP(r.Context(), keys, r, r.Header.Get("X-Amz-Content-Sha256"), "s3", s.store.Region, time.Now()); err != nil {
		return fmt.Errorf("sign %s of %s: %w", r.Method, r.URL.Path, err)
	}
	return nil
}
