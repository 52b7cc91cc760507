package rollup

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
)

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	var s State
	events := numbered(0, 3)
	events = append(events, numbered(7, 9)...)
	events[2].Bitrate, events[3].HasPosition = 500, true
	apply(t, &s, events)
	good := s.Append(nil)
	for n := range good {
		if err := s.Parse(good[:n]); err == nil {
			t.Errorf("the first %d of %d bytes were taken", n, len(good))
		}
		if !s.Empty() {
			t.Fatalf("the first %d of %d bytes left a state", n, len(good))
		}
	}
	if err := s.Parse(append(bytes.Clone(good), 0)); err == nil {
		t.Error("a byte too many was taken")
	}
	newer := bytes.Clone(good)
	newer[0] = stateVersion + 1
	var version *VersionError
	if err := s.Parse(newer); !errors.As(err, &version) || version.Version != stateVersion+1 {
		t.Errorf("a newer state: %v", err)
	}
}

// TestFormat holds the format to what earlier releases wrote: tables are full of it.
func TestFormat(t *testing.T) {
	t.Parallel()
	var s State
	events := []Event{
		{Start: 1000, Time: 1000, Sequence: 0, Bitrate: 800, Kind: Start, HasPosition: true, Position: 5},
		{Start: 1000, Time: 3000, Sequence: 1, Bitrate: -1, Kind: Pause},
		{Start: 1000, Time: 9000, Sequence: 4, Bitrate: 900, Kind: Other},
		{Start: 1000, Time: 9500, Sequence: 5, Bitrate: -1, Kind: Stop},
	}
	apply(t, &s, events)
	want := []byte{
		1, 0xd0, 0x0f, 0, 2,
		0, 1, 2, 2, 12, 1 + 2*3 + 9, 0, 0xa0, 0x1f, 1, 0, 0, 0, 0, 0, 0xa0, 6, 0xa0, 6, 10, 10, 0x80, 0x40, 0xd0, 0x0f, 0, 0xd0, 0x0f, 0x80, 0xd4, 0x61,
		3, 1, 2, 2, 1 | 4, 0, 0x80, 0x7d, 0xe8, 7, 0, 0, 0, 0, 0, 0, 0x84, 7, 0x84, 7, 1, 0xf4, 3, 0, 0xf4, 3, 0xd0, 0xbb, 0x1b,
	}
	if got := s.Append(nil); !bytes.Equal(got, want) {
		t.Errorf("encoded\n%x, want\n%x", got, want)
	}
}

// FuzzParse: bytes are refused, or are the one encoding of a state that can be worked with.
func FuzzParse(f *testing.F) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 13))
		var s State
		for _, e := range session(r) {
			s.Apply(&e)
		}
		f.Add(s.Append(nil), int64(r.IntN(60)))
	}
	f.Add([]byte{}, int64(0))
	f.Add([]byte{stateVersion, 0, 0, 0}, int64(1))
	f.Fuzz(func(t *testing.T, data []byte, sequence int64) {
		var s State
		if s.Parse(data) != nil {
			return
		}
		if got := s.Append(nil); !bytes.Equal(got, data) {
			t.Fatalf("%x was taken and encodes to %x", data, got)
		}
		e := Event{Sequence: sequence, Time: sequence, Bitrate: 3, Kind: Kind(uint64(sequence) % uint64(kinds))}
		changed := s.Apply(&e)
		if s.Apply(&e) {
			t.Fatal("an event was taken twice")
		}
		s.Session()
		if changed == bytes.Equal(s.Append(nil), data) {
			t.Fatalf("Apply says changed: %t, the state differs", changed)
		}
	})
}
