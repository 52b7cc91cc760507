package main

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/playhead-pipeline/playhead/services/e2e/stack"
)

// meter measures one service between two moments.
type meter struct {
	service  stack.Service
	services *stack.Processes
	cpu      time.Duration
	mallocs  float64
	err      error // the first reading that did not work
}

// meter starts measuring a running service.
func (b *bench) meter(service stack.Service) *meter {
	m := &meter{service: service, services: b.services}
	m.cpu, m.mallocs = m.read()
	return m
}

func (m *meter) read() (cpu time.Duration, mallocs float64) {
	cpu, err := stack.CPUTime(m.services.Process(m.service).PID())
	m.err = errors.Join(m.err, err)
	mallocs, err = readMetric("http://"+m.services.Endpoints().Debug[string(m.service)]+"/metrics", "go_memstats_mallocs_total")
	m.err = errors.Join(m.err, err)
	return cpu, mallocs
}

// stop ends the measuring.
func (m *meter) stop(stage string, events uint64, took time.Duration) figure {
	cpu, mallocs := m.read()
	n := float64(max(events, 1))
	return figure{
		Stage: stage, Events: events, CPU: float64(cpu-m.cpu) / n, EventsPerSecond: n / took.Seconds(), Allocs: (mallocs - m.mallocs) / n,
	}
}

// readMetric reads one metric without labels in the Prometheus text format.
func readMetric(url, name string) (float64, error) {
	client := http.Client{Timeout: 10 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		return 0, fmt.Errorf("read metrics: %w", err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	if err := lines.Err(); err != nil {
		return 0, fmt.Errorf("read metrics: %w", err)
	}
	return 0, fmt.Errorf("metrics at %s lack %s", url, name)
}
