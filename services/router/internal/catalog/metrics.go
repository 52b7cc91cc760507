package catalog

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct{ lookups *prometheus.CounterVec }

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{lookups: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "playhead_router_schema_lookups_total",
		Help: "Schemas looked up in the registry, by outcome: in_use, unknown, outage, refused.",
	}, []string{"outcome"})}
	if err := reg.Register(m.lookups); err != nil {
		return nil, fmt.Errorf("set up catalog: %w", err)
	}
	return m, nil
}

func (m *metrics) count(r *result) {
	outcome := "outage"
	switch {
	case r.schema != nil:
		outcome = "in_use"
	case errors.Is(r.err, ErrUnknown):
		outcome = "unknown"
	case r.use.Subject != "":
		outcome = "refused"
	}
	m.lookups.WithLabelValues(outcome).Inc()
}
