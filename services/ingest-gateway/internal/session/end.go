package session

import (
	"context"
	"errors"
	"net"
	"strconv"
	"time"

	"github.com/coder/websocket"
)

// rateGrace is how long a message may take at any rate.
const rateGrace = 2 * time.Second

// Check implements registry.Connection.
func (s *Session) Check(now time.Time) {
	cfg := &s.server.p.Config
	if begun := s.begun.Load(); begun != 0 {
		took := now.Sub(time.Unix(0, begun))
		if took > cfg.MessageLimit {
			s.endAsync(&closing{status: websocket.StatusPolicyViolation, code: "message_timeout"})
			return
		}
		// Up to a step may have arrived that is not shown yet.
		if took > rateGrace && float64(s.arrived.Load()+progressStep) < took.Seconds()*float64(cfg.MinBytesPerSecond) {
			s.endAsync(&closing{status: websocket.StatusPolicyViolation, code: "too_slow"})
		}
		return
	}
	if s.stopped.Load() || now.Sub(time.Unix(0, s.active.Load())) < cfg.PingInterval {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.mu.closed && s.conn != nil && !s.pinging.Swap(true) {
		s.goroutines.Go(s.ping)
	}
}

// ping asks an idle client for a sign of life and cuts the connection when there is none.
func (s *Session) ping() {
	defer s.pinging.Store(false)
	asked := time.Now().UnixNano()
	ctx, cancel := context.WithTimeout(context.Background(), s.server.p.Config.PingLimit)
	defer cancel()
	if err := s.conn.Ping(ctx); err == nil || s.active.Load() > asked || s.stopped.Load() {
		return
	}
	s.abandon("idle") // a peer that answers no ping reads no close frame
}

func (s *Session) pongReceived(context.Context, []byte) { s.active.Store(time.Now().UnixNano()) }

// pingReceived counts the client's pings; each costs a write. It runs on the reader.
func (s *Session) pingReceived(context.Context, []byte) bool {
	now := time.Now().UnixNano()
	s.active.Store(now)
	if now-s.pingsFrom.Load() > int64(time.Second) {
		s.pingsFrom.Store(now)
		s.pings.Store(0)
	}
	if s.pings.Add(1) <= int64(s.server.p.Config.MaxPingsPerSecond) {
		return true
	}
	s.endAsync(&closing{status: websocket.StatusPolicyViolation, code: "too_many_pings"})
	return false
}

// Drain implements registry.Connection.
func (s *Session) Drain() {
	s.stopTaking(errDrain)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.draining = true
	if s.conn == nil {
		return // serve sees it
	}
	s.startWriterLocked() // it closes the connection, at once when nothing is unacknowledged
}

// Cut implements registry.Connection.
func (s *Session) Cut() { s.endAsync(s.drainClosing()) }

func (s *Session) drainClosing() *closing {
	return &closing{websocket.StatusGoingAway, "drain", s.server.p.Config.RetryAfter}
}

// endAsync closes the connection from outside its reader, which then sees the end.
func (s *Session) endAsync(c *closing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed || s.conn == nil {
		s.cut()
		return
	}
	s.goroutines.Go(func() { s.close(c) })
}

// close sends a close frame and waits for the client's, for a short time.
func (s *Session) close(c *closing) {
	s.closeOnce.Do(func() {
		s.stopTaking(c)
		s.server.metrics.closed.WithLabelValues(strconv.Itoa(int(c.status)), c.code).Inc()
		// The library alone would wait up to ten seconds for a client that does not answer.
		patience := time.AfterFunc(s.server.p.Config.CloseGrace, s.cut)
		defer patience.Stop()
		_ = s.conn.Close(c.status, c.reason()) // the client may be gone already
	})
}

// abandon ends a connection without a word, unless it is being closed already.
func (s *Session) abandon(reason string) {
	s.closeOnce.Do(func() {
		s.stopTaking(errEnded)
		s.server.metrics.closed.WithLabelValues("", reason).Inc()
	})
	s.cut()
}

// cut closes the socket under the connection: every read and write ends.
func (s *Session) cut() {
	if err := s.socket.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		s.server.p.Logger.Debug("close socket", "connection", s.id, "error", err)
	}
}
