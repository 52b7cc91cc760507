package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// Pace is how fast and how long a client sends.
type Pace struct {
	Rate   float64 // events a second of this client; 0: as fast as acks allow
	Events uint64  // stop after so many; 0: until told to stop
	Batch  int     // events a message, at most
	Window int     // unacked messages, at most
}

// Counts are a client's live counters, safe to read at any time.
type Counts struct {
	Sent, Acked, Rejected, Resent, Duplicates, Connections atomic.Uint64
}

// refused marks an answer of the gateway that sending again cannot change.
type refused struct{ err error }

func (r refused) Error() string { return "gateway refuses the client: " + r.err.Error() }
func (r refused) Unwrap() error { return r.err }

const (
	// tick is how often a paced client looks whether events are due.
	tick = 10 * time.Millisecond
	// dialTimeout bounds dial and handshake.
	dialTimeout = 5 * time.Second
	// maxBackoff bounds the wait between two dials; tests kill the gateway and want its return noticed soon.
	maxBackoff = 500 * time.Millisecond
	// maxAckBytes bounds one message of the gateway: the hello, or an ack that names a window's worth of refusals.
	maxAckBytes = 4 << 20
)

// message is one WebSocket message that was not acked yet. Its bytes are computed again when it must be resent.
type message struct {
	seq     uint64
	numbers []uint64
	sentAt  time.Time
}

// client sends one source's events over one connection at a time and books what comes back.
type client struct {
	url     string
	source  int
	pace    Pace
	gen     *Generator // of the sending goroutine
	ackGen  *Generator // of the receiving goroutine
	counts  *Counts
	latency *Latency
	stop    <-chan struct{} // closed: send nothing new

	produced time.Time // when the first event was due
	event    Event     // scratch of the sending goroutine
	buf      []byte    // likewise
	pacer    *time.Ticker

	mu struct {
		sync.Mutex
		ledger   *SourceLedger
		inFlight []message // oldest first
	}
	room chan struct{} // a token when the window may have room
}

func newClient(url string, source int, params Params, pace Pace, counts *Counts, latency *Latency, ledger *SourceLedger, stop <-chan struct{}) *client {
	c := &client{
		url: url, source: source, pace: pace, gen: NewGenerator(params), ackGen: NewGenerator(params), counts: counts, latency: latency,
		stop: stop, room: make(chan struct{}, 1),
	}
	c.mu.ledger = ledger
	return c
}

// run sends until the pace's end or stop, then until everything is acked. It reconnects for ever, except when the gateway says that the
// client itself is at fault.
func (c *client) run(ctx context.Context) error {
	c.pacer = time.NewTicker(tick)
	defer c.pacer.Stop()
	c.produced = time.Now()
	backoff := tick
	for {
		connected, err := c.connection(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, new(refused)):
			return fmt.Errorf("source %d: %w", c.source, err)
		}
		if connected {
			backoff = tick
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// connection serves one connection: nil when all is sent and acked.
func (c *client) connection(ctx context.Context) (connected bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := c.dial(ctx)
	if err != nil {
		return false, err
	}
	defer conn.CloseNow()
	c.counts.Connections.Add(1)

	received := make(chan error, 1)
	go func() {
		received <- c.receive(ctx, conn)
		cancel() // ends the sender, which may wait for room
	}()
	sendErr := c.send(ctx, conn)
	if sendErr == nil {
		_ = conn.Close(websocket.StatusNormalClosure, "") // all is acked: how the connection ends does not matter
	}
	cancel()
	// The receiver's error tells why: the sender only sees that the connection is gone.
	if err := <-received; sendErr != nil && err != nil {
		return true, classify(err)
	}
	return true, sendErr
}

func (c *client) dial(ctx context.Context) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, c.url, &websocket.DialOptions{Subprotocols: []string{"playhead.v1." + string(c.gen.Encoding(c.source))}})
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", c.url, err)
	}
	conn.SetReadLimit(maxAckBytes)
	var hello struct {
		Hello struct {
			Connection string   `json:"connection"`
			Levels     []string `json:"levels"`
		} `json:"hello"`
	}
	_, text, err := conn.Read(ctx)
	if err == nil {
		err = json.Unmarshal(text, &hello)
	}
	if err == nil && !slices.Contains(hello.Hello.Levels, "replicated") {
		err = fmt.Errorf("the gateway offers levels %v, not replicated", hello.Hello.Levels)
	}
	if err != nil {
		conn.CloseNow()
		return nil, fmt.Errorf("read hello of %s: %w", c.url, err)
	}
	return conn, nil
}

// classify marks close codes that blame the client.
func classify(err error) error {
	switch websocket.CloseStatus(err) {
	case websocket.StatusProtocolError, websocket.StatusUnsupportedData, websocket.StatusInvalidFramePayloadData,
		websocket.StatusPolicyViolation, websocket.StatusMessageTooBig:
		return refused{err}
	}
	return err
}

// send sends what an earlier connection left unacked, in order and renumbered from 1, then new messages, then waits for the last ack.
func (c *client) send(ctx context.Context, conn *websocket.Conn) error {
	seq := uint64(0)
	for _, numbers := range c.restart() {
		seq++
		if err := c.write(ctx, conn, seq, numbers); err != nil {
			return err
		}
	}
	for {
		// Room first: events that next has handed out must be booked, or a broken connection would forget them.
		if err := c.awaitRoom(ctx, c.pace.Window); err != nil {
			return err
		}
		numbers, err := c.next(ctx)
		if err != nil {
			return err
		}
		if numbers == nil {
			return c.awaitRoom(ctx, 1)
		}
		seq++
		c.begin(message{seq: seq, numbers: numbers, sentAt: time.Now()})
		if err := c.write(ctx, conn, seq, numbers); err != nil {
			return err
		}
	}
}

// restart renumbers the unacked messages for a new connection and returns their events.
func (c *client) restart() [][]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	var resend [][]uint64
	for i := range c.mu.inFlight {
		m := &c.mu.inFlight[i]
		m.seq = uint64(i) + 1
		resend = append(resend, m.numbers)
		c.mu.ledger.Resent += uint64(len(m.numbers))
		c.counts.Resent.Add(uint64(len(m.numbers)))
	}
	c.mu.ledger.Connections++
	return resend
}

// next returns the events of the next message, waiting until some are due; nil when there are no more.
func (c *client) next(ctx context.Context) ([]uint64, error) {
	for {
		first := c.counts.Sent.Load()
		due := uint64(c.pace.Batch)
		if c.pace.Rate > 0 {
			scheduled := uint64(time.Since(c.produced).Seconds() * c.pace.Rate)
			due = min(due, scheduled-min(first, scheduled))
		}
		if c.pace.Events > 0 {
			if first >= c.pace.Events {
				return nil, nil
			}
			due = min(due, c.pace.Events-first)
		}
		select {
		case <-c.stop:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		default:
		}
		if due > 0 {
			return c.take(first, due), nil
		}
		select {
		case <-c.stop:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-c.pacer.C:
		}
	}
}

// take lists the events of a message: new ones from first on, each with the earlier ones that are sent again before it.
func (c *client) take(first, due uint64) []uint64 {
	numbers := make([]uint64, 0, due+4)
	for n := first; n < first+due; n++ {
		before := len(numbers)
		numbers = c.gen.Resent(numbers, c.source, n)
		c.counts.Duplicates.Add(uint64(len(numbers) - before))
		numbers = append(numbers, n)
		c.counts.Sent.Add(1)
		if c.gen.Fault(c.source, n).EndsMessage() {
			break
		}
	}
	return numbers
}

// begin books a message before its first byte leaves: a crash of the gateway in the middle may still have delivered it.
func (c *client) begin(m message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.inFlight = append(c.mu.inFlight, m)
	c.mu.ledger.Next = c.counts.Sent.Load()
	c.mu.ledger.Duplicates = c.counts.Duplicates.Load()
}

func (c *client) write(ctx context.Context, conn *websocket.Conn, seq uint64, numbers []uint64) error {
	kind := websocket.MessageBinary
	if c.gen.Encoding(c.source) == JSON {
		kind = websocket.MessageText
	}
	c.buf = c.gen.AppendMessage(c.buf[:0], &c.event, c.source, seq, numbers)
	if err := conn.Write(ctx, kind, c.buf); err != nil {
		return fmt.Errorf("send message %d: %w", seq, err)
	}
	return nil
}

// awaitRoom waits until fewer than limit messages are unacked.
func (c *client) awaitRoom(ctx context.Context, limit int) error {
	for {
		c.mu.Lock()
		unacked := len(c.mu.inFlight)
		c.mu.Unlock()
		if unacked < limit {
			return nil
		}
		select {
		case <-c.room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ack is what the gateway sends after its hello.
type ack struct {
	Ack      uint64      `json:"ack"`
	Level    string      `json:"level"`
	Rejected []rejection `json:"rejected"`
}

type rejection struct {
	Seq   uint64 `json:"seq"`
	Index int    `json:"index"`
	Cause string `json:"cause"`
}

// receive books acks until the connection ends.
func (c *client) receive(ctx context.Context, conn *websocket.Conn) error {
	causes := make(map[rejection]string) // refusals not yet covered by an ack, keyed without their cause
	for {
		_, text, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		var a ack
		if err := json.Unmarshal(text, &a); err != nil {
			return refused{fmt.Errorf("read ack: %w", err)}
		}
		for _, r := range a.Rejected {
			causes[rejection{Seq: r.Seq, Index: r.Index}] = r.Cause
		}
		if a.Ack > 0 && a.Level != "replicated" && a.Level != "committed" {
			return refused{fmt.Errorf("ack of %d has level %q", a.Ack, a.Level)}
		}
		if err := c.book(a.Ack, causes); err != nil {
			return refused{err}
		}
	}
}

// book takes the messages up to seq out of the window and writes their events' verdicts into the ledger.
func (c *client) book(seq uint64, causes map[rejection]string) error {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	done := 0
	for _, m := range c.mu.inFlight {
		if m.seq > seq {
			break
		}
		done++
		c.latency.Add(now.Sub(m.sentAt))
		for i, n := range m.numbers {
			key := rejection{Seq: m.seq, Index: i}
			c.mu.ledger.verdict(c.ackGen.ID(c.source, n), c.ackGen.Fault(c.source, n), causes[key])
			delete(causes, key)
		}
	}
	c.mu.inFlight = slices.Delete(c.mu.inFlight, 0, done)
	c.counts.Acked.Store(c.mu.ledger.Acked.Count())
	c.counts.Rejected.Store(c.mu.ledger.Rejected.Count())
	if len(c.mu.inFlight) > 0 && c.mu.inFlight[0].seq <= seq {
		return fmt.Errorf("ack of %d is out of order", seq)
	}
	select {
	case c.room <- struct{}{}:
	default:
	}
	return nil
}

// snapshot returns the ledger as it is now.
func (c *client) snapshot() SourceLedger {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.ledger.clone()
}
