package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/playhead-pipeline/playhead/services/e2e/child"
)

// Processes is the pipeline as three processes of the real programs, which can be killed, paused and started again.
type Processes struct {
	options Options
	bin     string
	ports   ports
	running map[Service]*child.Process
}

// Build builds the programs of the three services into dir. It needs the repository's sources around the working directory.
func Build(ctx context.Context, dir string) error {
	for _, s := range Services {
		pkg := fmt.Sprintf("github.com/playhead-pipeline/playhead/services/%s/cmd/%s", s, s)
		cmd := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, string(s)), pkg)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w: %s", s, err, out)
		}
	}
	return nil
}

// StartProcesses starts the programs in bin and waits until each is ready.
func StartProcesses(ctx context.Context, o Options, bin string) (*Processes, error) {
	o.setDefaults()
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("create folder of the stack: %w", err)
	}
	p, err := choosePorts()
	if err != nil {
		return nil, err
	}
	s := &Processes{options: o, bin: bin, ports: p, running: map[Service]*child.Process{}}
	configs, err := o.prepare(p)
	if err != nil {
		return nil, err
	}
	for service, text := range configs {
		if err := os.WriteFile(s.configPath(service), []byte(text), 0o600); err != nil {
			return nil, fmt.Errorf("write configuration of %s: %w", service, err)
		}
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

func (s *Processes) configPath(service Service) string {
	return filepath.Join(s.options.Dir, string(service)+".yaml")
}

// Endpoints returns the stack's addresses.
func (s *Processes) Endpoints() Endpoints { return s.options.endpoints(s.ports) }

// Process returns the running process of a service.
func (s *Processes) Process(service Service) *child.Process { return s.running[service] }

// Start starts a service that does not run, without waiting for it.
func (s *Processes) Start(service Service) error {
	p, err := child.Start(string(service), filepath.Join(s.options.Dir, "logs"), nil,
		filepath.Join(s.bin, string(service)), "-config", s.configPath(service))
	if err != nil {
		return err
	}
	s.running[service] = p
	return nil
}

// Ready waits until a service says that it is ready.
func (s *Processes) Ready(ctx context.Context, service Service) error {
	return s.running[service].Ready(ctx, httpOK("http://"+address(s.ports.debug[service])+"/readyz"))
}

// Halt drains a service and waits until it has ended.
func (s *Processes) Halt(service Service) error {
	p := s.running[service]
	if err := p.Stop(); err != nil {
		return err
	}
	if err := p.Err(); err != nil {
		return fmt.Errorf("stop %s: %w; its log is %s", service, err, p.LogPath())
	}
	return nil
}

// Kill ends a service as a crash would, and Start begins it anew.
func (s *Processes) Kill(service Service) error { return s.running[service].Kill() }

// Pause stops a service in its tracks, as a long pause of its machine would; Resume lets it go on.
func (s *Processes) Pause(service Service) error { return s.running[service].Signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (s *Processes) Resume(service Service) error { return s.running[service].Signal(syscall.SIGCONT) }

// Successor starts a second lake-writer beside the running one, with listeners of its own. The caller stops it.
func (s *Processes) Successor(ctx context.Context) (*child.Process, Endpoints, error) {
	p, err := choosePorts()
	if err != nil {
		return nil, Endpoints{}, err
	}
	path := filepath.Join(s.options.Dir, "successor.yaml")
	if err := os.WriteFile(path, []byte(s.options.lakeWriterConfig(p)), 0o600); err != nil {
		return nil, Endpoints{}, fmt.Errorf("write configuration of the successor: %w", err)
	}
	proc, err := child.Start("successor", filepath.Join(s.options.Dir, "logs"), nil, filepath.Join(s.bin, string(LakeWriter)), "-config", path)
	if err != nil {
		return nil, Endpoints{}, err
	}
	if err := proc.Ready(ctx, httpOK("http://"+address(p.debug[LakeWriter])+"/readyz")); err != nil {
		return nil, Endpoints{}, errors.Join(err, proc.Stop())
	}
	return proc, s.options.endpoints(p), nil
}

// Flush makes the lake-writer commit what it holds.
func (s *Processes) Flush(ctx context.Context) error {
	return flush(ctx, s.Endpoints().Admin[string(LakeWriter)])
}

// Stop drains the services in the direction of the data and ends them.
func (s *Processes) Stop() error {
	var errs []error
	for _, service := range stopOrder {
		if p := s.running[service]; p != nil {
			errs = append(errs, p.Stop())
		}
	}
	return errors.Join(errs...)
}
