package session

import (
	"slices"

	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/frame"
	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/handoff"
)

// maxAckBytes bounds an ack message well under the read limit that client libraries start with (32 KiB in coder/websocket). A longer
// list of refused events goes out in several messages that repeat the last ack; the ack itself moves with the last of them, so who
// sees an ack has seen all refusals that it covers.
const maxAckBytes = 16 << 10

// rejectionBytes is an upper bound of the text of a refusal without its path.
const rejectionBytes = 128

var _ handoff.Sender = (*Session)(nil)

// Settled implements handoff.Sender.
func (s *Session) Settled(seq uint64, events int, rejected []handoff.Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.window.Settle(seq, events)
	if !s.mu.closed {
		for _, v := range rejected {
			s.mu.early = append(s.mu.early, frame.Rejection{Seq: seq, Index: v.Index, Cause: v.Cause, Path: v.Path})
		}
	}
	s.advanceLocked()
}

// advanceLocked moves the ack over the messages that are settled and starts a writer when there is something to write.
func (s *Session) advanceLocked() {
	before := s.mu.ack
	for {
		e, ok := s.mu.window.Pop()
		if !ok {
			break
		}
		s.mu.ack = e.Seq
		s.mu.charges = append(s.mu.charges, settledCharge{e.Seq, e.Charge})
	}
	if s.mu.ack == before {
		return
	}
	s.mu.early = slices.DeleteFunc(s.mu.early, func(r frame.Rejection) bool {
		if r.Seq <= s.mu.ack {
			s.mu.rejected = append(s.mu.rejected, r)
			return true
		}
		return false
	})
	s.startWriterLocked()
}

// startWriterLocked starts the writer unless one runs, or nothing can be written.
func (s *Session) startWriterLocked() {
	if s.mu.writing || s.mu.closed {
		return
	}
	s.mu.writing = true
	s.goroutines.Go(s.writeAcks)
}

// writeAcks writes until there is nothing left to write, then ends. Acks that come while a write is under way become one.
func (s *Session) writeAcks() {
	var buffer []byte
	for {
		s.mu.Lock()
		message, ack, ok := s.nextAckLocked(buffer[:0])
		if !ok {
			s.mu.writing = false
			done := s.mu.draining && !s.mu.closed && s.mu.window.Len() == 0
			s.mu.Unlock()
			if done {
				s.endAsync(s.drainClosing())
			}
			return
		}
		s.mu.Unlock()
		buffer = message
		err := s.write(message)
		s.mu.Lock()
		if err != nil { // the connection is lost; the reader sees it too
			s.mu.closed = true
			s.mu.writing = false
			s.mu.Unlock()
			s.abandon("client")
			return
		}
		s.writtenLocked(ack)
		s.mu.Unlock()
		s.server.metrics.acks.Inc()
	}
}

// nextAckLocked appends the next ack message to dst, and says up to where it acknowledges.
func (s *Session) nextAckLocked(dst []byte) (message []byte, ack uint64, ok bool) {
	if s.mu.closed || s.mu.ack == s.mu.written {
		return nil, 0, false
	}
	n, size := 0, 0
	for n < len(s.mu.rejected) {
		// A path escapes to at most six bytes for one.
		if size += rejectionBytes + 6*len(s.mu.rejected[n].Path); n > 0 && size > maxAckBytes {
			break
		}
		n++
	}
	ack = s.mu.ack
	if n < len(s.mu.rejected) {
		ack = s.mu.written
	}
	message = frame.AppendAck(dst, ack, frame.LevelReplicated, s.mu.rejected[:n])
	if s.mu.rejected = s.mu.rejected[n:]; len(s.mu.rejected) == 0 {
		s.mu.rejected = nil
	}
	return message, ack, true
}

// writtenLocked gives back the room of the messages whose ack has been written.
func (s *Session) writtenLocked(ack uint64) {
	s.mu.written = ack
	n := 0
	for n < len(s.mu.charges) && s.mu.charges[n].seq <= ack {
		s.mu.unacked -= s.mu.charges[n].charge
		n++
	}
	if n == 0 {
		return
	}
	s.mu.charges = append(s.mu.charges[:0], s.mu.charges[n:]...)
	select {
	case s.room <- struct{}{}:
	default:
	}
}
