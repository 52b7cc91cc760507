package intake

import (
	"time"

	"github.com/playhead-pipeline/playhead/services/internal/configfile"
)

// Config bounds what the router takes.
type Config struct {
	WindowBytes   configfile.Size     `yaml:"window_bytes" doc:"Credit of one stream: bytes of events that may be without acknowledgement."`
	BudgetBytes   configfile.Size     `yaml:"budget_bytes" doc:"Memory for events of all streams. When it is used up no stream is read. A batch is charged with twice its bytes and 256 bytes per event."`
	MaxBatchBytes configfile.Size     `yaml:"max_batch_bytes" doc:"Largest batch; a larger one ends its stream."`
	MaxStreams    int                 `yaml:"max_streams" doc:"Most streams of gateways at a time."`
	Workers       int                 `yaml:"workers" doc:"Batches that are worked on at a time; 0 means one per CPU."`
	DrainTimeout  configfile.Duration `yaml:"drain_timeout" doc:"How long a stop waits for the acknowledgement of what was received. What is left is sent again by the gateways."`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		WindowBytes:   8 << 20,
		BudgetBytes:   256 << 20,
		MaxBatchBytes: 4 << 20,
		MaxStreams:    256,
		DrainTimeout:  configfile.Duration(15 * time.Second),
	}
}

// Validate reports what cannot work.
func (c Config) Validate(r *configfile.Report) {
	if c.MaxBatchBytes < 1<<10 || c.MaxBatchBytes > 6<<20 {
		r.Errorf("max_batch_bytes", "must be between 1KiB and 6MiB")
	}
	if c.WindowBytes < c.MaxBatchBytes {
		r.Errorf("window_bytes", "must be at least max_batch_bytes, else a batch of that size never gets its credit")
	}
	if c.BudgetBytes < 4*c.MaxBatchBytes {
		r.Errorf("budget_bytes", "must be at least four times max_batch_bytes")
	}
	if c.MaxStreams < 1 {
		r.Errorf("max_streams", "must be at least 1")
	}
	if c.Workers < 0 || c.Workers > 1024 {
		r.Errorf("workers", "must be between 0 and 1024")
	}
	if c.DrainTimeout < 0 {
		r.Errorf("drain_timeout", "must not be negative")
	}
}
