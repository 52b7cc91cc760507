// Package storemeter counts the requests of a store, by kind and outcome. It changes nothing about them.
package storemeter

import (
	"context"
	"iter"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// Meter holds the metrics of all stores of a process.
type Meter struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

// New registers the metrics with reg.
func New(reg prometheus.Registerer) *Meter {
	m := &Meter{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "playhead_lakewriter_store_requests_total", Help: "Requests to the lake's store by kind and outcome (ok or the class of the error).",
		}, []string{"kind", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "playhead_lakewriter_store_request_duration_seconds", Help: "Duration of requests to the lake's store.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 12), // 1 ms to 24 s
		}, []string{"kind"}),
	}
	reg.MustRegister(m.requests, m.duration)
	return m
}

// Wrap returns store with its requests counted.
func (m *Meter) Wrap(store storage.Store) storage.Store {
	return &metered{store: store, m: m}
}

type metered struct {
	store storage.Store
	m     *Meter
}

var _ storage.Store = (*metered)(nil)

func (s *metered) observe(kind string, started time.Time, err error) {
	outcome := "ok"
	if err != nil {
		outcome = storage.Classify(err).String()
	}
	s.m.requests.WithLabelValues(kind, outcome).Inc()
	s.m.duration.WithLabelValues(kind).Observe(time.Since(started).Seconds())
}

func (s *metered) Get(ctx context.Context, key string) ([]byte, storage.Info, error) {
	started := time.Now()
	data, info, err := s.store.Get(ctx, key)
	s.observe("get", started, err)
	return data, info, err
}

func (s *metered) GetRange(ctx context.Context, key string, off, length int64) ([]byte, error) {
	started := time.Now()
	data, err := s.store.GetRange(ctx, key, off, length)
	s.observe("get_range", started, err)
	return data, err
}

func (s *metered) Put(ctx context.Context, key string, data []byte, cond storage.Condition) (storage.Info, error) {
	kind := "put"
	switch {
	case cond.IfAbsent:
		kind = "put_if_absent"
	case cond.IfMatch != "":
		kind = "put_if_match"
	}
	started := time.Now()
	info, err := s.store.Put(ctx, key, data, cond)
	s.observe(kind, started, err)
	return info, err
}

// List counts a listing once, when it ends.
func (s *metered) List(ctx context.Context, prefix string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		started := time.Now()
		var last error
		defer func() { s.observe("list", started, last) }()
		for info, err := range s.store.List(ctx, prefix) {
			last = err
			if !yield(info, err) {
				return
			}
		}
	}
}

func (s *metered) Stat(ctx context.Context, key string) (storage.Info, error) {
	started := time.Now()
	info, err := s.store.Stat(ctx, key)
	s.observe("stat", started, err)
	return info, err
}

func (s *metered) Delete(ctx context.Context, key string) error {
	started := time.Now()
	err := s.store.Delete(ctx, key)
	s.observe("delete", started, err)
	return err
}
