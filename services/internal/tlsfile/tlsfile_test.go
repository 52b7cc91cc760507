package tlsfile_test

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/services/internal/tlsfile"
	"github.com/playhead-pipeline/playhead/services/internal/tlstest"
)

// handshake connects a client to a server over loopback, passes a byte each way and returns the name in the server's certificate.
func handshake(t *testing.T, server, client *tls.Config) (string, error) {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s, err := listener.Accept()
		if err != nil {
			return
		}
		// With TLS 1.3 a server refuses a client's certificate after the client has finished: only data shows it.
		if _, err := io.ReadFull(s, make([]byte, 1)); err == nil {
			_, _ = s.Write([]byte{1})
		}
		_ = s.Close()
	}()
	defer func() {
		_ = listener.Close()
		<-done
	}()
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", listener.Addr().String(), client)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err = c.Write([]byte{1})
	if err == nil {
		_, err = io.ReadFull(c, make([]byte, 1))
	}
	if err != nil {
		return "", err
	}
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

// age gives a file a time of its own, as a rotation some time later does.
func age(t *testing.T, after time.Duration, paths ...string) {
	t.Helper()
	for _, path := range paths {
		at := time.Now().Add(after)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
}

func server(t *testing.T, files tlsfile.Files, onError func(error)) *tls.Config {
	t.Helper()
	c, err := tlsfile.Server(files, tls.VersionTLS13, nil, onError)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func client(t *testing.T, files tlsfile.Files) *tls.Config {
	t.Helper()
	c, err := tlsfile.Client(files, "localhost", tls.VersionTLS13)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRotatedCertificateIsServed(t *testing.T) {
	t.Parallel()
	ca, dir := tlstest.NewAuthority(t), t.TempDir()
	cert, key := ca.Issue(t, dir, "first")
	s, c := server(t, tlsfile.Files{Cert: cert, Key: key}, nil), client(t, tlsfile.Files{CA: ca.File})
	if name, err := handshake(t, s, c); err != nil || name != "first" {
		t.Fatalf("got %q, %v", name, err)
	}
	ca.Issue(t, dir, "second")
	age(t, time.Second, cert, key)
	if name, err := handshake(t, s, c); err != nil || name != "second" {
		t.Errorf("after rotation: got %q, %v", name, err)
	}
}

func TestLastGoodFilesStayInForce(t *testing.T) {
	t.Parallel()
	ca, dir := tlstest.NewAuthority(t), t.TempDir()
	cert, key := ca.Issue(t, dir, "first")
	var complaints atomic.Int32
	s := server(t, tlsfile.Files{Cert: cert, Key: key}, func(error) { complaints.Add(1) })
	c := client(t, tlsfile.Files{CA: ca.File})

	// The certificate of another pair, as in the middle of a rotation.
	other, _ := ca.Issue(t, t.TempDir(), "other")
	if err := os.Rename(other, cert); err != nil {
		t.Fatal(err)
	}
	age(t, time.Second, cert)
	for range 3 {
		if name, err := handshake(t, s, c); err != nil || name != "first" {
			t.Fatalf("got %q, %v", name, err)
		}
	}
	if n := complaints.Load(); n != 1 {
		t.Errorf("%d complaints about one state of the files", n)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if name, err := handshake(t, s, c); err != nil || name != "first" || complaints.Load() != 2 {
		t.Errorf("without a key: got %q, %v, %d complaints", name, err, complaints.Load())
	}
	ca.Issue(t, dir, "second")
	age(t, 2*time.Second, cert, key)
	if name, err := handshake(t, s, c); err != nil || name != "second" {
		t.Errorf("after the rotation: got %q, %v", name, err)
	}
}

func TestMutualTLS(t *testing.T) {
	t.Parallel()
	ca, stranger := tlstest.NewAuthority(t), tlstest.NewAuthority(t)
	dir, clientDir := t.TempDir(), t.TempDir()
	cert, key := ca.Issue(t, dir, "server")
	s := server(t, tlsfile.Files{Cert: cert, Key: key, CA: ca.File}, nil)

	if _, err := handshake(t, s, client(t, tlsfile.Files{CA: ca.File})); err == nil {
		t.Error("a client without a certificate got in")
	}
	clientCert, clientKey := stranger.Issue(t, clientDir, "client")
	c := client(t, tlsfile.Files{Cert: clientCert, Key: clientKey, CA: ca.File})
	if _, err := handshake(t, s, c); err == nil {
		t.Error("a client of another authority got in")
	}
	// The client's certificate follows its files as well.
	ca.Issue(t, clientDir, "client")
	age(t, time.Second, clientCert, clientKey)
	if _, err := handshake(t, s, c); err != nil {
		t.Errorf("a client of the authority: %v", err)
	}
}

// A client whose authority was taken away cannot come back with a session ticket of before.
func TestRemovedAuthorityEndsSessions(t *testing.T) {
	t.Parallel()
	ca, other := tlstest.NewAuthority(t), tlstest.NewAuthority(t)
	cert, key := ca.Issue(t, t.TempDir(), "server")
	clientCert, clientKey := ca.Issue(t, t.TempDir(), "client")
	s := server(t, tlsfile.Files{Cert: cert, Key: key, CA: ca.File}, nil)
	trusted, err := os.ReadFile(ca.File)
	if err != nil {
		t.Fatal(err)
	}
	clientCA := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(clientCA, trusted, 0o600); err != nil {
		t.Fatal(err)
	}
	c := client(t, tlsfile.Files{Cert: clientCert, Key: clientKey, CA: clientCA})
	c.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	for range 2 {
		if _, err := handshake(t, s, c); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(other.File, ca.File); err != nil {
		t.Fatal(err)
	}
	age(t, time.Second, ca.File)
	if _, err := handshake(t, s, c); err == nil {
		t.Error("the session went on")
	}
}

func TestServerOfUnknownAuthorityIsRefused(t *testing.T) {
	t.Parallel()
	cert, key := tlstest.NewAuthority(t).Issue(t, t.TempDir(), "server")
	s := server(t, tlsfile.Files{Cert: cert, Key: key}, nil)
	if _, err := handshake(t, s, client(t, tlsfile.Files{CA: tlstest.NewAuthority(t).File})); err == nil {
		t.Error("connected")
	}
	if _, err := handshake(t, s, client(t, tlsfile.Files{})); err == nil {
		t.Error("connected with the system's authorities")
	}
}

func TestFilesThatDoNotLoad(t *testing.T) {
	t.Parallel()
	ca := tlstest.NewAuthority(t)
	cert, key := ca.Issue(t, t.TempDir(), "server")
	_, otherKey := ca.Issue(t, t.TempDir(), "other")
	missing := filepath.Join(t.TempDir(), "missing.pem")
	for name, files := range map[string]tlsfile.Files{
		"no certificate":     {},
		"missing":            {Cert: missing, Key: missing},
		"no key":             {Cert: cert},
		"key of another":     {Cert: cert, Key: otherKey},
		"missing authority":  {Cert: cert, Key: key, CA: missing},
		"authority is a key": {Cert: cert, Key: key, CA: key},
	} {
		if _, err := tlsfile.Server(files, tls.VersionTLS13, nil, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := tlsfile.Client(tlsfile.Files{CA: missing}, "", tls.VersionTLS13); err == nil {
		t.Error("client with a missing authority: no error")
	}
}
