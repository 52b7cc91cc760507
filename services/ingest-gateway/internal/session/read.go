package session

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/coder/websocket"
)

// smallBuffer is enough for most messages of single players and is not charged to any budget: at the default limit of 20,000
// connections, all of them in the middle of a message, it is 320 MB.
const smallBuffer = 16 << 10

var smallBuffers = sync.Pool{New: func() any { b := make([]byte, smallBuffer); return &b }}

// received is a message in pooled memory.
type received struct {
	data         []byte
	small, large *[]byte
}

func (m received) release(s *Server) {
	if m.small != nil {
		smallBuffers.Put(m.small)
	}
	if m.large != nil {
		s.large.Put(m.large)
		s.reading.Release(int64(len(*m.large)))
	}
}

var errTooBig = &closing{status: websocket.StatusMessageTooBig, code: "message_too_big"}

// read reads the message that has begun. A connection that waits for a message holds no memory for it.
func (s *Session) read() (received, error) {
	limit := s.server.p.Config.MaxMessageBytes
	m := received{small: smallBuffers.Get().(*[]byte)}
	n, err := fill(&s.in, (*m.small)[:min(smallBuffer, limit+1)])
	m.data = (*m.small)[:n]
	switch {
	case n > limit:
		err = errTooBig
	case err == nil:
		return m, nil
	case errors.Is(err, errFull):
		defer m.release(s.server)
		return s.readLarge(m.data)
	}
	m.release(s.server)
	return received{}, err
}

// readLarge goes on with a message whose start has filled a small buffer. The number of such messages being received at once is
// bounded by memory: otherwise every slow client could hold a buffer of the largest size.
func (s *Session) readLarge(start []byte) (received, error) {
	reading := s.server.reading
	size := int64(s.server.p.Config.MaxMessageBytes + 1)
	if !reading.TryAcquire(size) {
		err := s.whileStopped(func(ctx context.Context) error { return reading.Acquire(ctx, size) })
		if errors.Is(err, errDrain) {
			err = errors.Join(err, s.discard()) // to the end of the message: the connection lives on for its acks
		}
		if err != nil {
			return received{}, err
		}
	}
	m := received{large: s.server.large.Get().(*[]byte)}
	n := copy(*m.large, start)
	more, err := fill(&s.in, (*m.large)[n:])
	if err == nil {
		m.data = (*m.large)[:n+more]
		return m, nil
	}
	if errors.Is(err, errFull) {
		err = errTooBig
	}
	m.release(s.server)
	return received{}, err
}

// discard reads a message that comes too late to be taken. The client gets no ack and sends it elsewhere.
func (s *Session) discard() error {
	_, err := io.Copy(io.Discard, &s.in)
	return err
}

// messageReader reads a message and shows Check that it makes progress.
type messageReader struct {
	r io.Reader
	s *Session
}

// progressStep is the most that is read before progress is shown: a read of the library ends only when it has filled its buffer or has
// come to the end of a WebSocket frame, however large.
const progressStep = 4 << 10

func (m *messageReader) Read(p []byte) (int, error) {
	n, err := m.r.Read(p[:min(len(p), progressStep)])
	m.s.arrived.Add(int64(n))
	return n, err
}

var errFull = errors.New("buffer is full")

// fill reads to the end of the message, or returns errFull when buffer is full before the end was seen.
func fill(r io.Reader, buffer []byte) (n int, err error) {
	for n < len(buffer) {
		m, err := r.Read(buffer[n:])
		n += m
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
	return n, errFull
}
