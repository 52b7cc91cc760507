// Package tlsfile makes TLS configurations from PEM files that are read again when they change, so that rotated certificates take effect
// without a restart. It checks the files; who must have which certificate is for its callers.
package tlsfile

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"
)

// Files names PEM files. Cert and Key belong together.
type Files struct {
	// Cert is the certificate chain, leaf first.
	Cert string
	// Key is the private key of the leaf.
	Key string
	// CA holds the certificates that the peer's must descend from.
	CA string
}

// Server returns a configuration for a listener. With a CA every client must present a certificate of it (mutual TLS). The files are looked
// at in each handshake; when one has changed all are read again. If they do not fit together, which is normal for a moment while they
// are being replaced, the last good ones stay in force and onError, which may be nil, is called once for that state of the files.
// next are the application protocols of the listener (ALPN), for example "h2".
func Server(files Files, minVersion uint16, next []string, onError func(error)) (*tls.Config, error) {
	build := func(m material) *tls.Config {
		c := &tls.Config{MinVersion: minVersion, NextProtos: next, Certificates: []tls.Certificate{*m.cert}}
		if m.pool != nil {
			c.ClientCAs, c.ClientAuth = m.pool, tls.RequireAndVerifyClientCert
		}
		return c
	}
	if files.Cert == "" {
		return nil, errors.New("a TLS listener needs a certificate file")
	}
	s := newSource(files, onError)
	m, err := s.load()
	if err != nil {
		return nil, err
	}
	// One configuration per state of the files, because session tickets are bound to it: a client whose CA was taken away cannot resume.
	var mu sync.Mutex
	current, version := build(m), m.version
	return &tls.Config{
		MinVersion: minVersion,
		NextProtos: next,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			m := s.latest()
			mu.Lock()
			defer mu.Unlock()
			if m.version > version {
				current, version = build(m), m.version
			}
			return current, nil
		},
	}, nil
}

// Client returns a configuration for connections to servers whose certificates descend from the CA file, or from the system's authorities
// when that is empty. The client's own certificate, if any, is read again when its files have changed; the CA file is read once.
func Client(files Files, serverName string, minVersion uint16) (*tls.Config, error) {
	s := newSource(files, nil)
	m, err := s.load()
	if err != nil {
		return nil, err
	}
	c := &tls.Config{MinVersion: minVersion, ServerName: serverName, RootCAs: m.pool}
	if files.Cert != "" {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return s.latest().cert, nil }
	}
	return c, nil
}

// material is what the files held at one time.
type material struct {
	cert    *tls.Certificate
	pool    *x509.CertPool
	version int // grows with each successful read
}

// stamp is how a changed file is recognised. Kubernetes replaces the link that a path goes through, which changes the time as well.
type stamp struct {
	modified time.Time
	size     int64
}

// source reads files and remembers the last good material.
type source struct {
	files   Files
	onError func(error)
	mu      struct {
		sync.Mutex
		seen []stamp
		good material
	}
}

func newSource(files Files, onError func(error)) *source {
	if onError == nil {
		onError = func(error) {}
	}
	return &source{files: files, onError: onError}
}

// latest returns the material of the files as they are, or the last good one.
func (s *source) latest() material {
	m, err := s.load()
	if err != nil {
		s.onError(err)
	}
	return m
}

// load reads the files if they changed since the last call. With an error it returns the last good material; the same state of the files
// gives its error once.
func (s *source) load() (material, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Taken before reading: a change in between is seen by the next call.
	now := s.stamps()
	if s.mu.seen != nil && slices.Equal(now, s.mu.seen) {
		return s.mu.good, nil
	}
	s.mu.seen = now
	m, err := s.read()
	if err != nil {
		return s.mu.good, err
	}
	m.version = s.mu.good.version + 1
	s.mu.good = m
	return m, nil
}

// stamps never returns nil. A missing file has the zero stamp.
func (s *source) stamps() []stamp {
	all := make([]stamp, 0, 3)
	for _, path := range []string{s.files.Cert, s.files.Key, s.files.CA} {
		var st stamp
		if info, err := os.Stat(path); err == nil {
			st = stamp{modified: info.ModTime(), size: info.Size()}
		}
		all = append(all, st)
	}
	return all
}

func (s *source) read() (material, error) {
	var m material
	if s.files.Cert != "" || s.files.Key != "" {
		cert, err := tls.LoadX509KeyPair(s.files.Cert, s.files.Key)
		if err != nil {
			return m, fmt.Errorf("load certificate %s with key %s: %w", s.files.Cert, s.files.Key, err)
		}
		m.cert = &cert
	}
	if s.files.CA != "" {
		pem, err := os.ReadFile(s.files.CA)
		if err != nil {
			return m, fmt.Errorf("read certificate authorities: %w", err)
		}
		m.pool = x509.NewCertPool()
		if !m.pool.AppendCertsFromPEM(pem) {
			return m, fmt.Errorf("read certificate authorities: no PEM certificate in %s", s.files.CA)
		}
	}
	return m, nil
}
