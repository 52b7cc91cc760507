package session

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/playhead-pipeline/playhead/services/ingest-gateway/internal/frame"
)

// BenchmarkEndToEnd sends messages of 100 events of 300 bytes from one client through the gateway to a fake router, all in this process,
// over real sockets: cpu-ns/event holds the client's, the gateway's and the router's share.
func BenchmarkEndToEnd(b *testing.B) {
	o := defaults()
	o.session.MaxInFlight, o.session.MaxReadBuffers, o.forward.MaxInFlight = 4<<20, 8<<20, 64<<20
	o.forward.MaxBatchBytes = 256 << 10
	g := start(b, o)
	g.router.SetWindow(8 << 20)
	g.router.Discard()
	c := g.dial(frame.ProtocolAvro)
	event := []byte(strings.Repeat("x", 300))
	events := make([][]byte, 100)
	for i := range events {
		events[i] = event
	}
	var message []byte
	before := cpu(b)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		message = frame.AppendAvro(message[:0], uint64(i+1), events...)
		if err := c.conn.Write(b.Context(), websocket.MessageBinary, message); err != nil {
			b.Fatal(err)
		}
	}
	c.waitAck(uint64(b.N))
	b.StopTimer()
	n := float64(b.N * len(events))
	b.ReportMetric(n/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(cpu(b)-before)/n, "cpu-ns/event")
}

// cpu returns the processor time of this process.
func cpu(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
