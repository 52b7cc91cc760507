// Package timeline owns instants, actions, states and the file names of timeline layouts 1 (table version 6) and 2 (8 and 9), and orders
// a listing of either into a Timeline. It reads and writes no file and no clock; what the files hold is package meta's, and what layout 2
// archived is package history's.
package timeline

import (
	"errors"
	"fmt"
	"time"
)

// Instant is the requested time of an action: 17 digits yyyyMMddHHmmssSSS in UTC, or the 14 digits (without milliseconds) of old
// writers. Instants compare as strings.
type Instant string

// ErrInstant: a text is no instant.
var ErrInstant = errors.New("not an instant")

const (
	layoutMillis  = "20060102150405.000" // the dot goes: Go parses fractions only behind one
	layoutSeconds = "20060102150405"
	digitsMillis  = 17
	digitsSeconds = 14
)

// At is the instant of a time.
func At(t time.Time) Instant {
	text := t.UTC().Format(layoutMillis)
	return Instant(text[:digitsSeconds] + text[digitsSeconds+1:])
}

// ParseInstant checks that a text is an instant and a time of the calendar.
func ParseInstant(s string) (Instant, error) {
	if _, err := Instant(s).Time(); err != nil {
		return "", err
	}
	return Instant(s), nil
}

// Time is the time that the instant names, in UTC. 14 digits are taken as their second's last millisecond, as
// HoodieInstantTimeGenerator does.
func (i Instant) Time() (time.Time, error) {
	s := string(i)
	if len(s) == digitsSeconds {
		s += "999"
	}
	if len(s) != digitsMillis || !allDigits(s) {
		return time.Time{}, fmt.Errorf("%q: %w", string(i), ErrInstant)
	}
	t, err := time.Parse(layoutMillis, s[:digitsSeconds]+"."+s[digitsSeconds:])
	if err != nil {
		return time.Time{}, fmt.Errorf("%q: %w", string(i), ErrInstant)
	}
	return t, nil
}

// Next is the instant for a new action: now, but later than last by at least a millisecond, so that instants rise strictly
// whatever the clocks of successive writers say. An empty last allows any time.
func Next(now time.Time, last Instant) Instant {
	next := At(now)
	if next > last {
		return next
	}
	t, err := last.Time()
	if err != nil { // not from this package: no time that last could be compared with
		return next
	}
	return At(t.Add(time.Millisecond))
}

func allDigits(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(s) > 0
}
