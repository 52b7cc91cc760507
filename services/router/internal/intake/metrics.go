package intake

import (
	"fmt"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the intake. Labels are outcomes and causes, of which there are few.
type metrics struct {
	events            *prometheus.CounterVec
	refused           *prometheus.CounterVec
	batches           prometheus.Counter
	streams, inFlight prometheus.Gauge
	parked, stuck     prometheus.Gauge

	totals struct{ received, produced, deadLettered atomic.Uint64 }
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "playhead_router_" + name, Help: help})
	}
	m := &metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "playhead_router_events_total",
			Help: "Events, by outcome: received, published (acknowledged by Kafka in a data topic), dead_lettered (the same in a dead-letter topic).",
		}, []string{"outcome"}),
		refused:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "playhead_router_refused_events_total", Help: "Dead-lettered events, by cause."}, []string{"cause"}),
		batches:  prometheus.NewCounter(prometheus.CounterOpts{Name: "playhead_router_batches_total", Help: "Batches received."}),
		streams:  gauge("streams", "Open streams of gateways."),
		inFlight: gauge("in_flight_bytes", "Memory charged to batches that are not acknowledged, of budget_bytes."),
		parked:   gauge("parked_batches", "Batches that wait for their schema. The status of the admin API says why."),
		stuck:    gauge("stuck_dead_letters", "Dead letters that their topic refused even when cut. Above 0 needs an operator."),
	}
	for _, c := range []prometheus.Collector{m.events, m.refused, m.batches, m.streams, m.inFlight, m.parked, m.stuck} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("set up intake: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) received(n int) {
	m.batches.Inc()
	m.totals.received.Add(uint64(n))
	m.events.WithLabelValues("received").Add(float64(n))
}

func (m *metrics) durable(published, deadLettered int) {
	m.totals.produced.Add(uint64(published))
	m.totals.deadLettered.Add(uint64(deadLettered))
	m.events.WithLabelValues("published").Add(float64(published))
	m.events.WithLabelValues("dead_lettered").Add(float64(deadLettered))
}
