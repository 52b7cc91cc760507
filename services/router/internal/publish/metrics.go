package publish

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the producer. Labels are topics of the configuration and names of error codes.
type metrics struct {
	records, batches, bytes *prometheus.CounterVec
	failures                *prometheus.CounterVec
	latency                 prometheus.Histogram
	requests                prometheus.Counter
	stalled                 prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "playhead_router_produce_" + name, Help: help}, labels)
	}
	m := &metrics{
		records:  counter("records_total", "Records acknowledged by Kafka.", "topic"),
		batches:  counter("batches_total", "Batches acknowledged by Kafka.", "topic"),
		bytes:    counter("bytes_total", "Bytes of acknowledged batches before compression.", "topic"),
		failures: counter("failures_total", "Attempts to write a batch that did not succeed, by the answer. All but refusals are tried again.", "topic", "code"),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "playhead_router_produce_latency_seconds",
			Help:    "Time from the first record of a batch to its acknowledgement, linger included.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 14),
		}),
		requests: prometheus.NewCounter(prometheus.CounterOpts{Name: "playhead_router_produce_requests_total", Help: "Produce requests sent."}),
		stalled: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "playhead_router_produce_stalled_partitions",
			Help: "Partitions that stopped because the broker lost acknowledged state. Above 0 needs an operator.",
		}),
	}
	for _, c := range []prometheus.Collector{m.records, m.batches, m.bytes, m.failures, m.latency, m.requests, m.stalled} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) delivered(topic string, b *batch, now time.Time) {
	m.records.WithLabelValues(topic).Add(float64(b.len()))
	m.batches.WithLabelValues(topic).Inc()
	m.bytes.WithLabelValues(topic).Add(float64(b.size()))
	m.latency.Observe(now.Sub(b.opened).Seconds())
}
