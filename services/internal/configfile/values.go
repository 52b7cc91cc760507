package configfile

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Duration is a time.Duration written with its unit, as in "5ms", "10s" or "1h30m".
type Duration time.Duration

// D returns the duration as the standard library's type.
func (d Duration) D() time.Duration { return time.Duration(d) }

func (d Duration) String() string { return d.D().String() }

// MarshalText writes the form that UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a duration with a unit, like 5ms, 10s or 1h30m", text)
	}
	*d = Duration(parsed)
	return nil
}

// Size is a number of bytes written with its unit: B, KiB, MiB, GiB, TiB (powers of 1024) or kB, MB, GB, TB (powers of 1000).
type Size int64

// sizeUnits goes from large to small, so that String finds the largest exact one first.
var sizeUnits = []struct {
	name   string
	factor int64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"kB", 1e3},
	{"B", 1},
}

func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && int64(s)%u.factor == 0 {
			return strconv.FormatInt(int64(s)/u.factor, 10) + u.name
		}
	}
	return "0B"
}

// MarshalText writes the form that UnmarshalText reads.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a whole, not negative number with its unit. Only 0 needs none.
func (s *Size) UnmarshalText(text []byte) error {
	wrong := fmt.Errorf("%q is not a size with a unit, like 512B, 64KiB, 8MiB or 2GiB", text)
	digits := bytes.TrimRight(text, "BKMGTki ")
	unit := string(bytes.TrimSpace(text[len(digits):]))
	n, err := strconv.ParseUint(string(digits), 10, 63)
	if err != nil {
		return wrong
	}
	if n == 0 && unit == "" {
		*s = 0
		return nil
	}
	for _, u := range sizeUnits {
		if u.name != unit {
			continue
		}
		if int64(n) > math.MaxInt64/u.factor {
			return fmt.Errorf("%q is over %dB", text, int64(math.MaxInt64))
		}
		*s = Size(int64(n) * u.factor)
		return nil
	}
	return wrong
}

// maxSecretBytes bounds a secret file: keys and passwords are far below it.
const maxSecretBytes = 64 << 10

// SecretFile is the path of a file that holds a secret. The secret itself never stands in a configuration, a log or a digest.
type SecretFile string

// Read returns the contents of the file without white space around them. It reads the file each time, so a rotated secret is seen by the
// next use. Callers on a hot path keep the result for as long as they may be behind.
func (f SecretFile) Read() ([]byte, error) {
	data, err := readFile(string(f), maxSecretBytes)
	if err != nil {
		return nil, fmt.Errorf("read secret: %w", err)
	}
	secret := bytes.TrimSpace(data)
	if len(secret) == 0 {
		return nil, fmt.Errorf("read secret: %w", errors.New("file "+string(f)+" is empty"))
	}
	return secret, nil
}
