// Package defect makes the pipeline wrong at its borders, to prove that the ledger checker can fail: proxies that speak the real protocols
// and stand between two parts, each with one defect that a real system could have. No service has a hook for them. What a run under a defect
// must show is for this package's test; what is right and wrong, for package model.
package defect

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// stopTimeout bounds how long a proxy waits for what is under way when it is stopped.
const stopTimeout = 2 * time.Second

// web is an HTTP proxy with its listener.
type web struct {
	listener net.Listener
	server   *http.Server
}

// listenWeb binds a port of loopback.
func listenWeb(handler http.Handler) (*web, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return &web{listener, &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}}, nil
}

// URL returns the address that the parts are to use instead of the real one.
func (w *web) URL() string { return "http://" + w.listener.Addr().String() }

// Run serves until ctx ends.
func (w *web) Run(ctx context.Context) error {
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if w.server.Shutdown(ctx) != nil {
			_ = w.server.Close() // ends what did not end by itself
		}
	})
	err := w.server.Serve(w.listener)
	if stop() {
		return fmt.Errorf("serve: %w", err)
	}
	<-stopped
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
