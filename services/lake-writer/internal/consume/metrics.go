package consume

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what the readers of one process do. Partitions of the configured topics are the
// only label values that grow.
type Metrics struct {
	fetches *prometheus.CounterVec
	records prometheus.Counter
	bytes   prometheus.Counter
	lag     *prometheus.GaugeVec
	halted  *prometheus.GaugeVec
	waiting prometheus.Gauge
}

// NewMetrics registers the metrics with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		fetches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "playhead_lakewriter_fetches_total", Help: "Fetch requests by outcome.",
		}, []string{"outcome"}),
		records: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "playhead_lakewriter_read_records_total", Help: "Records read from Kafka and delivered.",
		}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "playhead_lakewriter_read_bytes_total", Help: "Bytes of record values read from Kafka and delivered.",
		}),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "playhead_lakewriter_read_lag_records", Help: "Records between the next offset to read and the high watermark.",
		}, []string{"topic", "partition"}),
		halted: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "playhead_lakewriter_halted_partitions", Help: "Partitions that wait for an operator.",
		}, []string{"topic"}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "playhead_lakewriter_budget_waiting_readers", Help: "Fetch loops that wait for room in the byte budget.",
		}),
	}
	reg.MustRegister(m.fetches, m.records, m.bytes, m.lag, m.halted, m.waiting)
	return m
}
