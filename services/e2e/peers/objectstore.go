package peers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/playhead-pipeline/playhead/services/e2e/child"
)

// ObjectStore is a versitygw S3 server over a folder. Objects are plain files at Folder()/bucket/key.
type ObjectStore struct {
	proc *child.Process
	addr string
	root string
}

// Credentials of every ObjectStore.
const (
	AccessKey = "playhead"
	SecretKey = "playhead-secret"
)

// StartObjectStore starts versitygw with attributes kept beside the data (extended attributes need a file system that has them) and
// creates bucket. install is the folder "versitygw" that scripts/peers.sh made.
func StartObjectStore(ctx context.Context, install, dir, bucket string) (*ObjectStore, error) {
	ports, err := child.FreePorts(1)
	if err != nil {
		return nil, err
	}
	s := &ObjectStore{addr: fmt.Sprintf("127.0.0.1:%d", ports[0]), root: filepath.Join(dir, "objects")}
	// A bucket of the posix backend is a folder.
	if err := os.MkdirAll(filepath.Join(s.root, bucket), 0o755); err != nil {
		return nil, fmt.Errorf("create bucket %s: %w", bucket, err)
	}
	s.proc, err = child.Start("versitygw", dir, []string{"ROOT_ACCESS_KEY=" + AccessKey, "ROOT_SECRET_KEY=" + SecretKey},
		filepath.Join(install, "versitygw"), "--port", s.addr, "posix", s.root)
	if err != nil {
		return nil, err
	}
	if err := s.proc.Ready(ctx, child.Dial(s.addr)); err != nil {
		return nil, errors.Join(err, s.proc.Stop())
	}
	return s, nil
}

// Endpoint returns the S3 endpoint.
func (s *ObjectStore) Endpoint() string { return "http://" + s.addr }

// Folder returns the folder that holds the buckets as folders.
func (s *ObjectStore) Folder() string { return s.root }

// Stop ends the server; the objects stay.
func (s *ObjectStore) Stop() error { return s.proc.Stop() }
