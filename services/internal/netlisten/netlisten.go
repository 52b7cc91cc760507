// Package netlisten holds the rule that every listener and plaintext client of the product obeys: without TLS, loopback only, unless the
// operator wrote `insecure: true` beside it. It knows nothing of the protocols spoken there.
package netlisten

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// NotLoopbackError refuses an address that would carry plaintext over a network.
type NotLoopbackError struct{ Address string }

func (e *NotLoopbackError) Error() string {
	return fmt.Sprintf("address %s is not loopback: configure TLS, or set insecure: true to allow plaintext", e.Address)
}

// RequireLoopback returns an error unless host:port is a loopback address, or useTLS or insecure is set. An address that is not host:port is
// always an error. An empty host means all interfaces and is not loopback.
func RequireLoopback(address string, useTLS, insecure bool) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("parse address %q: %w", address, err)
	}
	if useTLS || insecure || IsLoopbackHost(host) {
		return nil
	}
	return &NotLoopbackError{Address: address}
}

// IsLoopbackHost tells whether host is a loopback IP address or a name that RFC 6761 section 6.3 ties to one. Other names are not looked up:
// what they resolve to may change.
func IsLoopbackHost(host string) bool {
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// Listen binds a TCP listener after RequireLoopback has passed.
func Listen(ctx context.Context, address string, useTLS, insecure bool) (net.Listener, error) {
	if err := RequireLoopback(address, useTLS, insecure); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", address)
}
