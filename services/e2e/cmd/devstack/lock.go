package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/versity/versitygw/backend/meta"
)

// lock makes dir and takes it for this process: two stacks on one folder would write to the same files. It also finds out early whether the
// file system can serve the object store.
func lock(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create folder: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("use folder: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = fmt.Errorf("folder %s is in use by another devstack", dir)
		}
		return nil, errors.Join(err, file.Close())
	}
	if err := (meta.XattrMeta{}).Test(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("folder %s cannot hold the object store: %w", dir, err), file.Close())
	}
	return func() { _ = file.Close() }, nil
}
