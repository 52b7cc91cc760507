package consume

import (
	"context"
	"net"

	"github.com/IBM/sarama"
)

// bound returns config with connections that are closed when ctx ends: sarama has no other way to
// interrupt a fetch, which may wait half a second for events, or much longer for a broker that hangs.
func bound(ctx context.Context, config *sarama.Config) *sarama.Config {
	out := *config
	out.Net.Proxy.Enable = true
	out.Net.Proxy.Dialer = dialer{ctx, net.Dialer{
		Timeout: config.Net.DialTimeout, KeepAlive: config.Net.KeepAlive, LocalAddr: config.Net.LocalAddr,
	}}
	return &out
}

// dialer opens connections that live as long as a context, which sarama's interface does not pass.
type dialer struct {
	ctx   context.Context
	inner net.Dialer
}

// Dial implements proxy.Dialer.
func (d dialer) Dial(network, addr string) (net.Conn, error) {
	conn, err := d.inner.DialContext(d.ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return boundConn{conn, context.AfterFunc(d.ctx, func() { _ = conn.Close() })}, nil
}

type boundConn struct {
	net.Conn
	stop func() bool
}

// Close also ends the wait for the context.
func (c boundConn) Close() error {
	c.stop()
	return c.Conn.Close()
}
