package defect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// HTTP is a proxy in front of an HTTP server.
type HTTP struct {
	server   *http.Server
	listener net.Listener
	served   sync.WaitGroup
	client   *http.Client
}

func newHTTP(handler func(*HTTP) http.HandlerFunc) (*HTTP, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	h := &HTTP{listener: listener, client: &http.Client{Transport: &http.Transport{DisableCompression: true}}}
	h.server = &http.Server{Handler: handler(h), ReadHeaderTimeout: 10 * time.Second}
	h.served.Go(func() { _ = h.server.Serve(listener) }) // ends by Close
	return h, nil
}

// URL returns the proxy's base URL.
func (h *HTTP) URL() string { return "http://" + h.listener.Addr().String() }

// Close ends the proxy and what it is serving.
func (h *HTTP) Close() error {
	err := h.server.Close()
	h.served.Wait()
	h.client.CloseIdleConnections()
	return err
}

// pass sends request on and returns the answer with its body read.
func (h *HTTP) pass(request *http.Request) (*http.Response, []byte, error) {
	response, err := h.client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(response.Body)
	return response, body, errors.Join(err, response.Body.Close())
}

func reply(w http.ResponseWriter, response *http.Response, body []byte) {
	for name, values := range response.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(response.StatusCode)
	_, _ = w.Write(body) // a client that went away has no use for it
}

// upstream copies a request for the server at base.
func upstream(r *http.Request, base string, body []byte) (*http.Request, error) {
	request, err := http.NewRequestWithContext(r.Context(), r.Method, base+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header = r.Header.Clone()
	request.ContentLength = int64(len(body))
	return request, nil
}

// NewRegistry starts a proxy of the schema registry at base in whose answers every replacement's old text becomes its new one. Schemas are
// text inside JSON there, so quotes are escaped.
func NewRegistry(base string, replacements ...string) (*HTTP, error) {
	replacer := strings.NewReplacer(replacements...)
	return newHTTP(func(h *HTTP) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			request, err := upstream(r, base, body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			response, answer, err := h.pass(request)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			answer = []byte(replacer.Replace(string(answer)))
			response.Header.Del("Content-Length")
			reply(w, response, answer)
		}
	})
}

// StoreFault changes what passes between the lake-writer and the object store.
type StoreFault struct {
	// DropPut says which PUTs are answered as done and thrown away.
	DropPut func(path string) bool
	// Unconditional takes the conditions off every PUT, so that the last writer wins.
	Unconditional bool
	// Hold is called before a PUT is passed on and may wait.
	Hold func(ctx context.Context, path string)
}

// Store is how to reach an object store.
type Store struct{ Endpoint, Region, AccessKey, SecretKey string }

// NewStore starts a proxy of an object store. It signs the requests anew with the same keys, since their signatures cover the headers that
// it changes.
func NewStore(store Store, fault StoreFault) (*HTTP, error) {
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }) // as S3 wants it
	keys := aws.Credentials{AccessKeyID: store.AccessKey, SecretAccessKey: store.SecretKey}
	return newHTTP(func(h *HTTP) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			if r.Method == http.MethodPut {
				if fault.Hold != nil {
					fault.Hold(r.Context(), r.URL.Path)
				}
				if fault.DropPut != nil && fault.DropPut(r.URL.Path) {
					w.Header().Set("ETag", `"00000000000000000000000000000000"`)
					w.WriteHeader(http.StatusOK)
					return
				}
			}
			request, err := upstream(r, store.Endpoint, body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			if fault.Unconditional {
				request.Header.Del("If-Match")
				request.Header.Del("If-None-Match")
			}
			request.Header.Del("Authorization")
			request.Header.Del("Accept-Encoding")
			if err := signer.SignHTTP(r.Context(), keys, request, r.Header.Get("X-Amz-Content-Sha256"), "s3", store.Region, time.Now()); err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			response, answer, err := h.pass(request)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			reply(w, response, answer)
		}
	})
}
