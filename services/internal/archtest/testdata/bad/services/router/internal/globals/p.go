// Package globals breaks rules.
package globals

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	_ "github.com/prometheus/client_golang/prometheus/promauto"
)

var (
	logger     = slog.Default()
	registerer = prometheus.DefaultRegisterer
)

func init() { logger.Info("") }
