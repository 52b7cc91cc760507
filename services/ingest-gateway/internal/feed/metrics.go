package feed

import (
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics shows the status of all feeds. Feeds come from the configuration, so their names make bounded labels.
type Metrics struct {
	connected, messages, reconnects *prometheus.Desc

	mu    sync.Mutex
	feeds []*Feed
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	label := []string{"feed"}
	m := &Metrics{
		connected:  prometheus.NewDesc("playhead_gateway_feed_connected", "1 while the feed is connected.", label, nil),
		messages:   prometheus.NewDesc("playhead_gateway_feed_messages_total", "Messages received from the feed.", label, nil),
		reconnects: prometheus.NewDesc("playhead_gateway_feed_reconnects_total", "Connections of the feed lost or not made.", label, nil),
	}
	return m, reg.Register(m)
}

func (m *Metrics) add(f *Feed) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.feeds = append(m.feeds, f)
}

// Statuses returns the status of every feed by name.
func (m *Metrics) Statuses() []Status {
	m.mu.Lock()
	feeds := slices.Clone(m.feeds)
	m.mu.Unlock()
	statuses := make([]Status, 0, len(feeds))
	for _, f := range feeds {
		statuses = append(statuses, f.Status())
	}
	slices.SortFunc(statuses, func(a, b Status) int { return strings.Compare(a.Name, b.Name) })
	return statuses
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(descs chan<- *prometheus.Desc) {
	descs <- m.connected
	descs <- m.messages
	descs <- m.reconnects
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(metrics chan<- prometheus.Metric) {
	for _, s := range m.Statuses() {
		connected := 0.0
		if s.Connected {
			connected = 1
		}
		metrics <- prometheus.MustNewConstMetric(m.connected, prometheus.GaugeValue, connected, s.Name)
		metrics <- prometheus.MustNewConstMetric(m.messages, prometheus.CounterValue, float64(s.Messages), s.Name)
		metrics <- prometheus.MustNewConstMetric(m.reconnects, prometheus.CounterValue, float64(s.Reconnects), s.Name)
	}
}
