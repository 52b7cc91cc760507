package rpcserver

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/playhead-pipeline/playhead/services/internal/apierr"
)

// metrics counts the calls of one server. Methods are those of registered services only, since gRPC answers others before any interceptor, so
// the number of label values is bounded.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	panics   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, service, server string) (*metrics, error) {
	namespace := "playhead"
	if service != "" {
		namespace += "_" + service
	}
	labels := prometheus.Labels{"server": server}
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "rpc_requests_total", ConstLabels: labels,
			Help: "Finished calls by method and gRPC code; a stream is one call.",
		}, []string{"method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "rpc_duration_seconds", ConstLabels: labels,
			Help:    "Time from the start of a handler to its return, by method.",
			Buckets: []float64{.001, .005, .025, .1, .5, 2.5, 10, 60, 600},
		}, []string{"method"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "rpc_panics_total", ConstLabels: labels,
			Help: "Panics of handlers, each answered with INTERNAL. Every one is a bug.",
		}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.panics} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// interceptor wraps every handler: it counts, turns panics into INTERNAL and errors into statuses.
type interceptor struct {
	logger  *slog.Logger
	metrics *metrics
}

func (i interceptor) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	err = i.call(info.FullMethod, func() error {
		resp, err = handler(ctx, req)
		return err
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

func (i interceptor) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return i.call(info.FullMethod, func() error { return handler(srv, ss) })
}

func (i interceptor) call(method string, handler func() error) (err error) {
	start := time.Now()
	defer func() {
		if r := recover(); r != nil {
			i.metrics.panics.Inc()
			i.logger.Error("handler panicked", "method", method, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			// The caller learns nothing of the inside.
			err = status.Error(codes.Internal, "internal error")
		}
		i.metrics.requests.WithLabelValues(method, status.Code(err).String()).Inc()
		i.metrics.duration.WithLabelValues(method).Observe(time.Since(start).Seconds())
	}()
	// ToStatus(nil) is a nil status, whose Err is nil.
	return apierr.ToStatus(handler()).Err()
}
