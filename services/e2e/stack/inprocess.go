package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Program makes a service from the text of its configuration, logging to log. What it returns serves until its context ends.
type Program func(configuration string, log io.Writer) (run func(context.Context) error, err error)

// InProcess is the pipeline as goroutines of this process: fast to start and visible to the race detector and debuggers. Its services can be
// stopped and started, but not killed.
type InProcess struct {
	options  Options
	programs map[Service]Program
	ports    ports
	configs  map[Service]string
	running  map[Service]*goroutine
}

// goroutine is one running service.
type goroutine struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // valid once done is closed
	log    *os.File
}

// StartInProcess starts the services and waits until each is ready. programs has one entry per service; package inprocess makes them.
func StartInProcess(ctx context.Context, o Options, programs map[Service]Program) (*InProcess, error) {
	o.setDefaults()
	if err := os.MkdirAll(filepath.Join(o.Dir, "logs"), 0o755); err != nil {
		return nil, fmt.Errorf("create folder of the stack: %w", err)
	}
	p, err := choosePorts()
	if err != nil {
		return nil, err
	}
	s := &InProcess{options: o, programs: programs, ports: p, running: map[Service]*goroutine{}}
	if s.configs, err = o.prepare(p); err != nil {
		return nil, err
	}
	for _, service := range startOrder {
		if err := s.Start(service); err != nil {
			return nil, errors.Join(err, s.Stop())
		}
		if err := s.Ready(ctx, service); err != nil {
			return nil, errors.Join(err, s.Stop())
		}
	}
	return s, nil
}

// Endpoints returns the stack's addresses.
func (s *InProcess) Endpoints() Endpoints { return s.options.endpoints(s.ports) }

// Start starts a service that does not run, without waiting for it.
func (s *InProcess) Start(service Service) error {
	path := filepath.Join(s.options.Dir, "logs", string(service)+".log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open log of %s: %w", service, err)
	}
	run, err := s.programs[service](s.configs[service], log)
	if err != nil {
		return errors.Join(fmt.Errorf("make %s: %w", service, err), log.Close())
	}
	ctx, cancel := context.WithCancel(context.Background()) // ends by Halt, not with the caller's start
	g := &goroutine{cancel: cancel, done: make(chan struct{}), log: log}
	go func() {
		g.err = run(ctx)
		close(g.done)
	}()
	s.running[service] = g
	return nil
}

// Ready waits until a service says that it is ready.
func (s *InProcess) Ready(ctx context.Context, service Service) error {
	g, probe := s.running[service], httpOK("http://"+address(s.ports.debug[service])+"/readyz")
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := probe(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-g.done:
			return fmt.Errorf("%s ended before it was ready: %w; its log is %s", service, g.err, g.log.Name())
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w; last probe: %w; its log is %s", service, ctx.Err(), err, g.log.Name())
		case <-tick.C:
		}
	}
}

// Halt drains a service and waits until it has ended.
func (s *InProcess) Halt(service Service) error {
	g := s.running[service]
	if g == nil {
		return nil
	}
	delete(s.running, service)
	g.cancel()
	<-g.done
	if err := errors.Join(g.err, g.log.Close()); err != nil {
		return fmt.Errorf("stop %s: %w", service, err)
	}
	return nil
}

// Flush makes the lake-writer commit what it holds.
func (s *InProcess) Flush(ctx context.Context) error {
	return flush(ctx, address(s.ports.admin[LakeWriter]))
}

// Stop drains the services in the direction of the data and ends them.
func (s *InProcess) Stop() error {
	var errs []error
	for _, service := range stopOrder {
		errs = append(errs, s.Halt(service))
	}
	return errors.Join(errs...)
}
