package gateway

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/playhead-pipeline/playhead/services/internal/rpcserver"
)

// certificate is a self-signed one that is its own authority.
func certificate(t *testing.T, dir, name string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(suffix, kind string, data []byte) string {
		file := filepath.Join(dir, name+suffix)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	return write(".crt", "CERTIFICATE", der), write(".key", "PRIVATE KEY", keyDER)
}

func TestClientCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	serverCert, serverKey := certificate(t, dir, "server")
	clientCert, clientKey := certificate(t, dir, "client")
	strangerCert, strangerKey := certificate(t, dir, "stranger")
	r := start(t, func(c *Config) {
		c.TLS = rpcserver.TLSConfig{CertFile: serverCert, KeyFile: serverKey, ClientCAFile: clientCert}
	})
	pemData, err := os.ReadFile(serverCert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pemData)
	dial := func(cert, key string, version uint16) error {
		config := &tls.Config{RootCAs: roots, MaxVersion: version, MinVersion: tls.VersionTLS12}
		if cert != "" {
			pair, err := tls.LoadX509KeyPair(cert, key)
			if err != nil {
				t.Fatal(err)
			}
			// GetClientCertificate sends it even to a server that does not ask for its authority.
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		conn, _, err := websocket.Dial(ctx, "wss://"+r.Addrs().WebSocket+"/v1/events", &websocket.DialOptions{
			HTTPClient: client, Subprotocols: []string{"playhead.v1.json"},
		})
		if err != nil {
			return err
		}
		defer func() { _ = conn.CloseNow() }()
		if err := conn.Write(ctx, websocket.MessageText, []byte(`{"seq":1,"schema":"s","events":[1]}`)); err != nil {
			return err
		}
		for range 2 { // hello, ack
			if _, _, err := conn.Read(ctx); err != nil {
				return err
			}
		}
		return nil
	}
	if err := dial(clientCert, clientKey, tls.VersionTLS13); err != nil {
		t.Errorf("known client: %v", err)
	}
	if err := dial(strangerCert, strangerKey, tls.VersionTLS13); err == nil {
		t.Error("a stranger's certificate passed")
	}
	if err := dial("", "", tls.VersionTLS13); err == nil {
		t.Error("no certificate passed")
	}
	if err := dial(clientCert, clientKey, tls.VersionTLS12); err == nil {
		t.Error("TLS 1.2 passed")
	}
}

func TestSocketsAreCapped(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &cappedListener{Listener: inner, limit: 2}
	accepted := make(chan net.Conn, 10)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	t.Cleanup(func() {
		_ = inner.Close()
		<-done
	})
	dial := func() net.Conn {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	dial()
	dial()
	first, second := <-accepted, <-accepted
	if n, err := dial().Read(make([]byte, 1)); err == nil || n != 0 {
		t.Error("a socket over the cap stayed open")
	}
	_ = first.Close()
	_ = first.Close() // counts once
	dial()
	third := <-accepted
	if n, err := dial().Read(make([]byte, 1)); err == nil || n != 0 {
		t.Error("closing twice made room twice")
	}
	_ = second.Close()
	_ = third.Close()
}

// TestSlowHandshake sends half a request.
func TestSlowHandshake(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.Timeouts.Handshake = duration(50 * time.Millisecond) })
	c, err := net.Dial("tcp", r.Addrs().WebSocket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, "GET /v1/events HTTP/1.1\r\nHost: x\r\n"); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Errorf("the socket was not closed: %v", err)
	}
}
