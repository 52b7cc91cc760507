package commit

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts commits; the tables of the configuration are the only label values.
type Metrics struct {
	active     *prometheus.GaugeVec
	commits    *prometheus.CounterVec
	rows       *prometheus.CounterVec
	duplicates *prometheus.CounterVec
	refused    *prometheus.CounterVec
	bytes      *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	freshness  *prometheus.HistogramVec
}

// NewMetrics registers the metrics with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	table := []string{"table"}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "playhead_lakewriter_" + name, Help: help}, append(table, labels...))
	}
	buckets := prometheus.ExponentialBuckets(0.05, 2, 14) // 50 ms to 7 min
	m := &Metrics{
		active: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "playhead_lakewriter_table_active", Help: "1 when this instance writes the table, 0 when it stands by.",
		}, table),
		commits:    counter("commits_total", "Commits by outcome: committed, retried, unknown, fenced.", "outcome"),
		rows:       counter("rows_total", "Rows added to tables."),
		duplicates: counter("duplicates_total", "Events left out because the table had them already."),
		refused:    counter("refused_total", "Events that cannot become rows, written to the dead-letter topic, by cause.", "cause"),
		bytes:      counter("written_bytes_total", "Bytes of data files written."),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "playhead_lakewriter_commit_duration_seconds", Help: "Time from taking the rows to the visible commit.", Buckets: buckets,
		}, table),
		freshness: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "playhead_lakewriter_freshness_seconds", Help: "Age, since its Kafka timestamp, of the oldest event of a commit when it became visible.", Buckets: buckets,
		}, table),
	}
	reg.MustRegister(m.active, m.commits, m.rows, m.duplicates, m.refused, m.bytes, m.duration, m.freshness)
	return m
}
