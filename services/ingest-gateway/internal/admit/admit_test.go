package admit

import (
	"net/netip"
	"testing"
	"time"
)

var start = time.Unix(1_800_000_000, 0)

func TestConnections(t *testing.T) {
	t.Parallel()
	g := New(Limits{Connections: 3, PerAddress: 2})
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	mapped := netip.MustParseAddr("::ffff:192.0.2.1")
	for i, step := range []struct {
		addr   netip.Addr
		reason string
	}{{a, ""}, {mapped, ""}, {a, ReasonPerAddress}, {b, ""}, {b, ReasonConnections}} {
		if d := g.Enter(start, step.addr); d.Reason != step.reason || d.OK != (step.reason == "") || d.OK == (d.RetryAfter > 0) {
			t.Errorf("step %d: %+v", i, d)
		}
	}
	g.Leave(a)
	if d := g.Enter(start, a); !d.OK {
		t.Errorf("after one left: %+v", d)
	}
	for _, addr := range []netip.Addr{a, a, b} {
		g.Leave(addr)
	}
	if g.Open() != 0 || len(g.byAddr) != 0 {
		t.Errorf("%d open, %d addresses remembered", g.Open(), len(g.byAddr))
	}
}

func TestIPv6SiteIsOneParty(t *testing.T) {
	t.Parallel()
	g := New(Limits{PerAddress: 1})
	if d := g.Enter(start, netip.MustParseAddr("2001:db8:0:1::1")); !d.OK {
		t.Fatal(d)
	}
	if d := g.Enter(start, netip.MustParseAddr("2001:db8:0:1:ffff::2")); d.Reason != ReasonPerAddress {
		t.Errorf("same /64: %+v", d)
	}
	if d := g.Enter(start, netip.MustParseAddr("2001:db8:0:2::1")); !d.OK {
		t.Errorf("other /64: %+v", d)
	}
}

func TestHandshakeRate(t *testing.T) {
	t.Parallel()
	g := New(Limits{HandshakesPerSecond: 10})
	addr := netip.MustParseAddr("192.0.2.1")
	granted := func(now time.Time) (n int) {
		for range 100 {
			if g.Enter(now, addr).OK {
				n++
			}
		}
		return n
	}
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{0, 10}, {0, 0}, {100 * time.Millisecond, 1}, {time.Hour, 10}, {time.Minute, 0}} {
		if got := granted(start.Add(step.after)); got != step.want {
			t.Errorf("after %v: %d granted, want %d", step.after, got, step.want)
		}
	}
}
