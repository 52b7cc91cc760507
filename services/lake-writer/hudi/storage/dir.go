package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Dir is a Store in a directory of a local file system, for development, tests and small installations. Objects appear by
// atomic rename after an fsync; conditional puts are right across goroutines and processes of one machine, by a lock file.
//
// Its own files are in controlDir and never listed: it lies under .hoodie because readers that list leaf directories take any
// other directory for a partition. The checksum files (.x.crc) which Hadoop's local file system leaves beside its files are
// not listed either; a Put or Delete removes the stale one, which would make Hadoop refuse the new content.
type Dir struct {
	root string
}

const controlDir = ".hoodie/.playhead-store"

var _ Store = (*Dir)(nil)

// NewDir returns the store in the directory root, which is made when it is missing.
func NewDir(root string) (*Dir, error) {
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("resolve directory %s: %w", root, err)
	}
	if err := os.MkdirAll(abs, 0o755); err != nil {
		return nil, fmt.Errorf("make directory %s: %w", abs, err)
	}
	return &Dir{root: abs}, nil
}

// Root is the absolute path of the directory.
func (d *Dir) Root() string { return d.root }

// Get implements Store.
func (d *Dir) Get(ctx context.Context, key string) ([]byte, Info, error) {
	name, err := d.path(ctx, key)
	if err != nil {
		return nil, Info{}, fmt.Errorf("get %s: %w", key, err)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, Info{}, fmt.Errorf("get %s: %w", key, dirError(err))
	}
	defer f.Close()
	stat, err := f.Stat()
	if err != nil {
		return nil, Info{}, fmt.Errorf("get %s: %w", key, dirError(err))
	}
	if stat.IsDir() {
		return nil, Info{}, fmt.Errorf("get %s: %w", key, ErrNotExist)
	}
	data := make([]byte, stat.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, Info{}, fmt.Errorf("get %s: %w", key, dirError(err))
	}
	return data, Info{Key: key, Size: stat.Size(), ETag: contentTag(data), ModTime: stat.ModTime()}, nil
}

// GetRange implements Store.
func (d *Dir) GetRange(ctx context.Context, key string, off, length int64) ([]byte, error) {
	name, err := d.path(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("get range of %s: %w", key, err)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("get range of %s: %w", key, dirError(err))
	}
	defer f.Close()
	stat, err := f.Stat()
	if err == nil && stat.IsDir() {
		err = ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("get range of %s: %w", key, dirError(err))
	}
	if off < 0 || length <= 0 || off >= stat.Size() {
		return nil, fmt.Errorf("get %d bytes at %d of %s with %d bytes: %w", length, off, key, stat.Size(), ErrRange)
	}
	data := make([]byte, min(length, stat.Size()-off))
	if _, err := f.ReadAt(data, off); err != nil {
		return nil, fmt.Errorf("get range of %s: %w", key, dirError(err))
	}
	return data, nil
}

// Put implements Store.
func (d *Dir) Put(ctx context.Context, key string, data []byte, cond Condition) (Info, error) {
	name, err := d.path(ctx, key)
	if err == nil {
		err = cond.Check()
	}
	if err != nil {
		return Info{}, fmt.Errorf("put %s: %w", key, err)
	}
	temp, err := d.writeTemp(data)
	if err != nil {
		return Info{}, fmt.Errorf("put %s: %w", key, dirError(err))
	}
	defer os.Remove(temp) // gone already when the rename worked
	unlock, err := d.lock()
	if err != nil {
		return Info{}, fmt.Errorf("put %s: %w", key, dirError(err))
	}
	defer unlock()
	if err := holds(name, cond); err != nil {
		return Info{}, fmt.Errorf("put %s: %w", key, err)
	}
	if err := d.publish(temp, name); err != nil {
		return Info{}, fmt.Errorf("put %s: %w", key, err)
	}
	stat, err := os.Stat(name)
	if err != nil {
		return Info{}, fmt.Errorf("put %s: %w: %w", key, ErrUnknownOutcome, err)
	}
	return Info{Key: key, Size: int64(len(data)), ETag: contentTag(data), ModTime: stat.ModTime()}, nil
}

// List implements Store. Objects that come or go while it runs may be seen or not.
func (d *Dir) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		d.walk(ctx, "", prefix, yield)
	}
}

// Stat implements Store. It leaves ETag empty.
func (d *Dir) Stat(ctx context.Context, key string) (Info, error) {
	name, err := d.path(ctx, key)
	if err != nil {
		return Info{}, fmt.Errorf("stat %s: %w", key, err)
	}
	stat, err := os.Stat(name)
	if err != nil {
		return Info{}, fmt.Errorf("stat %s: %w", key, dirError(err))
	}
	if stat.IsDir() {
		return Info{}, fmt.Errorf("stat %s: %w", key, ErrNotExist)
	}
	return Info{Key: key, Size: stat.Size(), ModTime: stat.ModTime()}, nil
}

// Delete implements Store. It removes folders that become empty, since no object store has any.
func (d *Dir) Delete(ctx context.Context, key string) error {
	name, err := d.path(ctx, key)
	if err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	unlock, err := d.lock()
	if err != nil {
		return fmt.Errorf("delete %s: %w", key, dirError(err))
	}
	defer unlock()
	if stat, err := os.Stat(name); err == nil && stat.IsDir() {
		return nil
	}
	for _, file := range []string{name, checksumFile(name)} {
		if err := os.Remove(file); err != nil && !isNotExist(err) {
			return fmt.Errorf("delete %s: %w", key, dirError(err))
		}
	}
	for parent := filepath.Dir(name); parent != d.root && syscall.Rmdir(parent) == nil; {
		parent = filepath.Dir(parent)
	}
	return nil
}

// path checks the call and returns the file's name.
func (d *Dir) path(ctx context.Context, key string) (string, error) {
	if err := checkCall(ctx, key, Condition{}); err != nil {
		return "", err
	}
	if hidden(key) {
		return "", fmt.Errorf("key is reserved: %w", ErrInvalid)
	}
	return filepath.Join(d.root, filepath.FromSlash(key)), nil
}

// writeTemp writes data durably under a name that no listing shows.
func (d *Dir) writeTemp(data []byte) (name string, err error) {
	dir := filepath.Join(d.root, controlDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(dir, "tmp-*")
	if err != nil {
		return "", err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if err := f.Chmod(0o644); err != nil {
		return "", err
	}
	if _, err := f.Write(data); err != nil {
		return "", err
	}
	return f.Name(), f.Sync()
}

// publish moves the temporary file to its name. Errors after the rename leave the outcome unknown: the object is there, but
// not certainly after a power cut.
func (d *Dir) publish(temp, name string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return dirError(err)
	}
	if err := os.Remove(checksumFile(name)); err != nil && !isNotExist(err) {
		return dirError(err)
	}
	if err := os.Rename(temp, name); err != nil {
		return dirError(err)
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
	return nil
}

// holds checks cond against the file; the caller holds the lock.
func holds(name string, cond Condition) error {
	if !cond.IfAbsent && cond.IfMatch == "" {
		return nil
	}
	data, err := os.ReadFile(name)
	if err != nil && !isNotExist(err) {
		return dirError(err)
	}
	exists := err == nil
	if cond.IfAbsent && exists || cond.IfMatch != "" && (!exists || contentTag(data) != cond.IfMatch) {
		return ErrPrecondition
	}
	return nil
}

// lock takes the store's lock, which is held for a check and a rename, never for a transfer. Each call opens the file anew,
// so that goroutines exclude each other as well as processes.
func (d *Dir) lock() (unlock func(), err error) {
	dir := filepath.Join(d.root, controlDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := flock(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { f.Close() }, nil // closing releases the lock
}

// walk lists the folder dir ("" or with a slash at its end) and reports whether to go on.
func (d *Dir) walk(ctx context.Context, dir, prefix string, yield func(Info, error) bool) bool {
	if err := ctx.Err(); err != nil {
		yield(Info{}, fmt.Errorf("list %s: %w", prefix, err))
		return false
	}
	entries, err := os.ReadDir(filepath.Join(d.root, filepath.FromSlash(dir)))
	if err != nil && !isNotExist(err) {
		yield(Info{}, fmt.Errorf("list %s: %w", prefix, dirError(err)))
		return false
	}
	names := make([]string, len(entries)) // a folder sorts by its name with the slash, which is how its keys sort
	for i, e := range entries {
		names[i] = dir + e.Name()
		if e.IsDir() {
			names[i] += "/"
		}
	}
	slices.Sort(names)
	for _, name := range names {
		inside, above := strings.HasPrefix(name, prefix), strings.HasPrefix(prefix, name)
		switch {
		case hidden(strings.TrimSuffix(name, "/")):
		case strings.HasSuffix(name, "/"):
			if (inside || above) && !d.walk(ctx, name, prefix, yield) {
				return false
			}
		case inside:
			if !d.yieldFile(name, yield) {
				return false
			}
		}
	}
	return true
}

func (d *Dir) yieldFile(key string, yield func(Info, error) bool) bool {
	stat, err := os.Stat(filepath.Join(d.root, filepath.FromSlash(key)))
	if isNotExist(err) { // deleted since the folder was read
		return true
	}
	if err != nil {
		yield(Info{}, fmt.Errorf("list %s: %w", key, dirError(err)))
		return false
	}
	return yield(Info{Key: key, Size: stat.Size(), ModTime: stat.ModTime()}, nil)
}

// hidden reports whether a key belongs to the store itself or to Hadoop's checksums.
func hidden(key string) bool {
	if key == controlDir || strings.HasPrefix(key, controlDir+"/") {
		return true
	}
	name := path.Base(key)
	return strings.HasPrefix(name, ".") && strings.HasSuffix(name, ".crc")
}

func checksumFile(name string) string {
	return filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+".crc")
}

func isNotExist(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR)
}

// dirError gives an operating system's error its class: what another process or an administrator can end is retryable.
func dirError(err error) error {
	switch {
	case isNotExist(err):
		return fmt.Errorf("%w: %w", ErrNotExist, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE),
		errors.Is(err, syscall.EINTR), errors.Is(err, syscall.EAGAIN):
		return MarkRetryable(err)
	default:
		return err
	}
}
