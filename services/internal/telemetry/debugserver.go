package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/playhead-pipeline/playhead/services/internal/netlisten"
)

const (
	debugHeaderTimeout = 5 * time.Second
	debugReadTimeout   = 10 * time.Second
	// A CPU profile of 30 s, the default of go tool pprof, and one of a minute have to fit.
	debugWriteTimeout = 2 * time.Minute
	debugIdleTimeout  = time.Minute
	debugMaxHeader    = 16 << 10
	// Scrapes are expensive; more than these at once wait for nobody and get 503.
	debugMaxScrapes = 4
	scrapeTimeout   = 10 * time.Second
	// debugStopTimeout is for scrapes under way; profiles are cut off.
	debugStopTimeout = time.Second
)

// DebugConfig is where the debug listener binds.
type DebugConfig struct {
	// Listen is host:port. It has no TLS, so it must be loopback unless Insecure is set.
	Listen string
	// Insecure allows any address.
	Insecure bool
}

// DebugServer serves /metrics, /livez, /readyz and /debug/pprof/ over HTTP.
type DebugServer struct {
	listener net.Listener
	server   *http.Server
}

// NewDebugServer binds the listener. Call Run to serve, or Close to give the listener up.
func NewDebugServer(cfg DebugConfig, gatherer prometheus.Gatherer, health *Health, logger *slog.Logger) (*DebugServer, error) {
	listener, err := netlisten.Listen(context.Background(), cfg.Listen, false, cfg.Insecure)
	if err != nil {
		return nil, fmt.Errorf("bind debug listener: %w", err)
	}
	return &DebugServer{
		listener: listener,
		server: &http.Server{
			Handler:           debugHandler(gatherer, health, logger),
			ReadHeaderTimeout: debugHeaderTimeout,
			ReadTimeout:       debugReadTimeout,
			WriteTimeout:      debugWriteTimeout,
			IdleTimeout:       debugIdleTimeout,
			MaxHeaderBytes:    debugMaxHeader,
			ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
		},
	}, nil
}

// debugHandler uses a mux of its own: http.DefaultServeMux would serve whatever any import registered.
func debugHandler(gatherer prometheus.Gatherer, health *Health, logger *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
		MaxRequestsInFlight: debugMaxScrapes,
		Timeout:             scrapeTimeout,
	}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n")) // the client may be gone
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { serveReady(w, health) })
	// Without methods: go tool pprof posts to some of them.
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// serveReady answers 200 when ready and 503 when not, in both cases with the checks.
func serveReady(w http.ResponseWriter, health *Health) {
	ready, checks := health.Ready()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(struct {
		Ready  bool          `json:"ready"`
		Checks []CheckStatus `json:"checks"`
	}{ready, checks}) // the client may be gone
}

// Addr returns the bound address, with the port that was chosen for port 0.
func (s *DebugServer) Addr() string { return s.listener.Addr().String() }

// Run serves until ctx ends.
func (s *DebugServer) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(s.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve debug listener: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), debugStopTimeout)
	defer cancel()
	if err := s.server.Shutdown(stop); err != nil {
		_ = s.server.Close() // whoever is still connected had their time
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve debug listener: %w", err)
	}
	return nil
}

// Close gives up a server that Run was not called for.
func (s *DebugServer) Close() error { return s.listener.Close() }
