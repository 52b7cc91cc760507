package rpcserver

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"strings"

	"github.com/playhead-pipeline/playhead/services/internal/configfile"
	"github.com/playhead-pipeline/playhead/services/internal/netlisten"
	"github.com/playhead-pipeline/playhead/services/internal/tlsfile"
)

// TLSConfig names the PEM files of a listener. They are read again when they change. Without a certificate the listener speaks plaintext.
type TLSConfig struct {
	CertFile     string `yaml:"cert_file" doc:"PEM file with the certificate chain of the listener, leaf first. Read again when it changes."`
	KeyFile      string `yaml:"key_file" doc:"PEM file with the private key of the certificate."`
	ClientCAFile string `yaml:"client_ca_file" doc:"PEM file with the authorities of client certificates. When set, every client must present one."`
}

// Enabled tells whether a certificate is configured.
func (c TLSConfig) Enabled() bool { return c.CertFile != "" }

// Validate reports files without their counterparts.
func (c TLSConfig) Validate(r *configfile.Report) {
	switch {
	case c.CertFile != "" && c.KeyFile == "":
		r.Errorf("key_file", "is needed with cert_file")
	case c.CertFile == "" && c.KeyFile != "":
		r.Errorf("cert_file", "is needed with key_file")
	case c.CertFile == "" && c.ClientCAFile != "":
		r.Errorf("cert_file", "is needed with client_ca_file")
	}
}

// Load reads the files and returns a configuration that follows their changes; nil when TLS is not configured. next are the application
// protocols (ALPN). Listeners other than gRPC use it too.
func (c TLSConfig) Load(minVersion uint16, next []string, logger *slog.Logger) (*tls.Config, error) {
	if !c.Enabled() {
		return nil, nil
	}
	return tlsfile.Server(tlsfile.Files{Cert: c.CertFile, Key: c.KeyFile, CA: c.ClientCAFile}, minVersion, next, func(err error) {
		logger.Warn("TLS files do not load; the last good ones stay in force", "error", err)
	})
}

// ServerConfig says where and how a server listens.
type ServerConfig struct {
	Listen   string    `yaml:"listen" doc:"Address to listen on. Port 0 means any free port."`
	TLS      TLSConfig `yaml:"tls" doc:"TLS of the listener."`
	Insecure bool      `yaml:"insecure" doc:"Allows plaintext on an address that is not loopback."`
}

// Validate reports an address that the rule of plaintext forbids.
func (c ServerConfig) Validate(r *configfile.Report) {
	if err := netlisten.RequireLoopback(c.Listen, c.TLS.Enabled(), c.Insecure); err != nil {
		r.Errorf("listen", "%v", err)
	}
}

// ClientTLSConfig names the PEM files of a client.
type ClientTLSConfig struct {
	Enabled    bool   `yaml:"enabled" doc:"Uses TLS with the system's authorities when no ca_file is set."`
	CAFile     string `yaml:"ca_file" doc:"PEM file with the authorities of the server's certificate. Setting it switches TLS on."`
	CertFile   string `yaml:"cert_file" doc:"PEM file with the client's certificate, for servers that ask for one. Read again when it changes."`
	KeyFile    string `yaml:"key_file" doc:"PEM file with the private key of the client's certificate."`
	ServerName string `yaml:"server_name" doc:"Name to expect in the server's certificate instead of the host of the address."`
}

// On tells whether the client uses TLS.
func (c ClientTLSConfig) On() bool { return c.Enabled || c.CAFile != "" }

// Validate reports files without their counterparts.
func (c ClientTLSConfig) Validate(r *configfile.Report) {
	if (c.CertFile == "") != (c.KeyFile == "") {
		r.Errorf("cert_file", "cert_file and key_file belong together")
	}
	if !c.On() && c.CertFile != "" {
		r.Errorf("enabled", "is needed with cert_file when there is no ca_file")
	}
}

// ClientConfig says which server a client calls.
type ClientConfig struct {
	Address  string          `yaml:"address" doc:"Address of the server, host:port."`
	TLS      ClientTLSConfig `yaml:"tls" doc:"TLS towards the server."`
	Insecure bool            `yaml:"insecure" doc:"Allows plaintext to an address that is not loopback."`
}

// Validate reports an address that the rule of plaintext forbids.
func (c ClientConfig) Validate(r *configfile.Report) {
	if err := c.check(); err != nil {
		r.Errorf("address", "%v", err)
	}
}

// check applies the rule of plaintext to the host:port part of the address; the name of a resolver may stand before it ("dns:///").
func (c ClientConfig) check() error {
	endpoint := c.Address[strings.LastIndexByte(c.Address, '/')+1:]
	if err := netlisten.RequireLoopback(endpoint, c.TLS.On(), c.Insecure); err != nil {
		return fmt.Errorf("call %s: %w", c.Address, err)
	}
	return nil
}
