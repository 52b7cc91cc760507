// Package telemetry makes what a process shows of itself: its JSON log, its metrics registry, its readiness and the debug listener that
// serves them. Every part is a value that callers pass on; nothing here is global. Which metrics and checks exist is for the packages that
// own them.
package telemetry

import (
	"io"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// NewLogger returns a logger of one JSON object per line with the keys time (UTC), level, msg and service before those of the call. level may
// change while the logger is in use. Values under keys that name a secret are replaced, as a last line of defence.
func NewLogger(w io.Writer, service string, level *slog.LevelVar) *slog.Logger {
	handler := slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: replaceAttr})
	return slog.New(handler).With("service", service)
}

// Redacted stands in the log for a value under a key that names a secret.
const Redacted = "[redacted]"

// secretWords are parts of keys whose values are never logged. A key that ends in "_file" holds a path and passes.
var secretWords = []string{"password", "passwd", "secret", "token", "authorization", "credential", "private_key", "cookie"}

func replaceAttr(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
		return slog.Time(slog.TimeKey, a.Value.Time().UTC())
	}
	key := strings.ToLower(a.Key)
	if strings.HasSuffix(key, "_file") {
		return a
	}
	for _, word := range secretWords {
		if strings.Contains(key, word) {
			return slog.String(a.Key, Redacted)
		}
	}
	return a
}

// BuildInfo names the running program.
type BuildInfo struct {
	// Version is the module version, "devel" when unknown.
	Version string
	// Revision is the source revision, with "-dirty" when there were local changes; empty when unknown.
	Revision string
	// GoVersion is the toolchain.
	GoVersion string
}

// ReadBuildInfo returns what the linker recorded.
func ReadBuildInfo() BuildInfo {
	b := BuildInfo{Version: "devel", GoVersion: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	dirty := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			dirty = s.Value == "true"
		}
	}
	if dirty && b.Revision != "" {
		b.Revision += "-dirty"
	}
	return b
}

// NewRegistry returns a registry that holds the Go, process and build metrics of a service.
func NewRegistry(service string) *prometheus.Registry {
	b := ReadBuildInfo()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "playhead_build_info",
		Help:        "Always 1; its labels name the program.",
		ConstLabels: prometheus.Labels{"service": service, "version": b.Version, "revision": b.Revision, "go_version": b.GoVersion},
	})
	build.Set(1)
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		build,
	)
	return r
}
