package rpcserver

import (
	"crypto/tls"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/playhead-pipeline/playhead/services/internal/tlsfile"
)

// reconnect tries again soon after a server's restart and at most every five seconds for as long as it is gone.
var reconnect = grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
	MinConnectTimeout: 5 * time.Second,
}

// NewClient returns a connection that dials on first use and again after a loss. Call Close on it.
func NewClient(cfg ClientConfig, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	creds := insecure.NewCredentials()
	if cfg.TLS.On() {
		files := tlsfile.Files{Cert: cfg.TLS.CertFile, Key: cfg.TLS.KeyFile, CA: cfg.TLS.CAFile}
		config, err := tlsfile.Client(files, cfg.TLS.ServerName, tls.VersionTLS13)
		if err != nil {
			return nil, fmt.Errorf("call %s: %w", cfg.Address, err)
		}
		creds = credentials.NewTLS(config)
	}
	return grpc.NewClient(cfg.Address, append([]grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithConnectParams(reconnect),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout, PermitWithoutStream: true}),
		grpc.WithInitialWindowSize(streamWindow),
		grpc.WithInitialConnWindowSize(connectionWindow),
		grpc.WithReadBufferSize(socketBuffer),
		grpc.WithWriteBufferSize(socketBuffer),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(DefaultMaxRecvBytes)),
		// What is sent again, and when, is decided by the stream protocols above, not by a retry policy from DNS.
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
	}, opts...)...)
}
