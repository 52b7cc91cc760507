package session

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	connections                                 atomic.Int64
	opened, messages, bytes, acks, backpressure prometheus.Counter
	refused, closed                             *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		opened:       counter("playhead_gateway_connections_total", "Client connections accepted."),
		messages:     counter("playhead_gateway_messages_received_total", "Messages received from clients."),
		bytes:        counter("playhead_gateway_message_bytes_received_total", "Bytes of messages received from clients."),
		acks:         counter("playhead_gateway_acks_sent_total", "Ack messages sent to clients; each is cumulative."),
		backpressure: counter("playhead_gateway_backpressure_total", "Times that a connection was not read because a budget was used up."),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "playhead_gateway_handshakes_refused_total", Help: "Handshakes refused, by reason.",
		}, []string{"reason"}),
		closed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "playhead_gateway_connections_closed_total",
			Help: "Connections ended, by the status of the close frame sent (empty when none was sent first) and the reason.",
		}, []string{"status", "reason"}),
	}
	open := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "playhead_gateway_connections", Help: "Client connections open now.",
	}, func() float64 { return float64(m.connections.Load()) })
	for _, c := range []prometheus.Collector{open, m.opened, m.messages, m.bytes, m.acks, m.backpressure, m.refused, m.closed} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
