package storage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Mem is a Store in memory, for tests and tools.
type Mem struct {
	mu struct {
		sync.Mutex
		objects map[string]memObject
	}
}

type memObject struct {
	data []byte
	info Info
}

var _ Store = (*Mem)(nil)

// NewMem returns an empty store.
func NewMem() *Mem {
	m := &Mem{}
	m.mu.objects = make(map[string]memObject)
	return m
}

// contentTag is an ETag that two equal contents share, as on object stores.
func contentTag(data []byte) string {
	sum := sha256.Sum256(data)
	return `"` + hex.EncodeToString(sum[:16]) + `"`
}

// Get implements Store.
func (m *Mem) Get(ctx context.Context, key string) ([]byte, Info, error) {
	o, err := m.object(ctx, key)
	if err != nil {
		return nil, Info{}, fmt.Errorf("get %s: %w", key, err)
	}
	return bytes.Clone(o.data), o.info, nil
}

// GetRange implements Store.
func (m *Mem) GetRange(ctx context.Context, key string, off, length int64) ([]byte, error) {
	o, err := m.object(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("get range of %s: %w", key, err)
	}
	if off < 0 || length <= 0 || off >= o.info.Size {
		return nil, fmt.Errorf("get %d bytes at %d of %s with %d bytes: %w", length, off, key, o.info.Size, ErrRange)
	}
	return bytes.Clone(o.data[off : off+min(length, o.info.Size-off)]), nil
}

// Put implements Store.
func (m *Mem) Put(ctx context.Context, key string, data []byte, cond Condition) (Info, error) {
	if err := checkCall(ctx, key, cond); err != nil {
		return Info{}, fmt.Errorf("put %s: %w", key, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	old, exists := m.mu.objects[key]
	if cond.IfAbsent && exists || cond.IfMatch != "" && old.info.ETag != cond.IfMatch {
		return Info{}, fmt.Errorf("put %s: %w", key, ErrPrecondition)
	}
	info := Info{Key: key, Size: int64(len(data)), ETag: contentTag(data), ModTime: time.Now()}
	m.mu.objects[key] = memObject{bytes.Clone(data), info}
	return info, nil
}

// List implements Store. It lists the objects of the moment of the first step.
func (m *Mem) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(Info{}, fmt.Errorf("list %s: %w", prefix, err))
			return
		}
		for _, info := range m.snapshot(prefix) {
			if !yield(info, nil) {
				return
			}
		}
	}
}

func (m *Mem) snapshot(prefix string) []Info {
	m.mu.Lock()
	defer m.mu.Unlock()
	var infos []Info
	for _, key := range slices.Sorted(maps.Keys(m.mu.objects)) {
		if strings.HasPrefix(key, prefix) {
			infos = append(infos, m.mu.objects[key].info)
		}
	}
	return infos
}

// Stat implements Store.
func (m *Mem) Stat(ctx context.Context, key string) (Info, error) {
	o, err := m.object(ctx, key)
	if err != nil {
		return Info{}, fmt.Errorf("stat %s: %w", key, err)
	}
	return o.info, nil
}

// Delete implements Store.
func (m *Mem) Delete(ctx context.Context, key string) error {
	if err := checkCall(ctx, key, Condition{}); err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.mu.objects, key)
	return nil
}

func (m *Mem) object(ctx context.Context, key string) (memObject, error) {
	if err := checkCall(ctx, key, Condition{}); err != nil {
		return memObject{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.mu.objects[key]
	if !ok {
		return memObject{}, ErrNotExist
	}
	return o, nil
}

// checkCall is what every call checks before it does anything.
func checkCall(ctx context.Context, key string, cond Condition) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if err := cond.Check(); err != nil {
		return err
	}
	return ctx.Err()
}
