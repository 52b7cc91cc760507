package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// dryStore is a store that keeps all changes in memory, on top of one that it only reads.
type dryStore struct {
	base storage.Store
	mu   struct {
		sync.Mutex
		written *storage.Mem
		changed map[string]bool // keys that the base does not decide any more
		order   []string        // of changed
	}
}

var _ storage.Store = (*dryStore)(nil)

func newDryStore(base storage.Store) *dryStore {
	d := &dryStore{base: base}
	d.mu.written = storage.NewMem()
	d.mu.changed = make(map[string]bool)
	return d
}

// of is the store that holds a key's object now.
func (d *dryStore) of(key string) storage.Store {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.changed[key] {
		return d.mu.written
	}
	return d.base
}

// Get implements storage.Store.
func (d *dryStore) Get(ctx context.Context, key string) ([]byte, storage.Info, error) {
	return d.of(key).Get(ctx, key)
}

// GetRange implements storage.Store.
func (d *dryStore) GetRange(ctx context.Context, key string, off, length int64) ([]byte, error) {
	return d.of(key).GetRange(ctx, key, off, length)
}

// Stat implements storage.Store.
func (d *dryStore) Stat(ctx context.Context, key string) (storage.Info, error) {
	return d.of(key).Stat(ctx, key)
}

// Put implements storage.Store.
func (d *dryStore) Put(ctx context.Context, key string, data []byte, cond storage.Condition) (storage.Info, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.mu.changed[key] {
		if err := d.check(ctx, key, cond); err != nil {
			return storage.Info{}, err
		}
		cond = storage.Condition{}
	}
	info, err := d.mu.written.Put(ctx, key, data, cond)
	if err == nil {
		d.change(key)
	}
	return info, err
}

// check judges a condition by the base.
func (d *dryStore) check(ctx context.Context, key string, cond storage.Condition) error {
	if err := cond.Check(); err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	if cond == (storage.Condition{}) {
		return nil
	}
	_, info, err := d.base.Get(ctx, key)
	if err != nil && !errors.Is(err, storage.ErrNotExist) {
		return err
	}
	if there := err == nil; cond.IfAbsent && there || cond.IfMatch != "" && info.ETag != cond.IfMatch {
		return fmt.Errorf("put %s: %w", key, storage.ErrPrecondition)
	}
	return nil
}

func (d *dryStore) change(key string) {
	if !d.mu.changed[key] {
		d.mu.changed[key] = true
		d.mu.order = append(d.mu.order, key)
	}
}

// Delete implements storage.Store.
func (d *dryStore) Delete(ctx context.Context, key string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.mu.written.Delete(ctx, key); err != nil {
		return err
	}
	if d.mu.changed[key] {
		return nil
	}
	_, err := d.base.Stat(ctx, key)
	if errors.Is(err, storage.ErrNotExist) {
		return nil
	}
	if err == nil {
		d.change(key)
	}
	return err
}

// List implements storage.Store.
func (d *dryStore) List(ctx context.Context, prefix string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		var written []storage.Info
		for info, err := range d.mu.written.List(ctx, prefix) {
			if err != nil {
				yield(storage.Info{}, err)
				return
			}
			written = append(written, info)
		}
		for info, err := range d.base.List(ctx, prefix) {
			if err != nil {
				yield(storage.Info{}, err)
				return
			}
			for len(written) > 0 && written[0].Key < info.Key {
				if !yield(written[0], nil) {
					return
				}
				written = written[1:]
			}
			if d.of(info.Key) == d.base && !yield(info, nil) {
				return
			}
		}
		for _, info := range written {
			if !yield(info, nil) {
				return
			}
		}
	}
}

// objectChange is what a run would leave of an object.
type objectChange struct {
	Change string `json:"change"` // write or delete
	Key    string `json:"key"`
	Bytes  int64  `json:"bytes,omitempty"`
}

// changes are in what the store differs from its base, by key. nil stands for a run that was none.
func (d *dryStore) changes(ctx context.Context) ([]objectChange, error) {
	if d == nil {
		return nil, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	found := []objectChange{}
	for _, key := range d.mu.order {
		info, err := d.mu.written.Stat(ctx, key)
		if err == nil {
			found = append(found, objectChange{"write", key, info.Size})
			continue
		}
		// What was written and deleted again is no change.
		if _, err := d.base.Stat(ctx, key); err == nil {
			found = append(found, objectChange{Change: "delete", Key: key})
		} else if !errors.Is(err, storage.ErrNotExist) {
			return nil, err
		}
	}
	slices.SortFunc(found, func(a, b objectChange) int { return strings.Compare(a.Key, b.Key) })
	return found, nil
}

// writeChanges writes a line for each change.
func writeChanges(w io.Writer, changes []objectChange) {
	for _, c := range changes {
		if c.Change == "delete" {
			fmt.Fprintln(w, "would delete", c.Key)
		} else {
			fmt.Fprintf(w, "would write %s, %d bytes\n", c.Key, c.Bytes)
		}
	}
}
