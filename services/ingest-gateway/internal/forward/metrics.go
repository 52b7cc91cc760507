package forward

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts in plain atomics what the status shows too, so that both say the same.
type metrics struct {
	received, settled, rejected atomic.Uint64
	inFlight                    atomic.Int64

	batchBytes, batchEvents, latency                prometheus.Histogram
	reconnects, resent, creditWaits, protocolErrors prometheus.Counter
	verdicts                                        *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, connected func() bool) (*metrics, error) {
	m := &metrics{
		batchBytes: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "playhead_gateway_batch_bytes", Help: "Bytes of events per batch sent to the router.",
			Buckets: prometheus.ExponentialBuckets(1<<10, 4, 7),
		}),
		batchEvents: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "playhead_gateway_batch_events", Help: "Events per batch sent to the router.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 7),
		}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "playhead_gateway_ack_seconds", Help: "Time from the first event of a batch to its acknowledgement.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 12),
		}),
		reconnects: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "playhead_gateway_router_streams_lost_total", Help: "Streams to the router that ended or could not be opened.",
		}),
		resent: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "playhead_gateway_batches_resent_total", Help: "Batches sent again on a new stream.",
		}),
		creditWaits: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "playhead_gateway_credit_waits_total", Help: "Times that a batch had to wait for the router's credit.",
		}),
		protocolErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "playhead_gateway_router_protocol_errors_total", Help: "Streams given up because the router broke the protocol.",
		}),
		verdicts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "playhead_gateway_verdicts_total", Help: "Events that the router refused, by cause.",
		}, []string{"cause"}),
	}
	counter := func(name, help string, value *atomic.Uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(value.Load()) })
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	for _, c := range []prometheus.Collector{
		m.batchBytes, m.batchEvents, m.latency, m.reconnects, m.resent, m.creditWaits, m.protocolErrors, m.verdicts,
		counter("playhead_gateway_events_received_total", "Events received from clients and feeds.", &m.received),
		counter("playhead_gateway_events_settled_total", "Events acknowledged by the router, refused ones included.", &m.settled),
		counter("playhead_gateway_events_rejected_total", "Events refused by the router.", &m.rejected),
		gauge("playhead_gateway_in_flight_bytes", "Bytes charged to the budget of events in flight.", func() float64 { return float64(m.inFlight.Load()) }),
		gauge("playhead_gateway_router_connected", "1 while a stream to the router is open.", func() float64 {
			if connected() {
				return 1
			}
			return 0
		}),
	} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
