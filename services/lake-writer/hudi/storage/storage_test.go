package storage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storagetest"
)

func TestMem(t *testing.T) {
	t.Parallel()
	storagetest.Conformance(t, func(*testing.T) storage.Store { return storage.NewMem() })
}

func TestDir(t *testing.T) {
	t.Parallel()
	storagetest.Conformance(t, func(t *testing.T) storage.Store { return newDir(t, t.TempDir()) })
}

func newDir(t *testing.T, root string) *storage.Dir {
	t.Helper()
	d, err := storage.NewDir(root)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestClassify(t *testing.T) {
	t.Parallel()
	retryable := storage.MarkRetryable(errors.New("slow down"))
	for _, c := range []struct {
		err  error
		want storage.Class
	}{
		{errors.New("denied"), storage.Permanent},
		{retryable, storage.Retryable},
		{fmt.Errorf("put x: %w", retryable), storage.Retryable},
		{fmt.Errorf("put x: %w: %w", storage.ErrUnknownOutcome, retryable), storage.Unknown},
		{fmt.Errorf("put x: %w: %w", storage.ErrUnknownOutcome, context.DeadlineExceeded), storage.Unknown},
		{context.DeadlineExceeded, storage.Retryable},
		{context.Canceled, storage.Permanent},
		{fmt.Errorf("get x: %w", storage.ErrNotExist), storage.NotExist},
		{fmt.Errorf("put x: %w", storage.ErrPrecondition), storage.Precondition},
		{storage.ErrInvalid, storage.Permanent},
	} {
		if got := storage.Classify(c.err); got != c.want {
			t.Errorf("Classify(%v) = %v, want %v", c.err, got, c.want)
		}
	}
	if storage.MarkRetryable(nil) != nil {
		t.Error("MarkRetryable(nil) is an error")
	}
}

// TestDirHidesForeignFiles: Hadoop's checksum files and the store's own are no objects, and a stale checksum goes.
func TestDirHidesForeignFiles(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	d := newDir(t, root)
	if _, err := d.Put(t.Context(), "p/a.parquet", []byte("1"), storage.Condition{}); err != nil {
		t.Fatal(err)
	}
	crc := filepath.Join(root, "p", ".a.parquet.crc")
	if err := os.WriteFile(crc, []byte("crc"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, want := storagetest.ListKeys(t, d, ""), []string{"p/a.parquet"}; !slices.Equal(got, want) {
		t.Errorf("listing %q, want %q", got, want)
	}
	if _, _, err := d.Get(t.Context(), ".hoodie/.playhead-store/lock"); !errors.Is(err, storage.ErrInvalid) {
		t.Errorf("get of the lock file: %v", err)
	}
	if _, err := d.Put(t.Context(), "p/a.parquet", []byte("2"), storage.Condition{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(crc); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("stale checksum file: %v", err)
	}
	if err := d.Delete(t.Context(), "p/a.parquet"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "p")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("empty folder stays: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(root, ".hoodie/.playhead-store/tmp-*")); len(left) > 0 {
		t.Errorf("temporary files stay: %q", left)
	}
}

const raceRootEnv = "PLAYHEAD_STORAGE_RACE_ROOT"

// TestDirAcrossProcesses counts with compare and swap in four processes: a lost update would make the sum too small.
func TestDirAcrossProcesses(t *testing.T) {
	if root := os.Getenv(raceRootEnv); root != "" {
		countUp(t, newDir(t, root))
		return
	}
	t.Parallel()
	root := t.TempDir()
	if _, err := newDir(t, root).Put(t.Context(), "counter", nil, storage.Condition{}); err != nil {
		t.Fatal(err)
	}
	const processes = 4
	commands := make([]*exec.Cmd, processes)
	outputs := make([]bytes.Buffer, processes)
	for i := range commands {
		c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDirAcrossProcesses$")
		c.Env = append(os.Environ(), raceRootEnv+"="+root)
		c.Stdout, c.Stderr = &outputs[i], &outputs[i]
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		commands[i] = c
	}
	for i, c := range commands {
		if err := c.Wait(); err != nil {
			t.Errorf("process %d: %v\n%s", i, err, outputs[i].String())
		}
	}
	got, _, err := newDir(t, root).Get(t.Context(), "counter")
	if err != nil || len(got) != processes*countsPerProcess {
		t.Errorf("counted %d, %v; want %d", len(got), err, processes*countsPerProcess)
	}
}

const countsPerProcess = 25

func countUp(t *testing.T, d *storage.Dir) {
	t.Helper()
	for done := 0; done < countsPerProcess; {
		data, info, err := d.Get(t.Context(), "counter")
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.Put(t.Context(), "counter", append(data, '.'), storage.Condition{IfMatch: info.ETag})
		switch {
		case err == nil:
			done++
		case !errors.Is(err, storage.ErrPrecondition):
			t.Fatal(err)
		}
	}
}
