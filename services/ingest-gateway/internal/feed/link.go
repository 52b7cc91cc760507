package feed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/frame"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/handoff"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/window"
)

// link is one connection of a feed.
type link struct {
	feed    *Feed
	conn    *websocket.Conn
	decoder *frame.Decoder
	message frame.Message
	key     handoff.Key
	buffer  bytes.Buffer
	seq     uint64 // of the newest message with the framings that number them

	due  chan struct{} // there is something to acknowledge
	room chan struct{} // a message has left the window

	writing sync.Mutex // held while an ack is taken and written; before mu
	mu      struct {
		sync.Mutex
		window   window.Window[string] // with the upstream's sequence
		acked    uint64                // newest message that may be acknowledged
		sequence string                // its upstream sequence, or that of the newest one before it that has one
		rejected []frame.Rejection     // not yet written, with the framings that take them
	}
}

var _ handoff.Sender = (*link)(nil)

// errStopping ends a wait because the process stops.
var errStopping = errors.New("stopping")

// serve reads the connection until it ends or ctx does.
func (l *link) serve(ctx context.Context) error {
	alive, end := context.WithCancelCause(context.Background()) // of this connection's helpers; outlives ctx by the drain
	var helpers sync.WaitGroup
	helpers.Go(func() { l.writeAcks(alive, end) })
	helpers.Go(func() { l.ping(alive, end) })
	helpers.Go(func() { l.stop(ctx, alive) })
	err := l.read(ctx)
	if cause := context.Cause(alive); cause != nil {
		err = cause
	}
	end(err)
	_ = l.conn.CloseNow()
	helpers.Wait()
	return err
}

// stop closes the connection in good order when ctx ends: what was taken in is acknowledged first.
func (l *link) stop(ctx, alive context.Context) {
	select {
	case <-alive.Done():
		return
	case <-ctx.Done():
	}
	patience := time.NewTimer(l.feed.p.Config.DrainLimit)
	defer patience.Stop()
	for l.outstanding() > 0 {
		select {
		case <-l.room:
		case <-patience.C:
			_ = l.conn.CloseNow()
			return
		case <-alive.Done():
			return
		}
	}
	_ = l.writeAck(alive) // the connection ends either way
	force := time.AfterFunc(l.feed.p.Config.WriteLimit, func() { _ = l.conn.CloseNow() })
	defer force.Stop()
	_ = l.conn.Close(websocket.StatusNormalClosure, "")
}

func (l *link) outstanding() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.window.Len()
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// read takes in messages until the connection ends. Its error is never nil.
func (l *link) read(ctx context.Context) error {
	for {
		// No context: one that ends would cut the connection before the last ack.
		typ, r, err := l.conn.Reader(context.Background())
		if err != nil {
			return err
		}
		l.buffer.Reset()
		if _, err := io.Copy(&l.buffer, r); err != nil {
			return err
		}
		if ctx.Err() != nil {
			continue // stop is closing the connection; the upstream gets no ack
		}
		if err := l.take(ctx, typ, l.buffer.Bytes()); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// take hands over the events of one message.
func (l *link) take(ctx context.Context, typ websocket.MessageType, data []byte) error {
	cfg := &l.feed.p.Config
	l.feed.update(func(s *Status) { s.Messages++ })
	if l.isHello(typ, data) {
		return nil
	}
	if err := l.decode(data); err != nil {
		return fmt.Errorf("message of feed %s: %w", cfg.Name, err)
	}
	if len(l.message.Events) == 0 && !l.numbered() {
		return nil
	}
	var size int
	for _, span := range l.message.Events {
		size += int(span.Length)
	}
	charge := handoff.Charge(size, len(l.message.Events))
	if err := l.reserve(ctx, charge); err != nil {
		return err
	}
	l.mu.Lock()
	seq := l.mu.window.Add(len(l.message.Events), charge, l.sequence(data))
	l.mu.Unlock()
	if len(l.message.Events) == 0 {
		l.Settled(seq, 0, nil)
		return nil
	}
	l.feed.p.Forwarder.Submit(handoff.Message{
		Key: l.key, Seq: seq, Data: data, Events: l.message.Events, Charge: charge, Sender: l,
	})
	return nil
}

// numbered says whether the framing numbers its messages from 1, as clients of the gateway do.
func (l *link) numbered() bool {
	return l.feed.p.Config.Framing == FramingJSON || l.feed.p.Config.Framing == FramingAvro
}

// isHello skips text on a binary feed: an upstream that is itself a server of the protocol says hello first.
func (l *link) isHello(typ websocket.MessageType, data []byte) bool {
	if typ != websocket.MessageText {
		return false
	}
	return l.feed.p.Config.Framing == FramingAvro || l.feed.p.Config.Framing == FramingJSON && bytes.HasPrefix(data, []byte(`{"hello":`))
}

// decode finds the events. What is broken in an event is the router's to judge: a message that is not cut into events as its framing
// says goes on whole, as one event that becomes a dead letter. Only the framings that number messages can be broken as such.
func (l *link) decode(data []byte) error {
	cfg := &l.feed.p.Config
	var err error
	switch cfg.Framing {
	case FramingJSON:
		if err = l.decoder.JSON(data, l.seq, &l.message); err == nil {
			l.key.Schema = string(l.message.Schema)
		}
	case FramingAvro:
		err = l.decoder.Avro(data, l.seq, &l.message)
	case FramingJSONLines:
		err = l.decoder.Lines(data, &l.message)
	case FramingJSONArray:
		if err = l.decoder.Array(data, &l.message); isMalformed(err) {
			err = nil
			l.whole(data)
		}
	default:
		l.whole(data)
	}
	l.seq = max(l.seq, l.message.Seq)
	return err
}

func (l *link) whole(data []byte) {
	l.message = frame.Message{Events: append(l.message.Events[:0], frame.Span{Length: uint32(len(data))})}
}

func isMalformed(err error) bool {
	var e *frame.Error
	return errors.As(err, &e) && e.Code == frame.CodeMalformed
}

// sequence returns the upstream's sequence of the last event of the message that has one, as it is written; "" when there is none.
func (l *link) sequence(data []byte) string {
	cfg := &l.feed.p.Config
	if len(cfg.SequencePath) == 0 || !cfg.isJSON() {
		return ""
	}
	for i := len(l.message.Events) - 1; i >= 0; i-- {
		event := l.message.Events[i].Bytes(data)
		if place, ok := l.decoder.Member(event, cfg.SequencePath); ok {
			return string(place.Bytes(event))
		}
	}
	return ""
}

// reserve waits until the feed and the process have room.
func (l *link) reserve(ctx context.Context, charge int64) error {
	for !l.hasRoom(charge) {
		select {
		case <-l.room:
		case <-ctx.Done():
			return errStopping
		}
	}
	if charge == 0 {
		return nil
	}
	return l.feed.p.Forwarder.Reserve(ctx, charge)
}

func (l *link) hasRoom(charge int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.window.Len() == 0 || l.mu.window.Charged()+charge <= l.feed.p.Config.MaxInFlight
}

// Settled implements handoff.Sender.
func (l *link) Settled(seq uint64, events int, rejected []handoff.Verdict) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.numbered() {
		for _, v := range rejected {
			l.mu.rejected = append(l.mu.rejected, frame.Rejection{Seq: seq, Index: v.Index, Cause: v.Cause, Path: v.Path})
		}
	}
	l.mu.window.Settle(seq, events)
	for {
		e, ok := l.mu.window.Pop()
		if !ok {
			break
		}
		l.mu.acked = e.Seq
		if e.Value != "" {
			l.mu.sequence = e.Value
		}
		signal(l.due)
		signal(l.room)
	}
}

// writeAcks writes an ack whenever one is due; acks that come while one is written become one.
func (l *link) writeAcks(alive context.Context, end context.CancelCauseFunc) {
	for {
		select {
		case <-alive.Done():
			return
		case <-l.due:
		}
		if err := l.writeAck(alive); err != nil {
			end(fmt.Errorf("acknowledge feed %s: %w", l.feed.p.Config.Name, err))
			_ = l.conn.CloseNow()
			return
		}
	}
}

func (l *link) writeAck(alive context.Context) error {
	cfg := &l.feed.p.Config
	l.writing.Lock() // acks go out in order
	defer l.writing.Unlock()
	l.mu.Lock()
	var message []byte
	switch {
	case l.mu.acked == 0:
	case l.numbered():
		message = frame.AppendAck(nil, l.mu.acked, frame.LevelReplicated, l.mu.rejected)
		l.mu.rejected = nil
	case cfg.Ack != "" && l.mu.sequence != "":
		message = []byte(strings.ReplaceAll(cfg.Ack, Placeholder, l.mu.sequence))
		l.mu.sequence = ""
	}
	l.mu.Unlock()
	if message == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(alive, cfg.WriteLimit)
	defer cancel()
	return l.conn.Write(ctx, websocket.MessageText, message)
}

// ping finds an upstream that has gone without a word. While the reader waits for room no pong can be read, so silence counts only
// when there is room.
func (l *link) ping(alive context.Context, end context.CancelCauseFunc) {
	cfg := &l.feed.p.Config
	ticker := time.NewTicker(cfg.PingInterval)
	defer ticker.Stop()
	for {
		select {
		case <-alive.Done():
			return
		case <-ticker.C:
		}
		before := l.feed.Status().Messages
		ctx, cancel := context.WithTimeout(alive, cfg.PingLimit)
		err := l.conn.Ping(ctx)
		cancel()
		if err != nil && alive.Err() == nil && l.feed.Status().Messages == before && l.outstanding() == 0 {
			end(fmt.Errorf("feed %s answers no ping: %w", cfg.Name, err))
			_ = l.conn.CloseNow()
			return
		}
	}
}
