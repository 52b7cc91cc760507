package kafkaclient

import "github.com/rcrowley/go-metrics"

// nilRegistry is a registry of metrics that do nothing. metrics.UseNilMetrics would have the same effect, for the whole process and with a race
// against everything that runs already. sarama registers lazily, by constructors, so no
// real metric is made through it. One stays: sizing a fetch request counts in the default registry, a meter per topic, whatever is configured.
type nilRegistry struct{}

var _ metrics.Registry = nilRegistry{}

// GetOrRegister returns the metric that does nothing of the kind that the constructor makes. Anything else goes back as it came.
func (nilRegistry) GetOrRegister(_ string, constructor any) any {
	switch constructor.(type) {
	case func() metrics.Meter:
		return metrics.NilMeter{}
	case func() metrics.Counter:
		return metrics.NilCounter{}
	case func() metrics.Histogram:
		return metrics.NilHistogram{}
	}
	return constructor
}

func (nilRegistry) Each(func(string, any))            {}
func (nilRegistry) Get(string) any                    { return nil }
func (nilRegistry) GetAll() map[string]map[string]any { return nil }
func (nilRegistry) Register(string, any) error        { return nil }
func (nilRegistry) RunHealthchecks()                  {}
func (nilRegistry) Unregister(string)                 {}
func (nilRegistry) UnregisterAll()                    {}
