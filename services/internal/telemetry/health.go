package telemetry

import (
	"slices"
	"strings"
	"sync"
)

// reasonStarting is why a check fails before its owner has spoken.
const reasonStarting = "starting"

// Health is the readiness of a process: it is ready when every check passes. It is safe for concurrent use.
type Health struct {
	mu struct {
		sync.Mutex
		checks  map[string]*Check
		changed chan struct{}
	}
}

// CheckStatus is the state of one check.
type CheckStatus struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Reason tells why the check fails; empty when it passes.
	Reason string `json:"reason,omitempty"`
}

// NewHealth returns a Health without checks, which is ready.
func NewHealth() *Health {
	h := &Health{}
	h.mu.checks = make(map[string]*Check)
	h.mu.changed = make(chan struct{})
	return h
}

// Check returns the check of that name. A new one fails with "starting".
func (h *Health) Check(name string) *Check {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c, ok := h.mu.checks[name]; ok {
		return c
	}
	c := &Check{health: h, name: name, reason: reasonStarting}
	h.mu.checks[name] = c
	h.signal()
	return c
}

// Ready tells whether every check passes, and the state of each, by name.
func (h *Health) Ready() (bool, []CheckStatus) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ready := true
	all := make([]CheckStatus, 0, len(h.mu.checks))
	for _, c := range h.mu.checks {
		ready = ready && c.reason == ""
		all = append(all, CheckStatus{Name: c.name, OK: c.reason == "", Reason: c.reason})
	}
	slices.SortFunc(all, func(a, b CheckStatus) int { return strings.Compare(a.Name, b.Name) })
	return ready, all
}

// Changed returns a channel that is closed at the next change of any check. Take it before Ready, so that no change falls between.
func (h *Health) Changed() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.changed
}

// signal wakes those who wait for a change. The caller holds mu.
func (h *Health) signal() {
	close(h.mu.changed)
	h.mu.changed = make(chan struct{})
}

// Check is one condition of readiness, set by the package that knows it.
type Check struct {
	health *Health
	name   string
	reason string // empty when the check passes; guarded by health.mu
}

// OK makes the check pass.
func (c *Check) OK() { c.set("") }

// Fail makes the check fail. The reason is shown to operators; it must not hold secrets.
func (c *Check) Fail(reason string) {
	if reason == "" {
		reason = "no reason given"
	}
	c.set(reason)
}

func (c *Check) set(reason string) {
	c.health.mu.Lock()
	defer c.health.mu.Unlock()
	if c.reason != reason {
		c.reason = reason
		c.health.signal()
	}
}
