package lock

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Key is where the lock lies, relative to the table's base path.
const Key = ".hoodie/.locks/table_lock.json"

// State is the content of the lock file (StorageLockData).
type State struct {
	Expired    bool   // released
	ValidUntil int64  // milliseconds since 1970, by the owner's clock
	Owner      string // unique to each holder
}

// ErrState: bytes are no lock file.
var ErrState = errors.New("malformed lock file")

// maxStateBytes is more than a lock file ever has.
const maxStateBytes = 64 << 10

// Encode is the file's content, as Hudi writes it.
func (s State) Encode() ([]byte, error) {
	data, err := json.Marshal(struct {
		Expired    bool   `json:"expired"`
		ValidUntil int64  `json:"validUntil"`
		Owner      string `json:"owner"`
	}{s.Expired, s.ValidUntil, s.Owner})
	if err != nil {
		return nil, fmt.Errorf("encode lock file: %w", err)
	}
	return data, nil
}

// Decode reads a lock file. All three fields must be there; others are ignored, as by Hudi.
func Decode(data []byte) (State, error) {
	if len(data) > maxStateBytes {
		return State{}, fmt.Errorf("%d bytes: %w", len(data), ErrState)
	}
	var f struct {
		Expired    *bool   `json:"expired"`
		ValidUntil *int64  `json:"validUntil"`
		Owner      *string `json:"owner"`
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return State{}, fmt.Errorf("%w: %w", ErrState, err)
	}
	if f.Expired == nil || f.ValidUntil == nil || f.Owner == nil {
		return State{}, fmt.Errorf("a field is missing: %w", ErrState)
	}
	return State{*f.Expired, *f.ValidUntil, *f.Owner}, nil
}

// Until is ValidUntil as a time.
func (s State) Until() time.Time { return time.UnixMilli(s.ValidUntil) }

// free reports whether nobody holds the lock any more, whatever clock within ClockDrift of ours the holder has.
func (s State) free(now time.Time) bool {
	return s.Expired || now.After(s.Until().Add(ClockDrift))
}
