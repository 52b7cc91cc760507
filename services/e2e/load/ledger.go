package load

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/playhead-pipeline/playhead/services/e2e/bitmap"
)

// Ledger is what the clients of one run saw. It lives outside the system under test; with Params it says what the table must hold.
type Ledger struct {
	Params  Params         `json:"params"`
	Sources []SourceLedger `json:"sources"`
	// Complete is false while the run goes on: a ledger of a killed run then says only what was acked when it was last saved.
	Complete bool `json:"complete"`
}

// SourceLedger is what one source's client saw.
type SourceLedger struct {
	// Next is the number of events begun: events 0 to Next-1 were handed to a socket at least once, or were about to be.
	Next uint64 `json:"next"`
	// Acked holds the events that an ack covered, refused ones included.
	Acked bitmap.Set `json:"acked"`
	// Rejected holds the acked events that were refused with the cause that their fault deserves.
	Rejected bitmap.Set `json:"rejected"`
	// WrongVerdicts counts good events that were refused, broken ones that were not, and refusals with another cause; WrongExamples says which.
	WrongVerdicts uint64   `json:"wrong_verdicts"`
	WrongExamples []string `json:"wrong_examples,omitempty"`
	// Resent counts events sent again because a connection broke; Duplicates those sent again on purpose.
	Resent     uint64 `json:"resent"`
	Duplicates uint64 `json:"duplicates"`
	// Connections counts successful dials.
	Connections uint64 `json:"connections"`
}

// maxExamples bounds lists of what went wrong: the first few show the pattern.
const maxExamples = 10

// NewLedger returns the ledger of a run that has not begun.
func NewLedger(params Params) *Ledger {
	return &Ledger{Params: params, Sources: make([]SourceLedger, params.Sources)}
}

// clone returns a copy that can be saved while the run goes on.
func (s *SourceLedger) clone() SourceLedger {
	out := *s
	out.Acked, out.Rejected = s.Acked.Clone(), s.Rejected.Clone()
	out.WrongExamples = append([]string(nil), s.WrongExamples...)
	return out
}

// verdict books the outcome of event n: cause is empty when it was accepted.
func (s *SourceLedger) verdict(id ID, fault Fault, cause string) {
	s.Acked.Add(id.N)
	if cause == fault.Cause() {
		if cause != "" {
			s.Rejected.Add(id.N)
		}
		return
	}
	s.WrongVerdicts++
	if len(s.WrongExamples) < maxExamples {
		s.WrongExamples = append(s.WrongExamples, fmt.Sprintf("%s: verdict %q, want %q", id, cause, fault.Cause()))
	}
}

// Save writes the ledger to path; a reader sees the old file or the new one, never a part.
func (l *Ledger) Save(path string) error {
	text, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("encode ledger: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("create folder of ledger: %w", err)
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("save ledger: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("save ledger: %w", err)
	}
	return nil
}

// LoadLedger reads a ledger that Save wrote.
func LoadLedger(path string) (*Ledger, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	ledger := new(Ledger)
	if err := json.Unmarshal(text, ledger); err != nil {
		return nil, fmt.Errorf("read ledger %s: %w", path, err)
	}
	if err := ledger.Params.Validate(); err != nil {
		return nil, fmt.Errorf("read ledger %s: %w", path, err)
	}
	if len(ledger.Sources) != ledger.Params.Sources {
		return nil, fmt.Errorf("read ledger %s: %d sources, want %d", path, len(ledger.Sources), ledger.Params.Sources)
	}
	return ledger, nil
}

// LoadLedgers reads every ledger below dir, in the order of their names.
func LoadLedgers(dir string) ([]*Ledger, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("list ledgers: %w", err)
	}
	ledgers := make([]*Ledger, 0, len(paths))
	for _, path := range paths {
		ledger, err := LoadLedger(path)
		if err != nil {
			return nil, err
		}
		ledgers = append(ledgers, ledger)
	}
	return ledgers, nil
}
