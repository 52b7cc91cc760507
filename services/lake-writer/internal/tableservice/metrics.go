package tableservice

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts runs; tables of the configuration and services are the only label values besides outcomes.
type Metrics struct {
	runs     *prometheus.CounterVec
	duration *prometheus.HistogramVec
	pieces   *prometheus.HistogramVec
	bytes    *prometheus.CounterVec
	files    *prometheus.CounterVec
}

// NewMetrics registers the metrics with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	labels := []string{"table", "service"}
	name := func(n string) string { return "playhead_lakewriter_table_service_" + n }
	buckets := prometheus.ExponentialBuckets(0.01, 3, 12) // 10 ms to 30 min
	m := &Metrics{
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: name("runs_total"), Help: "Runs of table services by outcome: done, paused, stopped, failed.",
		}, append(labels, "outcome")),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name("duration_seconds"), Help: "Time of a run, its rests included.", Buckets: buckets,
		}, labels),
		pieces: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name("piece_seconds"), Help: "Time of one piece, for which commits may have to wait.", Buckets: buckets,
		}, labels),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: name("bytes_total"), Help: "Bytes that compactions read and cleans deleted.",
		}, labels),
		files: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: name("files_total"), Help: "Log files compacted, files deleted, instants archived.",
		}, labels),
	}
	reg.MustRegister(m.runs, m.duration, m.pieces, m.bytes, m.files)
	return m
}

func (m *Metrics) observe(table string, report *Report, outcome string) {
	kind := string(report.Kind)
	m.runs.WithLabelValues(table, kind, outcome).Inc()
	m.duration.WithLabelValues(table, kind).Observe(report.Took.Seconds())
	m.bytes.WithLabelValues(table, kind).Add(float64(report.Bytes + report.DeletedBytes))
	m.files.WithLabelValues(table, kind).Add(float64(report.LogFiles + report.Deleted + report.Archived))
}

func (m *Metrics) piece(table string, kind Kind, took time.Duration) {
	m.pieces.WithLabelValues(table, string(kind)).Observe(took.Seconds())
}
