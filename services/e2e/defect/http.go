package defect

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
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

// answering turns what becomes of a request into a handler.
func answering(answer func(r *http.Request, body []byte) (*http.Response, []byte, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client went away
		}
		response, text, err := answer(r, body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		reply(w, response, text)
	}
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
		return answering(func(r *http.Request, body []byte) (*http.Response, []byte, error) {
			request, err := upstream(r, base, body)
			if err != nil {
				return nil, nil, err
			}
			request.Header.Del("Accept-Encoding") // replacing needs plain text
			response, answer, err := h.pass(request)
			if err != nil {
				return nil, nil, err
			}
			response.Header.Del("Content-Length")
			return response, []byte(replacer.Replace(string(answer))), nil
		})
	})
}
