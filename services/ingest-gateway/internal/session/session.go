package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/frame"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/handoff"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/window"
)

// messageOverhead is what a message is charged to its connection beside its events, so that even empty messages run out of room.
const messageOverhead = 64

// Session is one client connection. Its reader runs in serve; a writer of acks exists only while there is something to write; its
// clocks are watched from outside through Check.
type Session struct {
	server      *Server
	conn        *websocket.Conn
	socket      net.Conn
	id          string
	protocol    string
	messageType websocket.MessageType

	// Of the reader alone.
	key handoff.Key
	seq uint64 // of the newest message
	in  messageReader

	// Clocks, read by Check.
	active    atomic.Int64 // when the client was last heard of, in Unix nanoseconds
	begun     atomic.Int64 // when the message being received began; 0 between messages and while reading is stopped
	arrived   atomic.Int64 // bytes of the message being received
	stopped   atomic.Bool  // reading is stopped: nothing can be heard of the client
	pinging   atomic.Bool
	pings     atomic.Int64 // of the client, in the second that began at pingsFrom
	pingsFrom atomic.Int64

	taking     context.Context // ends when no more messages are taken in
	stopTaking context.CancelCauseFunc
	room       chan struct{}  // a message has left the window
	goroutines sync.WaitGroup // writers, pings, closers
	closeOnce  sync.Once

	mu struct {
		sync.Mutex
		window   window.Window[struct{}]
		ack      uint64            // all messages up to it are settled
		written  uint64            // newest ack written
		rejected []frame.Rejection // not yet written; of messages up to ack
		early    []frame.Rejection // of messages beyond ack
		unacked  int64             // charge of the messages beyond written
		charges  []settledCharge   // of the messages in (written, ack]
		writing  bool              // a writer exists
		draining bool
		closed   bool // nothing can be written any more
	}
}

// settledCharge is held until the client has been sent the ack: a client that does not read its acks runs out of room.
type settledCharge struct {
	seq    uint64
	charge int64
}

// closing is the reason why the server ends a connection.
type closing struct {
	status     websocket.StatusCode
	code       string
	retryAfter time.Duration
}

func (c *closing) Error() string { return fmt.Sprintf("close %d: %s", c.status, c.reason()) }

// reason is what the client sees, at most 123 bytes.
func (c *closing) reason() string {
	if c.retryAfter > 0 {
		return fmt.Sprintf("code=%s retry_after_ms=%d", c.code, c.retryAfter.Milliseconds())
	}
	return "code=" + c.code
}

// serve runs the connection to its end.
func (s *Session) serve(conn *websocket.Conn) {
	conn.SetReadLimit(-1) // the limit is kept in read, which can say why
	s.active.Store(time.Now().UnixNano())
	s.mu.Lock()
	s.conn = conn
	draining := s.mu.draining
	s.mu.Unlock()
	err := error(s.drainClosing())
	if !draining {
		if err = s.hello(); err == nil {
			err = s.readLoop()
		}
	}
	if end := (*closing)(nil); errors.As(err, &end) {
		s.close(end)
	}
	s.abandon("client")
	_ = s.conn.CloseNow() // ends a ping that waits for its answer
	s.mu.Lock()
	s.mu.closed = true
	s.mu.Unlock()
	s.goroutines.Wait()
	s.server.p.Logger.Debug("connection ended", "connection", s.id, "messages", s.seq, "reason", err)
}

func (s *Session) hello() error {
	cfg := &s.server.p.Config
	return s.write(frame.AppendHello(nil, frame.Hello{
		Connection:       s.id,
		MaxMessageBytes:  int64(cfg.MaxMessageBytes),
		MaxInFlightBytes: cfg.MaxInFlight,
		Levels:           []string{frame.LevelReplicated},
	}))
}

// write sends one text message. A client that does not make room for it within the write limit is abandoned.
func (s *Session) write(message []byte) error {
	patience := time.AfterFunc(s.server.p.Config.WriteLimit, func() { s.abandon("write") })
	defer patience.Stop()
	return s.conn.Write(context.Background(), websocket.MessageText, message)
}

// readLoop takes in messages until the connection ends or has to. A *closing is for the client to see.
func (s *Session) readLoop() error {
	for {
		// No deadline and no context here: one that ends would cut the connection. Check watches the clocks.
		typ, r, err := s.conn.Reader(context.Background())
		if err != nil {
			return err
		}
		s.arrived.Store(0)
		now := time.Now().UnixNano()
		s.active.Store(now)
		s.begun.Store(now)
		s.in = messageReader{r, s}
		if s.taking.Err() != nil {
			err = s.discard()
		} else {
			err = s.take(typ)
		}
		s.begun.Store(0)
		if err != nil && !errors.Is(err, errDrain) {
			return err
		}
	}
}

// take takes in one message.
func (s *Session) take(typ websocket.MessageType) error {
	if typ != s.messageType {
		return &closing{status: websocket.StatusUnsupportedData, code: "wrong_message_type"}
	}
	m, err := s.read()
	if err != nil {
		return err
	}
	defer m.release(s.server)
	data := m.data
	s.server.metrics.messages.Inc()
	s.server.metrics.bytes.Add(float64(len(data)))
	s.begun.Store(0) // it has arrived; what follows is not the client's time

	sc := s.server.scratch.Get().(*scratch)
	defer s.server.scratch.Put(sc)
	decode := sc.decoder.JSON
	if s.protocol == frame.ProtocolAvro {
		decode = sc.decoder.Avro
	}
	if err := decode(data, s.seq, &sc.message); err != nil {
		return protocolClosing(err)
	}
	s.seq = sc.message.Seq
	if schema := sc.message.Schema; string(schema) != s.key.Schema {
		s.key.Schema = string(schema)
	}
	return s.submit(data, sc.message.Events)
}

func protocolClosing(err error) error {
	var e *frame.Error
	if !errors.As(err, &e) {
		return err
	}
	if e.Code == frame.CodeTooManyEvents {
		return &closing{status: websocket.StatusMessageTooBig, code: e.Code}
	}
	return &closing{status: websocket.StatusInvalidFramePayloadData, code: e.Code}
}

// submit hands the events of a message over when both budgets have room for it.
func (s *Session) submit(data []byte, events []frame.Span) error {
	var size int
	for _, span := range events {
		size += int(span.Length)
	}
	charge := handoff.Charge(size, len(events))
	held := charge + messageOverhead
	if err := s.reserve(charge, held); err != nil {
		return err
	}
	empty := len(events) == 0
	s.mu.Lock()
	seq := s.mu.window.Add(len(events), held, struct{}{})
	s.mu.unacked += held
	if empty { // nothing to forward, but the ack comes in its turn
		s.advanceLocked()
	}
	s.mu.Unlock()
	if !empty {
		s.server.p.Forwarder.Submit(handoff.Message{
			Key: s.key, Seq: seq, Data: data, Events: events, Charge: charge, Sender: s,
		})
	}
	return nil
}

// reserve waits until the process has room for charge, and the connection for held: meanwhile the socket is not read, and TCP slows
// the client down.
func (s *Session) reserve(charge, held int64) error {
	if s.taking.Err() != nil {
		return errDrain
	}
	if s.hasRoom(held) && (charge == 0 || s.server.p.Forwarder.TryReserve(charge)) {
		return nil
	}
	return s.whileStopped(func(ctx context.Context) error {
		for !s.hasRoom(held) {
			select {
			case <-s.room:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if charge == 0 {
			return nil
		}
		return s.server.p.Forwarder.Reserve(ctx, charge)
	})
}

// hasRoom says whether the connection may have charge more in flight. A message alone always may.
func (s *Session) hasRoom(charge int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.unacked == 0 || s.mu.unacked+charge <= s.server.p.Config.MaxInFlight
}

// whileStopped runs wait, which has to end with its context, as a time in which the client is not read.
func (s *Session) whileStopped(wait func(context.Context) error) error {
	s.server.metrics.backpressure.Inc()
	begun := s.begun.Swap(0)
	s.stopped.Store(true)
	ctx, cancel := context.WithTimeout(s.taking, s.server.p.Config.BackpressureLimit)
	err := wait(ctx)
	ended := ctx.Err()
	cancel()
	now := time.Now().UnixNano()
	s.active.Store(now) // it could not be heard
	s.stopped.Store(false)
	if begun != 0 {
		s.begun.Store(now)
	}
	switch {
	case err == nil:
		return nil
	case s.taking.Err() != nil:
		return errDrain
	case ended != nil:
		return &closing{websocket.StatusTryAgainLater, "backpressure", s.server.p.Config.RetryAfter}
	default:
		return err
	}
}
