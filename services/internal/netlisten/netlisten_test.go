package netlisten_test

import (
	"errors"
	"testing"

	"github.com/playhead-pipeline/playhead/services/internal/netlisten"
)

func TestRequireLoopback(t *testing.T) {
	t.Parallel()
	for address, loopback := range map[string]bool{
		"127.0.0.1:0": true, "127.9.9.9:80": true, "[::1]:80": true, "[::ffff:127.0.0.1]:80": true, "localhost:80": true, "LOCALHOST.:80": true, "a.localhost:80": true,
		"0.0.0.0:80": false, ":80": false, "[::]:80": false, "10.0.0.1:80": false, "[::ffff:10.0.0.1]:80": false, "example.com:80": false, "localhost.example.com:80": false,
		"127.0.0.1.example.com:80": false, "notlocalhost:80": false,
	} {
		err := netlisten.RequireLoopback(address, false, false)
		if loopback != (err == nil) {
			t.Errorf("%s: got %v", address, err)
		}
		if _, ok := errors.AsType[*netlisten.NotLoopbackError](err); !loopback && !ok {
			t.Errorf("%s: got %v, want a NotLoopbackError", address, err)
		}
		for _, allowed := range [][2]bool{{true, false}, {false, true}} {
			if err := netlisten.RequireLoopback(address, allowed[0], allowed[1]); err != nil {
				t.Errorf("%s with TLS %v, insecure %v: %v", address, allowed[0], allowed[1], err)
			}
		}
	}
}

func TestRequireLoopbackRefusesWhatIsNoAddress(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "127.0.0.1", "::1", "127.0.0.1:1:2"} {
		if err := netlisten.RequireLoopback(address, true, true); err == nil {
			t.Errorf("%q passed", address)
		}
	}
}

func TestListen(t *testing.T) {
	t.Parallel()
	if l, err := netlisten.Listen(t.Context(), "0.0.0.0:0", false, false); err == nil {
		_ = l.Close()
		t.Error("bound all interfaces in plaintext")
	}
	l, err := netlisten.Listen(t.Context(), "127.0.0.1:0", false, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
