package mdt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// ErrUpdate: an update that cannot be what an instant did, or a table that is not written.
var ErrUpdate = errors.New("cannot write the metadata table")

// Update is what an instant of the table did to its files.
type Update struct {
	Instant    timeline.Instant
	Completion timeline.Instant            // when the instant completed, as its file on the table's timeline will say
	Added      map[string]map[string]int64 // base and log files with their size in bytes, by partition and name
	Deleted    map[string][]string         // names by partition
}

// names of what belongs to the one file group.
const (
	filesPartition = "files"
	filesGroup     = "files-0000-0"
	writeToken     = "0-0-1"
	initialInstant = "00000000000000000"
	initialToken   = "0-0-0"
)

func logFileName(instant, token string) string {
	return "." + filesGroup + "_" + instant + ".log.1_" + token
}

func baseFileName(instant, token string) string {
	return filesGroup + "_" + token + "_" + instant + ".hfile"
}

// Append writes what a decided instant did, before that instant's completed file is put. Doing it again adds nothing. Errors: ErrAbsent,
// *StaleError, *OthersError, ErrUpdate, the store's.
func Append(ctx context.Context, store storage.Store, u Update) error {
	records, err := u.records()
	if err != nil {
		return err
	}
	w, err := open(ctx, store)
	if err != nil {
		return err
	}
	if _, done := w.own.written[string(u.Instant)]; done {
		return nil
	}
	if err := w.checkFresh(string(u.Instant)); err != nil {
		return err
	}
	instant := string(u.Instant)
	log, err := encodeLog(instant, records)
	if err != nil {
		return err
	}
	name := logFileName(instant, writeToken)
	commit, err := logCommit(instant, name, int64(len(log)), int64(len(records))).EncodeOCF()
	if err != nil {
		return err
	}
	return w.putAll(ctx, []object{
		{w.timeline + instant + ".deltacommit.requested", nil},
		{w.timeline + instant + ".deltacommit.inflight", nil},
		{filesFolder + name, log},
		{w.timeline + instant + "_" + string(u.Completion) + ".deltacommit", commit},
	})
}

// Logs counts the log files of the partition, which its readers merge. A table without a metadata table has none.
func Logs(ctx context.Context, store storage.Store) (int, error) {
	groups, err := listGroups(ctx, store)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, files := range groups {
		for _, f := range files {
			if f.log {
				n++
			}
		}
	}
	return n, nil
}

// records are an update's records by key.
func (u Update) records() (map[string]record, error) {
	if _, err := u.Instant.Time(); err != nil || u.Completion < u.Instant {
		return nil, fmt.Errorf("%w: instant %q, completed at %q", ErrUpdate, u.Instant, u.Completion)
	}
	records := make(map[string]record)
	put := func(partition, name string, info fileInfo) error {
		if name == "" || path.Base(name) != name || info.size < 0 {
			return fmt.Errorf("%w: partition %q: file %q of %d bytes", ErrUpdate, partition, name, info.size)
		}
		key := recordKey(partition)
		if _, ok := records[key]; !ok {
			records[key] = record{typeFiles, make(map[string]fileInfo)}
		}
		if _, twice := records[key].files[name]; twice {
			return fmt.Errorf("%w: partition %q: file %q is both added and deleted", ErrUpdate, partition, name)
		}
		records[key].files[name] = info
		return nil
	}
	partitions := make(map[string]fileInfo)
	for partition, files := range u.Added {
		if len(files) > 0 {
			partitions[recordKey(partition)] = fileInfo{}
		}
		for name, size := range files {
			if err := put(partition, name, fileInfo{size: size}); err != nil {
				return nil, err
			}
		}
	}
	for partition, files := range u.Deleted {
		for _, name := range files {
			if err := put(partition, name, fileInfo{deleted: true}); err != nil {
				return nil, err
			}
		}
	}
	if len(partitions) > 0 {
		records[keyPartitions] = record{typePartitions, partitions}
	}
	return records, nil
}

// logCommit is the metadata of a delta commit of one log file, as Hudi fills it.
func logCommit(instant, name string, size, records int64) meta.Commit {
	partition, file := filesPartition, filesPartition+"/"+name
	return commitOf("UPSERT_PREPPED", meta.WriteStat{
		FileID: filesGroup, Path: &file, PartitionPath: &partition, PrevCommit: instant, NumWrites: records, NumUpdateWrites: records,
		TotalWriteBytes: size, FileSizeInBytes: size, RuntimeStats: &meta.RuntimeStats{},
		LogStat: &meta.LogStat{LogVersion: 1, LogFiles: []string{name}},
	})
}

func commitOf(operation string, stat meta.WriteStat) meta.Commit {
	return meta.Commit{
		PartitionToWriteStats: map[string][]meta.WriteStat{filesPartition: {stat}},
		ExtraMetadata:         map[string]string{meta.SchemaKey: commitSchema()},
		OperationType:         operation,
	}
}

// writer is a metadata table that is being written, with both timelines as they were.
type writer struct {
	store     storage.Store
	data, own *instants
	timeline  string // folder
}

// open reads the timelines of a table whose metadata table can be written.
func open(ctx context.Context, store storage.Store) (*writer, error) {
	if err := present(ctx, store); err != nil {
		return nil, err
	}
	data, err := readInstants(ctx, store, dataTimeline)
	if err != nil {
		return nil, err
	}
	own, err := readInstants(ctx, store, metadataTimeline)
	if err != nil {
		return nil, err
	}
	if data.layout != 2 || own.layout != 2 {
		return nil, fmt.Errorf("%w: timelines of layout %d and %d", ErrUpdate, data.layout, own.layout)
	}
	return &writer{store, data, own, own.folder}, nil
}

// object is what is put.
type object struct {
	key  string
	data []byte
}

// putAll puts objects one after the other. One that is there already must be the same.
func (w *writer) putAll(ctx context.Context, objects []object) error {
	for _, o := range objects {
		if err := putSame(ctx, w.store, o); err != nil {
			return err
		}
	}
	return nil
}

// putAttempts bounds how often a put is repeated whose outcome is unknown; the same bytes may be put any number of times.
const putAttempts = 3

func putSame(ctx context.Context, store storage.Store, o object) error {
	var err error
	for range putAttempts {
		if _, err = store.Put(ctx, o.key, o.data, storage.Condition{IfAbsent: true}); storage.Classify(err) != storage.Unknown {
			break
		}
	}
	if storage.Classify(err) == storage.Precondition {
		there, _, readErr := store.Get(ctx, o.key)
		if readErr != nil {
			return fmt.Errorf("read %s: %w", o.key, readErr)
		}
		// What says nothing may be there with more to say: Hudi writes a profile into inflight files.
		if len(o.data) == 0 || bytes.Equal(there, o.data) {
			return nil
		}
		return fmt.Errorf("%w: %s is there with other content", ErrUpdate, o.key)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", o.key, err)
	}
	return nil
}
