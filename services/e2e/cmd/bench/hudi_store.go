package main

import (
	"context"
	"iter"
	"runtime"
	"sync/atomic"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// countingStore counts the calls that cost a round trip.
type countingStore struct {
	storage.Store
	lists, reads atomic.Int64
}

func (s *countingStore) List(ctx context.Context, prefix string) iter.Seq2[storage.Info, error] {
	s.lists.Add(1)
	return s.Store.List(ctx, prefix)
}

func (s *countingStore) Get(ctx context.Context, key string) ([]byte, storage.Info, error) {
	s.reads.Add(1)
	return s.Store.Get(ctx, key)
}

func (s *countingStore) GetRange(ctx context.Context, key string, off, length int64) ([]byte, error) {
	s.reads.Add(1)
	return s.Store.GetRange(ctx, key, off, length)
}

// calls are those of one piece of work.
type calls struct{ lists, reads int64 }

// opening counts what it takes to open the table and see its newest files.
func (s *countingStore) opening(ctx context.Context) (calls, error) {
	lists, reads := s.lists.Load(), s.reads.Load()
	table, err := hudi.Open(ctx, s)
	if err == nil {
		_, err = table.View(ctx, "", nil)
	}
	return calls{s.lists.Load() - lists, s.reads.Load() - reads}, err
}

func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
