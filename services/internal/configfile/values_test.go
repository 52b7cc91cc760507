package configfile_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/playhead-pipeline/playhead/services/internal/configfile"
)

func TestSizeText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"0": 0, "0B": 0, "512B": 512, "64KiB": 64 << 10, "8MiB": 8 << 20, "2GiB": 2 << 30, "1TiB": 1 << 40,
		"1kB": 1000, "3MB": 3e6, "4GB": 4e9, "5TB": 5e12, "1 MiB": 1 << 20, "9223372036854775807B": math.MaxInt64,
	} {
		var s configfile.Size
		if err := s.UnmarshalText([]byte(text)); err != nil || int64(s) != want {
			t.Errorf("%q: got %d, %v, want %d", text, s, err, want)
			continue
		}
		// What a size prints is read back as the same size.
		var again configfile.Size
		if err := again.UnmarshalText([]byte(s.String())); err != nil || again != s {
			t.Errorf("%q prints as %q, which reads as %d, %v", text, s, again, err)
		}
	}
}

func TestSizeRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "64", "64M", "64Mi", "-1B", "1.5GiB", "MiB", "1MiBB", "8388608TiB", "9223372036854775808B", "0x10B", "1B1"} {
		var s configfile.Size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %d", text, s)
		}
	}
}

func TestSecretFileFollowsTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	secret := configfile.SecretFile(path)
	for _, want := range []string{"first", "second"} {
		if err := os.WriteFile(path, []byte("  "+want+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := secret.Read(); err != nil || string(got) != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
}

func TestSecretFileRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{"empty": " \n", "huge": strings.Repeat("x", 1<<17)} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := configfile.SecretFile(path).Read(); err == nil {
			t.Errorf("%s file was read", name)
		}
	}
	for _, path := range []string{"", filepath.Join(dir, "missing")} {
		if _, err := configfile.SecretFile(path).Read(); err == nil {
			t.Errorf("%q was read", path)
		}
	}
}
