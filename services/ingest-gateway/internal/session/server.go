// Package session serves client connections: the WebSocket handshake, reading messages under memory and time limits, handing their
// events to the forwarder, writing cumulative acks, and every way a connection can end. It decides nothing about events and knows
// nothing of the router.
package session

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	ingestv1 "github.com/playhead-pipeline/playhead/proto/ingest/v1"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/admit"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/frame"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/handoff"
)

// Path is where clients connect.
const Path = "/v1/events"

// Config is the limits and intervals of connections.
type Config struct {
	Tenant, Source    string        // of every event of a client
	MaxMessageBytes   int           // over it: 1009
	MaxMessageEvents  int           // over it: 1009
	MaxInFlight       int64         // charge of a connection's unacknowledged messages; at it, reading stops
	MaxReadBuffers    int64         // memory for messages over smallBuffer that are being received, of all connections
	BackpressureLimit time.Duration // how long reading may be stopped: then 1013
	MessageLimit      time.Duration // how long one message may take to arrive: then 1008
	MinBytesPerSecond int           // of a message that takes longer than rateGrace: under it, 1008
	WriteLimit        time.Duration // how long a write may take: then the connection is cut
	PingInterval      time.Duration // silence after which a ping is sent
	PingLimit         time.Duration // how long the pong may take: then the connection is cut
	CloseGrace        time.Duration // how long the client may take to answer a close
	MaxPingsPerSecond int           // of the client: over it, 1008
	RetryAfter        time.Duration // hint to clients that are sent away
	OriginPatterns    []string      // hosts of web pages that may connect, beside the gateway's own
}

// Forwarder takes events to the router.
type Forwarder interface {
	// TryReserve takes room from the budget of the process if there is some now.
	TryReserve(charge int64) bool
	// Reserve waits for room.
	Reserve(ctx context.Context, charge int64) error
	// Submit hands over a message whose charge is reserved. It does not block.
	Submit(m handoff.Message)
}

// Gate admits connections.
type Gate interface {
	// Enter decides about a handshake; who is let in must Leave.
	Enter(now time.Time, addr netip.Addr) admit.Decision
	// Leave gives the place back.
	Leave(addr netip.Addr)
}

// Registry knows the live connections.
type Registry interface {
	// Add refuses a connection, with any error, when the process is being drained.
	Add(s *Session) error
	// Remove forgets a connection that has ended.
	Remove(s *Session)
}

// Params is what a Server needs.
type Params struct {
	Config     Config
	Forwarder  Forwarder
	Gate       Gate
	Registry   Registry
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Server accepts client connections. It is an http.Handler for Path; its http.Server must use ConnContext.
type Server struct {
	p       Params
	metrics *metrics
	reading *semaphore.Weighted // memory for large messages that are being received
	large   sync.Pool           // *[]byte of MaxMessageBytes+1
	scratch sync.Pool           // *scratch
}

// scratch is what finding the events of a message needs. It is pooled: an idle connection holds none.
type scratch struct {
	decoder *frame.Decoder
	message frame.Message
}

// New returns a Server.
func New(p Params) (*Server, error) {
	m, err := newMetrics(p.Registerer)
	if err != nil {
		return nil, err
	}
	s := &Server{p: p, metrics: m, reading: semaphore.NewWeighted(p.Config.MaxReadBuffers)}
	size := p.Config.MaxMessageBytes + 1 // one more shows that a message is over the limit
	s.large.New = func() any { b := make([]byte, size); return &b }
	s.scratch.New = func() any { return &scratch{decoder: frame.NewDecoder(p.Config.MaxMessageEvents)} }
	return s, nil
}

type socketKey struct{}

// ConnContext makes the socket of a request known to the Server, which closes it when the client does not answer in time. It is for
// http.Server.ConnContext.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, socketKey{}, c)
}

// socketOf returns the TCP socket itself: closing a tls.Conn may take seconds when the peer does not read (tls.Conn.Close).
func socketOf(r *http.Request) net.Conn {
	c, ok := r.Context().Value(socketKey{}).(net.Conn)
	if !ok {
		panic("session: the http.Server lacks ConnContext")
	}
	if t, ok := c.(*tls.Conn); ok {
		return t.NetConn()
	}
	return c
}

// ServeHTTP serves one connection to its end.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if refusal := check(r); refusal != nil {
		s.refuse(w, refusal)
		return
	}
	addr := remoteAddr(r)
	if d := s.p.Gate.Enter(time.Now(), addr); !d.OK {
		s.refuse(w, &refusal{http.StatusServiceUnavailable, d.Reason, "too many connections or handshakes; try again later", d.RetryAfter})
		return
	}
	defer s.p.Gate.Leave(addr)
	c := newSession(s, socketOf(r), protocol(r))
	if err := s.p.Registry.Add(c); err != nil {
		s.refuse(w, &refusal{http.StatusServiceUnavailable, "drain", "this gateway is going out of service", s.p.Config.RetryAfter})
		return
	}
	defer s.p.Registry.Remove(c)
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols:   []string{c.protocol},
		OriginPatterns: s.p.Config.OriginPatterns,
		OnPingReceived: c.pingReceived,
		OnPongReceived: c.pongReceived,
	})
	if err != nil { // Accept has answered
		s.metrics.refused.WithLabelValues("handshake").Inc()
		return
	}
	s.metrics.connections.Add(1)
	s.metrics.opened.Inc()
	defer s.metrics.connections.Add(-1)
	c.serve(conn)
}

// refusal is an answer before the upgrade.
type refusal struct {
	status     int
	reason     string // metric label, and machine-readable part of the body
	text       string
	retryAfter time.Duration
}

func (s *Server) refuse(w http.ResponseWriter, r *refusal) {
	s.metrics.refused.WithLabelValues(r.reason).Inc()
	if r.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(r.retryAfter.Seconds()))))
	}
	// The body is all that the client gets: the socket is not worth keeping for one who was refused.
	w.Header().Set("Connection", "close")
	http.Error(w, fmt.Sprintf("code=%s: %s", r.reason, r.text), r.status)
}

// check judges what can be judged of a handshake before it costs anything.
func check(r *http.Request) *refusal {
	switch {
	case r.Method != http.MethodGet:
		return &refusal{http.StatusMethodNotAllowed, "method", "only GET upgrades to a WebSocket", 0}
	case r.URL.RawQuery != "" || r.URL.ForceQuery:
		// Tokens in URLs end up in logs of everything on the way.
		return &refusal{http.StatusBadRequest, "query", "no query parameters are taken; credentials never go into the URL", 0}
	case protocol(r) == "":
		return &refusal{http.StatusBadRequest, "subprotocol", "offer the subprotocol " + frame.ProtocolJSON + " or " + frame.ProtocolAvro, 0}
	default:
		return nil
	}
}

// protocol returns the first offered subprotocol that the server speaks, or "".
func protocol(r *http.Request) string {
	for _, header := range r.Header.Values("Sec-WebSocket-Protocol") {
		for offered := range strings.SplitSeq(header, ",") {
			if offered = strings.TrimSpace(offered); slices.Contains([]string{frame.ProtocolJSON, frame.ProtocolAvro}, offered) {
				return offered
			}
		}
	}
	return ""
}

// remoteAddr is the peer of the socket. Forwarding headers are not believed: anybody can send them.
func remoteAddr(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr()
}

func newSession(s *Server, socket net.Conn, subprotocol string) *Session {
	c := &Session{
		server:   s,
		socket:   socket,
		protocol: subprotocol,
		id:       rand.Text(),
		room:     make(chan struct{}, 1),
	}
	c.key = handoff.Key{Tenant: s.p.Config.Tenant, Source: s.p.Config.Source, Encoding: ingestv1.Encoding_ENCODING_JSON}
	c.messageType = websocket.MessageText
	if subprotocol == frame.ProtocolAvro {
		c.key.Encoding = ingestv1.Encoding_ENCODING_AVRO
		c.messageType = websocket.MessageBinary
	}
	c.active.Store(time.Now().UnixNano())
	c.taking, c.stopTaking = context.WithCancelCause(context.Background())
	return c
}

// Why a connection takes no more messages, when no close frame says it.
var (
	errDrain = errors.New("draining")
	errEnded = errors.New("connection ended")
)
