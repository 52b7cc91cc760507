//go:build !unix || solaris || aix

package storage

import (
	"errors"
	"os"
)

// flock refuses: without a lock between processes conditional puts would be wrong without a sign.
func flock(*os.File) error { return errors.ErrUnsupported }
