// Package admit decides who may open a connection: how many there are, how many from one address, how fast they come. It owns no
// socket and no clock: decisions are pure over what the caller passes. Authentication belongs here too, once there is a mode other
// than none.
package admit

import (
	"net/netip"
	"sync"
	"time"
)

// Reasons of a refusal, also the values of a metric label.
const (
	ReasonConnections = "too_many_connections"
	ReasonPerAddress  = "too_many_connections_of_address"
	ReasonRate        = "handshake_rate"
)

// Limits of a Gate. Zero means no limit.
type Limits struct {
	Connections         int // open at once
	PerAddress          int // open at once from one IPv4 address or one IPv6 /64
	HandshakesPerSecond int // and as many in a burst
}

// Decision is the answer to one handshake.
type Decision struct {
	OK         bool
	Reason     string        // why not: one of the Reason constants
	RetryAfter time.Duration // when another try may help
}

// Gate counts connections.
type Gate struct {
	limits Limits

	mu     sync.Mutex
	open   int
	byAddr map[netip.Prefix]int
	tokens float64 // handshakes that may happen at once
	filled time.Time
}

// New returns a Gate with no connections.
func New(limits Limits) *Gate {
	return &Gate{limits: limits, byAddr: make(map[netip.Prefix]int), tokens: float64(limits.HandshakesPerSecond)}
}

// Enter decides about a connection from addr at time now. Who is let in must Leave.
func (g *Gate) Enter(now time.Time, addr netip.Addr) Decision {
	key := group(addr)
	g.mu.Lock()
	defer g.mu.Unlock()
	// The rate comes first and counts refused handshakes too: it bounds the work of refusing.
	if !g.takeToken(now) {
		return Decision{Reason: ReasonRate, RetryAfter: time.Second}
	}
	if g.limits.Connections > 0 && g.open >= g.limits.Connections {
		return Decision{Reason: ReasonConnections, RetryAfter: 5 * time.Second}
	}
	if g.limits.PerAddress > 0 && g.byAddr[key] >= g.limits.PerAddress {
		return Decision{Reason: ReasonPerAddress, RetryAfter: 30 * time.Second}
	}
	g.open++
	g.byAddr[key]++
	return Decision{OK: true}
}

// Leave gives back what Enter granted to addr.
func (g *Gate) Leave(addr netip.Addr) {
	key := group(addr)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
	if g.byAddr[key]--; g.byAddr[key] <= 0 {
		delete(g.byAddr, key)
	}
}

// Open returns the number of connections let in and not yet gone.
func (g *Gate) Open() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}

func (g *Gate) takeToken(now time.Time) bool {
	rate := float64(g.limits.HandshakesPerSecond)
	if rate == 0 {
		return true
	}
	if !g.filled.IsZero() {
		g.tokens = min(rate, g.tokens+max(0, now.Sub(g.filled).Seconds())*rate)
	}
	g.filled = now
	if g.tokens < 1 {
		return false
	}
	g.tokens--
	return true
}

// group is the unit that one party can be assumed to hold: an IPv4 address, or the /64 that IPv6 gives to every site (RFC 6177).
func group(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap()
	length := addr.BitLen()
	if addr.Is6() {
		length = 64
	}
	prefix, err := addr.WithZone("").Prefix(length)
	if err != nil {
		return netip.Prefix{} // an invalid address: all of them are one party
	}
	return prefix
}
